import { describe, it } from 'node:test';
import { SimWorld } from './sim/sim-world.js';
import type { SimOptions } from './sim/site.js';
import { BOX } from './suites/single-router.js';
import { DISPUTES } from './suites/contests.js';
import { FAILURES } from './suites/failures.js';
import { HYPERVISOR } from './suites/hypervisor.js';
import { RESTARTS } from './suites/restart.js';
import { ROAMING } from './suites/roaming.js';
import { REDUNDANT } from './suites/redundant-routers.js';
import { VIRTUAL_SUBNET } from './suites/virtual-subnet.js';

/** Every scenario is told in several versions of the same world: other jitter, reverse-path filters, gateway MACs. */
const VERSIONS: readonly SimOptions[] = [
  { seed: 1, rpFilter: 1 },
  { seed: 2, rpFilter: 0, oneGatewayMac: true, vrrp: 'frr' },
  { seed: 3, rpFilter: 2 },
];

const SUITES = { BOX, RESTARTS, ROAMING, FAILURES, DISPUTES, HYPERVISOR, VIRTUAL_SUBNET, REDUNDANT };

for (const [step, scenarios] of Object.entries(SUITES)) {
  describe(`simulated: ${step.toLowerCase()}`, () => {
    for (const { title, layout, run } of scenarios) {
      it(title, async () => {
        for (const version of VERSIONS) {
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
