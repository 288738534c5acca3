import { setTimeout as delay } from 'node:timers/promises';
import type { Event, IfIndex, Link, Route } from '../../mobility/events.js';
import type { Child } from '../../system/child-watch.js';
import { type Family, type Ip, familyOf, isIpv4 } from '../../wire/addresses.js';
import { CarrierPoll } from '../carrier.js';
import { dumpFdb, dumpNeighbours, dumpRoutes } from '../ip/dump.js';
import { IfnameCache } from '../ip/ifname-cache.js';
import {
  IpMonitor,
  type MonitorLine,
  TABLES,
  isOwnNotification,
  ownMark,
  parseMonitorLine,
} from '../ip/monitor.js';
import type { LinkFacts } from '../ip/parse-link.js';
import type { FdbLine, NeighbourLine } from '../ip/parse-neighbour.js';
import { MAIN_TABLE, type RouteLine, routeKey, toRoute } from '../ip/parse-route.js';
import { ForeignNeighbours } from './foreign-neighbours.js';
import { Ipv6Poll } from './ipv6-poll.js';
import { LinkWatch } from './link-watch.js';
import { LinkTable } from './links.js';
import { UnnotifiedRouteLoss } from './unnotified-route-loss.js';

export interface WatchOptions {
  /** Routes, neighbours and settings of others are neither read nor reported. */
  readonly families: readonly Family[];
  /** Our own route protocol number. */
  readonly protocol: number;
  /** Tables whose routes are reported; those of main always are. */
  readonly watchTables: readonly number[];
  readonly onEvent: (event: Event) => void;
  /** All events that were read at once were handed over. */
  readonly onBatchEnd?: (() => void) | undefined;
  /** A host route of ours was deleted, possibly because we asked for it. */
  readonly onOwnRouteDeleted: (route: Route) => void;
  /** A neighbour entry of ours was deleted, possibly because we asked for it. */
  readonly onOwnNeighbourDeleted: (ip: Ip, iface: IfIndex) => void;
  /** The complete state was read again, or an address or a link was lost: more may be gone than was told. */
  readonly onResync?: ((reason: string) => void) | undefined;
  /** An interface was set down and up again so quickly that it was not seen down. */
  readonly onFlap?: ((iface: IfIndex) => void) | undefined;
  /** A setting of an interface changed, or of `all`. */
  readonly onSetting?: ((iface: IfIndex | 'all') => void) | undefined;
  readonly onWarning: (message: string) => void;
  /** Whether neighbour entries on an interface are wanted; all of them when left out. */
  readonly wantsNeighbours?: ((link: Link) => boolean) | undefined;
  /** How often carriers are looked at, ms; 0 for never. */
  readonly carrierPollMs?: number | undefined;
}

const CARRIER_POLL_MS = 40;
/** After an overrun the dump waits for the burst to end: it would only be overrun again. */
const OVERRUN_QUIET_MS = 100;
const OVERRUN_WAIT_MS = 1000;
/** A line that is not understood may mean a missed change, but not more than one dump in this time. */
const PARSE_ERROR_MS = 5000;
const RETRY_MS = [0, 20, 100, 500, 2000];
const SUPERSEDED = 'superseded by a newer dump';

/**
 * Reports changes of the kernel's tables as Events. One `ip monitor` for neighbours (bridge forwarding entries are among
 * them), routes and settings, and one for links and addresses (LinkWatch); dumps at the start, and again whenever a
 * monitor died or missed something.
 *
 * The two monitors are not in step: a line about an interface that is not known yet waits for the next dump of links,
 * and the lines behind it too.
 *
 * A dump and the monitor overlap: the monitor is connected first. What it reports while a dump of routes runs is passed
 * on at once, and the dump's own line for the same route is skipped, since it may be older.
 */
export class KernelWatch {
  readonly links: LinkTable;
  readonly foreign = new ForeignNeighbours();
  readonly #options: WatchOptions;
  readonly #tables: ReadonlySet<number>;
  readonly #names = new IfnameCache();
  readonly #carrier: CarrierPoll;
  readonly #ipv6: Ipv6Poll | undefined;
  /** Links that were looked at since the last batch. */
  readonly #looked = new Set<IfIndex>();
  readonly #losses = new UnnotifiedRouteLoss(() => this.#readRoutesAgain());
  readonly #linkWatch: LinkWatch;
  readonly #ownMark: string;
  #monitor: IpMonitor | undefined;
  /** Changes that came before their links were known; undefined while none is waiting. */
  #held: MonitorLine[] | undefined;
  #connecting = false;
  /** A dump, complete or of routes only, is under way. */
  #dumping = false;
  /** Routes that changed while a dump runs. */
  #changedMeanwhile: Set<string> | undefined;
  #generation = 0;
  #failures = 0;
  #resyncTimer: NodeJS.Timeout | undefined;
  #overrunSince: number | undefined;
  #parseErrorAt = Number.NEGATIVE_INFINITY;
  #started = false;
  #stopped = false;
  /** Complete dumps after the first, and lines not understood. */
  readonly stats = { resyncs: 0, overruns: 0, deaths: 0, lines: 0, notUnderstood: 0 };

  constructor(options: WatchOptions) {
    this.#options = options;
    this.links = new LinkTable(options.families);
    this.#ipv6 = options.families.includes('ipv6') ? new Ipv6Poll((iface) => this.look(iface)) : undefined;
    this.#tables = new Set([MAIN_TABLE, ...options.watchTables]);
    this.#ownMark = ownMark(options.protocol);
    this.#linkWatch = new LinkWatch({
      onLinks: (links, begunAt, down) => this.#onLinks(links, begunAt, down),
      onLoss: (index, what) => {
        if (what === 'carrier') return this.#losses.linkLost(index);
        if (what === 'link') return this.#names.doubt(index);
        this.#losses.removed();
        options.onResync?.('an address was removed');
      },
      onWarning: options.onWarning,
    });
    this.#carrier = new CarrierPoll((index, carrier) => {
      this.#emit(this.links.setCarrier(index, carrier));
      this.#endBatch();
    });
  }

  /** The pid of the monitor, for tests and the memory account. */
  get pid(): number | undefined {
    return this.#monitor?.pid;
  }

  /** The monitors. */
  get children(): Child[] {
    return [this.#monitor?.child, this.#linkWatch.child].flatMap((child) => child ?? []);
  }

  /** Monitors that ended by themselves. */
  get deaths(): number {
    return this.stats.deaths + this.#linkWatch.deaths;
  }

  /** Resolves when the complete state was reported. Rejects when `ip` does not work here. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.#connect();
        break;
      } catch (error) {
        this.#drop();
        if (++this.#failures >= RETRY_MS.length) throw error;
        await delay(RETRY_MS[this.#failures] ?? 0);
      }
    }
    this.#started = true;
    if (this.#overrunSince !== undefined) this.#resync('the monitor missed events', OVERRUN_QUIET_MS);
    const pollMs = this.#options.carrierPollMs ?? CARRIER_POLL_MS;
    if (pollMs > 0) this.#carrier.start(pollMs, () => this.links.all());
    this.#ipv6?.start(() => this.links.all());
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#resyncTimer);
    this.#carrier.stop();
    this.#ipv6?.stop();
    this.#losses.stop();
    this.#linkWatch.stop();
    this.#drop();
  }

  /** Ends the monitor; it reports nothing more. */
  #drop(): void {
    this.#generation++;
    this.#monitor?.stop();
    this.#monitor = undefined;
    this.#held = undefined;
    this.#connecting = false;
    this.#changedMeanwhile = undefined;
    this.#dumping = false;
  }

  async #connect(): Promise<void> {
    const generation = ++this.#generation;
    const stale = () => generation !== this.#generation;
    const check = () => {
      if (stale()) throw new Error(SUPERSEDED);
    };
    this.#dumping = true;
    this.#connecting = true;
    this.#held = [];
    this.#monitor = this.#startMonitor();
    await this.#monitor.subscribed();
    check();
    await this.#linkWatch.start();
    check();
    for (const event of this.links.refreshRpFilter('all')) this.#emit(event);
    this.#names.update(this.links.all(), true);
    this.#connecting = false;
    this.#release();
    this.#endBatch();
    await this.#dumpNeighbours(stale);
    check();
    await this.#dumpFdb(stale);
    check();
    await this.#dumpRoutes(stale);
    check();
    this.#dumping = false;
    this.#failures = 0;
    this.#endBatch();
  }

  /** The monitor goes on; what it reports meanwhile is newer than the dump. */
  #readRoutesAgain(): void {
    // (What is under way may have been too early.)
    if (this.#dumping) return this.#losses.again(OVERRUN_QUIET_MS);
    const generation = this.#generation;
    const stale = () => generation !== this.#generation;
    const began = performance.now();
    this.#dumping = true;
    this.#dumpRoutes(stale).then(
      () => {
        if (stale()) return;
        this.#losses.wereRead(performance.now() - began);
        this.#dumping = false;
        this.#endBatch();
      },
      (error: Error) => {
        if (!stale()) this.#resync(`routes could not be read: ${error.message}`, OVERRUN_QUIET_MS);
      },
    );
  }

  #startMonitor(): IpMonitor {
    return new IpMonitor({
      objects: TABLES,
      onLine: (line) => {
        if (line.includes(this.#ownMark) && isOwnNotification(line)) return;
        const parsed = parseMonitorLine(line);
        if (parsed === undefined) this.#resyncOnParseError(line);
        else if (parsed !== 'ignored') this.#onChange(parsed);
      },
      onBatchEnd: () => {
        if (this.#held === undefined) this.#endBatch();
      },
      onOverrun: () => this.#overrun(),
      onEnd: () => {
        this.stats.deaths++;
        this.#monitor = undefined;
        this.#generation++; // a dump that is under way is outdated
        this.#resync('the monitor ended', RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] ?? 0);
      },
      onWarning: this.#options.onWarning,
    });
  }

  #overrun(): void {
    this.stats.overruns++;
    const now = performance.now();
    this.#overrunSince ??= now;
    const leftMs = this.#overrunSince + OVERRUN_WAIT_MS - now;
    this.#resync('the monitor missed events', Math.max(0, Math.min(OVERRUN_QUIET_MS, leftMs)));
  }

  #resyncOnParseError(what: string): void {
    this.stats.notUnderstood++;
    const now = performance.now();
    if (now - this.#parseErrorAt < PARSE_ERROR_MS) return;
    this.#parseErrorAt = now;
    this.#options.onWarning(`a line of ip monitor is not understood: ${what}`);
    this.#resync('not understood', OVERRUN_QUIET_MS);
  }

  #resync(reason: string, afterMs: number): void {
    clearTimeout(this.#resyncTimer);
    if (!this.#started) return; // start() tries again by itself
    this.#resyncTimer = setTimeout(() => {
      this.#drop();
      this.#overrunSince = undefined;
      this.#connect().then(
        () => {
          this.stats.resyncs++;
          this.#options.onResync?.(reason);
        },
        (error: Error) => {
          if (this.#stopped || error.message === SUPERSEDED) return;
          this.#failures++;
          this.#options.onWarning(`the kernel's tables cannot be read: ${error.message}`);
          this.#resync(reason, RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)] ?? 0);
        },
      );
    }, afterMs);
  }

  #emit(event: Event | undefined): void {
    if (event === undefined || this.#stopped) return;
    if (event.kind === 'link-gone') {
      this.#carrier.forget(event.iface);
      this.foreign.forgetAll(event.iface);
    }
    this.#options.onEvent(event);
  }

  #endBatch(): void {
    this.#looked.clear();
    if (!this.#stopped) this.#options.onBatchEnd?.();
  }

  /** Looks at an interface at once, before its monitor tells; at most once in a batch of events. */
  look(iface: IfIndex): void {
    if (this.#looked.has(iface)) return;
    if (this.#looked.size === 0) setImmediate(() => this.#looked.clear());
    this.#looked.add(iface);
    const event = this.links.look(iface);
    if (event === undefined) return;
    if (event.kind === 'link' && !event.link.up) this.#losses.linkLost(iface);
    this.#emit(event);
    this.#linkWatch.hint();
  }

  /** By a dump of all interfaces. */
  #onLinks(links: readonly LinkFacts[], begunAt: number, down: ReadonlySet<IfIndex>): void {
    const isUp = (index: IfIndex) => this.links.get(index)?.up === true;
    const wereUp = [...down].filter(isUp);
    for (const event of this.links.replace(links, begunAt)) {
      if (event.kind === 'link-gone') this.#losses.linkLost(event.iface);
      else if (event.kind === 'link' && !(event.link.up && event.link.carrier))
        this.#losses.linkLost(event.link.index);
      this.#emit(event);
    }
    for (const index of wereUp.filter(isUp)) {
      this.#losses.linkLost(index);
      this.#options.onFlap?.(index);
      this.#options.onResync?.('an interface was down');
    }
    if (this.#connecting) return;
    if (!this.#names.update(this.links.all()))
      this.#resync('an interface has the name that another one had', OVERRUN_QUIET_MS);
    this.#release();
    this.#endBatch();
  }

  /** Hands over what waited for the links. */
  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const line of held) this.#take(line);
  }

  #onChange(line: MonitorLine): void {
    this.stats.lines++;
    if (this.#held !== undefined) this.#held.push(line);
    else if (this.#isUnderstood(line)) this.#take(line);
    else {
      this.#held = [line];
      this.#linkWatch.hint();
    }
  }

  /** Whether it is known what the line is about: false for an interface, or a bridge port, that is too new. */
  #isUnderstood(line: MonitorLine): boolean {
    if (line.kind === 'nexthop-gone' || line.kind === 'netconf') return true;
    if (line.kind === 'route' && line.legs !== undefined && !isIpv4(line.prefix.ip))
      return line.deleted || line.legs.every(({ dev }) => dev === undefined || this.#linkNow(dev));
    if (line.dev === undefined) return true;
    const link = this.#linkNow(line.dev);
    if (link === undefined) return line.deleted;
    return line.kind !== 'fdb' || line.permanent || link.master !== undefined || !this.#linkWatch.pending;
  }

  #linkNow(dev: string): Link | undefined {
    const iface = this.#names.resolve(dev);
    return iface === undefined ? undefined : this.links.get(iface);
  }

  #take(line: MonitorLine): void {
    switch (line.kind) {
      case 'nexthop-gone':
        return this.#losses.removed();
      case 'netconf': {
        const dev = line.dev === 'all' ? 'all' : this.#resolve(line.dev);
        if (dev === undefined || !this.#isServed(line.family)) return;
        if (line.family === 'ipv4') for (const event of this.links.refreshRpFilter(dev)) this.#emit(event);
        return this.#options.onSetting?.(dev);
      }
      case 'route':
        return this.#onRoute(line);
      case 'neighbour':
        return this.#onNeighbour(line, this.#resolve);
      case 'fdb':
        return this.#onFdb(line, this.#resolve);
    }
  }

  readonly #resolve = (name: string): IfIndex | undefined => this.#names.resolve(name);
  /** Dumps are made by fresh processes, which know the interfaces by their present names. */
  readonly #resolveNow = (name: string): IfIndex | undefined => this.links.indexOf(name);

  /** The monitor tells of neighbours of all families, or of no bridge either. */
  #isServed(family: Family): boolean {
    return this.#options.families.includes(family);
  }

  #onRoute(line: RouteLine): void {
    if (!this.#isServed(familyOf(line.prefix.ip))) return;
    const own = line.protocol === this.#options.protocol;
    if (!own && !this.#tables.has(line.table)) return;
    const iface = line.dev === undefined ? undefined : this.#resolve(line.dev);
    // Gone again, and its routes with it, or others under its name.
    if (line.dev !== undefined && iface === undefined && !line.deleted)
      return this.#losses.again(OVERRUN_QUIET_MS);
    const route = toRoute(line, iface, this.#resolve);
    if (own) {
      if (line.deleted) this.#options.onOwnRouteDeleted(route);
      return;
    }
    this.#changedMeanwhile?.add(routeKey(line));
    // It may have been one leg of several, and the dump's line, which names the others, is skipped.
    if (this.#dumping && line.deleted && line.via !== undefined && !isIpv4(line.prefix.ip))
      this.#losses.again(OVERRUN_QUIET_MS);
    if (!line.deleted) this.#losses.noteRoute(line, iface);
    this.#emit({ kind: 'route', change: line.deleted ? 'delete' : 'add', route, initial: false });
  }

  #onNeighbour(line: NeighbourLine, resolve: (name: string) => IfIndex | undefined): void {
    if (!this.#isServed(familyOf(line.ip))) return;
    const iface = resolve(line.dev);
    const link = iface === undefined ? undefined : this.links.get(iface);
    if (iface === undefined || link === undefined) return;
    // A deleted entry is printed as `FAILED`, without extern_learn.
    if (line.protocol === this.#options.protocol && line.deleted) {
      this.#options.onOwnNeighbourDeleted(line.ip, iface);
      return;
    }
    const permanent = line.state === 'PERMANENT' && !line.deleted;
    if (permanent) this.foreign.note(line.ip, iface, line.mac);
    else this.foreign.forget(line.ip, iface);
    if (line.state === 'NOARP' || this.#options.wantsNeighbours?.(link) === false) return;
    const lost = line.deleted || line.state === 'FAILED' || line.state === 'INCOMPLETE';
    this.#emit({ kind: 'neighbour', iface, ip: line.ip, mac: lost ? undefined : line.mac });
  }

  #onFdb(line: FdbLine, resolve: (name: string) => IfIndex | undefined): void {
    if (line.permanent) return;
    const port = resolve(line.dev);
    const bridge = line.bridge === undefined ? this.links.get(port ?? -1)?.master : resolve(line.bridge);
    // Without a bridge: an entry of a tunnel's own, or of a port that has just left its bridge.
    if (port === undefined || bridge === undefined) return;
    this.#emit({ kind: 'fdb', bridge, mac: line.mac, port: line.deleted ? undefined : port });
  }

  async #dumpNeighbours(stale: () => boolean): Promise<void> {
    this.foreign.clear();
    await dumpNeighbours(this.#options.protocol, this.#options.families, (line) => {
      if (!stale()) this.#onNeighbour(line, this.#resolveNow);
    });
  }

  async #dumpFdb(stale: () => boolean): Promise<void> {
    if (![...this.links.all()].some((link) => link.master !== undefined)) return;
    await dumpFdb((line) => {
      if (!stale()) this.#onFdb(line, this.#resolveNow);
    });
  }

  async #dumpRoutes(stale: () => boolean): Promise<void> {
    const changed = new Set<string>();
    this.#changedMeanwhile = changed;
    this.#emit({ kind: 'routes-begin' });
    for (const family of this.#options.families) {
      for (const table of this.#tables) {
        const take = (line: RouteLine) => {
          if (stale() || line.protocol === this.#options.protocol || changed.has(routeKey(line))) return;
          const iface = line.dev === undefined ? undefined : this.links.indexOf(line.dev);
          this.#losses.noteRoute(line, iface);
          this.#emit({
            kind: 'route',
            change: 'add',
            route: toRoute(line, iface, this.#resolveNow),
            initial: true,
          });
        };
        await dumpRoutes(family, table, take, (line) => {
          if (!stale()) this.#resyncOnParseError(line);
        });
        if (stale()) return;
      }
    }
    this.#changedMeanwhile = undefined;
    this.#emit({ kind: 'routes-end' });
  }
}
