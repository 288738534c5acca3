import type { Family } from '../../src/wire/addresses.js';
import { inLab } from './in-lab.js';
import { type Burst, measureBurst, startFloor, timeBatch } from './instruments.js';
import { type Context, type Measure, type Part, type Target, atLeast, below, median } from './measure.js';
import { MemoryWatch, cpuSeconds } from './processes.js';
import { BenchRouter } from './router.js';

const POLICIES = ['after', 'before'] as const;
const SUSTAINED_PER_SECOND = 20_000;
const LATE = '50-600';
const LATE_ROUNDS = 10;

interface Outcome {
  readonly burst: Burst;
  readonly peakMb: number;
  readonly cpuS: number;
  /** Frames that never reached the daemon. */
  readonly lost: number;
}

/** Many newcomers at once, beside `ip -batch` of the same commands; then many for a while. */
export const burst: Part = {
  name: 'burst',
  about:
    '1,000 to 100,000 newcomers at full speed, beside ip -batch of the same commands; 20,000/s sustained',
  run: async (context) => {
    const sizes = context.quick ? [1000, 10_000, 50_000] : [1000, 10_000, 50_000, 100_000];
    for (const size of sizes) context.found(...(await fullSpeed(context, size)));
    context.found(...(await fullSpeed(context, 50_000, 'ipv6')));
    context.found(await lateCrowds(context, 50_000));
    const size = context.quick ? 40_000 : 100_000;
    for (const prove of POLICIES) {
      context.say(`${size} newcomers at ${SUSTAINED_PER_SECOND}/s, prove=${prove}`);
      const { burst: result, peakMb, lost } = await onFreshDaemon(prove, size, SUSTAINED_PER_SECOND);
      context.found({
        name: `${thousands(size)} at 20,000/s, prove=${prove}, learned`,
        value: (result.learned / size) * 100,
        unit: '%',
        targets: [atLeast(100)],
        note: `all ${Math.round(result.ms - result.sentMs)} ms after the last frame; peak ${peakMb.toFixed(0)} MB; ${lost} frames lost`,
      });
    }
  },
};

async function fullSpeed(context: Context, size: number, family: Family = 'ipv4'): Promise<Measure[]> {
  const rounds = context.quick ? 1 : 3;
  const batch: number[] = [];
  const floor: number[] = [];
  const outcomes = { after: [] as Outcome[], before: [] as Outcome[] };
  for (let round = 1; round <= rounds; round++) {
    context.say(`${size} newcomers (${family}) at full speed, round ${round} of ${rounds}`);
    batch.push(await ipBatch(size, family));
    if (family === 'ipv4') floor.push(await floorRate(size));
    for (const prove of POLICIES) outcomes[prove].push(await onFreshDaemon(prove, size, 0, { family }));
  }
  const label = `${family === 'ipv6' ? 'IPv6, ' : ''}${thousands(size)} at once`;
  const measures: Measure[] = [
    { name: `${label}, ip -batch`, value: median(batch), unit: '/s', note: 'neighbour and route per host' },
    ...(floor.length === 0
      ? []
      : [{ name: `${label}, floor in C`, value: median(floor), unit: '/s', note: 'route only' }]),
  ];
  for (const prove of POLICIES) {
    const results = outcomes[prove];
    const worst = Math.min(...results.map(({ burst: { learned } }) => learned));
    const peakMb = median(results.map((each) => each.peakMb));
    const cpuMs = median(results.map(({ cpuS }) => (cpuS / size) * 1e6));
    measures.push(
      {
        name: `${label}, prove=${prove}, learned`,
        value: (worst / size) * 100,
        unit: '%',
        targets: completeness(size),
        note: `lost frames: ${results.map(({ lost }) => lost).join(', ')}`,
      },
      {
        name: `${label}, prove=${prove}`,
        value: median(results.map(({ burst: { perSecond } }) => perSecond)),
        unit: '/s',
        note: `${cpuMs.toFixed(0)} us of processor time per newcomer`,
      },
      {
        name: `${label}, prove=${prove}, to ip -batch`,
        value: median(results.map(({ burst: { perSecond } }, i) => (perSecond / (batch[i] as number)) * 100)),
        unit: '% of batch',
        ...(prove === 'after' && size === 50_000 && family === 'ipv4' ? { targets: [atLeast(35)] } : {}),
      },
      {
        name: `${label}, prove=${prove}, peak RSS of all processes`,
        value: peakMb,
        unit: 'MB',
        ...(size === 10_000 ? { targets: [below(250)] } : {}),
      },
    );
  }
  return measures;
}

/** Newcomers at full speed whose answers come late. */
async function lateCrowds(context: Context, size: number): Promise<Measure> {
  const rounds = context.quick ? 2 : LATE_ROUNDS;
  const results: Outcome[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.say(`${size} newcomers at full speed, answers ${LATE} ms late, round ${round} of ${rounds}`);
    results.push(await onFreshDaemon('before', size, 0, { late: LATE }));
  }
  const learned = results.map(({ burst: { learned: count } }) => count);
  return {
    name: `${thousands(size)} at once, answers ${LATE} ms late, learned`,
    value: (Math.min(...learned) / size) * 100,
    unit: '%',
    targets: [atLeast(100)],
    note: `all of them in ${learned.filter((count) => count === size).length} of ${rounds} rounds; after ${results.map(({ burst: { ms } }) => Math.round(ms)).join(', ')} ms`,
  };
}

function completeness(size: number): Target[] {
  if (size === 10_000) return [atLeast(100)];
  return size === 50_000 ? [atLeast(100)] : [];
}

interface Crowd {
  readonly late?: typeof LATE;
  readonly family?: Family;
}

function onFreshDaemon(
  prove: string,
  size: number,
  perSecond: number,
  { late, family = 'ipv4' }: Crowd = {},
): Promise<Outcome> {
  return inLab(async (lab) => {
    const router = new BenchRouter(lab, 1, [family]);
    const marpd = await router.start({ interface: [{ name: 'lan0', prove }] });
    const memory = new MemoryWatch(marpd.pid);
    const before = cpuSeconds(marpd.pid);
    const result = await measureBurst(router.port(0), router.newcomers(size), size, perSecond, late);
    const cpuS = cpuSeconds(marpd.pid) - before;
    return { burst: result, peakMb: memory.stop(), cpuS, lost: await framesLost(marpd.ctl) };
  });
}

/** Frames that found no room, in libpcap's ring or on the way to the daemon. */
export async function framesLost(ctl: {
  exchange(method: string, path: string): Promise<{ readonly body: string }>;
}): Promise<number> {
  const { body } = await ctl.exchange('GET', '/metrics');
  let lost = 0;
  for (const match of body.matchAll(/^marpd_frames_lost_total\{[^}]*\} (\d+)/gm)) lost += Number(match[1]);
  return lost;
}

function ipBatch(size: number, family: Family): Promise<number> {
  return inLab(async (lab) => {
    const router = new BenchRouter(lab, 1, [family]);
    const ms = await timeBatch(router.router, router.batchFile(router.newcomers(size), size));
    return (size / ms) * 1000;
  });
}

function floorRate(size: number): Promise<number> {
  return inLab(async (lab) => {
    const router = new BenchRouter(lab, 1);
    await startFloor(router.router, 'lan0');
    return (await measureBurst(router.port(0), router.newcomers(size), size)).perSecond;
  });
}

export function thousands(count: number): string {
  return count.toLocaleString('en-US');
}
