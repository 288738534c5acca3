import assert from 'node:assert/strict';
import { it } from 'node:test';
import { StaleNeighbourCapture } from '../../../src/capture/stale-neighbours.js';
import { type Mac, parseMac } from '../../../src/wire/addresses.js';
import { Capture } from '../kit/pcap.js';
import { childOf } from '../kit/processes.js';
import { staysTrue, waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

labTest(
  'RFC 826 merge: a guest that moved with its old neighbours in its cache is told of each on its first packet',
  async (lab) => {
    const site = await new Site(lab).start();
    const guest = site.host('guest');
    const neighbour = site.host('neighbour', { address: '10.1.1.9/24' });
    await neighbour.plug('lan0', 'request');
    await guest.plug('lan0', 'request');
    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest knows its neighbour');
    const stale = guest.neighbour(neighbour.ip)?.mac;
    assert.equal(stale, neighbour.mac);

    const wire = await Capture.start(guest.namespace, 'eth0');
    await guest.plug('lan1', 'request', false);
    await site.marpd.routed(guest.ip, 'lan1');
    assert.equal(
      guest.neighbour(neighbour.ip)?.mac,
      stale,
      'the carrier never dropped: the entry is still there',
    );

    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest reaches its old neighbour');
    const told = { opcode: 'request', senderMac: routerMac('lan1'), senderIp: neighbour.ip } as const;
    const repair = await wire.arp({ ...told, targetIp: guest.ip }, 1000);
    assert.equal(repair.destination, guest.mac, 'by unicast');
    assert.equal(guest.neighbour(neighbour.ip)?.mac, routerMac('lan1'));
  },
);

// The neighbour's own MAC is on this LAN, so nobody may answer for it; the kernel alone would doubt its entry after 5 s.
labTest(
  'return home: a host that takes the router of its last LAN for its neighbours is told where they are',
  async (lab) => {
    const site = await new Site(lab).start();
    const guest = site.host('guest');
    const neighbour = site.host('neighbour', { address: '10.1.1.9/24' });
    await neighbour.plug('lan0', 'request');
    await guest.plug('lan0', 'request');
    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest knows its neighbour');
    await guest.plug('lan1', 'request', false);
    await site.marpd.routed(guest.ip, 'lan1');
    await waitFor(() => guest.pings(neighbour.ip), 3000, 'the guest reaches its old neighbour');
    assert.equal(guest.neighbour(neighbour.ip)?.mac, routerMac('lan1'));
    await site.marpd.state(guest.ip, 'settled');

    const wire = await Capture.start(guest.namespace, 'eth0');
    await guest.plug('lan0', 'request', false);
    await site.marpd.routed(guest.ip, 'lan0');
    assert.equal(guest.neighbour(neighbour.ip)?.mac, routerMac('lan1'), 'the entry is stale');
    const began = performance.now();
    await waitFor(() => guest.pings(neighbour.ip, 0.2), 3000, 'the guest reaches its neighbour');
    console.log(`# neighbour reached ${(performance.now() - began).toFixed(0)} ms after the first try`);
    assert.equal(guest.neighbour(neighbour.ip)?.mac, neighbour.mac);
    const told = { opcode: 'request', senderMac: neighbour.mac, senderIp: neighbour.ip } as const;
    const repair = await wire.arp({ ...told, targetIp: guest.ip, source: routerMac('lan0') }, 1000);
    assert.equal(repair.destination, guest.mac, 'by unicast, from us');
    await site.marpd.state(guest.ip, 'home', 5000);
    await waitFor(
      () => neighbour.neighbour(guest.ip)?.mac === guest.mac,
      2000,
      'the neighbour knows it again',
    );
    assert.ok(guest.pings(neighbour.ip));
    assert.deepEqual(site.marpd.routes(), []);
  },
);

const READER = /capture\/reader\.[jt]s misdirected/;

labTest('the reader for misdirected packets starts with the first visitor', async (lab) => {
  const site = await new Site(lab).start();
  await site.host('home').plug('lan0', 'request');
  await site.marpd.state('10.1.1.5', 'home', 3000);
  assert.equal(childOf(site.marpd.pid, READER), undefined);
  await site.host('visitor', { address: '10.1.1.6/24' }).plug('lan1', 'request');
  await waitFor(() => childOf(site.marpd.pid, READER), 5000, 'the reader');
});

it('the reader for misdirected packets ends some time after the last visitor has gone', async () => {
  const warnings: string[] = [];
  const capture = new StaleNeighbourCapture({
    families: ['ipv4'],
    onFrame: () => undefined,
    onBatchEnd: () => undefined,
    onFatal: (message) => warnings.push(message),
    onWarning: (message) => warnings.push(message),
    idleMs: 300,
  });
  const reader = () => childOf(process.pid, READER);
  const lo = { index: 1, name: 'lo', mac: parseMac('02:00:00:00:00:01') as Mac };
  const [one, other] = ['02:00:00:00:00:02', '02:00:00:00:00:03'].map((mac) => parseMac(mac) as Mac);
  try {
    for (const visitor of [one, other] as Mac[]) capture.watch(lo, visitor);
    await waitFor(reader, 5000, 'a reader');
    capture.unwatch(1, one as Mac);
    await staysTrue(() => reader() !== undefined, 600, 'a reader for the other visitor');
    capture.unwatch(1, other as Mac);
    await waitFor(() => reader() === undefined, 5000, 'the end of the reader');
    capture.watch(lo, one as Mac);
    await waitFor(reader, 5000, 'another reader');
    capture.close(1);
    await waitFor(() => reader() === undefined, 5000, 'the end of that one');
    assert.deepEqual(warnings, []);
  } finally {
    await capture.stop();
  }
});
