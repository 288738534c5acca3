import type { Ip, Mac } from '../../wire/addresses.js';
import type { EvidenceKind, IfIndex } from '../events.js';

/** A newcomer's message that came when it could not be probed at once (see admission.ts). */
export interface Sighting {
  readonly iface: IfIndex;
  readonly ip: Ip;
  readonly mac: Mac;
  readonly evidence: EvidenceKind;
  readonly at: number;
}

/** A Map keeps the order, and an address is in it once. It is not used again when it was empty. */
class Fifo {
  readonly #sightings = new Map<Ip, Sighting>();
  /** One iterator for all: a new one would step over all that were deleted before. */
  readonly #order = this.#sightings.values();
  first: Sighting | undefined;

  get size(): number {
    return this.#sightings.size;
  }

  has(ip: Ip): boolean {
    return this.#sightings.has(ip);
  }

  /** In their order. */
  all(): Iterable<Sighting> {
    return this.#sightings.values();
  }

  push(sighting: Sighting): void {
    this.#sightings.set(sighting.ip, sighting);
    this.first ??= this.#order.next().value;
  }

  shift(): Sighting | undefined {
    const { first } = this;
    if (first !== undefined) {
      this.#sightings.delete(first.ip);
      this.first = this.#order.next().value;
    }
    return first;
  }
}

/**
 * Newcomers that were seen and are not probed yet: one message of each is enough, however many come at once and however
 * late those before them answer.
 */
export class AdmissionQueue {
  private readonly queues = new Map<IfIndex, Fifo>();

  snapshot(): Sighting[] {
    return [...this.queues.values()].flatMap((queue) => [...queue.all()]);
  }

  restore(sightings: readonly Sighting[]): void {
    for (const sighting of sightings) this.add(sighting);
  }

  ifaces(): IterableIterator<IfIndex> {
    return this.queues.keys();
  }

  get isEmpty(): boolean {
    return this.queues.size === 0;
  }

  countOn(iface: IfIndex): number {
    return this.queues.get(iface)?.size ?? 0;
  }

  /** How long the first on the interface has waited, ms. */
  waitedOn(iface: IfIndex, now: number): number {
    return now - (this.queues.get(iface)?.first?.at ?? now);
  }

  /** Whether this address waits here already; of two MACs the first is probed first. */
  has(iface: IfIndex, ip: Ip): boolean {
    return this.queues.get(iface)?.has(ip) === true;
  }

  /** Whether no more of the interface may wait: interfaces with a queue share `most` places. */
  isFull(iface: IfIndex, most: number): boolean {
    return this.countOn(iface) * Math.max(1, this.queues.size) >= most;
  }

  /** Queues it behind the others of its interface. Its address must not wait there yet. */
  add(sighting: Sighting): void {
    let queue = this.queues.get(sighting.iface);
    if (queue === undefined) {
      queue = new Fifo();
      this.queues.set(sighting.iface, queue);
    }
    queue.push(sighting);
  }

  /** Takes the first of an interface. */
  take(iface: IfIndex): Sighting | undefined {
    const queue = this.queues.get(iface);
    const sighting = queue?.shift();
    if (queue?.size === 0) this.queues.delete(iface);
    return sighting;
  }

  /** Drops what waits there: the interface has gone, and its messages with it. */
  clear(iface: IfIndex): void {
    this.queues.delete(iface);
  }
}
