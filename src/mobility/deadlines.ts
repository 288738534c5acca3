/**
 * A binary min-heap of things with a deadline. An entry is never searched for or moved: when a deadline changes, the
 * owner pushes again and the older entry, which no longer agrees with the owner's `due`, is skipped when it surfaces.
 */
export interface Due {
  /** The one deadline that counts, ms on the monotonic clock; Infinity for none. */
  due: number;
}

export class Deadlines<T extends Due> {
  private readonly times: number[] = [];
  private readonly owners: T[] = [];

  get size(): number {
    return this.times.length;
  }

  /**
   * The heap as it is: in which order equal deadlines come depends on all of it. `keyOf` names an owner; one that it
   * does not know is never due again.
   */
  snapshot<K>(keyOf: (owner: T) => K | undefined) {
    return { times: [...this.times], owners: this.owners.map((owner) => keyOf(owner) ?? null) };
  }

  restore<K>(
    { times, owners }: { readonly times: readonly number[]; readonly owners: readonly (K | null)[] },
    ownerOf: (key: K | null) => T,
  ): void {
    for (const at of times) this.times.push(at);
    for (const key of owners) this.owners.push(ownerOf(key));
  }

  /** Sets the deadline of `owner`. A later one costs nothing until the earlier one surfaces. */
  schedule(owner: T, at: number): void {
    if (owner.due === at) return;
    owner.due = at;
    if (at !== Number.POSITIVE_INFINITY) this.push(at, owner);
  }

  /** The earliest valid deadline. */
  next(): number | undefined {
    this.discardStale();
    return this.times[0];
  }

  /** Takes the earliest owner that is due at `now` and clears its deadline. */
  takeDue(now: number): T | undefined {
    this.discardStale();
    if (this.times.length === 0 || (this.times[0] as number) > now) return undefined;
    const owner = this.owners[0] as T;
    this.pop();
    owner.due = Number.POSITIVE_INFINITY;
    return owner;
  }

  private discardStale(): void {
    while (this.times.length > 0 && (this.owners[0] as T).due !== this.times[0]) this.pop();
  }

  private push(at: number, owner: T): void {
    const { times, owners } = this;
    let hole = times.length;
    times.push(at);
    owners.push(owner);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if ((times[parent] as number) <= at) break;
      times[hole] = times[parent] as number;
      owners[hole] = owners[parent] as T;
      hole = parent;
    }
    times[hole] = at;
    owners[hole] = owner;
  }

  private pop(): void {
    const { times, owners } = this;
    const at = times.pop() as number;
    const owner = owners.pop() as T;
    const length = times.length;
    if (length === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= length) break;
      if (child + 1 < length && (times[child + 1] as number) < (times[child] as number)) child++;
      if ((times[child] as number) >= at) break;
      times[hole] = times[child] as number;
      owners[hole] = owners[child] as T;
      hole = child;
    }
    times[hole] = at;
    owners[hole] = owner;
  }
}
