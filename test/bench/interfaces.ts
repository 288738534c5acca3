import { run } from '../lab/kit/namespace.js';
import { pause, waitFor } from '../lab/kit/program.js';
import { inLab } from './in-lab.js';
import { measureTaps } from './instruments.js';
import { type Part, atLeast, below } from './measure.js';
import { footprint } from './processes.js';
import { BenchRouter } from './router.js';

/** Interfaces that appear in bulk, and a newcomer behind a tap that is 50 ms old. */
export const interfaces: Part = {
  name: 'interfaces',
  about: '1 to 256 interfaces: memory, time until they are captured; a newcomer on a just-created tap',
  run: (context) =>
    inLab(async (lab) => {
      const router = new BenchRouter(lab, 1);
      const marpd = await router.start({
        interface: [{ name: 'lan0' }, { name: 'v*' }, { name: 'tap*' }],
      });
      let present = 1;
      let first: number | undefined;
      for (const count of context.quick ? [1, 64, 256] : [1, 16, 64, 128, 256]) {
        context.say(`${count} interfaces`);
        const began = performance.now();
        if (count > present) addCables(router, present, count);
        const madeMs = performance.now() - began;
        present = count;
        await waitFor(
          async () => (await marpd.ctl.status()).interfaces.capturing >= present,
          30_000,
          `${present} interfaces to be captured`,
          20,
        );
        const openMs = performance.now() - began - madeMs;
        await pause(2000);
        const { rssMb, pssMb, processes } = footprint(marpd.pid);
        first ??= rssMb;
        const each = present > 1 ? `; ${((rssMb - first) / (present - 1)).toFixed(2)} MB each` : '';
        context.found({
          name: `${count} interfaces, RSS of all processes`,
          value: rssMb,
          unit: 'MB',
          ...(count === 256 ? { targets: [below(400)] } : {}),
          note: `PSS ${pssMb.toFixed(0)}, ${processes} processes${each}; captured ${openMs.toFixed(0)} ms after the last was made`,
        });
      }
      const taps = context.quick ? 20 : 50;
      context.say('newcomers on new taps');
      const result = await measureTaps(router.router, 'tap', router.newcomers(taps), taps, 50);
      context.found({
        name: 'first frame on a tap 50 ms after link-up, learned',
        value: ((result.hosts - result.missed) / result.hosts) * 100,
        unit: '%',
        targets: [atLeast(100)],
        note: `p50 ${result.p50.toFixed(1)} ms, max ${result.max.toFixed(1)} ms, beside 256 other interfaces`,
      });
    }),
};

function addCables(router: BenchRouter, from: number, to: number): void {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  const { name } = router.crowd;
  run(
    ['ip', '-n', router.router.name, '-batch', '-'],
    numbers
      .map((n) => `link add name v${n} type veth peer name h${n} netns ${name}\nlink set v${n} up\n`)
      .join(''),
  );
  run(
    ['ip', '-n', name, '-batch', '-'],
    numbers.map((n) => `link set h${n} arp off\nlink set h${n} up\n`).join(''),
  );
}
