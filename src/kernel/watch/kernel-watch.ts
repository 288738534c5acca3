import { setTimeout as delay } from 'node:timers/promises';
import type { Event, IfIndex } from '../../mobility/events.js';
import type { Child } from '../../system/child-watch.js';
import { CarrierPoll } from '../carrier.js';
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
import type { ForeignNeighbours } from './foreign-neighbours.js';
import { Ipv6Poll } from './ipv6-poll.js';
import { KernelTables, type TableOptions } from './kernel-tables.js';
import { LinkWatch } from './link-watch.js';
import { LinkTable } from './links.js';
import { UnnotifiedRouteLoss } from './unnotified-route-loss.js';

export interface WatchOptions extends TableOptions {
  readonly onEvent: (event: Event) => void;
  /** All events that were read at once were handed over. */
  readonly onBatchEnd?: (() => void) | undefined;
  /** The complete state was read again, or an address or a link was lost: more may be gone than was told. */
  readonly onResync?: ((reason: string) => void) | undefined;
  /** An interface was set down and up again so quickly that it was not seen down. */
  readonly onFlap?: ((iface: IfIndex) => void) | undefined;
  readonly onWarning: (message: string) => void;
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
 */
export class KernelWatch {
  readonly links: LinkTable;
  readonly #options: WatchOptions;
  readonly #tables: KernelTables;
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
    this.#tables = new KernelTables(options, {
      links: this.links,
      names: this.#names,
      losses: this.#losses,
      emit: (event) => this.#emit(event),
      readRoutesAgain: () => this.#losses.again(OVERRUN_QUIET_MS),
    });
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

  /** Permanent neighbour entries of others. */
  get foreign(): ForeignNeighbours {
    return this.#tables.foreign;
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
    this.#tables.drop();
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
    await this.#tables.dumpNeighbours(stale);
    check();
    await this.#tables.dumpFdb(stale);
    check();
    await this.#dumpRoutes(stale);
    check();
    this.#dumping = false;
    this.#failures = 0;
    this.#endBatch();
  }

  #dumpRoutes(stale: () => boolean): Promise<void> {
    return this.#tables.dumpRoutes(stale, (line) => this.#resyncOnParseError(line));
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
      this.#tables.foreign.forgetAll(event.iface);
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
    for (const line of held) this.#tables.take(line, this.#dumping);
  }

  #onChange(line: MonitorLine): void {
    this.stats.lines++;
    if (this.#held !== undefined) this.#held.push(line);
    else if (this.#tables.isUnderstood(line, this.#linkWatch.pending)) this.#tables.take(line, this.#dumping);
    else {
      this.#held = [line];
      this.#linkWatch.hint();
    }
  }
}
