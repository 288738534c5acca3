import { Lab } from '../kit/namespace.js';
import { pause } from '../kit/program.js';
import { isShared } from './names.js';
import { RealWorld } from './real-world.js';
import { RedundantRealWorld } from './redundant-world.js';
import type { Scenario } from '../../scenario/scenario.js';
import type { Layout } from '../../scenario/world.js';

/** Where scenarios of one layout are told in the real world, one after the other; a new site after a failed one. */
export class ScenarioRunner {
  #lab: Lab | undefined;
  #world: RealWorld | undefined;

  constructor(readonly layout: Layout) {}

  /** What a scenario left behind is its own failure. */
  async run(scenario: Scenario, limitMs: number): Promise<void> {
    try {
      const world = await this.#open();
      await within(limitMs, async () => {
        await scenario.run(world);
        await world.reset();
      });
    } catch (error) {
      // Read before the lab goes: the programs' last words wait in their pipes.
      await pause(100);
      const report = [this.#world?.report(), this.#lab?.failureReport()].join('\n\n');
      this.close();
      throw new Error(`${(error as Error).message}\n\n${report}`, { cause: error });
    }
  }

  close(): void {
    this.#lab?.remove();
    this.#lab = undefined;
    this.#world = undefined;
  }

  async #open(): Promise<RealWorld> {
    if (this.#world !== undefined) return this.#world;
    this.#lab = new Lab();
    this.#world = isShared(this.layout)
      ? await RedundantRealWorld.build(this.#lab, this.layout)
      : await RealWorld.build(this.#lab, this.layout);
    return this.#world;
  }
}

async function within(limitMs: number, work: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
