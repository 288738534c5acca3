import { IpProcess, type IpProcessOptions, type Job, type Outcomes, STATUS_REFUSED } from './process.js';

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
 *   after some thousands of lines, if possible at a quiet moment. A spare takes over at once, while the old one
 *   finishes its work. Then that is ended by a syntax error, and its shell starts the next spare: a fork of ours would
 *   take 10 ms and more (and the pages that we touch first thereafter), for which newcomers would wait.
 */

export interface BatchOptions {
  readonly onWarning: (message: string) => void;
  /** See IpProcessOptions. */
  readonly warmUp?: string | undefined;
  /** We may not change routes; told at most once by each process, when there is a warm-up. */
  readonly onDenied?: ((refusal: string) => void) | undefined;
  /** The process ended by itself and was replaced. */
  readonly onDeath?: (() => void) | undefined;
  /** Some commands were acknowledged, or a process is there again: there is room for more. */
  readonly onProgress?: (() => void) | undefined;
}

/** Lines after which a process is replaced, when nothing was asked of it for a while and when something was: 16 MiB. */
const QUIET_LIFE_LINES = 1024;
const BUSY_LIFE_LINES = 4096;
const QUIET_MS = 250;
const PROVISION_MS = 1000;
const BACK_OFF_MS = [0, 0, 0, 50, 200, 1000, 5000];

export class IpBatch {
  readonly #options: BatchOptions;
  readonly #hearing: IpProcessOptions;
  #process: IpProcess | undefined;
  /** Started ahead, with no names remembered yet. */
  #spare: IpProcess | undefined;
  /** Relieved ones: they finish their work, and then their `ip` is replaced. */
  readonly #relieved = new Set<IpProcess>();
  /** Those whose `ip` is being replaced: the next spares. */
  readonly #renewed = new Set<IpProcess>();
  #unsent: Job[] = [];
  #unsentCommands = 0;
  #turnScheduled = false;
  #renewing = false;
  #closing = false;
  #deathsInARow = 0;
  #restart: NodeJS.Timeout | undefined;
  #provision: NodeJS.Timeout | undefined;
  /** Set while a process is old enough to be replaced as soon as it is quiet. */
  #quiet: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  /** Times a process ended by itself. */
  deaths = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#hearing = {
      warmUp: options.warmUp,
      onDenied: (refusal) => options.onDenied?.(refusal),
      onProgress: (finished) => {
        if (finished) this.#deathsInARow = 0;
        this.#settle();
      },
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

  /**
   * Whether what is submitted now is carried out now. What waits here while a process is replaced, for seconds when
   * they die as they are born, is carried out as it was written, whatever its device name means by then.
   */
  get ready(): boolean {
    return this.#process?.live === true && !this.#renewing;
  }

  get #sentCommands(): number {
    let sum = this.#process?.outstanding ?? 0;
    for (const { outstanding } of this.#relieved) sum += outstanding;
    return sum;
  }

  /** Process ids of the shells, for tests. */
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
    const jobs = this.#unsent;
    this.#unsent = [];
    this.#unsentCommands = 0;
    process.send(jobs);
    if (process.lines > BUSY_LIFE_LINES) this.#relieve();
  }

  /** From here on the names of devices mean what they mean now. Commands already submitted are carried out before. */
  renew(): void {
    // The next one knows no names yet.
    if (this.#renewing || this.#process === undefined) return;
    this.flush();
    this.#renewing = true;
    this.#renewIfDone();
  }

  #renewIfDone(): void {
    const old = this.#process;
    if (!this.#renewing || this.#sentCommands > 0 || old === undefined) return;
    this.#renewing = false;
    this.#process = undefined;
    this.#relieved.add(old);
    // The spare may have been started before the name changed, but it has not looked up any.
    this.#replace();
    this.#retire(old);
  }

  /** The spare goes on at once. When there is none yet, the old one does. */
  #relieve(): void {
    const old = this.#process;
    if (old === undefined || this.#closing) return;
    if (this.#spare === undefined) return this.#provideSoon();
    if (!this.#spare.live) return;
    this.#relieved.add(old);
    this.#appoint(this.#spare);
    this.#retire(old);
  }

  /** A relieved one that has finished its work. */
  #retire(process: IpProcess): void {
    if (process.outstanding > 0 || this.#closing || !this.#relieved.delete(process)) return;
    this.#renewed.add(process);
    process.renew();
  }

  #welcome(process: IpProcess): void {
    if (!this.#renewed.delete(process) || this.#closing) return;
    if (this.#process === undefined && this.#restart === undefined) this.#appoint(process);
    else if (this.#spare === undefined) this.#spare = process;
    else void process.close();
  }

  /** An old process is replaced when it has had nothing to do for QUIET_MS. */
  #awaitQuiet(): void {
    const process = this.#process;
    if (process === undefined || process.lines < QUIET_LIFE_LINES || this.#closing) return;
    const { lines } = process;
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      if (process !== this.#process) return;
      if (process.lines === lines) this.#relieve();
      else this.#awaitQuiet();
    }, QUIET_MS).unref();
  }

  #all(): IpProcess[] {
    const all = [this.#process, this.#spare, ...this.#relieved, ...this.#renewed];
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
    clearTimeout(this.#provision);
    const ended = this.#all().map((process) => process.close());
    this.#process = undefined;
    this.#spare = undefined;
    this.#relieved.clear();
    this.#renewed.clear();
    await Promise.all(ended);
  }

  #spawn(): IpProcess {
    return new IpProcess(this.#hearing);
  }

  #settle(): void {
    for (const process of this.#relieved) this.#retire(process);
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
    if (process === this.#process) {
      this.#process = undefined;
      this.#renewing = false;
      this.#deathsInARow++;
    } else if (!this.#relieved.delete(process)) return this.#mournSpare(process, status);
    this.deaths++;
    // A refused command: its job is told.
    if (status !== STATUS_REFUSED) {
      const why = process.complaint === '' ? '' : `: ${process.complaint}`;
      this.#options.onWarning(`the ip process ended (status ${status})${why}; it is restarted`);
    }
    process.bury(status);
    this.#settle();
    this.#replaceIfMissing();
    this.#provideSoon();
    this.#options.onDeath?.();
  }

  #mournSpare(process: IpProcess, status: number | null): void {
    if (process === this.#spare) this.#spare = undefined;
    else if (!this.#renewed.delete(process)) return;
    if (this.#closing) return;
    this.#options.onWarning(`the spare ip process ended (status ${status})`);
    this.#replaceIfMissing();
    this.#provideSoon();
  }

  #replaceIfMissing(): void {
    if (this.#process === undefined && this.#restart === undefined) this.#replace();
  }

  #replace(): void {
    if (this.#closing) return;
    const delay = BACK_OFF_MS[Math.min(this.#deathsInARow, BACK_OFF_MS.length - 1)] as number;
    const take = () => {
      this.#restart = undefined;
      if (this.#spare !== undefined) this.#appoint(this.#spare);
      else if (this.#renewed.size === 0) this.#appoint(this.#spawn());
    };
    if (delay === 0) take();
    else this.#restart = setTimeout(take, delay);
  }

  #appoint(process: IpProcess): void {
    if (process === this.#spare) this.#spare = undefined;
    this.#process = process;
    // Not in the same turn: what waits for the process goes first.
    setImmediate(() => {
      this.#options.onProgress?.();
      this.#provide();
    });
    this.flush();
  }

  /** A spare, unless one is on its way or they die as soon as they are born. */
  #provide(): void {
    const isOnItsWay = this.#relieved.size + this.#renewed.size > 0;
    if (this.#closing || this.#process === undefined || this.#deathsInARow >= 3 || isOnItsWay) return;
    this.#spare ??= this.#spawn();
  }

  /** For one that died. */
  #provideSoon(): void {
    if (this.#spare !== undefined || this.#closing) return;
    this.#provision ??= setTimeout(() => {
      this.#provision = undefined;
      this.#provide();
    }, PROVISION_MS).unref();
  }
}
