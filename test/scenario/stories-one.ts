import assert from 'node:assert/strict';
import {
  claimOf,
  ipOf,
  longEnough,
  type Story,
  settleIn,
  story,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilUnclaimed,
} from './stories.js';
import { type Announce, CAST, LANS, type World } from './world.js';

const H = ipOf('h');
const V = ipOf('v');

/** Kernel and proof on an idle box; DESIGN's budget for a move is 20 ms. */
const LEARN_MS = 10;
const MOVE_MS = 20;

function learnedBy(announce: Announce, withinMs: number): Story {
  return story('one', `DESIGN 3.1: a visitor is learned by ${announce}`, async (world) => {
    await world.plug('v', 'a', { announce });
    await untilClaimed(world, 'r1', V, 'a', 'fresh', withinMs);
    await untilEcho(world, 'far', 'v', 20);
    assert.equal(await world.neighbour('v', CAST.v.gateway), 'r1', 'its gateway entry names us');
    await untilClaimed(world, 'r1', V, 'a', 'settled', world.settleMs + 100);
    assert.equal(await world.conflicts('v'), 0);
    await untilQuiet(world, 1000);
  });
}

export const STORIES_ONE: readonly Story[] = [
  learnedBy('gratuitous-request', LEARN_MS),
  learnedBy('gratuitous-reply', LEARN_MS),
  learnedBy('arp-gateway', LEARN_MS),
  learnedBy('probe-once', 1100),
  // Three probes a second apart and two seconds of waiting come first.
  learnedBy('probe', 4100 + LEARN_MS),

  story('one', 'DESIGN 3.2 Learn rule: a host at home is recorded and gets no route', async (world) => {
    await world.plug('h', 'a');
    await world.until('recorded', LEARN_MS, async () => {
      return (await world.transitions('r1', H)).some(({ to }) => to === 'home');
    });
    await untilEcho(world, 'far', 'h', 20);
    await world.always('no claim', longEnough(world), async () => (await claimOf(world, 'r1', H)) === '');
    await untilQuiet(world, 100);
  }),

  story('one', 'DESIGN 3.2 Prove: a visitor that never loses carrier has its gateway entry repaired (RFC 826)', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.until('the guest talks', 50, () => world.echo('v', 'far'));
    await world.plug('v', 'b', { announce: 'gratuitous-request', carrierDrop: false });
    await untilEcho(world, 'v', 'far', MOVE_MS);
    await untilClaimed(world, 'r1', V, 'b', 'settled', world.settleMs + 100);
    await untilQuiet(world, 1000);
  }),

  ...([true, false] as const).map((carrierDrop) =>
    story('one', `a move between two LANs and back home, carrier drop ${carrierDrop}: echo within ${MOVE_MS} ms`, async (world) => {
      await world.plug('h', 'a');
      await world.until('at home', 100, () => world.echo('far', 'h'));
      await world.until('the host talks', 100, () => world.echo('h', 'far'));
      await world.advance(3 * world.settleMs);
      for (const restMs of [5000, 300, 700, 2500]) {
        await world.plug('h', 'b', { carrierDrop });
        await untilEcho(world, 'far', 'h', MOVE_MS);
        await untilClaimed(world, 'r1', H, 'b', 'fresh', 1);
        await world.advance(restMs);
        await world.plug('h', 'a', { carrierDrop });
        await untilEcho(world, 'far', 'h', MOVE_MS);
        await world.advance(restMs);
      }
      await untilUnclaimed(world, 'r1', H, longEnough(world));
      assert.deepEqual(await world.alarms('r1'), [], 'clean moves never count');
      assert.equal(await world.conflicts('h'), 0);
      await untilQuiet(world, 1000);
      await untilEcho(world, 'far', 'h', 20);
    }),
  ),

  story('one', 'DESIGN 3.2 Answer ARP: a neighbour in the home subnet reaches the host that moved, and back', async (world) => {
    await world.plug('h', 'a');
    await untilEcho(world, 'neighbourA', 'h', 50);
    await world.advance(2000);
    await world.plug('h', 'b', { carrierDrop: false });
    // h keeps its neighbour's MAC (the stale-neighbour repair is another issue); what it can do is answer.
    await world.until('the neighbour knows', 100, async () => (await world.neighbour('neighbourA', H)) === 'r1');
    await world.plug('h', 'b', { carrierDrop: true });
    await untilEcho(world, 'neighbourA', 'h', 100);
    await world.advance(3000);
    await world.plug('h', 'a', { carrierDrop: true });
    await untilEcho(world, 'neighbourA', 'h', 30);
    assert.equal(await world.neighbour('neighbourA', H), 'h');
    await world.advance(longEnough(world));
    assert.equal(await world.neighbour('neighbourA', H), 'h', 'nobody was told otherwise later');
    assert.equal(await world.conflicts('h'), 0, 'RFC 5227: the returning host saw no conflict');
    await untilQuiet(world, 100);
  }),

  story('one', 'C4: silent death is noticed within keepalive + 1 s, and nobody else is disturbed', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await settleIn(world, 'h', 'b', 'r1');
    await world.power('v', false);
    await untilUnclaimed(world, 'r1', V, world.keepaliveMs + 1000);
    assert.equal(await claimOf(world, 'r1', H), 'b settled');
    await untilQuiet(world, 100);
    await world.power('v', true);
    await world.announce('v', 'arp-gateway');
    await untilClaimed(world, 'r1', V, 'a', 'fresh', LEARN_MS);
  }),

  story('one', 'DESIGN 3.2 Keep: a quiet host that lives keeps its claim', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.always('claimed', 10 * world.keepaliveMs, async () => (await claimOf(world, 'r1', V)) === 'a settled');
  }),

  ...(['carrier', 'admin'] as const).map((how) =>
    story('one', `DESIGN 3.2 Withdraw: ${how} down within 100 ms; a silent host is back within 4 s of a 200 ms flap`, async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world[how]('r1', 'a', false);
      await untilUnclaimed(world, 'r1', V, 100);
      await world.advance(200);
      await untilQuiet(world, 100);
      await world[how]('r1', 'a', true);
      await untilClaimed(world, 'r1', V, 'a', 'fresh', 4000);
      await untilEcho(world, 'far', 'v', 50);
      await untilClaimed(world, 'r1', V, 'a', 'settled', world.settleMs + 100);
      await untilQuiet(world, 1000);
    }),
  ),

  story('one', 'RFC 5227: address conflict detection at home, as a visitor and returning sees no conflict of ours', async (world) => {
    await world.plug('h', 'a', { announce: 'probe' });
    await world.advance(9000);
    assert.equal(await world.conflicts('h'), 0, 'at home');
    await world.plug('h', 'b', { announce: 'probe' });
    await world.advance(9000);
    assert.equal(await world.conflicts('h'), 0, 'as a visitor');
    assert.equal(await claimOf(world, 'r1', H), 'b settled');
    await world.plug('h', 'a', { announce: 'probe' });
    await world.advance(9000);
    assert.equal(await world.conflicts('h'), 0, 'returning home');
    await world.advance(longEnough(world));
    assert.equal(await claimOf(world, 'r1', H), '');
    await untilEcho(world, 'far', 'h', 50);
    await untilQuiet(world, 100);
  }),

  story('one', 'RFC 5227 section 2.1.1: a genuine duplicate on the same LAN is still seen', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    const other = await world.duplicate('v', 'a', { announce: 'probe' });
    await world.until('the newcomer sees the conflict', 3000, async () => (await world.conflicts(other)) > 0);
    await untilEcho(world, 'far', 'v', 50);
  }),

  ...(['gratuitous-request', 'gratuitous-reply', 'request'] as const).flatMap((announce) =>
    ([false, true] as const).map((sameLan) =>
      story('one', `C5: a forged ${announce} on ${sameLan ? 'the same' : 'another'} LAN moves nothing while the owner lives`, async (world) => {
        await settleIn(world, 'v', 'a', 'r1');
        await untilEcho(world, 'far', 'v', 50);
        await world.forge(sameLan ? 'a' : 'b', { ip: V, announce, answers: false });
        await world.always('the owner is reached', 2 * world.keepaliveMs, async () => {
          return (await claimOf(world, 'r1', V)) === 'a settled' && (await world.echo('far', 'v'));
        });
        await untilQuiet(world, 100);
      }),
    ),
  ),

  story('one', 'C5: a forger that answers on another LAN of the box: the owner keeps the address, repetition freezes it', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    const forger = await world.forge('b', { ip: V, announce: 'gratuitous-request', answers: true });
    await world.advance(world.settleMs + 200);
    await untilEcho(world, 'far', 'v', 1);
    assert.equal((await claimOf(world, 'r1', V)).slice(0, 1), 'a');
    for (let i = 0; i < 16; i++) {
      await world.announce(forger, 'gratuitous-request');
      await world.advance(11_000);
    }
    const alarms = await world.alarms('r1');
    assert.ok(alarms.some(({ alarm, ip }) => alarm === 'frozen' && ip === V), 'RFC 7432 section 15.1');
    assert.equal((await claimOf(world, 'r1', V)).slice(0, 1), 'a', 'frozen at the owner');
    await untilEcho(world, 'far', 'v', 1);
  }),

  story('one', 'DESIGN 3.1: RARP from a known MAC finds its addresses at the new place', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r1', V, 'b', 'fresh', LEARN_MS);
    await untilEcho(world, 'far', 'v', MOVE_MS);
    await untilQuiet(world, world.settleMs + 500);
  }),

  story('one', 'DESIGN 3.1: RARP from the MAC of a remembered host', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.unplug('v');
    await untilUnclaimed(world, 'r1', V, world.keepaliveMs + 1000);
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r1', V, 'b', 'fresh', LEARN_MS);
  }),

  story('one', 'DESIGN 3.4: attach yields first and verifies later; detach is acted on at once', async (world) => {
    await world.plug('v', 'a', { announce: 'silent' });
    const attached = await world.command('r1', 'attach', { host: 'v', lan: 'a' });
    assert.ok(attached.ok, attached.message);
    await untilClaimed(world, 'r1', V, 'a', 'fresh', 2);
    await untilEcho(world, 'far', 'v', 20);
    await world.advance(3 * world.settleMs);
    assert.equal(await claimOf(world, 'r1', V), 'a settled');
    await world.unplug('v');
    const detached = await world.command('r1', 'detach', { host: 'v', lan: 'a' });
    assert.ok(detached.ok, detached.message);
    await untilUnclaimed(world, 'r1', V, 2);
    await world.always('stays away', 3000, async () => (await claimOf(world, 'r1', V)) === '');
    await untilQuiet(world, 100);
  }),

  story('one', 'DESIGN 3.4: an attached host that never shows up is withdrawn', async (world) => {
    await world.command('r1', 'attach', { host: 'v', lan: 'a' });
    await untilClaimed(world, 'r1', V, 'a', 'fresh', 2);
    await untilUnclaimed(world, 'r1', V, 15_000 + world.keepaliveMs + 1000);
    await untilQuiet(world, 100);
  }),

  story('one', 'DESIGN 3.4: after detach stale frames are ignored for 1 s; a cancelled migration re-learns itself', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.command('r1', 'detach', { host: 'v', lan: 'a' });
    await untilUnclaimed(world, 'r1', V, 2);
    await world.advance(100);
    await world.announce('v', 'gratuitous-request');
    await world.always('stale', 850, async () => (await claimOf(world, 'r1', V)) === '');
    await untilClaimed(world, 'r1', V, 'a', 'fresh', 200);
    await untilEcho(world, 'far', 'v', 50);
  }),

  story('one', 'DESIGN 3.4: a prepared host is claimed at its first sign of life', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    const prepared = await world.command('r1', 'prepare', { host: 'v', lan: 'b' });
    assert.ok(prepared.ok, prepared.message);
    await world.always('not yet', 1000, async () => (await claimOf(world, 'r1', V)) === 'a settled');
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r1', V, 'b', 'fresh', 2);
    await untilEcho(world, 'far', 'v', MOVE_MS);
    await untilQuiet(world, world.settleMs + 1000);
  }),

  story('one', 'DESIGN 3.2 Restart: a planned stop withdraws; after the start a silent host is back within 4 s', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.stop('r1', 'withdraw');
    await untilUnclaimed(world, 'r1', V, 50);
    await world.advance(500);
    await untilQuiet(world, 100);
    await world.start('r1');
    await untilClaimed(world, 'r1', V, 'a', 'fresh', 4000);
    await untilEcho(world, 'far', 'v', 50);
    await untilQuiet(world, world.settleMs + 1000);
  }),

  ...(['stop', 'kill'] as const).map((how) =>
    story('one', `DESIGN 3.2 Restart: after ${how} with routes kept the claim is adopted and traffic never stops`, async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await untilEcho(world, 'far', 'v', 50);
      const stream = await world.stream('far', 'v');
      if (how === 'stop') await world.stop('r1', 'keep');
      else await world.kill('r1');
      await world.advance(500);
      await world.start('r1');
      await world.advance(2 * world.keepaliveMs);
      assert.equal((await stream.stop()).lost, 0);
      assert.equal(await claimOf(world, 'r1', V), 'a settled');
      await untilQuiet(world, 100);
      await world.power('v', false);
      await untilUnclaimed(world, 'r1', V, world.keepaliveMs + 1000);
    }),
  ),

  story('one', 'DESIGN 3.2 Restart: a fresh claim of a killed daemon is adopted as settled at once', async (world) => {
    await world.plug('v', 'a');
    await untilClaimed(world, 'r1', V, 'a', 'fresh', LEARN_MS);
    await world.kill('r1');
    await world.advance(3 * world.settleMs);
    assert.equal(await claimOf(world, 'r1', V), 'a fresh');
    await world.start('r1');
    await untilClaimed(world, 'r1', V, 'a', 'settled', 100);
    await untilEcho(world, 'far', 'v', 50);
  }),

  story('one', 'DESIGN 3.2 Restart: an adopted claim whose host is gone is withdrawn', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.kill('r1');
    await world.unplug('v');
    await world.start('r1');
    await untilUnclaimed(world, 'r1', V, 4000);
    await untilQuiet(world, 100);
  }),

  story('one', 'one: a visitor asks for its neighbours at home, and its gateway, and is answered by us alone', async (world) => {
    await settleIn(world, 'h', 'b', 'r1');
    await untilEcho(world, 'h', 'neighbourA', 50);
    assert.equal(await world.neighbour('h', CAST.neighbourA.ip), 'r1');
    assert.equal(await world.neighbour('h', LANS.a.gateway), 'r1');
    await untilEcho(world, 'h', 'neighbourB', 50);
    await settleIn(world, 'v', 'a', 'r1');
    await untilEcho(world, 'h', 'v', 50);
  }),

  story('one', '500 visitors at once, all reachable within 2 s; all move at once and are reachable again', async (world) => {
    const crowd = await world.crowd(500);
    for (const lan of ['a', 'b', 'a'] as const) {
      await Promise.all(crowd.map((host) => world.plug(host, lan)));
      await allReachable(world, crowd, 2000);
    }
    await untilQuiet(world, 2 * world.settleMs);
    assert.deepEqual(await world.alarms('r1'), []);
  }),
];

export async function allReachable(world: World, hosts: readonly string[], withinMs: number): Promise<void> {
  const left = new Set(hosts);
  const start = world.now();
  while (left.size > 0) {
    for (const host of left) if (await world.echo('far', host)) left.delete(host);
    if (left.size > 0) assert.ok(world.now() - start < withinMs, `${left.size} hosts not reachable after ${withinMs} ms`);
    await world.advance(10);
  }
}
