import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { burst } from './burst.js';
import { explain } from './explain.js';
import { hosts } from './hosts.js';
import { prepareInstruments } from './instruments.js';
import { interfaces } from './interfaces.js';
import { latency } from './latency.js';
import { moves } from './local-moves.js';
import type { CostPoint, Measure, Part } from './measure.js';
import { costPlot } from './plot.js';
import {
  type PartResult,
  type Run,
  curveTable,
  machineLine,
  markdown,
  measuresOf,
  merge,
  readRun,
  summary,
  table,
} from './report.js';
import { storm } from './storm.js';
import { misdirected } from './misdirected.js';

const PARTS: readonly Part[] = [latency, burst, moves, storm, misdirected, interfaces, hosts, explain];
const DOCS = join(import.meta.dirname, '..', '..', 'docs');

const USAGE = `usage: npm run bench [-- PART... [options]]

${PARTS.map(({ name, about }) => `  ${name.padEnd(12)}${about}`).join('\n')}

  --quick         shorter and rougher
  --json FILE     also write the result as JSON
  --last FILE     compare with that result (default docs/performance.json)
  --write-docs    put the result into docs/performance.{md,json} and docs/cost-growth.svg
  --help
`;

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      last: { type: 'string', default: join(DOCS, 'performance.json') },
      'write-docs': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const unknown = positionals.filter((name) => PARTS.every((part) => part.name !== name));
  if (values.help || unknown.length > 0) {
    if (unknown.length > 0) console.error(`no part of the bench is called ${unknown.join(', ')}\n`);
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const last = measuresOf(readRun(values.last));
  const command = ['npm run bench', ...(argv.length > 0 ? ['--', ...argv] : [])].join(' ');
  const machine = machineLine();
  console.log(machine);
  prepareInstruments();
  const curve: CostPoint[] = [];
  const parts: PartResult[] = [];
  const failures: string[] = [];
  for (const part of PARTS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    const measures: Measure[] = [];
    try {
      await part.run({
        quick: values.quick,
        say: (text) => process.stderr.write(`${part.name}: ${text}\n`),
        found: (...more) => measures.push(...more),
        plot: (point) => curve.push(point),
      });
    } catch (error) {
      failures.push(`${part.name} broke off: ${error instanceof Error ? error.message : String(error)}`);
    }
    const at = new Date().toISOString();
    parts.push({ name: part.name, about: part.about, at, command, machine, measures });
    console.log(`\n${part.name}: ${part.about}\n\n${table(measures, last)}`);
  }
  const run: Run = { parts, curve };
  if (curve.length > 0) {
    console.log(
      `\n${curveTable(curve)
        .map((cells) => cells.map((cell) => cell.padStart(20)).join(''))
        .join('\n')}`,
    );
  }
  console.log(`\n${summary(run)}`);
  for (const failure of failures) console.error(failure);
  const json = (result: Run) => `${JSON.stringify(result, undefined, 2)}\n`;
  if (values.json !== undefined) writeFileSync(values.json, json(run));
  if (values['write-docs']) {
    const documented = join(DOCS, 'performance.json');
    const all = merge(
      readRun(documented),
      run,
      PARTS.map(({ name }) => name),
    );
    writeFileSync(documented, json(all));
    writeFileSync(join(DOCS, 'performance.md'), markdown(all));
    if (curve.length > 0) writeFileSync(join(DOCS, 'cost-growth.svg'), costPlot(curve));
  }
  return failures.length === 0 ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
