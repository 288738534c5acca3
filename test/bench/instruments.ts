import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../lab/kit/namespace.js';
import { Program } from '../lab/kit/program.js';

/** The programs arpbench.c, limit.c and noise.c, compiled once per version of them. */
type Source = 'arpbench' | 'limit' | 'shellout' | 'noise';

function compiled(name: Source): string {
  const source = join(import.meta.dirname, `${name}.c`);
  const hash = createHash('sha256');
  for (const part of [source, join(import.meta.dirname, 'nd.h')]) hash.update(readFileSync(part));
  const version = hash.digest('hex').slice(0, 12);
  const cache = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'marpd-bench');
  const program = join(cache, `${name}-${version}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Renamed when complete: another bench may compile at the same time.
  const unfinished = `${program}.${process.pid}`;
  execFileSync('cc', ['-O2', '-o', unfinished, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  renameSync(unfinished, program);
  return program;
}

/** Compiles before anything is measured. */
export function prepareInstruments(): void {
  for (const name of ['arpbench', 'limit', 'noise'] as const) compiled(name);
}

/** Milliseconds from a frame to the kernel's route. */
export interface Latency {
  readonly hosts: number;
  readonly missed: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface Burst {
  readonly sent: number;
  readonly sentMs: number;
  readonly learned: number;
  readonly ms: number;
  readonly perSecond: number;
}

/** One end of a cable to a router: where the hosts of a measurement are. */
export interface Port {
  readonly crowd: Namespace;
  readonly iface: string;
  readonly router: Namespace;
}

/** One announcement at a time, `gapMs` between a route and the next one. */
export async function measureLatency(port: Port, ip: string, hosts: number, gapMs: number): Promise<Latency> {
  return parseLatency(await arpbench('lat', port, hosts, Math.round(gapMs * 1000), ip));
}

/** A newcomer on each of `count` taps that are made and vanish one after the other; it speaks `waitMs` after link-up. */
export async function measureTaps(
  router: Namespace,
  prefix: string,
  ip: string,
  count: number,
  waitMs: number,
): Promise<Latency> {
  const port = { crowd: router, iface: prefix, router };
  return parseLatency(await arpbench('tap', port, count, Math.round(waitMs * 1000), ip));
}

/**
 * As many newcomers at once; `perSecond` 0 is full speed. `mute`: somebody else answers for them. `50-600`: they answer so
 * many ms late.
 */
export async function measureBurst(
  port: Port,
  ip: string,
  hosts: number,
  perSecond = 0,
  answers?: 'mute' | `${number}-${number}`,
): Promise<Burst> {
  const text = await arpbench(
    'burst',
    port,
    hosts,
    perSecond,
    ip,
    answers === undefined ? {} : answers === 'mute' ? { NOANSWER: '1' } : { LATE: answers },
  );
  const match = /sent (\d+) in (\d+) ms; routes (\d+)\/\d+ in ([\d.]+) ms = (\d+)\/s/.exec(text);
  if (match === null) throw new Error(`arpbench burst: ${text}`);
  const [sent, sentMs, learned, ms, rate] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { sent, sentMs, learned, ms, perSecond: rate };
}

async function arpbench(
  mode: string,
  port: Port,
  hosts: number,
  option: number,
  ip: string,
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const { crowd, iface, router } = port;
  const argv = [compiled('arpbench'), mode, crowd.name, iface, router.name, `${hosts}`, `${option}`, ip];
  const program = new Program(router, argv, { title: `arpbench ${mode}`, env });
  await program.ended(300_000);
  if (program.status === 2 || /overrun/.test(program.output)) {
    throw new Error(`arpbench ${mode} cannot measure: ${program.output}`);
  }
  return program.output;
}

function parseLatency(text: string): Latency {
  const counts = /^lat n=(\d+) missed=(\d+)/m.exec(text);
  if (counts === null) throw new Error(`arpbench lat: ${text}`);
  const value = (name: string) => Number(new RegExp(`${name} ([\\d.]+)`).exec(text)?.[1] ?? Number.NaN);
  return {
    hosts: Number(counts[1]) + Number(counts[2]),
    missed: Number(counts[2]),
    p50: value('p50'),
    p90: value('p90'),
    p99: value('p99'),
    max: value('max'),
  };
}

/**
 * A floor in C on an interface of the namespace: `limit` writes routes by netlink, `shellout` writes the lines of a claim
 * to `ip -batch`. Ends with its lab.
 */
export async function startFloor(
  router: Namespace,
  iface: string,
  floor: 'limit' | 'shellout' = 'limit',
): Promise<Program> {
  const program = new Program(router, router.argv(compiled(floor), iface), { quiet: true });
  await program.line(/^ready$/);
  return program;
}

/** Where a host sends packets, and by way of whose MAC. */
export interface Packets {
  readonly from: string;
  readonly mac: string;
  readonly to: string;
  readonly count: number;
}

/** From the first packet to a stale neighbour until the host is told where it is, for one after the other. */
export async function measureRepairs(
  { crowd, iface }: Port,
  { from, mac, to, count }: Packets,
  gapMs: number,
): Promise<Latency> {
  const argv = [compiled('noise'), 'single', iface, from, mac, to, `${count}`, `${gapMs}`];
  const program = new Program(crowd, crowd.argv(...argv), { title: 'noise single' });
  await program.ended(count * 1500 + 10_000);
  return parseLatency(program.output);
}

export class Noise {
  private constructor(readonly program: Program) {}

  private static async start(
    port: Port,
    mode: string,
    ...words: readonly (string | number)[]
  ): Promise<Noise> {
    const argv = [compiled('noise'), mode, port.iface, ...words.map(String)];
    const noise = new Noise(new Program(port.crowd, port.crowd.argv(...argv), { title: `noise ${mode}` }));
    await noise.program.line(/^ready$/);
    return noise;
  }

  /** Answers for these hosts until it is stopped. */
  static hosts(port: Port, ip: string, count: number): Promise<Noise> {
    return Noise.start(port, 'hosts', ip, count);
  }

  /** These hosts, known already, announce themselves again and again. */
  static refresh(port: Port, ip: string, count: number, perSecond: number, ms: number): Promise<Noise> {
    return Noise.start(port, 'refresh', ip, count, perSecond, ms);
  }

  static storm(port: Port, kind: StormKind, perSecond: number, ms: number): Promise<Noise> {
    return Noise.start(port, 'storm', kind, perSecond, ms, 1);
  }

  /** The host `from` sends small IPv4 packets to `count` addresses from `to` upwards by way of `mac`; 0: at full speed. */
  static packets(
    port: Port,
    { from, mac, to, count }: Packets,
    perSecond: number,
    ms: number,
  ): Promise<Noise> {
    return Noise.start(port, 'packets', from, mac, to, count, perSecond, ms);
  }

  get running(): boolean {
    return this.program.running;
  }

  /** Waits for the end. Returns how many frames per second there were really. */
  async rate(timeoutMs = 120_000): Promise<number> {
    await this.program.ended(timeoutMs);
    const { text } = await this.program.line(/^sent /);
    const [sent, ms] = text.replace('sent ', '').split(' in ').map(Number) as [number, number];
    return (sent / ms) * 1000;
  }

  /** Ends it. Returns how many frames per second there were. */
  finish(): Promise<number> {
    this.program.child.kill('SIGTERM');
    return this.rate();
  }

  async stop(): Promise<void> {
    await this.program.stop('SIGKILL');
  }
}

type ArpStorm = 'random' | 'sender' | 'repeat' | 'malformed' | 'rarp';
type NdStorm = 'nd-random' | 'nd-sender' | 'nd-repeat' | 'nd-malformed' | 'nd-questions' | 'mld';
export type StormKind = ArpStorm | NdStorm;

/** Runs `ip -batch FILE` on ready commands. Returns its milliseconds from start to exit. */
export function timeBatch(namespace: Namespace, file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn('ip', ['-n', namespace.name, '-batch', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    namespace.lab.adopt(child);
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(performance.now() - began);
      else reject(new Error(`ip -batch: status ${status}: ${said.slice(0, 500)}`));
    });
  });
}
