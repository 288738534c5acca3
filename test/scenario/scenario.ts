import assert from 'node:assert/strict';
import type { Family, Ip } from '../../src/wire/addresses.js';
import type { ClaimAge } from '../../src/mobility/events.js';
import type {
  HostName,
  LanName,
  Layout,
  NodeName,
  Role,
  RouterName,
  TransitionView,
  World,
} from './world.js';

/**
 * A roaming scenario: told once, run in every world. Bounds are those of an idle box with an engine that propagates in
 * a few milliseconds; a world on a noisy machine stretches them (`World.bound`).
 */
export interface Scenario {
  readonly title: string;
  readonly layout: Layout;
  /** It is about what only this family has. */
  readonly only?: Family;
  run(world: World): Promise<void>;
}

export function scenario(layout: Layout, title: string, run: (world: World) => Promise<void>): Scenario {
  return { layout, title, run };
}

/** What all addresses of a host have in common; what they have not stands side by side. */
async function agreed(
  world: World,
  host: HostName,
  look: (ip: Ip) => Promise<string | undefined>,
): Promise<string | undefined> {
  const seen = new Set<string | undefined>();
  for (const ip of world.addresses(host)) seen.add(await look(ip));
  return seen.size === 1 ? [...seen][0] : [...seen].map((one) => one ?? 'nothing').join(' / ');
}

/** Where the kernel of a node would send a packet for a host. */
export async function routeOf(world: World, node: NodeName, host: HostName): Promise<string> {
  return (await agreed(world, host, (ip) => world.route(node, ip))) ?? 'nowhere';
}

/** Who the neighbour table of one host names for another one. */
export function neighbourOf(world: World, host: HostName, other: HostName): Promise<string | undefined> {
  return agreed(world, other, (ip) => world.neighbour(host, ip));
}

/** Who the neighbour table of a host names for its gateway. */
export async function gatewayOf(world: World, host: HostName): Promise<string | undefined> {
  const seen = new Set<string | undefined>();
  for (const gateway of world.gateways(host)) seen.add(await world.neighbour(host, gateway));
  return seen.size === 1 ? [...seen][0] : [...seen].map((one) => one ?? 'nobody').join(' / ');
}

export async function announcersOf(world: World, host: HostName): Promise<string> {
  return (await agreed(world, host, async (ip) => (await world.announcers(ip)).join(' and '))) ?? '';
}

/** What a daemon told of a host, address by address. */
export async function transitionsOf(
  world: World,
  router: RouterName,
  host: HostName,
): Promise<readonly TransitionView[]> {
  const told = await Promise.all(world.addresses(host).map((ip) => world.transitions(router, ip)));
  return told.flat();
}

/** The state that a daemon told last. */
export async function stateOf(world: World, router: RouterName, host: HostName): Promise<string> {
  const last = async (ip: Ip) => (await world.transitions(router, ip)).at(-1)?.to;
  return (await agreed(world, host, last)) ?? 'unknown';
}

/** The same story, in a world of this family alone. */
export function only(family: Family, told: Scenario): Scenario {
  return { ...told, only: family };
}

/** Everything a keepalive, a settle and a check may still have to do. */
export function longEnough(world: World): number {
  return 2 * world.keepaliveMs + 4 * world.settleMs + 1000;
}

export async function claimOf(world: World, router: RouterName, host: HostName): Promise<string> {
  const claims = await world.claims(router);
  const textOf = async (ip: Ip) =>
    claims
      .filter((claim) => claim.ip === ip)
      .map(({ lan, age }) => `${lan} ${age}`)
      .join(' and ');
  return (await agreed(world, host, textOf)) ?? '';
}

export function untilClaimed(
  world: World,
  router: RouterName,
  host: HostName,
  lan: LanName,
  age: ClaimAge,
  withinMs: number,
): Promise<number> {
  return world.until(
    `${router} claims on ${lan}, ${age}`,
    withinMs,
    async () => (await claimOf(world, router, host)) === `${lan} ${age}`,
  );
}

export function untilUnclaimed(
  world: World,
  router: RouterName,
  host: HostName,
  withinMs: number,
): Promise<number> {
  return world.until(
    `${router} claims no more`,
    withinMs,
    async () => (await claimOf(world, router, host)) === '',
  );
}

export function untilRouted(
  world: World,
  node: NodeName,
  host: HostName,
  where: string,
  withinMs: number,
): Promise<number> {
  return world.until(
    `${node} routes to ${where}`,
    withinMs,
    async () => (await routeOf(world, node, host)) === where,
  );
}

export function untilEcho(world: World, from: HostName, to: HostName, withinMs: number): Promise<number> {
  return world.until(`${from} reaches ${to}`, withinMs, () => world.echo(from, to));
}

export async function untilQuiet(world: World, withinMs: number): Promise<void> {
  const end = world.now() + world.bound(withinMs);
  for (;;) {
    const last = world.now() >= end;
    const found = await world.disagreements();
    if (found.length === 0) return;
    assert.ok(!last, `not quiet within ${withinMs} ms:\n${found.slice(0, 20).join('\n')}`);
    await world.advance(10);
  }
}

/** A visitor on a LAN that has been there for a while. */
export async function settleIn(world: World, host: Role, lan: LanName, router: RouterName): Promise<void> {
  await world.plug(host, lan);
  await untilClaimed(world, router, host, lan, 'settled', world.settleMs + 100);
  await untilEcho(world, 'far', host, 100);
  await world.advance(2 * world.settleMs);
}

/** Whether hosts answer `far`, looked at every 10 ms until all do. */
export async function allReachable(world: World, hosts: readonly string[], withinMs: number): Promise<void> {
  const left = new Set(hosts);
  const start = world.now();
  while (left.size > 0) {
    for (const host of left) if (await world.echo('far', host)) left.delete(host);
    if (left.size > 0)
      assert.ok(
        world.now() - start < world.bound(withinMs),
        `${left.size} hosts not reachable after ${withinMs} ms`,
      );
    await world.advance(10);
  }
}

export async function noAlarms(world: World, routers: readonly RouterName[]): Promise<void> {
  for (const router of routers) assert.deepEqual(await world.alarms(router), [], `${router} raised no alarm`);
}

export async function announcedBy(world: World, role: Role, routers: readonly RouterName[]): Promise<void> {
  const wanted = routers.join(' and ');
  let announcers = '';
  await world.until(`${role} is announced by ${wanted || 'nobody'}`, 0, async () => {
    announcers = await announcersOf(world, role);
    return announcers === wanted;
  });
  assert.equal(announcers, wanted);
}

export const ROUTER_OF: Readonly<Record<LanName, RouterName>> = { a: 'r1', b: 'r2', c: 'r3' };

/** From the first frame to the core's new route: 10 ms with FRR OSPF. */
export const CORE_MS = 10;
/** The median outage that a move may have. */
export const OUTAGE_MS = 15;
/** Kernel and proof on an idle box. */
export const LEARN_MS = 10;
/** Before a router answers for an address of which it knows nothing, it asks the LAN so long (design.md 3.2). */
export const ASK_FIRST_MS = 100;
/** A move on one box, first echo answered. */
export const MOVE_MS = 20;

export async function moves(world: World, host: Role, lan: LanName, carrierDrop: boolean): Promise<void> {
  const stream = await world.stream('far', host);
  await world.advance(20);
  await world.plug(host, lan, { carrierDrop });
  await untilRouted(world, 'core', host, `via ${ROUTER_OF[lan]}`, CORE_MS);
  await untilEcho(world, 'far', host, OUTAGE_MS);
  await world.advance(200);
  const { longestOutageMs } = await stream.stop();
  assert.ok(longestOutageMs <= world.bound(OUTAGE_MS), `outage of ${longestOutageMs} ms`);
}

/** After a talk a host confirms its neighbours for some seconds more; then it says nothing by itself. */
export async function fallSilent(world: World): Promise<void> {
  await world.advance(20_000);
}
