import { stripVTControlCharacters } from 'node:util';
import type { EventRecord } from '../../src/control/schemas.js';
import type { Marpd } from './marpd.js';
import type { Namespace } from './namespace.js';
import { type Captured, type Capture, asArp, asEcho } from './pcap.js';
import { clock } from './program.js';
import { type RouteChange, RouteLog, parseStamp } from './route-log.js';

/**
 * What a person watches: frames, the daemon's transitions, the kernel's routes and the pings, merged into one column
 * of time. Each source has its own delay, so a line is held back for a moment and printed in the order of its own
 * time stamp.
 */

const HOLD_BACK_MS = 120;
const PRINT_EVERY_MS = 40;
/** Silence after which the next thing that happens starts counting at zero again, when nobody names the cause. */
const QUIET_MS = 3000;
/** A gap between two echoes that is worth a line. */
const GAP_MS = 60;

const COLUMNS = { time: 12, where: 8, what: 62 };

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

interface Entry {
  readonly at: number;
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
  readonly #entries: Entry[] = [];
  readonly #said = new Set<string>();
  readonly #captures: { readonly capture: Capture; readonly where: string; seen: number }[] = [];
  readonly #stops: (() => void)[] = [];
  #cause: number | undefined;
  #lastAt = 0;
  #lastEchoAt = 0;
  #printer: NodeJS.Timeout | undefined;

  constructor(
    readonly cast: Cast,
    readonly write: (text: string) => void = (text) => process.stdout.write(text),
  ) {}

  /** Frames of one segment, from a capture that is already running. */
  watchFrames(capture: Capture, where: string): void {
    this.#captures.push({ capture, where, seen: 0 });
  }

  /** Transitions, answers and alarms of the daemon. */
  async watchDaemon(marpd: Marpd): Promise<void> {
    const stream = await marpd.ctl.follow((record) => this.#takeRecord(record));
    this.#stops.push(() => stream.stop());
  }

  /** Routes of the kernel in a namespace. */
  async watchRoutes(namespace: Namespace): Promise<void> {
    (await RouteLog.start(namespace)).onChange((change) => this.#takeRoute(change));
  }

  start(): void {
    this.#printer = setInterval(() => this.#print(Date.now() - HOLD_BACK_MS), PRINT_EVERY_MS);
  }

  /** A new cause, named; time counts from the first thing that happens from now on, or from `at`. */
  chapter(title: string, explanation: string): void {
    this.#print(Number.POSITIVE_INFINITY);
    this.write(`\n${bold(title)}\n${dim(explanation)}\n\n`);
    this.#said.clear();
    this.#cause = undefined;
  }

  /** Time zero of the chapter, ms since 1970. */
  begin(at: number): void {
    this.#cause = at;
  }

  /** What the laboratory itself does. */
  act(what: string, at = Date.now()): void {
    this.#cause ??= at;
    this.#add({ at, where: 'lab', what, note: '' });
  }

  /** When the last line was noted, ms since 1970. */
  get lastAt(): number {
    return this.#lastAt;
  }

  /** Prints all that is known; call it when the chapter's aim is reached. */
  async finish(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, HOLD_BACK_MS * 1.5));
    this.#print(Number.POSITIVE_INFINITY);
  }

  stop(): void {
    clearInterval(this.#printer);
    for (const stop of this.#stops) stop();
    this.#print(Number.POSITIVE_INFINITY);
  }

  #takeFrame(frame: Captured, where: string): void {
    const echo = asEcho(frame);
    if (echo !== undefined) {
      this.#takeEcho(echo.kind, echo.fromIp, echo.toIp, frame.at);
      return;
    }
    const { hostIp, hostMac, gateway, routerMacs } = this.cast;
    const arp = asArp(frame);
    if (arp === undefined) return;
    const ours = routerMacs.has(arp.source);
    if (arp.senderIp !== hostIp && arp.targetIp !== hostIp && arp.source !== hostMac) return;
    const what =
      arp.opcode === 'request'
        ? `ARP who-has ${arp.targetIp} tell ${arp.senderIp}`
        : `ARP ${arp.senderIp} is-at ${arp.senderMac}`;
    let note = '';
    if (ours && arp.opcode === 'request' && arp.targetIp === hostIp) {
      note = arp.senderIp === gateway ? 'proof asked, in the name of its gateway' : 'proof asked';
    } else if (ours && arp.opcode === 'reply') note = `ARP answered on behalf of ${arp.senderIp}`;
    else if (!ours && arp.senderIp === arp.targetIp) note = 'frame seen: gratuitous ARP';
    else if (!ours && arp.opcode === 'request') note = 'frame seen: the host asks';
    else if (!ours && arp.opcode === 'reply') note = 'proof given';
    this.#once({ at: frame.at, where, what, note });
  }

  #takeEcho(kind: string, fromIp: string, toIp: string, at: number): void {
    const { hostIp } = this.cast;
    if (kind !== 'reply' || (fromIp !== hostIp && toIp !== hostIp)) return;
    const outage = at - this.#lastEchoAt;
    if (fromIp === hostIp) {
      if (outage > GAP_MS && this.#lastEchoAt > 0) {
        const note = `the remote host reaches it again (silence: ${outage.toFixed(0)} ms)`;
        this.#add({ at, where: 'ping', what: `echo back from ${fromIp}`, note });
      } else {
        this.#once({
          at,
          where: 'ping',
          what: `echo back from ${fromIp}`,
          note: 'the remote host reaches it',
        });
      }
      this.#lastEchoAt = at;
    } else {
      this.#once({
        at,
        where: 'ping',
        what: `echo back from ${fromIp}`,
        note: 'the host reaches the remote host',
      });
    }
  }

  #takeRecord(record: EventRecord): void {
    const at = parseStamp(record.time);
    if (at === undefined || (record.ip !== undefined && record.ip !== null && record.ip !== this.cast.hostIp))
      return;
    if (record.event === 'transition') {
      const place = record.interface === null ? '' : ` on ${String(record.interface)}`;
      this.#add({
        at,
        where: 'marpd',
        what: `${record.from} -> ${record.to}${place}`,
        note: `${record.cause}`,
      });
    } else if (record.event === 'installed') {
      const latency =
        typeof record.latencyMs === 'number' ? `, ${record.latencyMs.toFixed(2)} ms after the frame` : '';
      this.#add({
        at,
        where: 'marpd',
        what: `${record.age} claim installed`,
        note: `the kernel says yes${latency}`,
      });
    } else if (record.event === 'alarm') {
      this.#add({ at, where: 'marpd', what: `alarm: ${String(record.message)}`, note: '' });
    }
  }

  #takeRoute({ at, deleted, text }: RouteChange): void {
    if (!text.startsWith(`${this.cast.hostIp} `)) return;
    const note = deleted ? 'route withdrawn' : 'route';
    this.#add({ at, where: 'kernel', what: `${deleted ? '-' : '+'} ${text}`, note });
  }

  // A thing that repeats (keepalives, echoes) is told once per chapter.
  #once(entry: Entry): void {
    const key = `${entry.where} ${entry.what}`;
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.#add(entry);
  }

  #add(entry: Entry): void {
    if (
      entry.at - this.#lastAt > QUIET_MS &&
      this.#cause !== undefined &&
      entry.at - this.#cause > QUIET_MS * 4
    ) {
      this.#cause = undefined;
      this.#said.clear();
    }
    this.#lastAt = Math.max(this.#lastAt, entry.at);
    this.#entries.push(entry);
  }

  #print(until: number): void {
    for (const source of this.#captures) {
      const frames = source.capture.frames();
      for (const frame of frames.slice(source.seen)) this.#takeFrame(frame, source.where);
      source.seen = frames.length;
    }
    this.#entries.sort((a, b) => a.at - b.at);
    while (this.#entries[0] !== undefined && this.#entries[0].at <= until) {
      const entry = this.#entries.shift() as Entry;
      if (this.#cause === undefined) {
        this.#cause = entry.at;
        this.write(dim(`  ${clock(entry.at)}\n`));
      }
      this.write(`${formatEntry(entry, this.#cause)}\n`);
    }
  }
}

function formatEntry(entry: Entry, cause: number): string {
  const ms = entry.at - cause;
  const time = `${ms < 0 ? '-' : '+'}${Math.abs(ms).toFixed(Math.abs(ms) < 1000 ? 3 : 0)} ms`.padStart(
    COLUMNS.time,
  );
  const tone = { lab: bold, marpd: magenta, kernel: yellow, ping: green }[entry.where] ?? cyan;
  return `${dim(time)}  ${tone(entry.where.padEnd(COLUMNS.where))}${padded(entry.what)} ${blue(entry.note)}`.trimEnd();
}

function padded(text: string): string {
  return text + ' '.repeat(Math.max(0, COLUMNS.what - stripVTControlCharacters(text).length));
}
