import assert from 'node:assert/strict';
import { labSuite, SOAK } from '../kit/lab-test.js';
import type { Namespace } from '../kit/namespace.js';
import { Capture, type Captured } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { CleanCore, RECIPES, type Recipe } from '../routed/clean-core.js';
import { median, MoveMeter, type MoveReport } from '../routed/moves.js';
import { HOST, REMOTE, ROUTER_IDS } from '../routed/places.js';
import { formatIp, readIpv4 } from '../../../src/wire/addresses.js';

/** The files of docs/clean-core.md, as they are: hosts move, and the router in the core never hears of it. */

const MOVES = SOAK ? 1000 : 6;
/** Half of the moves may take no longer than that on a busy machine; docs/clean-core.md has what an idle one takes. */
const OUTAGE_MS: Readonly<Record<Recipe, number>> = { 'bird-overlay': 250, 'frr-evpn': 600 };
/** 1,500 bytes less the outer headers of VXLAN (RFC 7348). */
const OVERLAY_MTU = 1450;
const IP_HEADERS = 28;

/** Packets of hosts that are in the core without a tunnel, and fragments of any kind. */
const UNWANTED = 'net 10.0.0.0/8 or net 198.51.100.0/24 or ip[6:2] & 0x3fff != 0';
/** By one of these ports goes whatever one edge router sends to another one: all of R1 and all of R3. */
const PORTS: Readonly<Record<string, string>> = { core0: '192.0.2.1', core2: '192.0.2.25' };

interface Started {
  readonly clean: CleanCore;
  readonly meter: MoveMeter;
  readonly unwanted: () => Promise<string[]>;
}

for (const recipe of RECIPES)
  labSuite(
    `${recipe}: a core router whose routes never change while hosts move`,
    async (lab): Promise<Started> => {
      const clean = await new CleanCore(lab, recipe).start();
      const captures = new Map<string, Capture>();
      for (const port of Object.keys(PORTS))
        captures.set(port, await Capture.start(clean.core, port, UNWANTED));
      const meter = await MoveMeter.start(clean.site);
      return { clean, meter, unwanted: () => unwantedIn(clean.core, captures) };
    },
    (started) => [
      [`${MOVES} moves: no route and no link state of the core changes`, () => moves(started)],
      [
        'a packet that is too large is answered with the right MTU, and no outer packet is fragmented',
        () => mtu(started),
      ],
      ['a packet for the overlay that is not from an edge router is dropped', () => source(started)],
    ],
    SOAK ? 3_600_000 : 120_000,
  );

async function moves({ clean, meter, unwanted }: Started): Promise<void> {
  const watch = await clean.watch();
  const before = clean.view();
  for (const id of ['r1', 'r2', 'r3'] as const)
    assert.ok(before.kernel.includes(`\n${ROUTER_IDS[id]} `), `the core has a route to ${id}`);
  const reports: MoveReport[] = [];
  for (let i = 0; i < MOVES; i++) reports.push(await clean.move(meter));
  await clean.site.clean(meter.truth);
  assert.deepEqual(clean.view(), before);
  assert.deepEqual(await watch.changes(), [], 'changes that ip monitor route saw in the core');
  assert.deepEqual(await unwanted(), [], 'packets in the core that are in no tunnel, or fragments');
  for (const { ctl } of clean.site.marpds.values()) assert.deepEqual((await ctl.status()).alarms, []);

  const outages = reports.map(({ remote }) => remote.outageMs).sort((a, b) => a - b);
  const at = (part: number) => (outages[Math.floor(part * (outages.length - 1))] as number).toFixed(1);
  console.log(
    `# ${clean.recipe}: ${reports.length} moves, outage of a stream of 1 ms: median ${at(0.5)} ms, 90 % ${at(0.9)} ms, longest ${at(1)} ms`,
  );
  const limit = OUTAGE_MS[clean.recipe];
  assert.ok(median(outages) <= limit, `the median of ${outages.map((ms) => ms.toFixed(0)).join(', ')} ms`);
}

async function mtu({ clean, meter, unwanted }: Started): Promise<void> {
  if (meter.at === 'r1') await clean.move(meter);
  for (const [from, to] of [
    [clean.site.remote, HOST],
    [meter.host.namespace, REMOTE],
  ] as const) {
    const sends = (bytes: number, fragments: 'do' | 'dont') => {
      const size = String(bytes - IP_HEADERS);
      const command = `ping -n -c 1 -W 2 -M ${fragments} -s ${size} ${to} || true`;
      return from.exec('sh', '-c', command);
    };
    const said = sends(1500, 'do');
    assert.match(said, /Frag needed and DF set \(mtu = (\d+)\)/);
    assert.equal(Number(/mtu = (\d+)/.exec(said)?.[1]), OVERLAY_MTU);
    assert.match(sends(OVERLAY_MTU, 'do'), / 1 received/, 'as large as the overlay takes');
    assert.match(sends(1500, 'dont'), / 1 received/, 'in fragments, each in an outer packet of its own');
  }
  assert.deepEqual(await unwanted(), [], 'packets in the core that are in no tunnel, or fragments');
}

async function source({ clean }: Started): Promise<void> {
  const r1 = clean.site.router('r1');
  const dropped = () =>
    Number(/counter packets (\d+)/.exec(r1.exec('nft', 'list', 'chain', 'inet', 'clean_core', 'input'))?.[1]);
  assert.equal(dropped(), 0, 'all that the edge routers have sent so far was let through');
  clean.core.exec('bash', '-c', `echo > /dev/udp/${ROUTER_IDS.r1}/4789`);
  await waitFor(() => dropped() === 1, 2000, 'one packet to be dropped');
}

/** What the captures have, once they have seen what is sent to show that they work: the core's own large echoes. */
async function unwantedIn(core: Namespace, captures: ReadonlyMap<string, Capture>): Promise<string[]> {
  const found: string[] = [];
  for (const [port, capture] of captures) {
    const neighbour = PORTS[port] as string;
    const own = () => capture.frames().filter((frame) => isOwn(frame, neighbour));
    const { length } = own();
    core.status('ping', '-q', '-c', '1', '-W', '1', '-s', '2000', neighbour);
    await waitFor(() => own().length >= length + 2, 5000, `the fragments on ${port}`);
    const others = capture.frames().filter((frame) => !isOwn(frame, neighbour));
    found.push(...others.map((frame) => `${port}: ${addresses(frame).join(' > ')}`));
  }
  return found;
}

const ICMP = 1;

function isOwn(frame: Captured, neighbour: string): boolean {
  return frame.bytes[23] === ICMP && addresses(frame).includes(neighbour);
}

function addresses({ bytes }: Captured): string[] {
  return [26, 30].map((at) => formatIp(readIpv4(bytes, at)));
}
