// capture/ on real interfaces. Needs root, iproute2, tcpdump and cc.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  GRATUITOUS,
  IPV4,
  OWN,
  RARP,
  CaptureProcess,
  alive,
  arpwire,
  cleanUp,
  inside,
  ip,
  onlyChild,
  pair,
  running,
  setUp,
  captureProcesses,
  tagged,
  until,
  wire,
} from '../testbed/capture-testbed.js';

// MARPD_SOAK=1 runs the long scenarios in full.
const FLAPS = process.env.MARPD_SOAK === '1' ? 1000 : 100;

describe('capture in a namespace', () => {
  before(setUp);
  afterEach(() => Promise.all(captureProcesses.splice(0).map((child) => child.stop())));
  after(cleanUp);

  it('hears ARP (RFC 826) and RARP (RFC 903), neither own frames nor other VLANs, and takes off a priority tag (802.1Q 6.9.1)', async () => {
    const lan = pair('a');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    wire('raw', lan.host, OWN, IPV4, tagged('0064'), GRATUITOUS, tagged('e000'), RARP);
    const heard = await until('RARP', async () => {
      const now = await child.heard(lan.index);
      return now.rarp > 0 ? now : undefined;
    });
    assert.deepEqual(heard, { frames: 3, rarp: 1, icmpv6: {}, other: 0, senders: 1, disorder: 0 });
  });

  it('injects frames byte for byte and in order, as tcpdump on the other end sees them', async () => {
    const lan = pair('b');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
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
    for (const hex of frames) child.command('send', { iface: lan.index, hex });
    await ended;
    const dumped = seen
      .split(/^(?=\S)/m)
      .map((packet) =>
        [...packet.matchAll(/^\s+0x[0-9a-f]+: {2}(.*)$/gm)]
          .map((line) => line[1]?.replaceAll(' ', ''))
          .join(''),
      );
    assert.deepEqual(dumped, frames);
    assert.equal((await child.report()).stats.sent, 50);
  });

  it('refuses to send where nothing is open, and reports what the kernel refuses', async () => {
    const lan = pair('c');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    child.command('send', { iface: 9999, hex: OWN });
    await until('refusal', () => child.lines.find((line) => line.event === 'sent' && line.ok === false));
    ip('link', 'set', lan.router, 'down');
    child.command('send', { iface: lan.index, hex: OWN });
    const warning = await until('warning', () => child.lines.find((line) => line.event === 'warning'));
    assert.match(warning.message ?? '', /c-lan: send: Network is down/);
  });

  it(`survives ${FLAPS} flaps without being told, hearing the first frame after each, while its neighbour loses none`, async () => {
    const lan = pair('g');
    const steady = pair('h');
    const child = await new CaptureProcess().open([lan.index, lan.router], [steady.index, steady.router]);
    const stream = running(arpwire, 'flood', steady.host, String(FLAPS * 60), '1000');
    for (let i = 1; i <= FLAPS; i++) {
      ip('link', 'set', lan.router, 'down');
      ip('link', 'set', lan.router, 'up');
      await until('carrier', () => (/LOWER_UP/.test(ip('-o', 'link', 'show', lan.host)) ? true : undefined));
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await child.hears(lan.index, i);
    }
    await stream;
    const all = FLAPS * 60;
    const heard = await child.hears(steady.index, all);
    assert.deepEqual(heard, { frames: all, rarp: 0, icmpv6: {}, other: 0, senders: all, disorder: 0 });
    assert.deepEqual(child.states(lan.index), ['open']);
    assert.equal((await child.report()).stats.restarts, 0);
  });

  it(`survives ${FLAPS} flaps when told of each by close and open`, async () => {
    const lan = pair('i');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    for (let i = 1; i <= FLAPS; i++) {
      ip('link', 'set', lan.router, 'down');
      child.command('close', { iface: lan.index });
      ip('link', 'set', lan.router, 'up');
      child.command('open', { iface: lan.index, name: lan.router });
      await until('re-open', () => (child.states(lan.index).length === 2 * i + 1 ? true : undefined));
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await child.hears(lan.index, i);
    }
    assert.equal((await child.report()).stats.restarts, 0);
  });

  it('captures again on an interface that was deleted and made anew, 30 times', async () => {
    const child = new CaptureProcess();
    let last = 0;
    for (let i = 1; i <= 30; i++) {
      const lan = pair('j');
      assert.notEqual(lan.index, last);
      last = lan.index;
      await child.open([lan.index, lan.router]);
      wire('flood', lan.host, '10', '0');
      await child.hears(lan.index, 10);
      ip('link', 'del', lan.host);
      child.command('close', { iface: lan.index });
    }
    const { stats } = await child.report();
    assert.equal(stats.restarts, 0);
    assert.deepEqual(stats.interfaces, []);
  });

  it('waits for an interface that is missing or down, and says so once', async () => {
    const lan = pair('k');
    ip('link', 'set', lan.router, 'down');
    const child = new CaptureProcess();
    child.command('open', { iface: lan.index, name: lan.router });
    child.command('open', { iface: 9999, name: 'nowhere' });
    await until('both refused', () =>
      child.states(lan.index).length + child.states(9999).length === 2 ? true : undefined,
    );
    assert.match(child.states(lan.index)[0] ?? '', /not up|down/i);
    assert.match(child.states(9999)[0] ?? '', /No such device/);
    ip('link', 'set', lan.router, 'up');
    await child.isOpen(lan.index);
    wire('flood', lan.host, '1', '0');
    await child.hears(lan.index, 1);
    assert.equal(child.states(9999).length, 1);
  });

  it('opens anew when the MAC changes, because the filter for own frames holds it', async () => {
    const lan = pair('l');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    child.command('open', { iface: lan.index, name: lan.router, mac: '02:00:00:00:0a:05' });
    child.command('open', { iface: lan.index, name: lan.router, mac: '02:00:00:00:0a:05' });
    wire('raw', lan.host, GRATUITOUS);
    await until('a second open', () => (child.states(lan.index).length === 2 ? true : undefined));
    child.command('forget');
    wire('raw', lan.host, GRATUITOUS, RARP, OWN);
    const heard = await child.hears(lan.index, 1);
    assert.deepEqual(heard, { frames: 1, rarp: 0, icmpv6: {}, other: 0, senders: 1, disorder: 0 });
  });

  it('replaces a child that is killed, at once, and opens its interfaces again', async (t) => {
    const lan = pair('m');
    const other = pair('n');
    const child = await new CaptureProcess().open([lan.index, lan.router], [other.index, other.router]);
    for (let i = 1; i <= 3; i++) {
      const pid = onlyChild(await child.report());
      process.kill(pid, 'SIGKILL');
      const open = 2 * i + 1;
      await until('both open again', () =>
        child.states(lan.index).length === open && child.states(other.index).length === open
          ? true
          : undefined,
      );
      const [lost, back] = child.lines.filter((line) => line.iface === lan.index).slice(-2);
      assert.match(lost?.reason ?? '', /SIGKILL/);
      t.diagnostic(
        `open again after ${((back?.at ?? 0) - (lost?.at ?? 0)).toFixed(0)} ms (from sources, tsx included)`,
      );
      wire('flood', lan.host, '1', '0', `10.9.${i >> 8}.${i & 255}`);
      await child.hears(lan.index, i);
      assert.equal((await child.report()).stats.restarts, i);
    }
  });

  it('ends its child when it stops', async () => {
    const lan = pair('p');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    const pid = onlyChild(await child.report());
    await child.stop();
    assert.equal(alive(pid), false);
    assert.deepEqual(child.lines.at(-1), { event: 'stopped', children: 0 });
  });

  it('keeps one capability in the child and says what to grant when that one is missing', async () => {
    const lan = pair('u');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    const status = readFileSync(`/proc/${onlyChild(await child.report())}/status`, 'utf8');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      assert.match(status, new RegExp(`^${set}:\\t0000000000002000$`, 'm'));
    const poor = new CaptureProcess({}, ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw']);
    poor.command('open', { iface: lan.index, name: lan.router });
    const fatal = await until('fatal', () => poor.lines.find((line) => line.event === 'fatal'));
    assert.match(fatal.message ?? '', /cannot capture on u-lan: .*CAP_NET_RAW/);
  });
});
