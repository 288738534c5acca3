/** First in, first out, without moving the rest at every step. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined as T;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return item;
  }
}

export type WorkClass = 'urgent' | 'bulk';

export interface Queued {
  /** The workClass it waits in, or will wait in when it is free. */
  workClass: WorkClass | undefined;
}

/** Two queues, of which the second is served when there is time for it. */
export class WorkQueue<T extends Queued> {
  readonly #queues = { urgent: new Queue<T>(), bulk: new Queue<T>() };

  get length(): number {
    return this.#queues.urgent.length + this.#queues.bulk.length;
  }

  /** How many wait in a workClass, those that have moved to the other one since included. */
  waiting(workClass: WorkClass): number {
    return this.#queues[workClass].length;
  }

  push(item: T, workClass: WorkClass): void {
    item.workClass = workClass;
    this.#queues[workClass].push(item);
  }

  /** Takes the next one out of a workClass; one that has moved to the other workClass meanwhile is skipped. */
  shift(workClass: WorkClass): T | undefined {
    for (;;) {
      const item = this.#queues[workClass].shift();
      if (item === undefined) return undefined;
      if (item.workClass !== workClass) continue;
      item.workClass = undefined;
      return item;
    }
  }
}

/** Without urgent work for this long, bulk work has its full window again. */
const CALM_MS = 20;
const MAX_WAIT_MS = 1000;

/**
 * When bulk work gets a turn. In a burst of newcomers those of the first second would age while the last ones are still
 * to be learned, for as much work again: that waits until the pressure is over, but no longer than a second. Then
 * it gets a share: a claim that is fresh for much too long would be taken for a newer one than it is.
 */
export class BulkScheduler {
  #pressedAt = Number.NEGATIVE_INFINITY;
  #waitsSince: number | undefined;

  /**
   * `pressed`: much that is urgent waits or is under way. `waits`: there is bulk work. `now` in ms.
   * Returns whether it may have its full window, a share beside the urgent, or nothing yet.
   */
  next(pressed: boolean, waits: boolean, now: number): 'all' | 'share' | 'nothing' {
    if (pressed) this.#pressedAt = now;
    const calm = now - this.#pressedAt >= CALM_MS;
    if (!waits || calm) this.#waitsSince = undefined;
    else this.#waitsSince ??= now;
    if (!waits) return 'nothing';
    if (calm) return 'all';
    return now - (this.#waitsSince ?? now) >= MAX_WAIT_MS ? 'share' : 'nothing';
  }
}

/** After this, `next` may have another answer though nothing has happened. */
export const BULK_RETRY_MS = CALM_MS;
