import { parseArgs } from 'node:util';
import type { Family } from '../../src/wire/addresses.js';
import type { EngineName } from '../lab/routed/engines.js';
import {
  type FamilyReport,
  IdealScript,
  MoveMeter,
  type MoveReport,
  median,
  sinceFrame,
} from '../lab/routed/moves.js';
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
  --family F      4, 6, or both: a row for each family of a host with both (default 4; the floor is IPv4's)
  --live          the host's card never loses its carrier, as a live-migrated guest's
  --json          the reports as JSON
`;

interface Result {
  readonly name: string;
  readonly families: readonly Family[];
  readonly reports: readonly MoveReport[];
  readonly stuckRoutes: readonly string[];
}

async function measure(
  engine: EngineName,
  families: readonly Family[],
  moves: number,
  carrierDrop: boolean,
): Promise<Result> {
  const lab = new Lab();
  try {
    const site = await new RoutedSite(lab, engine, { families }).start();
    const meter = await MoveMeter.start(site);
    const reports: MoveReport[] = [];
    // The first two warm the daemons up; they do not count.
    for (let i = 0; i < moves + 2; i++) {
      const report = await meter.move(i % 2 === 0 ? 'r2' : 'r1', { carrierDrop });
      if (i >= 2) reports.push(report);
    }
    return {
      name: engine,
      families,
      reports,
      stuckRoutes: site.stuckRoutes(meter.truth),
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
    return { name: 'floor', families: ['ipv4'], reports, stuckRoutes: [] };
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
  cells.map((cell, i) => (i === 0 ? cell.padEnd(13) : cell.padStart(16))).join('');

/** One family of one move. */
type Row = FamilyReport & Pick<MoveReport, 'to' | 'cable'>;

function tableRow({ name, reports }: Result, family: Family): string {
  const rows: readonly Row[] = reports.map(({ to, cable, of }) => ({
    to,
    cable,
    ...(of.get(family) as FamilyReport),
  }));
  const since = (pick: (row: Row) => number | undefined) =>
    // The script writes before the host has spoken.
    name === 'floor' ? '-' : ms(rows.map((row) => sinceFrame(row, pick(row))));
  const neighbour = (to: FirstHop) =>
    ms(rows.filter((row) => row.to === to).map((row) => row.neighbour.outageMs));
  return line([
    family === 'ipv4' ? name : `${name} -6`,
    since((row) => row.proof),
    since((row) => row.claim),
    since((row) => row.core),
    since((row) => row.old),
    since((row) => row.withdrawn),
    ms(rows.map((row) => row.remote.outageMs)),
    neighbour('r2'),
    neighbour('r1'),
    ms(rows.map((row) => row.remote.senderStallMs)),
  ]);
}

const FAMILIES: Readonly<Record<string, readonly Family[] | undefined>> = {
  4: ['ipv4'],
  6: ['ipv6'],
  both: ['ipv4', 'ipv6'],
};

const { values } = parseArgs({
  options: {
    moves: { type: 'string', default: '20' },
    engine: { type: 'string' },
    family: { type: 'string', default: '4' },
    live: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const moves = Number(values.moves);
const families = FAMILIES[values.family];
const engines = [...BENCHED, 'bird-ospf' as const].filter((name) =>
  values.engine === undefined ? name !== 'bird-ospf' : name === values.engine,
);
if (values.help || families === undefined || engines.length === 0 || !Number.isInteger(moves) || moves < 1) {
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
  const result = await measure(engine, families, moves, !values.live);
  all.push({ engine, floor: lowest, result });
  if (values.json) continue;
  console.log(tableRow(lowest, 'ipv4'));
  for (const family of families) console.log(tableRow(result, family));
  for (const route of result.stuckRoutes) console.log(`  STUCK ${route}`);
}
// Each family of a report is an object there, not a Map.
const plain = (_: string, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value);
if (values.json) console.log(JSON.stringify(all, plain, 1));
process.exit(all.some(({ result }) => result.stuckRoutes.length > 0) ? 1 : 0);
