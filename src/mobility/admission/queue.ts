import type { Ip, Mac } from '../../wire/addresses.js';
import type { EvidenceKind, IfIndex } from '../events.js';

/** What a newcomer said when its interface had no credit for one more (see newcomers.ts). */
export interface Sighting {
  readonly iface: IfIndex;
  readonly ip: Ip;
  readonly mac: Mac;
  readonly evidence: EvidenceKind;
  readonly at: number;
}

/** A queue; a Map keeps the order, and an address stands in it once. It is not used again when it was empty. */
class Fifo {
  readonly #waiting = new Map<Ip, Sighting>();
  /** One iterator for all: a new one would step over all that were deleted before. */
  readonly #order = this.#waiting.values();
  first: Sighting | undefined;

  get size(): number {
    return this.#waiting.size;
  }

  has(ip: Ip): boolean {
    return this.#waiting.has(ip);
  }

  push(sighting: Sighting): void {
    this.#waiting.set(sighting.ip, sighting);
    this.first ??= this.#order.next().value;
  }

  shift(): Sighting | undefined {
    const { first } = this;
    if (first !== undefined) {
      this.#waiting.delete(first.ip);
      this.first = this.#order.next().value;
    }
    return first;
  }
}

/**
 * Newcomers that have spoken and are not asked yet: one word of each is enough, however many come at once and however late
 * those before them answer. In a storm they are dismissed.
 */
export class AdmissionQueue {
  private readonly lines = new Map<IfIndex, Fifo>();
  private readonly dismissed: Fifo[] = [];

  ifaces(): IterableIterator<IfIndex> {
    return this.lines.keys();
  }

  get isEmpty(): boolean {
    return this.lines.size === 0 && this.dismissed.length === 0;
  }

  countOn(iface: IfIndex): number {
    return this.lines.get(iface)?.size ?? 0;
  }

  /** How long the first on the interface has waited, ms. */
  waitedOn(iface: IfIndex, now: number): number {
    return now - (this.lines.get(iface)?.first?.at ?? now);
  }

  /** Whether this address waits here already; of two MACs the first is asked first. */
  has(iface: IfIndex, ip: Ip): boolean {
    return this.lines.get(iface)?.has(ip) === true;
  }

  /** Whether nobody more of the interface may wait: interfaces in trouble share a room for `most`. */
  isFull(iface: IfIndex, most: number): boolean {
    return this.countOn(iface) * Math.max(1, this.lines.size) >= most;
  }

  /** Queues it behind the others of its interface. Its address must not wait there yet. */
  add(sighting: Sighting): void {
    let line = this.lines.get(sighting.iface);
    if (line === undefined) {
      line = new Fifo();
      this.lines.set(sighting.iface, line);
    }
    line.push(sighting);
  }

  /** Takes the first of an interface. */
  take(iface: IfIndex): Sighting | undefined {
    const line = this.lines.get(iface);
    const sighting = line?.shift();
    if (line?.size === 0) this.lines.delete(iface);
    return sighting;
  }

  /** Those that wait on the interface now are only to be accounted for. */
  dismiss(iface: IfIndex): void {
    const line = this.lines.get(iface);
    if (line === undefined) return;
    this.lines.delete(iface);
    this.dismissed.push(line);
  }

  /** Whether there are any to be accounted for. */
  get hasDismissed(): boolean {
    return this.dismissed.length > 0;
  }

  takeDismissed(): Sighting | undefined {
    const sighting = this.dismissed[0]?.shift();
    if (this.dismissed[0]?.size === 0) this.dismissed.shift();
    return sighting;
  }

  /** Nobody waits there any more: what was said is worth nothing. */
  clear(iface: IfIndex): void {
    this.lines.delete(iface);
  }
}
