/** Virtual time in ms and a deterministic order of everything that happens: by time, then by the order of asking. */
export class Clock {
  private time = 0;
  private sequence = 0;
  private readonly heap: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  now(): number {
    return this.time;
  }

  /** mulberry32: uniform in [0, 1). */
  random(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
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
