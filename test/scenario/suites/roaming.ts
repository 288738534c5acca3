import assert from 'node:assert/strict';
import {
  announcedBy,
  ASK_FIRST_MS,
  claimOf,
  CORE_MS,
  longEnough,
  moves,
  neighbourOf,
  noAlarms,
  routeOf,
  ROUTER_OF,
  scenario,
  settleIn,
  stateOf,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from '../scenario.js';

/** From router to router, and home. */
export const ROAMING: readonly Scenario[] = [
  ...([true, false] as const).map((carrierDrop) =>
    scenario(
      'two',
      `newest claim wins: a visitor moves A to B and back, carrier drop ${carrierDrop}`,
      async (world) => {
        await settleIn(world, 'v', 'a', 'r1');
        for (const lan of ['b', 'a', 'b'] as const) {
          await moves(world, 'v', lan, carrierDrop);
          const other = lan === 'a' ? 'r2' : 'r1';
          await untilUnclaimed(world, other, 'v', 200);
          await untilRouted(world, other, 'v', 'via core', 10);
          await untilClaimed(world, ROUTER_OF[lan], 'v', lan, 'settled', world.settleMs + 100);
          await announcedBy(world, 'v', [ROUTER_OF[lan]]);
          await untilQuiet(world, 500);
          await world.advance(3 * world.settleMs);
        }
        await noAlarms(world, ['r1', 'r2']);
      },
    ),
  ),

  ...([true, false] as const).map((carrierDrop) =>
    scenario(
      'two',
      `a host leaves home and returns, carrier drop ${carrierDrop}: no /32 is left anywhere`,
      async (world) => {
        await world.plug('h', 'a');
        await untilEcho(world, 'far', 'h', 50);
        await untilEcho(world, 'neighbourA', 'h', 50);
        await world.advance(3000);
        await moves(world, 'h', 'b', carrierDrop);
        await untilRouted(world, 'r1', 'h', 'via core', 10);
        await world.until('r1 knows it away', 200, async () => {
          return (await stateOf(world, 'r1', 'h')) === 'away';
        });
        await world.until(
          'the neighbour knows',
          100,
          async () => (await neighbourOf(world, 'neighbourA', 'h')) === 'r1',
        );
        await world.advance(4000);
        await announcedBy(world, 'h', ['r2']);
        await moves(world, 'h', 'a', carrierDrop);
        await untilUnclaimed(world, 'r2', 'h', 200);
        await untilUnclaimed(world, 'r1', 'h', 2 * world.settleMs + 500);
        await world.advance(20);
        await announcedBy(world, 'h', []);
        await untilEcho(world, 'far', 'h', 50);
        assert.equal(await world.conflicts('h'), 0, 'RFC 5227');
        await noAlarms(world, ['r1', 'r2']);
        await untilQuiet(world, 100);
      },
    ),
  ),

  scenario(
    'two',
    'away: a neighbour on the home LAN reaches the host and back; home again within 30 ms',
    async (world) => {
      await world.plug('h', 'a');
      await untilEcho(world, 'neighbourA', 'h', 50);
      await world.advance(2000);
      await world.plug('h', 'b');
      await untilEcho(world, 'neighbourA', 'h', 100 + ASK_FIRST_MS);
      await world.advance(5000);
      assert.ok(await world.echo('neighbourA', 'h'));
      await world.plug('h', 'a');
      await untilEcho(world, 'neighbourA', 'h', 30);
      await world.advance(longEnough(world));
      assert.ok(await world.echo('neighbourA', 'h'));
      assert.equal(await neighbourOf(world, 'neighbourA', 'h'), 'h');
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'two',
    'a home host that was never heard moves: its home router asks and then knows it away',
    async (world) => {
      await world.plug('h', 'a', { announce: 'silent' });
      await world.advance(2000);
      await world.plug('h', 'b');
      await untilRouted(world, 'core', 'h', 'via r2', CORE_MS);
      await world.until('r1 knows it away', 300, async () => (await stateOf(world, 'r1', 'h')) === 'away');
      await untilEcho(world, 'neighbourA', 'h', 100 + ASK_FIRST_MS);
      await untilQuiet(world, 2 * world.settleMs);
    },
  ),

  scenario('three', 'A to B, B to C, C to A: each time exactly one router announces', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    for (const lan of ['b', 'c', 'a', 'c', 'b'] as const) {
      await moves(world, 'v', lan, false);
      await untilQuiet(world, world.settleMs + 500);
      await announcedBy(world, 'v', [ROUTER_OF[lan]]);
    }
    await noAlarms(world, ['r1', 'r2', 'r3']);
  }),

  ...[18, 20, 22, 24, 30, 120, 250, 400, 700, 950, 1050].map((restMs) =>
    scenario('two', `B back to A ${restMs} ms after A to B`, async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { carrierDrop: false });
      await world.advance(restMs);
      await world.plug('v', 'a', { carrierDrop: false });
      await untilEcho(world, 'far', 'v', world.settleMs + 700);
      await world.advance(longEnough(world));
      assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
      await announcedBy(world, 'v', ['r1']);
      await untilEcho(world, 'far', 'v', 1);
      await untilQuiet(world, 100);
      // (Back before the last question of the old router is sent, it answers that one: two have it for a moment.)
      if (restMs > 18) await noAlarms(world, ['r1', 'r2']);
    }),
  ),

  ...[20, 24, 30, 250, 700].map((restMs) =>
    scenario('two', `home, away and home again ${restMs} ms later`, async (world) => {
      await world.plug('h', 'a');
      await world.advance(3000);
      await world.plug('h', 'b', { carrierDrop: false });
      await world.advance(restMs);
      await world.plug('h', 'a', { carrierDrop: false });
      await untilEcho(world, 'far', 'h', world.settleMs + 700);
      await world.advance(longEnough(world));
      await announcedBy(world, 'h', []);
      await untilEcho(world, 'far', 'h', 50);
      await untilQuiet(world, 100);
      await noAlarms(world, ['r1', 'r2']);
    }),
  ),

  ...[150, 400, 900].map((restMs) =>
    scenario('two', `home, and away again ${restMs} ms later: its neighbours follow`, async (world) => {
      await world.plug('h', 'a');
      await untilEcho(world, 'neighbourA', 'h', 50);
      await world.advance(3000);
      await world.plug('h', 'b');
      await untilEcho(world, 'neighbourA', 'h', 100 + ASK_FIRST_MS);
      await world.advance(longEnough(world));
      await world.plug('h', 'a');
      await untilEcho(world, 'neighbourA', 'h', 30);
      await world.advance(restMs);
      await world.plug('h', 'b');
      await world.until(
        'the neighbour knows',
        world.settleMs + 700,
        async () => (await neighbourOf(world, 'neighbourA', 'h')) === 'r1',
      );
      await untilEcho(world, 'neighbourA', 'h', 100 + ASK_FIRST_MS);
      await world.advance(longEnough(world));
      await announcedBy(world, 'h', ['r2']);
      await untilQuiet(world, 100);
      await noAlarms(world, ['r1', 'r2']);
    }),
  ),

  scenario(
    'two',
    'RFC 7432 section 15.1: a clean mover is never frozen, however often it moves',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      for (let i = 0; i < 40; i++) {
        await world.plug('v', i % 2 === 0 ? 'b' : 'a', { carrierDrop: i % 3 === 0 });
        await world.advance(150 + ((i * 379) % 1900));
      }
      await noAlarms(world, ['r1', 'r2']);
      await world.advance(longEnough(world));
      assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
      await announcedBy(world, 'v', ['r1']);
      await untilQuiet(world, 100);
    },
  ),

  scenario('two', 'a visitor dies silently: nobody announces it any more', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await moves(world, 'v', 'b', true);
    await world.power('v', false);
    await untilUnclaimed(world, 'r2', 'v', world.keepaliveMs + 1000);
    await world.advance(longEnough(world));
    await announcedBy(world, 'v', []);
    assert.equal(await routeOf(world, 'core', 'v'), 'nowhere');
    assert.equal(await neighbourOf(world, 'far', 'v'), undefined);
    await untilQuiet(world, 100);
  }),
];
