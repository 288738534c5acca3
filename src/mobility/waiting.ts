import type { Ip, Mac } from '../wire/addresses.js';
import type { EvidenceKind, IfIndex } from './events.js';

/** What a newcomer said when its interface had no credit for one more (see limits.ts). */
export interface Sighting {
  readonly iface: IfIndex;
  readonly ip: Ip;
  readonly mac: Mac;
  readonly evidence: EvidenceKind;
  readonly at: number;
}

/** The queue of one interface; a Map keeps the order, and an address stands in it once. */
class Line {
  readonly waiting = new Map<Ip, Sighting>();
  /** So many of the first ones are not wanted any more. */
  dismissed = 0;
  #first = this.waiting.values();

  /** Takes the first one out. One iterator for many: a new one would step over all that were deleted before. */
  shift(): Sighting | undefined {
    let { value } = this.#first.next();
    if (value === undefined) {
      this.#first = this.waiting.values();
      value = this.#first.next().value;
    }
    if (value !== undefined) this.waiting.delete(value.ip);
    return value;
  }
}

/**
 * Newcomers that have spoken and are not asked yet: one word of each is enough, however many come at once and however late
 * those before them answer. In a storm they are dismissed.
 */
export class WaitingRoom {
  private readonly lines = new Map<IfIndex, Line>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  ifaces(): IterableIterator<IfIndex> {
    return this.lines.keys();
  }

  countOn(iface: IfIndex): number {
    return this.lines.get(iface)?.waiting.size ?? 0;
  }

  /** Whether this address waits here already; of two MACs the first is asked first. */
  has(iface: IfIndex, ip: Ip): boolean {
    return this.lines.get(iface)?.waiting.has(ip) === true;
  }

  /** Queues it behind the others of its interface. Its address must not wait there yet. */
  add(sighting: Sighting): void {
    let line = this.lines.get(sighting.iface);
    if (line === undefined) {
      line = new Line();
      this.lines.set(sighting.iface, line);
    }
    line.waiting.set(sighting.ip, sighting);
    this.count++;
  }

  /** Whether the first of the interface is to be dropped instead of asked. */
  isDismissed(iface: IfIndex): boolean {
    return (this.lines.get(iface)?.dismissed ?? 0) > 0;
  }

  /** Takes the first of an interface. */
  take(iface: IfIndex): Sighting | undefined {
    const line = this.lines.get(iface);
    const sighting = line?.shift();
    if (line === undefined || sighting === undefined) return undefined;
    if (line.dismissed > 0) line.dismissed--;
    if (line.waiting.size === 0) this.lines.delete(iface);
    this.count--;
    return sighting;
  }

  /** All that wait on the interface now are taken as dismissed. */
  dismiss(iface: IfIndex): void {
    const line = this.lines.get(iface);
    if (line !== undefined) line.dismissed = line.waiting.size;
  }

  /** Nobody waits there any more: what was said is worth nothing. */
  clear(iface: IfIndex): void {
    this.count -= this.lines.get(iface)?.waiting.size ?? 0;
    this.lines.delete(iface);
  }
}
