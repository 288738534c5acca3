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
/** Newcomers refused within a window from which the interface is in a storm, and the rest of it need not come up to us. */
const STORM_REFUSALS = 256;
const STORM_WINDOW_MS = 50;
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

  /**
   * Takes one newcomer from the budget of an interface, of which `unproven` have not answered yet. It goes by name: a
   * re-created tap gets no new budget. One that is known from elsewhere by its MAC has all the credit that there is.
   */
  admitNewcomer(name: string, unproven: number, acquainted: boolean, now: number): boolean {
    const most = acquainted ? UNPROVEN_MOST : this.credit(name, now);
    return unproven < most && this.newcomersOf(name).budget.take(now);
  }

  /** How many of an interface may be unproven at a time. */
  credit(name: string, now: number): number {
    if (!this.newcomers.has(name)) this.forgetQuiet(now);
    const newcomers = this.newcomersOf(name);
    if (now - newcomers.windowStart >= CREDIT_WINDOW_MS) {
      const adjoining = now - newcomers.windowStart < 2 * CREDIT_WINDOW_MS;
      newcomers.before = adjoining ? newcomers.lately : { answered: 0, storms: 0 };
      newcomers.lately = { answered: 0, storms: 0 };
      newcomers.windowStart = now;
    }
    const { lately, before } = newcomers;
    const first = Math.max(UNPROVEN_LEAST, UNPROVEN - UNPROVEN_LESS * stormsOf(newcomers));
    return Math.min(UNPROVEN_MOST, first + lately.answered + before.answered);
  }

  /** A newcomer was refused. Returns for how many milliseconds the next ones of the interface will be. */
  noteRefusal(name: string, now: number): number {
    const newcomers = this.newcomersOf(name);
    if (now - newcomers.refusedSince >= STORM_WINDOW_MS) {
      newcomers.refusedSince = now;
      newcomers.refused = 0;
    }
    if (++newcomers.refused !== STORM_REFUSALS) return 0;
    // A burst of real ones for which we were late.
    if (newcomers.lately.answered + newcomers.before.answered >= STORM_REFUSALS) return 0;
    newcomers.lately.storms++;
    return stormsOf(newcomers) > STORM_LASTS ? STORM_REST_MS : STORM_WINDOW_MS;
  }

  /** A newcomer of the interface has answered. */
  noteProof(name: string): void {
    this.newcomersOf(name).lately.answered++;
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
        lately: { answered: 0, storms: 0 },
        before: { answered: 0, storms: 0 },
        refusedSince: Number.NEGATIVE_INFINITY,
        refused: 0,
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

interface Experience {
  answered: number;
  storms: number;
}

/** What one interface has brought in this window of time and in the one before, and how many were refused. */
interface Newcomers {
  readonly budget: Budget;
  windowStart: number;
  lately: Experience;
  before: Experience;
  refusedSince: number;
  refused: number;
}

function stormsOf({ lately, before }: Newcomers): number {
  return lately.storms + before.storms;
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
