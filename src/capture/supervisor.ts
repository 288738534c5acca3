import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { IfIndex } from '../mobility/events.js';
import { raiseReaderPriority, lowerReaderPriority } from '../system/priority.js';
import { FLOOD_ARGUMENT, readerEnvironment, readerLaunches } from './reader-launch.js';
import { IpcChannel } from './ipc-channel.js';
import { CommandQueue } from './command-queue.js';
import { READY, UNUSABLE, decodeText } from './protocol.js';

/** One capture child; `interfaces` are those it has been told to open and has not closed. */
export interface ReaderProcess {
  readonly process: ChildProcess;
  readonly lifeline: IpcChannel;
  readonly orders: CommandQueue;
  readonly interfaces: Set<IfIndex>;
  readonly startedAt: number;
  readonly flood: boolean;
  ready: boolean;
  lastWords: string;
}

export interface SupervisorOptions {
  /** Tells a child that is not for floods that it has a special task. */
  readonly childArgument?: string | undefined;
  /** What a living child says of its interfaces; the payload is valid only during the call. */
  onRecord(child: ReaderProcess, kind: number, iface: IfIndex, payload: Uint8Array): void;
  onBatchEnd(): void;
  /** Nothing follows of the child. `reason`: it was not sent away, and another one could do better. */
  onDeath(child: ReaderProcess, reason: string | undefined): void;
  /** No child can work on this machine. Called once. */
  onFatal(message: string): void;
  onWarning(message: string): void;
}

/** Children in a row that die before they can do anything: the installation is broken. */
const STILLBIRTHS = 5;
const STOP_MS = 1000;

/** Starts capture children, in the most confined way that works here, and knows those that live. */
export class CaptureSupervisor {
  readonly #options: SupervisorOptions;
  readonly #launches = readerLaunches();
  #launch = 0;
  readonly #alive = new Set<ReaderProcess>();
  #stillbirths = 0;
  #ended = false;
  #fatalTold = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  [Symbol.iterator](): IterableIterator<ReaderProcess> {
    return this.#alive.values();
  }

  /** A child that has not said anything yet; undefined after stop(). */
  spawn(flood: boolean): ReaderProcess | undefined {
    const launch = this.#launches[this.#launch];
    if (launch === undefined || this.#ended) return undefined;
    const task = flood ? FLOOD_ARGUMENT : this.#options.childArgument;
    const process = spawn(launch.file, [...launch.args, ...(task === undefined ? [] : [task])], {
      cwd: '/',
      env: readerEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      // In our session it would share in our right to go before others.
      detached: flood,
    });
    // A burst of 50,000 frames is over in 0.2 s, and what the ring cannot hold is lost. Of a flood nobody wants all.
    if (task === undefined) raiseReaderPriority(process.pid);
    else if (flood) lowerReaderPriority(process.pid);
    const lifeline = new IpcChannel(
      process.stdio[3] as Socket,
      (kind, iface, payload) => this.#onRecord(child, kind, iface, payload),
      () => {
        if (!this.#ended) this.#options.onBatchEnd();
      },
      (reason) => {
        child.lastWords = reason;
        process.kill('SIGKILL');
      },
    );
    const startedAt = performance.now();
    const child: ReaderProcess = {
      process,
      lifeline,
      orders: new CommandQueue((record) => lifeline.command(record)),
      interfaces: new Set(),
      startedAt,
      flood,
      ready: false,
      lastWords: '',
    };
    this.#alive.add(child);
    process.on('error', (error) => {
      child.lastWords = error.message;
    });
    // Not `exit`: what the child wrote before it died is still to be read.
    process.on('close', (code, signal) => this.#onDeath(child, signal ?? `exit ${code}`));
    createInterface({ input: process.stderr as Socket }).on('line', (line) => {
      // libpcap would like to know the netmask; a filter for ARP has no use for it.
      if (line.trim() === '' || line.includes('no IPv4 address assigned')) return;
      child.lastWords = line;
      if (child.ready && !this.#ended) this.#options.onWarning(`capture child ${process.pid}: ${line}`);
    });
    return child;
  }

  /** Tells that capture cannot work here, unless that was told. */
  fatal(message: string): void {
    if (this.#ended || this.#fatalTold) return;
    this.#fatalTold = true;
    this.#options.onFatal(message);
  }

  /** Sends what is waiting, ends all of them and resolves when they are gone. No callback follows the call. */
  async stop(): Promise<void> {
    this.#ended = true;
    const gone = [...this.#alive].map(
      (child) => new Promise<void>((resolve) => child.process.once('close', () => resolve())),
    );
    for (const child of this.#alive) child.lifeline.end();
    const impatience = setTimeout(() => {
      for (const child of this.#alive) child.process.kill('SIGKILL');
    }, STOP_MS);
    await Promise.all(gone);
    clearTimeout(impatience);
  }

  #onRecord(child: ReaderProcess, kind: number, iface: IfIndex, payload: Uint8Array): void {
    if (this.#ended) return;
    if (kind === READY) {
      child.ready = true;
      this.#stillbirths = 0;
    } else if (kind === UNUSABLE) this.fatal(decodeText(payload));
    else this.#options.onRecord(child, kind, iface, payload);
  }

  #onDeath(child: ReaderProcess, cause: string): void {
    this.#alive.delete(child);
    if (this.#ended) return;
    const reason = `capture child died (${cause}${child.lastWords === '' ? '' : `: ${child.lastWords}`})`;
    const sentAway = child.flood && child.interfaces.size === 0;
    const hope = !sentAway && (child.ready || this.#wouldLaunchOtherwise(reason));
    this.#options.onDeath(child, hope ? reason : undefined);
  }

  /** A child never came to life: try the next way to start one. False when there is none left. */
  #wouldLaunchOtherwise(reason: string): boolean {
    if (this.#launch < this.#launches.length - 1) {
      this.#launch++;
      this.#options.onWarning(`${reason}; starting it with more privileges than it needs`);
      return true;
    }
    this.#stillbirths++;
    if (this.#stillbirths < STILLBIRTHS) return true;
    this.fatal(reason);
    return false;
  }
}
