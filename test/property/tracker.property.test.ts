import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Command } from '../../src/mobility/commands.js';
import type { LearnRule, ProveRule } from '../../src/mobility/policy.js';
import {
  Driver,
  type FrameKind,
  frameOf,
  hostRoute,
  IPS,
  LAN0,
  LAN1,
  link,
  MACS,
  testPolicy,
} from './driver.js';
import type { Ip } from '../../src/wire/addresses.js';
import { effort } from './effort.js';
import { assertCounts, allHostsGone, runSteps, type Step } from './steps.js';

/**
 * Random lives of one tracker. What must hold at every step is in scenario/invariants.ts; what must hold at the end is
 * here. A counterexample that was once found stays as a fixed example in regressions.property.test.ts.
 */

const ifaces = fc.constantFrom(LAN0, LAN1);
const ips = fc.constantFrom(...IPS);
const macs = fc.constantFrom(...MACS);
const kinds = fc.constantFrom<FrameKind>(
  'gratuitous',
  'gratuitous-reply',
  'request',
  'reply',
  'probe',
  'rarp',
);
const commands = fc.constantFrom<Command['name']>('probe', 'clear', 'prepare', 'attach', 'detach', 'role');

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('frame' as const),
      kind: kinds,
      iface: ifaces,
      ip: ips,
      mac: macs,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('plug' as const), iface: ifaces, ip: ips, mac: macs }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('live' as const),
      iface: ifaces,
      ip: ips,
      mac: macs,
      alive: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('remote' as const), ip: ips, present: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('link' as const),
      iface: ifaces,
      up: fc.boolean(),
      carrier: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('gone' as const), iface: ifaces }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('capture' as const), iface: ifaces, open: fc.boolean() }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 0.5, 1, 5, 19, 25, 60, 200, 500, 800, 1000, 1100, 2500, 6000, 15_000, 200_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('command' as const),
      name: commands,
      iface: ifaces,
      ip: ips,
      mac: macs,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('neighbour' as const),
      iface: ifaces,
      ip: ips,
      mac: fc.option(macs, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('refused' as const), ip: ips }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('dump' as const), ips: fc.subarray([...IPS]) }) },
);

describe('random lives of a tracker', () => {
  for (const prove of ['before', 'after', 'never'] satisfies ProveRule[]) {
    for (const learn of ['foreign', 'all'] satisfies LearnRule[]) {
      it(`prove = ${prove}, learn = ${learn}: invariants hold, claims go when evidence stops`, () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
            runSteps(new Driver(testPolicy({ prove, learn })), steps, allHostsGone);
          }),
          effort(400),
        );
      });
    }
  }

  for (const learn of ['foreign', 'all'] satisfies LearnRule[]) {
    it(`design.md 3.5: role = told, learn = ${learn}: the same, active or standby`, () => {
      // lan0 and lan1 have addresses of their own, in whose name a standby asks.
      const policy = testPolicy({ role: 'told', learn }, (before) => ({
        ...before,
        subnets: before.subnets.map((subnet) => ({
          ...subnet,
          gateways: subnet.gateways.map((gateway) => (Number(gateway) + 253) as Ip),
        })),
      }));
      fc.assert(
        fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
          runSteps(new Driver(policy), steps, allHostsGone);
        }),
        effort(400),
      );
    });
  }

  it('after everything is forgotten nothing but the recorded home hosts is left, and nothing waits', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        runSteps(new Driver(testPolicy()), steps, (driver) => {
          for (const ip of IPS)
            driver.handle({ kind: 'route', change: 'delete', route: hostRoute(ip), initial: false });
          driver.alive.clear();
          driver.advance(3_600_000);
          assertCounts(driver);
          for (const [, { state }] of driver.router.hosts()) assert.equal(state, 'home');
          assert.equal(driver.router.nextDeadline(), undefined);
        });
      }),
      effort(300),
    );
  });

  it('one host that stays and answers where it is plugged ends up there, whatever happened before', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 50, size: 'max' }),
        ifaces,
        ips,
        macs,
        (steps, iface, ip, mac) => {
          runSteps(new Driver(testPolicy()), steps, (driver) => {
            for (const index of [LAN0, LAN1]) {
              driver.handle({ kind: 'link', link: link(index) });
              driver.handle({ kind: 'capture', iface: index, open: true });
            }
            for (const other of IPS)
              driver.handle({ kind: 'route', change: 'delete', route: hostRoute(other), initial: false });
            driver.alive.clear();
            driver.advance(1_200_000); // all disputes and freezes are over
            driver.setAnswering(ip, mac, iface, true);
            driver.handle({ kind: 'frame', iface, bytes: frameOf('gratuitous', mac, ip) });
            driver.advance(5000);
            const host = driver.router.host(ip);
            assert.ok(host?.isAt(iface, mac), 'at its place');
            const atHome =
              (iface === LAN0 && ip >>> 8 === 0x0a0101) || (iface === LAN1 && ip >>> 8 === 0x0a0202);
            assert.equal(host?.state, atHome ? 'home' : 'settled');
          });
        },
      ),
      effort(300),
    );
  });

  it('is deterministic: the same events give the same actions', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50, size: 'max' }), (steps) => {
        const runs = [1, 2].map(() => {
          const driver = new Driver(testPolicy());
          runSteps(driver, steps, () => driver.advance(10_000));
          return driver.trace;
        });
        assert.deepEqual(runs[0], runs[1]);
      }),
      effort(50),
    );
  });
});

describe('whatever is heard', () => {
  it('random bytes never throw and give an action or a drop with a reason', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 80 })), {
          maxLength: 20,
        }),
        (frames) => {
          const driver = new Driver(testPolicy());
          driver.boot();
          for (const [iface, bytes] of frames) {
            assert.ok(driver.handle({ kind: 'frame', iface, bytes }).length > 0);
          }
        },
      ),
      effort(500),
    );
  });

  it('a damaged but almost good frame never throws and gives an action or a drop with a reason', () => {
    const good = kinds.chain((kind) => fc.tuple(macs, ips).map(([mac, ip]) => frameOf(kind, mac, ip)));
    const damaged = fc.tuple(
      good,
      fc.array(fc.tuple(fc.nat({ max: 41 }), fc.nat({ max: 255 })), { maxLength: 3 }),
    );
    fc.assert(
      fc.property(damaged, ifaces, ([bytes, damage], iface) => {
        for (const [at, value] of damage) bytes[at] = value;
        const driver = new Driver(testPolicy());
        driver.boot();
        assert.ok(driver.handle({ kind: 'frame', iface, bytes }).length > 0);
        driver.advance(60_000);
      }),
      effort(2000),
    );
  });
});
