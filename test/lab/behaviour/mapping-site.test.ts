import assert from 'node:assert/strict';
import { join } from 'node:path';
import { CTL, MARPD } from '../kit/ctl.js';
import { Host, Switch } from '../kit/host.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { Stream, monotonicNs } from '../routed/gauges.js';
import { median } from '../routed/moves.js';

/**
 * Two routers, two commands, no routing daemon: the mapping system carries hosts from one LAN to the other.
 *
 *     net1 10.1.1.0/24 ── lan0 [r1] core0 ── 192.0.2.0/30 ── [core] ── 192.0.2.4/30 ── core0 [r2] lan0 ── net2 10.2.2.0/24
 */

const RLOCS = { r1: '10.255.0.1', r2: '10.255.0.2', r3: '10.255.0.3' } as const;
/** r3 is a border router: it has no LAN of hosts. */
const LANS = { r1: '10.1.1.1/24', r2: '10.2.2.1/24', r3: undefined } as const;
const LINKS = {
  r1: ['192.0.2.1/30', '192.0.2.2'],
  r2: ['192.0.2.5/30', '192.0.2.6'],
  r3: ['192.0.2.9/30', '192.0.2.10'],
} as const;
type Router = keyof typeof RLOCS;
const HOST = '10.1.1.5';
const DEVICE = 'marp0';
const ROUNDS = SOAK ? 500 : 3;
/** Half of the moves may take no longer on a busy machine. */
const OUTAGE_MS = 300;

class TwoRouters {
  readonly network: Switch;
  readonly core: Namespace;
  readonly routers: Readonly<Record<Router, Namespace>>;
  readonly programs = new Map<Router, Program>();

  constructor(readonly lab: Lab) {
    this.network = new Switch(lab, ['net1', 'net2']);
    const [r1, r2, r3, core] = lab.create('r1', 'r2', 'r3', 'core') as [
      Namespace,
      Namespace,
      Namespace,
      Namespace,
    ];
    this.routers = { r1, r2, r3 };
    this.core = core;
    core.sysctl({ 'ipv4.ip_forward': 1 });
    for (const name of Object.keys(RLOCS) as Router[]) {
      const router = this.routers[name];
      const [own, neighbour] = LINKS[name];
      lab.link(router, 'core0', core, name);
      router.ip(
        'link set lo up',
        `addr add ${RLOCS[name]}/32 dev lo`,
        `addr add ${own} dev core0`,
        'link set core0 up',
      );
      core.ip(`addr add ${neighbour}/30 dev ${name}`, `link set ${name} up`);
      router.ip(`route add default via ${neighbour}`);
      const lan = LANS[name];
      if (lan !== undefined) {
        this.network.connect(router, 'lan0', name === 'r1' ? 'net1' : 'net2');
        router.ip(`addr add ${lan} dev lan0`, 'link set lan0 up');
      }
      core.ip(`route add ${RLOCS[name]}/32 via ${own.replace('/30', '')}`);
    }
  }

  /** `marpd` with these arguments, and a /run of its own: each router is a machine. */
  async start(name: Router, ...args: readonly string[]): Promise<void> {
    const own = 'mount -t tmpfs none /run && exec "$@"';
    const words = ['unshare', '-m', 'sh', '-c', own, 'sh', process.execPath, MARPD, ...args];
    const program = new Program(this.routers[name], words, { title: `marpd in ${name}` });
    this.programs.set(name, program);
    await program.line(/marpd started/, 20_000);
    if (LANS[name] !== undefined)
      await waitFor(() => this.ctl(name, 'interfaces').includes('captured'), 10_000, `${name} to capture`);
  }

  /** What marpctl says in the mount namespace of that daemon. */
  ctl(name: Router, ...args: readonly string[]): string {
    const pid = String(this.programs.get(name)?.child.pid);
    return this.routers[name].exec('nsenter', '-m', '-t', pid, process.execPath, CTL, ...args);
  }

  route(name: Router): string {
    return this.routers[name].exec('ip', 'route', 'get', HOST);
  }

  /** Whether packets of `name` to the host leave by the tunnel. */
  isTunnelled(name: Router): boolean {
    return this.route(name).includes(DEVICE);
  }
}

/** How long a stream of a datagram per ms had no echo, from the moment when the host had spoken on its new LAN; ms. */
async function outageSince(spoke: number, stream: Stream): Promise<number> {
  await pause(500);
  return (await stream.window(spoke, monotonicNs() - 100e6)).outageMs;
}

const reaches = (from: Namespace, to: string): boolean =>
  from.status('ping', '-n', '-q', '-c', '1', '-W', '0.3', to) === 0;
const pings = (from: Host, to: string): boolean => reaches(from.namespace, to);

labTest(
  'two commands make a site: a host moves between them, no routing daemon runs, the core learns nothing',
  async (lab) => {
    const site = new TwoRouters(lab);
    const key = join(lab.directory, 'mapping.keys');
    const log = await RouteLog.start(site.core);
    await site.start('r1', '--interface', 'lan0', '--rloc', RLOCS.r1, '--map-server', '--key', key);
    await site.start('r2', '--interface', 'lan0', '--rloc', RLOCS.r2, '--map-server', RLOCS.r1, '--key', key);

    await site.start('r3', '--rloc', RLOCS.r3, '--map-server', RLOCS.r1, '--key', key);

    const host = new Host(site.network, 'host', { address: `${HOST}/24`, gateway: '10.1.1.1' });
    const neighbour = new Host(site.network, 'neighbour', { address: '10.1.1.9/24', gateway: '10.1.1.1' });
    const other = new Host(site.network, 'other', { address: '10.2.2.9/24', gateway: '10.2.2.1' });
    await host.plug('net1', 'request');
    await neighbour.plug('net1', 'request');
    await other.plug('net2', 'request');
    await waitFor(
      () => pings(other, HOST),
      5000,
      'the other LAN to reach the host at home, by the home prefix',
    );

    await Stream.echo(host.namespace);
    const stream = await Stream.start(other.namespace, HOST);
    const outages: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await host.plug('net2', 'request');
      const left = monotonicNs();
      await waitFor(() => site.isTunnelled('r1'), 3000, 'the mapping of the host at its home router');
      await waitFor(() => pings(neighbour, HOST), 3000, 'a neighbour at home to reach it');
      await waitFor(() => pings(other, HOST), 3000, 'its new neighbour to reach it');
      await waitFor(() => pings(host, '10.1.1.9'), 3000, 'it to reach its old neighbour');
      assert.match(site.route('r2'), /dev lan0/);
      await waitFor(() => reaches(site.routers.r3, HOST), 3000, 'the border router to reach it');
      assert.match(site.ctl('r1', 'mappings'), /^10\.1\.1\.5\/32 +10\.255\.0\.2 +published$/m);

      outages.push(await outageSince(left, stream));
      await host.plug('net1', 'request');
      const returned = monotonicNs();
      await waitFor(() => !site.isTunnelled('r1'), 3000, 'the mapping to end at home');
      await waitFor(() => pings(other, HOST), 3000, 'the other LAN to reach it at home again');
      assert.ok(site.isTunnelled('r2'), site.route('r2'));
      outages.push(await outageSince(returned, stream));
    }
    await stream.program.stop('SIGKILL');
    console.log(
      `# ${outages.length} moves, outage of a stream of 1 ms from the other LAN: median ${median(outages).toFixed(1)} ms, longest ${Math.max(...outages).toFixed(1)} ms`,
    );
    assert.ok(median(outages) <= OUTAGE_MS, `${outages.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    const learned = log.changes.filter(({ text }) => !text.startsWith('blackhole'));
    assert.deepEqual(learned, [], 'the core has learned nothing');

    for (const name of ['r3', 'r2', 'r1'] as const) {
      assert.equal(await site.programs.get(name)?.stop(), 0);
      assert.doesNotMatch(site.routers[name].exec('ip', 'link'), new RegExp(DEVICE));
      assert.equal(site.routers[name].exec('ip', 'nexthop'), '');
    }
  },
  SOAK ? 3_600_000 : 90_000,
);

labTest('kill -9 of a router with a visitor: the next run adopts its claim and its mappings', async (lab) => {
  const site = new TwoRouters(lab);
  const key = join(lab.directory, 'mapping.keys');
  const second = ['--interface', 'lan0', '--rloc', RLOCS.r2, '--map-server', RLOCS.r1, '--key', key];
  await site.start('r1', '--interface', 'lan0', '--rloc', RLOCS.r1, '--map-server', '--key', key);
  await site.start('r2', ...second);
  const host = new Host(site.network, 'host', { address: `${HOST}/24`, gateway: '10.1.1.1' });
  const neighbour = new Host(site.network, 'neighbour', { address: '10.1.1.9/24', gateway: '10.1.1.1' });
  await neighbour.plug('net1', 'request');
  await host.plug('net2', 'request');
  await waitFor(() => pings(neighbour, HOST), 5000, 'its home to reach it');

  const routes = await RouteLog.start(site.routers.r2);
  const from = routes.changes.length;
  await site.programs.get('r2')?.stop('SIGKILL');
  await site.start('r2', ...second);
  await waitFor(
    () => site.ctl('r2', 'why', HOST).includes('its route was there when marpd started'),
    5000,
    'adoption',
  );
  await waitFor(
    () => /published/.test(site.ctl('r2', 'mappings')),
    5000,
    'the map-server to repeat the home prefix',
  );
  const lost = routes.changes
    .slice(from)
    .filter(({ deleted, text }) => deleted && /^10\.1\.1\.(5|0)\b/.test(text));
  assert.deepEqual(lost, [], 'routes that were deleted');
  assert.ok(pings(neighbour, HOST), 'its home reaches it');
});
