import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SimWorld } from '../scenario/sim/sim-world.js';
import { type Announce, type LanName, ROUTERS, type RouterName } from '../scenario/world.js';
import { assertAgreement, type ScheduleStep, runSchedule, MOBILE_HOSTS } from './schedule.js';
import { effort } from './effort.js';

/**
 * Random schedules of a site: each host exists once, is carried about, routers and links fail. When everything works again
 * the whole network agrees within a minute, whatever happened before.
 */

const hosts = fc.constantFrom(...MOBILE_HOSTS);
const downMs = fc.constantFrom(0, 2, 15, 100, 400, 1100, 3000, 8000);
const restMs = fc.constantFrom(0, 1, 3, 10, 22, 60, 150, 400, 800, 1000, 1500, 2500, 6000);

function schedules(layout: 'one' | 'two'): fc.Arbitrary<ScheduleStep[]> {
  const routerNames = Object.keys(ROUTERS[layout]) as RouterName[];
  const router = fc.constantFrom(...routerNames);
  const lan = fc.constantFrom<LanName>('a', 'b');
  const announce = fc.constantFrom<Announce>(
    'gratuitous-request',
    'gratuitous-reply',
    'arp-gateway',
    'rarp',
    'silent',
    'probe-once',
  );
  const routerOf = (name: LanName): RouterName =>
    routerNames.find((one) => ROUTERS[layout][one]?.includes(name)) ?? 'r1';
  const step: fc.Arbitrary<ScheduleStep> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.tuple(hosts, lan, announce, fc.boolean()).map(
        ([host, at, how, carrierDrop]): ScheduleStep => ({
          do: 'plug',
          host,
          lan: at,
          announce: how,
          carrierDrop,
        }),
      ),
    },
    { weight: 1, arbitrary: hosts.map((host): ScheduleStep => ({ do: 'unplug', host })) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(router, fc.constantFrom('kill', 'keep', 'withdraw'), downMs)
        .map(([name, how, ms]): ScheduleStep => ({ do: 'daemon', router: name, how, downMs: ms })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(lan, fc.constantFrom('carrier', 'admin'), downMs)
        .map(
          ([at, how, ms]): ScheduleStep => ({ do: 'flap', router: routerOf(at), lan: at, how, downMs: ms }),
        ),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(router, downMs)
        .map(([name, ms]): ScheduleStep => ({ do: 'core', router: name, downMs: ms })),
    },
    { weight: 9, arbitrary: restMs.map((ms): ScheduleStep => ({ do: 'rest', ms })) },
  );
  return fc.array(step, { maxLength: 30, size: 'max' });
}

describe('random schedules of a site', () => {
  for (const layout of ['one', 'two'] as const) {
    for (const rpFilter of [0, 1] as const) {
      it(`layout ${layout}, rp_filter ${rpFilter}: all agree within a minute, and nothing is left over`, async () => {
        await fc.assert(
          fc.asyncProperty(schedules(layout), fc.integer({ min: 1, max: 1000 }), async (schedule, seed) => {
            const world = new SimWorld(layout, { seed, rpFilter });
            try {
              await runSchedule(world, schedule);
              await assertAgreement(world, schedule);
            } catch (error) {
              throw new Error(`${(error as Error).message}\n${world.report()}`, { cause: error });
            }
          }),
          effort(150),
        );
      });
    }
  }
});
