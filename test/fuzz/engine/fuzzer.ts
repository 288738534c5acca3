import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { COUNTERS, type Instrumented } from './instrument.js';
import type { Target } from './target.js';
import type { Finding, Report, Task } from './worker.js';

/** Runs a target in a worker, watches it, and says what came of it. */

const LARGEST_INPUT = 1 << 17;
/** Processor time that one input may take, unless a test says otherwise. The machine may be busy with others for longer. */
const HANG_CPU_MS = 5000;
/** The same for one that only waits. */
const HANG_MS = 120_000;
const POLL_MS = 250;
const HEAP_MB = 400;
/** What a target keeps in the end, beside its inputs. Compiled code and caches of regular expressions are some 10 MB. */
const RETAINED_BYTES = 48 << 20;

export interface Outcome extends Report {
  /** Branches of the files that the target is about: all of them, and those that were taken. */
  readonly branches: number;
  readonly taken: number;
}

export class Fuzzer {
  readonly #code: Instrumented;
  readonly #seedFolder: string;
  readonly #hangCpuMs: number;

  constructor(code: Instrumented, seedFolder: string, hangCpuMs = HANG_CPU_MS) {
    this.#code = code;
    this.#seedFolder = seedFolder;
    this.#hangCpuMs = hangCpuMs;
  }

  /** The files of seeds/NAME, and the lines of seeds/NAME.corpus, which a long run has found (base64). */
  seeds(name: string): Uint8Array[] {
    const folder = join(this.#seedFolder, basename(name));
    const files = existsSync(folder) ? readdirSync(folder).sort() : [];
    const found = `${folder}.corpus`;
    const lines = existsSync(found) ? readFileSync(found, 'latin1').split('\n').filter(Boolean) : [];
    return [
      ...files.map((file) => new Uint8Array(readFileSync(join(folder, file)))),
      ...lines.map((line) => new Uint8Array(Buffer.from(line, 'base64'))),
    ];
  }

  /** Keeps what the run has found for the runs to come: of the inputs that are best for something, the short ones. */
  save(name: string, best: readonly Uint8Array[]): void {
    const lines = best
      .filter(({ length }) => length <= 400)
      .sort((a, b) => a.length - b.length)
      .slice(0, 150)
      .map((input) => Buffer.from(input).toString('base64'));
    writeFileSync(`${join(this.#seedFolder, basename(name))}.corpus`, `${lines.join('\n')}\n`);
  }

  async run(name: string, runForMs: number, seed: number): Promise<Outcome> {
    const module = join(this.#code.directory, `test/fuzz/targets/${name}.js`);
    // Its counters are wanted by the copies of our modules that it imports.
    Object.assign(globalThis, { [COUNTERS]: new Uint8Array(this.#code.points) });
    const { target } = (await import(module)) as { target: Target };
    // Only its facts are wanted here; the worker has a copy of its own.
    await target.close?.();
    const about = (file: string) => target.covers.some((prefix) => file.startsWith(prefix));
    const words = [...this.#code.words].flatMap(([file, list]) => (about(file) ? list : []));
    const task = { words, seeds: this.seeds(name), seed, runForMs, module };
    const report = await this.#watch(task);
    const branches = this.#code.fileOf.filter(about).length;
    const taken = report.covered.filter((point) => about(this.#code.fileOf[point] as string)).length;
    const leaked = report.finding === undefined && report.retainedBytes > RETAINED_BYTES;
    const what = `keeps ${(report.retainedBytes / 1e6).toFixed(0)} MB more than at the beginning`;
    const finding = leaked ? { what, input: new Uint8Array(0) } : report.finding;
    return { ...report, finding, branches, taken };
  }

  /** The report of the worker, or one of its death. */
  async #watch(task: Omit<Task, 'progress' | 'points' | 'counterName'>): Promise<Report> {
    const progress = new SharedArrayBuffer(8 + LARGEST_INPUT);
    const header = new Int32Array(progress, 0, 2);
    const started = performance.now();
    const worker = new Worker(join(this.#code.directory, 'test/fuzz/engine/worker.js'), {
      workerData: { ...task, points: this.#code.points, counterName: COUNTERS, progress } satisfies Task,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    const dead = (what: string): Report => ({
      executions: Atomics.load(header, 0),
      ms: performance.now() - started,
      covered: [],
      best: [],
      inputs: 0,
      retainedBytes: 0,
      finding: { what, input: new Uint8Array(progress.slice(8, 8 + (header[1] as number))) },
    });
    let report: Report | undefined;
    worker.on('message', (message: Report) => {
      report = message;
    });
    worker.on('error', (error) => {
      report ??= dead(error.stack ?? String(error));
    });
    const ended = new Promise<void>((resolve) => worker.on('exit', () => resolve()));
    let executions = -1;
    let moved = { at: performance.now(), cpu: cpuMs() };
    const watch = async () => {
      while (report === undefined) {
        await Promise.race([ended, delay(POLL_MS)]);
        const now = Atomics.load(header, 0);
        if (now !== executions) moved = { at: performance.now(), cpu: cpuMs() };
        executions = now;
        const spent = cpuMs() - moved.cpu;
        const waited = performance.now() - moved.at;
        if (report !== undefined || (spent < this.#hangCpuMs && waited < HANG_MS)) continue;
        report = dead(`hangs: ${spent.toFixed(0)} ms of processor time in ${waited.toFixed(0)} ms`);
        await worker.terminate();
      }
    };
    await watch();
    await ended;
    return report ?? dead('the worker ended without a report');
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Keeps the input for whoever looks into it; returns the file. */
export function keepFinding(folder: string, name: string, { input }: Finding): string {
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 8);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${basename(name)}-${hash}`);
  writeFileSync(path, input);
  return path;
}
