import assert from 'node:assert/strict';
import { Capture } from '../kit/pcap.js';
import { Program, pause, staysTrue } from '../kit/program.js';
import { REAL_SETTLE, Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

const HOST = '10.1.1.5';

for (const carrierDrop of [true, false]) {
  const how = carrierDrop ? 'with' : 'without';
  labTest(
    `a host that returns home within a second, ${how} carrier drop, is served by its subnet again`,
    async (lab) => {
      const site = await new Site(lab, { config: { router: REAL_SETTLE } }).start();
      const host = site.host('roamer');
      new Program(site.remote, ['ping', '-n', '-q', '-i', '0.002', HOST], { quiet: true });
      const capture = await Capture.start(host.namespace, 'eth0');
      await host.plug('lan0', 'request');
      await site.marpd.state(HOST, 'home');
      assert.ok(site.reaches(HOST));

      await host.plug('lan1', 'request', carrierDrop);
      await site.marpd.routed(HOST, 'lan1');
      await site.reachable(HOST);
      await pause(300); // still fresh
      const since = await host.plug('lan0', 'request', carrierDrop);
      const word = await capture.arp({ opcode: 'request', senderIp: HOST, targetIp: HOST }, 3000, since - 1);
      const echo = await capture.echo({ kind: 'reply', fromIp: HOST }, 5000, word.at);
      // peers take 0.6 to 7 s; the median of move.test.ts says how fast, this says that it never waits for a timer
      assert.ok(echo.at - word.at < 1000, `${(echo.at - word.at).toFixed(1)} ms`);

      await site.marpd.state(HOST, 'home', 6000);
      await site.marpd.routed(HOST, undefined);
      assert.ok(site.reaches(HOST), 'the subnet route serves it');
      assert.ok(host.pings('192.0.2.2', 2), 'and the other way round');
      assert.equal(host.neighbour('10.1.1.1')?.mac, routerMac('lan0'));
      const onLan1 = site.marpd.neighbours(HOST).filter((entry) => entry.dev === 'lan1');
      assert.deepEqual(onLan1, []);
      await staysTrue(() => site.marpd.routesOf(HOST).length === 0, 1500, 'no /32 at home', 100);
    },
  );
}

labTest('neighbours at home follow a host out and back (RFC 5944 section 4.6)', async (lab) => {
  const site = await new Site(lab).start();
  const host = site.host('roamer');
  const neighbour = site.host('neighbour', { address: '10.1.1.7/24' });
  await neighbour.plug('lan0', 'request');
  await host.plug('lan0', 'request');
  await site.marpd.state(HOST, 'home');
  assert.ok(neighbour.pings(HOST), 'directly, at home');
  await host.plug('lan1', 'request');
  await site.reachable(HOST);
  assert.ok(
    await eventually(() => neighbour.pings(HOST, 1), 4000),
    'out: the neighbour still had its MAC, and was told ours',
  );
  await host.plug('lan0', 'request');
  assert.ok(await eventually(() => neighbour.pings(HOST, 1), 4000), 'home again');
  await site.marpd.routed(HOST, undefined, 6000);
  assert.ok(neighbour.pings(HOST));
  assert.equal(neighbour.neighbour(HOST)?.mac, host.mac, 'directly again');
});

labTest('ten excursions in a row leave nothing behind', async (lab) => {
  const site = await new Site(lab).start();
  const host = site.host('roamer');
  for (let i = 0; i < 10; i++) {
    await host.plug('lan1', i % 2 === 0 ? 'request' : 'reply', i % 3 !== 0);
    await site.marpd.routed(HOST, 'lan1');
    await pause(300);
    await host.plug('lan0', i % 2 === 0 ? 'request' : 'arp-gateway', i % 3 === 0);
    await site.reachable(HOST);
    await pause(300);
  }
  await site.marpd.state(HOST, 'home', 6000);
  await site.marpd.routed(HOST, undefined);
  assert.deepEqual(await site.marpd.disagreements(), []);
  assert.ok(site.reaches(HOST));
});

labTest(
  'a host that moves faster than the old place can be asked is served where it comes to rest',
  async (lab) => {
    const site = await new Site(lab).start();
    const host = site.host('roamer');
    for (const lan of ['lan1', 'lan0', 'lan1', 'lan0', 'lan1']) {
      await host.plug(lan, 'request', false);
      await pause(40);
    }
    await site.marpd.routed(HOST, 'lan1', 2500);
    await site.reachable(HOST, 1000);
  },
);

async function eventually(probe: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    if (probe()) return true;
    await pause(20);
  }
  return false;
}
