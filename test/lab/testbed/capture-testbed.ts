// What the lab tests of capture/ stand on: a namespace of this run's own, veth pairs in it, frames, and processes
// that hold a Capture there. Needs root, iproute2 and cc.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CaptureStats } from '../../../src/capture/stats.js';

export const namespace = `marpd-cap-${process.pid}-${randomBytes(3).toString('hex')}`;
const scratch = mkdtempSync(join(tmpdir(), 'marpd-cap-'));
export const arpwire = join(scratch, 'arpwire');
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

export const ip = (...args: string[]) => execFileSync('ip', ['-n', namespace, ...args], { encoding: 'utf8' });
export const inside = (...args: string[]) => ['netns', 'exec', namespace, ...args];
export const wire = (...args: string[]) => execFileSync('ip', inside(arpwire, ...args), { encoding: 'utf8' });
export const running = (...args: string[]) => {
  const child = spawn('ip', inside(...args), { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  return new Promise<string>((resolve) => child.on('close', () => resolve(output)));
};

export function setUp(): void {
  execFileSync('cc', ['-O2', '-Wall', '-o', arpwire, here('arpwire.c')]);
  execFileSync('ip', ['netns', 'add', namespace]);
  ip('link', 'set', 'lo', 'up');
}

export const cleanUp = () => {
  for (const child of captureProcesses) child.process.kill('SIGKILL');
  spawnSync('ip', ['netns', 'del', namespace], { stdio: 'ignore' });
  rmSync(scratch, { recursive: true, force: true });
};
process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline)
      assert.fail(`${what}: not within ${timeoutMs} ms\n${captureProcesses.map((s) => s.log).join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Report {
  interfaces: Record<
    string,
    {
      frames: number;
      rarp: number;
      icmpv6: Record<string, number>;
      other: number;
      senders: number;
      disorder: number;
    }
  >;
  batches: number;
  stats: CaptureStats;
}

interface Line {
  event: string;
  iface?: number;
  open?: boolean;
  reason?: string;
  message?: string;
  ok?: boolean;
  at?: number;
}

export const captureProcesses: CaptureProcess[] = [];

/** A process in the namespace that holds the Capture under test. */
export class CaptureProcess {
  readonly process: ChildProcess;
  readonly lines: Line[] = [];
  log = '';
  #report: ((report: Report) => void) | undefined;

  constructor(options: object = {}, wrapper: string[] = []) {
    const node = [process.execPath, '--import', import.meta.resolve('tsx'), here('capture-process.ts')];
    this.process = spawn('ip', inside(...wrapper, ...node, JSON.stringify(options)), { stdio: 'pipe' });
    this.process.stderr?.on('data', (chunk) => {
      this.log += chunk;
    });
    createInterface({ input: this.process.stdout as NodeJS.ReadableStream }).on('line', (text) => {
      const line = JSON.parse(text);
      if (line.event === 'report') return this.#report?.(line);
      this.log += `${text}\n`;
      this.lines.push(line);
    });
    captureProcesses.push(this);
  }

  command(command: string, fields: object = {}): void {
    this.process.stdin?.write(`${JSON.stringify({ command, ...fields })}\n`);
  }

  report(): Promise<Report> {
    return new Promise((resolve) => {
      this.#report = resolve;
      this.command('report');
    });
  }

  heard(iface: number) {
    return this.report().then(
      ({ interfaces }) =>
        interfaces[iface] ?? { frames: 0, rarp: 0, icmpv6: {}, other: 0, senders: 0, disorder: 0 },
    );
  }

  states(iface: number): string[] {
    return this.lines
      .filter((line) => line.event === 'state' && line.iface === iface)
      .map((line) => (line.open ? 'open' : (line.reason ?? '')));
  }

  async open(...interfaces: [number, string][]): Promise<this> {
    for (const [iface, name] of interfaces) this.command('open', { iface, name });
    for (const [iface] of interfaces) await this.isOpen(iface);
    return this;
  }

  isOpen(iface: number): Promise<true> {
    return until(`interface ${iface} open`, () => (this.states(iface).at(-1) === 'open' ? true : undefined));
  }

  hears(iface: number, senders: number, timeoutMs?: number) {
    const enough = async () => {
      const heard = await this.heard(iface);
      return heard.senders >= senders ? heard : undefined;
    };
    return until(`${senders} senders on ${iface}`, enough, timeoutMs);
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const closed = new Promise((resolve) => this.process.once('close', resolve));
    this.process.stdin?.end();
    const impatience = setTimeout(() => this.process.kill('SIGKILL'), 5000);
    await closed;
    clearTimeout(impatience);
  }
}

/** A fresh veth pair: the host's end, the router's end, and the latter's index. */
export function pair(name: string): { host: string; router: string; index: number } {
  const host = `${name}-host`;
  const router = `${name}-lan`;
  spawnSync('ip', ['-n', namespace, 'link', 'del', host], { stdio: 'ignore' });
  ip('link', 'add', host, 'type', 'veth', 'peer', 'name', router);
  for (const end of [host, router]) ip('link', 'set', end, 'up');
  const index = Number(/^(\d+):/.exec(ip('-o', 'link', 'show', router))?.[1]);
  return { host, router, index };
}

export const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
export const onlyChild = (report: Report) => {
  assert.equal(report.stats.children.length, 1);
  return report.stats.children[0]?.pid as number;
};

// A gratuitous ARP request of 10.1.1.5 and the same with a VLAN tag; RARP as QEMU sends it.
export const HOST = '020000000a05';
const body = `00010800060400${'01'}${HOST}0a010105${'000000000000'}0a010105`;
export const GRATUITOUS = `ffffffffffff${HOST}0806${body}`.padEnd(120, '0');
export const tagged = (tci: string) => `ffffffffffff${HOST}8100${tci}0806${body}`.padEnd(120, '0');
export const RARP = `ffffffffffff${HOST}80350001080006040003${HOST}00000000${HOST}00000000`.padEnd(120, '0');
/** An RFC 5227 probe of the same host. */
export const PROBE = GRATUITOUS.replace(`${HOST}0a010105`, `${HOST}00000000`);
export const OWN = GRATUITOUS.replaceAll(HOST, '020000000001');
export const IPV4 = `ffffffffffff${HOST}0800`.padEnd(120, '0');
