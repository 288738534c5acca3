import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allReachable, announcersOf, routeOf } from '../scenario/scenario.js';
import { SimWorld } from '../scenario/sim/sim-world.js';
import type { HostName } from '../scenario/world.js';

/** Many visitors on a LAN with two routers (design.md 3.5): cases 1, 5 and 8 of a failover, all at a time. */

const VISITORS = 1000;

async function crowdOn(world: SimWorld, count: number): Promise<readonly HostName[]> {
  const names = await world.crowd(count);
  for (const name of names) {
    await world.plug(name, 'a');
    await world.advance(1);
  }
  await world.advance(4 * world.settleMs);
  return names;
}

function states(world: SimWorld, router: 'r1' | 'r2') {
  return world.router(router).ctx?.counts;
}

function noAlarms(world: SimWorld): void {
  for (const [name, { alarms }] of world.routers) assert.deepEqual(alarms, [], name);
}

describe(`${VISITORS} visitors behind two routers (design.md 3.5)`, () => {
  for (const how of ['carrier', 'silent'] as const)
    it(`case 1: power loss of the active router, ${how}: all are reached again, without an alarm`, async () => {
      const world = new SimWorld('redundant', { seed: 1, rpFilter: 1 });
      const names = await crowdOn(world, VISITORS);
      assert.equal(states(world, 'r2')?.beneath, VISITORS);
      await world.fail('r1', how);
      await world.until(
        'r2 is active',
        world.activeDownMs,
        async () => (await world.active('a')).join() === 'r2',
      );
      await allReachable(world, names, 400);
      await world.advance(4 * world.settleMs);
      assert.equal(states(world, 'r2')?.settled, VISITORS, 'nobody is lost');
      noAlarms(world);
      for (const [, { contest }] of world.router('r2').ctx?.hosts() ?? []) assert.equal(contest.kind, 'none');
    });

  it('case 5: a tenth has moved a moment before: they stay where they are', async () => {
    const world = new SimWorld('redundant', { seed: 2, rpFilter: 1 });
    const names = await crowdOn(world, VISITORS);
    const movers = names.slice(0, VISITORS / 10);
    for (const name of movers) await world.plug(name, 'b');
    await world.advance(60);
    await world.fail('r1', 'silent');
    await world.until(
      'r2 is active',
      world.activeDownMs,
      async () => (await world.active('a')).join() === 'r2',
    );
    await world.advance(400);
    await allReachable(world, names, 400);
    for (const name of movers) assert.equal(await routeOf(world, 'core', name), 'via r3');
    await world.advance(10 * world.settleMs);
    for (const name of movers) assert.equal(await announcersOf(world, name), 'r3');
  });

  it('case 8: a standby boots beside silent visitors, and has them all before the active router dies', async () => {
    const world = new SimWorld('redundant', { seed: 3, rpFilter: 1 });
    await world.fail('r2', 'carrier');
    const names = await crowdOn(world, VISITORS);
    await world.boot('r2');
    await world.advance(VISITORS * 5 + 2000);
    assert.equal(states(world, 'r2')?.beneath, VISITORS);
    await world.fail('r1', 'carrier');
    await world.until(
      'r2 is active',
      world.activeDownMs,
      async () => (await world.active('a')).join() === 'r2',
    );
    await allReachable(world, names, 400);
    noAlarms(world);
  });
});
