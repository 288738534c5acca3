import {
  type Ip,
  contains,
  hostLength,
  isIpv4,
  isLinkLocal,
  isUnspecified,
  networkOf,
} from '../../wire/addresses.js';
import type { IfIndex, Route, RouteLeg } from '../events.js';
import { SolicitedNodes } from '../presence/solicited-nodes.js';

/** RTPROT_RA: what a router advertisement made (RFC 4861 section 6.3.4, RFC 4191) names a router, and no host. */
const PROTOCOL_RA = 9;

/** A host route that a routing protocol installed: another router says that it has the host. */
export interface RemoteClaim {
  readonly ip: Ip;
  /** When it appeared here, ms on the monotonic clock. A mere change of metric or next hop does not renew it. */
  readonly since: number;
  readonly route: Route;
}

/**
 * Whether a host route says that another router has the host: a routing protocol put it there, and it leads to a next
 * hop. One that only names an interface of this machine says that somebody wants the host there.
 */
export function isRemoteClaim(route: Route, remoteProtocols: readonly number[]): boolean {
  const isLocal = route.via === undefined && route.iface !== undefined;
  const isRemote = remoteProtocols.includes(route.protocol) && route.protocol !== PROTOCOL_RA;
  return isRemote && route.type === 'unicast' && !isLocal;
}

function legsOf(route: Route): readonly RouteLeg[] {
  return route.legs ?? [route];
}

function sameLeg(a: RouteLeg, b: RouteLeg): boolean {
  return a.via === b.via && (a.iface === b.iface || a.iface === undefined || b.iface === undefined);
}

/**
 * What is left of a route when the kernel says that this one was deleted; undefined for nothing. IPv6 routes of one
 * prefix and metric with next hops are one route to the kernel, and the deletion of one leg is told as that of a route
 * with this leg alone.
 */
function withoutLegs(route: Route, deleted: Route): Route | undefined {
  if (isIpv4(route.prefix.ip)) return undefined;
  const legs = legsOf(route);
  const gone = legsOf(deleted);
  const left = legs.filter((leg) => !gone.some((other) => sameLeg(leg, other)));
  const first = left[0];
  if (first === undefined || left.length === legs.length) return first && route;
  const { legs: _, ...rest } = route;
  if (left.length > 1)
    return { ...rest, iface: undefined, via: left.find(({ via }) => via)?.via, legs: left };
  return { ...rest, iface: first.iface, via: first.via };
}

/**
 * What others have in the kernel's routing tables: remote claims, next hops in use, and the longest-prefix match that
 * the answering rule asks. Our own claims are not in here. Only the watched tables are known; policy rules that send
 * some packets elsewhere are not modelled.
 */
export class Fib {
  private readonly routes = {
    4: new Map<number, Map<Ip, Route[]>>(),
    6: new Map<number, Map<Ip, Route[]>>(),
  };
  private readonly remotes = new Map<Ip, RemoteClaim>();
  private readonly remoteNodes = new SolicitedNodes();
  /** How often a remote claim has appeared or vanished. */
  remoteChanges = 0;
  /** Routes by next hop and outgoing interface; undefined: by several, or by one that is not known. */
  private readonly nextHops = new Map<Ip, Map<IfIndex | undefined, number>>();
  private repeated: Set<Route> | undefined;

  constructor(
    private protocol: number,
    private watchTables: readonly number[],
    /** Numbers of the protocols whose host routes are other routers' claims. */
    private remoteProtocols: readonly number[],
  ) {}

  snapshot() {
    const { protocol, watchTables, remoteProtocols, remoteChanges, repeated } = this;
    const routes = [...this.allRoutes()];
    return {
      protocol,
      watchTables,
      remoteProtocols,
      routes,
      remotes: [...this.remotes.values()].map(({ ip, since }) => ({ ip, since })),
      remoteChanges,
      /** Of a dump that has begun and not ended: which routes it has named so far. */
      repeated: repeated && routes.map((route) => repeated.has(route)),
    };
  }

  restore(state: ReturnType<Fib['snapshot']>): void {
    const { routes, remotes, repeated } = state;
    this.protocol = state.protocol;
    this.watchTables = state.watchTables;
    this.remoteProtocols = state.remoteProtocols;
    // The oldest remote claim is to be the first again.
    const hostRoutes = new Map(
      routes
        .filter(({ prefix: { ip, length } }) => length === hostLength(ip))
        .map((route) => [route.prefix.ip, route]),
    );
    for (const { ip, since } of remotes) {
      const route = hostRoutes.get(ip);
      if (route === undefined) continue;
      this.remotes.set(ip, { ip, since, route });
      this.remoteNodes.add(ip);
    }
    for (const route of routes) this.apply('add', route, Number.NaN);
    this.remoteChanges = state.remoteChanges;
    this.repeated = repeated && new Set(routes.filter((_, at) => repeated[at]));
  }

  /** Notes one change. Returns what became of the remote claim for that address, if that is what changed. */
  apply(
    change: 'add' | 'delete',
    route: Route,
    now: number,
  ): 'appeared' | 'vanished' | 'changed' | undefined {
    if (route.protocol === this.protocol || !this.watchTables.includes(route.table)) return undefined;
    const { ip, length } = route.prefix;
    const network = networkOf(ip, length);
    const sameLength = this.routes[isIpv4(ip) ? 4 : 6];
    let networks = sameLength.get(length);
    if (networks === undefined) {
      networks = new Map();
      sameLength.set(length, networks);
    }
    const known = networks.get(network) ?? [];
    const at = known.findIndex((other) => other.table === route.table && other.metric === route.metric);
    if (at >= 0) this.countNextHop(known[at] as Route, -1);
    if (change === 'add') {
      this.countNextHop(route, 1);
      this.repeated?.add(route);
      if (at >= 0) known[at] = route;
      else known.push(route);
      networks.set(network, known);
    } else if (at >= 0) {
      const left = withoutLegs(known[at] as Route, route);
      if (left === undefined) known.splice(at, 1);
      else {
        known[at] = left;
        this.countNextHop(left, 1);
        this.repeated?.add(left);
      }
      if (known.length === 0) networks.delete(network);
    }
    return length === hostLength(ip) ? this.refreshRemote(network, now) : undefined;
  }

  /** Starts a complete dump: what it does not repeat until `endDump` is gone. */
  beginDump(): void {
    this.repeated = new Set();
  }

  /** Addresses whose remote claim the dump did not repeat. */
  endDump(now: number): Ip[] {
    const repeated = this.repeated ?? new Set();
    this.repeated = undefined;
    const vanished: Ip[] = [];
    const stale: Route[] = [];
    for (const lengths of Object.values(this.routes)) {
      for (const networks of lengths.values()) {
        for (const routes of networks.values()) stale.push(...routes.filter((route) => !repeated.has(route)));
      }
    }
    for (const route of stale) {
      if (this.apply('delete', route, now) === 'vanished') vanished.push(route.prefix.ip);
    }
    return vanished;
  }

  remote(ip: Ip): RemoteClaim | undefined {
    return this.remotes.get(ip);
  }

  /** All remote claims, oldest first. */
  allRemotes(): IterableIterator<RemoteClaim> {
    return this.remotes.values();
  }

  /** Addresses of remote claims by the low 24 bits (RFC 4291 section 2.7.1). */
  remotesIn(low: number): readonly Ip[] {
    return this.remoteNodes.get(low);
  }

  /** Of all watched tables. */
  *allRoutes(): Generator<Route> {
    for (const lengths of Object.values(this.routes))
      for (const networks of lengths.values()) for (const routes of networks.values()) yield* routes;
  }

  /** A host route for this address that is neither ours nor another router's claim: an administrator's, an agent's. */
  foreignRoute(ip: Ip): Route | undefined {
    const routes = this.routes[isIpv4(ip) ? 4 : 6].get(hostLength(ip))?.get(ip);
    return routes?.find((route) => !this.isRemoteClaim(route));
  }

  /** Whether some route forwards to this address by another LAN than `here`; `lanOf`: the LAN of an interface. */
  isNextHopElsewhere(ip: Ip, here: IfIndex, lanOf = (iface: IfIndex) => iface): boolean {
    // On another interface it is the address of another machine.
    if (!isIpv4(ip) && isLinkLocal(ip)) return false;
    const ifaces = this.nextHops.get(ip);
    if (ifaces === undefined) return false;
    for (const iface of ifaces.keys()) if (iface !== undefined && lanOf(iface) !== here) return true;
    return false;
  }

  /** The route of others that the kernel would use: longest prefix, then lowest metric. */
  bestRoute(ip: Ip): Route | undefined {
    const lengths = this.routes[isIpv4(ip) ? 4 : 6];
    for (let length: number = hostLength(ip); length >= 0; length--) {
      const candidates = lengths.get(length)?.get(networkOf(ip, length));
      if (candidates === undefined) continue;
      let best = candidates[0];
      for (const route of candidates) if (best === undefined || route.metric < best.metric) best = route;
      if (best !== undefined && contains(best.prefix, ip)) return best;
    }
    return undefined;
  }

  private refreshRemote(ip: Ip, now: number): 'appeared' | 'vanished' | 'changed' | undefined {
    const routes = this.routes[isIpv4(ip) ? 4 : 6].get(hostLength(ip))?.get(ip);
    const claim = routes?.find((route) => this.isRemoteClaim(route));
    const known = this.remotes.get(ip);
    if ((known === undefined) !== (claim === undefined)) this.remoteChanges++;
    if (claim === undefined) {
      this.remoteNodes.delete(ip);
      return this.remotes.delete(ip) ? 'vanished' : undefined;
    }
    if (known === undefined) this.remoteNodes.add(ip);
    this.remotes.set(ip, { ip, since: known?.since ?? now, route: claim });
    if (known === undefined) return 'appeared';
    return known.route.via === claim.via && known.route.iface === claim.iface ? undefined : 'changed';
  }

  private isRemoteClaim(route: Route): boolean {
    return isRemoteClaim(route, this.remoteProtocols);
  }

  private countNextHop(route: Route, by: 1 | -1): void {
    for (const { iface, via } of legsOf(route)) {
      if (via === undefined || isUnspecified(via)) continue;
      const ifaces = this.nextHops.get(via) ?? new Map<IfIndex | undefined, number>();
      const count = (ifaces.get(iface) ?? 0) + by;
      if (count > 0) ifaces.set(iface, count);
      else ifaces.delete(iface);
      if (ifaces.size > 0) this.nextHops.set(via, ifaces);
      else this.nextHops.delete(via);
    }
  }
}
