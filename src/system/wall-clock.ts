/** The most by which `Date.now()`, which is cut to whole milliseconds, and a reading of two clocks one after the other differ. */
const READING_MS = 2;
/** Steps that are kept. What happened before the oldest of them is told by its clock. */
const STEPS = 64;

/**
 * When something happened, by the router's clock: an event keeps the time that was told of it. A step of the clock counts
 * for what happened after it was last looked at.
 */
export class WallClock {
  /** ms since 1970 at which the monotonic clock stood at 0, oldest first, and from when on each counts. */
  readonly #origins: { readonly from: number; readonly originMs: number }[];
  /** Until then the last origin was right. */
  #rightUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly wallMs = () => Date.now(),
    private readonly monotonicMs = () => performance.now(),
    originMs = performance.timeOrigin,
  ) {
    this.#origins = [{ from: Number.NEGATIVE_INFINITY, originMs }];
  }

  /** For an event at this time of the monotonic clock. */
  originOf(at: number): number {
    this.#look();
    const origins = this.#origins;
    return (origins.findLast(({ from }) => at > from) ?? (origins[0] as (typeof origins)[0])).originMs;
  }

  #look(): void {
    const before = this.monotonicMs();
    const wallMs = this.wallMs();
    const now = this.monotonicMs();
    // A process that stood still between the readings cannot compare them, and looks again next time.
    if (now - before > READING_MS / 2) return;
    const originMs = wallMs - now;
    const last = this.#origins.at(-1) as { readonly originMs: number };
    if (Math.abs(originMs - last.originMs) > READING_MS) {
      this.#origins.push({ from: this.#rightUntil, originMs });
      if (this.#origins.length > STEPS) this.#origins.shift();
    }
    this.#rightUntil = now;
  }
}
