import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { LineSplitter, RENEWED, launchBatch } from './launch.js';

export interface IpProcessOptions {
  /** A line sent to every new `ip` at once, so that its tables of names are read before they are needed. */
  readonly warmUp: string | undefined;
  /** Line `at` failed, and so all lines up to it were carried out. `complaint`: why, or empty for a barrier. */
  onFailure(process: IpProcess, at: number, complaint: string): void;
  /** Everything that it has said for now was told. */
  onPause(process: IpProcess): void;
  /** After `renew`: the next `ip` is there. */
  onRenewed(process: IpProcess): void;
  /** Status 2: a refused `neigh` command. */
  onEnd(process: IpProcess, status: number | null): void;
  onError(error: Error): void;
}

export const BARRIER = 'marpd-barrier';
/** An incomplete command. */
const END = 'route del to';

/** A shell and its present `ip -force -batch -` (see launchBatch). */
export class IpProcess {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #warmUp: string | undefined;
  #renewing = false;
  #failed = false;
  /** Lines written to this `ip` so far. */
  lines = 0;
  /** Every line up to this one was carried out. */
  reached = 0;
  /** Said last, and no failure was told after it: the reason of its end, if it ended. */
  complaint = '';

  constructor(options: IpProcessOptions) {
    this.#warmUp = options.warmUp;
    this.#child = launchBatch(['pipe', 'ignore', 'pipe']);
    this.#input = this.#child.stdin as Writable;
    const splitter = new LineSplitter();
    // EPIPE of a process that died: its end is told by `close`.
    this.#input.on('error', () => undefined);
    (this.#child.stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
      splitter.push(text, (line) => this.#hear(line, options));
      options.onPause(this);
    });
    this.#child.on('error', (error) => options.onError(error));
    // A shell that was killed leaves an `ip` behind, which ends with its input.
    this.#child.on('exit', () => this.#input.destroy());
    this.#child.on('close', (status) => options.onEnd(this, status));
    this.#begin();
  }

  /** Of the shell. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Complete lines; the caller has counted them. */
  write(text: string): void {
    this.#input.write(text, 'latin1');
  }

  /** Has `ip` replaced by another one. Only when everything written was carried out. */
  renew(): void {
    this.#renewing = true;
    this.write(`${END}\n`);
  }

  /** Resolves when it has carried out what was written and is gone. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.pid === undefined) return resolve();
      this.#child.on('close', () => resolve());
      this.#input.end();
    });
  }

  #begin(): void {
    this.lines = 0;
    this.reached = 0;
    this.complaint = '';
    if (this.#warmUp === undefined) return;
    this.lines++;
    this.write(`${this.#warmUp}\n`);
  }

  /** One line of stderr. */
  #hear(line: string, options: IpProcessOptions): void {
    if (this.#failed) return;
    if (line === RENEWED) {
      if (!this.#renewing) return this.#fail();
      this.#renewing = false;
      this.#begin();
      return options.onRenewed(this);
    }
    if (!line.startsWith('Command failed -:')) {
      if (line.startsWith(`Object "${BARRIER}"`)) return;
      this.complaint = this.complaint === '' ? line : `${this.complaint}; ${line}`;
      return;
    }
    const { complaint } = this;
    this.complaint = '';
    this.reached = Number(line.slice('Command failed -:'.length));
    options.onFailure(this, this.reached, complaint);
  }

  /** A syntax error of ours. The next `ip` begins to carry out what stands behind it in the pipe, and counts from 1. */
  #fail(): void {
    this.#failed = true;
    this.#child.kill('SIGKILL');
  }
}
