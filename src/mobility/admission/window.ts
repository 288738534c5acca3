import type { Policy } from '../policy.js';
import {
  COUNTING_MS,
  CREDIT,
  MOST_CREDIT,
  LOOKUPS_PER_SECOND,
  STORM_CREDIT,
  STORM_MS,
  STORM_SILENT,
  STORM_WAIT_MS,
} from './constants.js';
import { TokenBucket } from '../../rate/token-bucket.js';

/** Newcomers that were probed, by how it ended. */
interface Outcomes {
  answered: number;
  silent: number;
}

/** Of probes that we send of our own accord: shallow, so that they spread. */
export function probeBudget({ probesPerSecond }: Policy['limits']): TokenBucket {
  return new TokenBucket(Math.max(1, probesPerSecond / 20), probesPerSecond);
}

const NONE: Readonly<Outcomes> = { answered: 0, silent: 0 };

/**
 * How many newcomers of one interface may be unanswered at a time: a first number, and as many as have answered in the
 * present and the last window of time. Hosts answer, so a burst of them is learned whole. Forgers do not, and each that is
 * probed costs the work of a real one.
 *
 * There is a storm when newcomers wait although all that were probed before them had time to answer, and most did not. A
 * storm leaves a smaller first number, so that only those are served who answer.
 */
export class AdmissionWindow {
  readonly #budget: TokenBucket;
  /** Lost hosts that are asked again. */
  readonly lostHosts: TokenBucket;
  /** Hosts that are asked although they did not speak themselves: RARP named their MAC, or somebody looks for them. */
  readonly lookups = new TokenBucket(LOOKUPS_PER_SECOND, LOOKUPS_PER_SECOND);
  #windowStart = Number.NEGATIVE_INFINITY;
  #current: Outcomes = { ...NONE };
  #last: Outcomes = { ...NONE };
  #stormUntil = Number.NEGATIVE_INFINITY;
  #reported = false;

  constructor(limits: Policy['limits']) {
    this.#budget = new TokenBucket(limits.newcomerBurst, limits.newcomersPerSecond);
    this.lostHosts = probeBudget(limits);
  }

  snapshot() {
    return {
      budget: this.#budget.snapshot(),
      lostHosts: this.lostHosts.snapshot(),
      lookups: this.lookups.snapshot(),
      windowStart: this.#windowStart,
      current: { ...this.#current },
      last: { ...this.#last },
      stormUntil: this.#stormUntil,
      reported: this.#reported,
    };
  }

  restore(state: ReturnType<AdmissionWindow['snapshot']>): void {
    this.#budget.restore(state.budget);
    this.lostHosts.restore(state.lostHosts);
    this.lookups.restore(state.lookups);
    this.#windowStart = state.windowStart;
    this.#current = state.current;
    this.#last = state.last;
    this.#stormUntil = state.stormUntil;
    this.#reported = state.reported;
  }

  /** Time has passed: what was long ago no longer counts. */
  roll(now: number): void {
    if (now - this.#windowStart < COUNTING_MS) return;
    const adjoining = now - this.#windowStart < 2 * COUNTING_MS;
    this.#last = adjoining ? this.#current : { ...NONE };
    this.#current = { ...NONE };
    this.#windowStart = now;
    this.#reported = false;
  }

  /** When it was last used, within COUNTING_MS. */
  get windowStart(): number {
    return this.#windowStart;
  }

  /** Takes one from the budget. */
  take(now: number): boolean {
    return this.#budget.take(now);
  }

  credit(now: number): number {
    const first = this.inStorm(now) ? STORM_CREDIT : CREDIT;
    return Math.min(MOST_CREDIT, first + this.#sum('answered'));
  }

  noteProof(): void {
    this.#current.answered++;
  }

  /** One that was taken for silent has answered after all. */
  noteLateProof(): void {
    this.#current.answered++;
    const counted = this.#last.silent > 0 ? this.#last : this.#current;
    counted.silent = Math.max(0, counted.silent - 1);
  }

  noteSilence(): void {
    this.#current.silent++;
  }

  /**
   * One more newcomer has to wait, or had to, and the first that waits has done so for `waitedMs`; infinite when this one
   * cannot wait.
   * Returns whether there is a storm.
   */
  onOverflow(waitedMs: number, now: number): boolean {
    const silent = this.#sum('silent');
    const mostAreSilent = silent >= STORM_SILENT && silent >= this.#sum('answered');
    if (mostAreSilent && (waitedMs >= STORM_WAIT_MS || this.inStorm(now))) this.#stormUntil = now + STORM_MS;
    return this.inStorm(now);
  }

  /** Whether a trouble of the interface is reported for the first time within COUNTING_MS. */
  isFirstReport(): boolean {
    const first = !this.#reported;
    this.#reported = true;
    return first;
  }

  inStorm(now: number): boolean {
    return now < this.#stormUntil;
  }

  #sum(what: keyof Outcomes): number {
    return this.#current[what] + this.#last[what];
  }
}
