import type { TomlTable } from 'smol-toml';
import { pause } from '../lab/kit/program.js';
import { inLab } from './in-lab.js';
import { Noise, type Packets, measureBurst, measureLatency, measureRepairs } from './instruments.js';
import { type Context, type Measure, type Part, below } from './measure.js';
import { cpuSeconds } from './processes.js';
import { BenchRouter, ipNumber, ipText } from './router.js';

const STALE_MAC = '02:5a:1e:00:00:01';
/** No route leads there, so nobody can be told where it is. */
const NOWHERE = '198.51.100.1';
const NEIGHBOURS = 100;
const GAP_MS = 5;
/** A daemon that just started runs code that the compiler has not seen yet. */
const WARM_UP = 2000;

interface Bed {
  readonly router: BenchRouter;
  /** On lan0, claimed there. */
  readonly visitor: string;
  /** The first of NEIGHBOURS hosts, claimed on lan1. */
  readonly neighbours: string;
  readonly routerMac: string;
  readonly pid: number;
}

interface Load {
  readonly title: string;
  readonly visitors: number;
  /** 0 is as fast as it goes. */
  readonly perSecond: number;
  /** The repair may cost at most this much more than doing without, percent of one core. */
  readonly mayCost: number;
  packets(bed: Bed): Packets | undefined;
}

const stale = { mac: STALE_MAC, to: NOWHERE, count: 1 };
const LOADS: readonly Load[] = [
  { title: 'nothing', visitors: 1, perSecond: 0, mayCost: 3, packets: () => undefined },
  {
    title: '100,000/s by way of us',
    visitors: 1,
    perSecond: 100_000,
    mayCost: 3,
    packets: ({ visitor, routerMac, neighbours }) => ({
      from: visitor,
      mac: routerMac,
      to: neighbours,
      count: NEIGHBOURS,
    }),
  },
  {
    title: '100,000/s between others',
    visitors: 1,
    perSecond: 100_000,
    mayCost: 3,
    packets: ({ visitor }) => ({ ...stale, from: ipText(ipNumber(visitor) - 1) }),
  },
  {
    title: '100,000/s between others, 100 visitors',
    visitors: 100,
    perSecond: 100_000,
    mayCost: 10,
    packets: ({ visitor }) => ({ ...stale, from: ipText(ipNumber(visitor) - 1) }),
  },
  {
    title: 'full speed to a stale MAC, unknown address',
    visitors: 1,
    perSecond: 0,
    mayCost: 10,
    packets: ({ visitor }) => ({ ...stale, from: visitor }),
  },
  {
    title: 'full speed to a stale MAC, 100 neighbours',
    visitors: 1,
    perSecond: 0,
    mayCost: 10,
    packets: ({ visitor, neighbours }) => ({
      from: visitor,
      mac: STALE_MAC,
      to: neighbours,
      count: NEIGHBOURS,
    }),
  },
];

/** What the watch for stale neighbours costs on a LAN that is busy with IPv4, and how soon one is repaired. */
export const misdirected: Part = {
  name: 'misdirected',
  about: 'a LAN full of IPv4: cost of capturing misdirected packets, newcomers beside it, time to a repair',
  run: async (context) => {
    for (const load of LOADS) {
      const off = await underLoad(context, load, false);
      const on = await underLoad(context, load, true);
      context.found(...compare(load, off, on));
    }
    context.found(...(await repairs(context)));
  },
};

interface Outcome {
  readonly cpuPercent: number;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly missed: number;
}

function compare(load: Load, off: Outcome, on: Outcome): Measure[] {
  const { title, mayCost } = load;
  const missed = on.missed === 0 ? '' : `; ${on.missed} newcomers NEVER learned`;
  return [
    {
      name: `${title}: the watch costs`,
      value: on.cpuPercent - off.cpuPercent,
      unit: '%',
      targets: [below(mayCost)],
      note: `of one core: ${on.cpuPercent.toFixed(1)} with it at ${perSecond(on.rate)}, ${off.cpuPercent.toFixed(1)} without at ${perSecond(off.rate)}`,
    },
    {
      name: `${title}: newcomer on the same LAN, p50`,
      value: on.p50,
      unit: 'ms',
      note: `${off.p50.toFixed(2)} without the watch${missed}`,
    },
    {
      name: `${title}: newcomer on the same LAN, p99`,
      value: on.p99,
      unit: 'ms',
      note: `${off.p99.toFixed(2)} without the watch`,
    },
  ];
}

function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString('en-US')}/s`;
}

async function bed(router: BenchRouter, visitors: number, policy: TomlTable): Promise<Bed> {
  const marpd = await router.start({ policy });
  router.newcomers(1); // a neighbour address that is nobody's
  const visitor = router.newcomers(visitors);
  await measureBurst(router.port(0), visitor, visitors);
  const neighbours = router.newcomers(NEIGHBOURS);
  await measureBurst(router.port(1), neighbours, NEIGHBOURS);
  await measureBurst(router.port(1), router.newcomers(WARM_UP), WARM_UP, WARM_UP);
  const [link] = router.router.json<{ address: string }>('link', 'show', 'dev', 'lan0');
  if (link === undefined) throw new Error('no lan0');
  await pause(1500);
  return { router, visitor, neighbours, routerMac: link.address, pid: marpd.pid };
}

function underLoad(context: Context, load: Load, repair: boolean): Promise<Outcome> {
  const ms = context.quick ? 5000 : 15_000;
  const hosts = context.quick ? 150 : 400;
  return inLab(async (lab) => {
    context.say(`${load.title}, ${repair ? 'with' : 'without'} the watch`);
    const made = await bed(new BenchRouter(lab, 2), load.visitors, { repair_neighbours: repair });
    const packets = load.packets(made);
    const port = made.router.port(0);
    const noise = packets && (await Noise.packets(port, packets, load.perSecond, 120_000));
    const began = performance.now();
    const before = cpuSeconds(made.pid);
    await pause(ms);
    const cpuPercent = ((cpuSeconds(made.pid) - before) / (performance.now() - began)) * 100_000;
    const { p50, p99, missed } = await measureLatency(port, made.router.newcomers(hosts), hosts, GAP_MS);
    return { cpuPercent, p50, p99, missed, rate: (await noise?.finish()) ?? 0 };
  });
}

/** One neighbour after the other, on a quiet LAN and while another visitor floods a stale MAC. */
function repairs(context: Context): Promise<Measure[]> {
  return inLab(async (lab) => {
    context.say('repairs');
    const made = await bed(new BenchRouter(lab, 2), 2, {});
    const { router, visitor: flooder, neighbours } = made;
    const port = router.port(0);
    const guest = ipText(ipNumber(flooder) + 1);
    const told = (gapMs: number) =>
      measureRepairs(port, { from: guest, mac: STALE_MAC, to: neighbours, count: NEIGHBOURS }, gapMs);
    const calm = await told(20);
    const noise = await Noise.packets(port, { ...stale, from: flooder }, 0, 120_000);
    await pause(3000);
    const busy = await told(20);
    const rate = await noise.finish();
    return [
      {
        name: 'first packet to a stale neighbour until the guest is told, p50',
        value: calm.p50,
        unit: 'ms',
        note: `p99 ${calm.p99.toFixed(1)}; ${calm.missed} of ${calm.hosts} not told within 1 s`,
      },
      {
        name: 'the same while another visitor floods a stale MAC, p50',
        value: busy.p50,
        unit: 'ms',
        note: `p99 ${busy.p99.toFixed(1)}; ${busy.missed} of ${busy.hosts} not told within 1 s; ${perSecond(rate)}`,
      },
    ];
  });
}
