import assert from 'node:assert/strict';
import { mulberry32 } from '../../random.js';
import type { EngineName } from './engines.js';
import { evacuation } from './evacuation.js';
import { monotonicNs } from './gauges.js';
import { Host, macFor } from '../kit/host.js';
import { pause, staysTrue, waitFor } from '../kit/program.js';
import { PROTOCOL } from './moves.js';
import { type FirstHop, HOST, PLACES, THREE } from './places.js';
import type { RoutedSite } from './routed-site.js';
import { SOAK } from '../kit/lab-test.js';
import { atRest, recover, suite } from './suite.js';
import { Transfer } from './transfer.js';

/**
 * Moves between routers with the daemons, the kernels and the routing daemons that users have (design.md 3.3).
 * The bounds on outages are those of a busy machine; `npm run bench:move` measures.
 */

/**
 * Longest silence in a clean move: propagation, and what two noisy cores add. In the short run, where other files run at
 * the same time, it shows that no move waits for a timer: the shortest is router.settle, 1 s.
 */
const OUTAGE_MS: Readonly<Record<EngineName, number>> = {
  'frr-ospf': SOAK ? 250 : 500,
  'bird-bgp': SOAK ? 250 : 500,
  'frr-bgp': 600,
  'bird-ospf': 12_000,
};
/** The host asks for its neighbour anew; when that is lost on a loaded machine, its kernel asks again after 1 s. */
const QUESTION_MS = SOAK ? 500 : 1500;
/** Shortest stay at one place. A host that is gone before the engine has told of it looks like two to marpd. */
const RESTLESS_MS: Readonly<Record<EngineName, number>> = {
  'frr-ospf': 30,
  'bird-bgp': 30,
  'frr-bgp': 350,
  'bird-ospf': 6000,
};
const SETTLE_MS = 1000;
/** A settled claim is the incumbent's when nobody has objected for one more settle. */
const UNOPPOSED_MS = SETTLE_MS + 300;

/** The scenarios that tell more of marpd than of the routing daemon are told with one of them in the short run. */
const thorough = (engine: EngineName): boolean => SOAK || engine === 'frr-ospf';

interface Seen {
  readonly alarms: readonly string[];
  readonly contested: boolean;
}

/** Alarms and disputes about the host, on all routers. */
async function disputes(site: RoutedSite): Promise<Seen> {
  const alarms: string[] = [];
  let contested = false;
  for (const role of site.firstHops) {
    const { ctl, program } = site.marpd(role);
    if (program?.running !== true) continue;
    const status = await ctl.status();
    alarms.push(...status.alarms.filter(({ ip }) => ip === HOST).map(({ alarm }) => `${role} ${alarm}`));
    contested ||= (await ctl.host(HOST))?.contest != null;
  }
  return { alarms, contested };
}

async function undisputed(site: RoutedSite): Promise<void> {
  assert.deepEqual(await disputes(site), { alarms: [], contested: false });
}

/** Clean moves and what must never come of them. */
export function cleanMoves(engine: EngineName): void {
  const limit = OUTAGE_MS[engine];
  suite(engine, 'clean moves between three routers', { firstHops: THREE }, async ({ site, meter, step }) => {
    const { host } = meter;

    await step('a host goes out and home: one announcer away, none at home (design.md 3.3)', async () => {
      for (let i = 0; i < (SOAK ? 20 : 4); i++) {
        const to: FirstHop = meter.at === 'r1' ? 'r2' : 'r1';
        const report = await meter.move(to);
        assert.ok(report.remote.outageMs < limit, `outage of ${report.remote.outageMs} ms in move ${i + 1}`);
        assert.ok(
          report.neighbour.outageMs < limit + QUESTION_MS,
          `neighbour: ${report.neighbour.outageMs} ms`,
        );
        await site.clean(new Map(to === 'r1' ? [] : [[HOST, to]]));
      }
      await undisputed(site);
    });

    await step('random moves (seed 20260101) at random times leave no stuck route in any table', async () => {
      const random = mulberry32(20260101);
      for (let i = 0; i < (SOAK ? 200 : 12); i++) {
        const others = site.firstHops.filter((role) => role !== meter.at);
        meter.at = others[Math.floor(random() * others.length)] as FirstHop;
        await site.move(host, meter.at, { carrierDrop: random() < 0.5 });
        await pause(RESTLESS_MS[engine] + random() ** 3 * 2500);
        if (i % 20 === 19) {
          await noGhosts(site, meter.at);
        }
      }
      await noGhosts(site, meter.at);
      // Back within a verdict looks like a second living host, and R1 keeps its claim for as long as it remembers that.
      if ((await disputes(site)).contested) await recover(site, meter);
    });

    await step('500 hosts move at once: all reachable within seconds, nothing lost', () =>
      evacuation(site, meter),
    );

    if (!thorough(engine)) return;

    await step('A to B, B to C, C to B, and home', async () => {
      for (const to of ['r2', 'r4', 'r2', 'r1'] as const) {
        const report = await meter.move(to);
        assert.ok(
          report.remote.outageMs < limit,
          `outage of ${report.remote.outageMs} ms on the way to ${to}`,
        );
        await site.clean(new Map(to === 'r1' ? [] : [[HOST, to]]));
      }
      await undisputed(site);
    });

    await step('B back to A within settle', async () => {
      await site.move(host, 'r2');
      await pause(250);
      await site.move(host, 'r1');
      await atRest(site, 'r1');
      await site.clean(new Map());
      await undisputed(site);
    });

    await step('a clean mover that ping-pongs is never frozen (RFC 7432 section 15.1)', async () => {
      for (let i = 0; i < (SOAK ? 60 : 14); i++) {
        meter.at = meter.at === 'r2' ? 'r4' : 'r2';
        await site.move(host, meter.at);
        await pause(i % 2 === 0 ? 300 : 450);
      }
      await atRest(site, meter.at);
      await site.clean(new Map([[HOST, meter.at]]));
      // So restless a host may be a clone to its routers, which then ask its old place first. It is no alarm.
      assert.deepEqual((await disputes(site)).alarms, []);
    });

    await step('a TCP transfer survives moves with its data intact', async () => {
      const transfer = await Transfer.start(host, site.remote);
      for (let i = 0; i < (SOAK ? 20 : 4); i++)
        await meter.move((['r2', 'r4', 'r1'] as const)[i % 3] as FirstHop);
      const { sent, read } = await transfer.finish();
      assert.equal(read, sent);
      assert.ok(Number.parseInt(sent, 10) > 1e6, `only ${sent} bytes passed`);
    });

    await step('a move while a core link fails', async () => {
      // R3 loses its own link to the new router at the instant of the move; the way over R1 is left.
      const cable = await site.move(host, 'r2');
      meter.at = 'r2';
      site.router('r3').ip('link set core1 down');
      await site.reachable(site.remote, HOST, 15_000);
      const back = monotonicNs();
      const { outageMs } = await meter.remote.window(cable.plugged, back);
      assert.ok(outageMs < 10_000, `outage of ${outageMs} ms`);
      await atRest(site, 'r2');
      // A link that is back before zebra has looked at its routes leaves zebra with routes that the kernel has lost.
      const overCore1 = new RegExp(`${HOST.replaceAll('.', '\\.')}/32[^]{0,100}?via ${PLACES.r2.uplink}`);
      await waitFor(
        () => !overCore1.test(site.engine('r3').explain(HOST)),
        10_000,
        'r3 to give up the way over its failed link',
        50,
      );
      site.router('r3').ip('link set core1 up');
      await site.converged();
      await site.clean(new Map([[HOST, 'r2']]), 15_000);
    });
  });
}

/** Waits until the host is at rest there, and nobody else announces it; at home nobody does, unless it is disputed. */
async function noGhosts(site: RoutedSite, at: FirstHop): Promise<void> {
  const { ctl } = site.marpd(at);
  const view = await waitFor(
    async () => {
      const host = await ctl.host(HOST);
      const rests =
        host?.state === 'home' || (host?.state === 'settled' && (at !== 'r1' || host.contest !== null));
      return rests ? host : undefined;
    },
    20_000,
    `the host to be at rest at ${at}`,
    20,
  );
  await site.clean(new Map(view.state === 'home' ? [] : [[HOST, at]]));
}

/** Daemons that die or restart around a move. */
export function deadDaemons(engine: EngineName): void {
  if (!thorough(engine)) return;
  suite(engine, 'daemons that die around a move', { firstHops: THREE }, async ({ site, meter, step }) => {
    const { host } = meter;
    const goes = async (to: FirstHop) => {
      meter.at = to;
      return site.move(host, to);
    };

    await step(
      'the old router is dead after settle: the move converges without it (design.md 3.3)',
      async () => {
        await goes('r2');
        await atRest(site, 'r2');
        await site.marpd('r2').crash();
        const cable = await goes('r4');
        await atRest(site, 'r4');
        await meter.steady(200);
        const { outageMs } = await meter.remote.window(cable.plugged, monotonicNs());
        assert.ok(outageMs < OUTAGE_MS[engine], `outage of ${outageMs} ms`);
        // Its settled claim is still in its kernel, beaten by the route to R4 and announced by nobody.
        const announced = site
          .engine('r3')
          .holdings()
          .filter(({ ip, table }) => ip === HOST && table !== 'zebra');
        assert.ok(
          announced.length > 0 && announced.every(({ by }) => by === PLACES.r4.id),
          JSON.stringify(announced),
        );
        await site.marpd('r2').start('lan0');
        await site.clean(new Map([[HOST, 'r4']]), 10_000);
      },
    );

    await step('the old router is killed within settle and restarted', async () => {
      await goes('r2');
      await site.marpd('r2').routed(HOST, 'lan0');
      await site.marpd('r2').crash();
      await goes('r4');
      await site.marpd('r2').start('lan0');
      await atRest(site, 'r4');
      await site.clean(new Map([[HOST, 'r4']]), 10_000);
      await meter.steady(200);
    });

    await step('the new router dies right after the move: its kernel goes on (design.md 3.2)', async () => {
      await goes('r2');
      await site.marpd('r2').routed(HOST, 'lan0');
      await site.marpd('r2').crash();
      // Only the remote host: nobody is left to answer the host's ARP for its neighbour.
      await waitFor(() => meter.remote.flows(300), 3000, 'the echoes of the remote host', 20);
      await site.marpd('r2').start('lan0');
      await atRest(site, 'r2');
      await site.clean(new Map([[HOST, 'r2']]), 10_000);
    });

    for (const side of ['old', 'new'] as const) {
      await step(`the ${side} router restarts in the middle of a move`, async () => {
        await goes('r2');
        await atRest(site, 'r2');
        const restarted = side === 'old' ? 'r2' : 'r4';
        const stopped = site.marpd(restarted).stop();
        await goes('r4');
        await stopped;
        await site.marpd(restarted).start('lan0');
        await site.reachable(site.remote, HOST, 8000);
        await atRest(site, 'r4');
        await site.clean(new Map([[HOST, 'r4']]), 10_000);
        await meter.steady(200);
      });
    }
  });
}

/** Frames that lie, and hosts that are there twice. */
export function disputedMoves(engine: EngineName): void {
  if (!thorough(engine)) return;
  suite(engine, 'forgers and duplicates', { firstHops: THREE }, async ({ site, meter, step }) => {
    const { host } = meter;
    // A station on net4 of which nobody knows anything.
    const stranger = new Host(site.network, 'stranger', {
      address: '10.99.0.1/24',
      gateway: '10.99.0.2',
      mac: '02:00:00:00:06:66',
    });
    stranger.cable.plug(PLACES.r4.segment);
    const frames = await stranger.frames();

    await step(
      'a forged gratuitous ARP from a LAN where the host is not never moves it (design.md C5)',
      async () => {
        await meter.move('r2');
        const from = monotonicNs();
        for (let i = 0; i < 10; i++) {
          frames.gratuitous(HOST, stranger.mac);
          frames.gratuitousReply(HOST, host.mac);
          await pause(100);
        }
        const { lost } = await meter.remote.window(from, monotonicNs() - 10e6);
        assert.equal(lost, 0);
        assert.deepEqual(
          meter.watch.of(HOST, from).filter(({ role }) => role !== 'r2'),
          [],
          'no route changed anywhere',
        );
        await undisputed(site);
        await site.clean(new Map([[HOST, 'r2']]));
      },
    );

    await step(
      'a forger that answers the proof: the living owner is back, and the challenger waits (design.md 3.3)',
      async () => {
        await meter.move('r2');
        await pause(UNOPPOSED_MS);
        let worst = 0;
        const claimed: boolean[] = [];
        // A new MAC each time: the wait is for the address.
        for (let i = 10; i < 16; i++) {
          const mac = `02:00:00:00:66:${i}`;
          const from = monotonicNs();
          frames.answer(HOST, 1, mac);
          frames.gratuitous(HOST, mac);
          await pause(SETTLE_MS + 300);
          await ownerHasIt(site);
          const { outageMs } = await meter.remote.window(from, monotonicNs() - 10e6);
          worst = Math.max(worst, outageMs);
          const events = meter.watch.of(HOST, from);
          claimed.push(
            events.some(({ role, added, protocol }) => role === 'r4' && added && protocol === PROTOCOL),
          );
          frames.mute();
          await waitFor(
            () => site.marpd('r4').routesOf(HOST).length === 0,
            5000,
            'the challenger to withdraw',
            20,
          );
        }
        assert.ok(worst < SETTLE_MS + 200 + OUTAGE_MS[engine], `the owner was silent for ${worst} ms`);
        assert.equal(claimed[0], true, 'whoever answers is believed at first');
        assert.deepEqual(claimed.slice(2), [false, false, false, false]);
        const { alarms } = await disputes(site);
        assert.ok(alarms.includes('r2 duplicate') && alarms.includes('r4 duplicate'), alarms.join(', '));
        assert.ok(
          !alarms.some((alarm) => alarm.endsWith('frozen')),
          'what another router claimed is not frozen',
        );
        await ownerHasIt(site);
        await clearAll(site);
      },
    );

    await step(
      'one address alive on two LANs stays with the one that had it first (design.md 3.3)',
      async () => {
        await meter.move('r2');
        await pause(UNOPPOSED_MS);
        const double = site.host('double', { mac: macFor('10.9.9.9') });
        await double.plug(PLACES.r4.segment, 'request');
        await waitFor(
          async () => (await disputes(site)).alarms.includes('r4 duplicate'),
          10_000,
          'the challenger to say that there is a duplicate',
          50,
        );
        await waitFor(() => site.marpd('r4').routesOf(HOST).length === 0, 5000, 'R4 to withdraw', 20);
        await site.clean(new Map([[HOST, 'r2']]), 10_000);
        await meter.steady(300);
        const view = await site.marpd('r4').ctl.host(HOST);
        assert.ok(view?.contest != null, 'and remembers the dispute');
        // What the duplicate says now is not listened to for 10 s.
        const frames = await double.frames();
        frames.gratuitous(HOST, double.mac);
        await staysTrue(() => site.marpd('r4').routesOf(HOST).length === 0, 1000, 'the peace', 50);
        double.unplug();
        await clearAll(site);
      },
    );
  });
}

/** Ends all disputes by hand; the host is at R2, and is found there again. */
async function clearAll(site: RoutedSite): Promise<void> {
  for (const role of site.firstHops) await site.marpd(role).ctl.post('/v1/clear', { ip: HOST });
  await waitFor(async () => !(await disputes(site)).contested, 2000, '`clear` to end the dispute', 20);
  await atRest(site, 'r2');
  await waitFor(
    async () => (await site.marpd('r1').ctl.host(HOST))?.state === 'away',
    10_000,
    'R1 to know that the host is away',
    20,
  );
}

async function ownerHasIt(site: RoutedSite): Promise<void> {
  await waitFor(
    () => site.router('r3').json<{ gateway?: string }>('route', 'get', HOST)[0]?.gateway === PLACES.r2.uplink,
    5000,
    'R3 to send to the owner',
    20,
  );
}
