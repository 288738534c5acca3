import assert from 'node:assert/strict';
import { Noise } from '../../bench/instruments.js';
import { Host } from '../kit/host.js';
import type { Lab } from '../kit/namespace.js';
import { pause, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';
import { SOAK, labTest } from '../kit/lab-test.js';

/**
 * What a storm of forged newcomers must not do to those who live on the same LAN. What it does to others is
 * measured by `npm run bench -- storm`.
 */

const VISITORS = 6;
/** Forged newcomers that are no storm to marpd: they do not wait. A machine with half a processor to spare does not do more. */
const FORGED_PER_SECOND = SOAK ? 3000 : 1500;

interface Stormy {
  readonly site: Site;
  readonly visitors: readonly Host[];
  /** Storms on lan1 from now on, for at most `ms`. */
  readonly storm: (perSecond: number, ms: number) => Promise<Noise>;
}

/** Visitors who have settled on lan1 and say nothing; a forger beside them. */
async function setUp(lab: Lab): Promise<Stormy> {
  const site = await new Site(lab, {
    config: {
      // As in production: three lines for each forged newcomer would be half of the load.
      log: { level: 'info' },
      subnet: [
        { prefix: '10.1.1.0/24', gateway: '10.1.1.1' },
        { prefix: '10.64.0.0/10', gateway: '10.64.0.1' },
      ],
    },
  }).start();
  const visitors: Host[] = [];
  for (let i = 0; i < VISITORS; i++) {
    const visitor = site.host(`visitor${i}`, { address: `10.1.1.${10 + i}/24` });
    await visitor.plug('lan1', 'request');
    visitors.push(visitor);
  }
  for (const { ip } of visitors) await site.marpd.state(ip, 'settled', 5000);
  const forger = new Host(site.network, 'forger', { address: '10.9.9.9/24', gateway: '10.9.9.1' });
  forger.cable.plug('lan1');
  await forger.carrier();
  await forger.cable.forwards();
  const port = { crowd: forger.namespace, iface: 'eth0', router: site.router };
  return { site, visitors, storm: (perSecond, ms) => Noise.storm(port, 'random', perSecond, ms) };
}

/** Newcomers that were not asked, because the budget of their interface was used up. */
async function refused({ marpd }: Site): Promise<number> {
  const drops = await marpd.ctl.drops();
  return drops.find(({ reason }) => reason === 'newcomer-budget')?.count ?? 0;
}

/** Waits until so many were refused that the storm is one to marpd. The flood and those whom it reaches take their time. */
async function rages(site: Site): Promise<void> {
  await waitFor(async () => (await refused(site)) > 1000, 45_000, 'newcomers to be refused', 100);
}

/** Whether one ARP request for its gateway is answered. */
function asks(visitor: Host): boolean {
  const argv = ['-q', '-c', '1', '-w', '1', '-I', 'eth0', visitor.gateway];
  return visitor.namespace.status('arping', ...argv) === 0;
}

labTest(
  "a quiet visitor's gateway answers in a storm of 40,000 frames/s on its own LAN",
  async (lab) => {
    const { site, visitors, storm } = await setUp(lab);
    const noise = await storm(40_000, 90_000);
    await rages(site);
    let answered = 0;
    for (let round = 0; round < 3; round++) for (const visitor of visitors) if (asks(visitor)) answered++;
    await noise.stop();
    // A full ring drops whoever it is.
    assert.ok(answered >= 3 * VISITORS - 2, `${answered} of ${3 * VISITORS} answered`);
    for (const { ip } of visitors) await site.marpd.state(ip, 'settled', 3000);
  },
  90_000,
);

labTest(
  'a visitor moves to a LAN on which a storm rages',
  async (lab) => {
    const { site, visitors, storm } = await setUp(lab);
    const mover = site.host('mover', { address: '10.1.1.50/24' });
    await mover.plug('lan0', 'request');
    await site.marpd.state(mover.ip, 'home', 3000);
    const noise = await storm(20_000, 90_000);
    await rages(site);
    await mover.plug('lan1', 'request');
    await site.marpd.state(mover.ip, 'settled', 5000);
    assert.equal((await site.marpd.ctl.host(mover.ip))?.interface, 'lan1');
    await noise.stop();
    assert.equal(visitors.length, VISITORS);
  },
  90_000,
);

labTest(`real newcomers get in beside ${FORGED_PER_SECOND} forged ones a second`, async (lab) => {
  const { site, storm } = await setUp(lab);
  const noise = await storm(FORGED_PER_SECOND, 60_000);
  await pause(3000);
  const newcomers: Host[] = [];
  for (let i = 0; i < 8; i++) newcomers.push(site.host(`new${i}`, { address: `10.1.1.${100 + i}/24` }));
  // One word of each.
  for (const newcomer of newcomers) await newcomer.plug('lan1', 'request');
  for (const { ip } of newcomers) await site.marpd.state(ip, 'settled', 8000);
  assert.equal(await refused(site), 0);
  await noise.stop();
});
