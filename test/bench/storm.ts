import type { Ctl } from '../lab/kit/ctl.js';
import type { Marpd } from '../lab/kit/marpd.js';
import { pause } from '../lab/kit/program.js';
import type { Family } from '../../src/wire/addresses.js';
import { thousands } from './burst.js';
import { inLab } from './in-lab.js';
import { Noise, type StormKind, measureBurst, measureLatency } from './instruments.js';
import { type Context, type Measure, type Part, below, percentile } from './measure.js';
import { GrowthWatch, footprint } from './processes.js';
import { BenchRouter } from './router.js';

const FRAMES_PER_SECOND = 300_000;
const GAP_MS = 20;
/** A daemon that just started runs code that the compiler has not seen yet. */
const WARM_UP = 5000;
const KINDS: readonly (readonly [StormKind, string, readonly Family[]])[] = [
  ['random', 'random senders', ['ipv4']],
  ['sender', 'one sender, random addresses', ['ipv4']],
  ['repeat', 'one frame', ['ipv4']],
  ['malformed', 'malformed', ['ipv4']],
  ['nd-random', 'IPv6, random senders', ['ipv6', 'ipv4']],
  ['nd-questions', 'IPv6, questions of random senders', ['ipv6', 'ipv4']],
  ['nd-sender', 'IPv6, one sender, random addresses', ['ipv6', 'ipv4']],
  ['nd-repeat', 'IPv6, one frame', ['ipv6', 'ipv4']],
  ['nd-malformed', 'IPv6, malformed', ['ipv6', 'ipv4']],
  ['mld', 'MLD reports of random MACs', ['ipv6', 'ipv4']],
];

/** A storm on lan0: what newcomers on lan1 and callers of the API notice, and what it costs. */
export const storm: Part = {
  name: 'storm',
  about: '300,000 frames/s on one interface: newcomers on another, API answer time, memory growth',
  run: async (context) => {
    for (const [kind, title, families] of KINDS) {
      context.say(`storm of ${title}`);
      context.found(...(await oneStorm(context, kind, title, families)));
    }
  },
};

function oneStorm(
  context: Context,
  kind: StormKind,
  title: string,
  families: readonly Family[],
): Promise<Measure[]> {
  const seconds = context.quick ? 6 : 30;
  return inLab(async (lab) => {
    const router = new BenchRouter(lab, 2, families);
    const marpd = await router.start();
    const newcomers = (count: number, gapMs: number) =>
      measureLatency(router.port(1), router.newcomers(count), count, gapMs);
    await measureBurst(router.port(1), router.newcomers(WARM_UP), WARM_UP, WARM_UP);
    await newcomers(100, 5);
    const rest = footprint(marpd.pid);
    const noise = await Noise.storm(router.port(0), kind, FRAMES_PER_SECOND, seconds * 1000);
    const memory = new GrowthWatch(marpd.pid);
    const api = new ApiWatch(marpd.ctl);
    // Its first seconds are the worst; nearly all of it is covered.
    const count = Math.round(((seconds - 2) * 1000) / (GAP_MS + 10));
    const result = await newcomers(count, GAP_MS);
    const rate = await noise.rate();
    const answers = await api.stop();
    await pause(2000);
    const peak = memory.stop();
    const calm = await newcomers(100, 5);
    return [
      {
        name: `${title}: newcomer elsewhere, p99`,
        value: result.missed > 0 ? Number.NaN : result.p99,
        unit: 'ms',
        targets: [below(50)],
        note: `${count - result.missed}/${count} learned, p50 ${result.p50.toFixed(1)}, p90 ${result.p90.toFixed(1)}, max ${result.max.toFixed(0)}; afterwards p50 ${calm.p50.toFixed(2)}`,
      },
      {
        name: `${title}: API answers, slowest`,
        value: Math.max(...answers),
        unit: 'ms',
        targets: [below(200)],
        note: `${answers.length} calls, p50 ${percentile(answers, 0.5).toFixed(1)}`,
      },
      {
        name: `${title}: memory growth (PSS), all processes`,
        value: peak.pssMb - rest.pssMb,
        unit: 'MB',
        targets: [below(100)],
        note: `RSS ${(peak.rssMb - rest.rssMb).toFixed(0)}; ${thousands(Math.round(rate))} frames/s offered for ${seconds} s; ${await account(marpd)}`,
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
  const received = value(/^marpd_frames_received_total\{interface="lan0"\} (\d+)/m);
  const ring = value(/^marpd_frames_lost_total\{interface="lan0",where="ring"\} (\d+)/m);
  const dropped = value(/^marpd_frames_lost_total\{interface="lan0",where="capture"\} (\d+)/m);
  const drops = (await ctl.drops()).map(({ reason, count }) => `${reason} ${thousands(count)}`);
  return `received ${thousands(received)}, lost in ring ${thousands(ring)}, dropped ${thousands(dropped)}; ${drops.slice(0, 3).join(', ')}`;
}
