import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Namespace } from './namespace.js';

/** One line that a program printed. `at` is Date.now() when it was read, ms. */
export interface Line {
  readonly at: number;
  readonly text: string;
}

/** Lines of output that are kept; a daemon that logs for an hour must not fill the memory of its test. */
const KEPT_LINES = 20_000;

/**
 * A running program in a namespace. Its output goes to the report of a failing test. It is killed with the lab, and
 * by the kernel when the lab itself is killed.
 */
export class Program {
  readonly lines: Line[] = [];
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #drained = false;
  #status: number | NodeJS.Signals | undefined;
  #listeners: ((line: Line) => void)[] = [];

  constructor(
    readonly namespace: Namespace,
    argv: readonly string[],
    options: { readonly title?: string; readonly env?: NodeJS.ProcessEnv; readonly quiet?: boolean } = {},
  ) {
    const title = options.title ?? argv[0];
    const [command, ...args] = ['setpriv', '--pdeathsig', 'KILL', ...namespace.argv(...argv)] as [
      string,
      ...string[],
    ];
    this.child = spawn(command, args, { detached: true, env: { ...process.env, ...options.env } });
    namespace.lab.adopt(this.child);
    // 'close' and not 'exit': by then all output has been read
    this.#closed = once(this.child, 'close');
    this.child.once('close', () => {
      this.#drained = true;
    });
    this.child.once('exit', (code, signal) => {
      this.#status = code ?? signal ?? undefined;
    });
    this.child.once('error', (error) => this.#take(String(error)));
    this.child.stdin?.on('error', () => {}); // it ended before it had read everything: its status says so
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = '';
      stream?.setEncoding('utf8');
      stream?.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() as string;
        for (const line of lines) this.#take(line);
      });
      stream?.on('end', () => {
        if (rest !== '') this.#take(rest);
      });
    }
    if (options.quiet !== true) {
      namespace.lab.onFailure(() => {
        const tail = this.lines.slice(-60).map((line) => `    ${clock(line.at)} ${line.text}`);
        return [`  ${title} in ${namespace.role}${this.#ending()}`, ...tail].join('\n');
      });
    }
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the program never started');
    return this.child.pid;
  }

  get running(): boolean {
    return this.#status === undefined;
  }

  /** Exit code or signal name, undefined while it runs. */
  get status(): number | NodeJS.Signals | undefined {
    return this.#status;
  }

  /** All that was printed so far on both streams. */
  get output(): string {
    return this.lines.map((line) => line.text).join('\n');
  }

  /** Calls for every line from now on. */
  onLine(listener: (line: Line) => void): void {
    this.#listeners.push(listener);
  }

  /** The first line that matches, waited for. @throws when all was read without it or the time is over */
  async line(pattern: RegExp, timeoutMs = 10_000): Promise<Line> {
    return waitFor(
      () => {
        const found = this.lines.find((line) => pattern.test(line.text));
        // (It may have ended, and its last words be on their way still.)
        if (found === undefined && this.#drained)
          throw new Error(`ended before printing ${pattern}${this.#ending()}`);
        return found;
      },
      timeoutMs,
      `${pattern} in the output`,
    );
  }

  write(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Sends a signal and waits for the end. Returns exit code or signal name. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<number | NodeJS.Signals> {
    if (this.running) this.child.kill(signal);
    return this.ended(timeoutMs);
  }

  /** Waits for the end. Returns exit code or signal name. */
  async ended(timeoutMs = 20_000): Promise<number | NodeJS.Signals> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`still running after ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      await Promise.race([this.#closed, late]);
    } finally {
      clearTimeout(timer);
    }
    return this.#status ?? -1;
  }

  #take(text: string): void {
    const line = { at: Date.now(), text };
    this.lines.push(line);
    if (this.lines.length > KEPT_LINES) this.lines.splice(0, KEPT_LINES / 2);
    for (const listener of this.#listeners) listener(line);
  }

  #ending(): string {
    return this.#status === undefined ? '' : ` (ended: ${this.#status})`;
  }
}

/**
 * Polls until `probe` returns something true, and returns that.
 * @throws when that takes longer than `timeoutMs`, naming `what`
 */
export async function waitFor<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs: number,
  what: string,
  pauseMs = 10,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await pause(pauseMs);
  }
}

/**
 * Watches that `probe` stays true for a time: the only way to show that something does *not* happen.
 * @throws as soon as it is not, naming `what`
 */
export async function staysTrue(
  probe: () => boolean,
  durationMs: number,
  what: string,
  pauseMs = 20,
): Promise<void> {
  const started = performance.now();
  for (;;) {
    if (!probe()) throw new Error(`${what} ended after ${(performance.now() - started).toFixed(0)} ms`);
    if (performance.now() - started > durationMs) return;
    await pause(pauseMs);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Time of day with milliseconds, as tcpdump prints it. */
export function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
