import { mulberry32 } from '../../random.js';

/** Virtual time in ms and a deterministic order of everything that happens: by time, then by the order of asking. */
export class Clock {
  private time = 0;
  private sequence = 0;
  private readonly heap: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  /** Uniform in [0, 1). */
  readonly random: () => number;

  constructor(seed: number) {
    this.random = mulberry32(seed);
  }

  now(): number {
    return this.time;
  }

  between(lowMs: number, highMs: number): number {
    return lowMs + (highMs - lowMs) * this.random();
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.time + Math.max(0, delayMs), run);
  }

  at(time: number, run: () => void): void {
    const { heap } = this;
    const entry = { at: Math.max(time, this.time), order: this.sequence++, run };
    let hole = heap.length;
    heap.push(entry);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent] as typeof entry;
      if (above.at < entry.at || (above.at === entry.at && above.order < entry.order)) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = entry;
  }

  /** Runs the next thing that is to happen until `limit`; false when there is none. */
  step(limit: number): boolean {
    const first = this.heap[0];
    if (first === undefined || first.at > limit) return false;
    this.removeFirst();
    this.time = first.at;
    first.run();
    return true;
  }

  /** Runs what happens until `limit`, and stays at the time of the last of it. */
  runWithin(limit: number): void {
    while (this.step(limit));
  }

  runUntil(limit: number): void {
    while (this.step(limit));
    this.time = Math.max(this.time, limit);
  }

  private removeFirst(): void {
    const { heap } = this;
    const last = heap.pop() as (typeof heap)[number];
    if (heap.length === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      const left = heap[child] as typeof last;
      const right = heap[child + 1];
      let least = left;
      if (right !== undefined && (right.at < left.at || (right.at === left.at && right.order < left.order))) {
        child++;
        least = right;
      }
      if (last.at < least.at || (last.at === least.at && last.order < least.order)) break;
      heap[hole] = least;
      hole = child;
    }
    heap[hole] = last;
  }
}
