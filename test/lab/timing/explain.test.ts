import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EventRecord } from '../../../src/control/records.js';
import { CTL } from '../kit/ctl.js';
import { type Lab, type Namespace, run } from '../kit/namespace.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import { Capture } from '../kit/pcap.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { parseStamp } from '../kit/route-log.js';
import { type FirstHop, HOST, PLACES } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';

/** What `marpctl explain` makes of the captures of a site, against what its daemons decided at that time. */

const FIRST_HOPS: readonly FirstHop[] = ['r1', 'r2'];
/**
 * How far a decision may be from its replay: in the median, and at most. The daemon is late where the machine is busy, and
 * so is `ip monitor`; the replay is not. With MARPD_SOAK=1 the machine has nothing else to do.
 */
const [MEDIAN_MS, MOST_MS] = SOAK ? [10, 10] : [100, 1000];

/** The routes of a router, and their changes from now on, for --routes. */
async function watchRoutes(router: Namespace): Promise<{ readonly path: string; readonly program: Program }> {
  const path = join(router.lab.directory, `${router.role}.routes`);
  writeFileSync(path, '');
  const script = `ip -o -d -N route show table all >${path}; exec ip -ts -o -d -N monitor route >>${path}`;
  const program = new Program(router, ['sh', '-c', script], { quiet: true });
  // It does not say that it listens; it does when a change of ours shows up.
  await waitFor(
    () => {
      router.ipQuietly('route replace blackhole 203.0.113.255', 'route del blackhole 203.0.113.255');
      return readFileSync(path, 'utf8').includes('Deleted 6 203.0.113.255');
    },
    5000,
    'a change of routes in the log',
  );
  return { path, program };
}

function links(router: Namespace): string[] {
  type Address = {
    ifname: string;
    address: string;
    addr_info: { family: string; local: string; prefixlen: number }[];
  };
  return router
    .json<Address>('address', 'show')
    .filter(({ ifname }) => ifname !== 'lo')
    .flatMap(({ ifname, address, addr_info }) => {
      const own = addr_info.filter(({ family }) => family === 'inet');
      return [
        '--link',
        [ifname, address, ...own.map(({ local, prefixlen }) => `${local}/${prefixlen}`)].join(','),
      ];
    });
}

async function compare(lab: Lab): Promise<void> {
  const site = await new RoutedSite(lab, 'bird-bgp').start();
  const watched = await Promise.all(
    FIRST_HOPS.map(async (role) => {
      const router = site.router(role);
      const records: EventRecord[] = [];
      return {
        role,
        router,
        records,
        routes: await watchRoutes(router),
        capture: await Capture.start(router, 'lan0'),
        stream: await site.marpd(role).ctl.follow((record) => records.push(record)),
      };
    }),
  );
  const host = site.host();
  await host.plug(PLACES.r1.segment, 'request');
  await site.reachable(site.remote, HOST);
  for (const to of ['r2', 'r1', 'r2'] as const) {
    await site.move(host, to);
    await site.marpd(to).state(HOST, to === 'r1' ? 'home' : 'settled', 10_000);
    await site.clean(new Map(to === 'r1' ? [] : [[HOST, to]]));
  }
  // An end in the middle of a decision would be one: silence after the last frame says nothing.
  await pause(500);
  for (const { role, router, records, routes, capture, stream } of watched) {
    stream.stop();
    await routes.program.stop('SIGTERM');
    await capture.stop();
    const known = ['--config', site.marpd(role).configPath, '--routes', routes.path, ...links(router)];
    const argv = router.argv(process.execPath, CTL, 'explain', `lan0=${capture.path}`, ...known, '--json');
    const explained = run(argv).split('\n');
    const replayed = explained
      .filter((line) => line.includes('"event":"transition"'))
      .map((line) => JSON.parse(line) as EventRecord);
    const live = records.filter(({ event }) => event === 'transition');
    const words = ({ ip, from, to, cause }: EventRecord) => `${ip} ${from} -> ${to} (${cause})`;
    const end = replayed.length;
    assert.ok(end >= 4, `${end} decisions of ${role}\n${live.map(words).join('\n')}`);
    assert.deepEqual(replayed.map(words), live.slice(0, end).map(words), role);
    const late = replayed.map((record, i) => {
      const difference = (parseStamp(live[i]?.time) ?? 0) - (parseStamp(record.time) ?? 0);
      return { what: words(record), difference };
    });
    const sorted = late.map(({ difference }) => Math.abs(difference)).sort((one, other) => one - other);
    const [median = 0, most = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    const list = late.map(({ what, difference }) => `${what}: ${difference.toFixed(1)} ms later`).join('\n');
    assert.ok(median < MEDIAN_MS && most < MOST_MS, `${role}\n${list}`);
    console.log(
      `# ${role}: ${end} of ${live.length} decisions in the same order, ${median.toFixed(2)} ms apart, ${most.toFixed(2)} at most`,
    );
  }
}

const ROUNDS = SOAK ? 10 : 1;

for (let round = 1; round <= ROUNDS; round++)
  labTest(
    `the captures of two routers give their daemons' own decisions, in the same order, within ${MOST_MS} ms (${round} of ${ROUNDS})`,
    compare,
  );
