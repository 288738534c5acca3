import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * Draws docs/state-machine.md from the transition tables in the code. Each file of src/mobility/host/machines, and of a few others, that exports a
 * table (a constant whose name is TABLE, or ends in _TABLE) becomes a section with a diagram and a table, between the
 * markers of the page. `npm run docs:state-machine` writes it; test/unit/state-machine-doc.test.ts compares it.
 */

export interface Row {
  /** A state; several with commas between; `*` for every state. */
  readonly from: string;
  readonly input: string;
  /** A state, or several with commas between when the input's content decides. */
  readonly to: string;
  /** What the coordinator is told. */
  readonly outcome?: string;
  readonly note?: string;
}

export interface Machine {
  readonly title: string;
  /** Path of its file in the repository. */
  readonly file: string;
  readonly rows: readonly Row[];
}

const ROOT = resolve(import.meta.dirname, '..');
const FOLDER = 'src/mobility/host/machines';
/** Machines in other folders. */
const OTHER_FILES = [
  'src/mobility/neighbour/answer-hold.ts',
  'src/mobility/neighbour/lan-queries.ts',
  'src/mobility/routers/other-router.ts',
  'src/mobility/routers/roles.ts',
];
export const PAGE = join(ROOT, 'docs/state-machine.md');
const BEGIN = '<!-- tables: begin -->';
const END = '<!-- tables: end -->';
const COORDINATION_BEGIN = '<!-- coordination: begin -->';
const COORDINATION_END = '<!-- coordination: end -->';
/** What is read first comes first; machines that are not named here follow. */
const ORDER = [
  'claim',
  'proof',
  'keepalive',
  'contest',
  'announcement',
  'recovery',
  'answer-hold',
  'stuck-route',
];

/** The machines whose files export a table. */
export async function machines(): Promise<Machine[]> {
  const files = readdirSync(join(ROOT, FOLDER))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${FOLDER}/${name}`)
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const found: Machine[] = [];
  for (const file of [...files, ...OTHER_FILES].sort((a, b) => rank(a) - rank(b))) {
    const name = basename(file, '.ts');
    const module = (await import(pathToFileURL(join(ROOT, file)).href)) as Record<string, unknown>;
    for (const [key, value] of Object.entries(module)) {
      if (!/(^|_)TABLE$/.test(key)) continue;
      if (!isTable(value)) throw new Error(`${file}: ${key} is not a transition table`);
      found.push({ title: titleOf(name, key), file, rows: value });
    }
  }
  return found;
}

function rank(file: string): number {
  const at = ORDER.indexOf(basename(file, '.ts'));
  return at < 0 ? ORDER.length : at;
}

/** `claim` and TABLE make "Claim", `claim` and AGE_TABLE "Claim: age". */
function titleOf(name: string, key: string): string {
  const words = name.replaceAll('-', ' ');
  const title = `${words[0]?.toUpperCase()}${words.slice(1)}`;
  const part = key.replace(/_?TABLE$/, '').toLowerCase();
  return part === '' || part.replaceAll('_', ' ') === words
    ? title
    : `${title}: ${part.replaceAll('_', ' ')}`;
}

function isTable(value: unknown): value is readonly Row[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every(
      (row: Partial<Record<keyof Row, unknown>>) =>
        typeof row.from === 'string' && typeof row.input === 'string' && typeof row.to === 'string',
    )
  );
}

const split = (states: string): string[] => states.split(',').map((state) => state.trim());
/** Mermaid takes letters, digits and underscores for the name of a state. */
const identifier = (state: string): string => (state === '*' ? 'any' : state.replace(/[^A-Za-z0-9_]/g, '_'));
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** Rows of one input, outcome and note that lead to one state. */
interface Group {
  readonly from: readonly string[];
  readonly input: string;
  /** A state, or `unchanged`. */
  readonly to: string;
  readonly outcome: string;
  readonly note: string;
}

const UNCHANGED = 'unchanged';

function statesOf(rows: readonly Row[]): Set<string> {
  return new Set(
    rows.flatMap(({ from, to }) => [...split(from), ...split(to)]).filter((state) => state !== '*'),
  );
}

/** Rows that differ in the state they start from become one. */
function group(rows: readonly Row[]): Group[] {
  const byTarget = merge(
    rows.map(({ from, outcome = '', note = '', ...row }) => ({ ...row, from: split(from), outcome, note })),
  );
  const stay = ({ from, to }: Group) => from.length === 1 && from[0] === to;
  return merge(byTarget.map((each) => (stay(each) ? { ...each, to: UNCHANGED } : each)));
}

function merge(groups: readonly Group[]): Group[] {
  const merged = new Map<string, Group>();
  for (const { from, ...rest } of groups) {
    const key = JSON.stringify([rest.input, rest.to, rest.outcome, rest.note]);
    merged.set(key, { ...rest, from: [...new Set([...(merged.get(key)?.from ?? []), ...from])] });
  }
  return [...merged.values()];
}

/** A Mermaid diagram: one arrow for each pair of states, labelled with all inputs that lead from one to the other. */
export function diagram(rows: readonly Row[]): string {
  const states = statesOf(rows);
  const arrows = new Map<string, Set<string>>();
  for (const { from, input, to } of group(rows)) {
    if (to === UNCHANGED) continue;
    const others = [...states].filter((state) => state !== to);
    const fromAny =
      from.includes('*') || (others.length > 2 && others.every((state) => from.includes(state)));
    for (const source of fromAny ? ['*'] : from)
      for (const target of split(to)) {
        if (source === target) continue;
        const arrow = `${identifier(source)} --> ${identifier(target)}`;
        arrows.set(arrow, (arrows.get(arrow) ?? new Set()).add(input.replace(/[:;#]/g, ',')));
      }
  }
  const lines = [...arrows].map(([arrow, inputs]) => `  ${arrow}: ${[...inputs].join(', ')}`);
  return ['```mermaid', 'stateDiagram-v2', ...lines, '```'].join('\n');
}

/** A table without the rows in which nothing happens: no other state, no outcome, no note. */
export function table(rows: readonly Row[]): string {
  const states = statesOf(rows);
  const shown = group(rows).filter(
    ({ to, outcome, note }) => to !== UNCHANGED || outcome !== '' || note !== '',
  );
  const withNotes = shown.some(({ note }) => note !== '');
  const head = ['state', 'input', 'next state', 'outcome', ...(withNotes ? ['note'] : [])];
  const body = shown.map(({ from, input, to, outcome, note }) => [
    from.includes('*') || (states.size > 1 && from.length === states.size) ? 'any' : from.join(', '),
    input,
    to,
    outcome,
    ...(withNotes ? [note] : []),
  ]);
  return [head, head.map(() => '---'), ...body]
    .map((cells) => `| ${cells.map(cell).join(' | ')} |`)
    .join('\n');
}

export function section({ title, file, rows }: Machine): string {
  return `### ${title}\n\nFrom \`${file}\`.\n\n${diagram(rows)}\n\n${table(rows)}\n`;
}

/** Which outcomes of one machine are inputs of which others. */
export interface Coordination {
  readonly when: string;
  readonly causes: string;
}

export async function coordination(): Promise<readonly Coordination[]> {
  const file = join(ROOT, 'src/mobility/host/coordinator.ts');
  const module = (await import(pathToFileURL(file).href)) as { COORDINATION: readonly Coordination[] };
  return module.COORDINATION;
}

/** The page with its tables made anew. @throws when a marker is missing */
export function withTables(
  page: string,
  all: readonly Machine[],
  coordinated: readonly Coordination[],
): string {
  const tables = all.map((machine) => `${section(machine)}\n`).join('');
  const rows = coordinated.map(({ when, causes }) => `| ${cell(when)} | ${cell(causes)} |\n`).join('');
  const outcomes = `| outcome of one machine | input of the others |\n| --- | --- |\n${rows}\n`;
  return between(between(page, COORDINATION_BEGIN, COORDINATION_END, outcomes), BEGIN, END, tables);
}

function between(page: string, first: string, last: string, content: string): string {
  const begin = page.indexOf(first);
  const end = page.indexOf(last);
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has no place for the tables: ${first} ... ${last}`);
  return `${page.slice(0, begin + first.length)}\n\n${content}${page.slice(end)}`;
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8'), await machines(), await coordination()));
}
