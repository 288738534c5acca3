import assert from 'node:assert/strict';
import { Frames, macFor } from '../kit/host.js';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** Interfaces by name or glob that come, go, change and are enslaved while the daemon runs (design.md 3.2, 5.1). */

const VISITOR = '10.1.1.5';

labTest('a glob captures taps as they appear and forgets them as they vanish', async (lab) => {
  const config = { interface: [{ name: 'lan0' }, { name: 'tap*' }] };
  const site = await new Site(lab, { lans: { lan0: '10.1.1.1/24' }, config }).start();
  const taps = ['tap0', 'tap1', 'tapdance'];
  const guests = new Map<string, Frames>();
  for (const [i, tap] of taps.entries()) {
    const guest = await Frames.guest(site.router, tap);
    guests.set(tap, guest);
    await site.marpd.captures(tap);
    const ip = `10.1.1.${20 + i}`;
    guest.answer(ip);
    guest.gratuitous(ip, macFor(ip));
    await site.marpd.routed(ip, tap);
  }
  await guests.get('tap1')?.program.stop('SIGKILL');
  await site.marpd.routed('10.1.1.21', undefined);
  await waitFor(
    async () => !(await site.marpd.ctl.interfaces()).some((view) => view.name === 'tap1' && view.present),
    2000,
    'tap1 to be forgotten',
  );
  assert.equal(site.marpd.routesOf('10.1.1.20')[0]?.dev, 'tap0', 'the others are not disturbed');
  // a guest that migrates in under the old name of the tap
  const again = await Frames.guest(site.router, 'tap1');
  await site.marpd.captures('tap1');
  again.answer(VISITOR);
  again.gratuitous(VISITOR, macFor(VISITOR));
  await site.marpd.routed(VISITOR, 'tap1');
  // a name that no pattern matches
  await Frames.guest(site.router, 'vnet0');
  assert.equal(
    (await site.marpd.ctl.interfaces()).some((view) => view.name === 'vnet0'),
    false,
  );
});

labTest('a configured interface that does not exist yet is served when it comes', async (lab) => {
  const site = new Site(lab, {
    config: { interface: [{ name: 'lan0' }, { name: 'lan1' }, { name: 'later' }] },
  });
  await site.start();
  const missing = (await site.marpd.ctl.interfaces()).find((view) => view.name === 'later');
  assert.equal(missing?.present, false);
  site.network.connect(site.router, 'later', 'lan1');
  site.router.ip('link set later up');
  await site.marpd.captures('later');
});

labTest('an interface with a master is never a mobility interface: its bridge is', async (lab) => {
  const config = { interface: [{ name: 'lan*' }, { name: 'br0' }] };
  const site = await new Site(lab, { config }).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');

  site.router.ip(
    'link add name br0 type bridge forward_delay 0',
    'link set br0 up',
    'link set lan1 master br0',
  );
  await site.marpd.routed(VISITOR, undefined);
  await site.marpd.captures('br0');
  const enslaved = (await site.marpd.ctl.interfaces()).find((view) => view.name === 'lan1');
  assert.equal(enslaved?.master, 'br0');
  assert.equal(enslaved?.capturing, false);
  const frames = await visitor.frames();
  frames.gratuitous(VISITOR, visitor.mac);
  await site.marpd.routed(VISITOR, 'br0', 5000);
  await site.reachable(VISITOR);

  site.router.ip('link set lan1 nomaster');
  await site.marpd.captures('lan1');
  frames.gratuitous(VISITOR, visitor.mac);
  await site.marpd.routed(VISITOR, 'lan1', 5000);
});

labTest('a renamed interface is another interface', async (lab) => {
  const site = await new Site(lab, { config: { interface: [{ name: 'lan0' }, { name: 'lan1' }] } }).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  site.router.ip('link set lan1 down', 'link set lan1 name other0', 'link set other0 up');
  await site.marpd.routed(VISITOR, undefined);
  site.router.ip('link set other0 down', 'link set other0 name lan1', 'link set lan1 up');
  await site.marpd.captures('lan1');
  (await visitor.frames()).gratuitous(VISITOR, visitor.mac);
  await site.marpd.routed(VISITOR, 'lan1');
});

labTest('a rename of an interface that is up loses no frame', async (lab) => {
  const site = await new Site(lab, { config: { interface: [{ name: 'lan*' }] } }).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  const frames = await visitor.frames();
  const capture = await Capture.start(visitor.namespace, 'eth0');
  for (const [from, to] of [
    ['lan1', 'lan11'],
    ['lan11', 'lan12'],
    ['lan12', 'lan13'],
  ] as const) {
    site.router.ip(`link set ${from} name ${to}`);
    await site.marpd.routed(VISITOR, to);
    const asked = Date.now();
    frames.request(VISITOR, visitor.mac, '10.1.1.1');
    await capture.arp({ opcode: 'reply', senderIp: '10.1.1.1' }, 500, asked - 1);
  }
});

labTest(
  'a new MAC of an interface is used at once, and its own frames are still known as such',
  async (lab) => {
    const site = await new Site(lab).start();
    const visitor = site.host('visitor');
    await visitor.plug('lan1', 'request');
    await site.marpd.routed(VISITOR, 'lan1');
    site.router.ip('link set lan1 address 02:bb:00:00:00:01');
    await waitFor(
      async () =>
        (await site.marpd.ctl.interfaces()).find((view) => view.name === 'lan1')?.mac === '02:bb:00:00:00:01',
      2000,
      'the new MAC',
    );
    await site.marpd.captures('lan1');
    (await visitor.frames()).request(VISITOR, visitor.mac, '10.1.1.1');
    await waitFor(
      () => {
        visitor.namespace.ipQuietly('neigh flush dev eth0');
        return visitor.pings('192.0.2.2', 1) && visitor.neighbour('10.1.1.1')?.mac === '02:bb:00:00:00:01';
      },
      4000,
      'an answer with the new MAC',
    );
    assert.notEqual(routerMac('lan1'), '02:bb:00:00:00:01');
  },
);

labTest('an address that comes and goes changes who is a visitor', async (lab) => {
  const site = await new Site(lab, { lans: { lan0: '10.2.2.1/24' } }).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan0', 'request');
  await site.marpd.state(VISITOR, 'settled', 5000);
  site.router.ip('addr add 10.1.1.1/24 dev lan0');
  (await visitor.frames()).gratuitous(VISITOR, visitor.mac);
  await site.marpd.routed(VISITOR, undefined, 5000); // at home now
  await site.reachable(VISITOR);
  site.router.ip('addr del 10.1.1.1/24 dev lan0');
  (await visitor.frames()).gratuitous(VISITOR, visitor.mac);
  await site.marpd.routed(VISITOR, 'lan0', 5000);
});
