import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ipv4, Mac } from '../../src/wire/addresses.js';
import { SimWorld } from '../scenario/sim/sim-world.js';
import { assertAgreement, type ScheduleStep, runSchedule } from './schedule.js';
import { Driver, frameOf, hostRoute, IPS, LAN0, LAN1, link, MACS, testPolicy } from './driver.js';
import { assertCounts, allHostsGone, runSteps, type Step } from './steps.js';

/** Counterexamples that the properties once found, kept as they were shrunk. */

const [HOME0, HOME0_TOO, HOME1, , VISITOR] = IPS as unknown as readonly [Ipv4, Ipv4, Ipv4, Ipv4, Ipv4];
const [ONE, TWO, THREE] = MACS as unknown as readonly [Mac, Mac, Mac];

function forgotten(driver: Driver): void {
  for (const ip of IPS)
    driver.handle({ kind: 'route', change: 'delete', route: hostRoute(ip), initial: false });
  driver.alive.clear();
  driver.advance(3_600_000);
  assertCounts(driver);
  for (const [, { state }] of driver.router.hosts())
    assert.equal(state, 'home', 'nothing but home hosts is left');
  assert.equal(driver.router.nextDeadline(), undefined);
}

const LIVES: readonly {
  readonly title: string;
  readonly steps: readonly Step[];
  readonly rule?: Parameters<typeof testPolicy>[0];
}[] = [
  {
    title: 'an RFC 5227 probe and a gratuitous ARP that nobody stands by: the hint does not outlive its host',
    steps: [
      { do: 'frame', kind: 'probe', iface: LAN0, ip: VISITOR, mac: ONE },
      { do: 'frame', kind: 'gratuitous', iface: LAN0, ip: VISITOR, mac: ONE },
    ],
  },
  {
    title:
      'two living hosts with one address on one LAN announce themselves in one round trip: no storm of probes',
    steps: [
      { do: 'plug', iface: LAN0, ip: HOME1, mac: ONE },
      { do: 'plug', iface: LAN0, ip: HOME1, mac: TWO },
      { do: 'advance', ms: 6000 },
    ],
  },
  {
    title: 'the same with prove = after, on an interface without carrier',
    rule: { prove: 'after', learn: 'all' },
    steps: [
      { do: 'link', iface: LAN0, up: true, carrier: false },
      { do: 'plug', iface: LAN0, ip: HOME1, mac: ONE },
      { do: 'plug', iface: LAN0, ip: HOME1, mac: TWO },
      { do: 'advance', ms: 60 },
    ],
  },
  {
    title: 'the interface goes while a prepared host is being proven: it does not stay in `proving`',
    steps: [
      { do: 'command', name: 'prepare', iface: LAN0, ip: HOME0, mac: THREE },
      { do: 'plug', iface: LAN0, ip: HOME0, mac: ONE },
      { do: 'gone', iface: LAN0 },
    ],
  },
  {
    title: 'the hold time ends within 20 ms of a remote claim: the tick ends too',
    steps: [
      { do: 'link', iface: LAN0, up: true, carrier: false },
      { do: 'plug', iface: LAN0, ip: VISITOR, mac: ONE },
      { do: 'advance', ms: 15_000 },
      { do: 'dump', ips: [VISITOR] },
      { do: 'advance', ms: 15_000 },
    ],
  },
  {
    title: 'the interface goes between the answer to a RARP inquiry and its verdict: no crash',
    steps: [
      { do: 'dump', ips: [HOME0] },
      { do: 'frame', kind: 'rarp', iface: LAN0, ip: HOME0, mac: THREE },
      { do: 'frame', kind: 'reply', iface: LAN0, ip: HOME0, mac: THREE },
      { do: 'gone', iface: LAN0 },
      { do: 'advance', ms: 800 },
    ],
  },
  {
    title: 'a RARP inquiry proves a host away from its other home: the tick leaves nothing due at once',
    steps: [
      { do: 'dump', ips: [HOME1] },
      { do: 'live', iface: LAN0, ip: HOME1, mac: TWO, alive: true },
      { do: 'frame', kind: 'rarp', iface: LAN0, ip: HOME0, mac: TWO },
    ],
  },
  {
    title:
      'a remembered sibling answers at its old place while it is asked at the new one: it does not stay in `proving`',
    steps: [
      { do: 'plug', iface: LAN0, ip: HOME0_TOO, mac: THREE },
      { do: 'dump', ips: [HOME0_TOO] },
      { do: 'advance', ms: 6000 },
      { do: 'plug', iface: LAN1, ip: HOME0, mac: THREE },
      { do: 'advance', ms: 2500 },
    ],
  },
  {
    title: 'detach while a challenger is being proven: it does not stay in `proving`',
    steps: [
      { do: 'remote', ip: HOME0, present: true },
      { do: 'plug', iface: LAN1, ip: HOME0, mac: TWO },
      { do: 'advance', ms: 2500 },
      { do: 'dump', ips: [] },
      { do: 'advance', ms: 0 },
      { do: 'command', name: 'detach', iface: LAN1, ip: HOME0, mac: TWO },
    ],
  },
];

describe('lives of a tracker that once went wrong', () => {
  for (const { title, steps, rule } of LIVES) {
    it(title, () => {
      runSteps(new Driver(testPolicy(rule)), steps, allHostsGone);
      runSteps(new Driver(testPolicy(rule)), steps, forgotten);
    });
  }

  it('RFC 5227: a hint survives that the claim elsewhere becomes settled', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    driver.setAnswering(HOME0, ONE, LAN1, true);
    driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', ONE, HOME0) });
    driver.advance(500);
    driver.setAnswering(HOME0, ONE, LAN1, false);
    driver.setAnswering(HOME0, ONE, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('probe', ONE, HOME0) });
    driver.advance(1200);
    assert.ok(driver.router.host(HOME0)?.isAt(LAN0, ONE), driver.trace.join('\n'));
  });
});

const SCHEDULES: readonly {
  readonly title: string;
  readonly schedule: readonly ScheduleStep[];
  readonly seed: number;
  readonly layout: 'one' | 'two';
}[] = [
  {
    title: 'RFC 5227: a probe at home during the check for the remote claim forbids the announcements',
    layout: 'two',
    seed: 1,
    schedule: [
      { do: 'plug', host: 'g', lan: 'a', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 10 },
      { do: 'plug', host: 'g', lan: 'b', announce: 'probe-once', carrierDrop: false },
    ],
  },
  {
    title: 'RFC 5227: the same with both LANs on one box',
    layout: 'one',
    seed: 1,
    schedule: [
      { do: 'plug', host: 'h', lan: 'b', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 1 },
      { do: 'plug', host: 'h', lan: 'a', announce: 'probe-once', carrierDrop: false },
    ],
  },
  {
    title:
      'two routers hear the host within 2 ms and their claims age together: no duplicate, no stuck route',
    layout: 'two',
    seed: 1,
    schedule: [
      { do: 'plug', host: 'v', lan: 'a', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 1 },
      { do: 'plug', host: 'v', lan: 'b', announce: 'gratuitous-request', carrierDrop: false },
    ],
  },
  {
    title:
      'the old place loses its carrier as the remote claim appears, before the daemon sees it: the stuck route is repaired',
    layout: 'two',
    seed: 1,
    schedule: [
      { do: 'plug', host: 'v', lan: 'b', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 2500 },
      { do: 'plug', host: 'v', lan: 'a', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 3 },
      { do: 'flap', router: 'r2', lan: 'b', how: 'carrier', downMs: 0 },
    ],
  },
  {
    title: 'a move while the old router is cut off from the core, back when the new claim has just aged',
    layout: 'two',
    seed: 2,
    schedule: [
      { do: 'plug', host: 'v', lan: 'b', announce: 'gratuitous-request', carrierDrop: false },
      { do: 'rest', ms: 5000 },
      { do: 'core', router: 'r2', downMs: 3000 },
      { do: 'rest', ms: 1400 },
      { do: 'plug', host: 'v', lan: 'a', announce: 'gratuitous-request', carrierDrop: false },
    ],
  },
];

describe('schedules of a site that once ended in disagreement', () => {
  for (const { title, schedule, seed, layout } of SCHEDULES) {
    for (const rpFilter of [0, 1] as const) {
      it(`${title} (rp_filter ${rpFilter})`, async () => {
        const world = new SimWorld(layout, { seed, rpFilter });
        try {
          await runSchedule(world, schedule);
          await assertAgreement(world, schedule);
        } catch (error) {
          throw new Error(`${(error as Error).message}\n${world.report()}`, { cause: error });
        }
      });
    }
  }
});

describe('claims of an earlier run', () => {
  it('are asked for soon although capture was open before they were read (design.md 3.2, restart)', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    driver.handle({ kind: 'adopt', ip: VISITOR, iface: LAN1, mac: ONE, age: 'fresh' });
    driver.advance(1000);
    assert.equal(driver.router.host(VISITOR)?.state, 'remembered', 'nobody answered');
  });
});

describe('an interface that is renamed', () => {
  it('without a carrier to a name that no rule allows: what was claimed there is withdrawn', () => {
    const driver = new Driver(testPolicy());
    driver.boot();
    const dead = link(LAN0, { carrier: false });
    driver.handle({ kind: 'link', link: dead });
    driver.setAnswering(VISITOR, ONE, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', ONE, VISITOR) });
    driver.advance(100);
    assert.equal(driver.router.host(VISITOR)?.state, 'fresh');
    // The list of addresses is the very one, so nothing else asks for a review.
    driver.handle({ kind: 'link', link: { ...dead, name: 'eth9' } });
    assert.equal(driver.router.host(VISITOR)?.cause, 'not-allowed');
    driver.advance(5000);
  });
});
