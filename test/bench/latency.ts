import type { Family } from '../../src/wire/addresses.js';
import type { Lab } from '../lab/kit/namespace.js';
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
      context.found(...(await beside(lab, context, rounds, hosts)));
      for (const [lan, prove] of ['after', 'before'].entries()) {
        context.say(`under load, prove=${prove}`);
        context.found(...(await underLoad(router.port(lan), router, prove, context)));
      }
    }),
};

/** Newcomers of both families in turns, on one router: IPv6 against IPv4, round by round. */
async function beside(lab: Lab, context: Context, rounds: number, hosts: number): Promise<Measure[]> {
  const router = new BenchRouter(lab, 1, ['ipv4', 'ipv6']);
  await router.start();
  const families = ['ipv4', 'ipv6'] as const;
  const results: Record<Family, Latency[]> = { ipv4: [], ipv6: [] };
  for (const family of families) {
    await measureBurst(router.port(0), router.newcomers(WARM_UP, family), WARM_UP, WARM_UP / 2);
    await measureLatency(router.port(0), router.newcomers(hosts, family), hosts, GAP_MS);
  }
  for (let round = 1; round <= rounds; round++) {
    context.say(`both families, round ${round} of ${rounds}`);
    for (const family of families)
      results[family].push(
        await measureLatency(router.port(0), router.newcomers(hosts, family), hosts, GAP_MS),
      );
  }
  const p50 = (family: Family) => median(results[family].map((each) => each.p50));
  const ratios = results.ipv6.map((each, i) => each.p50 / (results.ipv4[i] as Latency).p50);
  return [
    { name: 'both families served, IPv4, p50', value: p50('ipv4'), unit: 'ms', ...missedNote(results.ipv4) },
    { name: 'both families served, IPv6, p50', value: p50('ipv6'), unit: 'ms', ...missedNote(results.ipv6) },
    { name: 'IPv6, p50 to that of IPv4', value: median(ratios), unit: 'x', targets: [below(1.3)] },
  ];
}

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
