import type { ChildProcess } from 'node:child_process';
import { Writable } from 'node:stream';
import type { Child } from '../../system/child-watch.js';
import { LineSplitter, launchBatch } from './exec.js';

/** The outcome of one command: undefined when the kernel did it, its refusal, or LOST. */
export type Outcome = string | undefined;
/** By position of the command; a shorter or empty array means that the others succeeded. */
export type Outcomes = readonly Outcome[];

/** The process ended before it acknowledged the command: it may or may not have been carried out. */
export const LOST = 'lost: the ip process ended';

export interface Job {
  readonly commands: readonly string[];
  readonly done: ((outcomes: Outcomes) => void) | undefined;
  /** With a barrier behind each command, so that the one that ends the process is known. */
  readonly fenced: boolean;
  /** Line of the first command, counted from 1 in the life of the process. */
  firstLine: number;
  outcomes: Outcome[] | undefined;
}

export interface IpProcessOptions {
  /** A line sent to every new process at once, so that its tables of names are read before they are needed. */
  readonly warmUp: string | undefined;
  /** The warm-up was refused. */
  onDenied(refusal: string): void;
  /** It acknowledged its warm-up or commands; `finished`: jobs were finished by that. */
  onProgress(process: IpProcess, finished: boolean): void;
  /** It has ended; what is outstanding is still to be failed. */
  onEnd(process: IpProcess, status: number | null): void;
  onError(error: Error): void;
}

/** Exit status after a refused `neigh` command. */
export const STATUS_REFUSED = 2;

const BARRIER = 'marpd-barrier';
const NO_FAILURES: Outcomes = [];
/** Commands between two barriers of one flush: how far behind an acknowledgement may be. */
const BARRIER_EVERY = 64;

/** Of a process that could not be started for want of file descriptors, which `error` and `close` report. */
const NOWHERE = new Writable({ write: (_chunk, _encoding, done) => done() });

/** One `ip -force -batch -`, and the jobs that it has not acknowledged yet. */
export class IpProcess {
  readonly #options: IpProcessOptions;
  readonly #child: ChildProcess;
  readonly #input: Writable;
  /** Written and not acknowledged, oldest first from `#head` on. */
  #sent: Job[] = [];
  #head = 0;
  /** Every line up to this one was carried out. */
  #reached = 0;
  /** Written since the last acknowledgement: the reason of its end, if it ended. */
  stderr = '';
  /** Lines written so far. */
  lines = 0;
  /** Commands written and not acknowledged. */
  outstanding = 0;
  readonly startedAt = performance.now();
  /** When it last acknowledged something, or was asked after it had acknowledged all. */
  #progressAt = this.startedAt;

  constructor(options: IpProcessOptions) {
    this.#options = options;
    this.#child = launchBatch(['pipe', 'ignore', 'pipe']);
    this.#input = this.#child.stdin ?? NOWHERE;
    const splitter = new LineSplitter();
    // EPIPE of a process that has ended: `close` reports it.
    this.#input.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      splitter.push(text, (line) => this.#onLine(line));
      this.#complete();
    });
    this.#child.on('error', (error) => options.onError(error));
    this.#child.on('close', (status) => options.onEnd(this, status));
    const { warmUp } = options;
    if (warmUp === undefined) return;
    this.lines = 2;
    this.#input.write(`${warmUp}\n${BARRIER}\n`);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get child(): Child | undefined {
    if (this.pid === undefined) return undefined;
    const silentSince = this.outstanding > 0 ? this.#progressAt : undefined;
    const end = () => void this.#child.kill('SIGKILL');
    return { name: 'ip -batch', pid: this.pid, keep: 'net_admin', silentSince, end };
  }

  /** Whether the warm-up was answered: from then on it carries out what is written at once. */
  get live(): boolean {
    return this.#reached > 0 || this.#options.warmUp === undefined;
  }

  /** Writes the commands, and a barrier behind them. */
  send(jobs: readonly Job[]): void {
    let text = '';
    let sinceBarrier = 0;
    if (this.outstanding === 0) this.#progressAt = performance.now();
    const barrier = () => {
      text += `${BARRIER}\n`;
      this.lines++;
      sinceBarrier = 0;
    };
    for (const job of jobs) {
      job.firstLine = this.lines + 1;
      this.outstanding += job.commands.length;
      for (const line of job.commands) {
        text += `${line}\n`;
        this.lines++;
        sinceBarrier++;
        if (job.fenced) barrier();
      }
      if (sinceBarrier >= BARRIER_EVERY) barrier();
      this.#sent.push(job);
    }
    if (sinceBarrier > 0) barrier();
    this.#input.write(text, 'latin1');
  }

  /** Resolves when it has carried out what was written and is gone. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.pid === undefined) return resolve();
      this.#child.on('close', () => resolve());
      this.#input.end();
    });
  }

  /**
   * It has ended with this status: what it did not acknowledge is lost, but for the command that ended it, if known.
   * Returns whether it is known.
   */
  failOutstanding(status: number | null): boolean {
    let unexplained = status === STATUS_REFUSED;
    let explained = false;
    for (const job of this.#sent.slice(this.#head)) {
      const stride = job.fenced ? 2 : 1;
      const outcomes = job.commands.map((_, index): Outcome => {
        const line = job.firstLine + stride * index;
        if (line <= this.#reached) return job.outcomes?.[index];
        // Fenced: the line behind the last barrier is the one that ended the process.
        if (unexplained && job.fenced && this.stderr !== '') {
          unexplained = false;
          explained = true;
          return this.stderr;
        }
        unexplained = false;
        return LOST;
      });
      this.#finish(job, outcomes);
    }
    return explained;
  }

  #onLine(line: string): void {
    if (!line.startsWith('Command failed -:')) {
      if (line.startsWith(`Object "${BARRIER}"`)) return;
      this.stderr = this.stderr === '' ? line : `${this.stderr}; ${line}`;
      return;
    }
    const refusal = this.stderr;
    this.stderr = '';
    this.#reached = Number(line.slice('Command failed -:'.length));
    if (refusal === '') return;
    this.#attributeError(this.#reached, refusal);
    if (this.#reached === 1 && this.#options.warmUp !== undefined && refusal.includes('not permitted')) {
      this.#options.onDenied(refusal);
    }
  }

  #attributeError(line: number, refusal: string): void {
    for (let i = this.#head; i < this.#sent.length; i++) {
      const job = this.#sent[i] as Job;
      if (job.firstLine > line) return; // a barrier, or the warm-up
      const index = job.fenced ? (line - job.firstLine) / 2 : line - job.firstLine;
      if (index >= job.commands.length) continue;
      job.outcomes ??= [];
      job.outcomes[index] = refusal;
      return;
    }
  }

  /** Hands over the outcome of every job whose last line was reached. */
  #complete(): void {
    const before = this.outstanding;
    this.#progressAt = performance.now();
    let job = this.#sent[this.#head];
    while (job !== undefined && lastLine(job) <= this.#reached) {
      this.#finish(job, job.outcomes ?? NO_FAILURES);
      job = this.#sent[this.#head];
    }
    this.#options.onProgress(this, this.outstanding < before);
  }

  #finish(job: Job, outcomes: Outcomes): void {
    this.#sent[this.#head++] = undefined as never;
    this.outstanding -= job.commands.length;
    if (this.#head === this.#sent.length) {
      this.#sent = [];
      this.#head = 0;
    } else if (this.#head >= 4096) {
      this.#sent = this.#sent.slice(this.#head);
      this.#head = 0;
    }
    job.done?.(outcomes);
  }
}

function lastLine(job: Job): number {
  return job.firstLine + (job.fenced ? 2 : 1) * (job.commands.length - 1);
}
