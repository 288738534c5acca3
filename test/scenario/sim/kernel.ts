import {
  type Family,
  familyOf,
  hostLength,
  type Ip,
  isIpv4,
  isLinkLocal,
  type Mac,
  networkOf,
  type Prefix,
} from '../../../src/wire/addresses.js';
import { ETHER_TYPE_IPV6, etherTypeOf } from '../../../src/wire/ethernet.js';
import type { IfIndex, Link, Route } from '../../../src/mobility/events.js';
import type { Clock } from './clock.js';
import { keyOf } from './prefix-key.js';
import type { Packet, Segment, Station } from './segment.js';
import { announceByArp, askByArp, type KernelPort, receiveArp } from './stack/kernel-arp.js';
import { announceByNd, askByNd, receiveNd } from './stack/kernel-nd.js';
import { Neighbours } from './stack/neighbours.js';

export const PROTOCOL_KERNEL = 2;
export const PROTOCOL_OSPF = 188;
export const PROTOCOL_MARPD = 44;
export const TABLE_MAIN = 254;

const MAX_HOPS = 16;

/** What the rooms around the kernel listen to. */
export interface KernelListener {
  route(change: 'add' | 'delete', route: Route): void;
  link(link: Link): void;
  neighbour(iface: IfIndex, ip: Ip, mac: Mac | undefined): void;
  frame(iface: IfIndex, bytes: Uint8Array): void;
  /** An IP packet of somebody to a MAC that is not ours. */
  packet?(iface: IfIndex, bytes: Uint8Array): void;
}

interface Port extends Station {
  readonly iface: IfIndex;
}

/** Metric of the routes that the kernel adds by itself. */
const CONNECTED_METRIC = { ipv4: 0, ipv6: 256 } as const;

/** A Linux box as design.md 5 describes it, as far as a first-hop router meets it. */
export class SimKernel {
  readonly listeners = new Set<KernelListener>();
  readonly neighbours = new Map<IfIndex, Neighbours>();
  private readonly links = new Map<IfIndex, Link>();
  private readonly ports = new Map<IfIndex, { readonly port: Port; readonly segment: Segment }>();
  private readonly routes = new Map<string, Route[]>();
  /** Prefix lengths of all routes that there ever were, the longest first. */
  private readonly lengths: Readonly<Record<Family, number[]>> = { ipv4: [], ipv6: [] };
  /** Routers behind the interfaces that are no LAN, by interface and address. */
  private readonly peers = new Map<string, (packet: Packet, hops: number) => boolean>();
  /** The addresses of an interface that its administrator gives back to it. */
  private readonly configured = new Map<IfIndex, readonly Prefix[]>();

  /** Off: it hears and says nothing. */
  powered = true;

  constructor(private readonly clock: Clock) {}

  addLink(link: Link, segment: Segment | undefined): void {
    this.links.set(link.index, link);
    if (segment !== undefined) {
      const port: Port = {
        iface: link.index,
        mac: link.mac,
        // A macvlan takes what is for its MAC; marpd captures on the interface below.
        promiscuous: link.lower === undefined,
        box: this,
        listening: () => this.isRunning(link.index),
        receive: (bytes) => this.receive(link.index, bytes),
        overhear: (bytes) => {
          for (const listener of this.listeners) listener.packet?.(link.index, bytes);
        },
        forward: (packet, hops) => this.forwardFrom(link.index, packet, hops),
      };
      segment.add(port);
      this.ports.set(link.index, { port, segment });
      const ask = (ip: Ip, mac: Mac | undefined): void => this.ask(link.index, ip, mac);
      this.neighbours.set(
        link.index,
        new Neighbours(this.clock, ask, (ip, mac) => {
          for (const listener of this.listeners) listener.neighbour(link.index, ip, mac);
        }),
      );
    }
    this.addConnected(link);
  }

  private isRunning(iface: IfIndex): boolean {
    const link = this.links.get(iface);
    return this.powered && link?.up === true && link.carrier;
  }

  /** After a power loss: what was configured is there again, and nothing else. */
  reset(): void {
    this.routes.clear();
    for (const neighbours of this.neighbours.values()) neighbours.flush(false);
    this.powered = true;
    for (const link of this.links.values()) this.addConnected(link);
  }

  setAddresses(iface: IfIndex, addresses: readonly Prefix[]): void {
    const link = { ...this.link(iface), addresses };
    this.links.set(iface, link);
    for (const listener of this.listeners) listener.link(link);
    this.addConnected(link);
  }

  /** Tells the LAN that the addresses of an interface are at this MAC. */
  announce(iface: IfIndex, mac: Mac): void {
    const port = this.port(iface);
    if (port === undefined) return;
    for (const { ip } of port.link.addresses) {
      if (isIpv4(ip)) announceByArp(port, ip, mac);
      else announceByNd(port, ip, mac);
    }
  }

  addPeer(iface: IfIndex, ip: Ip, deliver: (packet: Packet, hops: number) => boolean): void {
    this.peers.set(`${iface} ${ip}`, deliver);
  }

  allLinks(): IterableIterator<Link> {
    return this.links.values();
  }

  link(iface: IfIndex): Link {
    const link = this.links.get(iface);
    if (link === undefined) throw new Error(`no interface ${iface}`);
    return link;
  }

  /**
   * Admin down deletes routes and neighbours: those of IPv4 without any route event (design.md 5.6); those of IPv6 with
   * one each, after the event of the link, and its IPv6 addresses with them (keep_addr_on_down = 0). Whoever brings the
   * interface up gives it its addresses again.
   */
  setAdmin(iface: IfIndex, up: boolean): void {
    const before = this.link(iface);
    if (!up) this.configured.set(iface, before.addresses);
    const addresses = up
      ? (this.configured.get(iface) ?? before.addresses)
      : before.addresses.filter(({ ip }) => isIpv4(ip));
    const link = { ...before, up, addresses };
    this.links.set(iface, link);
    const told = up ? [] : this.dropRoutes(iface);
    if (!up) this.neighbours.get(iface)?.flush(false);
    for (const listener of this.listeners) listener.link(link);
    for (const route of told) for (const listener of this.listeners) listener.route('delete', route);
    if (up) this.addConnected(link);
  }

  /** `disable_ipv6`, or an MTU below 1280: everything of IPv6 on the interface is gone, and told; the link is not. */
  setIpv6(iface: IfIndex, on: boolean): void {
    const before = this.link(iface);
    if (!on) this.configured.set(iface, before.addresses);
    const addresses = on
      ? (this.configured.get(iface) ?? before.addresses)
      : before.addresses.filter(({ ip }) => isIpv4(ip));
    const link = { ...before, addresses, hasIpv6: on };
    this.links.set(iface, link);
    if (!on) {
      for (const route of this.dropRoutes(iface, ({ prefix }) => !isIpv4(prefix.ip)))
        for (const listener of this.listeners) listener.route('delete', route);
      const neighbours = this.neighbours.get(iface);
      for (const [ip] of [...(neighbours?.all() ?? [])]) if (!isIpv4(ip)) neighbours?.remove(ip);
    }
    for (const listener of this.listeners) listener.link(link);
    if (on) this.addConnected(link);
  }

  setCarrier(iface: IfIndex, carrier: boolean): void {
    const link = { ...this.link(iface), carrier };
    this.links.set(iface, link);
    if (!carrier) this.neighbours.get(iface)?.flush(true);
    for (const listener of this.listeners) listener.link(link);
  }

  /** `ip route replace`: a route's identity includes its metric (design.md 5.7). False when its interface is down. */
  replaceRoute(route: Route): boolean {
    const link = route.iface === undefined ? undefined : this.links.get(route.iface);
    if (route.iface !== undefined && link?.up !== true) return false;
    if (link?.hasIpv6 === false && !isIpv4(route.prefix.ip)) return false;
    this.noteLength(route.prefix);
    const at = keyOf(route.prefix);
    const routes = (this.routes.get(at) ?? []).filter(
      (other) => other.metric !== route.metric || other.table !== route.table,
    );
    this.routes.set(at, [...routes, route]);
    for (const listener of this.listeners) listener.route('add', route);
    return true;
  }

  deleteRoute(prefix: Prefix, metric: number, protocol: number): boolean {
    const at = keyOf(prefix);
    const routes = this.routes.get(at) ?? [];
    const gone = routes.find((route) => route.metric === metric && route.protocol === protocol);
    if (gone === undefined) return false;
    const kept = routes.filter((route) => route !== gone);
    if (kept.length > 0) this.routes.set(at, kept);
    else this.routes.delete(at);
    for (const listener of this.listeners) listener.route('delete', gone);
    return true;
  }

  allRoutes(): Route[] {
    return [...this.routes.values()].flat();
  }

  hostRoutes(ip: Ip): readonly Route[] {
    return this.routes.get(keyOf({ ip, length: hostLength(ip) })) ?? [];
  }

  /** Longest prefix, then lowest metric. */
  lookup(ip: Ip): Route | undefined {
    for (const length of this.lengths[familyOf(ip)]) {
      const routes = this.routes.get(keyOf({ ip, length }));
      if (routes === undefined) continue;
      return routes.reduce((best, route) => (route.metric < best.metric ? route : best));
    }
    return undefined;
  }

  private noteLength({ ip, length }: Prefix): void {
    const lengths = this.lengths[familyOf(ip)];
    if (!lengths.includes(length)) lengths.push(length);
    lengths.sort((one, other) => other - one);
  }

  isLocal(ip: Ip): boolean {
    if (isLinkLocal(ip)) return false;
    for (const link of this.links.values())
      if (link.addresses.some((address) => address.ip === ip)) return true;
    return false;
  }

  forward(packet: Packet, hops: number): boolean {
    if (hops > MAX_HOPS || !this.powered) return false;
    if (this.isLocal(packet.to)) return true;
    const route = this.lookup(packet.to);
    if (route?.iface === undefined) return false;
    const link = this.link(route.iface);
    if (!link.up || !link.carrier) return false;
    if (route.via !== undefined)
      return this.peers.get(`${route.iface} ${route.via}`)?.(packet, hops + 1) ?? false;
    const attached = this.ports.get(route.iface);
    if (attached === undefined) return false;
    const mac = this.neighbours.get(route.iface)?.use(packet.to);
    return mac !== undefined && attached.segment.carry(attached.port, mac, packet, hops + 1);
  }

  transmit(iface: IfIndex, bytes: Uint8Array): void {
    const attached = this.ports.get(iface);
    const link = this.links.get(iface);
    if (attached !== undefined && this.powered && link?.up === true && link.carrier)
      attached.segment.transmit(attached.port, bytes);
  }

  private forwardFrom(iface: IfIndex, packet: Packet, hops: number): boolean {
    return this.acceptsSource(iface, packet.from) && this.forward(packet, hops);
  }

  /** rp_filter: strict wants the way back through the same interface, loose any way back. */
  private acceptsSource(iface: IfIndex, source: Ip): boolean {
    const { rpFilter } = this.link(iface);
    // (IPv6 has no such filter.)
    if (rpFilter === 0 || !isIpv4(source)) return true;
    const back = this.lookup(source);
    return back !== undefined && (rpFilter === 2 || back.iface === iface);
  }

  private receive(iface: IfIndex, bytes: Uint8Array): void {
    if (this.link(iface).lower === undefined)
      for (const listener of this.listeners) listener.frame(iface, bytes);
    const port = this.port(iface);
    if (port === undefined) return;
    if (etherTypeOf(bytes) !== ETHER_TYPE_IPV6) receiveArp(port, bytes);
    else if (port.link.hasIpv6 !== false) receiveNd(port, bytes);
  }

  private ask(iface: IfIndex, ip: Ip, mac: Mac | undefined): void {
    const port = this.port(iface);
    if (port === undefined) return;
    if (isIpv4(ip)) askByArp(port, ip, mac);
    else askByNd(port, ip, mac);
  }

  private port(iface: IfIndex): KernelPort | undefined {
    const neighbours = this.neighbours.get(iface);
    return (
      neighbours && {
        link: this.link(iface),
        neighbours,
        clock: this.clock,
        transmit: (bytes) => this.transmit(iface, bytes),
        acceptsSource: (ip) => this.acceptsSource(iface, ip),
      }
    );
  }

  /** Takes the routes by an interface out of the table; those that the kernel tells about. */
  private dropRoutes(iface: IfIndex, which: (route: Route) => boolean = () => true): Route[] {
    const dropped: Route[] = [];
    for (const [at, routes] of this.routes) {
      const kept = routes.filter((route) => route.iface !== iface || !which(route));
      if (kept.length === routes.length) continue;
      dropped.push(...routes.filter((route) => !kept.includes(route) && !isIpv4(route.prefix.ip)));
      if (kept.length > 0) this.routes.set(at, kept);
      else this.routes.delete(at);
    }
    return dropped;
  }

  private addConnected(link: Link): void {
    for (const address of link.addresses) {
      // Its own host route is in the local table; fe80::/64 is on every interface, and nobody forwards by it.
      if (address.length === hostLength(address.ip) || isLinkLocal(address.ip)) continue;
      this.replaceRoute({
        prefix: { ip: networkOf(address.ip, address.length), length: address.length },
        table: TABLE_MAIN,
        protocol: PROTOCOL_KERNEL,
        metric: CONNECTED_METRIC[familyOf(address.ip)],
        type: 'unicast',
        iface: link.index,
        via: undefined,
      });
    }
  }
}
