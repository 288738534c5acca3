import { inLab } from './in-lab.js';
import { type Latency, Noise, type Port, measureBurst, measureLatency, startFloor } from './instruments.js';
import { type Context, type Measure, type Part, below, median } from './measure.js';
import { BenchRouter } from './router.js';

const GAP_MS = 5;
const REFRESH_PER_SECOND = 50_000;
const KNOWN_HOSTS = 5000;
const WARM_UP = 3000;

/** A lone newcomer, with either policy, beside the floor; then the same while known hosts make a din. */
export const latency: Part = {
  name: 'latency',
  about: 'frame to kernel route: idle, and while 50,000 refresh frames/s arrive',
  run: (context) =>
    inLab(async (lab) => {
      const rounds = context.quick ? 2 : 7;
      const hosts = context.quick ? 150 : 400;
      const floorRouter = new BenchRouter(lab, 2);
      await startFloor(floorRouter.router, 'lan0');
      await startFloor(floorRouter.router, 'lan1', 'shellout');
      const router = new BenchRouter(lab, 2);
      await router.start({
        interface: [
          { name: 'lan0', prove: 'after' },
          { name: 'lan1', prove: 'before' },
        ],
      });
      const newcomers = (lan: number, count: number) =>
        measureLatency(router.port(lan), router.newcomers(count), count, GAP_MS);
      // A daemon that just started runs code that the compiler has not seen yet.
      for (const lan of [0, 1]) {
        await measureBurst(router.port(lan), router.newcomers(WARM_UP), WARM_UP, WARM_UP / 2);
        await newcomers(lan, hosts);
      }

      const floor: Latency[] = [];
      const shellout: Latency[] = [];
      const after: Latency[] = [];
      const before: Latency[] = [];
      for (let round = 1; round <= rounds; round++) {
        context.say(`idle, round ${round} of ${rounds}`);
        floor.push(await measureLatency(floorRouter.port(0), floorRouter.newcomers(hosts), hosts, GAP_MS));
        shellout.push(await measureLatency(floorRouter.port(1), floorRouter.newcomers(hosts), hosts, GAP_MS));
        after.push(await newcomers(0, hosts));
        before.push(await newcomers(1, hosts));
      }

      const floorMs = median(floor.map(({ p50 }) => p50));
      context.found(
        { name: 'floor in C, p50', value: floorMs, unit: 'ms' },
        { name: 'floor in C, p99', value: median(floor.map(({ p99 }) => p99)), unit: 'ms' },
        { name: 'floor of a shell-out, p50', value: median(shellout.map(({ p50 }) => p50)), unit: 'ms' },
      );
      for (const [prove, results, times, shelloutTimes] of [
        ['after', after, 5, 1.8],
        ['before', before, 10, 2.4],
      ] as const) {
        const p50 = median(results.map((each) => each.p50));
        const p99 = median(results.map((each) => each.p99));
        const note = missedNote(results);
        context.found(
          { name: `idle, prove=${prove}, p50`, value: p50, unit: 'ms', ...note },
          {
            name: `idle, prove=${prove}, p50 to the floor`,
            value: median(results.map((each, i) => each.p50 / (floor[i] as Latency).p50)),
            unit: 'x',
            targets: [below(times)],
          },
          {
            name: `idle, prove=${prove}, p50 to the floor of a shell-out`,
            value: median(results.map((each, i) => each.p50 / (shellout[i] as Latency).p50)),
            unit: 'x',
            targets: [below(shelloutTimes)],
          },
          {
            name: `idle, prove=${prove}, p99`,
            value: p99,
            unit: 'ms',
            targets: [below(3)],
            note: `worst round ${Math.max(...results.map((each) => each.p99)).toFixed(2)}`,
          },
        );
      }
      for (const [lan, prove] of ['after', 'before'].entries()) {
        context.say(`under load, prove=${prove}`);
        context.found(...(await underLoad(router.port(lan), router, prove, context)));
      }
    }),
};

async function underLoad(
  port: Port,
  router: BenchRouter,
  prove: string,
  context: Context,
): Promise<Measure[]> {
  const known = router.newcomers(KNOWN_HOSTS);
  await measureBurst(port, known, KNOWN_HOSTS, 5000);
  const rounds = context.quick ? 1 : 5;
  const hosts = context.quick ? 150 : 400;
  const results: Latency[] = [];
  const ms = 120_000;
  const noise = await Noise.refresh(port, known, KNOWN_HOSTS, REFRESH_PER_SECOND, ms);
  for (let i = 0; i < rounds; i++) {
    results.push(await measureLatency(port, router.newcomers(hosts), hosts, GAP_MS));
  }
  const rate = await noise.finish();
  const note = `${Math.round(rate)} frames/s on the same interface`;
  return [
    {
      name: `loaded, prove=${prove}, p50`,
      value: median(results.map(({ p50 }) => p50)),
      unit: 'ms',
      ...missedNote(results),
    },
    {
      name: `loaded, prove=${prove}, p99`,
      value: median(results.map(({ p99 }) => p99)),
      unit: 'ms',
      targets: [below(20)],
      note: `${note}, worst round ${Math.max(...results.map(({ p99 }) => p99)).toFixed(1)}`,
    },
  ];
}

function missedNote(results: readonly Latency[]): { readonly note: string } {
  const missed = results.reduce((sum, each) => sum + each.missed, 0);
  const hosts = results.reduce((sum, each) => sum + each.hosts, 0);
  return { note: missed === 0 ? `${hosts} newcomers` : `${missed} of ${hosts} newcomers NEVER learned` };
}
