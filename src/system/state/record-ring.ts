import { createWriteStream, mkdirSync, readdirSync, rmSync, statSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Outlet, Recorder } from '../../replay/recorder.js';

/** The ring is so many files; the oldest goes when the next one begins. Each can be replayed by itself. */
const FILES = 8;
const CHECK_MS = 500;
const NAME = /^recording-(\d{6})\.pcapng$/;

export function recordDirectory(stateDirectory: string): string {
  return join(stateDirectory, 'record');
}

/** Paths of the recordings in a directory, oldest first. */
export function recordFiles(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names
    .filter((name) => NAME.test(name))
    .sort()
    .map((name) => join(directory, name));
}

/** The flight recorder: what the tracker is given and decides, in files of bounded size altogether. */
export class RecordRing {
  readonly #directory: string;
  readonly #fileBytes: number;
  readonly #warn: (message: string) => void;
  readonly #outlet: Outlet;
  readonly #timer: NodeJS.Timeout;
  #number: number;

  /** `recorder` has seen nothing yet. A disk that refuses is reported once and ends it. */
  constructor(stateDirectory: string, bytes: number, recorder: Recorder, warn: (message: string) => void) {
    this.#directory = recordDirectory(stateDirectory);
    this.#fileBytes = bytes / FILES;
    this.#warn = warn;
    const last = recordFiles(this.#directory).at(-1);
    this.#number = last === undefined ? 0 : Number(/(\d{6})\.pcapng$/.exec(last)?.[1]);
    this.#outlet = recorder.add(this.#next(), { complete: true });
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#outlet.end();
  }

  #check(): void {
    const { bytes, beginningBytes } = this.#outlet;
    // With many hosts the beginning alone may be larger than a file should be.
    if (bytes >= Math.max(this.#fileBytes, 2 * beginningBytes)) this.#outlet.continueIn(this.#next());
  }

  #next(): WriteStream {
    this.#number = (this.#number + 1) % 1_000_000;
    const path = join(this.#directory, `recording-${String(this.#number).padStart(6, '0')}.pcapng`);
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o750 });
      this.#deleteOldest();
    } catch (error) {
      this.#warn(`capture.record: ${String(error)}`);
    }
    const stream = createWriteStream(path, { mode: 0o640 });
    stream.on('error', (error) => {
      this.#warn(`capture.record: recording ends: ${error.message}`);
      this.stop();
    });
    return stream;
  }

  /** Files of an earlier run, perhaps of another size, count as well. */
  #deleteOldest(): void {
    const files = recordFiles(this.#directory).map((path) => ({ path, bytes: statSync(path).size }));
    let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { path, bytes } of files) {
      if (total <= this.#fileBytes * (FILES - 1)) return;
      rmSync(path, { force: true });
      total -= bytes;
    }
  }
}
