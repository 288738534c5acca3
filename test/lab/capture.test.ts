// capture/ on real interfaces: veth pairs in a namespace of this run's own. Needs root, iproute2, tcpdump and cc.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CaptureStats } from '../../src/capture/stats.js';

const namespace = `marpd-cap-${process.pid}-${randomBytes(3).toString('hex')}`;
const scratch = mkdtempSync(join(tmpdir(), 'marpd-cap-'));
const arpwire = join(scratch, 'arpwire');
// MARPD_SOAK=1 runs the long stories in full.
const FLAPS = process.env.MARPD_SOAK === '1' ? 1000 : 100;
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

const ip = (...args: string[]) => execFileSync('ip', ['-n', namespace, ...args], { encoding: 'utf8' });
const inside = (...args: string[]) => ['netns', 'exec', namespace, ...args];
const wire = (...args: string[]) => execFileSync('ip', inside(arpwire, ...args), { encoding: 'utf8' });
const running = (...args: string[]) => {
  const child = spawn('ip', inside(...args), { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  return new Promise<string>((resolve) => child.on('close', () => resolve(output)));
};

const cleanUp = () => {
  spawnSync('ip', ['netns', 'del', namespace], { stdio: 'ignore' });
  rmSync(scratch, { recursive: true, force: true });
};
process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline)
      assert.fail(`${what}: not within ${timeoutMs} ms\n${sides.map((s) => s.log).join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

interface Report {
  interfaces: Record<
    string,
    { frames: number; rarp: number; other: number; senders: number; disorder: number }
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

const sides: Side[] = [];

/** A process in the namespace that holds the Capture under test. */
class Side {
  readonly process: ChildProcess;
  readonly lines: Line[] = [];
  log = '';
  #report: ((report: Report) => void) | undefined;

  constructor(options: object = {}, wrapper: string[] = []) {
    const node = [process.execPath, '--import', import.meta.resolve('tsx'), here('capture-side.ts')];
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
    sides.push(this);
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
      ({ interfaces }) => interfaces[iface] ?? { frames: 0, rarp: 0, other: 0, senders: 0, disorder: 0 },
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
function pair(name: string): { host: string; router: string; index: number } {
  const host = `${name}-host`;
  const router = `${name}-lan`;
  spawnSync('ip', ['-n', namespace, 'link', 'del', host], { stdio: 'ignore' });
  ip('link', 'add', host, 'type', 'veth', 'peer', 'name', router);
  for (const end of [host, router]) ip('link', 'set', end, 'up');
  const index = Number(/^(\d+):/.exec(ip('-o', 'link', 'show', router))?.[1]);
  return { host, router, index };
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
const onlyChild = (report: Report) => {
  assert.equal(report.stats.children.length, 1);
  return report.stats.children[0]?.pid as number;
};

// A gratuitous ARP request of 10.1.1.5 and the same with a VLAN tag; RARP as QEMU sends it.
const HOST = '020000000a05';
const body = `00010800060400${'01'}${HOST}0a010105${'000000000000'}0a010105`;
const GRATUITOUS = `ffffffffffff${HOST}0806${body}`.padEnd(120, '0');
const tagged = (tci: string) => `ffffffffffff${HOST}8100${tci}0806${body}`.padEnd(120, '0');
const RARP = `ffffffffffff${HOST}80350001080006040003${HOST}00000000${HOST}00000000`.padEnd(120, '0');
const OWN = GRATUITOUS.replaceAll(HOST, '020000000001');
const IPV4 = `ffffffffffff${HOST}0800`.padEnd(120, '0');

describe('capture in a namespace', () => {
  before(() => {
    execFileSync('cc', ['-O2', '-Wall', '-o', arpwire, here('arpwire.c')]);
    execFileSync('ip', ['netns', 'add', namespace]);
    ip('link', 'set', 'lo', 'up');
  });
  afterEach(() => Promise.all(sides.splice(0).map((side) => side.stop())));
  after(cleanUp);

  it('hears ARP (RFC 826) and RARP (RFC 903), neither own frames nor other VLANs, and takes off a priority tag (802.1Q 6.9.1)', async () => {
    const lan = pair('a');
    const side = await new Side().open([lan.index, lan.router]);
    wire('raw', lan.host, OWN, IPV4, tagged('0064'), GRATUITOUS, tagged('e000'), RARP);
    const heard = await until('RARP', async () => {
      const now = await side.heard(lan.index);
      return now.rarp > 0 ? now : undefined;
    });
    assert.deepEqual(heard, { frames: 3, rarp: 1, other: 0, senders: 1, disorder: 0 });
  });

  it('injects frames byte for byte and in order, as tcpdump on the other end sees them', async () => {
    const lan = pair('b');
    const side = await new Side().open([lan.index, lan.router]);
    const tcpdump = spawn('ip', inside('tcpdump', '-i', lan.host, '-nn', '-xx', '-l', '-c', '50', 'arp'));
    let listening = '';
    let seen = '';
    tcpdump.stderr.on('data', (chunk) => {
      listening += chunk;
    });
    tcpdump.stdout.on('data', (chunk) => {
      seen += chunk;
    });
    const ended = new Promise((resolve) => tcpdump.on('close', resolve));
    await until('tcpdump', () => (/listening on/.test(listening) ? true : undefined));
    const frames = Array.from({ length: 50 }, (_, i) =>
      OWN.replaceAll('0a010105', `0a0101${(i + 1).toString(16).padStart(2, '0')}`),
    );
    for (const hex of frames) side.command('send', { iface: lan.index, hex });
    await ended;
    const dumped = seen
      .split(/^(?=\S)/m)
      .map((packet) =>
        [...packet.matchAll(/^\s+0x[0-9a-f]+: {2}(.*)$/gm)]
          .map((line) => line[1]?.replaceAll(' ', ''))
          .join(''),
      );
    assert.deepEqual(dumped, frames);
    assert.equal((await side.report()).stats.sent, 50);
  });

  it('refuses to send where nothing is open, and reports what the kernel refuses', async () => {
    const lan = pair('c');
    const side = await new Side().open([lan.index, lan.router]);
    side.command('send', { iface: 9999, hex: OWN });
    await until('refusal', () => side.lines.find((line) => line.event === 'sent' && line.ok === false));
    ip('link', 'set', lan.router, 'down');
    side.command('send', { iface: lan.index, hex: OWN });
    const warning = await until('warning', () => side.lines.find((line) => line.event === 'warning'));
    assert.match(warning.message ?? '', /c-lan: send: Network is down/);
  });

  it('delivers 20,000 frames at 20,000/s completely and in order, in batches', async () => {
    const lan = pair('d');
    const side = await new Side().open([lan.index, lan.router]);
    wire('flood', lan.host, '20000', '20000');
    const heard = await side.hears(lan.index, 20_000);
    assert.deepEqual(heard, { frames: 20_000, rarp: 0, other: 0, senders: 20_000, disorder: 0 });
  });

  it('loses none of 50,000 newcomers at full speed, and counts what it would lose', async (t) => {
    const lan = pair('e');
    const side = await new Side().open([lan.index, lan.router]);
    const sent = JSON.parse(wire('flood', lan.host, '50000', '0'));
    const report = await until('the whole burst', async () => {
      const now = await side.report();
      const stats = now.stats.interfaces[0];
      const accounted =
        (now.interfaces[lan.index]?.senders ?? 0) + (stats?.kernelDrops ?? 0) + (stats?.shed ?? 0);
      return accounted >= 50_000 ? now : undefined;
    });
    const stats = report.stats.interfaces[0];
    const heard = report.interfaces[lan.index];
    t.diagnostic(
      `sent in ${sent.ms} ms; ring drops ${stats?.kernelDrops}, shed ${stats?.shed}, batches ${report.batches}`,
    );
    assert.equal(heard?.senders, 50_000);
    assert.equal(heard?.disorder, 0);
  });

  it('counts what the kernel drops when the ring is far too small', async (t) => {
    const lan = pair('f');
    const side = await new Side({ bufferBytes: 8192 }).open([lan.index, lan.router]);
    const { pid } = (await side.report()).stats.children[0] ?? { pid: 0 };
    process.kill(pid, 'SIGSTOP');
    wire('flood', lan.host, '5000', '0');
    process.kill(pid, 'SIGCONT');
    const drops = await until('drops', async () => {
      const stats = (await side.report()).stats.interfaces[0];
      return stats !== undefined && stats.kernelReceived >= 5000 ? stats.kernelDrops : undefined;
    });
    const { senders } = await side.heard(lan.index);
    t.diagnostic(`heard ${senders}, dropped ${drops} of 5000`);
    assert.ok(drops > 4000);
    assert.equal(senders + drops, 5000);
  });

  it(`survives ${FLAPS} flaps without being told, hearing the first frame after each, while its neighbour loses none`, async () => {
    const lan = pair('g');
    const steady = pair('h');
    const side = await new Side().open([lan.index, lan.router], [steady.index, steady.router]);
    const stream = running(arpwire, 'flood', steady.host, String(FLAPS * 60), '1000');
    for (let i = 1; i <= FLAPS; i++) {
      ip('link', 'set', lan.router, 'down');
      ip('link', 'set', lan.router, 'up');
      await until('carrier', () => (/LOWER_UP/.test(ip('-o', 'link', 'show', lan.host)) ? true : undefined));
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await side.hears(lan.index, i);
    }
    await stream;
    const all = FLAPS * 60;
    const heard = await side.hears(steady.index, all);
    assert.deepEqual(heard, { frames: all, rarp: 0, other: 0, senders: all, disorder: 0 });
    assert.deepEqual(side.states(lan.index), ['open']);
    assert.equal((await side.report()).stats.restarts, 0);
  });

  it(`survives ${FLAPS} flaps when told of each by close and open`, async () => {
    const lan = pair('i');
    const side = await new Side().open([lan.index, lan.router]);
    for (let i = 1; i <= FLAPS; i++) {
      ip('link', 'set', lan.router, 'down');
      side.command('close', { iface: lan.index });
      ip('link', 'set', lan.router, 'up');
      side.command('open', { iface: lan.index, name: lan.router });
      await until('re-open', () => (side.states(lan.index).length === 2 * i + 1 ? true : undefined));
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await side.hears(lan.index, i);
    }
    assert.equal((await side.report()).stats.restarts, 0);
  });

  it('captures again on an interface that was deleted and made anew, 30 times', async () => {
    const side = new Side();
    let last = 0;
    for (let i = 1; i <= 30; i++) {
      const lan = pair('j');
      assert.notEqual(lan.index, last);
      last = lan.index;
      await side.open([lan.index, lan.router]);
      wire('flood', lan.host, '10', '0');
      await side.hears(lan.index, 10);
      ip('link', 'del', lan.host);
      side.command('close', { iface: lan.index });
    }
    const { stats } = await side.report();
    assert.equal(stats.restarts, 0);
    assert.deepEqual(stats.interfaces, []);
  });

  it('waits for an interface that is missing or down, and says so once', async () => {
    const lan = pair('k');
    ip('link', 'set', lan.router, 'down');
    const side = new Side();
    side.command('open', { iface: lan.index, name: lan.router });
    side.command('open', { iface: 9999, name: 'nowhere' });
    await until('both refused', () =>
      side.states(lan.index).length + side.states(9999).length === 2 ? true : undefined,
    );
    assert.match(side.states(lan.index)[0] ?? '', /not up|down/i);
    assert.match(side.states(9999)[0] ?? '', /No such device/);
    ip('link', 'set', lan.router, 'up');
    await side.isOpen(lan.index);
    wire('flood', lan.host, '1', '0');
    await side.hears(lan.index, 1);
    assert.equal(side.states(9999).length, 1);
  });

  it('opens anew when the MAC changes, because the filter for own frames holds it', async () => {
    const lan = pair('l');
    const side = await new Side().open([lan.index, lan.router]);
    side.command('open', { iface: lan.index, name: lan.router, mac: '02:00:00:00:0a:05' });
    side.command('open', { iface: lan.index, name: lan.router, mac: '02:00:00:00:0a:05' });
    wire('raw', lan.host, GRATUITOUS);
    await until('a second open', () => (side.states(lan.index).length === 2 ? true : undefined));
    side.command('forget');
    wire('raw', lan.host, GRATUITOUS, RARP, OWN);
    const heard = await side.hears(lan.index, 1);
    assert.deepEqual(heard, { frames: 1, rarp: 0, other: 0, senders: 1, disorder: 0 });
  });

  it('replaces a child that is killed, at once, and opens its interfaces again', async (t) => {
    const lan = pair('m');
    const other = pair('n');
    const side = await new Side().open([lan.index, lan.router], [other.index, other.router]);
    for (let i = 1; i <= 3; i++) {
      const pid = onlyChild(await side.report());
      process.kill(pid, 'SIGKILL');
      const open = 2 * i + 1;
      await until('both open again', () =>
        side.states(lan.index).length === open && side.states(other.index).length === open ? true : undefined,
      );
      const [lost, back] = side.lines.filter((line) => line.iface === lan.index).slice(-2);
      assert.match(lost?.reason ?? '', /SIGKILL/);
      t.diagnostic(
        `open again after ${((back?.at ?? 0) - (lost?.at ?? 0)).toFixed(0)} ms (from sources, tsx included)`,
      );
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await side.hears(lan.index, i);
      assert.equal((await side.report()).stats.restarts, i);
    }
  });

  it('leaves no child behind when the parent is killed, even during a flood', async () => {
    const lan = pair('o');
    for (const flooding of [false, true]) {
      const side = await new Side().open([lan.index, lan.router]);
      const pid = onlyChild(await side.report());
      const flood = flooding ? running(arpwire, 'flood', lan.host, '300000', '100000') : Promise.resolve('');
      if (flooding) await side.hears(lan.index, 1000);
      side.process.kill('SIGKILL');
      await until('the child gone', () => (alive(pid) ? undefined : true), 2000);
      await flood;
    }
  });

  it('ends its child when it stops', async () => {
    const lan = pair('p');
    const side = await new Side().open([lan.index, lan.router]);
    const pid = onlyChild(await side.report());
    await side.stop();
    assert.equal(alive(pid), false);
    assert.deepEqual(side.lines.at(-1), { event: 'stopped', children: 0 });
  });

  it('sends within a millisecond while 50,000 frames/s arrive, on the flooded interface and on another', async (t) => {
    const lan = pair('q');
    const other = pair('r');
    const side = await new Side({ floodFramesPerSecond: 1e9 }).open(
      [lan.index, lan.router],
      [other.index, other.router],
    );
    side.command('reflect');
    for (const [name, where, perSecond] of [
      ['idle', lan.host, 0],
      ['flooded', lan.host, 50_000],
      ['beside the flood', other.host, 50_000],
    ] as const) {
      const flood =
        perSecond > 0
          ? running(arpwire, 'flood', lan.host, String(perSecond * 2), String(perSecond))
          : Promise.resolve('');
      const trips = JSON.parse(await running(arpwire, 'ping', where, '1000', '500', '10.200.0.1'));
      t.diagnostic(`${name}: frame to frame, microseconds ${JSON.stringify(trips)}`);
      assert.equal(trips.answered, 1000);
      assert.ok(trips.p50 < 1000, `${name}: ${trips.p50} microseconds`);
      await flood;
    }
  });

  it('moves a flooded interface to a child of its own and back, losing no frame of either', async () => {
    const lan = pair('s');
    const other = pair('t');
    const options = { floodFramesPerSecond: 5000, quietMs: 1000 };
    const side = await new Side(options).open([lan.index, lan.router], [other.index, other.router]);
    const steady = running(arpwire, 'flood', other.host, '6000', '1000');
    const flood = running(arpwire, 'flood', lan.host, '60000', '20000');
    await until('a second child', async () => {
      const { children, interfaces } = (await side.report()).stats;
      return children.length === 2 && interfaces.some(({ flooded }) => flooded) ? true : undefined;
    });
    await flood;
    await until('one child again', async () => {
      const { children } = (await side.report()).stats;
      return children.length === 1 && children[0]?.interfaces === 2 ? true : undefined;
    });
    await steady;
    await side.hears(lan.index, 60_000);
    const heard = await side.hears(other.index, 6000);
    assert.deepEqual(heard, { frames: 6000, rarp: 0, other: 0, senders: 6000, disorder: 0 });
    assert.deepEqual(side.states(lan.index), ['open']);
    assert.equal((await side.report()).stats.restarts, 0);
  });

  it('keeps one capability in the child and says what to grant when that one is missing', async () => {
    const lan = pair('u');
    const side = await new Side().open([lan.index, lan.router]);
    const status = readFileSync(`/proc/${onlyChild(await side.report())}/status`, 'utf8');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      assert.match(status, new RegExp(`^${set}:\\t0000000000002000$`, 'm'));
    const poor = new Side({}, ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw']);
    poor.command('open', { iface: lan.index, name: lan.router });
    const fatal = await until('fatal', () => poor.lines.find((line) => line.event === 'fatal'));
    assert.match(fatal.message ?? '', /cannot capture on u-lan: .*CAP_NET_RAW/);
  });
});
