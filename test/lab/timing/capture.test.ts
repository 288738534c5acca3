// capture/ on real interfaces. Needs root, iproute2, tcpdump and cc.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  CaptureProcess,
  alive,
  arpwire,
  cleanUp,
  onlyChild,
  pair,
  running,
  setUp,
  captureProcesses,
  until,
  wire,
} from '../testbed/capture-testbed.js';

describe('capture under load', () => {
  before(setUp);
  afterEach(() => Promise.all(captureProcesses.splice(0).map((child) => child.stop())));
  after(cleanUp);

  it('delivers 20,000 frames at 20,000/s completely and in order, in batches', async () => {
    const lan = pair('d');
    const child = await new CaptureProcess().open([lan.index, lan.router]);
    wire('flood', lan.host, '20000', '20000');
    const heard = await child.hears(lan.index, 20_000);
    assert.deepEqual(heard, { frames: 20_000, rarp: 0, icmpv6: {}, other: 0, senders: 20_000, disorder: 0 });
  });

  for (const [family, first] of [
    ['ipv4', '10.64.0.1'],
    ['ipv6', '2001:db8:64::a40:1'],
  ] as const)
    it(`loses none of 50,000 newcomers at full speed, and counts what it would lose (${family})`, async (t) => {
      const lan = pair('e');
      const child = await new CaptureProcess({ families: ['ipv4', family] }).open([lan.index, lan.router]);
      const sent = JSON.parse(wire('flood', lan.host, '50000', '0', first));
      const report = await until('the whole burst', async () => {
        const now = await child.report();
        const stats = now.stats.interfaces[0];
        const accounted =
          (now.interfaces[lan.index]?.senders ?? 0) + (stats?.kernelDrops ?? 0) + (stats?.dropped ?? 0);
        return accounted >= 50_000 ? now : undefined;
      });
      const stats = report.stats.interfaces[0];
      const heard = report.interfaces[lan.index];
      t.diagnostic(
        `sent in ${sent.ms} ms; ring drops ${stats?.kernelDrops}, dropped ${stats?.dropped}, batches ${report.batches}`,
      );
      assert.equal(heard?.senders, 50_000);
      assert.equal(heard?.disorder, 0);
    });

  it('counts what the kernel drops when the ring is far too small', async (t) => {
    const lan = pair('f');
    const child = await new CaptureProcess({ bufferBytes: 8192 }).open([lan.index, lan.router]);
    const { pid } = (await child.report()).stats.children[0] ?? { pid: 0 };
    process.kill(pid, 'SIGSTOP');
    wire('flood', lan.host, '5000', '0');
    process.kill(pid, 'SIGCONT');
    const drops = await until('drops', async () => {
      const stats = (await child.report()).stats.interfaces[0];
      return stats !== undefined && stats.kernelReceived >= 5000 ? stats.kernelDrops : undefined;
    });
    const { senders } = await child.heard(lan.index);
    t.diagnostic(`heard ${senders}, dropped ${drops} of 5000`);
    assert.ok(drops > 4000);
    assert.equal(senders + drops, 5000);
  });

  it('leaves no child behind when the parent is killed, even during a flood', async () => {
    const lan = pair('o');
    for (const flooding of [false, true]) {
      const child = await new CaptureProcess().open([lan.index, lan.router]);
      const pid = onlyChild(await child.report());
      const flood = flooding ? running(arpwire, 'flood', lan.host, '300000', '100000') : Promise.resolve('');
      if (flooding) await child.hears(lan.index, 1000);
      child.process.kill('SIGKILL');
      await until('the child gone', () => (alive(pid) ? undefined : true), 2000);
      await flood;
    }
  });

  it('sends within a millisecond while 50,000 frames/s arrive, on the flooded interface and on another', async (t) => {
    const lan = pair('q');
    const other = pair('r');
    const child = await new CaptureProcess({ floodFramesPerSecond: 1e9 }).open(
      [lan.index, lan.router],
      [other.index, other.router],
    );
    child.command('reflect');
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

  it('reads an interface no faster than its pace after a burst, and loses no frame of another', async () => {
    const lan = pair('s');
    const other = pair('t');
    const options = { burstFrames: 5000, floodFramesPerSecond: 5000, bufferBytes: 1 << 20 };
    const child = await new CaptureProcess(options).open(
      [lan.index, lan.router],
      [other.index, other.router],
    );
    const steady = running(arpwire, 'flood', other.host, '6000', '1000');
    await running(arpwire, 'flood', lan.host, '60000', '20000');
    await steady;
    const heard = await child.hears(other.index, 6000);
    assert.deepEqual(heard, { frames: 6000, rarp: 0, icmpv6: {}, other: 0, senders: 6000, disorder: 0 });
    const drops = await until('all frames accounted for', async () => {
      const { interfaces, stats } = await child.report();
      const { kernelDrops = 0 } = stats.interfaces.find(({ iface }) => iface === lan.index) ?? {};
      return (interfaces[lan.index]?.frames ?? 0) + kernelDrops === 60_000 ? kernelDrops : undefined;
    });
    assert.ok(drops > 20_000, `${drops} dropped in the ring`);
  });
});
