import assert from 'node:assert/strict';
import { Noise, measureBurst, measureLatency } from '../../bench/instruments.js';
import { footprint, treeOf } from '../../bench/processes.js';
import type { Family } from '../../../src/wire/addresses.js';
import { BenchRouter, ipNumber, ipText } from '../../bench/router.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import type { Marpd } from '../kit/marpd.js';
import type { Lab } from '../kit/namespace.js';
import { commandLine, signalIfAlive } from '../kit/processes.js';
import { pause, waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';

/** What overload and stalls must not do to those who are there: nobody is withdrawn for them (design.md 3.2). */

const VISITORS = 12;

interface Quiet {
  readonly router: BenchRouter;
  readonly marpd: Marpd;
  /** Addresses whose route was deleted since. */
  lost(): string[];
}

/** Twelve visitors on lan0 that are routed, answer when they are asked and say nothing. */
async function quietVisitors(
  lab: Lab,
  timers: Record<string, string>,
  family: Family = 'ipv4',
): Promise<Quiet> {
  const router = new BenchRouter(lab, 2, [family]);
  const first = router.newcomers(VISITORS);
  const marpd = await router.start({ timers });
  await Noise.hosts(router.port(0), first, VISITORS);
  await Noise.refresh(router.port(0), first, VISITORS, 200, 100);
  const ips = Array.from({ length: VISITORS }, (_, i) => ipText(ipNumber(first) + i, family));
  for (const ip of ips) await marpd.state(ip, 'settled', 8000);
  const log = await RouteLog.start(router.router);
  return { router, marpd, lost: () => ips.filter((ip) => log.of(ip).some((change) => change.deleted)) };
}

for (const [kind, what, family] of [
  ['random', 'ARP frames', 'ipv4'],
  ['nd-random', 'neighbour advertisements', 'ipv6'],
  ['nd-questions', 'neighbour solicitations', 'ipv6'],
  ['mld', 'MLD reports', 'ipv6'],
] as const)
  labTest(
    `${VISITORS} quiet visitors beside 100,000 ${what}/s on their LAN: none is withdrawn`,
    async (lab) => {
      const { router, marpd, lost } = await quietVisitors(lab, SOAK ? {} : { keepalive: '1s' }, family);
      const before = footprint(marpd.pid).pssMb;
      const noise = await Noise.storm(router.port(0), kind, 100_000, SOAK ? 30_000 : 8000);
      const rate = await noise.rate();
      await pause(3000);
      const grown = footprint(marpd.pid).pssMb - before;
      console.log(
        `# ${rate.toFixed(0)} frames/s offered, ${lost().length} of ${VISITORS} withdrawn, memory +${grown.toFixed(0)} MB`,
      );
      assert.deepEqual(lost(), []);
      assert.equal((await marpd.ctl.status()).hosts.settled, VISITORS);
      assert.ok(grown < 120, `memory grew by ${grown.toFixed(0)} MB`);
    },
    120_000,
  );

for (const [what, frozen] of [
  ['the daemon', (pid: number) => [pid]],
  ['the daemon and all its children (freezer)', treeOf],
  ['the capture alone', (pid: number) => treeOf(pid).filter((each) => commandLine(each).includes('reader'))],
] as const)
  labTest(`SIGSTOP of ${what}, longer than \`hold\`: no quiet visitor is lost 2 s later`, async (lab) => {
    const { marpd, lost } = await quietVisitors(lab, SOAK ? {} : { keepalive: '1s', hold: '3s' });
    const pids = frozen(marpd.pid);
    assert.ok(pids.length > 0);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await pause(SOAK ? 20_000 : 5000);
    for (const pid of pids) signalIfAlive(pid, 'SIGCONT');
    await pause(2000);
    console.log(`# ${lost().length} of ${VISITORS} withdrawn`);
    assert.deepEqual(lost(), []);
  });

labTest(
  'a crowd at full speed whose answers come 50 to 600 ms late is learned whole',
  async (lab) => {
    const size = SOAK ? 50_000 : 20_000;
    const router = new BenchRouter(lab, 1);
    const marpd = await router.start();
    const { learned, ms } = await measureBurst(router.port(0), router.newcomers(size), size, 0, '50-600');
    console.log(`# ${learned} of ${size} learned in ${ms.toFixed(0)} ms`);
    assert.equal(learned, size);
    const alarms = (await marpd.ctl.status()).alarms.map(({ alarm }) => alarm);
    assert.ok(!alarms.includes('newcomer-storm'), 'no storm');
  },
  200_000,
);

labTest(
  'RARP of 1,000 random MACs a second delays no newcomer on another LAN, then or afterwards',
  async (lab) => {
    const router = new BenchRouter(lab, 2);
    // Somebody else claims hosts: each of those MACs may be one of them.
    for (let i = 1; i < 65; i++)
      router.router.ip(`route add 10.65.0.${i}/32 via 172.16.1.2 proto bgp metric 20`);
    const marpd = await router.start();
    const noise = await Noise.storm(router.port(0), 'rarp', 1000, SOAK ? 19_000 : 5000);
    await pause(1000);
    const meanwhile = await measureLatency(router.port(1), router.newcomers(50), 50, 20);
    await noise.rate();
    const afterwards = await measureLatency(router.port(1), router.newcomers(50), 50, 20);
    for (const [when, { p50, p90, max, missed }] of Object.entries({ meanwhile, afterwards })) {
      console.log(
        `# ${when}: p50 ${p50.toFixed(1)}, p90 ${p90.toFixed(0)}, longest ${max.toFixed(0)} ms, ${missed} of 50 missed`,
      );
      assert.equal(missed, 0);
      assert.ok(p90 < 500, `${when}: p90 ${p90.toFixed(0)} ms`);
    }
    const drops = async () =>
      (await marpd.ctl.drops()).find(({ reason }) => reason === 'inquiry-limit')?.count;
    await waitFor(async () => ((await drops()) ?? 0) > 1000, 2000, 'look-ups to be refused');
  },
  90_000,
);
