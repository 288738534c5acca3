import { parseArgs } from 'node:util';
import { CTL } from '../kit/ctl.js';
import type { Host } from '../kit/host.js';
import { Lab, type Namespace } from '../kit/namespace.js';
import { pause } from '../kit/program.js';
import type { EngineName } from '../routed/engines.js';
import { Stream, type StreamWindow, monotonicNs } from '../routed/gauges.js';
import { type FirstHop, HOST, NEIGHBOUR, PLACES, REMOTE } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { bold, dim } from './timeline.js';
import { concluded } from './verdict.js';

/** `sudo ./scripts/lab virtual-subnet`: one subnet on two LANs, each with a router of its own (RFC 7814). */

const LAB_ENGINES: readonly EngineName[] = ['frr-ospf', 'frr-bgp', 'bird-bgp', 'bird-ospf'];
const OTHER = '10.1.1.7';
const MOST_PINGS = 5;
/** A move is over by then, whatever the engine. */
const MOVE_MS = 2000;

const PICTURE = `
  net1 10.1.1.0/24 ── lan0 [R1] core0 ── 192.0.2.0/30 ── core0 [R3] srv0 ── remote host ${REMOTE}
   neighbour ${NEIGHBOUR}   .1   │ core1
                            │ 192.0.2.8/30
                            │ core1
  net2 10.1.1.0/24 ── lan0 [R2] core0 ── 192.0.2.4/30 ── core1 [R3]
   other ${OTHER}       .1

  one subnet, 10.1.1.0/24, and one gateway address, 10.1.1.1, on both LANs; ${HOST} moves between them
  R1, R2: marpd with learn = "all" and a routing daemon; R3: a routing daemon only
`;

const USAGE = `usage: lab virtual-subnet [options]

  --engine NAME   ${LAB_ENGINES.join(', ')} (default frr-ospf)
  --moves N       how often the host moves, to net2 and back (default 4)
  --live          as a live-migrated guest moves: its card never loses the carrier
  --one-mac       the gateway has the same MAC on both LANs
  --keep          stay up afterwards, until Ctrl-C
`;

export async function virtualSubnet(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      engine: { type: 'string', default: 'frr-ospf' },
      moves: { type: 'string', default: '4' },
      live: { type: 'boolean', default: false },
      'one-mac': { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const engine = LAB_ENGINES.find((name) => name === values.engine);
  const moves = Number(values.moves);
  if (values.help || engine === undefined || !Number.isInteger(moves) || moves < 0) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const lab = new Lab();
  console.log(PICTURE);
  console.log(dim(`starting ${engine} on three routers and marpd on two ...`));
  const site = new RoutedSite(lab, engine, { virtualSubnet: true, oneGatewayMac: values['one-mac'] });
  const fine = 'every kernel and every table of the routing daemons agrees, and nobody has raised an alarm';
  return concluded(lab, fine, async () => {
    await site.start();
    const problems = await show(site, moves, !values.live);
    return { problems, stay: values.keep ? () => stay(site) : undefined };
  });
}

/** Returns what is wrong, one sentence each. */
async function show(site: RoutedSite, moves: number, carrierDrop: boolean): Promise<string[]> {
  const problems: string[] = [];
  const host = site.host();
  const neighbour = site.host('neighbour', { address: `${NEIGHBOUR}/24` });
  const other = site.host('other', { address: `${OTHER}/24` });
  await host.plug(PLACES.r1.segment, 'request');
  await neighbour.plug(PLACES.r1.segment, 'request');
  await other.plug(PLACES.r2.segment, 'request');
  await pause(1500);

  console.log(bold('\n  hosts of the subnet on two LANs: the first ping that is answered'));
  for (const [from, to, who] of [
    [host, OTHER, `${HOST} on net1  to  ${OTHER} on net2`],
    [other, NEIGHBOUR, `${OTHER} on net2  to  ${NEIGHBOUR} on net1`],
  ] as const) {
    const count = await pingsUntilAnswered(site, from, to);
    console.log(`    ${who}: ${count === undefined ? 'none' : `number ${count}`}`);
    if (count === undefined || count > 2) problems.push(`${who}: not at the first ping but one`);
  }

  await Stream.echo(host.namespace);
  const partners: readonly (readonly [string, Namespace])[] = [
    ['neighbour', neighbour.namespace],
    ['other', other.namespace],
    ['remote', site.remote],
  ];
  const streams = new Map<string, Stream>();
  for (const [name, namespace] of partners) streams.set(name, await Stream.start(namespace, HOST));
  console.log(bold(`\n  ${HOST} moves, with a stream of one echo a millisecond from each of three`));
  let at: FirstHop = 'r1';
  for (let i = 1; i <= moves; i++) {
    await pause(1500);
    const to: FirstHop = at === 'r1' ? 'r2' : 'r1';
    const { spoke } = await site.move(host, to, { carrierDrop, says: 'request' });
    await pause(MOVE_MS);
    const windows: (readonly [string, StreamWindow])[] = [];
    for (const [name, stream] of streams)
      windows.push([name, await stream.window(spoke, monotonicNs() - 5e7)]);
    const text = windows.map(
      ([name, { lost, outageMs }]) => `${name} ${lost} lost, ${outageMs.toFixed(1)} ms`,
    );
    console.log(`    ${i}  ${at} -> ${to}   ${text.join('   ')}`);
    at = to;
  }
  for (const stream of streams.values()) await stream.program.stop('SIGKILL');
  await pause(2500);
  const truth = new Map<string, FirstHop>([
    [HOST, at],
    [NEIGHBOUR, 'r1'],
    [OTHER, 'r2'],
  ]);
  problems.push(...site.stuckRoutes(truth));
  for (const [role, { ctl }] of site.marpds)
    for (const { message } of (await ctl.status()).alarms) problems.push(`alarm of ${role}: ${message}`);
  return problems;
}

async function pingsUntilAnswered(site: RoutedSite, from: Host, to: string): Promise<number | undefined> {
  for (let count = 1; count <= MOST_PINGS; count++) {
    if (site.reaches(from.namespace, to, 1)) return count;
  }
  return undefined;
}

async function stay(site: RoutedSite): Promise<void> {
  const inside = (namespace: Namespace, command: string) => `ip netns exec ${namespace.name} ${command}`;
  const { r1, r2, r3 } = site.routers;
  const ctl = (router: Namespace) =>
    inside(router, `node ${CTL} --socket ${site.marpd(router.role as FirstHop).socket} hosts`);
  console.log(`
  It stays up until Ctrl-C. Look for yourself (as root):

    who is where     ${[r1, r2].map(ctl).join('\n                     ')}
    frames           ${inside(r2, 'tcpdump -eni lan0 arp')}
    routes           ${inside(r1, 'ip route')}
    the engine       ${site.engine('r3').commands.join('\n                     ')}
    from the remote  ${inside(site.remote, `ping ${HOST}`)}
    routes of R3     ${inside(r3, 'ip -ts monitor route')}
`);
  await new Promise(() => setInterval(() => {}, 60_000));
}
