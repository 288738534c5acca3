import {
  type Family,
  type Ip,
  type Mac,
  familyOf,
  isIpv4,
  isLoopback,
  isOfOneLink,
} from '../../wire/addresses.js';
import type { IfIndex, Link } from '../events.js';
import { type Lans, findLans } from './lans.js';
import type { InterfaceRule, Policy } from '../policy.js';
import { ipv4Sources } from '../sources/ipv4.js';
import { ipv6Sources } from '../sources/ipv6.js';
import { LanRoles } from '../routers/lan-roles.js';
import type { SourceRules, SourceView } from '../sources/sources.js';
import { type ConnectedSubnet, Subnets } from './subnets.js';

/** Whether the kernel does this family there. What it does not do is, for its hosts, a link that is down. */
export function servesFamilyOf({ hasIpv6 }: Link, ip: Ip): boolean {
  return isIpv4(ip) || hasIpv6 !== false;
}

/** Whether another machine has this address of the interface, so that the kernel neither answers for it nor uses it. */
function isDuplicate({ duplicates }: Link, ip: Ip): boolean {
  return duplicates?.includes(ip) === true;
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
  private gateways = new Set<Ip>();
  readonly subnets: Subnets;
  readonly roles = new LanRoles();
  /** IPv6 link-local addresses of ours by LAN, those of the mobility interface itself first. */
  private readonly linkLocals = new Map<IfIndex, readonly Ip[]>();

  constructor(private policy: Policy) {
    this.subnets = new Subnets(policy);
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
    this.roles.forget(iface);
    this.derive();
  }

  setCapturing(iface: IfIndex, open: boolean): void {
    if (open) this.capturing.add(iface);
    else this.capturing.delete(iface);
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
      if (isOf(gateway) && this.subnets.isGatewayOn(iface, gateway)) return undefined;
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
    const speaker = this.roles.speaks(iface, name) ? speakers?.get(name) : undefined;
    return speaker?.mac ?? this.familyMac(iface, familyOf(name));
  }

  /** The MAC with which we speak of others: that of a macvlan with a gateway, if there is one. A virtual router has one per family. */
  familyMac(iface: IfIndex, family: Family): Mac | undefined {
    if (this.roles.speaksFamily(iface, family))
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

  /** A gateway address of the configuration. */
  isGateway(ip: Ip): boolean {
    return this.gateways.has(ip);
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
    return isVirtual && this.subnets.isHome(iface, ip) ? this.ownSource(iface, ip) : undefined;
  }

  private sources(ip: Ip): SourceRules {
    return isIpv4(ip) ? ipv4Sources : ipv6Sources;
  }

  private get view(): SourceView {
    return { policy: this.policy, topology: this };
  }

  private derive(): void {
    const { rules, lowers } = findLans(this.links, this.policy);
    this.rules = rules;
    this.lans = lowers;
    this.speakers.clear();
    this.local.clear();
    this.macOwners.clear();
    const connected: ConnectedSubnet[] = [];
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
          connected.push({ iface: lan, address, mobility });
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
    this.subnets.set(this.policy, connected);
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
