import {
  type Family,
  type Ip,
  type Mac,
  type Prefix,
  contains,
  familyOf,
  formatPrefix,
  hostLength,
  isIpv4,
  isLinkLocal,
  isLoopback,
  isSubnetEdge,
  isUnroutable,
  networkOf,
} from '../../wire/addresses.js';
import type { IfIndex, Link } from '../events.js';
import { type Lans, findLans } from './lans.js';
import { type InterfaceRule, type Policy, allowedByDefault } from '../policy.js';
import { ipv4Sources } from '../sources/ipv4.js';
import { ipv6Sources } from '../sources/ipv6.js';
import type { SourceRules, SourceView } from '../sources/sources.js';

function put<T>(set: Set<T>, element: T, isIn: boolean): void {
  if (isIn) set.add(element);
  else set.delete(element);
}

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** Interfaces of which something is true for one family, or for both. */
function ofEachFamily(): Readonly<Record<Family, Set<IfIndex>>> {
  return { ipv4: new Set(), ipv6: new Set() };
}

/**
 * Whether an address means something on one link only (fe80::/10): each interface may have the same one, and no host
 * could be away from it.
 */
export function isOfOneLink(ip: Ip): boolean {
  return !isIpv4(ip) && isLinkLocal(ip);
}

/** Whether the kernel does this family there. What it does not do is, for its hosts, a link that is down. */
export function servesFamilyOf({ hasIpv6 }: Link, ip: Ip): boolean {
  return isIpv4(ip) || hasIpv6 !== false;
}

/** Whether another machine has this address of the interface, so that the kernel neither answers for it nor uses it. */
function isDuplicate({ duplicates }: Link, ip: Ip): boolean {
  return duplicates?.includes(ip) === true;
}

/** An address of an interface, and the prefix that is on its LAN. */
export interface ConnectedSubnet {
  /** The LAN, by its mobility interface. */
  readonly iface: IfIndex;
  readonly address: Prefix;
  readonly mobility: boolean;
}

/**
 * The box itself: its interfaces, which of them are mobility interfaces, its addresses, and what follows from them
 * for an address: where it is at home, who it may be proven by.
 */
export class Topology {
  private readonly links = new Map<IfIndex, Link>();
  private rules: Lans['rules'] = new Map();
  private readonly capturing = new Set<IfIndex>();
  /** Our addresses, and by LAN who has one: a shared gateway is on every LAN. */
  private readonly local = new Map<Ip, Map<IfIndex, Link>>();
  private readonly macOwners = new Map<Mac, Link[]>();
  /** Macvlans that are part of a mobility interface's LAN, and that interface. */
  private lans: Lans['lowers'] = new Map();
  /** MACs of the interfaces of a LAN that hold a configured gateway, by gateway. */
  private readonly speakers = new Map<IfIndex, Map<Ip, Link>>();
  /** LANs on which another router is active: there we ask as ourselves, and say nothing in the gateway's name. */
  private readonly silent = ofEachFamily();
  /** LANs whose gateway another machine has although nobody has told us so: its visitors are left to that one. */
  private readonly deferring = ofEachFamily();
  /** LANs on which another router has the last word about hosts. */
  private readonly conceding = ofEachFamily();
  private gateways = new Set<Ip>();
  private subnets: ConnectedSubnet[] = [];
  /** IPv6 link-local addresses of ours by LAN, those of the mobility interface itself first. */
  private readonly linkLocals = new Map<IfIndex, readonly Ip[]>();
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
    for (const lans of [this.silent, this.conceding, this.deferring])
      for (const family of FAMILIES) lans[family].delete(iface);
    this.derive();
  }

  setCapturing(iface: IfIndex, open: boolean): void {
    if (open) this.capturing.add(iface);
    else this.capturing.delete(iface);
  }

  setSilent(iface: IfIndex, family: Family, isSilent: boolean): void {
    put(this.silent[family], iface, isSilent);
  }

  /** Whether we answer, announce and repair on this LAN (design.md 3.5), in the family of `ip`. */
  speaks(iface: IfIndex, ip: Ip): boolean {
    return !this.silent[familyOf(ip)].has(iface);
  }

  setDeferring(iface: IfIndex, family: Family, isDeferring: boolean): void {
    put(this.deferring[family], iface, isDeferring);
  }

  isDeferring(iface: IfIndex, family: Family): boolean {
    return this.deferring[family].has(iface);
  }

  /** Whether visitors on this LAN are left to another router, unless we are the one that announces them. */
  defers(iface: IfIndex, ip: Ip): boolean {
    return this.isDeferring(iface, familyOf(ip));
  }

  setContests(iface: IfIndex, family: Family, contests: boolean): void {
    put(this.conceding[family], iface, !contests);
  }

  isContesting(iface: IfIndex, family: Family): boolean {
    return !this.conceding[family].has(iface);
  }

  /** Whether a host that is alive on this LAN is ours, whoever else claims it. */
  contests(iface: IfIndex, ip: Ip): boolean {
    return this.isContesting(iface, familyOf(ip));
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

  /**
   * A gateway address of a family that is on an operational interface of a LAN, and that interface. Where the LAN has no
   * gateway of the family at all, whoever has one of the other family is active for both.
   */
  gatewayHolder(iface: IfIndex, family: Family): { readonly gateway: Ip; readonly link: Link } | undefined {
    const lan = this.links.get(iface);
    if (lan?.up !== true || !lan.carrier) return undefined;
    const isOf = (gateway: Ip) => familyOf(gateway) === family;
    for (const [gateway, link] of this.speakers.get(iface) ?? []) if (isOf(gateway)) return { gateway, link };
    for (const gateway of this.gateways)
      if (isOf(gateway) && this.isGatewayOn(iface, gateway)) return undefined;
    for (const [gateway, link] of this.speakers.get(iface) ?? []) return { gateway, link };
    return undefined;
  }

  /** Whether the gateway's MAC is one that other routers have, too: that of a macvlan. */
  hasVirtualMac(iface: IfIndex, family: Family): boolean {
    const holder = this.gatewayHolder(iface, family)?.link;
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
   * in whose name; each gateway may have its own MAC, and our own address has that of its interface. undefined: the
   * interface is gone.
   */
  speakingMac(iface: IfIndex, name: Ip): Mac | undefined {
    const speakers = this.speakers.get(iface);
    if (!this.gateways.has(name) && this.isLocalOn(name, iface)) return this.holderOn(name, iface)?.mac;
    const speaker = this.speaks(iface, name) ? speakers?.get(name) : undefined;
    return speaker?.mac ?? this.familyMac(iface, familyOf(name));
  }

  /** The MAC with which we speak of others: that of a macvlan with a gateway, if there is one. A virtual router has one per family. */
  familyMac(iface: IfIndex, family: Family): Mac | undefined {
    if (!this.silent[family].has(iface))
      for (const [gateway, link] of this.speakers.get(iface) ?? [])
        if (link.index !== iface && familyOf(gateway) === family) return link.mac;
    return this.links.get(iface)?.mac;
  }

  /** The interface of a LAN that has this address of ours, if one has it. */
  holderOn(ip: Ip, lan: IfIndex): Link | undefined {
    return this.local.get(ip)?.get(lan);
  }

  /** The rule of a mobility interface; undefined for every other one. */
  rule(iface: IfIndex): InterfaceRule | undefined {
    return this.rules.get(iface);
  }

  /** A mobility interface over which a host could be reached now; with `ip`: that one. */
  isUsable(iface: IfIndex, ip?: Ip): boolean {
    const link = this.links.get(iface);
    const isServed = ip === undefined || link === undefined || servesFamilyOf(link, ip);
    return link?.up === true && link.carrier && isServed && this.rules.has(iface);
  }

  /** Usable, and its answers are heard. */
  isListening(iface: IfIndex, ip?: Ip): boolean {
    return this.capturing.has(iface) && this.isUsable(iface, ip);
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

  /** An address of this machine, on whichever interface. One that is of one link belongs to that interface alone. */
  isLocal(ip: Ip): boolean {
    return this.local.has(ip) && !isOfOneLink(ip);
  }

  isLocalOn(ip: Ip, iface: IfIndex): boolean {
    return this.holderOn(ip, iface) !== undefined;
  }

  /** Our IPv6 link-local addresses on a LAN, those of the mobility interface itself first. */
  linkLocalsOn(lan: IfIndex): readonly Ip[] {
    return this.linkLocals.get(lan) ?? [];
  }

  get connectedSubnets(): readonly ConnectedSubnet[] {
    return this.subnets;
  }

  /** A gateway address of the configuration. */
  isGateway(ip: Ip): boolean {
    return this.gateways.has(ip);
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

  // In whose name we ask: src/mobility/sources/.

  probeSource(iface: IfIndex, ip: Ip): Ip | undefined {
    return this.sources(ip).probeSource(this.view, iface, ip);
  }

  ownSource(iface: IfIndex, ip: Ip): Ip | undefined {
    return this.sources(ip).ownSource(this.view, iface, ip);
  }

  addressOn(iface: IfIndex, other: Ip): Ip | undefined {
    return this.sources(other).addressOn(this.view, iface, other);
  }

  outsideSource(iface: IfIndex, ip: Ip, gateway: Ip): Ip | undefined {
    return this.sources(ip).outsideSource(this.view, iface, ip, gateway);
  }

  gatewaysToRepair(iface: IfIndex, ip: Ip): readonly Ip[] {
    return this.sources(ip).gatewaysToRepair(this.view, iface, ip);
  }

  /**
   * The address from which the kernel asks for a host at home, if that is another than the virtual router's. What it asked
   * for while the cable was out it asks for again up to a second late, and an answer to the virtual MAC does not tell it.
   */
  kernelSource(iface: IfIndex, ip: Ip): Ip | undefined {
    const isVirtual = this.speakingMac(iface, ip) !== this.links.get(iface)?.mac;
    return isVirtual && this.isHome(iface, ip) ? this.ownSource(iface, ip) : undefined;
  }

  private sources(ip: Ip): SourceRules {
    return isIpv4(ip) ? ipv4Sources : ipv6Sources;
  }

  private get view(): SourceView {
    return { policy: this.policy, topology: this };
  }

  private connected(ip: Ip, mobility: boolean | undefined): ConnectedSubnet | undefined {
    let best: ConnectedSubnet | undefined;
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
    this.deriveLinkLocals();
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
        if (!isLoopback(address.ip) && !isOfOneLink(address.ip))
          this.subnets.push({ iface: lan, address, mobility });
        if (isDuplicate(link, address.ip)) continue;
        const holders = this.local.get(address.ip) ?? new Map<IfIndex, Link>();
        this.local.set(address.ip, holders);
        if (!holders.has(lan)) holders.set(lan, link);
        if (!servesFamilyOf(link, address.ip)) continue;
        if (mobility && link.up && link.carrier && this.gateways.has(address.ip)) {
          const speakers = this.speakers.get(lan) ?? new Map<Ip, Link>();
          // Where both have it, hosts are to use the one that other routers can have, too.
          if (lan !== link.index || !speakers.has(address.ip)) speakers.set(address.ip, link);
          this.speakers.set(lan, speakers);
        }
      }
    }
    const connected = this.subnets.flatMap(({ mobility, address }) =>
      mobility && address.length < hostLength(address.ip) ? [address] : [],
    );
    this.allowed = allowedByDefault(this.policy, FAMILIES, connected);
  }

  private deriveLinkLocals(): void {
    this.linkLocals.clear();
    for (const ofMacvlans of [false, true])
      for (const link of this.links.values()) {
        const { index, addresses } = link;
        const lan = this.lanOf(index);
        const ips = addresses.flatMap(({ ip }) => (isOfOneLink(ip) && !isDuplicate(link, ip) ? [ip] : []));
        if (ips.length === 0 || (lan !== index) !== ofMacvlans) continue;
        this.linkLocals.set(lan, [...(this.linkLocals.get(lan) ?? []), ...ips]);
      }
  }
}
