import { describe, it } from 'node:test';
import { SimWorld } from './sim.js';
import type { SimOptions } from './sim-site.js';
import { BOX } from './stories-box.js';
import { DISPUTES } from './stories-disputes.js';
import { FAILURES } from './stories-failures.js';
import { HYPERVISOR } from './stories-hypervisor.js';
import { RESTARTS } from './stories-restart.js';
import { ROAMING } from './stories-roaming.js';

/** Every story is told in several versions of the same world: other jitter, other reverse-path filters. */
const VERSIONS: readonly SimOptions[] = [
  { seed: 1, rpFilter: 1 },
  { seed: 2, rpFilter: 0 },
  { seed: 3, rpFilter: 2 },
];

const BOOK = { BOX, RESTARTS, ROAMING, FAILURES, DISPUTES, HYPERVISOR };

for (const [chapter, stories] of Object.entries(BOOK)) {
  describe(`simulated: ${chapter.toLowerCase()}`, () => {
    for (const { title, layout, run } of stories) {
      it(title, async () => {
        for (const version of VERSIONS) {
          const world = new SimWorld(layout, version);
          try {
            await run(world);
          } catch (error) {
            const where = `in ${JSON.stringify(version)} at ${world.now().toFixed(1)} ms`;
            throw new Error(`${where}: ${(error as Error).message}\n${world.story()}`, { cause: error });
          }
        }
      });
    }
  });
}
