import { Stream, monotonicNs } from '../lab/routed/gauges.js';
import type { Host } from '../lab/kit/host.js';
import { pause, waitFor } from '../lab/kit/program.js';
import { REAL_SETTLE, Site } from '../lab/kit/site.js';
import { inLab } from './in-lab.js';
import { type Part, below, median, percentile } from './measure.js';

const ADDRESS = '10.1.1.5';
const HOME = 'lan0';
const AWAY = 'lan1';
/** Shorter than a second: some moves displace a fresh claim, and the host is home again within a second. */
const SHORT_STAY_MS = 300;
const LONG_STAY_MS = 1300;

/** A host with a kernel of its own moves between two LANs of the box while somebody behind the router talks to it. */
export const moves: Part = {
  name: 'move',
  about: 'a host moves between two LANs of the router: from its first frame there to the first echo answered',
  run: async (context) => {
    for (const carrierDrop of [true, false]) {
      const how = carrierDrop ? 'carrier drops' : 'carrier stays, stale gateway MAC';
      context.say(how);
      const { there, back } = await journeys(carrierDrop, context.quick ? 6 : 24);
      for (const [name, times] of [
        ['home to visitor', there],
        ['visitor to home', back],
      ] as const) {
        context.found({
          name: `${name}, ${how}, p50`,
          value: median(times),
          unit: 'ms',
          targets: [below(20)],
          note: `p90 ${percentile(times, 0.9).toFixed(1)}, max ${Math.max(...times).toFixed(1)} of ${times.length}`,
        });
      }
    }
  },
};

function journeys(carrierDrop: boolean, rounds: number): Promise<{ there: number[]; back: number[] }> {
  return inLab(async (lab) => {
    const site = await new Site(lab, { config: { router: REAL_SETTLE, log: { level: 'info' } } }).start();
    const host = site.host('mover');
    await host.plug(HOME, 'request');
    await host.cable.forwards();
    await Stream.echo(host.namespace);
    await site.reachable(ADDRESS);
    const stream = await Stream.start(site.remote, ADDRESS);
    const there: number[] = [];
    const back: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await pause(round % 2 === 0 ? LONG_STAY_MS : SHORT_STAY_MS);
      there.push(await move(host, stream, AWAY, carrierDrop));
      await pause(round % 2 === 0 ? SHORT_STAY_MS : LONG_STAY_MS);
      back.push(await move(host, stream, HOME, carrierDrop));
    }
    return { there, back };
  });
}

async function move(host: Host, stream: Stream, lan: string, carrierDrop: boolean): Promise<number> {
  const frames = await host.frames();
  await host.connect(lan, carrierDrop);
  const spoke = monotonicNs();
  frames.gratuitous(host.ip, host.mac);
  await waitFor(() => stream.flows(), 20_000, `echoes from ${lan}`, 5);
  const { outageMs } = await stream.window(spoke, monotonicNs());
  return outageMs + stream.periodMs;
}
