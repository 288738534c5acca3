import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One decoder or parser, and what must hold for everything that it may be given. */
export interface Target {
  /** Paths below the root whose branches count as its coverage. */
  readonly covers: readonly string[];
  /** Longest input. */
  readonly maxBytes: number;
  /** Text for a mutation to insert, beside the strings of the code. */
  readonly words?: readonly string[];
  /** Inputs to begin with, beside the files in seeds/. */
  readonly seeds?: () => Iterable<Uint8Array | string>;
  /** One execution takes no longer than this on an idle machine. */
  readonly slowMs?: number;
  /** Throws when the code under test does what it must not. */
  run(input: Uint8Array): void | Promise<void>;
  /** Once, after the last run. */
  close?(): void | Promise<void>;
}

/** A directory for the files that a target reads; in memory, where there is such a place. */
export function scratch(name: string): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `marpd-fuzz-${name}-`));
}

/** Bytes as a source of choices; zeros when they are used up. */
export class Choices {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  get left(): number {
    return this.bytes.length - this.#at;
  }

  byte(): number {
    return this.bytes[this.#at++] ?? 0;
  }

  /** One of these. */
  pick<T>(from: readonly T[]): T {
    return from[this.byte() % from.length] as T;
  }

  take(count: number): Uint8Array {
    const taken = this.bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }
}

export const textOf = (input: Uint8Array): string => Buffer.from(input).toString('latin1');
