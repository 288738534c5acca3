// Runs the checks and the tests behind scripts/test, and counts them. Results are taken from the events of node:test,
// not from what its reporters print.

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { signalIfAlive } from './lab/kit/processes.js';

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

interface Group {
  /** Its folder below test/. */
  readonly name: string;
  readonly about: string;
  /** Files run at the same time. */
  readonly concurrency: number;
  /** Files that take longest: started first, so that none of them runs alone at the end. */
  readonly long?: readonly string[];
  /** For one file as a whole; then it is killed and counts as failed. */
  readonly timeoutMs: number;
  /** Needs the processors only: runs beside the labs that mostly wait, and gives way to them. */
  readonly background?: true;
  /** Has the machine for itself. */
  readonly alone?: true;
}

const soak = process.env.MARPD_SOAK === '1';

const checks: readonly Check[] = [
  { name: 'build', command: ['npm', 'run', '--silent', 'build'] },
  { name: 'lint', command: ['npm', 'run', '--silent', 'lint'] },
  { name: 'format', command: ['npm', 'run', '--silent', 'format:check'] },
  { name: 'typecheck', command: ['npm', 'run', '--silent', 'typecheck'] },
];

const groups: readonly Group[] = [
  {
    name: 'unit',
    about: 'one piece at a time',
    concurrency: availableParallelism(),
    timeoutMs: 600_000,
    background: true,
  },
  {
    name: 'property',
    about: 'what holds for every input',
    concurrency: availableParallelism(),
    long: ['tracker.property', 'world.property', 'memory.property'],
    timeoutMs: soak ? 1_800_000 : 600_000,
    background: true,
  },
  {
    name: 'scenario',
    about: 'scenarios in virtual time',
    concurrency: availableParallelism(),
    timeoutMs: soak ? 1_800_000 : 300_000,
    background: true,
  },
  {
    name: 'fuzz',
    about: 'inputs that coverage guides, for a minute',
    concurrency: 1,
    timeoutMs: soak ? 7_200_000 : 900_000,
    background: true,
  },
  // These mostly wait, and assert nothing shorter than a second.
  {
    name: 'lab/behaviour',
    about: 'real frames in namespaces: states, frames, deadlines in seconds',
    concurrency: 3,
    long: ['capture', 'survive', 'acd', 'loss', 'learn'],
    timeoutMs: soak ? 3_600_000 : 600_000,
  },
  // Several daemons and routing daemons each; deadlines are hundreds of milliseconds, so they run one at a time.
  {
    name: 'lab/routing',
    about: 'several routers with FRR and BIRD in namespaces',
    concurrency: 1,
    long: ['mobility-frr-ospf', 'scenarios-two', 'mobility-frr-bgp'],
    timeoutMs: soak ? 7_200_000 : 600_000,
  },
  // These measure milliseconds or load the machine, so they have it for themselves.
  {
    name: 'lab/timing',
    about: 'real frames in namespaces: milliseconds, load, guests',
    concurrency: 1,
    alone: true,
    timeoutMs: soak ? 7_200_000 : 600_000,
  },
];

const root = resolve(import.meta.dirname, '..');
const passed: string[] = [];
const failed: string[] = [];
const skipped: string[] = [];

// The test files are killed by the same signal and take their namespaces with them; say how far it went and end.
let interrupted = false;
/** Process groups of the runs in the background: a signal of the terminal does not reach them. */
const backgroundGroups = new Set<number>();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted = true;
    for (const group of backgroundGroups) signalIfAlive(-group, signal);
  });
}
// Whoever started this run in the background is gone.
process.on('disconnect', () => {
  interrupted = true;
});

/** A quarter of what one busy session of a lab gets: its own deadlines are tens of seconds. */
const BACKGROUND_NICE = 5;

/**
 * The kernel shares the processors among sessions first (sched_autogroup, sched(7)), and each program of a lab is a
 * session of its own: SCHED_IDLE alone would give way to nobody but its own session.
 */
function giveWay(): void {
  const file = '/proc/self/autogroup';
  if (existsSync(file)) writeFileSync(file, String(BACKGROUND_NICE));
}
if (process.send !== undefined) giveWay();

const allFiles = readdirSync(resolve(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => `test/${path}`)
  .sort();

function testFiles(group: Group): string[] {
  return allFiles.filter((path) => path.startsWith(`test/${group.name}/`));
}

function runCheck(check: Check): Promise<void> {
  const [program, ...args] = check.command;
  return new Promise((done) => {
    const started = performance.now();
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    const settle = (problem?: string) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      if (problem === undefined) {
        passed.push(check.name);
        console.log(`✔ ${check.name} (${seconds} s)`);
      } else {
        failed.push(check.name);
        console.log(`✖ ${check.name} (${seconds} s): ${problem}\n${output.trimEnd()}`);
      }
      done();
    };
    child.on('error', (error) => settle(error.message));
    child.on('close', (code, signal) => settle(code === 0 ? undefined : `ended with ${signal ?? code}`));
  });
}

/** What node:test says at the end of every run; we say it once, for all runs. */
const TOTAL = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;

interface Outcome {
  readonly name: string;
  readonly file?: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string; readonly error?: Error & { failureType?: string } };
}

function count(type: string, outcome: Outcome): void {
  const file = outcome.file === undefined ? '' : relative(root, outcome.file);
  // node:test reports a file itself when it holds no test, or when its process ended badly.
  const wholeFile = outcome.nesting === 0 && resolve(root, outcome.name) === outcome.file;
  const title = wholeFile ? file : `${file} › ${outcome.name}`;
  if (type === 'test:pass') {
    if (outcome.details.type === 'suite') return;
    if (outcome.nesting === 0 && resolve(root, outcome.name) === outcome.file)
      failed.push(`${file}: holds no test`);
    else if (outcome.skip !== undefined || outcome.todo !== undefined) skipped.push(title);
    else passed.push(title);
  } else if (outcome.todo !== undefined) {
    skipped.push(title);
  } else if (outcome.details.error?.failureType !== 'subtestsFailed') {
    // (What failed below a suite or a test has been counted there.)
    const reason = outcome.details.error?.cause ?? outcome.details.error;
    failed.push(`${title}: ${String(reason).split('\n')[0]}`);
  }
}

/** One run per file, so that an interrupted group starts no further file while those that run clean up. */
async function runFile(group: Group, file: string): Promise<void> {
  const events = run({ files: [resolve(root, file)], timeout: group.timeoutMs });
  const reporter = new spec();
  // Files that run at the same time are shown one after the other.
  let output = '';
  if (group.concurrency === 1) reporter.pipe(process.stdout, { end: false });
  else
    reporter.on('data', (text) => {
      output += text;
    });
  for await (const event of events as AsyncIterable<{ type: string; data: unknown }>) {
    if (event.type === 'test:pass' || event.type === 'test:fail') count(event.type, event.data as Outcome);
    const total = event.type === 'test:diagnostic' && TOTAL.test((event.data as { message: string }).message);
    if (!total && event.type !== 'test:summary') reporter.write(event);
  }
  reporter.end();
  await finished(reporter);
  process.stdout.write(output);
}

async function runGroup(group: Group, files: readonly string[]): Promise<void> {
  console.log(`\n${group.name}: ${group.about}`);
  const started = performance.now();
  const isLong = (file: string): boolean =>
    group.long?.some((name) => file.endsWith(`/${name}.test.ts`)) === true;
  const queue = [...files.filter(isLong), ...files.filter((file) => !isLong(file))];
  const work = async (): Promise<void> => {
    while (!interrupted) {
      const file = queue.shift();
      if (file === undefined) return;
      await runFile(group, file);
    }
  };
  await Promise.all(Array.from({ length: group.concurrency }, work));
  console.log(`${group.name}: ${((performance.now() - started) / 1000).toFixed(0)} s`);
}

/** What a run in the background tells the one that started it. */
interface Counts {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** Runs files in a process that gets little of the processors while others need them, and counts what it counted. */
async function runBackground(
  files: readonly string[],
  node = process.execPath,
  label = 'the tests in the background',
): Promise<void> {
  if (files.length === 0) return;
  const command = ['--idle', '0', node, '--import', 'tsx', 'test/run.ts', ...files];
  const child = spawn('chrt', command, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    detached: true,
  });
  if (child.pid !== undefined) backgroundGroups.add(child.pid);
  let output = '';
  child.stdout?.on('data', (text) => {
    output += text;
  });
  let counts: Counts | undefined;
  child.on('message', (message) => {
    counts = message as Counts;
  });
  const end = await new Promise<string>((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(`ended with ${signal ?? code}`));
  });
  if (child.pid !== undefined) backgroundGroups.delete(child.pid);
  process.stdout.write(output);
  const named = (title: string): string => (node === process.execPath ? title : `${label}: ${title}`);
  passed.push(...(counts?.passed ?? []).map(named));
  failed.push(...(counts?.failed.map(named) ?? [`${label}: ${end}`]));
  skipped.push(...(counts?.skipped ?? []));
}

/** The unit tests on every supported Node but this one; `scripts/setup --test` has fetched them. */
async function runOnOtherNodes(): Promise<void> {
  const unit = groups.find(({ name }) => name === 'unit') as Group;
  for (const major of ['20', '22', '24']) {
    if (interrupted || process.versions.node.startsWith(`${major}.`)) continue;
    const home = `/var/cache/marpd-setup/nodes/${major}/node_modules/node-linux-${process.arch}`;
    console.log(`\nunit, on Node ${major}`);
    await runBackground(testFiles(unit), `${home}/bin/node`, `Node ${major}`);
  }
}

/**
 * The files an argument names: a group or a folder, `group/name`, or a path. Folders in between may be left out:
 * `lab/learn` is test/lab/behaviour/learn.test.ts.
 */
function select(argument: string): ReadonlyMap<Group, readonly string[]> {
  const path = argument.replace(/^(\.\/)?test\//, '').replace(/(\.test\.ts|\/)$/, '');
  const [first, last] = [path.split('/', 1)[0], path.slice(path.indexOf('/') + 1)];
  const named = (file: string): boolean =>
    file === `test/${path}.test.ts` ||
    file.startsWith(`test/${path}/`) ||
    (path.includes('/') && file.startsWith(`test/${first}/`) && file.endsWith(`/${last}.test.ts`));
  const found = new Map(groups.map((group) => [group, testFiles(group).filter(named)]));
  if ([...found.values()].some((files) => files.length > 0)) return found;
  console.error(`no such test: ${argument} (scripts/test --list shows them)`);
  process.exit(2);
}

function list(): void {
  console.log(`nodes\n  the unit tests on every supported Node but this one`);
  console.log(`checks\n${checks.map(({ name }) => `  ${name}`).join('\n')}`);
  for (const group of groups) {
    console.log(`${group.name}: ${group.about}`);
    for (const file of testFiles(group)) console.log(`  ${file.slice('test/'.length, -'.test.ts'.length)}`);
  }
}

const wanted = process.argv.slice(2);
if (wanted.includes('--list')) {
  list();
  process.exit(0);
}

/** Temporary files of all tests, also of those that are killed. What other users run in a lab may look into it. */
let scratch: string | undefined;
if (process.send === undefined) {
  process.env.MARPD_KEEP ??= join(tmpdir(), 'marpd-failed');
  scratch = mkdtempSync(join(tmpdir(), 'marpd-'));
  chmodSync(scratch, 0o1777);
  process.env.TMPDIR = scratch;
}

/** Removes them. What a test forgot to remove is its failure; tsx and Node keep what they have compiled. */
function removeScratch(): void {
  if (scratch === undefined) return;
  const left = readdirSync(scratch).filter((name) => !/^(tsx-|node-)/.test(name));
  if (left.length === 0) passed.push('no temporary file is left behind');
  else if (!interrupted) failed.push(`temporary files are left behind: ${left.join(' ')}`);
  rmSync(scratch, { recursive: true, force: true });
}

async function runChecks(): Promise<void> {
  for (const check of checks) {
    if (!interrupted) await runCheck(check);
  }
}

const chosen = new Map(groups.map((group) => [group, new Set<string>()]));
for (const argument of wanted.length === 0 ? groups.map(({ name }) => name) : wanted) {
  if (argument === 'checks' || argument === 'nodes') continue;
  for (const [group, files] of select(argument)) for (const file of files) chosen.get(group)?.add(file);
}
const filesOf = (group: Group): string[] => [...(chosen.get(group) ?? [])];
const isChosen = (group: Group): boolean => filesOf(group).length > 0;
// The labs of routers take longest.
const labs = groups
  .filter((group) => group.background === undefined && isChosen(group))
  .sort(
    (a, b) =>
      Number(a.alone ?? false) - Number(b.alone ?? false) ||
      Number(b.name === 'lab/routing') - Number(a.name === 'lab/routing'),
  );
const waiting = labs.filter(({ alone }) => alone !== true);
const others = groups.filter((group) => group.background === true && isChosen(group));

/** What needs the processors only, one after the other: the tests of sources, then those on other Nodes. */
async function runBesideLabs(): Promise<void> {
  await runBackground(others.flatMap(filesOf));
  if (wanted.length === 0 && !interrupted) await runOnOtherNodes();
}

// The checks run beside the tests of sources. A lab needs what they build, and the machine.
const checking = wanted.length === 0 || wanted.includes('checks') ? runChecks() : Promise.resolve();
const besideLabs = waiting.length > 0 ? runBesideLabs() : undefined;
if (besideLabs === undefined)
  for (const group of others) if (!interrupted) await runGroup(group, filesOf(group));
await checking;
for (const group of waiting) if (!interrupted) await runGroup(group, filesOf(group));
await besideLabs;
for (const group of labs) if (group.alone === true && !interrupted) await runGroup(group, filesOf(group));
if (wanted.includes('nodes')) await runOnOtherNodes();

if (wanted.length === 0) {
  // Otherwise a new folder of tests would never run and nobody would notice.
  const grouped = new Set(groups.flatMap(testFiles));
  for (const file of allFiles)
    if (!grouped.has(file)) failed.push(`${file}: belongs to no group of test/run.ts`);
}
if (interrupted) failed.push('interrupted');
const ran = passed.length + failed.length > 0;
removeScratch();
if (process.send !== undefined) {
  await new Promise((sent) => process.send?.({ passed, failed, skipped } satisfies Counts, sent));
  process.exit(failed.length > 0 ? 1 : 0);
}
if (!ran) failed.push('no test ran');
if (failed.length > 0) console.log(`\nfailed:\n${failed.map((line) => `  ✖ ${line}`).join('\n')}`);
console.log(
  `\n${passed.length} passed, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`,
);
process.exit(failed.length > 0 ? 1 : 0);
