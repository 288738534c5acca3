import { stripVTControlCharacters } from 'node:util';
import type { EventRecord } from '../../../src/control/records.js';
import type { Marpd } from '../kit/marpd.js';
import type { Namespace } from '../kit/namespace.js';
import { type Captured, type Capture, type SeenEcho, asArp, asEcho } from '../kit/pcap.js';
import { clock } from '../kit/program.js';
import { type RouteChange, RouteLog, parseStamp } from '../kit/route-log.js';

/**
 * What a person watches: frames, the daemon's transitions, the kernel's routes and the pings, merged into one column
 * of time. Each source has its own delay, so everything is held back for a moment and told in the order of its own
 * time stamps. Time counts from a cause: the first frame of the host after something was done to it, or the deed.
 */

const HOLD_BACK_MS = 120;
const PRINT_EVERY_MS = 40;
/** So long a deed of the laboratory waits for the frame that makes it known to the router. */
const FIRST_FRAME_MS = 250;
/** A frame of the host after this silence is a new cause; so is anything else after the longer one. */
const QUIET_MS = 1500;
const LONG_QUIET_MS = 4000;
/** Silence between two echoes that is worth a line. */
const GAP_MS = 60;

const COLUMNS = { time: 15, where: 8, what: 60 };

const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const paint =
  (code: string) =>
  (text: string): string =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text;

export const bold = paint('1');
export const dim = paint('2');
export const green = paint('32');
export const red = paint('31');
const yellow = paint('33');
const blue = paint('34');
const magenta = paint('35');
const cyan = paint('36');

type Item = { readonly at: number } & (
  | { readonly kind: 'lab'; readonly what: string }
  | { readonly kind: 'frame'; readonly frame: Captured; readonly where: string }
  | { readonly kind: 'record'; readonly record: EventRecord }
  | { readonly kind: 'route'; readonly change: RouteChange }
);

interface Told {
  readonly where: string;
  readonly what: string;
  readonly note: string;
}

/** The host and the router that the timeline is about. */
export interface Cast {
  readonly hostIp: string;
  readonly hostMac: string;
  readonly gateway: string;
  readonly routerMacs: ReadonlySet<string>;
}

export class Timeline {
  #items: Item[] = [];
  readonly #captures: { readonly capture: Capture; readonly where: string; seen: number }[] = [];
  readonly #stops: (() => void)[] = [];
  /** Lines of this cause that were told and need no repetition: keepalives, echoes. */
  readonly #said = new Set<string>();
  /** Metrics of the host's routes in the kernel. */
  readonly #routes = new Set<string>();
  #cause: number | undefined;
  #causeLan = '';
  #lastTold = 0;
  #lastEcho = 0;
  #printer: NodeJS.Timeout | undefined;

  constructor(
    readonly cast: Cast,
    readonly write: (text: string) => void = (text) => process.stdout.write(text),
  ) {}

  /** Frames of one segment, from a capture that is already running. */
  watchFrames(capture: Capture, where: string): void {
    this.#captures.push({ capture, where, seen: 0 });
  }

  /** Transitions, installed claims and alarms of the daemon. */
  async watchDaemon(marpd: Marpd): Promise<void> {
    const stream = await marpd.ctl.follow((record) => {
      const at = parseStamp(record.time);
      if (at !== undefined) this.#items.push({ at, kind: 'record', record });
    });
    this.#stops.push(() => stream.stop());
  }

  /** Routes of the kernel in a namespace. */
  async watchRoutes(namespace: Namespace): Promise<void> {
    const log = await RouteLog.start(namespace);
    log.onChange((change) => this.#items.push({ at: change.at, kind: 'route', change }));
  }

  start(): void {
    this.#printer = setInterval(() => this.#tell(Date.now() - HOLD_BACK_MS), PRINT_EVERY_MS);
  }

  step(title: string, explanation: string): void {
    this.#tell(Number.POSITIVE_INFINITY);
    this.write(`\n${bold(title)}\n${dim(explanation)}\n`);
  }

  /** What the laboratory does to the host: a new cause. */
  act(what: string, at = Date.now()): void {
    this.#items.push({ at, kind: 'lab', what });
  }

  /** Tells all that is known; call it when the step's aim is reached. */
  async finish(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, HOLD_BACK_MS * 1.5));
    this.#tell(Number.POSITIVE_INFINITY);
  }

  stop(): void {
    clearInterval(this.#printer);
    for (const stop of this.#stops) stop();
    this.#tell(Number.POSITIVE_INFINITY);
  }

  #tell(until: number): void {
    for (const source of this.#captures) {
      const frames = source.capture.frames();
      for (const frame of frames.slice(source.seen)) {
        this.#items.push({ at: frame.at, kind: 'frame', frame, where: source.where });
      }
      source.seen = frames.length;
    }
    this.#items.sort((a, b) => a.at - b.at);
    let told = 0;
    for (const item of this.#items) {
      if (item.at > until) break;
      if (item.kind === 'lab' && !this.#begin(item.at, until === Number.POSITIVE_INFINITY)) break;
      const line = this.#interpret(item);
      if (line !== undefined) this.#line(item, line);
      told++;
    }
    this.#items = this.#items.slice(told);
  }

  /** A deed is the cause of what follows; its time zero is the host's first frame, if one comes. */
  #begin(at: number, now: boolean): boolean {
    const word = this.#items.find((item) => item.at >= at && this.#isHostsWord(item));
    if (word === undefined && !now && Date.now() - at < FIRST_FRAME_MS) return false;
    this.#newCause(word !== undefined && word.at - at < FIRST_FRAME_MS ? word : { at });
    return true;
  }

  #newCause(cause: { readonly at: number; readonly where?: string }): void {
    this.#cause = cause.at;
    this.#causeLan = cause.where ?? '';
    this.#said.clear();
    this.write(dim(`\n  ${clock(cause.at)}\n`));
  }

  #isHostsWord(item: Item): item is Item & { kind: 'frame' } {
    if (item.kind !== 'frame') return false;
    const arp = asArp(item.frame);
    return arp?.source === this.cast.hostMac && (arp.opcode === 'request' || arp.senderIp === arp.targetIp);
  }

  #line(item: Item, { where, what, note }: Told): void {
    const quiet = item.at - this.#lastTold;
    if (item.kind !== 'lab' && quiet > (this.#isHostsWord(item) ? QUIET_MS : LONG_QUIET_MS)) {
      const since = this.#cause === undefined ? Number.POSITIVE_INFINITY : item.at - this.#cause;
      if (since > QUIET_MS) this.#newCause(item.kind === 'frame' ? item : { at: item.at });
    }
    this.#lastTold = item.at;
    this.write(`${formatLine(item.at - (this.#cause ?? item.at), where, what, note)}\n`);
  }

  #interpret(item: Item): Told | undefined {
    switch (item.kind) {
      case 'lab':
        return { where: 'lab', what: item.what, note: '' };
      case 'frame':
        return this.#interpretFrame(item.frame, item.where);
      case 'record':
        return this.#interpretRecord(item.record);
      case 'route':
        return this.#interpretRoute(item.change);
    }
  }

  #interpretFrame(frame: Captured, where: string): Told | undefined {
    const echo = asEcho(frame);
    if (echo !== undefined) return echo.kind === 'reply' ? this.#interpretEcho(echo) : undefined;
    const { hostIp, hostMac, gateway, routerMacs } = this.cast;
    const arp = asArp(frame);
    if (arp === undefined) return undefined;
    if (this.#cause === undefined) return undefined; // the kernel looks for the host before it is switched on
    const ours = routerMacs.has(arp.source);
    if (arp.senderIp !== hostIp && arp.targetIp !== hostIp && arp.source !== hostMac) return undefined;
    const what =
      arp.opcode === 'request'
        ? `ARP who-has ${arp.targetIp} tell ${arp.senderIp}`
        : `ARP ${arp.senderIp} is-at ${arp.senderMac}`;
    if (!this.#first(where, what)) return undefined;
    const gratuitous = arp.senderIp === arp.targetIp;
    if (!ours) {
      if (gratuitous) return { where, what, note: 'frame seen: gratuitous ARP' };
      return { where, what, note: arp.opcode === 'request' ? 'frame seen: the host asks' : 'proof given' };
    }
    if (gratuitous) return { where, what, note: 'neighbours at home are told to send to us' };
    if (arp.opcode === 'reply') return { where, what, note: `ARP answered for ${arp.senderIp}` };
    if (arp.destination === 'ff:ff:ff:ff:ff:ff') return { where, what, note: 'asked of the whole LAN' };
    if (this.#causeLan !== '' && where !== this.#causeLan)
      return { where, what, note: 'asked at the old place' };
    return { where, what, note: arp.senderIp === gateway ? 'proof asked, as its gateway' : 'proof asked' };
  }

  #interpretEcho({ fromIp, toIp, at }: SeenEcho): Told | undefined {
    const { hostIp } = this.cast;
    const what = `echo back from ${fromIp}`;
    if (toIp === hostIp && this.#first('ping', what)) {
      return { where: 'ping', what, note: 'the host reaches the remote host' };
    }
    if (fromIp !== hostIp) return undefined;
    const silence = this.#lastEcho === 0 ? 0 : at - this.#lastEcho;
    this.#lastEcho = at;
    // The last echo from the old place may come between the deed and the host's first frame.
    if (this.#cause === undefined || at < this.#cause) return undefined;
    if (!this.#first('ping', what) && silence < GAP_MS) return undefined;
    const gap = silence === 0 ? '' : `, silent for ${silence.toFixed(0)} ms`;
    return { where: 'ping', what, note: `the remote host reaches it${gap}` };
  }

  #interpretRecord(record: EventRecord): Told | undefined {
    if (record.ip !== this.cast.hostIp) return undefined;
    const where = 'marpd';
    if (record.event === 'transition') {
      const place = record.interface === null ? '' : ` on ${String(record.interface)}`;
      return { where, what: `${record.from} -> ${record.to}${place}`, note: String(record.cause) };
    }
    if (record.event === 'alarm') {
      return { where, what: `alarm: ${String(record.alarm)}`, note: String(record.message) };
    }
    if (record.event !== 'installed') return undefined;
    const ms =
      typeof record.latencyMs === 'number' ? `, ${record.latencyMs.toFixed(2)} ms after the frame` : '';
    return { where, what: `${record.age} claim installed`, note: `the kernel agrees${ms}` };
  }

  #interpretRoute({ deleted, text }: RouteChange): Told | undefined {
    if (!text.startsWith(`${this.cast.hostIp} `)) return undefined;
    const metric = /metric (\d+)/.exec(text)?.[1] ?? '0';
    const where = 'kernel';
    if (deleted) {
      this.#routes.delete(metric);
      const note = this.#routes.size === 0 ? 'route withdrawn' : 'the older route goes';
      return { where, what: `- ${text}`, note };
    }
    this.#routes.add(metric);
    const note =
      metric === '1' ? 'route, fresh: beats every protocol' : 'route, settled: yields to any protocol';
    return { where, what: `+ ${text}`, note };
  }

  /** True the first time that this is said since the cause. */
  #first(where: string, what: string): boolean {
    const key = `${where} ${what}`;
    if (this.#said.has(key)) return false;
    this.#said.add(key);
    return true;
  }
}

function formatLine(ms: number, where: string, what: string, note: string): string {
  const time = `${ms < 0 ? '-' : '+'}${Math.abs(ms).toFixed(3)} ms`.padStart(COLUMNS.time);
  const tone = { lab: bold, marpd: magenta, kernel: yellow, ping: green }[where] ?? cyan;
  return `${dim(time)}  ${tone(where.padEnd(COLUMNS.where))}${padded(what)} ${blue(note)}`.trimEnd();
}

function padded(text: string): string {
  return text + ' '.repeat(Math.max(0, COLUMNS.what - stripVTControlCharacters(text).length));
}
