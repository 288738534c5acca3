import type { Event, IfIndex, Link, Route } from '../../mobility/events.js';
import { type Family, type Ip, familyOf, isIpv4 } from '../../wire/addresses.js';
import { dumpFdb, dumpNeighbours, dumpRoutes } from '../ip/dump.js';
import type { IfnameCache } from '../ip/ifname-cache.js';
import type { MonitorLine } from '../ip/monitor.js';
import type { FdbLine, NeighbourLine } from '../ip/parse-neighbour.js';
import { MAIN_TABLE, type RouteLine, routeKey, toRoute } from '../ip/parse-route.js';
import { ForeignNeighbours } from './foreign-neighbours.js';
import type { LinkTable } from './links.js';
import type { UnnotifiedRouteLoss } from './unnotified-route-loss.js';

export interface TableOptions {
  /** Routes, neighbours and settings of others are neither read nor reported. */
  readonly families: readonly Family[];
  /** Our own route protocol number. */
  readonly protocol: number;
  /** Tables whose routes are reported; those of main always are. */
  readonly watchTables: readonly number[];
  /** A host route of ours was deleted, possibly because we asked for it. */
  readonly onOwnRouteDeleted: (route: Route) => void;
  /** A neighbour entry of ours was deleted, possibly because we asked for it. */
  readonly onOwnNeighbourDeleted: (ip: Ip, iface: IfIndex) => void;
  /** A setting of an interface changed, or of `all`. */
  readonly onSetting?: ((iface: IfIndex | 'all') => void) | undefined;
  /** Whether neighbour entries on an interface are wanted; all of them when left out. */
  readonly wantsNeighbours?: ((link: Link) => boolean) | undefined;
}

/** What a table needs of the watch that reads it. */
export interface TableContext {
  readonly links: LinkTable;
  /** Interfaces by the names that the monitor knows them by. */
  readonly names: IfnameCache;
  readonly losses: UnnotifiedRouteLoss;
  readonly emit: (event: Event) => void;
  /** Asks for another dump of the routes soon. */
  readonly readRoutesAgain: () => void;
}

type Resolve = (name: string) => IfIndex | undefined;

/**
 * What a line about a route, a neighbour, a bridge forwarding entry or a setting means, whether a monitor or a dump has
 * it.
 *
 * A dump and the monitor overlap: the monitor is connected first. What it reports while a dump of routes runs is passed
 * on at once, and the dump's own line for the same route is skipped, since it may be older.
 */
export class KernelTables {
  readonly foreign = new ForeignNeighbours();
  readonly #tables: ReadonlySet<number>;
  /** Routes that changed while a dump of them runs. */
  #changedMeanwhile: Set<string> | undefined;

  constructor(
    readonly options: TableOptions,
    readonly context: TableContext,
  ) {
    this.#tables = new Set([MAIN_TABLE, ...options.watchTables]);
  }

  /** A dump that was under way is outdated. */
  drop(): void {
    this.#changedMeanwhile = undefined;
  }

  /**
   * Whether it is known what the line is about: false for an interface, or a bridge port, that is too new.
   * @param linksPending links are being read
   */
  isUnderstood(line: MonitorLine, linksPending: boolean): boolean {
    if (line.kind === 'nexthop-gone' || line.kind === 'netconf') return true;
    if (line.kind === 'route' && line.legs !== undefined && !isIpv4(line.prefix.ip))
      return line.deleted || line.legs.every(({ dev }) => dev === undefined || this.#linkNow(dev));
    if (line.dev === undefined) return true;
    const link = this.#linkNow(line.dev);
    if (link === undefined) return line.deleted;
    return line.kind !== 'fdb' || line.permanent || link.master !== undefined || !linksPending;
  }

  #linkNow(dev: string): Link | undefined {
    const iface = this.context.names.resolve(dev);
    return iface === undefined ? undefined : this.context.links.get(iface);
  }

  /** @param isDumping a dump is under way */
  take(line: MonitorLine, isDumping: boolean): void {
    switch (line.kind) {
      case 'nexthop-gone':
        return this.context.losses.removed();
      case 'netconf': {
        const dev = line.dev === 'all' ? 'all' : this.#resolve(line.dev);
        if (dev === undefined || !this.#isServed(line.family)) return;
        if (line.family === 'ipv4')
          for (const event of this.context.links.refreshRpFilter(dev)) this.context.emit(event);
        return this.options.onSetting?.(dev);
      }
      case 'route':
        return this.#onRoute(line, isDumping);
      case 'neighbour':
        return this.#onNeighbour(line, this.#resolve);
      case 'fdb':
        return this.#onFdb(line, this.#resolve);
    }
  }

  readonly #resolve: Resolve = (name) => this.context.names.resolve(name);
  /** Dumps are made by fresh processes, which know the interfaces by their present names. */
  readonly #resolveNow: Resolve = (name) => this.context.links.indexOf(name);

  /** The monitor tells of neighbours of all families, or of no bridge either. */
  #isServed(family: Family): boolean {
    return this.options.families.includes(family);
  }

  #onRoute(line: RouteLine, isDumping: boolean): void {
    if (!this.#isServed(familyOf(line.prefix.ip))) return;
    const own = line.protocol === this.options.protocol;
    if (!own && !this.#tables.has(line.table)) return;
    const iface = line.dev === undefined ? undefined : this.#resolve(line.dev);
    // Gone again, and its routes with it, or others under its name.
    if (line.dev !== undefined && iface === undefined && !line.deleted) return this.context.readRoutesAgain();
    const route = toRoute(line, iface, this.#resolve);
    if (own) {
      if (line.deleted) this.options.onOwnRouteDeleted(route);
      return;
    }
    this.#changedMeanwhile?.add(routeKey(line));
    // It may have been one leg of several, and the dump's line, which names the others, is skipped.
    if (isDumping && line.deleted && line.via !== undefined && !isIpv4(line.prefix.ip))
      this.context.readRoutesAgain();
    if (!line.deleted) this.context.losses.noteRoute(line, iface);
    this.context.emit({ kind: 'route', change: line.deleted ? 'delete' : 'add', route, initial: false });
  }

  #onNeighbour(line: NeighbourLine, resolve: Resolve): void {
    if (!this.#isServed(familyOf(line.ip))) return;
    const iface = resolve(line.dev);
    const link = iface === undefined ? undefined : this.context.links.get(iface);
    if (iface === undefined || link === undefined) return;
    // A deleted entry is printed as `FAILED`, without extern_learn.
    if (line.protocol === this.options.protocol && line.deleted) {
      this.options.onOwnNeighbourDeleted(line.ip, iface);
      return;
    }
    const permanent = line.state === 'PERMANENT' && !line.deleted;
    if (permanent) this.foreign.note(line.ip, iface, line.mac);
    else this.foreign.forget(line.ip, iface);
    if (line.state === 'NOARP' || this.options.wantsNeighbours?.(link) === false) return;
    const lost = line.deleted || line.state === 'FAILED' || line.state === 'INCOMPLETE';
    this.context.emit({ kind: 'neighbour', iface, ip: line.ip, mac: lost ? undefined : line.mac });
  }

  #onFdb(line: FdbLine, resolve: Resolve): void {
    if (line.permanent) return;
    const port = resolve(line.dev);
    const bridge =
      line.bridge === undefined ? this.context.links.get(port ?? -1)?.master : resolve(line.bridge);
    // Without a bridge: an entry of a tunnel's own, or of a port that has just left its bridge.
    if (port === undefined || bridge === undefined) return;
    this.context.emit({ kind: 'fdb', bridge, mac: line.mac, port: line.deleted ? undefined : port });
  }

  async dumpNeighbours(stale: () => boolean): Promise<void> {
    this.foreign.clear();
    await dumpNeighbours(this.options.protocol, this.options.families, (line) => {
      if (!stale()) this.#onNeighbour(line, this.#resolveNow);
    });
  }

  async dumpFdb(stale: () => boolean): Promise<void> {
    if (![...this.context.links.all()].some((link) => link.master !== undefined)) return;
    await dumpFdb((line) => {
      if (!stale()) this.#onFdb(line, this.#resolveNow);
    });
  }

  async dumpRoutes(stale: () => boolean, onNotUnderstood: (line: string) => void): Promise<void> {
    const changed = new Set<string>();
    this.#changedMeanwhile = changed;
    this.context.emit({ kind: 'routes-begin' });
    for (const family of this.options.families) {
      for (const table of this.#tables) {
        const take = (line: RouteLine) => {
          if (stale() || line.protocol === this.options.protocol || changed.has(routeKey(line))) return;
          const iface = line.dev === undefined ? undefined : this.context.links.indexOf(line.dev);
          this.context.losses.noteRoute(line, iface);
          this.context.emit({
            kind: 'route',
            change: 'add',
            route: toRoute(line, iface, this.#resolveNow),
            initial: true,
          });
        };
        await dumpRoutes(family, table, take, (line) => {
          if (!stale()) onNotUnderstood(line);
        });
        if (stale()) return;
      }
    }
    this.#changedMeanwhile = undefined;
    this.context.emit({ kind: 'routes-end' });
  }
}
