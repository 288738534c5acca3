import { BARRIER, IpProcess, type IpProcessOptions } from './ip-process.js';

/**
 * The long-lived `ip -force -batch -`: commands go in line by line, and only failures come out.
 *
 * Facts of iproute2 6.1 that shape this file:
 * - A refused command says why and then `Command failed -:N`, N being its line. Success is silent. So a barrier is
 *   written behind every flush: a command that `ip` does not know. It fails without a word to the kernel, and its
 *   `Command failed -:N` on stderr (unbuffered) says that all lines before N were carried out.
 * - A syntax error, and a refused `neigh` command (`exit(2)` in ipneigh.c), end the process even with -force, and the
 *   lines behind it are lost. Nothing says which of the lines since the last sign of life it was, except that a
 *   fenced job has a barrier behind each of its commands.
 * - The name of a device is looked up once and remembered with its index, so an instance must not outlive the
 *   meaning of a name: `renew()`.
 * - Every command that succeeds leaks a page (`ip -batch` of 180,000 commands: 768 MB), so an instance is replaced
 *   after some thousands of lines, if possible at a quiet moment. A spare is ready: that costs one round trip. The old
 *   one is ended by a syntax error, and its shell starts the next spare: a fork of ours would take 10 ms and more (and
 *   the pages that we touch first thereafter), for which newcomers would wait.
 */

/** The outcome of one command: undefined when the kernel did it, its refusal, or LOST. */
export type Outcome = string | undefined;
/** By position of the command; a shorter or empty array means that the others succeeded. */
export type Outcomes = readonly Outcome[];

/** The process ended before it said anything about the command: it may or may not have been carried out. */
export const LOST = 'lost: the ip process ended';

interface Job {
  readonly commands: readonly string[];
  readonly done: ((outcomes: Outcomes) => void) | undefined;
  readonly fenced: boolean;
  /** Line of the first command, counted from 1 in the life of a process. */
  firstLine: number;
  outcomes: Outcome[] | undefined;
}

export interface BatchOptions {
  readonly onWarning: (message: string) => void;
  /** See IpProcessOptions. */
  readonly warmUp?: string | undefined;
  /** We may not change routes; told at most once by each process, when there is a warm-up. */
  readonly onDenied?: ((refusal: string) => void) | undefined;
  /** The process ended by itself and was replaced. */
  readonly onDeath?: (() => void) | undefined;
  /** Some commands were acknowledged: there is room for more. */
  readonly onProgress?: (() => void) | undefined;
}

const NO_FAILURES: Outcomes = [];
/** Commands between two barriers of one flush: how far behind an acknowledgement may be. */
const BARRIER_EVERY = 64;
/** Lines after which a process is replaced, when nothing was asked of it for a while and when something was: 16 MiB. */
const QUIET_LIFE_LINES = 1024;
const BUSY_LIFE_LINES = 4096;
const QUIET_MS = 250;
const BACK_OFF_MS = [0, 0, 0, 50, 200, 1000, 5000];

export class IpBatch {
  readonly #options: BatchOptions;
  readonly #hearing: IpProcessOptions;
  #process: IpProcess | undefined;
  /** Started ahead, with no names remembered yet. */
  #spare: IpProcess | undefined;
  /** Those whose `ip` is being replaced: the next spares. */
  readonly #renewed = new Set<IpProcess>();
  #unsent: Job[] = [];
  #unsentCommands = 0;
  /** Written and not acknowledged, oldest first from `#head` on. */
  #sent: Job[] = [];
  #head = 0;
  #sentCommands = 0;
  #turnScheduled = false;
  #renewing = false;
  #closing = false;
  #deathsInARow = 0;
  #restart: NodeJS.Timeout | undefined;
  /** Set while a process is old enough to be replaced as soon as it is quiet. */
  #quiet: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  /** Times a process ended by itself. */
  deaths = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#hearing = {
      warmUp: options.warmUp,
      onFailure: (process, at, complaint) => this.#noteFailure(process, at, complaint),
      onPause: (process) => this.#complete(process),
      onRenewed: (process) => this.#welcome(process),
      onEnd: (process, status) => this.#mourn(process, status),
      onError: (error) => options.onWarning(`ip cannot be started: ${error.message}`),
    };
    this.#process = this.#spawn();
    this.#spare = this.#spawn();
  }

  /** Commands submitted and not yet acknowledged. */
  get outstanding(): number {
    return this.#unsentCommands + this.#sentCommands;
  }

  /** Process ids of the shells, for tests. */
  get pids(): number[] {
    return this.#all().flatMap(({ pid }) => pid ?? []);
  }

  /**
   * Queues commands; they go out together with the others of this turn of the event loop. `done` is called once,
   * after all of them, in the order of submission.
   */
  submit(commands: readonly string[], done?: (outcomes: Outcomes) => void): void {
    this.#enqueue({ commands, done, fenced: false, firstLine: 0, outcomes: undefined });
  }

  /** The same with a barrier behind each command, so that the one that ends the process is known. */
  submitFenced(commands: readonly string[], done?: (outcomes: Outcomes) => void): void {
    this.#enqueue({ commands, done, fenced: true, firstLine: 0, outcomes: undefined });
  }

  #enqueue(job: Job): void {
    if (job.commands.length === 0) throw new Error('a job without commands');
    this.#unsent.push(job);
    this.#unsentCommands += job.commands.length;
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.flush();
    });
  }

  /** Writes what was submitted, now. */
  flush(): void {
    const process = this.#process;
    if (process === undefined || this.#renewing || this.#unsent.length === 0) return;
    let text = '';
    let sinceBarrier = 0;
    const barrier = () => {
      text += `${BARRIER}\n`;
      process.lines++;
      sinceBarrier = 0;
    };
    for (const job of this.#unsent) {
      job.firstLine = process.lines + 1;
      for (const line of job.commands) {
        text += `${line}\n`;
        process.lines++;
        sinceBarrier++;
        if (job.fenced) barrier();
      }
      if (sinceBarrier >= BARRIER_EVERY) barrier();
      this.#sent.push(job);
    }
    if (sinceBarrier > 0) barrier();
    this.#sentCommands += this.#unsentCommands;
    this.#unsentCommands = 0;
    this.#unsent = [];
    process.write(text);
    if (process.lines > BUSY_LIFE_LINES) this.renew();
  }

  /** From here on the names of devices mean what they mean now. Commands already submitted are carried out before. */
  renew(): void {
    if (this.#renewing) return;
    this.flush();
    this.#renewing = true;
    this.#renewIfDone();
  }

  /** An old process is replaced when it has had nothing to do for QUIET_MS. */
  #awaitQuiet(): void {
    const process = this.#process;
    if (process === undefined || process.lines < QUIET_LIFE_LINES || this.#closing) return;
    const { lines } = process;
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      if (process !== this.#process) return;
      if (process.lines === lines) this.renew();
      else this.#awaitQuiet();
    }, QUIET_MS).unref();
  }

  #renewIfDone(): void {
    if (!this.#renewing || this.#sentCommands > 0 || this.#process === undefined) return;
    this.#renewing = false;
    const old = this.#process;
    this.#process = undefined;
    this.#renewed.add(old);
    old.renew();
    // The spare may have been started before the name changed, but it has not looked up any.
    this.#replace();
  }

  #welcome(process: IpProcess): void {
    this.#renewed.delete(process);
    if (this.#process === undefined && this.#restart === undefined) this.#appoint(process);
    else if (this.#spare === undefined) this.#spare = process;
    else void process.close();
  }

  #all(): IpProcess[] {
    return [this.#process, this.#spare, ...this.#renewed].filter((process) => process !== undefined);
  }

  /** Resolves when everything submitted so far was carried out or refused. */
  idle(): Promise<void> {
    this.flush();
    if (this.outstanding === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Carries out what was submitted, if that is possible within `timeoutMs`, and ends the processes. */
  async close(timeoutMs = 5000): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.idle(), late]);
    clearTimeout(timer);
    this.#closing = true;
    clearTimeout(this.#restart);
    clearTimeout(this.#quiet);
    const ended = this.#all().map((process) => process.close());
    this.#process = undefined;
    this.#spare = undefined;
    this.#renewed.clear();
    await Promise.all(ended);
  }

  #spawn(): IpProcess {
    return new IpProcess(this.#hearing);
  }

  #noteFailure(process: IpProcess, at: number, complaint: string): void {
    if (complaint === '') return;
    if (process === this.#process) this.#blame(at, complaint);
    if (at === 1 && this.#options.warmUp !== undefined && complaint.includes('not permitted')) {
      this.#options.onDenied?.(complaint);
    }
  }

  #blame(line: number, complaint: string): void {
    for (let i = this.#head; i < this.#sent.length; i++) {
      const job = this.#sent[i] as Job;
      if (job.firstLine > line) return; // a barrier, or the warm-up
      const index = job.fenced ? (line - job.firstLine) / 2 : line - job.firstLine;
      if (index >= job.commands.length) continue;
      job.outcomes ??= [];
      job.outcomes[index] = complaint;
      return;
    }
  }

  #lastLine(job: Job): number {
    return job.firstLine + (job.fenced ? 2 : 1) * (job.commands.length - 1);
  }

  /** Hands over the outcome of every job whose last line was reached. */
  #complete(process: IpProcess): void {
    if (process !== this.#process) return;
    let job = this.#sent[this.#head];
    while (job !== undefined && this.#lastLine(job) <= process.reached) {
      this.#deathsInARow = 0;
      this.#finish(job, job.outcomes ?? NO_FAILURES);
      job = this.#sent[this.#head];
    }
    this.#settle();
  }

  #finish(job: Job, outcomes: Outcomes): void {
    this.#sent[this.#head++] = undefined as never;
    this.#sentCommands -= job.commands.length;
    if (this.#head === this.#sent.length) {
      this.#sent = [];
      this.#head = 0;
    } else if (this.#head >= 4096) {
      this.#sent = this.#sent.slice(this.#head);
      this.#head = 0;
    }
    job.done?.(outcomes);
  }

  #settle(): void {
    this.#renewIfDone();
    this.#awaitQuiet();
    this.#options.onProgress?.();
    if (this.#idle.length === 0) return;
    this.flush();
    if (this.outstanding > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  #mourn(process: IpProcess, status: number | null): void {
    if (process === this.#spare || this.#renewed.delete(process)) {
      if (process === this.#spare) this.#spare = undefined;
      if (!this.#closing) this.#options.onWarning(`the spare ip process ended (status ${status})`);
      // Awaited.
      if (this.#process === undefined && this.#restart === undefined) this.#replace();
    }
    if (process !== this.#process) return;
    this.#process = undefined;
    this.#renewing = false;
    this.deaths++;
    this.#deathsInARow++;
    // Status 2 is a refused `neigh` command: its job is told.
    if (status !== 2) {
      const why = process.complaint === '' ? '' : `: ${process.complaint}`;
      this.#options.onWarning(`the ip process ended (status ${status})${why}; it is restarted`);
    }
    this.#bury(process);
    this.#replace();
    this.#options.onDeath?.();
  }

  /** What the dead process did not acknowledge is lost, but for the command that it died of, if that is known. */
  #bury(process: IpProcess): void {
    const orphans = this.#sent.slice(this.#head);
    let first = true;
    for (const job of orphans) {
      const stride = job.fenced ? 2 : 1;
      const outcomes = job.commands.map((_, index): Outcome => {
        const line = job.firstLine + stride * index;
        if (line <= process.reached) return job.outcomes?.[index];
        // Fenced: the line behind the last barrier is the one that ended the process.
        if (first && job.fenced && process.complaint !== '') {
          first = false;
          return process.complaint;
        }
        first = false;
        return LOST;
      });
      this.#finish(job, outcomes);
    }
    this.#settle();
  }

  #replace(): void {
    if (this.#closing) return;
    const delay = BACK_OFF_MS[Math.min(this.#deathsInARow, BACK_OFF_MS.length - 1)] as number;
    const take = () => {
      this.#restart = undefined;
      const spare = this.#spare;
      this.#spare = undefined;
      if (spare !== undefined) this.#appoint(spare);
      else if (this.#renewed.size === 0) this.#appoint(this.#spawn());
    };
    if (delay === 0) take();
    else this.#restart = setTimeout(take, delay);
  }

  #appoint(process: IpProcess): void {
    this.#process = process;
    // Not in the same turn: what waits for the process goes first.
    setImmediate(() => {
      if (this.#closing || this.#deathsInARow >= 3 || this.#renewed.size > 0) return;
      this.#spare ??= this.#spawn();
    });
    this.flush();
  }
}
