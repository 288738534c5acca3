import {
  contains,
  hostLength,
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  networkOf,
  type Prefix,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame, decodeArp, encodeArp } from '../../../src/wire/arp.js';
import type { IfIndex, Link, Route } from '../../../src/mobility/events.js';
import type { Clock } from './clock.js';
import { arpFrame, Neighbours } from './neighbours.js';
import type { Packet, Segment, Station } from './segment.js';

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

function key(prefix: Prefix): string {
  return `${String(networkOf(prefix.ip, prefix.length))}/${prefix.length}`;
}

/** The IPv4 half of a Linux box that design.md 5 describes, as far as a first-hop router meets it. */
export class SimKernel {
  readonly listeners = new Set<KernelListener>();
  readonly neighbours = new Map<IfIndex, Neighbours>();
  private readonly links = new Map<IfIndex, Link>();
  private readonly ports = new Map<IfIndex, { readonly port: Port; readonly segment: Segment }>();
  private readonly routes = new Map<string, Route[]>();
  /** Routers behind the interfaces that are no LAN, by their address. */
  private readonly peers = new Map<Ip, (packet: Packet, hops: number) => boolean>();

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
      const ask = (ip: Ip, mac: Mac | undefined): void => this.ask(link.index, ip as Ipv4, mac);
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

  /** Gratuitous ARP for the addresses of an interface. */
  announce(iface: IfIndex, mac: Mac): void {
    for (const { ip } of this.link(iface).addresses) {
      const self = { mac, ip: ip as Ipv4 };
      this.transmit(
        iface,
        encodeArp(arpFrame(ARP_REQUEST, self, { mac: MAC_ZERO, ip: ip as Ipv4 }, MAC_BROADCAST)),
      );
    }
  }

  addPeer(ip: Ip, deliver: (packet: Packet, hops: number) => boolean): void {
    this.peers.set(ip, deliver);
  }

  allLinks(): IterableIterator<Link> {
    return this.links.values();
  }

  link(iface: IfIndex): Link {
    const link = this.links.get(iface);
    if (link === undefined) throw new Error(`no interface ${iface}`);
    return link;
  }

  /** Admin down deletes routes and neighbours without any route event (design.md 5.6). */
  setAdmin(iface: IfIndex, up: boolean): void {
    const link = { ...this.link(iface), up };
    this.links.set(iface, link);
    if (!up) {
      for (const [at, routes] of this.routes) {
        const kept = routes.filter((route) => route.iface !== iface);
        if (kept.length > 0) this.routes.set(at, kept);
        else this.routes.delete(at);
      }
      this.neighbours.get(iface)?.flush(false);
    }
    for (const listener of this.listeners) listener.link(link);
    if (up) this.addConnected(link);
  }

  setCarrier(iface: IfIndex, carrier: boolean): void {
    const link = { ...this.link(iface), carrier };
    this.links.set(iface, link);
    if (!carrier) this.neighbours.get(iface)?.flush(true);
    for (const listener of this.listeners) listener.link(link);
  }

  /** `ip route replace`: a route's identity includes its metric (design.md 5.7). False when its interface is down. */
  replaceRoute(route: Route): boolean {
    if (route.iface !== undefined && this.links.get(route.iface)?.up !== true) return false;
    const at = key(route.prefix);
    const routes = (this.routes.get(at) ?? []).filter(
      (other) => other.metric !== route.metric || other.table !== route.table,
    );
    this.routes.set(at, [...routes, route]);
    for (const listener of this.listeners) listener.route('add', route);
    return true;
  }

  deleteRoute(prefix: Prefix, metric: number, protocol: number): boolean {
    const at = key(prefix);
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
    return this.routes.get(key({ ip, length: hostLength(ip) })) ?? [];
  }

  /** Longest prefix, then lowest metric. */
  lookup(ip: Ip): Route | undefined {
    for (let length: number = hostLength(ip); length >= 0; length--) {
      const routes = this.routes.get(key({ ip, length }));
      if (routes === undefined) continue;
      return routes.reduce((best, route) => (route.metric < best.metric ? route : best));
    }
    return undefined;
  }

  isLocal(ip: Ip): boolean {
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
    if (route.via !== undefined) return this.peers.get(route.via)?.(packet, hops + 1) ?? false;
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
    if (rpFilter === 0) return true;
    const back = this.lookup(source);
    return back !== undefined && (rpFilter === 2 || back.iface === iface);
  }

  private receive(iface: IfIndex, bytes: Uint8Array): void {
    if (this.link(iface).lower === undefined)
      for (const listener of this.listeners) listener.frame(iface, bytes);
    const frame = decodeArp(bytes);
    if (typeof frame === 'string') return;
    const link = this.link(iface);
    if (frame.destination !== link.mac && frame.destination !== MAC_BROADCAST) return;
    this.hearArp(link, frame);
  }

  private hearArp(link: Link, frame: ArpFrame): void {
    // arp_ignore=1: only addresses of the interface itself are answered for.
    const toUs = link.addresses.some((address) => address.ip === frame.targetIp);
    const accepted = frame.senderIp === 0 || this.acceptsSource(link.index, frame.senderIp);
    if (toUs && frame.opcode === ARP_REQUEST && accepted) {
      const self = { mac: link.mac, ip: frame.targetIp };
      const asker = { mac: frame.senderMac, ip: frame.senderIp };
      this.clock.after(this.clock.between(0.02, 0.05), () =>
        this.transmit(link.index, encodeArp(arpFrame(ARP_REPLY, self, asker, frame.senderMac))),
      );
    }
    this.neighbours.get(link.index)?.hear(frame, toUs && accepted, frame.destination === link.mac);
  }

  private ask(iface: IfIndex, ip: Ipv4, mac: Mac | undefined): void {
    const link = this.link(iface);
    const source = link.addresses.find((address) => contains(address, ip)) ?? link.addresses[0];
    if (source === undefined) return;
    const self = { mac: link.mac, ip: source.ip as Ipv4 };
    const target = { mac: mac ?? MAC_ZERO, ip };
    this.transmit(iface, encodeArp(arpFrame(ARP_REQUEST, self, target, mac ?? MAC_BROADCAST)));
  }

  private addConnected(link: Link): void {
    for (const address of link.addresses) {
      // Its own /32 is in the local table.
      if (address.length === hostLength(address.ip)) continue;
      this.replaceRoute({
        prefix: { ip: networkOf(address.ip, address.length), length: address.length },
        table: TABLE_MAIN,
        protocol: PROTOCOL_KERNEL,
        metric: 0,
        type: 'unicast',
        iface: link.index,
        via: undefined,
      });
    }
  }
}
