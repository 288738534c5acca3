import { parseArgs } from 'node:util';
import type { EngineName } from '../lab/routed/engines.js';
import { IdealScript, MoveMeter, type MoveReport, median, sinceFrame } from '../lab/routed/moves.js';
import { Lab, type Namespace } from '../lab/kit/namespace.js';
import { pause } from '../lab/kit/program.js';
import type { FirstHop } from '../lab/routed/places.js';
import { RoutedSite } from '../lab/routed/routed-site.js';

/**
 * `npm run bench:move`: moves between two first-hop routers, per engine, next to the floor of the same minutes: the
 * same moves with the ideal routes written by a script at the instant of the move, without marpd and without a routing
 * protocol.
 */

const BENCHED: readonly EngineName[] = ['frr-ospf', 'bird-bgp', 'frr-bgp'];

const USAGE = `usage: npm run bench:move -- [options]

  --moves N       moves per engine, and as many of the floor (default 20)
  --engine NAME   only this one: ${BENCHED.join(', ')}, bird-ospf
  --live          the host's card never loses its carrier, as a live-migrated guest's
  --json          the reports as JSON
`;

interface Result {
  readonly name: string;
  readonly reports: readonly MoveReport[];
  readonly stuckRoutes: readonly string[];
}

async function measure(engine: EngineName, moves: number, carrierDrop: boolean): Promise<Result> {
  const lab = new Lab();
  try {
    const site = await new RoutedSite(lab, engine).start();
    const meter = await MoveMeter.start(site);
    const reports: MoveReport[] = [];
    // The first two warm the daemons up; they do not count.
    for (let i = 0; i < moves + 2; i++) {
      const report = await meter.move(i % 2 === 0 ? 'r2' : 'r1', { carrierDrop });
      if (i >= 2) reports.push(report);
    }
    return {
      name: engine,
      reports,
      stuckRoutes: site.stuckRoutes(new Map(meter.at === 'r1' ? [] : [[meter.host.ip, meter.at]])),
    };
  } finally {
    lab.remove();
  }
}

async function floor(moves: number, carrierDrop: boolean): Promise<Result> {
  const lab = new Lab();
  try {
    const site = new RoutedSite(lab, 'frr-ospf');
    IdealScript.subnets(site);
    const meter = await MoveMeter.start(site);
    const neighbour = lab.namespaces.find(({ role }) => role === 'neighbour') as Namespace;
    const script = new IdealScript(site, meter.host, neighbour);
    script.write('r1');
    await pause(200);
    const reports: MoveReport[] = [];
    for (let i = 0; i < moves; i++) {
      const to: FirstHop = i % 2 === 0 ? 'r2' : 'r1';
      const act = () => script.write(to);
      reports.push(await meter.move(to, { carrierDrop, act, settled: () => pause(200) }));
    }
    return { name: 'floor', reports, stuckRoutes: [] };
  } finally {
    lab.remove();
  }
}

const ms = (values: readonly (number | undefined)[]): string => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? '-' : `${median(known).toFixed(1)} / ${Math.max(...known).toFixed(1)}`;
};

const HEADS = [
  '',
  'proof',
  'claim',
  'R3',
  'old router',
  'withdrew',
  'remote',
  'neighbour out',
  'neighbour home',
  'sender',
];
const line = (cells: readonly string[]) =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(10) : cell.padStart(16))).join('');

function tableRow({ name, reports }: Result): string {
  const since = (pick: (report: MoveReport) => number | undefined) =>
    // The script writes before the host has spoken.
    name === 'floor' ? '-' : ms(reports.map((report) => sinceFrame(report, pick(report))));
  const neighbour = (to: FirstHop) =>
    ms(reports.filter((report) => report.to === to).map((report) => report.neighbour.outageMs));
  return line([
    name,
    since((report) => report.proof),
    since((report) => report.claim),
    since((report) => report.core),
    since((report) => report.old),
    since((report) => report.withdrawn),
    ms(reports.map((report) => report.remote.outageMs)),
    neighbour('r2'),
    neighbour('r1'),
    ms(reports.map((report) => report.remote.senderStallMs)),
  ]);
}

const { values } = parseArgs({
  options: {
    moves: { type: 'string', default: '20' },
    engine: { type: 'string' },
    live: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const moves = Number(values.moves);
const engines = [...BENCHED, 'bird-ospf' as const].filter((name) =>
  values.engine === undefined ? name !== 'bird-ospf' : name === values.engine,
);
if (values.help || engines.length === 0 || !Number.isInteger(moves) || moves < 1) {
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}

const all: { engine: string; floor: Result; result: Result }[] = [];
if (!values.json) {
  console.log(`${moves} moves each, median / maximum in ms.`);
  console.log(`
proof ... withdrew: since the host's first frame on its new LAN. remote, neighbour: longest silence of a 1 ms echo
stream since the cable was in. sender: longest pause of the stream's own sender, the noise of the machine.
`);
  console.log(line(HEADS));
}
for (const engine of engines) {
  const lowest = await floor(moves, !values.live);
  const result = await measure(engine, moves, !values.live);
  all.push({ engine, floor: lowest, result });
  if (values.json) continue;
  console.log(tableRow(lowest));
  console.log(tableRow(result));
  for (const route of result.stuckRoutes) console.log(`  STUCK ${route}`);
}
if (values.json) console.log(JSON.stringify(all, undefined, 1));
process.exit(all.some(({ result }) => result.stuckRoutes.length > 0) ? 1 : 0);
