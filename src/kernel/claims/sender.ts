import type { IfIndex } from '../../mobility/events.js';
import type { Family, Ip } from '../../wire/addresses.js';
import type { IpBatch } from '../ip/batch.js';
import { IpExecutor, type Outcomes, type Refusal } from '../ip/executor.js';
import { type LedgerEntry, noteOutcomes } from './ledger.js';
import { type Device, type LooseStep, type Slots, type Step, planSteps } from './plan.js';
import { BULK_RETRY_MS, BulkScheduler, type WorkClass, WorkQueue } from './work-queue.js';

export interface SenderOptions extends Slots {
  readonly families: readonly Family[];
  readonly onWarning: (message: string) => void;
  /** We may not change routes. */
  readonly onDenied: (refusal: string) => void;
  /** The co-process ended by itself. */
  readonly onDeath: () => void;
  /** The index of an interface by its present name. */
  readonly indexOf: (dev: string) => IfIndex | undefined;
  /** Whether somebody else made a permanent neighbour entry there. */
  readonly foreignNeighbour?: ((ip: Ip, dev: string) => boolean) | undefined;
  /** The kernel has what is wanted for the address. */
  readonly onSettled: (entry: LedgerEntry) => void;
  /** The kernel refused it. */
  readonly onRefused: (entry: LedgerEntry, refusal: Refusal) => void;
  /** The slot of its route is taken. */
  readonly onConflict: (entry: LedgerEntry) => void;
}

/** Commands under way at most. An urgent one never waits for more than a slice of bulk. */
const URGENT_WINDOW = 1024;
const BULK_WINDOW = 64;
/** Commands under way from which there is no time for bulk, and its share when it has waited too long. */
const PRESSURE = 256;
const BULK_SHARE = 16;

/**
 * Sends what separates an entry from what is wanted for it, computed at the moment of sending, and records
 * the answers. One job per address is under way at a time, so the commands for an address never overtake one
 * another, and what changed while it waited is never carried out in its old form.
 */
export class Sender {
  readonly #executor: IpExecutor;
  readonly #options: SenderOptions;
  readonly #queue = new WorkQueue<LedgerEntry>();
  #loose: { readonly ip: Ip; readonly step: LooseStep }[] = [];
  readonly #bulk = new BulkScheduler();
  #bulkTimer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  #turnScheduled = false;
  #stopped = false;
  /** Changes of what is wanted, sent, answered and gone; `version` of an entry is a value of this count. */
  epoch = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#executor = new IpExecutor(options, options.families, {
      onWarning: options.onWarning,
      onProgress: () => this.pump(),
      onDenied: options.onDenied,
      onDeath: options.onDeath,
    });
  }

  get batch(): IpBatch {
    return this.#executor.batch;
  }

  /** Commands sent so far. */
  get commands(): number {
    return this.#executor.commands;
  }

  /** Commands not yet acknowledged, and addresses that wait to be sent. */
  get pending(): number {
    return this.batch.outstanding + this.#queue.length + this.#loose.length;
  }

  /** What separates the entry from what is wanted for it. */
  plan(entry: LedgerEntry): readonly Step[] {
    return planSteps(entry, this.#options.foreignNeighbour);
  }

  /** A read-back that has begun may find an older state of the entry than this. */
  touch(entry: LedgerEntry): void {
    entry.version = ++this.epoch;
  }

  /** Queues the entry; what it needs is computed when it is sent. */
  enqueue(entry: LedgerEntry, workClass: WorkClass): void {
    if (entry.workClass === 'urgent' || entry.workClass === workClass) return;
    // A busy one queues up when its job is done.
    if (entry.busy) entry.workClass = workClass;
    else this.#queue.push(entry, workClass);
    this.#schedule();
  }

  /** Carries out a step that belongs to no claim, unless its device is gone by then. Its refusal is of no interest. */
  send(ip: Ip, step: LooseStep): void {
    this.#loose.push({ ip, step });
    this.#schedule();
  }

  /** Sends now what may be sent now. */
  pump(): void {
    if (this.#stopped) return;
    this.#serveLoose();
    this.#serve('urgent', URGENT_WINDOW);
    this.#serveBulk();
    this.batch.flush();
    if (this.#idle.length === 0 || this.pending > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves when nothing waits and nothing is under way. */
  idle(): Promise<void> {
    this.pump();
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Sends nothing more and ends the co-process. */
  stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#bulkTimer);
    return this.batch.close(1000);
  }

  #serveLoose(): void {
    const loose = this.#loose;
    if (loose.length === 0 || !this.batch.ready) return;
    this.#loose = [];
    for (const one of loose) {
      const { ip, step } = one;
      if (step.op === 'forget-neighbour' && !this.#isCurrent(step.device)) continue;
      if (!this.#executor.apply(ip, [step])) this.#loose.push(one);
    }
  }

  #isCurrent({ dev, iface }: Device): boolean {
    return this.#options.indexOf(dev) === iface;
  }

  #serveBulk(): void {
    const pressed = this.#queue.waiting('urgent') > 0 || this.batch.outstanding >= PRESSURE;
    const waits = this.#queue.waiting('bulk') > 0;
    const turn = this.#bulk.next(pressed, waits, performance.now());
    // With nothing urgent under way, the answers to what is under way make the next turn.
    if (turn === 'all') return this.#serve('bulk', BULK_WINDOW);
    if (turn === 'share') this.#serve('bulk', this.batch.outstanding + BULK_SHARE);
    if (!waits) return;
    this.#bulkTimer ??= setTimeout(() => {
      this.#bulkTimer = undefined;
      this.pump();
    }, BULK_RETRY_MS);
  }

  /** For callers that do not pump. */
  #schedule(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.pump();
    });
  }

  #serve(workClass: WorkClass, window: number): void {
    while (this.batch.ready && this.batch.outstanding < window) {
      const entry = this.#queue.shift(workClass);
      if (entry === undefined) return;
      this.#start(entry);
    }
  }

  #start(entry: LedgerEntry): void {
    // What the end of a co-process left unverified was deleted with its device.
    if (entry.unverified !== undefined)
      entry.unverified = entry.unverified.filter((claim) => this.#isCurrent(claim));
    const steps = this.plan(entry);
    if (steps.length === 0) return this.#options.onSettled(entry);
    const done = (outcomes: Outcomes) => this.#done(entry, steps, outcomes);
    if (!this.#executor.apply(entry.ip, steps, done, entry.unverified !== undefined)) {
      return this.enqueue(entry, 'urgent');
    }
    for (const { op } of steps) {
      if (op === 'drop-route') entry.pendingRouteDeletes++;
      else if (op === 'drop-neighbour') entry.pendingNeighbourDeletes++;
    }
    entry.busy = true;
    this.touch(entry);
  }

  #done(entry: LedgerEntry, steps: readonly Step[], outcomes: Outcomes): void {
    const { workClass } = entry;
    entry.busy = false;
    entry.workClass = undefined;
    this.touch(entry);
    const refusal = noteOutcomes(entry, steps, outcomes);
    if (entry.conflict) this.#options.onConflict(entry);
    else if (refusal !== undefined) this.#options.onRefused(entry, refusal);
    else if (workClass === undefined && this.plan(entry).length > 0) this.enqueue(entry, 'urgent');
    else if (workClass === undefined) this.#options.onSettled(entry);
    if (workClass !== undefined) this.enqueue(entry, workClass);
  }
}
