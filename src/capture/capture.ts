import type { IfIndex } from '../mobility/events.js';
import type { Child } from '../system/child-watch.js';
import type { Family, Ip, Mac } from '../wire/addresses.js';
import { wordsOf } from './family/sender.js';
import { BURST_FRAMES, STALLED_MS } from './overload/constants.js';
import type { ReadPace } from './overload/throttle.js';
import { ReaderSupervisor } from './supervisor.js';
import {
  ALIVE,
  SUPPRESS,
  SUPPRESS_BYTES,
  CLOSE,
  COUNTERS,
  FAILED,
  FRAME,
  INJECT,
  MISSED,
  OPENED,
  QUEUED,
  SEND_FAILED,
  STAMP,
  STAMPED_FRAME,
  STAMP_BYTES,
  decodeCounters,
  decodeText,
  decodeOpenResult,
  decodeStampMs,
  decodeQueued,
  encodeOpen,
  encodeRecord,
  writeSuppress,
} from './protocol.js';
import { type CaptureStats, residentBytes } from './stats.js';
import {
  type CaptureLink,
  REOPEN_MS,
  RETRY_FIRST_MS,
  type CapturedInterface,
  capturedInterface,
  filterOf,
  longFilterOf,
  nextRetryMs,
  carryOverCounters,
  ringBytesFor,
  statsOf,
} from './captured-interface.js';

export interface CaptureOptions {
  /** Of other families nothing is read. */
  readonly families: readonly Family[];
  /**
   * One frame, cut to 128 bytes, or to what a long message needs; `bytes` is valid only during the call. Own frames are filtered by source MAC. It has waited
   * for some `queuedMs` ms because what came before it was not read faster. `stampMs` is the kernel's time of it, ms since
   * 1970, while stamp() wants that.
   */
  onFrame(iface: IfIndex, bytes: Uint8Array, queuedMs: number, stampMs?: number): void;
  /** A batch of frames has been delivered. */
  onBatchEnd(): void;
  /** `open`: frames are captured from now on. Otherwise `reason` says why not; it is retried until close(). */
  onState(iface: IfIndex, open: boolean, reason: string): void;
  /** Frames of the interface were lost or refused a moment ago, or wait to be read. */
  onMissed?(iface: IfIndex): void;
  /** Capture cannot work on this machine as it is; `message` says what to do. Called once. */
  onFatal(message: string): void;
  onWarning(message: string): void;
  /** Kernel memory, resident, for an interface's frames that wait to be read. Default: 10 MB, less if there are many. */
  bufferBytes?: number;
  /** Frames of an interface that are read at any speed. Default 250,000. */
  burstFrames?: number;
  /** Frames per second of an interface that are read after such a burst. Default 60,000. */
  floodFramesPerSecond?: number;
  /** An argument of the reader that tells people what it is for. */
  task?: string;
}

/** The default of `flood_frames_per_second`. */
const FRAMES_PER_SECOND = 60_000;

/**
 * Captures neighbour messages on many interfaces and injects frames there, by way of a reader: a process that may die at
 * any moment. It is replaced at once, and its interfaces are opened again.
 */
export class Capture {
  readonly #options: CaptureOptions;
  readonly #pace: ReadPace;
  readonly #interfaces = new Map<IfIndex, CapturedInterface>();
  readonly #supervisor: ReaderSupervisor;
  #serial = 0;
  #aliveAt = Number.NEGATIVE_INFINITY;
  #stamping = false;
  readonly #suppress = new Uint8Array(SUPPRESS_BYTES);
  readonly #totals = { frames: 0, batches: 0, sent: 0, sendRefused: 0, restarts: 0 };

  /** Nothing happens before the first open(). No callback is called from within a method, except by close(). */
  constructor(options: CaptureOptions) {
    this.#options = options;
    const { burstFrames = BURST_FRAMES, floodFramesPerSecond = FRAMES_PER_SECOND } = options;
    this.#pace = { burstFrames, framesPerSecond: floodFramesPerSecond };
    this.#supervisor = new ReaderSupervisor({
      task: options.task,
      onRecord: (kind, iface, payload) => this.#onRecord(kind, iface, payload),
      onBatchEnd: () => this.#onBatchEnd(),
      onDeath: (reason) => this.#onDeath(reason),
      onRestart: () => this.#openAll(),
      onFatal: (message) => options.onFatal(message),
      onWarning: (message) => options.onWarning(message),
    });
  }

  /**
   * Captures on the interface from now until close(), through failures and deaths. The same link again is no change
   * but retries sooner; another MAC opens it anew.
   */
  open(link: CaptureLink): void {
    const known = this.#interfaces.get(link.index);
    if (known === undefined) {
      const ringBytes = this.#options.bufferBytes ?? ringBytesFor(this.#interfaces.values());
      const added = capturedInterface(link, ringBytes);
      this.#interfaces.set(link.index, added);
      this.#open(added);
      return;
    }
    // A handle is bound to the index: a new name changes nothing, and frames are lost while one is opened.
    const { families } = this.#options;
    const changed = filterOf(known.link, families) !== filterOf(link, families);
    known.link = link;
    if (changed || known.retry !== undefined) this.#open(known);
  }

  /** The interface may have been down, and its capture receives nothing since. At most once a second. */
  reopen(index: IfIndex): void {
    const known = this.#interfaces.get(index);
    if (known === undefined || known.retry !== undefined) return;
    const waitMs = known.openedAt + REOPEN_MS - performance.now();
    if (waitMs <= 0) this.#open(known);
    else known.retry = setTimeout(() => this.#open(known), waitMs);
  }

  /** Ends it; when it was open, onState says so before this returns. */
  close(index: IfIndex): void {
    const known = this.#interfaces.get(index);
    if (known === undefined) return;
    clearTimeout(known.retry);
    this.#interfaces.delete(index);
    this.#supervisor.reader?.commands.add(index, { record: encodeRecord(CLOSE, index), answered: false });
    if (known.open) this.#options.onState(index, false, 'closed');
  }

  /**
   * Sends one whole Ethernet frame, after all that were sent before it on this interface; it leaves at the end of the
   * current callback or at flush(). False: it cannot leave, counted as `sendRefused`.
   */
  send(iface: IfIndex, bytes: Uint8Array): boolean {
    const { reader } = this.#supervisor;
    if (!this.#interfaces.get(iface)?.open || reader?.channel.inject(INJECT, iface, bytes) !== true) {
      this.#totals.sendRefused++;
      return false;
    }
    this.#totals.sent++;
    return true;
  }

  /**
   * Announcements of this host (sender = target) need not be delivered for so long; 0 revokes it. They count as
   * `suppressed`. Nothing else is kept back: not its replies, requests or probes, and nothing with another MAC.
   */
  suppressRefreshes(iface: IfIndex, ip: Ip, mac: Mac, forMs: number): void {
    if (!this.#interfaces.has(iface)) return;
    const macHigh = Math.floor(mac / 2 ** 32);
    writeSuppress(this.#suppress, { ip: wordsOf(ip), macHigh, macLow: mac % 2 ** 32, forMs });
    this.#supervisor.reader?.channel.inject(SUPPRESS, iface, this.#suppress);
  }

  /** The reader stands still: what the interfaces bring is not heard now. */
  get isStalled(): boolean {
    return this.#supervisor.reader?.ready === true && performance.now() - this.#aliveAt > STALLED_MS;
  }

  /** Whether frames are to come with the kernel's time. */
  stamp(wanted: boolean): void {
    this.#stamping = wanted;
    this.#supervisor.reader?.channel.command(encodeRecord(STAMP, wanted ? 1 : 0));
  }

  flush(): void {
    this.#supervisor.reader?.channel.flush();
  }

  get children(): Child[] {
    const { child } = this.#supervisor;
    return child === undefined ? [] : [child];
  }

  stats(): CaptureStats {
    const pid = this.#supervisor.reader?.process.pid;
    const children =
      pid === undefined ? [] : [{ pid, interfaces: this.#interfaces.size, rssBytes: residentBytes(pid) }];
    return { ...this.#totals, children, interfaces: [...this.#interfaces.values()].map(statsOf) };
  }

  /** Sends what is waiting, ends the reader and resolves when it is gone. No callback follows the call. */
  async stop(): Promise<void> {
    for (const { retry } of this.#interfaces.values()) clearTimeout(retry);
    this.#interfaces.clear();
    await this.#supervisor.stop();
  }

  #onDeath(reason: string): void {
    this.#totals.restarts++;
    for (const known of this.#interfaces.values()) {
      carryOverCounters(known);
      known.serial = 0;
      known.queuedMs = 0;
      this.#notOpen(known, reason);
    }
  }

  #openAll(): void {
    for (const known of this.#interfaces.values()) if (known.retry === undefined) this.#open(known);
  }

  /** Without a reader, onRestart does it later. */
  #open(known: CapturedInterface): void {
    clearTimeout(known.retry);
    known.retry = undefined;
    known.openedAt = performance.now();
    const reader = this.#supervisor.start();
    if (reader === undefined) return;
    if (this.#stamping) reader.channel.command(encodeRecord(STAMP, 1));
    const { link, ringBytes } = known;
    this.#serial = (this.#serial + 1) >>> 0;
    known.serial = this.#serial;
    const { index: iface, name } = link;
    const { families } = this.#options;
    const request = {
      iface,
      serial: this.#serial,
      ringBytes,
      ...this.#pace,
      name,
      filter: filterOf(link, families),
      longFilter: longFilterOf(link, families),
    };
    reader.commands.add(iface, { record: encodeOpen(request), answered: true });
  }

  #notOpen(known: CapturedInterface, reason: string): void {
    const isNew = known.open || known.reason !== reason;
    known.open = false;
    known.reason = reason;
    if (isNew) this.#options.onState(known.link.index, false, reason);
  }

  #onBatchEnd(): void {
    this.#totals.batches++;
    this.#options.onBatchEnd();
  }

  #onRecord(kind: number, iface: IfIndex, payload: Uint8Array): void {
    if (kind === ALIVE || kind === OPENED) this.#aliveAt = performance.now();
    if (kind === OPENED || kind === FAILED) this.#supervisor.reader?.commands.onAnswer(iface);
    const known = this.#interfaces.get(iface);
    if (known === undefined) return;
    if (kind === FRAME || kind === STAMPED_FRAME) {
      if (!known.open) return;
      known.frames++;
      this.#totals.frames++;
      if (kind === FRAME) this.#options.onFrame(iface, payload, known.queuedMs);
      else
        this.#options.onFrame(
          iface,
          payload.subarray(0, payload.length - STAMP_BYTES),
          known.queuedMs,
          decodeStampMs(payload),
        );
    } else if (kind === QUEUED) {
      known.queuedMs = decodeQueued(payload);
    } else if (kind === OPENED) {
      this.#onOpened(known, decodeOpenResult(payload).serial);
    } else if (kind === FAILED) {
      const { serial, text } = decodeOpenResult(payload);
      if (serial === known.serial) this.#onFailed(known, text);
    } else if (kind === COUNTERS) {
      known.counters = decodeCounters(payload);
    } else if (kind === MISSED) {
      this.#options.onMissed?.(iface);
    } else if (kind === SEND_FAILED) {
      this.#options.onWarning(`${known.link.name}: ${decodeText(payload)}`);
    }
  }

  #onOpened(known: CapturedInterface, serial: number): void {
    // The counters of this opening begin anew, whichever it was.
    carryOverCounters(known);
    if (serial !== known.serial) return;
    known.retryMs = RETRY_FIRST_MS;
    known.open = true;
    known.reason = '';
    this.#options.onState(known.link.index, true, '');
  }

  #onFailed(known: CapturedInterface, text: string): void {
    if (/permission|not permitted/i.test(text)) {
      this.#supervisor.fatal(
        `cannot capture on ${known.link.name}: ${text}. Run marpd as root or grant it CAP_NET_RAW`,
      );
    }
    this.#notOpen(known, text);
    clearTimeout(known.retry);
    known.retry = setTimeout(() => this.#open(known), nextRetryMs(known));
  }
}
