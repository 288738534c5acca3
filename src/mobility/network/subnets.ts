import {
  type Family,
  type Ip,
  type Prefix,
  contains,
  formatPrefix,
  hostLength,
  isIpv4,
  isSubnetEdge,
  isUnroutable,
  networkOf,
  isOfOneLink,
} from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';
import { type Policy, allowedByDefault } from '../policy.js';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** An address of an interface, and the prefix that is on its LAN. */
export interface ConnectedSubnet {
  /** The LAN, by its mobility interface. */
  readonly iface: IfIndex;
  readonly address: Prefix;
  readonly mobility: boolean;
}

/** The subnets of the interfaces and of the configuration, and what follows from them for an address: where it is at home. */
export class Subnets {
  private subnets: readonly ConnectedSubnet[] = [];
  private allowed: readonly Prefix[] = [];

  constructor(private policy: Policy) {}

  set(policy: Policy, subnets: readonly ConnectedSubnet[]): void {
    this.policy = policy;
    this.subnets = subnets;
    const connected = subnets.flatMap(({ mobility, address }) =>
      mobility && address.length < hostLength(address.ip) ? [address] : [],
    );
    this.allowed = allowedByDefault(policy, FAMILIES, connected);
  }

  get connected(): readonly ConnectedSubnet[] {
    return this.subnets;
  }

  /** Prefixes allowed when the policy names none: of each family the configured subnets, else those of the mobility interfaces. */
  get defaultAllow(): readonly Prefix[] {
    return this.allowed;
  }

  /** Whether `ip` belongs to a subnet of this interface. */
  isHome(iface: IfIndex, ip: Ip): boolean {
    for (const subnet of this.subnets)
      if (subnet.iface === iface && contains(subnet.address, ip)) return true;
    return false;
  }

  /** The mobility interface whose subnet contains `ip`, the longest prefix first. */
  homeInterface(ip: Ip): IfIndex | undefined {
    return this.longest(ip, true)?.iface;
  }

  /** All mobility interfaces with a subnet that contains `ip`: a subnet may be on several LANs. */
  homeInterfaces(ip: Ip): readonly IfIndex[] {
    const homes = new Set<IfIndex>();
    for (const { iface, address, mobility } of this.subnets)
      if (mobility && contains(address, ip)) homes.add(iface);
    return [...homes];
  }

  /** What of a prefix is in the connected subnets of mobility interfaces. */
  partsOn(prefix: Prefix): readonly { readonly iface: IfIndex; readonly part: Prefix }[] {
    const parts = new Map<string, { iface: IfIndex; part: Prefix }>();
    for (const { iface, address, mobility } of this.subnets) {
      if (!mobility || address.length === hostLength(address.ip)) continue;
      const isInside = contains(address, prefix.ip) && prefix.length >= address.length;
      if (!isInside && !contains(prefix, address.ip)) continue;
      const { ip, length } = isInside ? prefix : address;
      const part = { ip: networkOf(ip, length), length };
      parts.set(`${iface} ${formatPrefix(part)}`, { iface, part });
    }
    return [...parts.values()];
  }

  /** Whether `ip` belongs to a LAN of ours on which hosts do not move. */
  isOnOtherLan(ip: Ip): boolean {
    const found = this.longest(ip, undefined);
    return found !== undefined && !found.mobility;
  }

  /**
   * Network or broadcast address of a connected IPv4 subnet, or of a [[subnet]] whose gateway lies inside. A [[subnet]]
   * with its gateway elsewhere, or with none, is a routed block, in which every address is a host's. Of IPv6 the
   * subnet-router anycast address of any: there are no hosts with it (RFC 4291 section 2.6.1).
   */
  isEdge(ip: Ip): boolean {
    for (const subnet of this.subnets) if (isSubnetEdge(subnet.address, ip)) return true;
    return this.policy.subnets.some(
      ({ prefix, gateways }) =>
        (!isIpv4(ip) || gateways.some((gateway) => contains(prefix, gateway))) && isSubnetEdge(prefix, ip),
    );
  }

  /** Whether this gateway is that of a subnet which is on this LAN. */
  isGatewayOn(iface: IfIndex, gateway: Ip): boolean {
    if (!isOfOneLink(gateway)) return this.isHome(iface, gateway);
    return this.policy.subnets.some(
      ({ prefix, gateways }) => gateways.includes(gateway) && this.hasSubnet(iface, prefix),
    );
  }

  private hasSubnet(iface: IfIndex, prefix: Prefix): boolean {
    return this.subnets.some(
      ({ iface: index, address }) =>
        index === iface && (contains(prefix, address.ip) || contains(address, prefix.ip)),
    );
  }

  /** Whether some subnet that we know has both. Then a host with one of them takes the other one for a neighbour's. */
  areNeighbours(one: Ip, other: Ip): boolean {
    const hasBoth = (prefix: Prefix) => contains(prefix, one) && contains(prefix, other);
    return (
      this.policy.subnets.some(({ prefix }) => hasBoth(prefix)) ||
      this.subnets.some(({ address }) => hasBoth(address))
    );
  }

  /**
   * Whether no router may speak for this address: addresses of one link or of none (RFC 1122 section 3.2.1.3, RFC 3927
   * section 7), and network and broadcast addresses. A configured gateway is answered even so (169.254.1.1).
   */
  isNeverAnswered(ip: Ip): boolean {
    return isUnroutable(ip) || this.isEdge(ip);
  }

  private longest(ip: Ip, mobility: boolean | undefined): ConnectedSubnet | undefined {
    let best: ConnectedSubnet | undefined;
    for (const subnet of this.subnets) {
      if (mobility !== undefined && subnet.mobility !== mobility) continue;
      if (!contains(subnet.address, ip)) continue;
      if (best === undefined || subnet.address.length > best.address.length) best = subnet;
    }
    return best;
  }
}
