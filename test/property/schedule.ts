import assert from 'node:assert/strict';
import type { SimWorld } from '../scenario/sim/sim-world.js';
import { claimOf, neighbourOf } from '../scenario/scenario.js';
import type { Announce, LanName, Role, RouterName } from '../scenario/world.js';

/** Who is carried about: a visitor whose home is nowhere, and one host of each LAN. Each exists once. */
export const MOBILE_HOSTS = ['v', 'h', 'g'] as const satisfies readonly Role[];

/** One thing that may happen on a schedule. */
export type ScheduleStep =
  | {
      readonly do: 'plug';
      readonly host: Role;
      readonly lan: LanName;
      readonly announce: Announce;
      readonly carrierDrop: boolean;
    }
  | { readonly do: 'unplug'; readonly host: Role }
  | {
      readonly do: 'daemon';
      readonly router: RouterName;
      readonly how: 'kill' | 'keep' | 'withdraw';
      readonly downMs: number;
    }
  | {
      readonly do: 'flap';
      readonly router: RouterName;
      readonly lan: LanName;
      readonly how: 'carrier' | 'admin';
      readonly downMs: number;
    }
  | { readonly do: 'core'; readonly router: RouterName; readonly downMs: number }
  | { readonly do: 'rest'; readonly ms: number };

/** What failed comes back by itself after a while; meanwhile the schedule goes on. */
export async function runSchedule(world: SimWorld, schedule: readonly ScheduleStep[]): Promise<void> {
  const down = new Set<string>();
  const later = (key: string, ms: number, repair: () => Promise<void>): void => {
    down.add(key);
    world.clock.after(ms, () => {
      down.delete(key);
      void repair();
    });
  };
  for (const step of schedule) {
    switch (step.do) {
      case 'plug':
        await world.plug(step.host, step.lan, step);
        break;
      case 'unplug':
        await world.unplug(step.host);
        break;
      case 'daemon':
        if (down.has(step.router)) break;
        if (step.how === 'kill') await world.kill(step.router);
        else await world.stop(step.router, step.how);
        later(step.router, Math.max(25, step.downMs), () => world.start(step.router));
        break;
      case 'flap': {
        const key = `${step.router} ${step.lan}`;
        if (down.has(key)) break;
        await world[step.how](step.router, step.lan, false);
        later(key, step.downMs, () => world[step.how](step.router, step.lan, true));
        break;
      }
      case 'core':
        if (down.has(`core ${step.router}`)) break;
        await world.coreLink(step.router, false);
        later(`core ${step.router}`, step.downMs, () => world.coreLink(step.router, true));
        break;
      case 'rest':
        await world.advance(step.ms);
        break;
    }
  }
}

const HOME: Readonly<Record<(typeof MOBILE_HOSTS)[number], LanName | undefined>> = {
  v: undefined,
  h: 'a',
  g: 'b',
};

export async function assertAgreement(world: SimWorld, schedule: readonly ScheduleStep[]): Promise<void> {
  const quiet = new Set(
    schedule.flatMap((step) => (step.do === 'plug' && step.announce === 'silent' ? [step.host] : [])),
  );
  await world.advance(10_000);
  for (const host of MOBILE_HOSTS) {
    if (world.host(host).segment !== undefined) await world.announce(host, 'arp-gateway');
  }
  await world.advance(50_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of MOBILE_HOSTS) {
    if (world.host(host).segment !== undefined)
      await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
  }
  // A claim at home that was disputed is kept for the 180 s of RFC 7432 section 15.1.
  await world.advance(200_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of MOBILE_HOSTS) {
    const { segment } = world.host(host);
    const claims: string[] = [];
    for (const router of world.routers.keys()) {
      const claim = await claimOf(world, router, host);
      if (claim !== '') claims.push(claim);
    }
    const expected = segment === undefined || segment.name === HOME[host] ? [] : [`${segment.name} settled`];
    assert.deepEqual(claims, expected, `${host} on ${segment?.name}`);
    if (segment !== undefined) await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
    // Whoever comes home without a word may still hear its home router speak for it.
    if (!quiet.has(host)) assert.equal(await world.conflicts(host), 0, `${host} saw an address conflict`);
    assert.notEqual(await neighbourOf(world, 'neighbourA', host), 'r2');
  }
  for (const router of world.routers.keys()) {
    assert.ok(
      !(await world.alarms(router)).some(({ alarm }) => alarm === 'frozen'),
      'a clean mover is never frozen',
    );
  }
}
