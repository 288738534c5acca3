/**
 * A token bucket without a timer: the generic cell rate algorithm (ITU-T I.371). It keeps one number, the time at
 * which the bucket would be full again.
 */
export class TokenBucket {
  private fullAt = Number.NEGATIVE_INFINITY;
  private readonly intervalMs: number;
  private readonly depthMs: number;

  /** `burst` tokens deep, refilled at `perSecond`. */
  constructor(burst: number, perSecond: number) {
    this.intervalMs = 1000 / perSecond;
    this.depthMs = burst * this.intervalMs;
  }

  snapshot(): number {
    return this.fullAt;
  }

  restore(fullAt: number): void {
    this.fullAt = fullAt;
  }

  /** Takes one token; false when there is none. */
  take(now: number): boolean {
    const fullAt = Math.max(this.fullAt, now) + this.intervalMs;
    if (fullAt - now > this.depthMs) return false;
    this.fullAt = fullAt;
    return true;
  }

  /**
   * Takes one token, in advance if need be: the time from which it may be used, `now` when the bucket is not empty.
   * undefined: that would be in more than `mostMs`.
   */
  reserve(now: number, mostMs: number): number | undefined {
    const fullAt = Math.max(this.fullAt, now) + this.intervalMs;
    const usableAt = Math.max(now, fullAt - this.depthMs);
    if (usableAt - now > mostMs) return undefined;
    this.fullAt = fullAt;
    return usableAt;
  }
}
