import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { IfIndex } from '../mobility/events.js';
import type { Child } from '../system/child-watch.js';
import { readerEnvironment, readerLaunches } from './reader-launch.js';
import { IpcChannel } from './ipc-channel.js';
import { CommandQueue } from './command-queue.js';
import { READY, UNUSABLE, decodeText } from './protocol.js';

export interface ReaderProcess {
  readonly process: ChildProcess;
  readonly channel: IpcChannel;
  readonly commands: CommandQueue;
  readonly startedAt: number;
  ready: boolean;
  /** When its last record came. */
  heardAt: number;
  lastStderr: string;
}

export interface SupervisorOptions {
  /** An argument that tells people what the reader is for. */
  readonly task?: string | undefined;
  /** A record of the reader about an interface; the payload is valid only during the call. */
  onRecord(kind: number, iface: IfIndex, payload: Uint8Array): void;
  onBatchEnd(): void;
  /** The reader has died; nothing follows from it. */
  onDeath(reason: string): void;
  /** After onDeath, at once or some time later: a new reader may be started. */
  onRestart(): void;
  /** No reader can work on this machine. Called once. */
  onFatal(message: string): void;
  onWarning(message: string): void;
}

/** So many readers in a row died before they were ready: the installation is broken. */
const START_FAILURES = 5;
/** A reader that lived longer died of something new: the next one starts at once. */
const STEADY_MS = 1000;
const RESTART_FIRST_MS = 100;
const RESTART_MOST_MS = 5000;
/** A reader that has not ended so long after it was asked to is killed. */
const STOP_MS = 1000;

/** Keeps one reader running, started in the most confined way that works here. */
export class ReaderSupervisor {
  readonly #options: SupervisorOptions;
  readonly #launches = readerLaunches();
  #launch = 0;
  #reader: ReaderProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #startFailures = 0;
  /** A reader was ready once: it can work here, started the way it is. */
  #worked = false;
  #earlyDeaths = 0;
  #ended = false;
  #fatalReported = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get reader(): ReaderProcess | undefined {
    return this.#reader;
  }

  get child(): Child | undefined {
    const reader = this.#reader;
    if (reader?.process.pid === undefined) return undefined;
    const silentSince = reader.ready ? reader.heardAt : undefined;
    const end = () => void reader.process.kill('SIGKILL');
    return { name: 'capture reader', pid: reader.process.pid, keep: 'net_raw', silentSince, end };
  }

  /** The reader, started if there is none; undefined while the next one has to wait, and after stop(). */
  start(): ReaderProcess | undefined {
    if (this.#reader === undefined && this.#restart === undefined && !this.#ended)
      this.#reader = this.#spawn();
    return this.#reader;
  }

  /** Reports that capture cannot work here, unless that was reported. */
  fatal(message: string): void {
    if (this.#ended || this.#fatalReported) return;
    this.#fatalReported = true;
    this.#options.onFatal(message);
  }

  /** Sends what is waiting, ends the reader and resolves when it is gone. No callback follows the call. */
  async stop(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#restart);
    const reader = this.#reader;
    if (reader === undefined) return;
    const closed = new Promise<void>((resolve) => reader.process.once('close', () => resolve()));
    reader.channel.end();
    const killTimer = setTimeout(() => reader.process.kill('SIGKILL'), STOP_MS);
    await closed;
    clearTimeout(killTimer);
  }

  #spawn(): ReaderProcess | undefined {
    const launch = this.#launches[this.#launch];
    if (launch === undefined) return undefined;
    const { task } = this.#options;
    const [program, ...args] = launch;
    const process = spawn(program, [...args, ...(task === undefined ? [] : [task])], {
      cwd: '/',
      env: readerEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    const socket = process.stdio?.[3] as Socket | undefined;
    if (socket === undefined) {
      // No file descriptor is left.
      process.on('error', (error) =>
        this.#options.onDeath(`capture reader cannot be started: ${error.message}`),
      );
      this.#restartAfter(RESTART_MOST_MS);
      return undefined;
    }
    const channel = new IpcChannel(
      socket,
      (kind, iface, payload) => this.#onRecord(reader, kind, iface, payload),
      () => {
        if (!this.#ended) this.#options.onBatchEnd();
      },
      (reason) => {
        reader.lastStderr = reason;
        process.kill('SIGKILL');
      },
    );
    const reader: ReaderProcess = {
      process,
      channel,
      commands: new CommandQueue((record) => channel.command(record)),
      startedAt: performance.now(),
      ready: false,
      heardAt: 0,
      lastStderr: '',
    };
    process.on('error', (error) => {
      reader.lastStderr = error.message;
    });
    // Not `exit`: what the reader wrote before it died is still to be read.
    process.on('close', (code, signal) => this.#onClose(reader, signal ?? `exit ${code}`));
    createInterface({ input: process.stderr as Socket }).on('line', (line) => {
      // libpcap would like to know the netmask; a filter for ARP has no use for it.
      if (line.trim() === '' || line.includes('no IPv4 address assigned')) return;
      reader.lastStderr = line;
      if (reader.ready && !this.#ended) this.#options.onWarning(`capture reader ${process.pid}: ${line}`);
    });
    return reader;
  }

  #onRecord(reader: ReaderProcess, kind: number, iface: IfIndex, payload: Uint8Array): void {
    if (this.#ended) return;
    reader.heardAt = performance.now();
    if (kind === READY) {
      reader.ready = true;
      this.#worked = true;
      this.#startFailures = 0;
    } else if (kind === UNUSABLE) this.fatal(decodeText(payload));
    else this.#options.onRecord(kind, iface, payload);
  }

  #onClose(reader: ReaderProcess, cause: string): void {
    this.#reader = undefined;
    if (this.#ended) return;
    const { ready, lastStderr } = reader;
    const reason = `capture reader died (${cause}${lastStderr === '' ? '' : `: ${lastStderr}`})`;
    if (!ready && !this.#worked && !this.#canStartOtherwise(reason)) return;
    const early = performance.now() - reader.startedAt < STEADY_MS;
    this.#earlyDeaths = (ready || this.#worked) && early ? this.#earlyDeaths + 1 : 0;
    this.#options.onDeath(reason);
    if (this.#earlyDeaths < 2) return this.#options.onRestart();
    this.#restartAfter(Math.min(RESTART_MOST_MS, RESTART_FIRST_MS * 2 ** (this.#earlyDeaths - 2)));
  }

  #restartAfter(ms: number): void {
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.#options.onRestart();
    }, ms);
  }

  /** A reader died before it was ready: the next way to start one, if there is any left. */
  #canStartOtherwise(reason: string): boolean {
    if (this.#launch < this.#launches.length - 1) {
      this.#launch++;
      this.#options.onWarning(`${reason}; starting it with more privileges than it needs`);
      return true;
    }
    this.#startFailures++;
    if (this.#startFailures < START_FAILURES) return true;
    this.fatal(reason);
    return false;
  }
}
