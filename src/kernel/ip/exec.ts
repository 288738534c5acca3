import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { type Argv, confined } from '../../system/confine.js';
import type { Family } from '../../wire/addresses.js';

/** What a tool needs to be allowed: `net_admin` to change the kernel's tables, `none` to read them. */
export type Privilege = 'net_admin' | 'none';

/** The option of `ip` that stands for a family. */
export function optionOf(family: Family): '-4' | '-6' {
  return family === 'ipv4' ? '-4' : '-6';
}

/** Whether nobody may run what PATH names as `ip`. */
let nobody: boolean | undefined;

/** Only the process that changes the kernel's tables needs privileges. */
function command(tool: string, args: readonly string[], privilege: Privilege, realTime = false): Argv {
  nobody ??= works(confined(['ip', '-V'], { nobody: true }));
  const keep = privilege === 'none' ? undefined : privilege;
  return confined([tool, ...args], { keep, nobody, realTime });
}

function works([file, ...args]: Argv): boolean {
  return spawnSync(file, args, { stdio: 'ignore' }).status === 0;
}

/** The C locale: their output is parsed here. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C' };
}

/**
 * Starts a tool of iproute2 that stays, and cannot outlive the daemon: a monitor would otherwise linger until it next
 * writes. It gets a session of its own, so that Ctrl-C on a terminal reaches only the daemon, which still needs it to
 * withdraw its routes.
 */
export function launch(
  tool: 'ip' | 'bridge',
  args: readonly string[],
  privilege: Privilege,
  stdio: StdioOptions,
): ChildProcess {
  return start(command(tool, args, privilege), stdio);
}

function start([file, ...args]: Argv, stdio: StdioOptions): ChildProcess {
  return spawn(file, args, { stdio, detached: true, env: environment() });
}

/**
 * Starts `ip -force -batch -`, at the lowest real-time priority where that is allowed. The kernel wakes it on the
 * processor of the daemon that writes to it, where it would wait until the daemon has written its history as well. It
 * only does what we send it, and the kernel leaves 5 % of the time to others in any case (sched_rt_runtime_us).
 */
export function launchBatch(stdio: StdioOptions): ChildProcess {
  return start(command('ip', ['-force', '-batch', '-'], 'net_admin', true), stdio);
}

export interface Finished {
  /** Exit status; undefined when the tool could not be started or was killed. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a tool to its end, for the rare one-shot at start and stop. Blocks; never throws. */
export function runTool(tool: 'ip' | 'bridge', args: readonly string[]): Finished {
  const [file, ...argv] = command(tool, args, 'net_admin');
  const { status, stdout, stderr, error } = spawnSync(file, argv, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: environment(),
    timeout: HUNG_MS,
    killSignal: 'SIGKILL',
  });
  return { status: status ?? undefined, stdout: stdout ?? '', stderr: error?.message ?? stderr ?? '' };
}

/** Such as `6.1.0`; undefined when there is no `ip`. */
export function iproute2Version(): string | undefined {
  return /iproute2-(?:ss)?([\w.]+)/.exec(runTool('ip', ['-V']).stdout)?.[1];
}

const SLICE_MS = 4;
/** A tool that prints nothing for so long is ended. */
const HUNG_MS = 10_000;

/**
 * Runs a tool that only reads and hands over its output line by line, in slices short enough for the event loop to
 * stay responsive through a dump of 100,000 routes. Rejects with the tool's error text when it failed. `input`: questions
 * for `ip -batch -`.
 */
export function readLines(
  tool: 'ip' | 'bridge',
  args: readonly string[],
  onLine: (line: string) => void,
  input?: string,
): Promise<void> {
  const child = start(command(tool, args, 'none'), [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe']);
  child.stdin?.on('error', () => undefined).end(input);
  // Without streams: it could not be started for want of file descriptors, which `error` reports.
  const { stdout, stderr } = child;
  const lines = new LineSplitter();
  let errorText = '';
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    errorText += text;
  });
  let sliceStart = performance.now();
  return new Promise((resolve, reject) => {
    const hung = setTimeout(() => {
      errorText = `silent for ${HUNG_MS} ms`;
      child.kill('SIGKILL');
    }, HUNG_MS);
    stdout?.setEncoding('latin1').on('data', (text: string) => {
      hung.refresh();
      lines.push(text, onLine);
      const now = performance.now();
      if (now - sliceStart < SLICE_MS) return;
      // A fast writer would keep libuv in its read loop: give other events a turn.
      stdout.pause();
      setImmediate(() => {
        sliceStart = performance.now();
        stdout.resume();
      });
    });
    child.on('error', reject);
    child.on('close', (status) => {
      clearTimeout(hung);
      if (status === 0 && !errorText.includes('interrupted')) resolve();
      else reject(new Error(`${tool} ${args.join(' ')}: ${errorText.trim() || `exit status ${status}`}`));
    });
  });
}

/** Cuts a stream of text into lines. */
export class LineSplitter {
  #rest = '';

  push(text: string, onLine: (line: string) => void): void {
    let start = 0;
    let end = text.indexOf('\n');
    if (end >= 0 && this.#rest !== '') {
      onLine(this.#rest + text.slice(0, end));
      this.#rest = '';
      start = end + 1;
      end = text.indexOf('\n', start);
    }
    while (end >= 0) {
      onLine(text.slice(start, end));
      start = end + 1;
      end = text.indexOf('\n', start);
    }
    if (start < text.length) this.#rest += text.slice(start);
  }
}
