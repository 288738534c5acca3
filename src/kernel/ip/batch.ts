import type { Child } from '../../system/child-watch.js';
import { IpProcess, type IpProcessOptions, type Job, type Outcomes, STATUS_REFUSED } from './process.js';

/**
 * The long-lived `ip -force -batch -`: commands go in line by line, and only failures come out.
 *
 * Facts of iproute2 6.1 that shape this file:
 * - A refused command says why and then `Command failed -:N`, N being its line. Success is silent. So a barrier is
 *   written behind every flush: a command that `ip` does not know. It fails without asking the kernel, and its
 *   `Command failed -:N` on stderr (unbuffered) says that all lines before N were carried out.
 * - A syntax error, and a refused `neigh` command (`exit(2)` in ipneigh.c), end the process even with -force, and the
 *   lines behind it are lost. Nothing shows which of the lines since the last barrier it was, except that a fenced job
 *   has a barrier behind each of its commands.
 * - The name of a device is looked up once and remembered with its index, so a process must not outlive the meaning of
 *   a name: `renew()`.
 * - Every command that succeeds leaks a page (`ip -batch` of 180,000 commands: 768 MB), so a process is replaced after
 *   some thousands of lines, if possible at a quiet moment. The next one is started beside it and takes over when it
 *   answers; the old one finishes its work.
 */

export interface BatchOptions {
  readonly onWarning: (message: string) => void;
  /** See IpProcessOptions. */
  readonly warmUp?: string | undefined;
  /** We may not change routes; called at most once for each process, when there is a warm-up. */
  readonly onDenied?: ((refusal: string) => void) | undefined;
  /** The process ended by itself and was replaced. */
  readonly onDeath?: (() => void) | undefined;
  /** Some commands were acknowledged, or a process is ready: more can be sent. */
  readonly onProgress?: (() => void) | undefined;
}

/** Lines after which a process is replaced when nothing was asked of it for QUIET_MS: 4 MiB. */
const QUIET_LIFE_LINES = 1024;
/**
 * The same when it is busy: 32 MiB at a page per command. A newcomer takes two commands, so the daemon is forked once
 * for every 4,000 newcomers.
 */
const BUSY_LIFE_LINES = 8192;
const QUIET_MS = 250;
/** A replacement that ended before it answered is tried again after this. */
const ROTATE_AGAIN_MS = 1000;
/** Before the next start, after so many processes that ended at once without having carried out anything. */
const BACK_OFF_MS = [0, 0, 0, 50, 200, 500];
/** A process that lived for so long has not ended at once. */
const STABLE_MS = 200;

export class IpBatch {
  readonly #options: BatchOptions;
  readonly #processOptions: IpProcessOptions;
  #process: IpProcess | undefined;
  /** Takes over as soon as it answers. */
  #next: IpProcess | undefined;
  /** Replaced ones that finish their work. */
  readonly #draining = new Set<IpProcess>();
  #unsent: Job[] = [];
  #unsentCommands = 0;
  #flushScheduled = false;
  #closing = false;
  /** Processes that ended at once since one did anything. */
  #uselessStarts = 0;
  #restart: NodeJS.Timeout | undefined;
  #rotateNotBefore = 0;
  /** Set while a process is old enough to be replaced as soon as it is quiet. */
  #quiet: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  /** Times a process ended by itself. */
  deaths = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#processOptions = {
      warmUp: options.warmUp,
      onDenied: (refusal) => options.onDenied?.(refusal),
      onProgress: (process, finished) => {
        if (finished) this.#uselessStarts = 0;
        if (process === this.#next && process.live) this.#switchOver();
        this.#onProgress();
      },
      onEnd: (process, status) => this.#onExit(process, status),
      onError: (error) => options.onWarning(`ip cannot be started: ${error.message}`),
    };
    this.#process = this.#spawn();
  }

  /** Commands submitted and not yet acknowledged. */
  get outstanding(): number {
    let sum = this.#unsentCommands + (this.#process?.outstanding ?? 0);
    for (const { outstanding } of this.#draining) sum += outstanding;
    return sum;
  }

  /**
   * Whether what is submitted now is carried out now. What waits here while a process is replaced, for seconds when
   * each one ends at once, is carried out as it was written, whatever its device name means by then.
   */
  get ready(): boolean {
    return this.#process?.live === true;
  }

  get children(): Child[] {
    return this.#all().flatMap(({ child }) => child ?? []);
  }

  /** Process ids, for tests. */
  get pids(): number[] {
    return this.#all().flatMap(({ pid }) => pid ?? []);
  }

  /**
   * Queues commands; they go out together with the others of this turn of the event loop. `done` is called once,
   * after all of them.
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
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }

  /** Writes what was submitted, now. */
  flush(): void {
    const process = this.#process;
    if (process === undefined || this.#unsent.length === 0) return;
    const jobs = this.#unsent;
    this.#unsent = [];
    this.#unsentCommands = 0;
    process.send(jobs);
    if (process.lines > BUSY_LIFE_LINES) this.#rotate();
  }

  /** From here on the names of devices mean what they mean now; in commands already submitted, what they meant. */
  renew(): void {
    this.flush();
    // A replacement that was started before the name changed has not looked up any.
    this.#next ??= this.#spawn();
    this.#switchOver();
  }

  #rotate(): void {
    if (this.#closing || this.#next !== undefined || performance.now() < this.#rotateNotBefore) return;
    this.#next = this.#spawn();
    if (this.#next.live) this.#switchOver();
  }

  #switchOver(): void {
    const old = this.#process;
    this.#process = this.#next;
    this.#next = undefined;
    clearTimeout(this.#restart);
    this.#restart = undefined;
    if (old === undefined) return;
    this.#draining.add(old);
    void old.close();
  }

  /** An old process is replaced when it has had nothing to do for QUIET_MS. */
  #awaitQuiet(): void {
    const process = this.#process;
    if (process === undefined || process.lines < QUIET_LIFE_LINES || this.#closing) return;
    const { lines } = process;
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      if (process !== this.#process) return;
      if (process.lines === lines) this.#rotate();
      else this.#awaitQuiet();
    }, QUIET_MS).unref();
  }

  #all(): IpProcess[] {
    const all = [this.#process, this.#next, ...this.#draining];
    return all.filter((process) => process !== undefined);
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
    this.#next = undefined;
    this.#draining.clear();
    await Promise.all(ended);
  }

  #spawn(): IpProcess {
    return new IpProcess(this.#processOptions);
  }

  #onProgress(): void {
    this.#awaitQuiet();
    this.#options.onProgress?.();
    if (this.#idle.length === 0) return;
    this.flush();
    if (this.outstanding > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  #onExit(process: IpProcess, status: number | null): void {
    if (this.#draining.delete(process) && process.outstanding === 0) return;
    if (this.#closing) return;
    if (process === this.#next) {
      this.#next = undefined;
      this.#rotateNotBefore = performance.now() + ROTATE_AGAIN_MS;
    } else if (process === this.#process) {
      this.#process = undefined;
      if (performance.now() - process.startedAt >= STABLE_MS) this.#uselessStarts = 0;
      else this.#uselessStarts++;
    }
    this.deaths++;
    // After a refused command its job gets the reason.
    if (status !== STATUS_REFUSED) {
      const why = process.stderr === '' ? '' : `: ${process.stderr}`;
      this.#options.onWarning(`the ip process ended (status ${status})${why}; it is restarted`);
    }
    // Each of a row of commands that are refused may end a process.
    if (process.failOutstanding(status)) this.#uselessStarts = 0;
    this.#onProgress();
    this.#restartIfMissing();
    this.#options.onDeath?.();
  }

  #restartIfMissing(): void {
    if (this.#process !== undefined || this.#restart !== undefined || this.#closing) return;
    const delay = BACK_OFF_MS[Math.min(this.#uselessStarts, BACK_OFF_MS.length - 1)] as number;
    const restart = () => {
      this.#restart = undefined;
      this.#next ??= this.#spawn();
      this.#switchOver();
      this.flush();
    };
    if (delay === 0) restart();
    else this.#restart = setTimeout(restart, delay);
  }
}
