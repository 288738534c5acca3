import { Budget } from './budget.js';
import type { Policy } from './policy.js';

const ALARM_QUIET_MS = 60_000;
const REPAIR_QUIET_MS = 1000;
const MAX_REMEMBERED = 10_000;
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
 * Of those, the ones that were asked once: more at a time would only wait in line, until they are asked again and answer
 * twice. As in TCP Vegas their number falls when answers take long and rises when they come at once; hosts that always take
 * long are asked 4,000 a second, for a place is free when its question is asked again.
 */
const ASKED_MOST = 512;
const ASKED_LEAST = 200;
const LATE_MS = 40;
const PROMPT_MS = 20;
/** So many newcomers beyond the credit within a window are a storm, if so many and most of those asked were silent. */
const STORM_CROWD = 256;
const STORM_SILENCE = 256;
const STORM_WINDOW_MS = 50;
/** So many waiting are a storm as well when they come more slowly. */
const WAITING_LONG = 4096;
/** When there were more than so many storms in the last seconds it is one that lasts, and refused for longer at a time. */
const STORM_LASTS = 4;
const STORM_REST_MS = 200;
const MAX_INTERFACES = 1000;
const FORGET_MS = 10_000;

/** What keeps a storm from taking up all our time: budgets of newcomers and probes, and the patience of whoever reads. */
export class Limits {
  private readonly newcomers = new Map<string, Newcomers>();
  private readonly alarmed = new Quiet(ALARM_QUIET_MS);
  private readonly repaired = new Quiet(REPAIR_QUIET_MS);
  private readonly urgent: Budget;
  private readonly routine: Budget;

  constructor(private readonly limits: Policy['limits']) {
    const { probesPerSecond, newcomerBurst } = limits;
    // Proofs of newcomers and checks: as deep as the burst of newcomers that an interface admits.
    this.urgent = new Budget(Math.max(newcomerBurst, probesPerSecond), probesPerSecond);
    // Keepalives: a bucket of their own, so that they can never delay a proof, and shallow, so that they spread.
    this.routine = new Budget(Math.max(1, probesPerSecond / 20), probesPerSecond);
  }

  /** Takes one newcomer from the budget of an interface. It goes by name: a re-created tap gets no new budget. */
  takeNewcomer(name: string, now: number): boolean {
    return this.newcomersOf(name).budget.take(now);
  }

  /** How many of an interface may be unproven at a time, for one more stranger or for somebody known from elsewhere. */
  credit(name: string, now: number, acquainted = false): number {
    if (acquainted) return UNPROVEN_MOST;
    if (!this.newcomers.has(name)) this.forgetQuiet(now);
    const newcomers = this.newcomersOf(name);
    if (now - newcomers.windowStart >= CREDIT_WINDOW_MS) {
      const adjoining = now - newcomers.windowStart < 2 * CREDIT_WINDOW_MS;
      newcomers.before = adjoining ? newcomers.lately : { ...NOTHING };
      newcomers.lately = { ...NOTHING };
      newcomers.windowStart = now;
    }
    const { lately, before } = newcomers;
    const first = Math.max(UNPROVEN_LEAST, UNPROVEN - UNPROVEN_LESS * sum(newcomers, 'storms'));
    return Math.min(UNPROVEN_MOST, first + lately.answered + before.answered);
  }

  /**
   * There was one more newcomer than credit, and now so many wait. Returns for how many milliseconds the next ones are to
   * be refused.
   */
  noteCrowding(name: string, waiting: number, now: number): number {
    const newcomers = this.newcomersOf(name);
    if (now - newcomers.crowdedSince >= STORM_WINDOW_MS) {
      newcomers.crowdedSince = now;
      newcomers.crowding = 0;
    }
    newcomers.crowding++;
    if (newcomers.crowding !== STORM_CROWD && (waiting < WAITING_LONG || waiting % STORM_CROWD !== 0))
      return 0;
    // Real ones answer, if late: behind 50,000 others in the ring. Nothing but the end of its question tells a forger.
    const silent = sum(newcomers, 'silent');
    if (silent < STORM_SILENCE || silent < sum(newcomers, 'answered')) return 0;
    newcomers.lately.storms++;
    return sum(newcomers, 'storms') > STORM_LASTS ? STORM_REST_MS : STORM_WINDOW_MS;
  }

  /** How many of an interface may have been asked once and not yet a second time. */
  window(name: string): number {
    return this.newcomersOf(name).window;
  }

  /** A newcomer of the interface has answered, so many milliseconds after it was first asked. */
  noteProof(name: string, rttMs: number): void {
    const newcomers = this.newcomersOf(name);
    newcomers.lately.answered++;
    if (rttMs > LATE_MS) newcomers.window = Math.max(ASKED_LEAST, newcomers.window - 1);
    else if (rttMs < PROMPT_MS) newcomers.window = Math.min(ASKED_MOST, newcomers.window + 1);
  }

  /** Another one has not. */
  noteSilence(name: string): void {
    this.newcomersOf(name).lately.silent++;
  }

  /** Names of taps that came and went: after so long their budgets are full again, as if they were new. */
  private forgetQuiet(now: number): void {
    if (this.newcomers.size < MAX_INTERFACES) return;
    for (const [name, { windowStart }] of this.newcomers)
      if (now - windowStart > FORGET_MS) this.newcomers.delete(name);
  }

  private newcomersOf(name: string): Newcomers {
    let newcomers = this.newcomers.get(name);
    if (newcomers === undefined) {
      const budget = new Budget(this.limits.newcomerBurst, this.limits.newcomersPerSecond);
      newcomers = {
        budget,
        windowStart: Number.NEGATIVE_INFINITY,
        lately: { ...NOTHING },
        before: { ...NOTHING },
        crowdedSince: Number.NEGATIVE_INFINITY,
        crowding: 0,
        window: ASKED_MOST,
      };
      this.newcomers.set(name, newcomers);
    }
    return newcomers;
  }

  /** When the first try of a question may go out. */
  reserveProbe(urgent: boolean, now: number): number {
    return (urgent ? this.urgent : this.routine).reserve(now);
  }

  /** Whether an alarm of this kind is still news. */
  isNews(key: string, now: number): boolean {
    return this.alarmed.passes(key, now);
  }

  /** Whether a stale neighbour may be repaired (again). */
  mayRepair(key: string, now: number): boolean {
    return this.repaired.passes(key, now);
  }
}

/** Of newcomers that were asked, and how often there was a storm. */
interface Experience {
  answered: number;
  silent: number;
  storms: number;
}

const NOTHING: Readonly<Experience> = { answered: 0, silent: 0, storms: 0 };

/** What one interface has brought in this window of time and in the one before, and how many were too many. */
interface Newcomers {
  readonly budget: Budget;
  windowStart: number;
  lately: Experience;
  before: Experience;
  crowdedSince: number;
  crowding: number;
  window: number;
}

function sum({ lately, before }: Newcomers, what: keyof Experience): number {
  return lately[what] + before[what];
}

/** Lets each key pass once per interval; forgets all when there are too many, which errs on the side of passing. */
class Quiet {
  private readonly last = new Map<string, number>();

  constructor(private readonly intervalMs: number) {}

  passes(key: string, now: number): boolean {
    const last = this.last.get(key);
    if (last !== undefined && now - last < this.intervalMs) return false;
    if (this.last.size >= MAX_REMEMBERED) this.last.clear();
    this.last.set(key, now);
    return true;
  }
}
