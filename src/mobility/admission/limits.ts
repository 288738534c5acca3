import { TokenBucket } from './token-bucket.js';
import { AdmissionWindow } from './window.js';
import type { Policy } from '../policy.js';
import {
  ALARM_INTERVAL_MS,
  FORGET_MS,
  MANY_INTERFACES,
  REMEMBERED_KEYS,
  REPAIR_INTERVAL_MS,
} from './constants.js';

/** Budgets of newcomers and probes, and how often an alarm or a repair may be repeated. */
export class Limits {
  private readonly newcomers = new Map<string, AdmissionWindow>();
  private readonly alarmed = new Dampener(ALARM_INTERVAL_MS);
  private readonly repaired = new Dampener(REPAIR_INTERVAL_MS);
  private readonly urgent: TokenBucket;
  private readonly routine: TokenBucket;

  constructor(private readonly limits: Policy['limits']) {
    const { probesPerSecond, newcomerBurst } = limits;
    // Proofs of newcomers and checks: as deep as the burst of newcomers that an interface admits.
    this.urgent = new TokenBucket(Math.max(newcomerBurst, probesPerSecond), probesPerSecond);
    // Keepalives: a bucket of their own, so that they can never delay a proof, and shallow, so that they spread.
    this.routine = new TokenBucket(Math.max(1, probesPerSecond / 20), probesPerSecond);
  }

  /** The window of an interface. It goes by name: a re-created tap gets no new budget. */
  newcomersOf(name: string, now: number): AdmissionWindow {
    let newcomers = this.newcomers.get(name);
    if (newcomers === undefined) {
      this.forgetQuiet(now);
      newcomers = new AdmissionWindow(this.limits);
      this.newcomers.set(name, newcomers);
    }
    newcomers.roll(now);
    return newcomers;
  }

  /** Names of taps that came and went: after so long their budgets are full again, as if they were new. */
  private forgetQuiet(now: number): void {
    if (this.newcomers.size < MANY_INTERFACES) return;
    for (const [name, { windowStart }] of this.newcomers)
      if (now - windowStart > FORGET_MS) this.newcomers.delete(name);
  }

  /** When the first try of a question may go out. */
  reserveProbe(urgent: boolean, now: number): number {
    return (urgent ? this.urgent : this.routine).reserve(now);
  }

  /** Whether an alarm of this kind may be reported (again). */
  isNews(key: string, now: number): boolean {
    return this.alarmed.passes(key, now);
  }

  /** Whether a stale neighbour may be repaired (again). */
  mayRepair(key: string, now: number): boolean {
    return this.repaired.passes(key, now);
  }
}

/** Lets each key pass once per interval; forgets all when there are too many, which errs on the side of passing. */
class Dampener {
  private readonly last = new Map<string, number>();

  constructor(private readonly intervalMs: number) {}

  passes(key: string, now: number): boolean {
    const last = this.last.get(key);
    if (last !== undefined && now - last < this.intervalMs) return false;
    if (this.last.size >= REMEMBERED_KEYS) this.last.clear();
    this.last.set(key, now);
    return true;
  }
}
