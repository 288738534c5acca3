import assert from 'node:assert/strict';
import {
  claimOf,
  fallSilent,
  LEARN_MS,
  scenario,
  settleIn,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilUnclaimed,
} from '../scenario.js';

/** The daemon stops, dies and starts on one box. */
export const RESTARTS: readonly Scenario[] = [
  scenario(
    'one',
    'design.md 3.2 Restart: a planned stop withdraws; after the start a silent host is back within 4 s',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await fallSilent(world);
      await world.stop('r1', 'withdraw');
      await untilUnclaimed(world, 'r1', 'v', 50);
      await world.advance(500);
      await untilQuiet(world, 100);
      await world.start('r1');
      await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 4000);
      await untilEcho(world, 'far', 'v', 50);
      await untilQuiet(world, world.settleMs + 1000);
    },
  ),

  ...(['stop', 'kill'] as const).map((how) =>
    scenario(
      'one',
      `design.md 3.2 Restart: after ${how} with routes kept the claim is adopted and traffic never stops`,
      async (world) => {
        await settleIn(world, 'v', 'a', 'r1');
        await untilEcho(world, 'far', 'v', 50);
        const stream = await world.stream('far', 'v');
        if (how === 'stop') await world.stop('r1', 'keep');
        else await world.kill('r1');
        await world.advance(500);
        await world.start('r1');
        await world.advance(2 * world.keepaliveMs);
        assert.equal((await stream.stop()).lost, 0);
        assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
        await untilQuiet(world, 100);
        await world.power('v', false);
        await untilUnclaimed(world, 'r1', 'v', world.keepaliveMs + 1000);
      },
    ),
  ),

  scenario(
    'one',
    'design.md 3.2 Restart: a fresh claim of a killed daemon is adopted as settled at once',
    async (world) => {
      await world.plug('v', 'a');
      await untilClaimed(world, 'r1', 'v', 'a', 'fresh', LEARN_MS);
      await world.kill('r1');
      await world.advance(3 * world.settleMs);
      assert.equal(await claimOf(world, 'r1', 'v'), 'a fresh');
      await world.start('r1');
      await untilClaimed(world, 'r1', 'v', 'a', 'settled', 100);
      await untilEcho(world, 'far', 'v', 50);
    },
  ),

  scenario(
    'one',
    'design.md 3.2 Restart: an adopted claim whose host is gone is withdrawn',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.kill('r1');
      await world.unplug('v');
      await world.start('r1');
      await untilUnclaimed(world, 'r1', 'v', 4000);
      await untilQuiet(world, 100);
    },
  ),
];
