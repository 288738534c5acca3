import { afterEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { SimWorld } from './sim/sim-world.js';
import type { SimOptions } from './sim/site.js';
import type { Scenario } from './scenario.js';
import { BOX } from './suites/single-router.js';
import { DISPUTES } from './suites/contests.js';
import { FAILURES } from './suites/failures.js';
import { HYPERVISOR } from './suites/hypervisor.js';
import { RESTARTS } from './suites/restart.js';
import { ROAMING } from './suites/roaming.js';
import { REDUNDANT } from './suites/redundant-routers.js';
import { VIRTUAL_SUBNET } from './suites/virtual-subnet.js';

const BOTH = 'both families';
/** A crowd says nothing new when each of its hosts has two addresses, and takes twice as long. */
const CROWDED = /^500 /;

/**
 * Every scenario is told in several versions of the same world: other jitter, reverse-path filters, gateway MACs and
 * kinds of gateways; for IPv4, for IPv6, and once for hosts that have an address of each.
 */
const WORLDS: Readonly<Record<string, readonly SimOptions[]>> = {
  IPv4: [
    { seed: 1, rpFilter: 1 },
    { seed: 2, rpFilter: 0, oneGatewayMac: true, vrrp: 'frr' },
    { seed: 3, rpFilter: 2 },
  ],
  IPv6: [
    { seed: 1, families: ['ipv6'], gateways: 'shared' },
    { seed: 2, families: ['ipv6'], gateways: 'global', oneGatewayMac: true, vrrp: 'frr' },
    { seed: 3, families: ['ipv6'], gateways: 'advertised' },
  ],
  [BOTH]: [{ seed: 4, families: ['ipv4', 'ipv6'] }],
};

const NAME_OF = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;

const SUITES: Readonly<Record<string, readonly Scenario[]>> = {
  BOX,
  RESTARTS,
  ROAMING,
  FAILURES,
  DISPUTES,
  HYPERVISOR,
  VIRTUAL_SUBNET,
  REDUNDANT,
};

/** A simulation never waits for the event loop. Between two of them it turns, so that results are told and memory is freed. */
afterEach(() => setImmediate());

for (const [families, versions] of Object.entries(WORLDS)) {
  for (const [step, scenarios] of Object.entries(SUITES)) {
    describe(`simulated, ${families}: ${step.toLowerCase()}`, () => {
      for (const { title, layout, only, run } of scenarios) {
        if (only !== undefined && families !== NAME_OF[only]) continue;
        if (families === BOTH && CROWDED.test(title)) continue;
        it(title, async () => {
          for (const version of versions) {
            const world = new SimWorld(layout, version);
            try {
              await run(world);
            } catch (error) {
              const where = `in ${JSON.stringify(version)} at ${world.now().toFixed(1)} ms`;
              throw new Error(`${where}: ${(error as Error).message}\n${world.report()}`, { cause: error });
            }
          }
        });
      }
    });
  }
}
