import type { Ctl } from '../lab/ctl.js';
import type { Marpd } from '../lab/marpd.js';
import { pause } from '../lab/program.js';
import { thousands } from './burst.js';
import { inLab } from './in-lab.js';
import { Noise, type StormKind, measureLatency } from './instruments.js';
import { type Context, type Measure, type Part, below, percentile } from './measure.js';
import { MemoryWatch, residentMb } from './processes.js';
import { BenchRouter } from './router.js';

const FRAMES_PER_SECOND = 300_000;
const KINDS: readonly (readonly [StormKind, string])[] = [
  ['random', 'random senders'],
  ['sender', 'one sender, random addresses'],
  ['repeat', 'one frame'],
  ['malformed', 'malformed'],
];

/** A storm on lan0: what newcomers on lan1 and callers of the API notice, and what it costs. */
export const storm: Part = {
  name: 'storm',
  about: '300,000 frames/s on one interface: newcomers on another, API answer time, memory growth',
  run: async (context) => {
    for (const [kind, title] of KINDS) {
      context.say(`storm of ${title}`);
      context.found(...(await oneStorm(context, kind, title)));
    }
  },
};

function oneStorm(context: Context, kind: StormKind, title: string): Promise<Measure[]> {
  const seconds = context.quick ? 6 : 30;
  return inLab(async (lab) => {
    const router = new BenchRouter(lab, 2);
    const marpd = await router.start();
    const newcomers = (count: number, gapMs: number) =>
      measureLatency(router.port(1), router.newcomers(count), count, gapMs);
    await newcomers(100, 5);
    const restMb = residentMb(marpd.pid);
    const memory = new MemoryWatch(marpd.pid);
    const noise = await Noise.storm(router.port(0), kind, FRAMES_PER_SECOND, seconds * 1000);
    const api = new ApiWatch(marpd.ctl);
    // Until the storm is over, in rounds that are certainly all within it.
    const results = [];
    const until = performance.now() + (seconds - 3) * 1000;
    do results.push(await newcomers(50, 20));
    while (performance.now() < until);
    const rate = await noise.rate();
    const answers = await api.stop();
    await pause(2000);
    const peakMb = memory.stop();
    const calm = await newcomers(100, 5);
    const missed = results.reduce((sum, each) => sum + each.missed, 0);
    const total = results.reduce((sum, each) => sum + each.hosts, 0);
    return [
      {
        name: `${title}: newcomer elsewhere, p99`,
        value: missed > 0 ? Number.NaN : Math.max(...results.map(({ p99 }) => p99)),
        unit: 'ms',
        targets: [below(50, 4)],
        note: `${total - missed}/${total} learned, p50 ${results.map(({ p50 }) => p50.toFixed(1)).join(' ')}; afterwards p50 ${calm.p50.toFixed(2)}`,
      },
      {
        name: `${title}: API answers, slowest`,
        value: Math.max(...answers),
        unit: 'ms',
        targets: [below(200, 4)],
        note: `${answers.length} calls, p50 ${percentile(answers, 0.5).toFixed(1)}`,
      },
      {
        name: `${title}: memory growth, all processes`,
        value: peakMb - restMb,
        unit: 'MB',
        targets: [below(100, 4)],
        note: `${thousands(Math.round(rate))} frames/s offered for ${seconds} s; ${await account(marpd)}`,
      },
    ];
  });
}

/** Asks the API ten times a second, alternately for the status and for a page of hosts. */
class ApiWatch {
  readonly #answers: number[] = [];
  readonly #loop: Promise<void>;
  #ended = false;

  constructor(readonly ctl: Ctl) {
    this.#loop = this.#ask();
  }

  async #ask(): Promise<void> {
    for (let i = 0; !this.#ended; i++) {
      const began = performance.now();
      await this.ctl.get(i % 2 === 0 ? '/v1/status' : '/v1/hosts?limit=100');
      this.#answers.push(performance.now() - began);
      await pause(100);
    }
  }

  /** Milliseconds of each answer. */
  async stop(): Promise<number[]> {
    this.#ended = true;
    await this.#loop;
    return this.#answers;
  }
}

async function account({ ctl }: Marpd): Promise<string> {
  const { body } = await ctl.exchange('GET', '/metrics');
  const value = (pattern: RegExp) => Number(pattern.exec(body)?.[1] ?? 0);
  const heard = value(/^marpd_frames_received_total\{interface="lan0"\} (\d+)/m);
  const ring = value(/^marpd_frames_lost_total\{interface="lan0",where="ring"\} (\d+)/m);
  const shed = value(/^marpd_frames_lost_total\{interface="lan0",where="capture"\} (\d+)/m);
  const drops = (await ctl.drops()).map(({ reason, count }) => `${reason} ${thousands(count)}`);
  return `heard ${thousands(heard)}, lost in ring ${thousands(ring)}, shed ${thousands(shed)}; ${drops.slice(0, 3).join(', ')}`;
}
