import assert from 'node:assert/strict';
import {
  announcedBy,
  claimOf,
  longEnough,
  moves,
  noAlarms,
  OUTAGE_MS,
  routeOf,
  scenario,
  settleIn,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from '../scenario.js';

/** Moves while links, daemons and routers fail. */
export const FAILURES: readonly Scenario[] = [
  scenario(
    'two',
    'a move while the new router is cut off from the core converges when the link is back',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.coreLink('r2', false);
      await world.plug('v', 'b', { carrierDrop: false });
      await world.advance(2000);
      assert.equal(await claimOf(world, 'r2', 'v'), 'b settled');
      await world.coreLink('r2', true);
      await untilRouted(world, 'core', 'v', 'via r2', world.keepaliveMs + 1000);
      await untilEcho(world, 'far', 'v', 100);
      await world.advance(longEnough(world));
      await announcedBy(world, 'v', ['r2']);
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'two',
    'a move while the old router is cut off from the core: reachable at once, tidy when the link is back',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.coreLink('r1', false);
      await world.plug('v', 'b', { carrierDrop: false });
      await untilEcho(world, 'far', 'v', OUTAGE_MS);
      await world.advance(2500);
      const stream = await world.stream('far', 'v');
      await world.coreLink('r1', true);
      await world.advance(longEnough(world));
      const { longestOutageMs } = await stream.stop();
      assert.ok(longestOutageMs <= world.bound(200), `outage of ${longestOutageMs} ms`);
      await announcedBy(world, 'v', ['r2']);
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'two',
    'old daemon dead after settle: the move converges by itself, and tidies up at the restart',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.kill('r1');
      await world.advance(500);
      await moves(world, 'v', 'b', false);
      await world.advance(longEnough(world));
      await untilEcho(world, 'far', 'v', 1);
      assert.equal(await routeOf(world, 'core', 'v'), 'via r2');
      assert.equal(await routeOf(world, 'r1', 'v'), 'via core');
      await world.start('r1');
      await untilUnclaimed(world, 'r1', 'v', 2000);
      await world.advance(longEnough(world));
      await untilQuiet(world, 100);
      await announcedBy(world, 'v', ['r2']);
      await untilEcho(world, 'far', 'v', 1);
      await noAlarms(world, ['r1', 'r2']);
    },
  ),

  ...[100, 3000].map((deadMs) =>
    scenario(
      'two',
      `old daemon killed within settle, restarted ${deadMs} ms after the move: converges`,
      async (world) => {
        await world.plug('v', 'a');
        await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 20);
        await world.advance(300);
        await world.kill('r1');
        await world.plug('v', 'b', { carrierDrop: false });
        await world.advance(deadMs);
        await world.start('r1');
        await untilRouted(world, 'core', 'v', 'via r2', 4000);
        await untilEcho(world, 'far', 'v', 4000);
        await world.advance(longEnough(world) + 10_000);
        assert.equal(await claimOf(world, 'r2', 'v'), 'b settled');
        await announcedBy(world, 'v', ['r2']);
        await untilQuiet(world, 100);
      },
    ),
  ),

  ...[0, 1, 3, 50, 500].map((afterMs) =>
    scenario(
      'two',
      `new daemon killed ${afterMs} ms after the move, restarted 100 ms later (systemd)`,
      async (world) => {
        await settleIn(world, 'v', 'a', 'r1');
        await world.plug('v', 'b', { carrierDrop: false });
        await world.advance(afterMs);
        await world.kill('r2');
        await world.advance(100);
        await world.start('r2');
        await world.announce('v', 'arp-gateway');
        await world.advance(3 * world.settleMs);
        await untilEcho(world, 'far', 'v', world.keepaliveMs + 2000);
        await world.advance(longEnough(world));
        await untilQuiet(world, 100);
        await announcedBy(world, 'v', ['r2']);
      },
    ),
  ),

  scenario(
    'two',
    'new daemon dead right after the move and for long; the host goes back; restart makes peace',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { carrierDrop: false });
      await untilClaimed(world, 'r2', 'v', 'b', 'fresh', 20);
      await world.kill('r2');
      await world.advance(5000);
      await untilEcho(world, 'far', 'v', 1);
      await world.plug('v', 'a', { carrierDrop: false });
      await world.advance(3000);
      await world.start('r2');
      await untilEcho(world, 'far', 'v', 4000);
      await world.advance(longEnough(world) + 10_000);
      await announcedBy(world, 'v', ['r1']);
      await untilEcho(world, 'far', 'v', 1);
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'two',
    'the new router itself dies right after the move; the host goes back to the old one',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { carrierDrop: false });
      await untilClaimed(world, 'r2', 'v', 'b', 'fresh', 20);
      await world.advance(200);
      await world.kill('r2');
      await world.coreLink('r2', false);
      await world.carrier('r2', 'b', false);
      await world.plug('v', 'a', { carrierDrop: false });
      await untilEcho(world, 'far', 'v', 50);
      await world.advance(longEnough(world));
      await untilEcho(world, 'far', 'v', 1);
      assert.equal(await claimOf(world, 'r1', 'v'), 'a settled');
    },
  ),

  ...(['r1', 'r2'] as const).flatMap((router) =>
    ([-50, 0, 2, 10, 30, 300, 1005] as const).flatMap((offsetMs) =>
      (['kill', 'stop'] as const).map((how) =>
        scenario(
          'two',
          `${how} and start of ${router} ${offsetMs} ms around a move A to B`,
          async (world) => {
            await settleIn(world, 'v', 'a', 'r1');
            const restart = async (): Promise<void> => {
              await world[how](router);
              await world.advance(100);
              await world.start(router);
            };
            if (offsetMs < 0) await restart();
            await world.plug('v', 'b', { carrierDrop: false });
            if (offsetMs >= 0) {
              await world.advance(offsetMs);
              await restart();
            }
            await world.announce('v', 'arp-gateway');
            await world.advance(longEnough(world) + world.keepaliveMs);
            await untilEcho(world, 'far', 'v', 1);
            assert.equal(await claimOf(world, 'r2', 'v'), 'b settled');
            await announcedBy(world, 'v', ['r2']);
            await untilQuiet(world, 100);
          },
        ),
      ),
    ),
  ),

  scenario(
    'two',
    'design.md 3.3: the interface of the old place goes admin down right when the remote claim appears',
    async (world) => {
      for (const delayMs of [0, 1, 2, 3, 4, 6, 10, 19, 25]) {
        await settleIn(world, 'v', 'a', 'r1');
        await world.plug('v', 'b', { carrierDrop: false });
        await world.advance(delayMs);
        await world.admin('r1', 'a', false);
        await world.advance(3 * world.settleMs);
        await world.admin('r1', 'a', true);
        await announcedBy(world, 'v', ['r2']);
        await world.advance(world.settleMs);
        await world.unplug('v');
        await untilUnclaimed(world, 'r2', 'v', world.keepaliveMs + 1000);
        await world.advance(5000);
        await untilQuiet(world, 1000);
        await announcedBy(world, 'v', []);
      }
    },
  ),
];
