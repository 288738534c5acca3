import { Budget } from './budget.js';
import type { Policy } from './policy.js';

const ALARM_QUIET_MS = 60_000;
const REPAIR_QUIET_MS = 1000;
const MAX_REMEMBERED = 10_000;
/**
 * Newcomers of one interface that have not answered yet. Hosts answer: of a burst of 100,000 never more than 2,500 were
 * still to do so. Forgers do not, and each that is asked costs us the work of a real one; so beyond the first number
 * there may be only as many as have answered in the last seconds.
 */
const UNPROVEN = 4096;
const UNPROVEN_MOST = 32_768;
const ANSWERED_WINDOW_MS = 1000;

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
   * re-created tap gets no new budget.
   */
  admitNewcomer(name: string, unproven: number, now: number): boolean {
    const newcomers = this.newcomersOf(name);
    if (now - newcomers.windowStart >= ANSWERED_WINDOW_MS) {
      const adjoining = now - newcomers.windowStart < 2 * ANSWERED_WINDOW_MS;
      newcomers.answeredBefore = adjoining ? newcomers.answered : 0;
      newcomers.answered = 0;
      newcomers.windowStart = now;
    }
    const most = UNPROVEN + newcomers.answered + newcomers.answeredBefore;
    return unproven < Math.min(UNPROVEN_MOST, most) && newcomers.budget.take(now);
  }

  /** A newcomer of the interface has answered. */
  noteProof(name: string): void {
    this.newcomersOf(name).answered++;
  }

  private newcomersOf(name: string): Newcomers {
    let newcomers = this.newcomers.get(name);
    if (newcomers === undefined) {
      const budget = new Budget(this.limits.newcomerBurst, this.limits.newcomersPerSecond);
      newcomers = { budget, windowStart: Number.NEGATIVE_INFINITY, answered: 0, answeredBefore: 0 };
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

/** What one interface has brought lately: how many answered in this window and in the one before. */
interface Newcomers {
  readonly budget: Budget;
  windowStart: number;
  answered: number;
  answeredBefore: number;
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
