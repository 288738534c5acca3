import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SimWorld } from '../scenario/sim.js';
import { ipOf } from '../scenario/stories.js';
import { type Announce, CAST, type LanName, type Role, ROUTERS, type RouterName } from '../scenario/world.js';

/**
 * Random days of a site: each host exists once, is carried about, routers and links fail. When everything works again
 * the whole network agrees within a minute, whatever happened before.
 */

const TRAVELLERS = ['v', 'h', 'g'] as const satisfies readonly Role[];

type Deed =
  | { readonly do: 'plug'; readonly host: Role; readonly lan: LanName; readonly announce: Announce; readonly carrierDrop: boolean }
  | { readonly do: 'unplug'; readonly host: Role }
  | { readonly do: 'daemon'; readonly router: RouterName; readonly how: 'kill' | 'keep' | 'withdraw'; readonly downMs: number }
  | { readonly do: 'flap'; readonly router: RouterName; readonly lan: LanName; readonly how: 'carrier' | 'admin'; readonly downMs: number }
  | { readonly do: 'core'; readonly router: RouterName; readonly downMs: number }
  | { readonly do: 'rest'; readonly ms: number };

const hosts = fc.constantFrom(...TRAVELLERS);
const downMs = fc.constantFrom(0, 2, 15, 100, 400, 1100, 3000, 8000);
const restMs = fc.constantFrom(0, 1, 3, 10, 22, 60, 150, 400, 800, 1000, 1500, 2500, 6000);

function deeds(layout: 'one' | 'two'): fc.Arbitrary<Deed[]> {
  const routerNames = Object.keys(ROUTERS[layout]) as RouterName[];
  const router = fc.constantFrom(...routerNames);
  const lan = fc.constantFrom<LanName>('a', 'b');
  const announce = fc.constantFrom<Announce>('gratuitous-request', 'gratuitous-reply', 'arp-gateway', 'rarp', 'silent', 'probe-once');
  const routerOf = (name: LanName): RouterName => routerNames.find((one) => ROUTERS[layout][one]?.includes(name)) ?? 'r1';
  const deed: fc.Arbitrary<Deed> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(hosts, lan, announce, fc.boolean())
        .map(([host, at, how, carrierDrop]): Deed => ({ do: 'plug', host, lan: at, announce: how, carrierDrop })),
    },
    { weight: 1, arbitrary: hosts.map((host): Deed => ({ do: 'unplug', host })) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(router, fc.constantFrom('kill', 'keep', 'withdraw'), downMs)
        .map(([name, how, ms]): Deed => ({ do: 'daemon', router: name, how, downMs: ms })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(lan, fc.constantFrom('carrier', 'admin'), downMs)
        .map(([at, how, ms]): Deed => ({ do: 'flap', router: routerOf(at), lan: at, how, downMs: ms })),
    },
    { weight: 1, arbitrary: fc.tuple(router, downMs).map(([name, ms]): Deed => ({ do: 'core', router: name, downMs: ms })) },
    { weight: 9, arbitrary: restMs.map((ms): Deed => ({ do: 'rest', ms })) },
  );
  return fc.array(deed, { maxLength: 30, size: 'max' });
}

/** What failed comes back by itself after a while; meanwhile the day goes on. */
async function spend(world: SimWorld, day: readonly Deed[]): Promise<void> {
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

const HOME: Readonly<Record<(typeof TRAVELLERS)[number], LanName | undefined>> = { v: undefined, h: 'a', g: 'b' };

async function agree(world: SimWorld, day: readonly Deed[]): Promise<void> {
  const quiet = new Set(day.flatMap((deed) => (deed.do === 'plug' && deed.announce === 'silent' ? [deed.host] : [])));
  await world.advance(10_000);
  for (const host of TRAVELLERS) {
    if (world.host(host).segment !== undefined) await world.announce(host, 'arp-gateway');
  }
  await world.advance(50_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of TRAVELLERS) {
    if (world.host(host).segment !== undefined) await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
  }
  // A claim at home that was disputed is kept for the 180 s of RFC 7432 section 15.1.
  await world.advance(200_000);
  assert.deepEqual(await world.disagreements(), []);
  for (const host of TRAVELLERS) {
    const { segment } = world.host(host);
    const claims: string[] = [];
    for (const router of world.routers.keys()) {
      for (const claim of await world.claims(router)) if (claim.ip === ipOf(host)) claims.push(`${claim.lan} ${claim.age}`);
    }
    const expected = segment === undefined || segment.name === HOME[host] ? [] : [`${segment.name} settled`];
    assert.deepEqual(claims, expected, `${host} on ${segment?.name}`);
    if (segment !== undefined) await world.until(`far reaches ${host}`, 100, () => world.echo('far', host));
    // Whoever comes home without a word may still hear its home router speak for it.
    if (!quiet.has(host)) assert.equal(await world.conflicts(host), 0, `${host} saw an address conflict`);
    assert.notEqual(await world.neighbour('neighbourA', CAST[host].ip), 'r2');
  }
  for (const router of world.routers.keys()) {
    assert.ok(!(await world.alarms(router)).some(({ alarm }) => alarm === 'frozen'), 'a clean mover is never frozen');
  }
}

describe('random days of a site', () => {
  for (const layout of ['one', 'two'] as const) {
    for (const rpFilter of [0, 1] as const) {
      it(`layout ${layout}, rp_filter ${rpFilter}: all agree within a minute, and nothing is left over`, async () => {
        await fc.assert(
          fc.asyncProperty(deeds(layout), fc.integer({ min: 1, max: 1000 }), async (day, seed) => {
            const world = new SimWorld(layout, { seed, rpFilter });
            try {
              await spend(world, day);
              await agree(world, day);
            } catch (error) {
              throw new Error(`${(error as Error).message}\n${world.story()}`, { cause: error });
            }
          }),
          { numRuns: 150 },
        );
      });
    }
  }
});
