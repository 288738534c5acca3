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
  untilRouted,
  untilUnclaimed,
} from './stories.js';
import { allReachable } from './stories-one.js';
import { CAST, type LanName, type Role, type RouterName, type World } from './world.js';

const H = ipOf('h');
const V = ipOf('v');

const ROUTER_OF: Readonly<Record<LanName, RouterName>> = { a: 'r1', b: 'r2', c: 'r3' };

/** The first frame to the core's new route (issue 3: 10 ms with FRR OSPF). */
const CORE_MS = 10;
/** Median outage that issue 3 allows. */
const OUTAGE_MS = 15;

async function noAlarms(world: World, routers: readonly RouterName[]): Promise<void> {
  for (const router of routers) assert.deepEqual(await world.alarms(router), [], `${router} raised no alarm`);
}

async function moves(world: World, host: Role, lan: LanName, carrierDrop: boolean): Promise<void> {
  const stream = await world.stream('far', host);
  await world.advance(20);
  await world.plug(host, lan, { carrierDrop });
  await untilRouted(world, 'core', ipOf(host), `via ${ROUTER_OF[lan]}`, CORE_MS);
  await untilEcho(world, 'far', host, OUTAGE_MS);
  await world.advance(200);
  const { longestOutageMs } = await stream.stop();
  assert.ok(longestOutageMs <= OUTAGE_MS, `outage of ${longestOutageMs} ms`);
}

async function announcedBy(world: World, role: Role, routers: readonly RouterName[]): Promise<void> {
  assert.deepEqual(await world.announcers(ipOf(role)), routers);
}

export const STORIES_MANY: readonly Story[] = [
  ...([true, false] as const).map((carrierDrop) =>
    story('two', `newest claim wins: a visitor moves A to B and back, carrier drop ${carrierDrop}`, async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      for (const lan of ['b', 'a', 'b'] as const) {
        await moves(world, 'v', lan, carrierDrop);
        const other = lan === 'a' ? 'r2' : 'r1';
        await untilUnclaimed(world, other, V, 200);
        await untilRouted(world, other, V, 'via core', 10);
        await untilClaimed(world, ROUTER_OF[lan], V, lan, 'settled', world.settleMs + 100);
        await announcedBy(world, 'v', [ROUTER_OF[lan]]);
        await untilQuiet(world, 500);
        await world.advance(3 * world.settleMs);
      }
      await noAlarms(world, ['r1', 'r2']);
    }),
  ),

  ...([true, false] as const).map((carrierDrop) =>
    story('two', `a host leaves home and returns, carrier drop ${carrierDrop}: no /32 is left anywhere`, async (world) => {
      await world.plug('h', 'a');
      await untilEcho(world, 'far', 'h', 50);
      await untilEcho(world, 'neighbourA', 'h', 50);
      await world.advance(3000);
      await moves(world, 'h', 'b', carrierDrop);
      await untilRouted(world, 'r1', H, 'via core', 10);
      await world.until('r1 knows it away', 200, async () => {
        return (await world.transitions('r1', H)).at(-1)?.to === 'away';
      });
      await world.until('the neighbour knows', 100, async () => (await world.neighbour('neighbourA', H)) === 'r1');
      await world.advance(4000);
      await announcedBy(world, 'h', ['r2']);
      await moves(world, 'h', 'a', carrierDrop);
      await untilUnclaimed(world, 'r2', H, 200);
      await untilUnclaimed(world, 'r1', H, 2 * world.settleMs + 500);
      await world.advance(20);
      await announcedBy(world, 'h', []);
      await untilEcho(world, 'far', 'h', 50);
      assert.equal(await world.conflicts('h'), 0, 'RFC 5227');
      await noAlarms(world, ['r1', 'r2']);
      await untilQuiet(world, 100);
    }),
  ),

  story('two', 'away: a neighbour on the home LAN reaches the host and back; home again within 30 ms', async (world) => {
    await world.plug('h', 'a');
    await untilEcho(world, 'neighbourA', 'h', 50);
    await world.advance(2000);
    await world.plug('h', 'b');
    await untilEcho(world, 'neighbourA', 'h', 100);
    await world.advance(5000);
    assert.ok(await world.echo('neighbourA', 'h'));
    await world.plug('h', 'a');
    await untilEcho(world, 'neighbourA', 'h', 30);
    await world.advance(longEnough(world));
    assert.ok(await world.echo('neighbourA', 'h'));
    assert.equal(await world.neighbour('neighbourA', H), 'h');
    await untilQuiet(world, 100);
  }),

  story('two', 'a home host that was never heard moves: its home router asks and then knows it away', async (world) => {
    await world.plug('h', 'a', { announce: 'silent' });
    await world.advance(2000);
    await world.plug('h', 'b');
    await untilRouted(world, 'core', H, 'via r2', CORE_MS);
    await world.until('r1 knows it away', 300, async () => (await world.transitions('r1', H)).at(-1)?.to === 'away');
    await untilEcho(world, 'neighbourA', 'h', 100);
    await untilQuiet(world, 2 * world.settleMs);
  }),

  story('three', 'A to B, B to C, C to A: each time exactly one router announces', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    for (const lan of ['b', 'c', 'a', 'c', 'b'] as const) {
      await moves(world, 'v', lan, false);
      await untilQuiet(world, world.settleMs + 500);
      await announcedBy(world, 'v', [ROUTER_OF[lan]]);
    }
    await noAlarms(world, ['r1', 'r2', 'r3']);
  }),

  ...[30, 120, 250, 400, 700, 950, 1050].map((restMs) =>
    story('two', `B back to A ${restMs} ms after A to B`, async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      await world.plug('v', 'b', { carrierDrop: false });
      await world.advance(restMs);
      await world.plug('v', 'a', { carrierDrop: false });
      await untilEcho(world, 'far', 'v', world.settleMs + 700);
      await world.advance(longEnough(world));
      assert.equal(await claimOf(world, 'r1', V), 'a settled');
      await announcedBy(world, 'v', ['r1']);
      await untilEcho(world, 'far', 'v', 1);
      await untilQuiet(world, 100);
      await noAlarms(world, ['r1', 'r2']);
    }),
  ),

  ...[30, 250, 700].map((restMs) =>
    story('two', `home, away and home again ${restMs} ms later`, async (world) => {
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

  story('two', 'RFC 7432 section 15.1: a clean mover is never frozen, however often it moves', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    for (let i = 0; i < 40; i++) {
      await world.plug('v', i % 2 === 0 ? 'b' : 'a', { carrierDrop: i % 3 === 0 });
      await world.advance(150 + ((i * 379) % 1900));
    }
    await noAlarms(world, ['r1', 'r2']);
    await world.advance(longEnough(world));
    assert.equal(await claimOf(world, 'r1', V), 'a settled');
    await announcedBy(world, 'v', ['r1']);
    await untilQuiet(world, 100);
  }),

  story('two', 'a move while the new router is cut off from the core converges when the link is back', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.coreLink('r2', false);
    await world.plug('v', 'b', { carrierDrop: false });
    await world.advance(2000);
    assert.equal(await claimOf(world, 'r2', V), 'b settled');
    await world.coreLink('r2', true);
    await untilRouted(world, 'core', V, 'via r2', world.keepaliveMs + 1000);
    await untilEcho(world, 'far', 'v', 100);
    await world.advance(longEnough(world));
    await announcedBy(world, 'v', ['r2']);
    await untilQuiet(world, 100);
  }),

  story('two', 'a move while the old router is cut off from the core: reachable at once, tidy when the link is back', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.coreLink('r1', false);
    await world.plug('v', 'b', { carrierDrop: false });
    await untilEcho(world, 'far', 'v', OUTAGE_MS);
    await world.advance(2500);
    const stream = await world.stream('far', 'v');
    await world.coreLink('r1', true);
    await world.advance(longEnough(world));
    const { longestOutageMs } = await stream.stop();
    assert.ok(longestOutageMs <= 200, `outage of ${longestOutageMs} ms`);
    await announcedBy(world, 'v', ['r2']);
    await untilQuiet(world, 100);
  }),

  story('two', 'old daemon dead after settle: the move converges by itself, and tidies up at the restart', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.kill('r1');
    await world.advance(500);
    await moves(world, 'v', 'b', false);
    await world.advance(longEnough(world));
    await untilEcho(world, 'far', 'v', 1);
    assert.equal(await world.route('core', V), 'via r2');
    assert.equal(await world.route('r1', V), 'via core');
    await world.start('r1');
    await untilUnclaimed(world, 'r1', V, 2000);
    await world.advance(longEnough(world));
    await untilQuiet(world, 100);
    await announcedBy(world, 'v', ['r2']);
    await untilEcho(world, 'far', 'v', 1);
    await noAlarms(world, ['r1', 'r2']);
  }),

  ...[100, 3000].map((deadMs) =>
    story('two', `old daemon killed within settle, restarted ${deadMs} ms after the move: converges`, async (world) => {
      await world.plug('v', 'a');
      await untilClaimed(world, 'r1', V, 'a', 'fresh', 20);
      await world.advance(300);
      await world.kill('r1');
      await world.plug('v', 'b', { carrierDrop: false });
      await world.advance(deadMs);
      await world.start('r1');
      await untilRouted(world, 'core', V, 'via r2', 4000);
      await untilEcho(world, 'far', 'v', 4000);
      await world.advance(longEnough(world) + 10_000);
      assert.equal(await claimOf(world, 'r2', V), 'b settled');
      await announcedBy(world, 'v', ['r2']);
      await untilQuiet(world, 100);
    }),
  ),

  ...[0, 1, 3, 50, 500].map((afterMs) =>
    story('two', `new daemon killed ${afterMs} ms after the move, restarted 100 ms later (systemd)`, async (world) => {
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
    }),
  ),

  story('two', 'new daemon dead right after the move and for long; the host goes back; restart makes peace', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.plug('v', 'b', { carrierDrop: false });
    await untilClaimed(world, 'r2', V, 'b', 'fresh', 20);
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
  }),

  story('two', 'the new router itself dies right after the move; the host goes back to the old one', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.plug('v', 'b', { carrierDrop: false });
    await untilClaimed(world, 'r2', V, 'b', 'fresh', 20);
    await world.advance(200);
    await world.kill('r2');
    await world.coreLink('r2', false);
    await world.carrier('r2', 'b', false);
    await world.plug('v', 'a', { carrierDrop: false });
    await untilEcho(world, 'far', 'v', 50);
    await world.advance(longEnough(world));
    await untilEcho(world, 'far', 'v', 1);
    assert.equal(await claimOf(world, 'r1', V), 'a settled');
  }),

  ...(['r1', 'r2'] as const).flatMap((router) =>
    ([-50, 0, 2, 10, 30, 300, 1005] as const).flatMap((offsetMs) =>
      (['kill', 'stop'] as const).map((how) =>
        story('two', `${how} and start of ${router} ${offsetMs} ms around a move A to B`, async (world) => {
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
          assert.equal(await claimOf(world, 'r2', V), 'b settled');
          await announcedBy(world, 'v', ['r2']);
          await untilQuiet(world, 100);
        }),
      ),
    ),
  ),

  story('two', 'two living hosts with one address: the incumbent keeps it, repetition freezes it there', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    const other = await world.duplicate('v', 'b');
    await world.advance(world.settleMs + 500);
    await untilEcho(world, 'far', 'v', 200);
    assert.equal((await claimOf(world, 'r1', V)).slice(0, 1), 'a');
    assert.ok((await world.alarms('r2')).some(({ alarm }) => alarm === 'duplicate'), 'the challenger reports it');
    for (let i = 0; i < 18; i++) {
      await world.announce(other, 'gratuitous-request');
      await world.advance(10_000);
    }
    assert.ok((await world.alarms('r1')).some(({ alarm }) => alarm === 'frozen'), 'RFC 7432 section 15.1');
    const stream = await world.stream('far', 'v');
    await world.advance(30_000);
    const { lost, sent } = await stream.stop();
    assert.ok(lost * 20 <= sent, `frozen at the owner: ${lost} of ${sent} lost`);
    await announcedBy(world, 'v', ['r1']);
  }),

  story('two', 'two living hosts with one address, one at home: home keeps it', async (world) => {
    await world.plug('h', 'a');
    await world.advance(3000);
    await world.duplicate('h', 'b');
    await world.advance(world.settleMs + 500);
    await untilEcho(world, 'far', 'h', 200);
    await world.advance(longEnough(world));
    await untilEcho(world, 'far', 'h', 50);
    assert.equal(await claimOf(world, 'r2', H), '');
  }),

  ...(['h', 'v'] as const).flatMap((host) =>
    (['gratuitous-request', 'gratuitous-reply', 'request'] as const).map((announce) =>
      story('two', `C5: a forged ${announce} for ${host} on another router's LAN never moves it`, async (world) => {
        await world.plug(host, 'a');
        await untilEcho(world, 'far', host, 100);
        await world.advance(3000);
        await untilEcho(world, 'far', host, 100);
        await world.forge('b', { ip: ipOf(host), announce, answers: false });
        await world.always('reached', 3000, () => world.echo('far', host));
        assert.equal(await claimOf(world, 'r2', ipOf(host)), '');
        await untilQuiet(world, 100);
      }),
    ),
  ),

  ...(['h', 'v'] as const).map((host) =>
    story('two', `C5: a forger that answers for ${host}: the owner has its traffic back within settle + 200 ms`, async (world) => {
      await world.plug(host, 'a');
      await untilEcho(world, 'far', host, 100);
      await world.advance(3000);
      await untilEcho(world, 'far', host, 100);
      const ip = ipOf(host);
      const forger = await world.forge('b', { ip, announce: 'gratuitous-request', answers: true });
      await world.advance(world.settleMs + 200);
      await untilEcho(world, 'far', host, 1);
      await world.always('and keeps it', 5000, () => world.echo('far', host));
      for (let i = 0; i < 18; i++) {
        await world.announce(forger, 'gratuitous-request');
        await world.advance(10_000);
      }
      assert.ok((await world.alarms('r1')).some(({ alarm }) => alarm === 'frozen'));
      await world.always('frozen at the owner', 10_000, () => world.echo('far', host));
      const cleared = await world.command('r1', 'clear', { host, lan: 'a' });
      assert.ok(cleared.ok, cleared.message);
      await world.unplug(forger);
      await world.advance(longEnough(world) + 180_000);
      await untilEcho(world, 'far', host, 50);
      await untilQuiet(world, 1000);
    }),
  ),

  story('two', '500 hosts move at once (a hypervisor is evacuated): all reachable within 2 s', async (world) => {
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
  }),

  story('two', 'DESIGN 3.1: RARP from a MAC that nobody here knows: it is asked for the addresses claimed elsewhere', async (world) => {
    const crowd = await world.crowd(8);
    for (const host of crowd) await world.plug(host, 'a');
    await settleIn(world, 'v', 'a', 'r1');
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilClaimed(world, 'r2', V, 'b', 'fresh', 50);
    await untilEcho(world, 'far', 'v', OUTAGE_MS);
    await world.advance(longEnough(world));
    for (const host of crowd) assert.ok(await world.echo('far', host));
    await untilQuiet(world, 100);
    await noAlarms(world, ['r1', 'r2']);
  }),

  story('two', 'DESIGN 3.4: prepare at the new router, detach at the old, RARP at the new: no waiting for a proof', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await world.command('r2', 'prepare', { host: 'v', lan: 'b' });
    await world.advance(100);
    await world.plug('v', 'b', { announce: 'rarp', carrierDrop: false });
    await untilRouted(world, 'core', V, 'via r2', CORE_MS);
    await world.command('r1', 'detach', { host: 'v', lan: 'a' });
    await untilEcho(world, 'far', 'v', OUTAGE_MS);
    await untilUnclaimed(world, 'r1', V, 50);
    await world.advance(longEnough(world));
    await untilQuiet(world, 100);
    await announcedBy(world, 'v', ['r2']);
    await noAlarms(world, ['r1', 'r2']);
  }),

  story('two', 'DESIGN 3.3: the interface of the old place goes admin down right when the remote claim appears', async (world) => {
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
      await untilUnclaimed(world, 'r2', V, world.keepaliveMs + 1000);
      await world.advance(5000);
      await untilQuiet(world, 1000);
      await announcedBy(world, 'v', []);
    }
  }),

  story('two', 'a visitor dies silently: nobody announces it any more', async (world) => {
    await settleIn(world, 'v', 'a', 'r1');
    await moves(world, 'v', 'b', true);
    await world.power('v', false);
    await untilUnclaimed(world, 'r2', V, world.keepaliveMs + 1000);
    await world.advance(longEnough(world));
    await announcedBy(world, 'v', []);
    assert.equal(await world.route('core', V), 'nowhere');
    assert.equal(await world.neighbour('far', CAST.v.ip), undefined);
    await untilQuiet(world, 100);
  }),
];
