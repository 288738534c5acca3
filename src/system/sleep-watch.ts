import { uptime } from 'node:os';

/** Shorter differences are rounding: os.uptime() counts in hundredths, or in whole seconds. */
const LEAST_MS = 1500;

/**
 * Notices that the machine was suspended: the monotonic clock stands still meanwhile, the time since boot does not
 * (clock_gettime(2), CLOCK_MONOTONIC and CLOCK_BOOTTIME).
 */
export class SleepWatch {
  #offsetMs: number;

  constructor(
    private readonly sinceBootMs = () => uptime() * 1000,
    private readonly monotonicMs = () => performance.now(),
  ) {
    this.#offsetMs = this.#offset();
  }

  /** Whether the machine slept since this was asked last. */
  hasSlept(): boolean {
    const offset = this.#offset();
    const slept = offset - this.#offsetMs > LEAST_MS;
    this.#offsetMs = slept ? offset : Math.min(this.#offsetMs, offset);
    return slept;
  }

  #offset(): number {
    return this.sinceBootMs() - this.monotonicMs();
  }
}
