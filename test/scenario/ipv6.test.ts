import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ip } from '../../src/wire/addresses.js';
import { SimWorld } from './sim/sim-world.js';
import {
  claimOf,
  fallSilent,
  longEnough,
  noAlarms,
  routeOf,
  settleIn,
  untilClaimed,
  untilEcho,
  untilQuiet,
  untilRouted,
  untilUnclaimed,
} from './scenario.js';

/** What only IPv6 has: duplicate address detection, many addresses of one MAC, and links that lose one family. */

const IPV6 = { families: ['ipv6'] } as const;
const ADDRESSES = 17;

async function withGuest(addresses: number): Promise<SimWorld> {
  const world = new SimWorld('two', { seed: 1, ...IPV6 });
  world.guest('guest', addresses);
  await world.plug('guest', 'a');
  await untilClaimed(world, 'r1', 'guest', 'a', 'settled', 2 * world.settleMs);
  await untilEcho(world, 'far', 'guest', 100);
  return world;
}

describe('simulated: IPv6 alone', () => {
  for (const gateways of ['shared', 'global', 'advertised'] as const)
    it(`RFC 4862: back home within the announcements of its departure, no detection fails (${gateways})`, async () => {
      for (const awayMs of [30, 300, 900, 1100, 1900, 2100, 4000]) {
        const world = new SimWorld('two', { seed: awayMs, gateways, ...IPV6 });
        await world.plug('h', 'a');
        await untilEcho(world, 'neighbourA', 'h', 100);
        await world.advance(3000);
        await world.plug('h', 'b', { carrierDrop: false });
        await untilRouted(world, 'core', 'h', 'via r2', 50);
        await world.advance(awayMs);
        await world.plug('h', 'a', { announce: 'probe' });
        await world.advance(3000);
        assert.equal(await world.conflicts('h'), 0, `away for ${awayMs} ms\n${world.heard('a')}`);
        await untilEcho(world, 'far', 'h', 100);
        await untilQuiet(world, longEnough(world));
      }
    });

  it('RFC 3810: after a flap of its cable one report brings back all addresses of a silent host', async () => {
    const world = await withGuest(4);
    await fallSilent(world);
    await world.carrier('r1', 'a', false);
    await untilUnclaimed(world, 'r1', 'guest', 100);
    await world.advance(300);
    await world.carrier('r1', 'a', true);
    await world.plug('guest', 'a', { announce: 'silent' });
    await untilClaimed(world, 'r1', 'guest', 'a', 'fresh', 50);
    await untilEcho(world, 'far', 'guest', 100);
    await noAlarms(world, ['r1', 'r2']);
    await untilQuiet(world, longEnough(world));
  });

  it(`RFC 7934: a guest with ${ADDRESSES} addresses moves with all of them, by RARP alone`, async () => {
    const world = await withGuest(ADDRESSES);
    for (const lan of ['b', 'a', 'b'] as const) {
      const router = lan === 'a' ? 'r1' : 'r2';
      await world.plug('guest', lan, { announce: 'rarp', carrierDrop: false });
      await untilRouted(world, 'core', 'guest', `via ${router}`, 100);
      await untilEcho(world, 'far', 'guest', 100);
      await world.advance(3 * world.settleMs);
      await untilClaimed(world, router, 'guest', lan, 'settled', 100);
    }
    await noAlarms(world, ['r1', 'r2']);
    await untilQuiet(world, longEnough(world));
  });

  it('an address whose lifetime is over is withdrawn alone', async () => {
    const world = await withGuest(ADDRESSES);
    const expired = world.addresses('guest')[3] as Ip;
    world.host('guest').expire(expired);
    const holds = async () => (await world.claims('r1')).filter(({ ip }) => ip === expired).length;
    await world.until('it is withdrawn', 40 * world.keepaliveMs, async () => (await holds()) === 0);
    assert.equal(world.addresses('guest').length, ADDRESSES - 1);
    assert.equal(await claimOf(world, 'r1', 'guest'), 'a settled');
    await untilEcho(world, 'far', 'guest', 10);
  });

  it('disable_ipv6 withdraws the IPv6 hosts of a link, and of IPv4 nothing', async () => {
    const world = new SimWorld('two', { seed: 1, families: ['ipv4', 'ipv6'] });
    await settleIn(world, 'v', 'a', 'r1');
    const [ipv4, ipv6] = world.addresses('v') as [Ip, Ip];
    const stays = async () => (await world.route('core', ipv4)) === 'via r1';
    const lost = (await world.transitions('r1', ipv4)).length;
    world.ipv6('r1', 'a', false);
    await world.until('it is withdrawn', 100, async () => (await world.route('core', ipv6)) === 'nowhere');
    await world.always('IPv4 is not touched', 5000, stays);
    assert.equal((await world.transitions('r1', ipv4)).length, lost);
    world.ipv6('r1', 'a', true);
    await world.until('it is back', 5000, async () => (await routeOf(world, 'core', 'v')) === 'via r1');
    await untilEcho(world, 'far', 'v', 100);
    await noAlarms(world, ['r1', 'r2']);
    await untilQuiet(world, longEnough(world));
  });
});
