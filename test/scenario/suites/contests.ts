import assert from 'node:assert/strict';
import {
  announcedBy,
  claimOf,
  longEnough,
  OUTAGE_MS,
  scenario,
  settleIn,
  stateOf,
  transitionsOf,
  type Scenario,
  untilEcho,
  untilQuiet,
} from '../scenario.js';
import { FIXTURES } from '../world.js';

/** Two who use one address, by mistake or by malice. */
export const DISPUTES: readonly Scenario[] = [
  scenario(
    'one',
    'RFC 5227 section 2.1.1: a genuine duplicate on the same LAN is still seen',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      const other = await world.duplicate('v', 'a', { announce: 'probe' });
      await world.until(
        'the newcomer sees the conflict',
        3000,
        async () => (await world.conflicts(other)) > 0,
      );
      await untilEcho(world, 'far', 'v', 50);
    },
  ),

  ...(['gratuitous-request', 'gratuitous-reply', 'request'] as const).flatMap((announce) =>
    ([false, true] as const).map((sameLan) =>
      scenario(
        'one',
        `C5: a forged ${announce} on ${sameLan ? 'the same' : 'another'} LAN moves nothing while the owner lives`,
        async (world) => {
          await settleIn(world, 'v', 'a', 'r1');
          await untilEcho(world, 'far', 'v', 50);
          await world.forge(sameLan ? 'a' : 'b', { of: 'v', announce, answers: false });
          await world.always('the owner is reached', 2 * world.keepaliveMs, async () => {
            return (await claimOf(world, 'r1', 'v')) === 'a settled' && (await world.echo('far', 'v'));
          });
          await untilQuiet(world, 100);
        },
      ),
    ),
  ),

  scenario(
    'one',
    'C5: a forger that answers on another LAN of the box: the owner keeps the address, repetition freezes it',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      const forger = await world.forge('b', { of: 'v', announce: 'gratuitous-request', answers: true });
      await world.advance(world.settleMs + 200);
      await untilEcho(world, 'far', 'v', 1);
      assert.equal((await claimOf(world, 'r1', 'v')).slice(0, 1), 'a');
      for (let i = 0; i < 16; i++) {
        await world.announce(forger, 'gratuitous-request');
        await world.advance(11_000);
      }
      const alarms = await world.alarms('r1');
      assert.ok(
        alarms.some(
          ({ alarm, ip }) => alarm === 'frozen' && ip !== undefined && world.addresses('v').includes(ip),
        ),
        'RFC 7432 section 15.1',
      );
      assert.equal((await claimOf(world, 'r1', 'v')).slice(0, 1), 'a', 'frozen at the owner');
      await untilEcho(world, 'far', 'v', 1);
    },
  ),

  scenario(
    'two',
    'two living hosts with one address: the incumbent keeps it, the other router tries ever more rarely',
    async (world) => {
      await settleIn(world, 'v', 'a', 'r1');
      const other = await world.duplicate('v', 'b');
      await world.advance(world.settleMs + 500);
      await untilEcho(world, 'far', 'v', 200);
      assert.equal((await claimOf(world, 'r1', 'v')).slice(0, 1), 'a');
      assert.ok(
        (await world.alarms('r2')).some(({ alarm }) => alarm === 'duplicate'),
        'the challenger reports it',
      );
      for (let i = 0; i < 18; i++) {
        await world.announce(other, 'gratuitous-request');
        await world.advance(10_000);
      }
      const frozen = (await world.alarms('r1')).filter(({ alarm }) => alarm === 'frozen');
      assert.deepEqual(frozen, [], 'what another router claims is frozen nowhere');
      const stream = await world.stream('far', 'v');
      await world.advance(30_000);
      const { lost, sent } = await stream.stop();
      assert.ok(lost * 20 <= sent, `the owner keeps it: ${lost} of ${sent} lost`);
      await announcedBy(world, 'v', ['r1']);
    },
  ),

  scenario('two', 'two living hosts with one address, one at home: home keeps it', async (world) => {
    await world.plug('h', 'a');
    await world.advance(3000);
    await world.duplicate('h', 'b');
    await world.advance(world.settleMs + 500);
    await untilEcho(world, 'far', 'h', 200);
    await world.advance(longEnough(world));
    await untilEcho(world, 'far', 'h', 50);
    assert.equal(await claimOf(world, 'r2', 'h'), '');
  }),

  ...(['h', 'v'] as const).flatMap((host) =>
    (['gratuitous-request', 'gratuitous-reply', 'request'] as const).map((announce) =>
      scenario(
        'two',
        `C5: a forged ${announce} for ${host} on another router's LAN never moves it`,
        async (world) => {
          await world.plug(host, 'a');
          await untilEcho(world, 'far', host, 100);
          await world.advance(3000);
          await untilEcho(world, 'far', host, 100);
          await world.forge('b', { of: host, announce, answers: false });
          await world.always('reached', 3000, () => world.echo('far', host));
          assert.equal(await claimOf(world, 'r2', host), '');
          await untilQuiet(world, 100);
        },
      ),
    ),
  ),

  ...(['h', 'v'] as const).map((host) =>
    scenario(
      'two',
      `C5: a forger that answers for ${host}: the owner has its traffic back within settle + 200 ms`,
      async (world) => {
        await world.plug(host, 'a');
        await untilEcho(world, 'far', host, 100);
        await world.advance(3000);
        await untilEcho(world, 'far', host, 100);
        const forger = await world.forge('b', { of: host, announce: 'gratuitous-request', answers: true });
        await world.advance(world.settleMs + 200);
        await untilEcho(world, 'far', host, 1);
        await world.always('and keeps it', 5000, () => world.echo('far', host));
        for (let i = 0; i < 18; i++) {
          await world.announce(forger, 'gratuitous-request');
          await world.advance(10_000);
        }
        await world.always('the owner keeps it', 10_000, () => world.echo('far', host));
        const cleared = await world.command('r1', 'clear', { host, lan: 'a' });
        assert.ok(cleared.ok, cleared.message);
        await world.unplug(forger);
        await world.advance(longEnough(world) + 180_000);
        await untilEcho(world, 'far', host, 50);
        await untilQuiet(world, 1000);
      },
    ),
  ),

  scenario('two', '`clear` for a host that is away: its home router knows it away again', async (world) => {
    await world.plug('h', 'a');
    await world.advance(2000);
    await world.plug('h', 'b');
    const away = async () => (await stateOf(world, 'r1', 'h')) === 'away';
    await world.until('r1 knows it away', 1000, away);
    const cleared = await world.command('r1', 'clear', { host: 'h', lan: 'a' });
    assert.ok(cleared.ok, cleared.message);
    await world.until('r1 knows it away again', 1000, away);
    await untilEcho(world, 'neighbourA', 'h', 200);
    await untilQuiet(world, 2 * world.settleMs);
  }),

  scenario('two', '`clear` for a host at home: it is asked, and at home again', async (world) => {
    await world.plug('h', 'a');
    const home = async () => (await stateOf(world, 'r1', 'h')) === 'home';
    await world.until('it is at home', 3000, home);
    const before = (await transitionsOf(world, 'r1', 'h')).length;
    const cleared = await world.command('r1', 'clear', { host: 'h', lan: 'a' });
    assert.ok(cleared.ok, cleared.message);
    const anew = async () => (await transitionsOf(world, 'r1', 'h')).length > before && (await home());
    await world.until('it is at home again', 1000, anew);
  }),

  ...([false, true] as const).flatMap((victimsMac) =>
    (['one', 'two'] as const).map((layout) =>
      scenario(
        layout,
        `C5: shouting is no contest: frames that nobody stands by${victimsMac ? ", with the victim's own MAC" : ''}, freeze nothing and bar no later move (${layout})`,
        async (world) => {
          await settleIn(world, 'v', 'a', 'r1');
          for (let i = 0; i < 8; i++) {
            const mac = victimsMac ? { mac: FIXTURES.v.mac } : {};
            const forger = await world.forge('b', {
              of: 'v',
              announce: 'gratuitous-request',
              answers: false,
              ...mac,
            });
            await world.advance(2000);
            await world.unplug(forger);
          }
          await untilEcho(world, 'far', 'v', 50);
          for (const router of layout === 'one' ? (['r1'] as const) : (['r1', 'r2'] as const)) {
            const frozen = (await world.alarms(router)).filter(({ alarm }) => alarm === 'frozen');
            assert.deepEqual(frozen, [], 'no challenger ever answered');
          }
          await world.plug('v', 'b', { carrierDrop: false });
          await untilEcho(world, 'far', 'v', OUTAGE_MS);
        },
      ),
    ),
  ),
];
