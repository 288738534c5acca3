import assert from 'node:assert/strict';
import {
  ASK_FIRST_MS,
  claimOf,
  fallSilent,
  gatewayOf,
  LEARN_MS,
  longEnough,
  MOVE_MS,
  neighbourOf,
  scenario,
  settleIn,
  transitionsOf,
  type Scenario,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilUnclaimed,
} from '../scenario.js';
import type { Announce } from '../world.js';

/** Of two families the one that is faster with its duplicate address detection may have settled. */
const LEARNED = /^(?:a settled \/ )?a fresh(?: \/ a settled)?$/;

function learnedBy(announce: Announce, withinMs: number): Scenario {
  return scenario('one', `design.md 3.1: a visitor is learned by ${announce}`, async (world) => {
    await world.plug('v', 'a', { announce });
    await world.until('r1 claims it on a, fresh', withinMs, async () =>
      LEARNED.test(await claimOf(world, 'r1', 'v')),
    );
    await untilEcho(world, 'far', 'v', 20);
    assert.equal(await gatewayOf(world, 'v'), 'r1', 'its gateway entry names us');
    await untilClaimed(world, 'r1', 'v', 'a', 'settled', world.settleMs + 100);
    assert.equal(await world.conflicts('v'), 0);
    await untilQuiet(world, 1000);
  });
}

/** One router, two LANs: learning, moving, keeping, losing. */
export const BOX: readonly Scenario[] = [
  learnedBy('gratuitous-request', LEARN_MS),

  learnedBy('gratuitous-reply', LEARN_MS),

  learnedBy('arp-gateway', LEARN_MS),

  learnedBy('probe-once', 1100),

  // Three probes a second apart and two seconds of waiting come first.
  learnedBy('probe', 4100 + LEARN_MS),

  scenario('one', 'design.md 3.2 Learn rule: a host at home is recorded and gets no route', async (world) => {
    await world.plug('h', 'a');
    await world.until('recorded', LEARN_MS, async () => {
      return (await transitionsOf(world, 'r1', 'h')).some(({ to }) => to === 'home');
    });
    await untilEcho(world, 'far', 'h', 20);
    await world.always('no claim', longEnough(world), async () => (await claimOf(world, 'r1', 'h')) === '');
    await untilQuiet(world, 100);
  }),

  scenario(
    'one',
    'design.md 3.2 Prove: a visitor that never loses carrier has its gateway entry repaired (RFC 826)',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.until('the guest talks', 50, () => world.echo('v', 'far'));
      await world.plug('v', 'b', { announce: 'gratuitous-request', carrierDrop: false });
      await untilEcho(world, 'v', 'far', MOVE_MS);
      await untilClaimed(world, 'r1', 'v', 'b', 'settled', world.settleMs + 100);
      await untilQuiet(world, 1000);
    },
  ),

  ...([true, false] as const).map((carrierDrop) =>
    scenario(
      'one',
      `a move between two LANs and back home, carrier drop ${carrierDrop}: echo within ${MOVE_MS} ms`,
      async (world) => {
        await world.plug('h', 'a');
        await world.until('at home', 100, () => world.echo('far', 'h'));
        await world.until('the host talks', 100, () => world.echo('h', 'far'));
        await world.advance(3 * world.settleMs);
        for (const restMs of [5000, 300, 700, 2500]) {
          await world.plug('h', 'b', { carrierDrop });
          await untilEcho(world, 'far', 'h', MOVE_MS);
          await untilClaimed(world, 'r1', 'h', 'b', 'fresh', 1);
          await world.advance(restMs);
          await world.plug('h', 'a', { carrierDrop });
          await untilEcho(world, 'far', 'h', MOVE_MS);
          await world.advance(restMs);
        }
        await untilUnclaimed(world, 'r1', 'h', longEnough(world));
        assert.deepEqual(await world.alarms('r1'), [], 'clean moves never count');
        assert.equal(await world.conflicts('h'), 0);
        await untilQuiet(world, 1000);
        await untilEcho(world, 'far', 'h', 20);
      },
    ),
  ),

  scenario(
    'one',
    'design.md 3.2 Answer ARP: a neighbour in the home subnet reaches the host that moved, and back',
    async (world) => {
      await world.plug('h', 'a');
      await untilEcho(world, 'neighbourA', 'h', 50);
      await world.advance(2000);
      await world.plug('h', 'b', { carrierDrop: false });
      // h keeps its neighbour's MAC (the stale-neighbour repair is another issue); what it can do is answer.
      await world.until(
        'the neighbour knows',
        100,
        async () => (await neighbourOf(world, 'neighbourA', 'h')) === 'r1',
      );
      await world.plug('h', 'b', { carrierDrop: true });
      await untilEcho(world, 'neighbourA', 'h', 100);
      await world.advance(3000);
      await world.plug('h', 'a', { carrierDrop: true });
      await untilEcho(world, 'neighbourA', 'h', 30);
      assert.equal(await neighbourOf(world, 'neighbourA', 'h'), 'h');
      await world.advance(longEnough(world));
      assert.equal(await neighbourOf(world, 'neighbourA', 'h'), 'h', 'nobody was told otherwise later');
      assert.equal(await world.conflicts('h'), 0, 'RFC 5227: the returning host saw no conflict');
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'one',
    'C4: silent death is noticed within keepalive + 1 s, and nobody else is disturbed',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await settleIn(world, 'h', 'b', 'r1');
      await world.power('v', false);
      await untilUnclaimed(world, 'r1', 'v', world.keepaliveMs + 1000);
      assert.equal(await claimOf(world, 'r1', 'h'), 'b settled');
      await untilQuiet(world, 100);
      await world.power('v', true);
      await world.announce('v', 'arp-gateway');
      await untilClaimed(world, 'r1', 'v', 'a', 'fresh', LEARN_MS);
    },
  ),

  scenario(
    'one',
    'a host that announces itself twenty times a second is followed wherever it goes, and missed when it dies',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      const chatter = async (times: number) => {
        for (let i = 0; i < times; i++) {
          await world.announce('v', 'gratuitous-request');
          await world.advance(50);
        }
      };
      await chatter(60);
      for (const lan of ['b', 'a', 'b'] as const) {
        await world.plug('v', lan, { carrierDrop: false });
        await untilClaimed(world, 'r1', 'v', lan, 'fresh', MOVE_MS);
        await chatter(10);
        await untilClaimed(world, 'r1', 'v', lan, 'settled', world.settleMs + 100);
        await chatter(10);
      }
      await world.power('v', false);
      await untilUnclaimed(world, 'r1', 'v', world.keepaliveMs + 2000);
      await untilQuiet(world, 1000);
    },
  ),

  scenario('one', 'design.md 3.2 Keep: a quiet host that lives keeps its claim', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.always(
      'claimed',
      10 * world.keepaliveMs,
      async () => (await claimOf(world, 'r1', 'v')) === 'a settled',
    );
  }),

  ...(['carrier', 'admin'] as const).map((how) =>
    scenario(
      'one',
      `design.md 3.2 Withdraw: ${how} down within 100 ms; a silent host is back within 4 s of a 200 ms flap`,
      async (world) => {
        await settleIn(world, 'v', 'a', 'r1');
        await fallSilent(world);
        await world[how]('r1', 'a', false);
        await untilUnclaimed(world, 'r1', 'v', 100);
        await world.advance(200);
        await untilQuiet(world, 100);
        await world[how]('r1', 'a', true);
        await untilClaimed(world, 'r1', 'v', 'a', 'fresh', 4000);
        await untilEcho(world, 'far', 'v', 50);
        await untilClaimed(world, 'r1', 'v', 'a', 'settled', world.settleMs + 100);
        await untilQuiet(world, 1000);
      },
    ),
  ),

  scenario(
    'one',
    'RFC 5227: address conflict detection at home, as a visitor and returning sees no conflict of ours',
    async (world) => {
      await world.plug('h', 'a', { announce: 'probe' });
      await world.advance(9000);
      assert.equal(await world.conflicts('h'), 0, 'at home');
      await world.plug('h', 'b', { announce: 'probe' });
      await world.advance(9000);
      assert.equal(await world.conflicts('h'), 0, 'as a visitor');
      assert.equal(await claimOf(world, 'r1', 'h'), 'b settled');
      await world.plug('h', 'a', { announce: 'probe' });
      await world.advance(9000);
      assert.equal(await world.conflicts('h'), 0, 'returning home');
      await world.advance(longEnough(world));
      assert.equal(await claimOf(world, 'r1', 'h'), '');
      await untilEcho(world, 'far', 'h', 50);
      await untilQuiet(world, 100);
    },
  ),

  scenario(
    'one',
    'one: a visitor asks for its neighbours at home, and its gateway, and is answered by us alone',
    async (world) => {
      await settleIn(world, 'h', 'b', 'r1');
      await untilEcho(world, 'h', 'neighbourA', 50 + ASK_FIRST_MS);
      assert.equal(await neighbourOf(world, 'h', 'neighbourA'), 'r1');
      assert.equal(await gatewayOf(world, 'h'), 'r1');
      await untilEcho(world, 'h', 'neighbourB', 50);
      await settleIn(world, 'v', 'a', 'r1');
      await untilEcho(world, 'h', 'v', 50);
    },
  ),
];
