import assert from 'node:assert/strict';
import {
  announcedBy,
  announcersOf,
  claimOf,
  gatewayOf,
  LEARN_MS,
  longEnough,
  MOVE_MS,
  neighbourOf,
  noAlarms,
  only,
  routeOf,
  scenario,
  transitionsOf,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from '../scenario.js';
import type { HostName, Layout, RedundantWorld, Role, RouterName } from '../world.js';

const LAYOUT = 'redundant';
const PAIR: readonly RouterName[] = ['r1', 'r2'];
/** A claim of a promotion that is wrong is gone by then: 100 ms and the 20 ms rule. */
const FALSE_CLAIM_MS = 130;
/** From the promotion to the core's new route. */
const TAKE_OVER_MS = 50;
/**
 * While the virtual MAC or a route changes its router: an advertisement of the other one is still on its way, the core has
 * not heard yet, the new router asks for the MAC of a neighbour.
 */
const SWITCH_MS = 3;

function redundant(
  title: string,
  run: (world: RedundantWorld) => Promise<void>,
  layout: Layout = LAYOUT,
): Scenario {
  return scenario(layout, title, (world) => run(world as RedundantWorld));
}

function untilActive(world: RedundantWorld, router: RouterName, withinMs: number): Promise<number> {
  return world.until(
    `${router} alone is active on lan a`,
    withinMs,
    async () =>
      (await world.active('a')).join() === router &&
      ((await world.role(router, 'a'))?.state ?? 'active') === 'active',
  );
}

/** A visitor on lan a that r1 announces, and that r2 has proven for itself. */
async function visits(world: RedundantWorld, host: Role = 'v'): Promise<void> {
  await world.plug(host, 'a');
  await untilClaimed(world, 'r1', host, 'a', 'settled', world.settleMs + 100);
  await untilClaimed(world, 'r2', host, 'a', 'settled', 100);
  await untilEcho(world, 'far', host, MOVE_MS);
  await untilEcho(world, host, 'far', MOVE_MS);
  // Until nobody has objected, r1 is a challenger like any other.
  await world.advance(2 * world.settleMs);
  await announcedBy(world, host, ['r1']);
}

/** Whether a host and the remote one reach each other. */
async function untilReachable(world: RedundantWorld, host: HostName, withinMs: number): Promise<number> {
  const down = await untilEcho(world, 'far', host, withinMs);
  return down + (await untilEcho(world, host, 'far', Math.max(1, withinMs - down)));
}

async function nothingFrozen(world: RedundantWorld): Promise<void> {
  for (const router of ['r1', 'r2', 'r3'] as const)
    assert.ok(
      !(await world.alarms(router)).some(({ alarm }) => alarm === 'frozen'),
      `${router} froze nobody`,
    );
}

/** Several first-hop routers on one LAN, with a virtual router (VRRP, RFC 9568) or without (design.md 3.5). */
export const REDUNDANT: readonly Scenario[] = [
  redundant('RFC 9568: the active router claims, the standby keeps its claim beneath', async (world) => {
    await visits(world);
    assert.equal((await world.role('r1', 'a'))?.state, 'active');
    assert.equal((await world.role('r2', 'a'))?.state, 'standby');
    assert.equal(await routeOf(world, 'core', 'v'), 'via r1');
    assert.equal(await routeOf(world, 'r2', 'v'), 'via core', 'the claim of r1 hides that of r2');
    assert.equal(await neighbourOf(world, 'v', 'v'), undefined);
    await world.advance(longEnough(world));
    await announcedBy(world, 'v', ['r1']);
    await noAlarms(world, ['r1', 'r2', 'r3']);
    await untilQuiet(world, 100);
  }),

  ...(['carrier', 'silent'] as const).flatMap((how) => [
    redundant(`RFC 9568: case 1: power loss of the active router, ${how}, one visitor`, async (world) => {
      await visits(world);
      await world.fail('r1', how);
      await untilActive(world, 'r2', world.activeDownMs);
      await untilReachable(world, 'v', TAKE_OVER_MS);
      await world.advance(longEnough(world));
      await announcedBy(world, 'v', ['r2']);
      await noAlarms(world, ['r2', 'r3']);
      await untilQuiet(world, 100);
    }),
  ]),

  redundant('RFC 9568: case 2: marpd of the active router dies, VRRP does not notice', async (world) => {
    await visits(world);
    await world.kill('r1');
    await untilReachable(world, 'v', MOVE_MS);
    await world.plug('g', 'a');
    await untilClaimed(world, 'r2', 'g', 'a', 'fresh', world.settleMs + 100);
    await untilEcho(world, 'far', 'g', 1000 + 2 * MOVE_MS);
    await untilReachable(world, 'v', MOVE_MS);
    await world.start('r1');
    await world.advance(longEnough(world));
    await untilReachable(world, 'v', MOVE_MS);
    await world.announce('g', 'gratuitous-request');
    await untilRouted(world, 'core', 'g', 'via r1', 2 * world.settleMs);
    await noAlarms(world, ['r1', 'r2', 'r3']);
    await untilQuiet(world, longEnough(world));
  }),

  redundant('RFC 9568: case 2: the same with process tracking is a failover', async (world) => {
    await visits(world);
    await world.track('a', { marpd: true });
    await world.kill('r1');
    await untilActive(world, 'r2', world.activeDownMs);
    await untilRouted(world, 'core', 'v', 'via r2', TAKE_OVER_MS);
    await untilReachable(world, 'v', TAKE_OVER_MS);
    await noAlarms(world, ['r2', 'r3']);
  }),

  redundant('RFC 9568: case 3: a LAN torn in two without loss of carrier, and healed', async (world) => {
    await visits(world);
    await visits(world, 'g');
    await world.tear('a', ['r2', 'g']);
    await world.until(
      'both are active',
      world.activeDownMs,
      async () => (await world.active('a')).length === 2,
    );
    await untilRouted(world, 'core', 'g', 'via r2', 1000);
    await untilRouted(world, 'core', 'v', 'via r1', 1000);
    await world.advance(1000);
    await untilEcho(world, 'far', 'v', MOVE_MS);
    await untilEcho(world, 'far', 'g', MOVE_MS);
    await announcedBy(world, 'v', ['r1']);
    await announcedBy(world, 'g', ['r2']);
    await world.tear('a', []);
    await untilActive(world, 'r1', 2 * world.activeDownMs);
    await untilReachable(world, 'v', MOVE_MS);
    await untilReachable(world, 'g', 100);
    await world.advance(longEnough(world));
    await untilQuiet(world, longEnough(world));
    await nothingFrozen(world);
    await noAlarms(world, ['r1', 'r2', 'r3']);
  }),

  redundant('RFC 9568: case 4: advertisements are lost, the LAN is whole', async (world) => {
    await visits(world);
    const down = await world.stream('far', 'v');
    await world.adverts('a', false);
    await world.until(
      'both are active',
      world.activeDownMs,
      async () => (await world.active('a')).length === 2,
    );
    await world.advance(10_000);
    await world.adverts('a', true);
    await untilActive(world, 'r1', 2 * world.activeDownMs);
    await world.advance(longEnough(world));
    const { lost } = await down.stop();
    assert.ok(lost <= world.bound(2 * SWITCH_MS), `${lost} lost`);
    await untilReachable(world, 'v', MOVE_MS);
    await nothingFrozen(world);
    for (const router of PAIR) assert.ok((await world.alarms(router)).length <= 1);
    await untilQuiet(world, longEnough(world));
  }),

  redundant('RFC 9568: case 5: a visitor moves away just before the active router dies', async (world) => {
    await visits(world);
    await world.plug('v', 'b');
    await untilRouted(world, 'core', 'v', 'via r3', MOVE_MS);
    await world.advance(50);
    await world.fail('r1', 'silent');
    await untilActive(world, 'r2', world.activeDownMs);
    await world.advance(FALSE_CLAIM_MS);
    await untilUnclaimed(world, 'r2', 'v', 50);
    await untilRouted(world, 'core', 'v', 'via r3', 50);
    await untilReachable(world, 'v', MOVE_MS);
    await world.always(
      'r3 claims it',
      longEnough(world),
      async () => (await claimOf(world, 'r3', 'v')) !== '',
    );
    await announcedBy(world, 'v', ['r3']);
    await nothingFrozen(world);
  }),

  redundant('RFC 9568: case 6: a home host leaves, the active router dies, it comes home', async (world) => {
    await world.plug('h', 'a');
    await untilEcho(world, 'neighbourA', 'h', LEARN_MS);
    await world.advance(2000);
    await world.plug('h', 'b', { carrierDrop: false });
    await untilRouted(world, 'core', 'h', 'via r3', MOVE_MS);
    await untilEcho(world, 'neighbourA', 'h', 400);
    assert.equal(await neighbourOf(world, 'neighbourA', 'h'), 'vrrp', 'announced from the virtual MAC');
    await world.advance(longEnough(world));
    for (const router of PAIR) assert.equal(await claimOf(world, router, 'h'), '', 'no claim at a router');
    await world.fail('r1', 'silent');
    await untilActive(world, 'r2', world.activeDownMs);
    await untilEcho(world, 'neighbourA', 'h', world.routerDeadMs + TAKE_OVER_MS);
    await untilEcho(world, 'h', 'neighbourA', TAKE_OVER_MS);
    await world.advance(2000);
    await world.plug('h', 'a', { carrierDrop: false });
    await untilEcho(world, 'neighbourA', 'h', 50);
    await world.advance(longEnough(world));
    assert.equal(await claimOf(world, 'r2', 'h'), '');
    await untilEcho(world, 'far', 'h', MOVE_MS);
    await noAlarms(world, ['r2', 'r3']);
    await untilQuiet(world, longEnough(world));
  }),

  redundant('RFC 9568: case 7: ten failovers and failbacks', async (world) => {
    await visits(world);
    for (let round = 0; round < 10; round++) {
      await world.fail('r1', round % 2 === 0 ? 'carrier' : 'silent');
      await untilActive(world, 'r2', world.activeDownMs);
      // (The claims of r1 may still be fresh: then nobody's is better until it is known to be dead.)
      await untilReachable(world, 'v', world.routerDeadMs + TAKE_OVER_MS);
      await world.advance(2000);
      await announcedBy(world, 'v', ['r2']);
      await world.boot('r1');
      await world.advance(200);
      const stream = await world.stream('far', 'v');
      await untilActive(world, 'r1', world.preemptDelayMs + world.activeDownMs);
      await world.advance(2000);
      const { lost } = await stream.stop();
      assert.ok(lost <= world.bound(SWITCH_MS), `${lost} lost at failback ${round}`);
      await untilReachable(world, 'v', MOVE_MS);
      await announcedBy(world, 'v', ['r1']);
    }
    await noAlarms(world, ['r1', 'r2', 'r3']);
    await nothingFrozen(world);
    await untilQuiet(world, longEnough(world));
  }),

  redundant('RFC 9568: case 8: a standby boots beside a silent visitor', async (world) => {
    await world.fail('r2', 'carrier');
    await world.plug('v', 'a');
    await untilClaimed(world, 'r1', 'v', 'a', 'settled', world.settleMs + 100);
    await untilEcho(world, 'v', 'far', MOVE_MS);
    await world.advance(20_000);
    await world.boot('r2');
    await untilClaimed(world, 'r2', 'v', 'a', 'settled', 1000);
    await announcedBy(world, 'v', ['r1']);
    await world.fail('r1', 'silent');
    await untilActive(world, 'r2', world.activeDownMs);
    await untilReachable(world, 'v', TAKE_OVER_MS);
    await noAlarms(world, ['r2', 'r3']);
  }),

  // (Of IPv6 every router has a link-local address, in whose name each host answers.)
  only(
    'ipv4',
    redundant('RFC 9568: case 9: a visitor with arp_ignore=2, and the active router dies', async (world) => {
      await world.arpIgnore('v', 2);
      await world.plug('v', 'a');
      await untilClaimed(world, 'r1', 'v', 'a', 'settled', world.settleMs + 100);
      await untilReachable(world, 'v', MOVE_MS);
      await world.advance(longEnough(world));
      const before = (await transitionsOf(world, 'r2', 'v')).map(({ to }) => to);
      assert.ok(before.includes('proving'), 'r2 has heard it');
      assert.ok(!before.includes('beneath'), 'it does not answer r2, whose own address is in another subnet');
      assert.equal(await claimOf(world, 'r2', 'v'), '');
      await announcedBy(world, 'v', ['r1']);
      await world.fail('r1', 'silent');
      await untilActive(world, 'r2', world.activeDownMs);
      await untilClaimed(world, 'r2', 'v', 'a', 'fresh', LEARN_MS);
      await untilReachable(world, 'v', TAKE_OVER_MS);
      const after = (await transitionsOf(world, 'r2', 'v')).slice(before.length);
      assert.deepEqual(
        after.slice(0, 2).map(({ to, cause }) => `${to} ${cause}`),
        ['proving took-over', 'fresh proven'],
        'asked in the name of its gateway, it answers',
      );
      await world.advance(longEnough(world));
      await announcedBy(world, 'v', ['r2']);
      await noAlarms(world, ['r2', 'r3']);
      await untilQuiet(world, 100);
    }),
  ),

  redundant('RFC 9568: case 10: the uplink of the active router dies, and is tracked', async (world) => {
    await visits(world);
    await world.coreLink('r1', false);
    await untilActive(world, 'r2', 100);
    await untilReachable(world, 'v', TAKE_OVER_MS);
    await world.coreLink('r1', true);
    await untilActive(world, 'r1', world.preemptDelayMs + world.activeDownMs);
    await world.advance(longEnough(world));
    await untilReachable(world, 'v', MOVE_MS);
    await announcedBy(world, 'v', ['r1']);
    await noAlarms(world, ['r1', 'r2', 'r3']);
    await untilQuiet(world, 100);
  }),

  redundant('RFC 9568: case 10: the uplink of the active router dies, and is not tracked', async (world) => {
    await visits(world);
    await world.track('a', { uplink: false });
    await world.coreLink('r1', false);
    await untilRouted(world, 'core', 'v', 'via r2', 1500);
    assert.deepEqual(await world.active('a'), ['r1']);
    await world.coreLink('r1', true);
    await world.advance(longEnough(world));
    await untilReachable(world, 'v', MOVE_MS);
    await untilQuiet(world, longEnough(world));
    await noAlarms(world, ['r1', 'r2', 'r3']);
  }),

  redundant('RFC 9568: case 11: a planned switch with both alive, and back', async (world) => {
    await visits(world);
    await untilEcho(world, 'v', 'neighbourA', MOVE_MS);
    for (const router of ['r2', 'r1'] as const) {
      const down = await world.stream('far', 'v');
      const up = await world.stream('v', 'neighbourA');
      await world.prefer(router, 'a');
      await untilActive(world, router, world.activeDownMs);
      await untilRouted(world, 'core', 'v', `via ${router}`, TAKE_OVER_MS);
      await world.advance(longEnough(world));
      for (const stream of [down, up]) {
        const { lost } = await stream.stop();
        assert.ok(lost <= world.bound(SWITCH_MS), `${lost} lost`);
      }
      await announcedBy(world, 'v', [router]);
    }
    await noAlarms(world, ['r1', 'r2', 'r3']);
    await untilQuiet(world, longEnough(world));
  }),

  redundant(
    'RFC 9568: case 12: a visitor between two LANs with two routers each',
    async (world) => {
      await visits(world);
      for (const lan of ['b', 'a', 'b'] as const) {
        await world.plug('v', lan, { carrierDrop: false });
        const router = lan === 'a' ? 'r1' : 'r3';
        await untilRouted(world, 'core', 'v', `via ${router}`, MOVE_MS);
        assert.ok(await world.echo('v', 'far'), 'its gateway entry was right before its first frame');
        assert.equal(await gatewayOf(world, 'v'), 'vrrp', 'one virtual MAC on both LANs');
        await untilEcho(world, 'far', 'v', MOVE_MS);
        await world.advance(longEnough(world));
        await announcedBy(world, 'v', [router]);
        await untilQuiet(world, longEnough(world));
      }
      await noAlarms(world, ['r1', 'r2', 'r3', 'r4']);
    },
    'redundant-pairs',
  ),

  redundant('RFC 9568: case 13: a true duplicate behind another router', async (world) => {
    await visits(world);
    await world.duplicate('v', 'b');
    await world.advance(longEnough(world));
    await untilClaimed(world, 'r1', 'v', 'a', 'settled', longEnough(world));
    await announcedBy(world, 'v', ['r1']);
    assert.ok((await world.alarms('r3')).some(({ alarm }) => alarm === 'duplicate'));
    assert.deepEqual(await world.alarms('r2'), [], 'r2 says nothing');
    await nothingFrozen(world);
  }),

  redundant(
    'C5: two marpds on one LAN without VRRP: no contest, nothing lost',
    async (world) => {
      await world.plug('v', 'a');
      await untilRouted(world, 'core', 'v', 'via r1', MOVE_MS);
      await untilEcho(world, 'far', 'v', MOVE_MS);
      await untilEcho(world, 'v', 'far', MOVE_MS);
      const stream = await world.stream('far', 'v');
      await world.advance(60_000);
      const { lost } = await stream.stop();
      assert.ok(lost <= world.bound(0), `${lost} lost`);
      await untilEcho(world, 'v', 'far', MOVE_MS);
      for (const router of ['r1', 'r2', 'r3'] as const) {
        const alarms = await world.alarms(router);
        assert.ok(!alarms.some(({ alarm }) => alarm === 'duplicate' || alarm === 'frozen'));
      }
      assert.ok((await world.alarms('r2')).some(({ alarm }) => alarm === 'other-router'));
      assert.match(await announcersOf(world, 'v'), /^r\d$/);
      await world.plug('v', 'b');
      await untilRouted(world, 'core', 'v', 'via r3', MOVE_MS);
      await world.plug('v', 'a');
      await untilReachable(world, 'v', 100);
      await world.advance(longEnough(world));
      assert.match(await announcersOf(world, 'v'), /^r\d$/);
    },
    'two-on-lan',
  ),
];
