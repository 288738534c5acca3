import type { Logger } from 'pino';
import { HostHistory } from './history.js';
import { ActionLog } from './log.js';
import { type Gauges, Metrics } from './metrics.js';
import type { Action, Cause, ClaimAge, IfIndex } from '../mobility/events.js';
import type { Ip } from '../wire/addresses.js';

/** Claims whose cause is known and whose installation is not; a bound, not an expectation. */
const MAX_PENDING_CLAIMS = 200_000;

/** Gets every action as it happens. */
export interface Observer {
  saw(action: Action): void;
  /** `latencyMs` from the frame or command that led to a fresh claim to the kernel's acknowledgement. */
  sawInstalled(ip: Ip, age: ClaimAge, dev: string, latencyMs: number | undefined, now: number): void;
}

/** The observers of what happens: log, metrics, history for `why`, and the event streams of the control API. */
export class Observers {
  readonly history: HostHistory;
  readonly metrics: Metrics;
  private readonly log: ActionLog;
  private readonly subscribers = new Set<Observer>();
  /** When the frame or command came that led to a claim. */
  private readonly claimStartedAt = new Map<Ip, number>();
  /** Why there is a fresh claim that the kernel has not acknowledged yet. */
  private readonly claimCause = new Map<Ip, Cause>();

  constructor(
    logger: Logger,
    {
      nameOf,
      gauges,
      timeOf,
      version,
    }: {
      readonly nameOf: (iface: IfIndex) => string | undefined;
      readonly gauges: () => Gauges;
      /** When something happened, by the router's clock. */
      readonly timeOf: (at: number) => string;
      readonly version: string;
    },
  ) {
    this.history = new HostHistory({ nameOf });
    this.metrics = new Metrics(gauges, version);
    this.log = new ActionLog(logger, nameOf, timeOf);
  }

  record(action: Action): void {
    this.history.record(action);
    this.metrics.record(action);
    this.log.record(action);
    this.followClaim(action);
    for (const subscriber of this.subscribers) subscriber.saw(action);
  }

  warn(message: string): void {
    this.log.warn(message);
  }

  /** The kernel acknowledged a claim. */
  installed(ip: Ip, age: ClaimAge, dev: string, now: number): void {
    const since = this.claimStartedAt.get(ip);
    const latencyMs = since === undefined || age !== 'fresh' ? undefined : now - since;
    if (latencyMs !== undefined) {
      this.claimStartedAt.delete(ip);
      const cause = this.claimCause.get(ip);
      if (cause !== undefined) this.metrics.installed(latencyMs, cause);
      this.claimCause.delete(ip);
    }
    for (const subscriber of this.subscribers) subscriber.sawInstalled(ip, age, dev, latencyMs, now);
  }

  /** Until the returned function is called. */
  subscribe(subscriber: Observer): () => void {
    this.subscribers.add(subscriber);
    return () => this.subscribers.delete(subscriber);
  }

  stop(): void {
    this.log.summarise();
    this.metrics.stop();
  }

  private followClaim(action: Action): void {
    if (action.kind !== 'transition') return;
    const { ip, to, cause, heardAt } = action;
    if (to === 'fresh') {
      this.claimCause.set(ip, cause);
      if (this.claimStartedAt.size < MAX_PENDING_CLAIMS) this.claimStartedAt.set(ip, heardAt);
    } else if (to !== 'proving' && to !== 'settled') {
      this.claimCause.delete(ip);
      this.claimStartedAt.delete(ip);
    }
  }
}
