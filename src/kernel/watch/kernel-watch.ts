import { setTimeout as delay } from 'node:timers/promises';
import type { Event, IfIndex, Link, Route } from '../../mobility/events.js';
import type { Ip } from '../../wire/addresses.js';
import { CarrierPoll } from '../carrier.js';
import { dumpFdb, dumpLinks, dumpNeighbours, dumpRoutes } from '../ip/dump.js';
import { IfnameCache } from '../ip/ifname-cache.js';
import { IpMonitor, type MonitorLine } from '../ip/monitor.js';
import type { FdbLine, NeighbourLine } from '../ip/parse-neighbour.js';
import { MAIN_TABLE, type RouteLine, routeKey, toRoute } from '../ip/parse-route.js';
import { ForeignNeighbours } from './foreign-neighbours.js';
import { LinkTable } from './links.js';
import { UnnotifiedRouteLoss } from './unnotified-route-loss.js';

export interface WatchOptions {
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
  /** The complete state was read again: changes may have been missed before. */
  readonly onResync?: ((reason: string) => void) | undefined;
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
 * Reports changes of the kernel's tables as Events. One `ip monitor` for links, addresses, neighbours (bridge
 * forwarding entries are among them) and routes; dumps at the start, and again whenever the monitor died or missed
 * something.
 *
 * A dump and the monitor overlap: the monitor is connected first. What it reports while a dump of routes runs is passed
 * on at once, and the dump's own line for the same route is skipped, since it may be older.
 */
export class KernelWatch {
  readonly links = new LinkTable();
  readonly foreign = new ForeignNeighbours();
  readonly #options: WatchOptions;
  readonly #tables: ReadonlySet<number>;
  readonly #names = new IfnameCache();
  readonly #carrier: CarrierPoll;
  readonly #losses = new UnnotifiedRouteLoss(() => this.#readRoutesAgain());
  #monitor: IpMonitor | undefined;
  /** Changes that came before the links were known. */
  #held: MonitorLine[] | undefined;
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
    this.#tables = new Set([MAIN_TABLE, ...options.watchTables]);
    this.#carrier = new CarrierPoll((index, carrier) => {
      this.#emit(this.links.setCarrier(index, carrier));
      this.#endBatch();
    });
  }

  /** The pid of the monitor, for tests and the memory account. */
  get pid(): number | undefined {
    return this.#monitor?.pid;
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
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#resyncTimer);
    this.#carrier.stop();
    this.#losses.stop();
    this.#drop();
  }

  /** Ends the monitor; it reports nothing more. */
  #drop(): void {
    this.#generation++;
    this.#monitor?.stop();
    this.#monitor = undefined;
    this.#held = undefined;
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
    this.#held = [];
    this.#monitor = this.#startMonitor();
    await this.#monitor.subscribed();
    check();
    const { linkLines, addressLines } = await dumpLinks();
    check();
    const events = this.links.replace(linkLines, addressLines);
    for (const event of events) if (event.kind === 'link-gone') this.#carrier.forget(event.iface);
    for (const event of events) this.#options.onEvent(event);
    this.#names.reset(this.links.all());
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const line of held) this.#onChange(line);
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
      protocol: this.#options.protocol,
      onChange: (line) => {
        if (this.#held !== undefined) this.#held.push(line);
        else this.#onChange(line);
      },
      onBatchEnd: () => {
        if (this.#held === undefined) this.#endBatch();
      },
      onUnparsed: (line) => this.#resyncOnParseError(line),
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
    if (!this.#stopped) this.#options.onBatchEnd?.();
  }

  #onChange(parsed: MonitorLine): void {
    this.stats.lines++;
    switch (parsed.kind) {
      case 'link':
        if (!this.#names.note(parsed)) return this.#resyncOnParseError(`${parsed.name} is two interfaces`);
        if (parsed.deleted || !parsed.up || !parsed.carrier) this.#losses.linkLost(parsed.index);
        return this.#emit(this.links.apply(parsed, this.#resolve));
      case 'address':
        return this.#emit(this.links.apply(parsed, this.#resolve));
      case 'netconf':
        for (const event of this.links.refreshRpFilter(parsed.dev, this.#resolve)) this.#emit(event);
        return;
      case 'route':
        return this.#onRoute(parsed);
      case 'neighbour':
        return this.#onNeighbour(parsed, this.#resolve);
      case 'fdb':
        return this.#onFdb(parsed, this.#resolve);
    }
  }

  readonly #resolve = (name: string): IfIndex | undefined => this.#names.resolve(name);
  /** Dumps are made by fresh processes, which know the interfaces by their present names. */
  readonly #resolveNow = (name: string): IfIndex | undefined => this.links.indexOf(name);

  #onRoute(line: RouteLine): void {
    const own = line.protocol === this.#options.protocol;
    if (!own && !this.#tables.has(line.table)) return;
    const iface = line.dev === undefined ? undefined : this.#resolve(line.dev);
    if (line.dev !== undefined && iface === undefined && !line.deleted)
      return this.#resyncOnParseError(line.dev);
    const route = toRoute(line, iface);
    if (own) {
      if (line.deleted) this.#options.onOwnRouteDeleted(route);
      return;
    }
    this.#changedMeanwhile?.add(routeKey(line));
    if (!line.deleted) this.#losses.noteRoute(line, iface);
    this.#emit({ kind: 'route', change: line.deleted ? 'delete' : 'add', route, initial: false });
  }

  #onNeighbour(line: NeighbourLine, resolve: (name: string) => IfIndex | undefined): void {
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
    await dumpNeighbours(this.#options.protocol, (line) => {
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
    for (const family of ['-4', '-6'] as const) {
      for (const table of this.#tables) {
        const take = (line: RouteLine) => {
          if (stale() || line.protocol === this.#options.protocol || changed.has(routeKey(line))) return;
          const iface = line.dev === undefined ? undefined : this.links.indexOf(line.dev);
          this.#losses.noteRoute(line, iface);
          this.#emit({ kind: 'route', change: 'add', route: toRoute(line, iface), initial: true });
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
