import { TokenBucket } from './token-bucket.js';
import { AdmissionWindow } from './window.js';
import type { Policy } from '../policy.js';

const ALARM_QUIET_MS = 60_000;
const REPAIR_QUIET_MS = 1000;
const MAX_REMEMBERED = 10_000;
const MAX_INTERFACES = 1000;
const FORGET_MS = 10_000;

/** What keeps a storm from taking up all our time: budgets of newcomers and probes, and the patience of whoever reads. */
export class Limits {
  private readonly newcomers = new Map<string, AdmissionWindow>();
  private readonly alarmed = new Dampener(ALARM_QUIET_MS);
  private readonly repaired = new Dampener(REPAIR_QUIET_MS);
  private readonly urgent: TokenBucket;
  private readonly routine: TokenBucket;

  constructor(private readonly limits: Policy['limits']) {
    const { probesPerSecond, newcomerBurst } = limits;
    // Proofs of newcomers and checks: as deep as the burst of newcomers that an interface admits.
    this.urgent = new TokenBucket(Math.max(newcomerBurst, probesPerSecond), probesPerSecond);
    // Keepalives: a bucket of their own, so that they can never delay a proof, and shallow, so that they spread.
    this.routine = new TokenBucket(Math.max(1, probesPerSecond / 20), probesPerSecond);
  }

  /** What an interface of this name has brought. It goes by name: a re-created tap gets no new budget. */
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
    if (this.newcomers.size < MAX_INTERFACES) return;
    for (const [name, { windowStart }] of this.newcomers)
      if (now - windowStart > FORGET_MS) this.newcomers.delete(name);
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

/** Lets each key pass once per interval; forgets all when there are too many, which errs on the side of passing. */
class Dampener {
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
