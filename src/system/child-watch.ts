import { readFileSync } from 'node:fs';
import type { Capability } from './confine.js';

/** A process that the daemon started and needs. */
export interface Child {
  /** For people, such as `ip monitor`. */
  readonly name: string;
  readonly pid: number;
  /** All that it needs. */
  readonly keep: Capability | undefined;
  /** Since when it owes an answer or a sign of life, ms of `performance.now()`; undefined when it owes none. */
  readonly silentSince: number | undefined;
  /** Ends it for good; whoever started it starts another one. */
  end(): void;
}

const LOOK_MS = 250;
/** Much longer than the kernel, busy with others, keeps an answer back. */
const SILENT_MS = 5000;

/** Ends children that hang: stopped by a signal or a debugger, or silent for too long. */
export class ChildWatch {
  readonly #timer: NodeJS.Timeout;
  /** Seen stopped at the last look. */
  #stopped = new Set<number>();
  #lookedAt = performance.now();
  /** Since then this process was not held up itself: what waited for it was no silence. */
  #awakeSince = this.#lookedAt;

  constructor(children: () => Iterable<Child>, onHung: (message: string) => void) {
    this.#timer = setInterval(() => this.#look(children(), onHung), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(children: Iterable<Child>, onHung: (message: string) => void): void {
    const now = performance.now();
    if (now - this.#lookedAt > 2 * LOOK_MS) this.#awakeSince = now;
    this.#lookedAt = now;
    const stopped = new Set<number>();
    for (const child of children) {
      const { name, pid, silentSince = Number.POSITIVE_INFINITY } = child;
      if (isStopped(pid)) stopped.add(pid);
      const silentMs = now - Math.max(silentSince, this.#awakeSince);
      const why =
        this.#stopped.has(pid) && stopped.has(pid) ? 'was stopped' : silentMs > SILENT_MS ? 'hangs' : '';
      if (why === '') continue;
      onHung(`${name} (pid ${pid}) ${why}; it is ended and started again`);
      child.end();
    }
    this.#stopped = stopped;
  }
}

/** By a signal, or by a debugger: state T or t in proc(5). */
function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2]?.toUpperCase() === 'T';
  } catch {
    return false;
  }
}
