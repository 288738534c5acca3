import assert from 'node:assert/strict';
import { Frames, Host, Switch, macFor } from '../kit/host.js';
import { Marpd } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { SUBNETS, Site } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

const VISITOR = '10.1.1.5';
/** Port down or tap deleted. Best of some, for other tests run at the same time. */
const AT_ONCE_MS = 500;
const TRIES = 5;

async function settledVisitor(site: Site): Promise<Host> {
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.state(VISITOR, 'settled', 5000);
  return visitor;
}

// Runs the same loss until it is fast; returns the shortest time from the loss until the kernel has no route, ms. The
// kernel is asked again and again: what it deletes itself, it deletes without a word to `ip monitor`.
async function withdrawnAfter(
  site: { readonly router: Namespace; readonly marpd: Marpd },
  ip: string,
  lose: () => void,
  restore: () => Promise<void>,
): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    await restore();
    await site.marpd.state(ip, 'settled', 8000);
    const at = performance.now();
    lose();
    while (site.marpd.routesOf(ip).length > 0 && performance.now() - at < 5000);
    times.push(performance.now() - at);
    await site.marpd.state(ip, 'remembered', 1000);
    if ((times.at(-1) as number) < AT_ONCE_MS) break;
  }
  return Math.min(...times);
}

labTest('a host that dies in silence loses its route within keepalive + 1 s', async (lab) => {
  const site = await new Site(lab, { config: { timers: { keepalive: '2s' } } }).start();
  const visitor = await settledVisitor(site);
  const log = await RouteLog.start(site.router);
  visitor.die();
  const at = Date.now();
  const gone = await log.deleted(VISITOR, 'lan1', at, 6000);
  assert.ok(gone.at - at < 3000, `${(gone.at - at).toFixed(0)} ms`);
  const host = await site.marpd.ctl.host(VISITOR);
  assert.equal(host?.state, 'remembered');
  assert.equal(host?.cause, 'keepalive-lost');
});

labTest('a silent but living host keeps its route: keepalives are answered', async (lab) => {
  const site = await new Site(lab, { config: { timers: { keepalive: '500ms' } } }).start();
  await settledVisitor(site);
  const log = await RouteLog.start(site.router);
  const since = Date.now();
  const kept = () => log.of(VISITOR, since).every((change) => !change.deleted);
  await staysTrue(kept, 2500, 'the route');
  assert.equal((await site.marpd.ctl.host(VISITOR))?.state, 'settled');
});

labTest(`carrier loss of the interface withdraws at once (below ${AT_ONCE_MS} ms)`, async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor');
  const port = (state: string) => site.network.namespace.ip(`link set router-lan1 ${state}`);
  const ms = await withdrawnAfter(
    site,
    VISITOR,
    () => port('down'),
    async () => {
      port('up');
      await visitor.plug('lan1', 'request');
    },
  );
  assert.ok(ms < AT_ONCE_MS, `${ms.toFixed(1)} ms`);
});

labTest(
  'an interface set down by the administrator loses its claims, in the kernel and in the daemon',
  async (lab) => {
    const site = await new Site(lab).start();
    const visitor = await settledVisitor(site);
    site.router.ip('link set lan1 down');
    await site.marpd.routed(VISITOR, undefined, 1000);
    await waitFor(
      async () => (await site.marpd.ctl.host(VISITOR))?.state === 'remembered',
      1000,
      'the daemon to know',
    );
    site.router.ip('link set lan1 up');
    await site.marpd.routed(VISITOR, 'lan1', 5000);
    assert.ok(visitor.cable.port.length > 0);
    await site.reachable(VISITOR);
  },
);

labTest(`a deleted tap takes its guest's route along at once (below ${AT_ONCE_MS} ms)`, async (lab) => {
  const site = await new Site(lab, {
    config: { interface: [{ name: 'lan0' }, { name: 'tap*' }] },
    lans: { lan0: '10.1.1.1/24' },
  }).start();
  let guest: Frames | undefined;
  const ms = await withdrawnAfter(
    site,
    VISITOR,
    () => guest?.program.child.kill('SIGKILL'),
    async () => {
      guest = await Frames.guest(site.router, 'tap0');
      guest.answer(VISITOR);
      await site.marpd.captures('tap0');
      guest.gratuitous(VISITOR, macFor(VISITOR));
    },
  );
  assert.ok(ms < AT_ONCE_MS, `${ms.toFixed(1)} ms`);
});

// The router is itself the switch: the mobility interface is a bridge with two guests on ports of it.
async function bridgeSite(lab: Lab): Promise<{ router: Namespace; marpd: Marpd; guests: [Host, Host] }> {
  const network = new Switch(lab, ['br0'], 'router');
  const router = network.namespace;
  // a bridge without a MAC of its own takes that of its first port, and changes it in the midst of the test
  router.ip('link set br0 address 02:aa:00:00:00:09', 'addr add 10.2.2.1/24 dev br0');
  const guests = ['10.1.1.5/24', '10.1.1.6/24'].map(
    (address, i) => new Host(network, `guest${i}`, { address, gateway: '10.1.1.1' }),
  ) as [Host, Host];
  const marpd = await new Marpd(router, { interface: [{ name: 'br0' }], subnet: SUBNETS }).start('br0');
  return { router, marpd, guests };
}

for (const [how, lose] of [
  ['set down', (guest: Host) => guest.cable.carrier(false)],
  ['removed from the bridge', (guest: Host) => guest.cable.unplug(false)],
] as const) {
  labTest(
    `a bridge port that is ${how} takes only its own guest along, at once (below ${AT_ONCE_MS} ms)`,
    async (lab) => {
      const site = await bridgeSite(lab);
      const [guest, other] = site.guests;
      await other.plug('br0', 'request');
      await site.marpd.state(other.ip, 'settled', 5000);
      const log = await RouteLog.start(site.router);
      const since = Date.now();
      const ms = await withdrawnAfter(
        site,
        guest.ip,
        () => lose(guest),
        async () => {
          await guest.plug('br0', 'request');
        },
      );
      assert.ok(ms < AT_ONCE_MS, `${ms.toFixed(1)} ms`);
      assert.deepEqual(
        log.of(other.ip, since).filter((change) => change.deleted),
        [],
        'the other guest keeps its route',
      );
      assert.equal((await site.marpd.ctl.host(guest.ip))?.cause, 'port-down');
    },
  );
}

for (const [how, lose, restore] of [
  ['set down', (guest: Host) => guest.cable.carrier(false), (guest: Host) => guest.cable.carrier(true)],
  ['taken out', (guest: Host) => guest.cable.unplug(false), (guest: Host) => guest.cable.plug('br0', false)],
] as const)
  labTest(`a bridge port that was ${how} and comes back asks its quiet guest at once`, async (lab) => {
    const site = await bridgeSite(lab);
    const [guest, other] = site.guests;
    for (const each of site.guests) await each.plug('br0', 'request');
    for (const { ip } of site.guests) await site.marpd.state(ip, 'settled', 5000);
    lose(guest);
    await site.marpd.state(guest.ip, 'remembered', 3000);
    // Lost hosts are asked 9.5 and 15 s after the loss.
    await pause(11_000);
    const since = performance.now();
    restore(guest);
    await waitFor(() => site.marpd.routesOf(guest.ip).length > 0, 1500, 'the guest to be routed', 10);
    console.log(`# routed ${(performance.now() - since).toFixed(0)} ms after its port came back`);
    assert.equal((await site.marpd.ctl.host(other.ip))?.state, 'settled');
  });

labTest('an FDB entry that merely aged out costs a question, not the route', async (lab) => {
  const site = await bridgeSite(lab);
  const [guest] = site.guests;
  await guest.plug('br0', 'request');
  await site.marpd.state(guest.ip, 'settled', 5000);
  const log = await RouteLog.start(site.router);
  const since = Date.now();
  site.router.exec('bridge', 'fdb', 'del', guest.mac, 'dev', guest.cable.port, 'master');
  const kept = () => log.of(guest.ip, since).every((change) => !change.deleted);
  await staysTrue(kept, 1500, 'the route');
});

labTest('after a link flap of 200 ms a host that says nothing is back within 4 s', async (lab) => {
  const site = await new Site(lab).start();
  await settledVisitor(site);
  const log = await RouteLog.start(site.router);
  const at = Date.now();
  site.network.namespace.ip('link set router-lan1 down');
  await pause(200);
  site.network.namespace.ip('link set router-lan1 up');
  await log.deleted(VISITOR, 'lan1', at, 1000);
  const back = await log.added(VISITOR, 'lan1', at, 5000);
  assert.ok(back.at - at < 4200, `${(back.at - at).toFixed(0)} ms`);
  await site.reachable(VISITOR);
});

labTest('after a planned restart a host that says nothing is back within 10 s', async (lab) => {
  const site = await new Site(lab).start();
  await settledVisitor(site);
  assert.equal(await site.marpd.stop(), 0);
  assert.deepEqual(site.marpd.routes(), [], 'withdrawn on stop');
  const log = await RouteLog.start(site.router);
  const at = Date.now();
  await site.marpd.start('lan1');
  const back = await log.added(VISITOR, 'lan1', at, 15_000);
  assert.ok(back.at - at < 10_000, `${(back.at - at).toFixed(0)} ms`);
  await site.reachable(VISITOR);
});

labTest('a host that left before the restart is not brought back by its memory', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = await settledVisitor(site);
  await site.marpd.stop();
  visitor.unplug();
  await site.marpd.start('lan1');
  // It is asked at once, after 1 s and after 3 s.
  await staysTrue(() => site.marpd.routes().length === 0, 4000, 'no route', 100);
});
