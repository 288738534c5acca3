import type { Marpd } from '../lab/kit/marpd.js';
import { pause, waitFor } from '../lab/kit/program.js';
import { thousands } from './burst.js';
import type { Family } from '../../src/wire/addresses.js';
import { inLab } from './in-lab.js';
import { Noise, measureBurst, measureLatency } from './instruments.js';
import { type Context, type CostPoint, type Measure, type Part, below, median } from './measure.js';
import { cpuSeconds, footprint } from './processes.js';
import { BenchRouter, ipNumber, ipText } from './router.js';

const KEEPALIVE_S = 30;
const LEARN_PER_SECOND = 20_000;

/** What hosts cost that are simply there: memory, keepalive, the answers about them, a restart with their routes. */
export const hosts: Part = {
  name: 'hosts',
  about: 'cost of 0 to 100,000 quiet hosts: memory, processor, API, adoption; the growth curve',
  run: async (context) => {
    const empty = await idleCost(context);
    context.found(...empty.measures);
    context.found(...(await ipv6Cost(context, empty.rssMb)));
    for (const count of context.quick ? [1000, 10_000] : [1000, 10_000, 100_000]) {
      const point = await costOf(context, count);
      context.plot(point);
      const name = `${thousands(count)} hosts`;
      const perHost = ((point.rssMb - empty.rssMb) * 1000) / count;
      const full = count === 100_000;
      context.found(
        {
          name: `${name}, RSS of all processes`,
          value: point.rssMb,
          unit: 'MB',
          ...(full ? { targets: [below(450)] } : {}),
          note: `PSS ${point.pssMb.toFixed(0)}; ${perHost.toFixed(2)} KB per host`,
        },
        {
          name: `${name}, processor, keepalive ${KEEPALIVE_S} s`,
          value: point.cpuPercent,
          unit: '%',
          ...(full ? { targets: [below(15)] } : {}),
          note: `of one core; ${((point.cpuPercent / count) * 10_000).toFixed(2)} % per 10,000 hosts`,
        },
        { name: `${name}, one more newcomer, p50`, value: point.newcomerMs, unit: 'ms' },
        { name: `${name}, a page of /v1/hosts`, value: point.pageMs, unit: 'ms' },
        { name: `${name}, start that adopts them`, value: point.adoptS, unit: 's' },
      );
    }
  },
};

function idleCost(context: Context): Promise<{ readonly rssMb: number; readonly measures: Measure[] }> {
  context.say('no hosts');
  return inLab(async (lab) => {
    const marpd = await new BenchRouter(lab, 2).start();
    await pause(3000);
    const cpuPercent = await cpu(marpd.pid, context.quick ? 4000 : 15_000);
    const { rssMb, pssMb, processes } = footprint(marpd.pid);
    const note = `PSS ${pssMb.toFixed(0)}, ${processes} processes`;
    return {
      rssMb,
      measures: [
        { name: 'no hosts, RSS of all processes', value: rssMb, unit: 'MB', note },
        { name: 'no hosts, processor', value: cpuPercent, unit: '%', note: 'of one core' },
      ],
    };
  });
}

/** The same hosts with an address of IPv6 each instead. */
async function ipv6Cost(context: Context, emptyMb: number): Promise<Measure[]> {
  const count = context.quick ? 10_000 : 100_000;
  const { rssMb, pssMb, cpuPercent } = await costOf(context, count, 'ipv6');
  const name = `${thousands(count)} hosts of IPv6`;
  const perHost = ((rssMb - emptyMb) * 1000) / count;
  return [
    {
      name: `${name}, RSS of all processes`,
      value: rssMb,
      unit: 'MB',
      note: `PSS ${pssMb.toFixed(0)}; ${perHost.toFixed(2)} KB per host`,
    },
    {
      name: `${name}, processor, keepalive ${KEEPALIVE_S} s`,
      value: cpuPercent,
      unit: '%',
      note: 'of one core',
    },
  ];
}

function costOf(context: Context, count: number, family: Family = 'ipv4'): Promise<CostPoint> {
  return inLab(async (lab) => {
    context.say(`${thousands(count)} hosts (${family}): learning`);
    const router = new BenchRouter(lab, 2, [family]);
    const config = { timers: { keepalive: `${KEEPALIVE_S}s` }, router: { on_exit: 'keep' } };
    const marpd = await router.start(config);
    const first = router.newcomers(count);
    await Noise.hosts(router.port(0), first, count);
    const { learned } = await measureBurst(router.port(0), first, count, LEARN_PER_SECOND, 'mute');
    if (learned < count) throw new Error(`only ${learned} of ${count} hosts were learned`);
    await settled(marpd, count);
    await pause(2000);
    context.say(`${thousands(count)} hosts: keeping`);
    // Keepalives are spread over the interval: a good part of it stands for all.
    const cpuPercent = await cpu(marpd.pid, context.quick ? 10_000 : KEEPALIVE_S * 1000);
    const { rssMb, pssMb } = footprint(marpd.pid);
    const pages: number[] = [];
    for (let i = 0; i < 20; i++) {
      const began = performance.now();
      await marpd.ctl.get(
        `/v1/hosts?limit=100&after=${encodeURIComponent(ipText(ipNumber(first) + Math.floor((count * i) / 20), family))}`,
      );
      pages.push(performance.now() - began);
    }
    const newcomers = await measureLatency(router.port(1), router.newcomers(200), 200, 5);
    context.say(`${thousands(count)} hosts: restart`);
    await marpd.stop();
    const began = performance.now();
    marpd.launch();
    await marpd.answers(60_000);
    await settled(marpd, count);
    return {
      hosts: count,
      rssMb,
      pssMb,
      cpuPercent,
      newcomerMs: newcomers.p50,
      pageMs: median(pages),
      adoptS: (performance.now() - began) / 1000,
    };
  });
}

async function settled(marpd: Marpd, count: number): Promise<void> {
  await waitFor(
    async () => {
      const { hosts: states, kernel } = await marpd.ctl.status();
      return states.settled >= count && kernel.pending === 0;
    },
    120_000,
    `${count} settled hosts`,
    50,
  );
}

/** Percent of one core that a daemon with all its processes takes. */
async function cpu(pid: number, ms: number): Promise<number> {
  const began = performance.now();
  const before = cpuSeconds(pid);
  await pause(ms);
  return ((cpuSeconds(pid) - before) / ((performance.now() - began) / 1000)) * 100;
}
