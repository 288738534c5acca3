import { LONGEST_SLEEP_MS, TURN_FRAMES } from './constants.js';

/** How many frames of an interface are read: a first burst at any speed, and so many a second from then on. */
export interface ReadPace {
  readonly burstFrames: number;
  readonly framesPerSecond: number;
}

/**
 * Paces the reading of one interface. Frames beyond the pace are left to the kernel, which drops and counts what its
 * ring cannot hold at almost no cost. The reader sleeps for the time that TURN_FRAMES frames take at that pace, which is
 * how long the frames of another interface may wait for it.
 */
export class Throttle {
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  readonly #pace: ReadPace;
  readonly #sleepMs: number;
  #left: number;
  #filledAt: number;

  constructor(pace: ReadPace, now = performance.now()) {
    this.#pace = pace;
    this.#sleepMs = Math.min(LONGEST_SLEEP_MS, (TURN_FRAMES * 1000) / pace.framesPerSecond);
    this.#left = pace.burstFrames;
    this.#filledAt = now;
  }

  /** One more frame was read. `full`: the next ones would be dropped anyway, so the burst is over. */
  count(full: boolean): void {
    this.#left--;
    if (full) this.#left = Math.min(this.#left, TURN_FRAMES);
    if (this.#left > 0) return;
    Atomics.wait(this.#sleeper, 0, 0, this.#sleepMs);
    const now = performance.now();
    const { burstFrames, framesPerSecond } = this.#pace;
    const earned = ((now - this.#filledAt) * framesPerSecond) / 1000;
    this.#left = Math.min(burstFrames, this.#left + earned);
    this.#filledAt = now;
  }
}
