import { describe, it } from 'node:test';
import { SimWorld, type SimOptions } from './sim.js';
import { STORIES_MANY } from './stories-many.js';
import { STORIES_ONE } from './stories-one.js';

/** Every story is told in several versions of the same world: other jitter, other reverse-path filters. */
const VERSIONS: readonly SimOptions[] = [
  { seed: 1, rpFilter: 1 },
  { seed: 2, rpFilter: 0 },
  { seed: 3, rpFilter: 2 },
];

for (const { title: name, stories } of [
  { title: 'one router, simulated', stories: STORIES_ONE },
  { title: 'many routers, simulated', stories: STORIES_MANY },
]) {
  describe(name, () => {
    for (const { title, layout, run } of stories) {
      it(title, async () => {
        for (const version of VERSIONS) {
          const world = new SimWorld(layout, version);
          try {
            await run(world);
          } catch (error) {
            throw new Error(`in ${JSON.stringify(version)} at ${world.now().toFixed(1)} ms: ${(error as Error).message}\n${world.story()}`);
          }
        }
      });
    }
  });
}
