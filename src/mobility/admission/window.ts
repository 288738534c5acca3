import { TokenBucket } from './token-bucket.js';
import type { Policy } from '../policy.js';

/**
 * Newcomers of one interface that have not answered yet. Hosts answer, and their answers overtake what else comes: bursts
 * of 100,000 at full speed are learned whole (npm run bench -- burst). Forgers do not, and each that is asked costs us the
 * work of a real one; so there is credit for a first number, and for as many as have answered in the last seconds. As
 * long as that keeps forgers at bay, some 8,000 a second, real newcomers get in beside them. The first number is less with
 * each storm of the last seconds.
 */
const UNPROVEN = 4096;
const UNPROVEN_LEAST = 256;
const UNPROVEN_LESS = 800;
const UNPROVEN_MOST = 32_768;
const CREDIT_WINDOW_MS = 1000;
/**
 * Of those that could as well wait, the ones that were asked once: more at a time would only stand in line until they are
 * asked again and answer twice. As in TCP Vegas their number falls when answers take long and rises when they come at
 * once; hosts that always take long are asked 4,000 a second, for a place is free when its question is asked again.
 */
const ASKED_MOST = 512;
const ASKED_LEAST = 200;
const LATE_MS = 40;
const PROMPT_MS = 20;
/** So many newcomers beyond the credit within a window are a crowd, and so many that wait when they come more slowly. */
const CROWD = 256;
const CROWD_WINDOW_MS = 50;
const WAITING_LONG = 4096;
/** So long after the first of those that wait everybody who was asked before has answered, or was silent for good. */
const QUESTION_MS = 500;
/** For how long a storm is refused; longer when there were more than so many in the last seconds: then it lasts. */
const STORM_MS = 50;
const STORM_LASTS = 4;
const STORM_REST_MS = 200;

/** Of newcomers that were asked, and how often there was a storm. */
interface WindowStats {
  answered: number;
  silent: number;
  storms: number;
}

const NOTHING: Readonly<WindowStats> = { answered: 0, silent: 0, storms: 0 };

/** What one interface has brought in this window of time and in the one before, and how many newcomers that allows. */
export class AdmissionWindow {
  readonly #budget: TokenBucket;
  #windowStart = Number.NEGATIVE_INFINITY;
  #lately: WindowStats = { ...NOTHING };
  #before: WindowStats = { ...NOTHING };
  #crowdedSince = Number.NEGATIVE_INFINITY;
  #crowding = 0;
  #once = ASKED_MOST;

  constructor({ newcomerBurst, newcomersPerSecond }: Policy['limits']) {
    this.#budget = new TokenBucket(newcomerBurst, newcomersPerSecond);
  }

  /** Time has gone on: what was long ago no longer counts. */
  roll(now: number): void {
    if (now - this.#windowStart < CREDIT_WINDOW_MS) return;
    const adjoining = now - this.#windowStart < 2 * CREDIT_WINDOW_MS;
    this.#before = adjoining ? this.#lately : { ...NOTHING };
    if (!adjoining) this.#once = ASKED_MOST;
    this.#lately = { ...NOTHING };
    this.#windowStart = now;
  }

  /** When it was last of interest. */
  get windowStart(): number {
    return this.#windowStart;
  }

  /** Takes one from the budget. */
  take(now: number): boolean {
    return this.#budget.take(now);
  }

  /** How many strangers may be unproven at a time. */
  get credit(): number {
    const first = Math.max(UNPROVEN_LEAST, UNPROVEN - UNPROVEN_LESS * this.#sum('storms'));
    return Math.min(UNPROVEN_MOST, first + this.#sum('answered'));
  }

  /** The same for those who are known from another place. */
  get mostCredit(): number {
    return UNPROVEN_MOST;
  }

  /** How many of those that could wait may have been asked once and not yet a second time. */
  get once(): number {
    return this.#once;
  }

  /** One has answered, so many milliseconds after it was first asked. */
  noteProof(rttMs: number): void {
    this.#lately.answered++;
    if (rttMs > LATE_MS) this.#once = Math.max(ASKED_LEAST, this.#once - 1);
    else if (rttMs < PROMPT_MS) this.#once = Math.min(ASKED_MOST, this.#once + 1);
  }

  /** One has not answered. */
  noteSilence(): void {
    this.#lately.silent++;
  }

  /**
   * There was one more than there is credit for, and now so many wait, the first of them for `waitedMs`. Returns for how
   * many milliseconds the next ones are to be refused. Real ones answer, if late: behind 50,000 others in the ring. So it
   * is a storm when most are silent, and while there was none, not before it could be told of those that came with it.
   */
  crowd(waiting: number, waitedMs: number, now: number): number {
    if (!this.#isCrowd(now) && (waiting < WAITING_LONG || waiting % CROWD !== 0)) return 0;
    if (waitedMs < QUESTION_MS && this.#sum('storms') === 0) return 0;
    const silent = this.#sum('silent');
    return silent >= CROWD && silent >= this.#sum('answered') ? this.#storm() : 0;
  }

  /** The same of one that was refused, because it cannot wait or nobody can any more: then the answers must be there. */
  refuse(now: number): number {
    return this.#isCrowd(now) && this.#sum('answered') < CROWD ? this.#storm() : 0;
  }

  /** Says so once per window of time. */
  #isCrowd(now: number): boolean {
    if (now - this.#crowdedSince >= CROWD_WINDOW_MS) {
      this.#crowdedSince = now;
      this.#crowding = 0;
    }
    return ++this.#crowding === CROWD;
  }

  #storm(): number {
    this.#lately.storms++;
    return this.#sum('storms') > STORM_LASTS ? STORM_REST_MS : STORM_MS;
  }

  #sum(what: keyof WindowStats): number {
    return this.#lately[what] + this.#before[what];
  }
}
