import assert from 'node:assert/strict';
import {
  allReachable,
  announcedBy,
  claimOf,
  CORE_MS,
  LEARN_MS,
  longEnough,
  MOVE_MS,
  noAlarms,
  OUTAGE_MS,
  scenario,
  settleIn,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from '../scenario.js';

/** RARP, signals of hypervisors, and whole crowds that move. */
/** A claim of the next router is waited for so long (design.md 3.4), and then some. */
const DETACH_MS = 22;

export const HYPERVISOR: readonly Scenario[] = [
  scenario(
    'one',
    'design.md 3.1: RARP from a known MAC finds its addresses at the new place',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
      await untilClaimed(world, 'r1', 'v', 'b', 'fresh', LEARN_MS);
      await untilEcho(world, 'far', 'v', MOVE_MS);
      await untilQuiet(world, world.settleMs + 500);
    },
  ),

  scenario('one', 'design.md 3.1: RARP from the MAC of a remembered host', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.unplug('v');
    await untilUnclaimed(world, 'r1', 'v', world.keepaliveMs + 1000);
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r1', 'v', 'b', 'fresh', LEARN_MS);
  }),

  scenario(
    'one',
    'design.md 3.4: attach yields first and verifies later; detach withdraws after 20 ms',
    async (world) => {
      await world.plug('v', 'a', { announce: 'silent' });
      const attached = await world.command('r1', 'attach', { host: 'v', lan: 'a' });
      assert.ok(attached.ok, attached.message);
      await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 2);
      await untilEcho(world, 'far', 'v', 20);
      await world.advance(3 * world.settleMs);
      assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
      await world.unplug('v');
      const detached = await world.command('r1', 'detach', { host: 'v', lan: 'a' });
      assert.ok(detached.ok, detached.message);
      await untilUnclaimed(world, 'r1', 'v', DETACH_MS);
      await world.always('stays away', 3000, async () => (await claimOf(world, 'r1', 'v')) === '');
      await untilQuiet(world, 100);
    },
  ),

  scenario('one', 'design.md 3.4: an attached host that never shows up is withdrawn', async (world) => {
    await world.command('r1', 'attach', { host: 'v', lan: 'a' });
    await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 2);
    await untilUnclaimed(world, 'r1', 'v', 15_000 + world.keepaliveMs + 1000);
    await untilQuiet(world, 100);
  }),

  scenario(
    'one',
    'design.md 3.4: after detach stale frames are ignored for 1 s; a cancelled migration re-learns itself',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.command('r1', 'detach', { host: 'v', lan: 'a' });
      await untilUnclaimed(world, 'r1', 'v', DETACH_MS);
      await world.advance(100);
      await world.announce('v', 'gratuitous-request');
      await world.always('stale', 850, async () => (await claimOf(world, 'r1', 'v')) === '');
      await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 200);
      await untilEcho(world, 'far', 'v', 50);
    },
  ),

  scenario('one', 'design.md 3.4: a prepared host is claimed at its first sign of life', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    const prepared = await world.command('r1', 'prepare', { host: 'v', lan: 'b' });
    assert.ok(prepared.ok, prepared.message);
    await world.always('not yet', 1000, async () => (await claimOf(world, 'r1', 'v')) === 'a settled');
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r1', 'v', 'b', 'fresh', 2);
    await untilEcho(world, 'far', 'v', MOVE_MS);
    await untilQuiet(world, world.settleMs + 1000);
  }),

  scenario(
    'one',
    '500 visitors at once, all reachable within 2 s; all move at once and are reachable again',
    async (world) => {
      const crowd = await world.crowd(500);
      for (const lan of ['a', 'b', 'a'] as const) {
        await Promise.all(crowd.map((host) => world.plug(host, lan)));
        await allReachable(world, crowd, 2000);
      }
      await untilQuiet(world, 2 * world.settleMs);
      assert.deepEqual(await world.alarms('r1'), []);
    },
  ),

  scenario(
    'two',
    '500 hosts move at once (a hypervisor is evacuated): all reachable within 2 s',
    async (world) => {
      const crowd = await world.crowd(500);
      for (const host of crowd) await world.plug(host, 'a');
      await allReachable(world, crowd, 2000);
      await world.advance(3 * world.settleMs);
      for (const lan of ['b', 'a'] as const) {
        for (const host of crowd) await world.plug(host, lan, { carrierDrop: false });
        await allReachable(world, crowd, 2000);
        await world.advance(world.settleMs);
      }
      await world.advance(2 * world.settleMs);
      await untilQuiet(world, 100);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),

  scenario(
    'two',
    'design.md 3.1: RARP from a MAC that nobody here knows: it is asked for the addresses claimed elsewhere',
    async (world) => {
      const crowd = await world.crowd(8);
      for (const host of crowd) await world.plug(host, 'a');
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
      await untilClaimed(world, 'r2', 'v', 'b', 'fresh', 50);
      await untilEcho(world, 'far', 'v', OUTAGE_MS);
      await world.advance(longEnough(world));
      for (const host of crowd) assert.ok(await world.echo('far', host));
      await untilQuiet(world, 100);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),

  scenario(
    'two',
    'design.md 3.4: prepare at the new router, detach at the old, RARP at the new: no waiting for a proof',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.command('r2', 'prepare', { host: 'v', lan: 'b' });
      await world.advance(100);
      await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
      await untilRouted(world, 'core', 'v', 'via r2', CORE_MS);
      await world.command('r1', 'detach', { host: 'v', lan: 'a' });
      await untilEcho(world, 'far', 'v', OUTAGE_MS);
      await untilUnclaimed(world, 'r1', 'v', 50);
      await world.advance(longEnough(world));
      await untilQuiet(world, 100);
      await announcedBy(world, 'v', ['r2']);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),

  scenario(
    'two',
    'design.md 3.2: detach a moment before the guest is back home: the blind repair at the old router is no dispute',
    async (world) => {
      await world.plug('h', 'a');
      await world.advance(3 * world.settleMs);
      await world.plug('h', 'b', { carrierDrop: false });
      await world.advance(longEnough(world));
      await announcedBy(world, 'h', ['r2']);
      await world.command('r2', 'detach', { host: 'h', lan: 'b' });
      await world.advance(5);
      await world.plug('h', 'a', { carrierDrop: false });
      await untilClaimed(world, 'r1', 'h', 'a', 'fresh', LEARN_MS);
      await untilEcho(world, 'far', 'h', OUTAGE_MS);
      await untilUnclaimed(world, 'r1', 'h', 2 * world.settleMs + 100);
      await world.advance(longEnough(world));
      assert.equal(await claimOf(world, 'r1', 'h'), '', 'no /32 is left');
      await untilEcho(world, 'far', 'h', 100);
      await untilQuiet(world, 100);
      await announcedBy(world, 'h', []);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),
];
