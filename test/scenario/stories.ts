import assert from 'node:assert/strict';
import type { Ip } from '../../src/wire/addresses.js';
import type { ClaimAge } from '../../src/mobility/events.js';
import { CAST, type HostName, type LanName, type Layout, type NodeName, type Role, type RouterName, type World } from './world.js';

/**
 * A roaming story: told once, run in every world. Bounds are those of an idle box with an engine that propagates in
 * a few milliseconds; a world on a noisy machine may stretch them.
 */
export interface Story {
  readonly title: string;
  readonly layout: Layout;
  run(world: World): Promise<void>;
}

export function story(layout: Layout, title: string, run: (world: World) => Promise<void>): Story {
  return { layout, title, run };
}

export function ipOf(role: Role): Ip {
  return CAST[role].ip;
}

/** Everything a keepalive, a settle and a check may still have to do. */
export function longEnough(world: World): number {
  return 2 * world.keepaliveMs + 4 * world.settleMs + 1000;
}

export async function claimOf(world: World, router: RouterName, ip: Ip): Promise<string> {
  const claims = (await world.claims(router)).filter((claim) => claim.ip === ip);
  return claims.map(({ lan, age }) => `${lan} ${age}`).join(' and ');
}

export function untilClaimed(
  world: World,
  router: RouterName,
  ip: Ip,
  lan: LanName,
  age: ClaimAge,
  withinMs: number,
): Promise<number> {
  return world.until(
    `${router} claims on ${lan}, ${age}`,
    withinMs,
    async () => (await claimOf(world, router, ip)) === `${lan} ${age}`,
  );
}

export function untilUnclaimed(world: World, router: RouterName, ip: Ip, withinMs: number): Promise<number> {
  return world.until(`${router} claims no more`, withinMs, async () => (await claimOf(world, router, ip)) === '');
}

export function untilRouted(world: World, node: NodeName, ip: Ip, where: string, withinMs: number): Promise<number> {
  return world.until(`${node} routes to ${where}`, withinMs, async () => (await world.route(node, ip)) === where);
}

export function untilEcho(world: World, from: HostName, to: HostName, withinMs: number): Promise<number> {
  return world.until(`${from} reaches ${to}`, withinMs, () => world.echo(from, to));
}

export async function untilQuiet(world: World, withinMs: number): Promise<void> {
  const end = world.now() + withinMs;
  for (;;) {
    const found = await world.disagreements();
    if (found.length === 0) return;
    assert.ok(world.now() < end, `not quiet within ${withinMs} ms:\n${found.slice(0, 20).join('\n')}`);
    await world.advance(10);
  }
}

/** A visitor on a LAN that has been there for a while. */
export async function settleIn(world: World, host: Role, lan: LanName, router: RouterName): Promise<void> {
  await world.plug(host, lan);
  await untilClaimed(world, router, ipOf(host), lan, 'settled', world.settleMs + 100);
  await untilEcho(world, 'far', host, 100);
  await world.advance(2 * world.settleMs);
}
