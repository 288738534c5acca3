import type { IfIndex } from '../mobility/events.js';
import { type Ip, type Mac, isIpv4 } from '../wire/addresses.js';
import type { KnownHost } from './overload/known-hosts.js';
import { type ReaderProcess, CaptureSupervisor } from './supervisor.js';
import { FLOOD_WINDOW_MS, classifyRate } from './overload/rate-detector.js';
import {
  SUPPRESS,
  SUPPRESS_BYTES,
  CLOSE,
  CLOSED,
  COUNTERS,
  FAILED,
  FRAME,
  INJECT,
  OPENED,
  SEND_FAILED,
  decodeCounters,
  decodeText,
  decodeOpenResult,
  encodeOpen,
  encodeRecord,
  writeSuppress,
} from './protocol.js';
import { StormMode } from './overload/storm-mode.js';
import { type CaptureStats, residentBytes } from './stats.js';
import {
  type CaptureLink,
  RETRY_FIRST_MS,
  type CapturedInterface,
  filterOf,
  nextRetryMs,
  carryOverCounters,
  ringBytesFor,
  statsOf,
  watch,
} from './captured-interface.js';

export interface CaptureOptions {
  /** One frame, cut to 128 bytes; `bytes` is valid only during the call. Own frames are filtered by source MAC. */
  onFrame(iface: IfIndex, bytes: Uint8Array): void;
  /** A batch of frames has been delivered. */
  onBatchEnd(): void;
  /** `open`: frames are captured from now on. Otherwise `reason` says why not; it is retried until close(). */
  onState(iface: IfIndex, open: boolean, reason: string): void;
  /** Capture cannot work on this machine as it is; `message` says what to do. Called once. */
  onFatal(message: string): void;
  onWarning(message: string): void;
  /** Hosts that the daemon knows; asked when a storm begins. */
  acquaintances?(): Iterable<KnownHost>;
  /** Kernel memory, resident, for an interface's frames that wait to be read. Default: 10 MB, less if there are many. */
  bufferBytes?: number;
  /** Frames per second, for a second, from which an interface gets a child of its own. Default 60,000. */
  floodFramesPerSecond?: number;
  /** Tells the shared child that it has a special task. */
  childArgument?: string;
  /** How long such an interface must stay below a quarter of that before it comes back. Default 20,000. */
  quietMs?: number;
}

/** 20,000 newcomers a second, the budget of an interface, each with a word and two answers, are no flood. */
const FLOOD_FRAMES_PER_SECOND = 60_000;
/** There are not more processors to win than this, and each child costs some 50 MB. */
const FLOOD_CHILDREN = 3;
const QUIET_MS = 20_000;
/** What was in the old child's ring when the new one took over is read by then. */
const HANDOVER_MS = 100;
/** A child that lived longer than this died of something new. */
const STEADY_MS = 1000;
const RESPAWN_FIRST_MS = 100;
const RESPAWN_MOST_MS = 5000;

/**
 * The daemon's door to the wire: captures ARP and RARP frames on many interfaces and injects frames there, by way of
 * child processes that may die at any moment.
 *
 * All interfaces share one child. One that is flooded moves to a child of its own, so that the others do not wait for
 * the same process; it is opened there before it is closed here, so that some frames come twice rather than not at
 * all. A child that dies is replaced at once and its interfaces are opened again.
 */
export class Capture {
  readonly #options: CaptureOptions;
  readonly #storms: StormMode;
  readonly #watched = new Map<IfIndex, CapturedInterface<ReaderProcess>>();
  readonly #children: CaptureSupervisor;
  #shared: ReaderProcess | undefined;
  #respawn: NodeJS.Timeout | undefined;
  #earlyDeaths = 0;
  #serial = 0;
  readonly #floodTimer: NodeJS.Timeout;
  readonly #absorb = new Uint8Array(SUPPRESS_BYTES);
  readonly #totals = { frames: 0, batches: 0, sent: 0, sendRefused: 0, restarts: 0 };

  /** Nothing happens before the first open(). No callback is called from within a method, except by close(). */
  constructor(options: CaptureOptions) {
    this.#options = options;
    this.#children = new CaptureSupervisor({
      childArgument: options.childArgument,
      onRecord: (child, kind, iface, payload) => this.#onRecord(child, kind, iface, payload),
      onBatchEnd: () => this.#onBatchEnd(),
      onDeath: (child, reason) => this.#onDeath(child, reason),
      onFatal: (message) => options.onFatal(message),
      onWarning: (message) => options.onWarning(message),
    });
    this.#storms = new StormMode(
      () => options.acquaintances?.() ?? [],
      (iface, kind, payload) => this.#watched.get(iface)?.child?.lifeline.inject(kind, iface, payload),
    );
    this.#floodTimer = setInterval(() => this.#judgeFloods(), FLOOD_WINDOW_MS).unref();
  }

  /**
   * Captures on the interface from now until close(), through failures and deaths. The same link again is no change
   * but hastens a retry; another name or MAC opens it anew.
   */
  open(link: CaptureLink): void {
    const known = this.#watched.get(link.index);
    if (known === undefined) {
      const ringBytes = this.#options.bufferBytes ?? ringBytesFor(this.#watched.values());
      const watched = watch<ReaderProcess>(link, ringBytes);
      this.#watched.set(link.index, watched);
      this.#openIn(this.#home(), watched);
      return;
    }
    const changed = known.link.name !== link.name || filterOf(known.link) !== filterOf(link);
    known.link = link;
    if (changed && known.next !== undefined) {
      this.#closeIn(known.next.child, link.index);
      known.next = undefined;
    }
    if (changed || known.retry !== undefined) this.#openIn(known.child ?? this.#home(), known);
  }

  /** Ends it; when it was open, onState says so before this returns. */
  close(index: IfIndex): void {
    const watched = this.#watched.get(index);
    if (watched === undefined) return;
    clearTimeout(watched.retry);
    this.#watched.delete(index);
    for (const child of this.#children) this.#closeIn(child, index);
    if (watched.open) this.#options.onState(index, false, 'closed');
  }

  /**
   * Sends one whole Ethernet frame, after all that were sent before it on this interface; it leaves at the end of the
   * current callback or at flush(). False: it cannot leave, counted as `sendRefused`.
   */
  send(iface: IfIndex, bytes: Uint8Array): boolean {
    const watched = this.#watched.get(iface);
    if (watched?.open !== true || watched.child?.lifeline.inject(INJECT, iface, bytes) !== true) {
      this.#totals.sendRefused++;
      return false;
    }
    this.#totals.sent++;
    return true;
  }

  /**
   * Announcements (sender = target) of this host need not be delivered for so long; 0 revokes it. They still count as
   * `absorbed`. Nothing else is held back: not its answers, requests or probes, and nothing with another MAC.
   */
  absorb(iface: IfIndex, ip: Ip, mac: Mac, forMs: number): void {
    const child = this.#watched.get(iface)?.child;
    if (child === undefined || !isIpv4(ip)) return;
    const macHigh = Math.floor(mac / 2 ** 32);
    writeSuppress(this.#absorb, { ip, macHigh, macLow: mac % 2 ** 32, forMs });
    child.lifeline.inject(SUPPRESS, iface, this.#absorb);
  }

  /**
   * A storm: ARP frames of strangers need not be delivered for so long, they still count as `refused`. Answers to our
   * questions, RARP and what acquaintances say or probe for are delivered.
   */
  refuseNewcomers(iface: IfIndex, forMs: number): void {
    const watched = this.#watched.get(iface);
    if (watched?.child !== undefined) this.#storms.refuse(iface, watched.serial, forMs, performance.now());
  }

  /** This host is no stranger any more. */
  know(ip: Ip, mac: Mac): void {
    this.#storms.know([ip, mac], performance.now());
  }

  flush(): void {
    for (const child of this.#children) child.lifeline.flush();
  }

  stats(): CaptureStats {
    const children = [...this.#children].flatMap(({ process: { pid }, interfaces, flood }) =>
      pid === undefined ? [] : [{ pid, interfaces: interfaces.size, flood, rssBytes: residentBytes(pid) }],
    );
    return { ...this.#totals, children, interfaces: [...this.#watched.values()].map(statsOf) };
  }

  /** Sends what is waiting, ends all children and resolves when they are gone. No callback follows the call. */
  async stop(): Promise<void> {
    clearInterval(this.#floodTimer);
    clearTimeout(this.#respawn);
    for (const watched of this.#watched.values()) clearTimeout(watched.retry);
    this.#watched.clear();
    await this.#children.stop();
  }

  /** The child that all quiet interfaces share; undefined while a dead one's replacement has to wait. */
  #home(): ReaderProcess | undefined {
    if (this.#shared === undefined && this.#respawn === undefined) this.#shared = this.#children.spawn(false);
    return this.#shared;
  }

  #onDeath(child: ReaderProcess, reason: string | undefined): void {
    if (child === this.#shared) this.#shared = undefined;
    if (reason === undefined) return;
    this.#totals.restarts++;
    const early = performance.now() - child.startedAt < STEADY_MS;
    this.#earlyDeaths = child.ready && early ? this.#earlyDeaths + 1 : 0;
    if (this.#earlyDeaths > 1 && this.#respawn === undefined) {
      const waitMs = Math.min(RESPAWN_MOST_MS, RESPAWN_FIRST_MS * 2 ** (this.#earlyDeaths - 2));
      this.#respawn = setTimeout(() => this.#reopenOrphans(), waitMs);
    }
    for (const iface of child.interfaces) {
      const watched = this.#watched.get(iface);
      if (watched === undefined) continue;
      if (watched.next?.child === child) watched.next = undefined;
      if (watched.child !== child) continue;
      carryOverCounters(watched);
      watched.child = watched.next?.child;
      watched.serial = watched.next?.serial ?? 0;
      watched.next = undefined;
      this.#notOpen(watched, reason);
    }
    if (this.#respawn === undefined) this.#reopenOrphans();
  }

  #reopenOrphans(): void {
    this.#respawn = undefined;
    for (const watched of this.#watched.values()) {
      if (watched.child === undefined && watched.retry === undefined) this.#openIn(this.#home(), watched);
    }
  }

  #openIn(child: ReaderProcess | undefined, watched: CapturedInterface<ReaderProcess>): void {
    clearTimeout(watched.retry);
    watched.retry = undefined;
    watched.child = child;
    if (child === undefined) return;
    watched.serial = this.#command(child, watched);
  }

  #command(child: ReaderProcess, watched: CapturedInterface<ReaderProcess>): number {
    const { link, ringBytes } = watched;
    this.#serial = (this.#serial + 1) >>> 0;
    child.interfaces.add(link.index);
    const { index: iface, name } = link;
    const record = encodeOpen({ iface, serial: this.#serial, ringBytes, name, filter: filterOf(link) });
    child.orders.give(iface, { record, answered: true });
    return this.#serial;
  }

  #closeIn(child: ReaderProcess, iface: IfIndex): void {
    if (!child.interfaces.delete(iface)) return;
    child.orders.give(iface, { record: encodeRecord(CLOSE, iface), answered: false });
    // What it has still to say is read before it is gone.
    if (child.flood && child.interfaces.size === 0) child.lifeline.end();
  }

  #notOpen(watched: CapturedInterface<ReaderProcess>, reason: string): void {
    const news = watched.open || watched.reason !== reason;
    watched.open = false;
    watched.reason = reason;
    if (news) this.#options.onState(watched.link.index, false, reason);
  }

  #onBatchEnd(): void {
    this.#totals.batches++;
    this.#options.onBatchEnd();
  }

  #onRecord(child: ReaderProcess, kind: number, iface: IfIndex, payload: Uint8Array): void {
    if (kind === OPENED || kind === FAILED) child.orders.onAnswer(iface);
    const watched = this.#watched.get(iface);
    if (kind === FRAME) {
      if (watched?.open !== true) return;
      watched.frames++;
      this.#totals.frames++;
      this.#options.onFrame(iface, payload);
    } else if (watched === undefined || kind === CLOSED) {
      return;
    } else if (kind === OPENED) {
      this.#onOpened(child, watched, decodeOpenResult(payload).serial);
    } else if (kind === FAILED) {
      const { serial, text } = decodeOpenResult(payload);
      this.#onFailed(watched, serial, text);
    } else if (kind === COUNTERS) {
      if (watched.child === child) watched.counters = decodeCounters(payload);
    } else if (kind === SEND_FAILED) {
      this.#options.onWarning(`${watched.link.name}: ${decodeText(payload)}`);
    }
  }

  #onOpened(child: ReaderProcess, watched: CapturedInterface<ReaderProcess>, serial: number): void {
    if (serial === watched.next?.serial) {
      const former = watched.child;
      carryOverCounters(watched);
      watched.child = child;
      watched.serial = serial;
      watched.next = undefined;
      setTimeout(() => {
        if (former !== undefined && this.#watched.get(watched.link.index)?.child !== former) {
          this.#closeIn(former, watched.link.index);
        }
      }, HANDOVER_MS);
    } else if (serial === watched.serial && child === watched.child) {
      watched.retryMs = RETRY_FIRST_MS;
      watched.open = true;
      watched.reason = '';
      this.#options.onState(watched.link.index, true, '');
    }
  }

  #onFailed(watched: CapturedInterface<ReaderProcess>, serial: number, text: string): void {
    if (serial === watched.next?.serial) {
      watched.next = undefined;
      return;
    }
    if (serial !== watched.serial) return;
    if (/permission|not permitted/i.test(text)) {
      this.#children.fatal(
        `cannot capture on ${watched.link.name}: ${text}. Run marpd as root or grant it CAP_NET_RAW`,
      );
    }
    this.#notOpen(watched, text);
    watched.retry = setTimeout(
      () => this.#openIn(watched.child ?? this.#home(), watched),
      nextRetryMs(watched),
    );
  }

  /** Twice a second: who is flooded gets a child of its own, who has long been quiet comes back. */
  #judgeFloods(): void {
    const { floodFramesPerSecond = FLOOD_FRAMES_PER_SECOND, quietMs = QUIET_MS } = this.#options;
    const now = performance.now();
    for (const watched of this.#watched.values()) {
      const verdict = classifyRate(watched, { floodFramesPerSecond, quietMs }, now);
      const { child } = watched;
      if (child === undefined || !watched.open || watched.next !== undefined) continue;
      let target: ReaderProcess | undefined;
      if (!child.flood && verdict === 'flooded' && child.interfaces.size > 1) target = this.#floodChild();
      else if (child.flood && verdict === 'quiet') target = this.#home();
      if (target !== undefined) watched.next = { child: target, serial: this.#command(target, watched) };
    }
  }

  #floodChild(): ReaderProcess | undefined {
    const others = [...this.#children].filter(({ flood }) => flood);
    return others.length < FLOOD_CHILDREN ? this.#children.spawn(true) : undefined;
  }
}
