import {
  type Ip,
  type Mac,
  type Prefix,
  contains,
  formatPrefix,
  hostLength,
  isIpv4,
  isLinkLocal,
  isLoopback,
  isSubnetEdge,
  isUnroutable,
  networkOf,
} from '../wire/addresses.js';
import type { IfIndex, Link } from './events.js';
import { type Lans, findLans } from './lans.js';
import { type InterfaceRule, type Policy, subnetOf } from './policy.js';

function put<T>(set: Set<T>, element: T, isIn: boolean): void {
  if (isIn) set.add(element);
  else set.delete(element);
}

/** IPv6 link-local addresses (fe80::/10) are no subnet that a host could be away from. */
function isSubnetAddress({ ip }: Prefix): boolean {
  return !isLoopback(ip) && (isIpv4(ip) || !isLinkLocal(ip));
}

/**
 * The box itself: its interfaces, which of them are mobility interfaces, its addresses, and what follows from them
 * for an address: where it is at home, who it may be proven by.
 */
export class Topology {
  private readonly links = new Map<IfIndex, Link>();
  private rules: Lans['rules'] = new Map();
  private readonly capturing = new Set<IfIndex>();
  private readonly local = new Map<Ip, IfIndex[]>();
  private readonly macOwners = new Map<Mac, Link[]>();
  /** Macvlans that are part of a mobility interface's LAN, and that interface. */
  private lans: Lans['lowers'] = new Map();
  /** MACs of the interfaces of a LAN that hold a configured gateway, by gateway. */
  private readonly speakers = new Map<IfIndex, Map<Ip, Link>>();
  /** LANs on which another router is active: there we ask as ourselves, and say nothing in the gateway's name. */
  private readonly silent = new Set<IfIndex>();
  /** LANs whose gateway another machine has although nobody has told us so: its visitors are left to that one. */
  private readonly deferring = new Set<IfIndex>();
  /** LANs on which another router has the last word about hosts. */
  private readonly conceding = new Set<IfIndex>();
  private gateways = new Set<Ip>();
  private subnets: { iface: IfIndex; address: Prefix; mobility: boolean }[] = [];
  private allowed: readonly Prefix[] = [];

  constructor(private policy: Policy) {
    this.derive();
  }

  setPolicy(policy: Policy): void {
    this.policy = policy;
    this.derive();
  }

  setLink(link: Link): void {
    this.links.set(link.index, link);
    this.derive();
  }

  removeLink(iface: IfIndex): void {
    this.links.delete(iface);
    this.capturing.delete(iface);
    this.silent.delete(iface);
    this.conceding.delete(iface);
    this.deferring.delete(iface);
    this.derive();
  }

  setCapturing(iface: IfIndex, open: boolean): void {
    if (open) this.capturing.add(iface);
    else this.capturing.delete(iface);
  }

  setSilent(iface: IfIndex, isSilent: boolean): void {
    put(this.silent, iface, isSilent);
  }

  /** Whether we answer, announce and repair on this LAN (design.md 3.5). */
  speaks(iface: IfIndex): boolean {
    return !this.silent.has(iface);
  }

  setDeferring(iface: IfIndex, isDeferring: boolean): void {
    put(this.deferring, iface, isDeferring);
  }

  /** Whether visitors on this LAN are left to another router, unless we are the one that announces them. */
  defers(iface: IfIndex): boolean {
    return this.deferring.has(iface);
  }

  setContests(iface: IfIndex, contests: boolean): void {
    put(this.conceding, iface, !contests);
  }

  /** Whether a host that is alive on this LAN is ours, whoever else claims it. */
  contests(iface: IfIndex): boolean {
    return !this.conceding.has(iface);
  }

  /** A LAN with several first-hop routers, as the configuration says. */
  isShared(iface: IfIndex): boolean {
    return (this.rules.get(iface)?.role ?? 'alone') !== 'alone';
  }

  /** All of them. */
  sharedLans(): readonly IfIndex[] {
    return [...this.rules].flatMap(([iface, { role }]) => (role === 'alone' ? [] : [iface]));
  }

  /** Another first-hop router of this LAN, as the configuration says. */
  isPeer(iface: IfIndex, ip: Ip): boolean {
    return this.rules.get(iface)?.peers.includes(ip) === true;
  }

  /** A gateway address that is on an operational interface of a LAN, and that interface. */
  gatewayHolder(iface: IfIndex): { readonly gateway: Ip; readonly link: Link } | undefined {
    const lan = this.links.get(iface);
    if (lan?.up !== true || !lan.carrier) return undefined;
    for (const [gateway, link] of this.speakers.get(iface) ?? []) return { gateway, link };
    return undefined;
  }

  /** Whether the gateway's MAC is one that other routers have, too: that of a macvlan. */
  hasVirtualMac(iface: IfIndex): boolean {
    const holder = this.gatewayHolder(iface)?.link;
    return holder !== undefined && holder.index !== iface;
  }

  /** Interfaces that are captured, whether they are there or not. */
  get captured(): readonly IfIndex[] {
    return [...this.capturing];
  }

  link(iface: IfIndex): Link | undefined {
    return this.links.get(iface);
  }

  allLinks(): IterableIterator<Link> {
    return this.links.values();
  }

  linkNamed(name: string): Link | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  nameOf(iface: IfIndex): string | undefined {
    return this.links.get(iface)?.name;
  }

  /**
   * The LAN that an interface is on, as the index of its mobility interface. Virtual routers have their address on a
   * macvlan (VRRP, RFC 9568 section 7.3): that is the same LAN, and what is there is ours.
   */
  lanOf(iface: IfIndex): IfIndex {
    return this.lans.get(iface) ?? iface;
  }

  /** The macvlans of a LAN. */
  macvlansOn(iface: IfIndex): readonly Link[] {
    return [...this.lans].flatMap(([index, lan]) => (lan === iface ? (this.links.get(index) ?? []) : []));
  }

  /**
   * The MAC that we speak with on a LAN, as Ethernet source and as ARP sender: that of the interface that holds the
   * gateway (RFC 9568 section 8.1.2), so that a host's entry for it stays right when another router takes over. `name`:
   * in whose name; another gateway may have another MAC, and our own address has that of its interface. undefined: the
   * interface is gone.
   */
  speakingMac(iface: IfIndex, name?: Ip): Mac | undefined {
    const speakers = this.speakers.get(iface);
    if (name !== undefined && !this.gateways.has(name) && this.isLocalOn(name, iface))
      return this.holderOn(name, iface)?.mac;
    if (speakers === undefined || this.silent.has(iface)) return this.links.get(iface)?.mac;
    const speaker = name === undefined ? undefined : speakers.get(name);
    return (speaker ?? [...speakers.values()].find(({ index }) => index !== iface) ?? this.links.get(iface))
      ?.mac;
  }

  /** The interface of a LAN that has this address of ours, if one has it. */
  holderOn(ip: Ip, lan: IfIndex): Link | undefined {
    const holders = this.local.get(ip)?.filter((index) => this.lanOf(index) === lan);
    return holders?.[0] === undefined ? undefined : this.links.get(holders[0]);
  }

  /** The rule of a mobility interface; undefined for every other one. */
  rule(iface: IfIndex): InterfaceRule | undefined {
    return this.rules.get(iface);
  }

  /** A mobility interface over which a host could be reached now. */
  isUsable(iface: IfIndex): boolean {
    const link = this.links.get(iface);
    return link?.up === true && link.carrier && this.rules.has(iface);
  }

  /** Usable, and its answers are heard. */
  isListening(iface: IfIndex): boolean {
    return this.capturing.has(iface) && this.isUsable(iface);
  }

  isCapturing(iface: IfIndex): boolean {
    return this.capturing.has(iface);
  }

  /**
   * Whether a frame on `iface` with this MAC is to or from this machine: it is the MAC of the interface, of a macvlan on
   * it, of its master, or of a port of it. The MACs of other interfaces may be hosts': a macvtap device has that of its
   * guest.
   */
  isOwnMac(iface: IfIndex, mac: Mac): boolean {
    const owners = this.macOwners.get(mac);
    if (owners === undefined) return false;
    const master = this.links.get(iface)?.master;
    return owners.some(
      ({ index, master: ofOwner }) => this.lanOf(index) === iface || index === master || ofOwner === iface,
    );
  }

  /** Whether a mobility interface of this machine, any of them, has this MAC. A macvtap device has that of its guest. */
  isMobilityMac(mac: Mac): boolean {
    const owners = this.macOwners.get(mac);
    return (
      owners?.some((owner) => this.rules.has(this.lanOf(owner.index)) && owner.type !== 'macvtap') === true
    );
  }

  isLocal(ip: Ip): boolean {
    return this.local.has(ip);
  }

  isLocalOn(ip: Ip, iface: IfIndex): boolean {
    return this.holderOn(ip, iface) !== undefined;
  }

  /** A gateway address of the configuration. */
  isGateway(ip: Ip): boolean {
    return this.gateways.has(ip);
  }

  /** Prefixes allowed when the policy names none: the configured subnets, else those of the mobility interfaces. */
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
    return this.connected(ip, true)?.iface;
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
    const found = this.connected(ip, undefined);
    return found !== undefined && !found.mobility;
  }

  /**
   * Network or broadcast address of a connected subnet, or of a [[subnet]] whose gateway lies inside. A [[subnet]]
   * with its gateway elsewhere, or with none, is a routed block, in which every address is a host's.
   */
  isEdge(ip: Ip): boolean {
    for (const subnet of this.subnets) if (isSubnetEdge(subnet.address, ip)) return true;
    return this.policy.subnets.some(
      ({ prefix, gateways }) =>
        gateways.some((gateway) => contains(prefix, gateway)) && isSubnetEdge(prefix, ip),
    );
  }

  /**
   * Whether no router may speak for this address: addresses of one link or of none (RFC 1122 section 3.2.1.3, RFC 3927
   * section 7), and network and broadcast addresses. A configured gateway is answered even so (169.254.1.1).
   */
  isNeverAnswered(ip: Ip): boolean {
    return isUnroutable(ip) || this.isEdge(ip);
  }

  /** An address of ours on a LAN, of the family of `other` and not that one; where we are silent none of a gateway. */
  addressOn(iface: IfIndex, other: Ip): Ip | undefined {
    const isOurs = (ip: Ip) => !this.silent.has(iface) || !this.gateways.has(ip);
    const isUsable = ({ ip }: Prefix) => ip !== other && isIpv4(ip) === isIpv4(other) && isOurs(ip);
    return this.subnets.find((subnet) => subnet.iface === iface && isUsable(subnet.address))?.address.ip;
  }

  /**
   * Sender IP of a proof (design.md 3.2 "Prove"): on the host's own LAN its gateway if we have that there, else our
   * address there; towards a visitor the gateway it is configured with, so that RFC 826's merge rule repairs its stale
   * entry; else our address in its subnet; else our address on the receiving interface, else any. Never 0.0.0.0.
   */
  probeSource(iface: IfIndex, ip: Ip): Ip | undefined {
    // A question in the gateway's name would take its hosts away from the router that is active.
    if (this.silent.has(iface) || (this.deferring.has(iface) && !this.isHome(iface, ip)))
      return this.ownSource(iface, ip);
    const gateways = subnetOf(this.policy, ip)?.gateways ?? [];
    const here = gateways.find((gateway) => this.isLocalOn(gateway, iface));
    if (here !== undefined) return here;
    let onInterface: Ip | undefined;
    let inSubnet: Ip | undefined;
    let any: Ip | undefined;
    for (const { iface: index, address } of this.subnets) {
      if (isIpv4(address.ip) !== isIpv4(ip)) continue;
      const inside = contains(address, ip);
      if (index === iface && inside) return address.ip;
      if (inside) inSubnet ??= address.ip;
      if (index === iface) onInterface ??= address.ip;
      any ??= address.ip;
    }
    return gateways[0] ?? inSubnet ?? onInterface ?? any;
  }

  /** Our own address on a LAN, not a gateway's: in the subnet of `ip` if there is one. */
  ownSource(iface: IfIndex, ip: Ip): Ip | undefined {
    const inside = this.subnets.find(
      ({ iface: index, address }) =>
        index === iface && address.ip !== ip && contains(address, ip) && !this.gateways.has(address.ip),
    );
    return inside?.address.ip ?? this.addressOn(iface, ip);
  }

  /**
   * The address from which the kernel asks for a host at home, if that is another than the virtual router's. What it asked
   * for while the cable was out it asks for again up to a second late, and an answer to the virtual MAC does not tell it.
   */
  kernelSource(iface: IfIndex, ip: Ip): Ip | undefined {
    const isVirtual = this.speakingMac(iface) !== this.links.get(iface)?.mac;
    return isVirtual && this.isHome(iface, ip) ? this.ownSource(iface, ip) : undefined;
  }

  /**
   * An address of ours to ask a visitor in whose answer tells it nothing of its neighbours: outside of its subnet, on
   * the receiving interface if there is one. undefined: there is none but `gateway`.
   */
  outsideSource(iface: IfIndex, ip: Ip, gateway: Ip): Ip | undefined {
    let any: Ip | undefined;
    for (const { iface: index, address } of this.subnets) {
      if (isIpv4(address.ip) !== isIpv4(ip) || contains(address, ip)) continue;
      if (address.ip === gateway || address.ip === ip) continue;
      if (index === iface) return address.ip;
      any ??= address.ip;
    }
    return any;
  }

  private connected(
    ip: Ip,
    mobility: boolean | undefined,
  ): { iface: IfIndex; mobility: boolean } | undefined {
    let best: { iface: IfIndex; address: Prefix; mobility: boolean } | undefined;
    for (const subnet of this.subnets) {
      if (mobility !== undefined && subnet.mobility !== mobility) continue;
      if (!contains(subnet.address, ip)) continue;
      if (best === undefined || subnet.address.length > best.address.length) best = subnet;
    }
    return best;
  }

  private derive(): void {
    const { rules, lowers } = findLans(this.links, this.policy);
    this.rules = rules;
    this.lans = lowers;
    this.speakers.clear();
    this.local.clear();
    this.macOwners.clear();
    this.subnets = [];
    this.gateways = new Set(this.policy.subnets.flatMap((subnet) => subnet.gateways));
    for (const link of this.links.values()) {
      const lan = this.lanOf(link.index);
      const mobility = this.rules.has(lan);
      if (link.mac !== 0) {
        const owners = this.macOwners.get(link.mac);
        if (owners === undefined) this.macOwners.set(link.mac, [link]);
        else owners.push(link);
      }
      for (const address of link.addresses) {
        this.local.set(address.ip, [...(this.local.get(address.ip) ?? []), link.index]);
        if (isSubnetAddress(address)) {
          this.subnets.push({ iface: lan, address, mobility });
        }
        if (mobility && link.up && link.carrier && this.gateways.has(address.ip)) {
          const speakers = this.speakers.get(lan) ?? new Map<Ip, Link>();
          // Where both have it, hosts are to use the one that other routers can have, too.
          if (lan !== link.index || !speakers.has(address.ip)) speakers.set(address.ip, link);
          this.speakers.set(lan, speakers);
        }
      }
    }
    this.allowed =
      this.policy.subnets.length > 0
        ? this.policy.subnets.map((subnet) => subnet.prefix)
        : this.subnets
            .filter(({ mobility, address }) => mobility && address.length < hostLength(address.ip))
            .map(({ address }) => address);
  }
}
