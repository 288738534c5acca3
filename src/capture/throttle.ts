/** No real burst is so long: the daemon admits 100,000 newcomers at once, and each says and answers something. */
const BURST_FRAMES = 250_000;
const FRAMES_PER_SECOND = 60_000;
/** Short enough for a question to leave in time through the same process. */
const NAP_MS = 4;

/**
 * What keeps a flooded interface from taking a processor for frames that nobody will look at: its child sleeps, and the
 * kernel drops and counts what its ring cannot hold, which costs next to nothing.
 */
export class Throttle {
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #left = BURST_FRAMES;
  #filledAt = performance.now();

  /** One frame more was read. `full`: there is no room left for the next ones anyway. */
  count(full: boolean): void {
    if (--this.#left > 0 && !full) return;
    Atomics.wait(this.#sleeper, 0, 0, NAP_MS);
    const now = performance.now();
    this.#left = Math.min(BURST_FRAMES, this.#left + ((now - this.#filledAt) * FRAMES_PER_SECOND) / 1000);
    this.#filledAt = now;
  }
}
