import assert from 'node:assert/strict';
import type { SimWorld } from '../scenario/sim.js';
import { ipOf } from '../scenario/stories.js';
import { type Announce, CAST, type LanName, type Role, type RouterName } from '../scenario/world.js';

/** Who is carried about: a visitor whose home is nowhere, and one host of each LAN. Each exists once. */
export const TRAVELLERS = ['v', 'h', 'g'] as const satisfies readonly Role[];

/** One thing that may happen on a day. */
export type Deed =
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

/** What failed comes back by itself after a while; meanwhile the day goes on. */
export async function spend(world: SimWorld, day: readonly Deed[]): Promise<void> {
  const down = new Set<string>();
  const later = (key: string, ms: number, repair: () => Promise<void>): void => {
    down.add(key);
    world.clock.after(ms, () => {
      down.delete(key);
      void repair();
    });
  };
  for (const deed of day) {
    switch (deed.do) {
      case 'plug':
        await world.plug(deed.host, deed.lan, deed);
        break;
      case 'unplug':
        await world.unplug(deed.host);
        break;
      case 'daemon':
        if (down.has(deed.router)) break;
        if (deed.how === 'kill') await world.kill(deed.router);
        else await world.stop(deed.router, deed.how);
        later(deed.router, Math.max(25, deed.downMs), () => world.start(deed.router));
        break;
      case 'flap': {
        const key = `${deed.router} ${deed.lan}`;
        if (down.has(key)) break;
        await world[deed.how](deed.router, deed.lan, false);
        later(key, deed.downMs, () => world[deed.how](deed.router, deed.lan, true));
        break;
      }
      case 'core':
        if (down.has(`core ${deed.router}`)) break;
        await world.coreLink(deed.router, false);
        later(`core ${deed.router}`, deed.downMs, () => world.coreLink(deed.router, true));
        break;
      case 'rest':
        await world.advance(deed.ms);
        break;
    }
  }
}

const HOME: Readonly<Record<(typeof TRAVELLERS)[number], LanName | undefined>> = {
  v: undefined,
  h: 'a',
  g: 'b',
};

export async function agree(world: SimWorld, day: readonly Deed[]): Promise<void> {
  const quiet = new Set(
    day.flatMap((deed) => (deed.do === 'plug' && deed.announce === 'silent' ? [deed.host] : [])),
  );
  await world.advance(10_000);
  for (const host of TRAVELLERS) {
    if (world.host(host).segment !== undefined) await world.announce(host, 'arp-gateway');
  }
  await world.advance(50_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of TRAVELLERS) {
    if (world.host(host).segment !== undefined)
      await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
  }
  // A claim at home that was disputed is kept for the 180 s of RFC 7432 section 15.1.
  await world.advance(200_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of TRAVELLERS) {
    const { segment } = world.host(host);
    const claims: string[] = [];
    for (const router of world.routers.keys()) {
      for (const claim of await world.claims(router))
        if (claim.ip === ipOf(host)) claims.push(`${claim.lan} ${claim.age}`);
    }
    const expected = segment === undefined || segment.name === HOME[host] ? [] : [`${segment.name} settled`];
    assert.deepEqual(claims, expected, `${host} on ${segment?.name}`);
    if (segment !== undefined) await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
    // Whoever comes home without a word may still hear its home router speak for it.
    if (!quiet.has(host)) assert.equal(await world.conflicts(host), 0, `${host} saw an address conflict`);
    assert.notEqual(await world.neighbour('neighbourA', CAST[host].ip), 'r2');
  }
  for (const router of world.routers.keys()) {
    assert.ok(
      !(await world.alarms(router)).some(({ alarm }) => alarm === 'frozen'),
      'a clean mover is never frozen',
    );
  }
}
