import type { IfIndex } from '../../mobility/events.js';
import type { Ip } from '../../wire/addresses.js';
import { IpBatch } from '../ip/batch.js';
import { type LedgerEntry, noteOutcomes } from './ledger.js';
import type { Outcomes } from '../ip/process.js';
import { BULK_RETRY_MS, BulkScheduler, type WorkClass, WorkQueue } from './work-queue.js';
import { STUCK_ROUTE_REPAIR, type Slots, type Step, commandFor, planSteps } from './plan.js';

export interface SenderOptions extends Slots {
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
  readonly onRefused: (entry: LedgerEntry, refusal: string) => void;
  /** The slot of its route is taken. */
  readonly onClash: (entry: LedgerEntry) => void;
}

/** A device by the name that it has, or had, and by the index that is its own for ever. */
interface Device {
  readonly dev: string;
  readonly iface: IfIndex;
}

/** Commands under way at most. An urgent one never waits for more than a slice of bulk. */
const URGENT_WINDOW = 1024;
const BULK_WINDOW = 64;
/** Commands under way from which there is no time for bulk, and its share when it has waited too long. */
const PRESSURE = 256;
const BULK_SHARE = 16;

/**
 * Sends what separates an entry from what is wanted for it, computed at the moment of sending, and takes the answers
 * into the books. One job per address is under way at a time, so the commands for an address never overtake one
 * another, and a wish that changed while it waited is never carried out in its old form.
 */
export class Sender {
  readonly batch: IpBatch;
  readonly #options: SenderOptions;
  readonly #lanes = new WorkQueue<LedgerEntry>();
  /** Lines that belong to no entry. */
  #lines: { readonly command: string; readonly device: Device | undefined }[] = [];
  readonly #turns = new BulkScheduler();
  #bulkTimer: NodeJS.Timeout | undefined;
  /** What the co-process means by a device name, as far as it has used it. */
  #names = new Map<string, IfIndex>();
  #idle: (() => void)[] = [];
  #turnScheduled = false;
  #stopped = false;
  /** Changes of what is wanted, sent, answered and gone; `touched` of an entry is a moment on this count. */
  moment = 0;
  /** Commands sent. */
  commands = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
    const { protocol, fresh } = options;
    this.batch = new IpBatch({
      onWarning: options.onWarning,
      onProgress: () => this.pump(),
      onDenied: options.onDenied,
      onDeath: options.onDeath,
      // No such route can exist; it makes ip read its tables of names, and shows whether we may change routes.
      warmUp: `route del 0.0.0.0/32 dev lo scope link proto ${protocol} metric ${fresh.metric} table ${fresh.table}`,
    });
  }

  /** Commands not yet acknowledged, and addresses that wait for their turn. */
  get pending(): number {
    return this.batch.outstanding + this.#lanes.length + this.#lines.length;
  }

  /** What separates the entry from what is wanted for it. */
  plan(entry: LedgerEntry): readonly Step[] {
    return planSteps(entry, this.#options.foreignNeighbour);
  }

  /** What a reading of the kernel that has begun finds of the entry may be older than this. */
  touch(entry: LedgerEntry): void {
    entry.touched = ++this.moment;
  }

  /** Has the entry looked at in its turn. */
  enqueue(entry: LedgerEntry, lane: WorkClass): void {
    if (entry.lane === 'urgent' || entry.lane === lane) return;
    // A busy one queues up when its job is done.
    if (entry.busy) entry.lane = lane;
    else this.#lanes.push(entry, lane);
    this.#schedule();
  }

  /** Sends a line that belongs to no entry, unless its device is gone by then. Its refusal is of no interest. */
  send(command: string, device?: Device): void {
    this.#lines.push({ command, device });
    this.#schedule();
  }

  /** Sends now what may be sent now. */
  pump(): void {
    if (this.#stopped) return;
    this.#serveLines();
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

  #serveLines(): void {
    if (this.#lines.length === 0 || !this.batch.ready) return;
    const lines = this.#lines;
    this.#lines = [];
    for (const { command, device } of lines) {
      if (device !== undefined && !this.#isCurrent(device)) continue;
      // The order of such lines does not matter.
      if (!this.batch.ready || (device !== undefined && !this.#pinDeviceName(device)))
        this.#lines.push({ command, device });
      else this.#submit([command]);
    }
  }

  #isCurrent({ dev, iface }: Device): boolean {
    return this.#options.indexOf(dev) === iface;
  }

  #serveBulk(): void {
    const pressed = this.#lanes.waiting('urgent') > 0 || this.batch.outstanding >= PRESSURE;
    const waits = this.#lanes.waiting('bulk') > 0;
    const turn = this.#turns.next(pressed, waits, performance.now());
    // With all the room, the answers to what is under way make the next turn.
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

  #serve(lane: WorkClass, window: number): void {
    while (this.batch.ready && this.batch.outstanding < window) {
      const entry = this.#lanes.shift(lane);
      if (entry === undefined) return;
      this.#start(entry);
    }
  }

  #start(entry: LedgerEntry): void {
    // What the end of a co-process left in doubt went with its device.
    if (entry.doubtful !== undefined)
      entry.doubtful = entry.doubtful.filter((claim) => this.#isCurrent(claim));
    const steps = this.plan(entry);
    if (steps.length === 0) return this.#options.onSettled(entry);
    for (const step of steps) {
      const device =
        step.op === 'set-neighbour' ? step.claim : 'occupant' in step ? step.occupant : undefined;
      if (device === undefined || device === STUCK_ROUTE_REPAIR || this.#pinDeviceName(device)) continue;
      // Computed anew for the next process, in case the name changes again before that answers.
      return this.enqueue(entry, 'urgent');
    }
    for (const { op } of steps) {
      if (op === 'drop-route') entry.routeEchoes++;
      else if (op === 'drop-neighbour') entry.neighbourEchoes++;
    }
    entry.busy = true;
    this.touch(entry);
    const commands = steps.map((step) => commandFor(step, entry.ip, this.#options));
    this.#submit(commands, (outcomes) => this.#done(entry, steps, outcomes), entry.doubtful !== undefined);
  }

  /** False when the co-process knows the name as another interface: it must not be asked, and is replaced. */
  #pinDeviceName({ dev, iface }: Device): boolean {
    const known = this.#names.get(dev);
    if (known === iface) return true;
    if (known !== undefined) {
      this.batch.renew();
      this.#names = new Map();
      return false;
    }
    this.#names.set(dev, iface);
    return true;
  }

  #submit(commands: readonly string[], done?: (outcomes: Outcomes) => void, fenced = false): void {
    this.commands += commands.length;
    if (fenced) this.batch.submitFenced(commands, done);
    else this.batch.submit(commands, done);
  }

  #done(entry: LedgerEntry, steps: readonly Step[], outcomes: Outcomes): void {
    const { lane } = entry;
    entry.busy = false;
    entry.lane = undefined;
    this.touch(entry);
    const refusal = noteOutcomes(entry, steps, outcomes);
    if (entry.clash) this.#options.onClash(entry);
    else if (refusal !== undefined) this.#options.onRefused(entry, refusal);
    else if (lane === undefined && this.plan(entry).length > 0) this.enqueue(entry, 'urgent');
    else if (lane === undefined) this.#options.onSettled(entry);
    if (lane !== undefined) this.enqueue(entry, lane);
  }
}
