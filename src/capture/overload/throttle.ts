export interface ReadPace {
  readonly burstFrames: number;
  readonly framesPerSecond: number;
  readonly napMs: number;
}

/**
 * No real burst is so long: the daemon admits 100,000 newcomers at once, and each says and answers something. The nap
 * is short enough for a question to leave in time through the same process.
 */
export const FLOOD_PACE: ReadPace = { burstFrames: 250_000, framesPerSecond: 60_000, napMs: 4 };
/** The first frames of a conversation tell all; no question leaves through this process. */
export const MISDIRECTED_PACE: ReadPace = { burstFrames: 1000, framesPerSecond: 2000, napMs: 10 };

/** Newcomers of a storm, in whatever process: between two naps others have their turn. */
export const REFUSE_PACE: ReadPace = { burstFrames: 64, framesPerSecond: 60_000, napMs: 1 };

/**
 * What keeps a flooded interface from taking a processor for frames that nobody will look at: its child sleeps, and the
 * kernel drops and counts what its ring cannot hold, which costs next to nothing.
 */
export class Throttle {
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  readonly #pace: ReadPace;
  #left: number;
  #filledAt = performance.now();

  constructor(pace: ReadPace) {
    this.#pace = pace;
    this.#left = pace.burstFrames;
  }

  /** One frame more was read. `full`: there is no room left for the next ones anyway. */
  count(full: boolean): void {
    if (--this.#left > 0 && !full) return;
    const { burstFrames, framesPerSecond, napMs } = this.#pace;
    Atomics.wait(this.#sleeper, 0, 0, napMs);
    const now = performance.now();
    this.#left = Math.min(burstFrames, this.#left + ((now - this.#filledAt) * framesPerSecond) / 1000);
    this.#filledAt = now;
  }
}
