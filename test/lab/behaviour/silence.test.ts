import assert from 'node:assert/strict';
import { Frames, macFor } from '../kit/host.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import type { Lab } from '../kit/namespace.js';
import { staysTrue, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';

/** Silence is not the end, and slow is not silent (design.md 3.2). */

const VISITOR = '10.1.1.5';

labTest('a silent Linux visitor cut off for 8 s without loss of carrier is back within 2 s', async (lab) => {
  const site = await new Site(lab, { config: { timers: { keepalive: '5s' } } }).start();
  const visitor = site.host('visitor');
  await visitor.plug('lan1', 'request');
  await site.marpd.state(VISITOR, 'settled', 5000);
  const at = performance.now();
  visitor.cable.unplug(false);
  await site.marpd.state(VISITOR, 'remembered', 8000);
  const { nextProbeMs } = (await site.marpd.ctl.host(VISITOR)) as { nextProbeMs?: number | null };
  assert.ok(typeof nextProbeMs === 'number' && nextProbeMs <= 1600, `asked next in ${nextProbeMs} ms`);
  await waitFor(() => performance.now() - at >= 8000, 9000, 'the end of the pause');
  const back = performance.now();
  visitor.cable.plug('lan1', false);
  await site.marpd.routed(VISITOR, 'lan1', 2500);
  assert.ok(performance.now() - back < 2500, `${(performance.now() - back).toFixed(0)} ms`);
  await site.reachable(VISITOR);
});

const STAYS_MS = SOAK ? 600_000 : 8000;
for (const delayMs of [600, 1500]) {
  const answersLate = async (lab: Lab): Promise<void> => {
    const site = await new Site(lab, {
      config: { interface: [{ name: 'lan0' }, { name: 'tap*' }], timers: { keepalive: '1s', hold: '15s' } },
      lans: { lan0: '10.1.1.1/24' },
    }).start();
    const guest = await Frames.guest(site.router, 'tap0');
    await site.marpd.captures('tap0');
    guest.delay(delayMs);
    guest.answer(VISITOR);
    guest.gratuitous(VISITOR, macFor(VISITOR));
    await site.marpd.routed(VISITOR, 'tap0', delayMs + 2000);
    const routed = () => site.marpd.routesOf(VISITOR).length > 0;
    await staysTrue(routed, STAYS_MS, 'the route', 50);
  };
  labTest(
    `a host that answers after ${delayMs} ms is learned and stays routed`,
    answersLate,
    STAYS_MS + 52_000,
  );
}

labTest('a renamed tap serves its guest under the new name', async (lab) => {
  const site = await new Site(lab, {
    config: { interface: [{ name: 'lan0' }, { name: 'tap*' }] },
    lans: { lan0: '10.1.1.1/24' },
  }).start();
  const guest = await Frames.guest(site.router, 'tap5');
  await site.marpd.captures('tap5');
  guest.answer(VISITOR);
  guest.gratuitous(VISITOR, macFor(VISITOR));
  await site.marpd.routed(VISITOR, 'tap5', 2000);
  site.router.ip('link set tap5 down', 'link set tap5 name tap50', 'link set tap50 up');
  await site.marpd.routed(VISITOR, 'tap50', 4000);
});
