import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { type CostPoint, type Measure, type Target, isMet, missed } from './measure.js';

/** Results as they are written to JSON: each part with the run that measured it last. */
export interface Run {
  readonly parts: readonly PartResult[];
  readonly curve: readonly CostPoint[];
}

export interface PartResult {
  readonly name: string;
  readonly about: string;
  readonly at: string;
  readonly command: string;
  readonly machine: string;
  readonly measures: readonly Measure[];
}

/** The machine in one line. Two results are comparable when theirs agree, load included. */
export function machineLine(): string {
  const [one, five] = loadavg() as [number, number, number];
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${memory} GB, Linux ${release()}, node ${process.version}, load ${one.toFixed(2)} ${five.toFixed(2)}`;
}

export function formatValue({ value, unit }: Pick<Measure, 'value' | 'unit'>): string {
  if (Number.isNaN(value)) return `- ${unit}`;
  const size = Math.abs(value);
  const digits = unit === '/s' ? 0 : size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const text = unit === '/s' ? Math.round(value).toLocaleString('en-US') : value.toFixed(digits);
  return `${text} ${unit}`;
}

function formatTarget(measure: Measure, target: Target): string {
  const limit = target.below ?? target.atLeast ?? 0;
  const bound = `${target.below === undefined ? '>=' : '<'} ${limit}`;
  return `${bound} ${isMet(measure.value, target) ? 'ok' : 'MISSED'}`;
}

/** How it compares with the same measure of an earlier run; '' when there is none. */
function change(measure: Measure, before: ReadonlyMap<string, Measure>): string {
  const old = before.get(measure.name);
  if (old === undefined || old.unit !== measure.unit || old.value === 0) return '';
  return `${(measure.value / old.value).toFixed(2)}`;
}

const HEADINGS = ['', 'measured', 'target', 'to last', 'note'];

function rows(measures: readonly Measure[], before: ReadonlyMap<string, Measure>): string[][] {
  return measures.map((measure) => [
    measure.name,
    formatValue(measure),
    (measure.targets ?? []).map((target) => formatTarget(measure, target)).join(', '),
    change(measure, before),
    measure.note ?? '',
  ]);
}

export function table(measures: readonly Measure[], before: ReadonlyMap<string, Measure>): string {
  const lines = [HEADINGS, ...rows(measures, before)];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] as string).length)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column === 1 || column === 3
            ? cell.padStart(widths[column] as number)
            : cell.padEnd(widths[column] as number),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function summary(run: Run): string {
  const all = run.parts.flatMap(({ measures }) => measures).filter(({ targets }) => targets !== undefined);
  const lost = all.filter(missed);
  const list = lost.map((measure) => `  MISSED  ${measure.name}: ${formatValue(measure)}`);
  return [`${all.length - lost.length} of ${all.length} bars met`, ...list].join('\n');
}

export function curveTable(curve: readonly CostPoint[]): string[][] {
  return [
    [
      'hosts',
      'RSS MB',
      'PSS MB',
      '% of a core',
      'one more newcomer ms',
      'page of /v1/hosts ms',
      'adoption s',
    ],
    ...curve.map(({ hosts, rssMb, pssMb, cpuPercent, newcomerMs, pageMs, adoptS }) => [
      hosts.toLocaleString('en-US'),
      rssMb.toFixed(0),
      pssMb.toFixed(0),
      cpuPercent.toFixed(1),
      newcomerMs.toFixed(2),
      pageMs.toFixed(2),
      adoptS.toFixed(2),
    ]),
  ];
}

function markdownTable(lines: readonly (readonly string[])[]): string {
  const [head, ...body] = lines as [string[], ...string[][]];
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '/')).join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...body.map(row)].join('\n');
}

/** docs/performance.md, all of it. */
export function markdown(run: Run): string {
  const parts = run.parts.map(
    ({ name, about, at, command, machine, measures }) =>
      `## ${name}\n\n${about[0]?.toUpperCase()}${about.slice(1)}. \`${command}\`, ${at}, ${machine}.\n\n${markdownTable(
        [HEADINGS.filter((heading) => heading !== 'to last'), ...rows(measures, new Map())].map((line) =>
          line.length === HEADINGS.length ? [...line.slice(0, 3), line[4] as string] : line,
        ),
      )}\n`,
  );
  const curve =
    run.curve.length === 0
      ? ''
      : `## Cost growth\n\n![Cost of 1,000 to 100,000 hosts](cost-growth.svg)\n\n${markdownTable(curveTable(run.curve))}\n`;
  return [
    '# Performance',
    '',
    'The last result of each part of `npm run bench`, written by `npm run bench -- [PART...] --write-docs`: do not edit.',
    '[bench.md](bench.md) says how each value is measured.',
    '',
    `${summary(run).replaceAll('\n  ', '\n- ')}`,
    '',
    ...parts,
    curve,
  ].join('\n');
}

/** An earlier result; undefined when there is no such file. */
export function readRun(path: string): Run | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  return JSON.parse(text) as Run;
}

/** The measures of a result by name. */
export function measuresOf(run: Run | undefined): Map<string, Measure> {
  return new Map(run?.parts.flatMap(({ measures }) => measures).map((measure) => [measure.name, measure]));
}

/** The newer result, and of the older one what the newer has not measured. `order` has the names of all parts. */
export function merge(older: Run | undefined, newer: Run, order: readonly string[]): Run {
  const parts = order.flatMap((name) => {
    const named = (run: Run | undefined) => run?.parts.find((part) => part.name === name);
    return named(newer) ?? named(older) ?? [];
  });
  return { parts, curve: newer.curve.length > 0 ? newer.curve : (older?.curve ?? []) };
}
