import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { mulberry32 } from '../../random.js';
import { Corpus } from './corpus.js';
import { Mutator } from './mutate.js';
import type { Target } from './target.js';

/** Runs one target in a thread of its own, which can be ended from outside when an input makes it hang. */

export interface Task {
  /** The module of the target in the instrumented copy. */
  readonly module: string;
  readonly counterName: string;
  readonly points: number;
  readonly words: readonly string[];
  readonly seeds: readonly Uint8Array[];
  readonly seed: number;
  /** 0: the seeds alone. */
  readonly runForMs: number;
  /** Executions so far, and the length of the input that is being run; then its bytes. */
  readonly progress: SharedArrayBuffer;
}

export interface Report {
  readonly executions: number;
  readonly ms: number;
  /** Branches that were taken. */
  readonly covered: readonly number[];
  readonly best: readonly Uint8Array[];
  readonly inputs: number;
  readonly retainedBytes: number;
  readonly finding: Finding | undefined;
}

export interface Finding {
  readonly what: string;
  readonly input: Uint8Array;
}

const PROGRESS_HEADER_BYTES = 8;
const DEFAULT_SLOW_MS = 250;
const MINIMIZE_MS = 3000;
const RECENT = 30;
/** A corpus is picked anew so often. */
const REFRESH_EVERY = 2000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const task = workerData as Task;
const counters = new Uint8Array(Math.ceil(task.points / 8) * 8);
(globalThis as Record<string, unknown>)[task.counterName] = counters;

const { target } = (await import(task.module)) as { target: Target };
const header = new Int32Array(task.progress, 0, 2);
const current = new Uint8Array(task.progress, PROGRESS_HEADER_BYTES);
const random = mulberry32(task.seed);
const corpus = new Corpus(counters);
const mutator = new Mutator(random, [...task.words, ...(target.words ?? [])], target.maxBytes);
let executions = 0;

/** What is wrong with this input, undefined when nothing is. */
async function problemOf(input: Uint8Array): Promise<string | undefined> {
  current.set(input);
  header[1] = input.length;
  Atomics.store(header, 0, ++executions);
  counters.fill(0);
  try {
    const result = target.run(input);
    if (result !== undefined) await result;
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : `threw ${String(error)}`;
  }
}

/** Processor time of this process. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The least that several executions took of the processor: a busy machine is slow now and then, a slow input always. */
async function costOf(input: Uint8Array): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let again = 0; again < 5; again++) {
    const started = cpuMs();
    await problemOf(input);
    least = Math.min(least, cpuMs() - started);
  }
  return least;
}

async function tryInput(input: Uint8Array): Promise<Finding | undefined> {
  const started = performance.now();
  const what = await problemOf(input);
  const took = performance.now() - started;
  if (what !== undefined) return minimized({ what, input });
  corpus.offer(input);
  const limit = target.slowMs ?? DEFAULT_SLOW_MS;
  const cost = took > limit ? await costOf(input) : 0;
  return cost > limit ? { what: `takes ${cost.toFixed(0)} ms`, input } : undefined;
}

/** The same error of a shorter input. */
async function minimized(finding: Finding): Promise<Finding> {
  const kindOf = (what: string) => (what.split('\n', 1)[0] as string).replace(/[\d.]+|"[^"]*"/g, '');
  const deadline = performance.now() + MINIMIZE_MS;
  let { what, input } = finding;
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at + size <= input.length && performance.now() < deadline; ) {
      const shorter = new Uint8Array([...input.subarray(0, at), ...input.subarray(at + size)]);
      const still = await problemOf(shorter);
      if (still !== undefined && kindOf(still) === kindOf(what)) [what, input] = [still, shorter];
      else at += size;
    }
  }
  return { what, input };
}

function retained(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers - corpus.bytes;
}

async function fuzz(): Promise<Report> {
  const started = performance.now();
  const own = [...(target.seeds?.() ?? [])].map((seed) =>
    typeof seed === 'string' ? new TextEncoder().encode(seed) : new Uint8Array(seed),
  );
  const seeds = [...own, ...task.seeds];
  let finding: Finding | undefined;
  for (const input of seeds) finding ??= await tryInput(input.slice(0, target.maxBytes));
  const end = started + task.runForMs;
  let best: readonly Uint8Array[] = [];
  let before: number | undefined;
  for (let round = 0; finding === undefined && performance.now() < end; round++) {
    if (round % REFRESH_EVERY === 0) {
      // Streams of a target that waits close in a turn of their own.
      await new Promise((resolve) => setImmediate(resolve));
      best = corpus.best();
      // What the target and the compiler need at first is there by now.
      if (round === REFRESH_EVERY) before = retained();
    }
    const inputs = corpus.inputs;
    const recent = random() < 0.25;
    const from = recent ? Math.max(0, inputs.length - RECENT) : 0;
    const parents = recent || best.length === 0 ? inputs : best;
    const pick = () => parents[from + Math.floor(random() * (parents.length - from))] ?? new Uint8Array(0);
    finding = await tryInput(mutator.mutate(pick(), pick()));
  }
  const ms = performance.now() - started;
  await target.close?.();
  return {
    executions,
    ms,
    covered: Array.from({ length: task.points }, (_, point) => point).filter((point) =>
      corpus.covered(point),
    ),
    best: corpus.best(),
    inputs: corpus.inputs.length,
    retainedBytes: before === undefined ? 0 : retained() - before,
    finding,
  };
}

parentPort?.postMessage(await fuzz());
// What a target left open must not keep the thread.
process.exit();
