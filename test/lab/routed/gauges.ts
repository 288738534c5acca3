import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../kit/namespace.js';
import { Program, waitFor } from '../kit/program.js';

/**
 * The instruments of gauges.c. All times are nanoseconds of CLOCK_MONOTONIC as a number; a double holds them exactly
 * for a hundred days of uptime.
 */

/** Nanoseconds of CLOCK_MONOTONIC. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

/** One change of a host route in a kernel, as the kernel announced it. */
export interface RouteEvent {
  readonly at: number;
  readonly role: string;
  readonly added: boolean;
  readonly ip: string;
  readonly table: number;
  readonly protocol: number;
  readonly metric: number;
  /** Next hop, `multipath`, or undefined for a directly connected host. */
  readonly via: string | undefined;
}

export class RouteWatch {
  readonly events: RouteEvent[] = [];

  private constructor(readonly program: Program) {
    program.onLine(({ text }) => this.#take(text));
  }

  static async start(namespaces: readonly Namespace[]): Promise<RouteWatch> {
    const places = namespaces.map((namespace) => `${namespace.role}=${namespace.name}`);
    const first = namespaces[0] as Namespace;
    const watch = new RouteWatch(new Program(first, [gauges(), 'watch', ...places], { quiet: true }));
    await watch.program.line(/^ready$/);
    return watch;
  }

  /** What happened to one host since then, oldest first. */
  of(ip: string, since = 0): RouteEvent[] {
    return this.events.filter((event) => event.ip === ip && event.at >= since);
  }

  #take(line: string): void {
    const match = /^(\d+) (\S+) (add|del) (\S+) table (\d+) proto (\d+) metric (\d+) via (\S+) dev \S+$/.exec(
      line,
    );
    if (match === null) {
      if (line.endsWith('overrun')) throw new Error(`the route watch lost events: ${line}`);
      return;
    }
    const [, at, role, verb, ip, table, protocol, metric, via] = match as unknown as [string, ...string[]];
    this.events.push({
      at: Number(at),
      role: role as string,
      added: verb === 'add',
      ip: ip as string,
      table: Number(table),
      protocol: Number(protocol),
      metric: Number(metric),
      via: via === '-' ? undefined : via,
    });
  }
}

/** What a stream saw between two times; ms. */
export interface StreamWindow {
  readonly sent: number;
  readonly lost: number;
  /** Longest time without an echo, less the one period that lies between two echoes anyway. */
  readonly outageMs: number;
  /** When that began, ns. */
  readonly outageBegan: number;
  readonly longestRttMs: number;
  /** Longest pause of the sender itself: what the machine, not the network, is to blame for. */
  readonly senderStallMs: number;
}

/** A numbered datagram every millisecond to the UDP echo of a host. */
export class Stream {
  readonly #answers: string[] = [];

  private constructor(
    readonly program: Program,
    readonly periodMs: number,
  ) {
    program.onLine(({ text }) => {
      if (text.startsWith('window ')) this.#answers.push(text);
    });
  }

  static readonly PORT = 7;
  /** An echo that takes longer is lost. */
  static readonly LATE_MS = 40;

  /** The echo server of a host, which all streams share. */
  static async echo(namespace: Namespace): Promise<Program> {
    const program = new Program(namespace, [gauges(), 'echo', String(Stream.PORT)], { quiet: true });
    await program.line(/^ready$/);
    return program;
  }

  static async start(from: Namespace, ip: string, periodMs = 1): Promise<Stream> {
    const argv = [gauges(), 'stream', ip, String(Stream.PORT), String(periodMs * 1000)];
    const stream = new Stream(new Program(from, argv, { quiet: true }), periodMs);
    await stream.program.line(/^ready$/);
    return stream;
  }

  /** What happened between two times (ns). The last echoes need a moment: ask a little later than `to`. */
  async window(from: number, to: number): Promise<StreamWindow> {
    this.program.write(`window ${Math.round(from)} ${Math.round(to)}\n`);
    const answer = await waitFor(() => this.#answers.shift(), 5000, 'the report of the stream', 1);
    const [sent, lost, silence, began, rtt, stall] = answer.split(' ').slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return {
      sent,
      lost,
      outageMs: Math.max(0, silence / 1e6 - this.periodMs),
      outageBegan: began,
      longestRttMs: rtt / 1e6,
      senderStallMs: Math.max(0, stall / 1e6 - this.periodMs),
    };
  }

  /** True while echoes come back, however late within `LATE_MS` they do on a busy machine. */
  async flows(withinMs = 20): Promise<boolean> {
    const { sent, lost } = await this.latest(withinMs);
    return sent > 0 && lost === 0;
  }

  /** What happened to the datagrams of the last `withinMs`, less the time that their echoes may take. */
  latest(withinMs: number): Promise<StreamWindow> {
    const to = monotonicNs() - Stream.LATE_MS * 1e6;
    return this.window(to - withinMs * 1e6, to);
  }
}

/** When a cable was moved; ns. */
export interface Moved {
  readonly before: number;
  readonly plugged: number;
  /** The host's first frame at the new place was sent. */
  readonly spoke: number;
}

/** Moves cables and lets the moved host speak, with nothing in between. */
export class Replugger {
  readonly #answers: string[] = [];

  private constructor(readonly program: Program) {
    program.onLine(({ text }) => {
      if (text.startsWith('moved ')) this.#answers.push(text);
    });
  }

  static async start(network: Namespace): Promise<Replugger> {
    const replugger = new Replugger(
      new Program(network, [gauges(), 'replug', network.name], { title: 'replug' }),
    );
    await replugger.program.line(/^ready$/);
    return replugger;
  }

  /**
   * @param bridge the segment to plug it into, undefined to pull it out
   * @param carrierDrop whether the card notices
   * @param frames what `eth0` of the host sends then
   */
  async move(
    port: string,
    bridge: string | undefined,
    host: Namespace,
    carrierDrop: boolean,
    frames: readonly Uint8Array[] = [],
  ): Promise<Moved> {
    const hex =
      frames.length === 0 ? '-' : frames.map((frame) => Buffer.from(frame).toString('hex')).join(',');
    this.program.write(`move ${port} ${bridge ?? '-'} ${carrierDrop ? 1 : 0} ${host.name} ${hex}\n`);
    const answer = await waitFor(() => this.#answers.shift(), 5000, 'the cable to be moved', 1);
    const [before, plugged, spoke] = answer.split(' ').slice(1).map(Number) as [number, number, number];
    return { before, plugged, spoke };
  }
}

/** Many hosts behind one cable, each with its own MAC 02:00:<ip>: answer ARP and ICMP echo, announce on command. */
export class Crowd {
  private constructor(readonly program: Program) {}

  static async start(namespace: Namespace, ip: string, count: number): Promise<Crowd> {
    const crowd = new Crowd(new Program(namespace, [gauges(), 'hosts', 'eth0', ip, String(count)]));
    await crowd.program.line(/^ready$/);
    return crowd;
  }

  announce(): void {
    this.program.write('announce\n');
  }
}

/** Pings `count` hosts until each has answered. Returns when that was, ns. @throws when some never do */
export async function sweepHosts(
  from: Namespace,
  ip: string,
  count: number,
  limitMs: number,
): Promise<number> {
  const program = new Program(from, [gauges(), 'sweep', ip, String(count), String(limitMs)]);
  const { text } = await program.line(/^(all|missing) /, limitMs + 5000);
  if (text.startsWith('missing')) throw new Error(`after ${limitMs} ms of pings: ${text}`);
  return Number(text.split(' ')[1]);
}

/** What to add to CLOCK_MONOTONIC for the time since 1970, both in ns. */
export async function realtimeOffset(namespace: Namespace): Promise<number> {
  const program = new Program(namespace, [gauges()], { quiet: true });
  const { text } = await program.line(/^clock /);
  const [monotonic, realtime] = text.split(' ').slice(1).map(BigInt) as [bigint, bigint];
  return Number(realtime - monotonic);
}

/** Compiles gauges.c once per version of it; returns the program's path. */
function gauges(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const source = join(here, 'gauges.c');
  const version = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const cache = join(here, '..', '..', '..', 'node_modules', '.cache', 'marpd-lab');
  const program = join(cache, `gauges-${version}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Renamed when complete: another test may compile at the same time.
  const unfinished = `${program}.${process.pid}`;
  execFileSync('cc', ['-O2', '-o', unfinished, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  renameSync(unfinished, program);
  return program;
}
