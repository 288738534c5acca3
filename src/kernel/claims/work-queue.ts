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
  /** The lane it waits in, or will wait in when it is free. */
  lane: WorkClass | undefined;
}

/** Two queues, of which the second is served when there is time for it. */
export class WorkQueue<T extends Queued> {
  readonly #queues = { urgent: new Queue<T>(), bulk: new Queue<T>() };

  get length(): number {
    return this.#queues.urgent.length + this.#queues.bulk.length;
  }

  /** How many wait in a lane, those that have moved to the other one since included. */
  waiting(lane: WorkClass): number {
    return this.#queues[lane].length;
  }

  push(item: T, lane: WorkClass): void {
    item.lane = lane;
    this.#queues[lane].push(item);
  }

  /** Takes the next one out of a lane; one that has moved to the other lane meanwhile is skipped. */
  shift(lane: WorkClass): T | undefined {
    for (;;) {
      const item = this.#queues[lane].shift();
      if (item === undefined) return undefined;
      if (item.lane !== lane) continue;
      item.lane = undefined;
      return item;
    }
  }
}

const CALM_MS = 20;
const PATIENCE_MS = 1000;

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
   * Returns whether it may have all the room there is for it, a share beside the urgent, or nothing yet.
   */
  next(pressed: boolean, waits: boolean, now: number): 'all' | 'share' | 'nothing' {
    if (pressed) this.#pressedAt = now;
    const calm = now - this.#pressedAt >= CALM_MS;
    if (!waits || calm) this.#waitsSince = undefined;
    else this.#waitsSince ??= now;
    if (!waits) return 'nothing';
    if (calm) return 'all';
    return now - (this.#waitsSince ?? now) >= PATIENCE_MS ? 'share' : 'nothing';
  }
}

/** After this, `next` may have another answer though nothing has happened. */
export const BULK_RETRY_MS = CALM_MS;
