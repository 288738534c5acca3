import { type Family, familyOf, hostLength, type Ip, type Prefix } from '../../../src/wire/addresses.js';
import type { Link, Route } from '../../../src/mobility/events.js';
import type { Clock } from './clock.js';
import {
  type KernelListener,
  PROTOCOL_KERNEL,
  PROTOCOL_MARPD,
  PROTOCOL_OSPF,
  type SimKernel,
  TABLE_MAIN,
} from './kernel.js';
import { keyOf, prefixOf } from './prefix-key.js';
import type { NodeName } from '../world.js';

/**
 * A routing engine per router, with the facts of design.md 3.3: zebra reads the top byte of a kernel route's metric as
 * its distance; only a route that is best in zebra is announced; a remote route is in the kernel only while it is
 * best; and a kernel route that goes within 20 ms after a remote one came stays announced for ever.
 */

export interface EngineTimes {
  /** From one router's database to the next one's. */
  readonly hopMs: readonly [number, number];
  /** From zebra's choice to the announcement; what changes meanwhile goes out as one. */
  readonly originateMs: readonly [number, number];
  /** Kernel to zebra, and zebra to kernel. */
  readonly kernelMs: readonly [number, number];
  /** A kernel route deleted this soon after a remote one appeared leaves a stuck route. */
  readonly earlyReleaseMs: number;
}

const DISTANCE_OSPF = 110;
const HOP_COST = 10;
const REMOTE_METRIC = 20;
/** The route-map of config/frr: our two metrics and nothing else. */
const COST_OF_METRIC: ReadonlyMap<number, number> = new Map([
  [1, 10],
  [2, 100],
]);
const CONNECTED_COST = 10;

interface Advertisement {
  readonly prefix: Prefix;
  readonly sequence: number;
  /** undefined: withdrawn. */
  readonly cost: number | undefined;
}

interface OwnEntry {
  readonly distance: number;
  readonly cost: number;
}

export class RoutingDomain {
  readonly nodes = new Map<NodeName, RoutingNode>();
  /** What routers said before they booted last is nowhere any more: sequences from which on they count. */
  readonly flushed = new Map<NodeName, number>();
  private readonly links: { readonly ends: readonly [NodeName, NodeName]; up: boolean }[] = [];

  constructor(
    readonly clock: Clock,
    readonly times: EngineTimes,
  ) {}

  addNode(name: NodeName, kernel: SimKernel): RoutingNode {
    const node = new RoutingNode(name, kernel, this);
    this.nodes.set(name, node);
    return node;
  }

  connect(a: NodeName, b: NodeName): void {
    this.links.push({ ends: [a, b], up: true });
  }

  setLink(a: NodeName, b: NodeName, up: boolean): void {
    for (const link of this.links) {
      if (link.ends.includes(a) && link.ends.includes(b)) link.up = up;
    }
    for (const node of this.nodes.values()) node.recomputeAll();
    if (!up) return;
    this.nodes.get(a)?.synchronize(b);
    this.nodes.get(b)?.synchronize(a);
  }

  /** A router boots: what it announced before is flushed before anybody uses it again. */
  reset(name: NodeName): void {
    this.flushed.set(name, this.nodes.get(name)?.nextSequence ?? 0);
    for (const node of this.nodes.values()) node.forget(name);
  }

  isUp(a: NodeName, b: NodeName): boolean {
    return this.links.some((link) => link.up && link.ends.includes(a) && link.ends.includes(b));
  }

  peersOf(name: NodeName): NodeName[] {
    return this.links
      .filter((link) => link.up && link.ends.includes(name))
      .map((link) => (link.ends[0] === name ? link.ends[1] : link.ends[0]));
  }

  /** First hop and number of hops to every node that can be reached. */
  paths(from: NodeName): Map<NodeName, { readonly first: NodeName; readonly hops: number }> {
    const found = new Map<NodeName, { readonly first: NodeName; readonly hops: number }>();
    let edge: { readonly node: NodeName; readonly first: NodeName | undefined }[] = [
      { node: from, first: undefined },
    ];
    for (let hops = 1; edge.length > 0; hops++) {
      const next: typeof edge = [];
      for (const { node, first } of edge) {
        for (const peer of this.peersOf(node)) {
          if (peer === from || found.has(peer)) continue;
          found.set(peer, { first: first ?? peer, hops });
          next.push({ node: peer, first: first ?? peer });
        }
      }
      edge = next;
    }
    return found;
  }

  /** Routers whose advertisement of a host stands in the database of `observer`. */
  announcers(observer: NodeName, ip: Ip): NodeName[] {
    const node = this.nodes.get(observer);
    return node === undefined ? [] : node.advertisersOf({ ip, length: hostLength(ip) });
  }
}

export class RoutingNode implements KernelListener {
  private readonly own = new Map<string, Map<number, OwnEntry>>();
  private readonly database = new Map<NodeName, Map<string, Advertisement>>();
  private readonly installed = new Map<string, { readonly via: NodeName; readonly prefix: Prefix }>();
  private readonly remoteSince = new Map<string, number>();
  private readonly stuckRoutes = new Map<string, Prefix>();
  /** Costs that wait to be announced. */
  private readonly wanted = new Map<string, number | undefined>();
  private readonly arrivals = new Map<NodeName, number>();
  private kernelBusyUntil = 0;
  private heardUntil = 0;
  private sequence = 0;
  /** Index of the interface towards each neighbouring router, and its addresses there. */
  readonly interfaces = new Map<
    NodeName,
    { readonly iface: number; readonly via: Readonly<Record<Family, Ip>> }
  >();

  constructor(
    readonly name: NodeName,
    private readonly kernel: SimKernel,
    private readonly domain: RoutingDomain,
  ) {
    this.database.set(name, new Map());
    kernel.listeners.add(this);
  }

  route(change: 'add' | 'delete', route: Route): void {
    if (route.protocol !== PROTOCOL_KERNEL && route.protocol !== PROTOCOL_MARPD) return;
    const { clock, times } = this.domain;
    this.heardUntil = Math.max(this.heardUntil, clock.now() + clock.between(...times.kernelMs));
    clock.at(this.heardUntil, () => this.hear(change, route));
  }

  /** zebra drops the routes of an interface that went down by itself: the kernel does not tell it. */
  link(link: Link): void {
    if (link.up) return;
    const kept = new Set(
      this.kernel.allRoutes().map((route) => `${keyOf(route.prefix)} ${route.metric & 0xff_ffff}`),
    );
    const { clock, times } = this.domain;
    this.heardUntil = Math.max(this.heardUntil, clock.now() + clock.between(...times.kernelMs));
    clock.at(this.heardUntil, () => {
      for (const [key, entries] of this.own) {
        for (const metric of [...entries.keys()]) {
          if (kept.has(`${key} ${metric}`)) continue;
          entries.delete(metric);
          this.haunt(key);
          this.recompute(key, prefixOf(key));
        }
      }
    });
  }

  get nextSequence(): number {
    return this.sequence;
  }

  neighbour(): void {}
  frame(): void {}

  /** All that this router said; of itself, all that it knows. */
  forget(origin: NodeName): void {
    if (origin !== this.name) {
      const known = this.database.get(origin) ?? new Map<string, Advertisement>();
      for (const [key, { prefix, sequence }] of known) {
        // An old copy that is still on its way is not newer than this.
        known.set(key, { prefix, sequence, cost: undefined });
        this.recompute(key, prefix);
      }
      return;
    }
    this.database.set(origin, new Map());
    for (const map of [this.own, this.installed, this.remoteSince, this.stuckRoutes, this.wanted])
      map.clear();
    for (const other of this.database.keys()) this.database.set(other, new Map());
  }

  advertisersOf(prefix: Prefix): NodeName[] {
    const key = keyOf(prefix);
    return [...this.database]
      .filter(([, known]) => known.get(key)?.cost !== undefined)
      .map(([origin]) => origin);
  }

  /** Tells a neighbour all that is known: the link between them came up. */
  synchronize(peer: NodeName): void {
    for (const [origin, known] of this.database) {
      for (const advertisement of known.values()) this.flood(origin, advertisement, [peer]);
    }
  }

  recomputeAll(): void {
    const keys = new Map<string, Prefix>();
    for (const known of this.database.values()) for (const [key, { prefix }] of known) keys.set(key, prefix);
    for (const [key, prefix] of keys) this.recompute(key, prefix);
  }

  private hear(change: 'add' | 'delete', route: Route): void {
    const key = keyOf(route.prefix);
    const low = route.metric & 0xff_ffff;
    const entries = this.own.get(key) ?? new Map<number, OwnEntry>();
    this.own.set(key, entries);
    if (change === 'add') {
      const cost = route.protocol === PROTOCOL_KERNEL ? CONNECTED_COST : COST_OF_METRIC.get(low);
      if (cost === undefined) return;
      entries.set(low, { distance: route.metric >>> 24, cost });
      this.stuckRoutes.delete(key);
    } else {
      entries.delete(low);
      this.haunt(key);
    }
    this.recompute(key, route.prefix);
  }

  private haunt(key: string): void {
    const since = this.remoteSince.get(key);
    if ((this.own.get(key)?.size ?? 0) > 0 || since === undefined) return;
    if (this.domain.clock.now() - since < this.domain.times.earlyReleaseMs)
      this.stuckRoutes.set(key, prefixOf(key));
  }

  private receive(origin: NodeName, advertisement: Advertisement, from: NodeName): void {
    if (origin === this.name || advertisement.sequence < (this.domain.flushed.get(origin) ?? 0)) return;
    const known = this.database.get(origin) ?? new Map<string, Advertisement>();
    this.database.set(origin, known);
    const key = keyOf(advertisement.prefix);
    if ((known.get(key)?.sequence ?? -1) >= advertisement.sequence) return;
    known.set(key, advertisement);
    this.flood(
      origin,
      advertisement,
      this.domain.peersOf(this.name).filter((peer) => peer !== from),
    );
    this.recompute(key, advertisement.prefix);
  }

  private flood(origin: NodeName, advertisement: Advertisement, peers: readonly NodeName[]): void {
    const { clock, times, nodes } = this.domain;
    for (const peer of peers) {
      const at = Math.max(this.arrivals.get(peer) ?? 0, clock.now() + clock.between(...times.hopMs));
      this.arrivals.set(peer, at);
      clock.at(at, () => {
        if (this.domain.isUp(this.name, peer)) nodes.get(peer)?.receive(origin, advertisement, this.name);
      });
    }
  }

  /** zebra's choice for one prefix, and what follows for kernel and neighbours. */
  private recompute(key: string, prefix: Prefix): void {
    const entries = [...(this.own.get(key)?.values() ?? [])];
    const own = entries.reduce<OwnEntry | undefined>(
      (best, entry) => (best === undefined || entry.distance < best.distance ? entry : best),
      undefined,
    );
    const remote = this.bestRemote(key);
    const remoteWins = remote !== undefined && (own === undefined || own.distance > DISTANCE_OSPF);
    this.advertise(key, prefix, this.stuckRoutes.has(key) ? 100 : remoteWins ? undefined : own?.cost);
    if (remoteWins) this.install(key, prefix, remote);
    else this.uninstall(key);
  }

  private bestRemote(key: string): NodeName | undefined {
    let best: { readonly cost: number; readonly first: NodeName } | undefined;
    for (const [origin, path] of this.domain.paths(this.name)) {
      const cost = this.database.get(origin)?.get(key)?.cost;
      if (cost === undefined) continue;
      const total = cost + path.hops * HOP_COST;
      if (best === undefined || total < best.cost) best = { cost: total, first: path.first };
    }
    return best?.first;
  }

  private advertise(key: string, prefix: Prefix, cost: number | undefined): void {
    const pending = this.wanted.has(key);
    this.wanted.set(key, cost);
    if (pending) return;
    const { clock, times } = this.domain;
    clock.after(clock.between(...times.originateMs), () => {
      const wanted = this.wanted.get(key);
      this.wanted.delete(key);
      const mine = this.database.get(this.name) as Map<string, Advertisement>;
      if (mine.get(key)?.cost === wanted) return;
      const advertisement = { prefix, sequence: this.sequence++, cost: wanted };
      mine.set(key, advertisement);
      this.flood(this.name, advertisement, this.domain.peersOf(this.name));
    });
  }

  private install(key: string, prefix: Prefix, via: NodeName): void {
    if (this.installed.get(key)?.via === via) return;
    this.installed.set(key, { via, prefix });
    if (!this.remoteSince.has(key)) this.remoteSince.set(key, this.domain.clock.now());
    const hop = this.interfaces.get(via);
    if (hop === undefined) throw new Error(`${this.name} has no interface towards ${via}`);
    this.toKernel(() =>
      this.kernel.replaceRoute({
        prefix,
        table: TABLE_MAIN,
        protocol: PROTOCOL_OSPF,
        metric: REMOTE_METRIC,
        type: 'unicast',
        iface: hop.iface,
        via: hop.via[familyOf(prefix.ip)],
      }),
    );
  }

  private uninstall(key: string): void {
    const installed = this.installed.get(key);
    if (installed === undefined) return;
    this.installed.delete(key);
    this.remoteSince.delete(key);
    this.toKernel(() => this.kernel.deleteRoute(installed.prefix, REMOTE_METRIC, PROTOCOL_OSPF));
  }

  /** zebra writes to the kernel one after the other. */
  private toKernel(write: () => void): void {
    const { clock, times } = this.domain;
    this.kernelBusyUntil = Math.max(this.kernelBusyUntil, clock.now() + clock.between(...times.kernelMs));
    clock.at(this.kernelBusyUntil, write);
  }
}
