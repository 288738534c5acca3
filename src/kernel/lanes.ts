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

export type Lane = 'urgent' | 'bulk';

export interface Queued {
  /** The lane it waits in, or will wait in when it is free. */
  lane: Lane | undefined;
}

/** Two queues, of which the second is only served while the first is empty. */
export class Lanes<T extends Queued> {
  readonly #queues = { urgent: new Queue<T>(), bulk: new Queue<T>() };

  get length(): number {
    return this.#queues.urgent.length + this.#queues.bulk.length;
  }

  /** True when nothing urgent waits. */
  get calm(): boolean {
    return this.#queues.urgent.length === 0;
  }

  push(item: T, lane: Lane): void {
    item.lane = lane;
    this.#queues[lane].push(item);
  }

  /** Takes the next one out of a lane; one that has moved to the other lane meanwhile is skipped. */
  shift(lane: Lane): T | undefined {
    for (;;) {
      const item = this.#queues[lane].shift();
      if (item === undefined) return undefined;
      if (item.lane !== lane) continue;
      item.lane = undefined;
      return item;
    }
  }
}
