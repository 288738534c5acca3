import type { Mac } from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';
import type { TokenBucket } from '../../rate/token-bucket.js';
import { AdmissionWindow, probeBudget } from './window.js';
import type { Policy } from '../policy.js';
import {
  ALARM_INTERVAL_MS,
  FORGET_MS,
  LOOKUP_INTERVAL_MS,
  MANY_INTERFACES,
  REMEMBERED_KEYS,
  REPAIR_INTERVAL_MS,
} from './constants.js';

/** Budgets of newcomers and probes, and how often an alarm or a repair may be repeated. */
export class Limits {
  private readonly newcomers = new Map<string, AdmissionWindow>();
  private readonly alarmed = new Dampener(ALARM_INTERVAL_MS);
  private readonly repaired = new Dampener(REPAIR_INTERVAL_MS);
  private readonly lookedUp = new Dampener(LOOKUP_INTERVAL_MS);
  /** Shallow, so that they spread. */
  readonly keepalives: TokenBucket;

  constructor(private readonly limits: Policy['limits']) {
    this.keepalives = probeBudget(limits);
  }

  snapshot() {
    return {
      newcomers: new Map([...this.newcomers].map(([name, window]) => [name, window.snapshot()])),
      keepalives: this.keepalives.snapshot(),
      alarmed: this.alarmed.last,
      repaired: this.repaired.last,
      lookedUp: this.lookedUp.last,
    };
  }

  restore(state: ReturnType<Limits['snapshot']>): void {
    for (const [name, window] of state.newcomers) {
      const newcomers = new AdmissionWindow(this.limits);
      newcomers.restore(window);
      this.newcomers.set(name, newcomers);
    }
    this.keepalives.restore(state.keepalives);
    this.alarmed.last = state.alarmed;
    this.repaired.last = state.repaired;
    this.lookedUp.last = state.lookedUp;
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

  /** Whether a MAC may be asked (again) at a place because RARP named it. */
  mayLookUp(iface: IfIndex, mac: Mac, now: number): boolean {
    return this.lookedUp.passes(`${iface} ${mac}`, now);
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

/** Lets each key pass once per interval. Of too many the oldest are forgotten, which errs on the side of passing. */
class Dampener {
  last = new Map<string, number>();

  constructor(private readonly intervalMs: number) {}

  passes(key: string, now: number): boolean {
    const last = this.last.get(key);
    if (last !== undefined && now - last < this.intervalMs) return false;
    this.last.delete(key);
    this.last.set(key, now);
    if (this.last.size > REMEMBERED_KEYS) this.last.delete(this.last.keys().next().value as string);
    return true;
  }
}
