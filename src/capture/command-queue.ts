import type { IfIndex } from '../mobility/events.js';

interface Order {
  readonly record: Uint8Array;
  /** The child will say how it went. */
  readonly answered: boolean;
}

/**
 * What one child is told about its interfaces. Opening costs it some 20 ms, in which it hears nothing anywhere. So an
 * interface has at most one such order under way, and of those that follow meanwhile only the last counts: flapping
 * as fast as it may, it cannot make the child deaf to the others for seconds.
 */
export class CommandQueue {
  readonly #send: (record: Uint8Array) => void;
  readonly #underWay = new Set<IfIndex>();
  readonly #last = new Map<IfIndex, Order>();

  constructor(send: (record: Uint8Array) => void) {
    this.#send = send;
  }

  give(iface: IfIndex, order: Order): void {
    if (this.#underWay.has(iface)) {
      this.#last.set(iface, order);
      return;
    }
    if (order.answered) this.#underWay.add(iface);
    this.#send(order.record);
  }

  /** The child answered an order; the next one may go. */
  onAnswer(iface: IfIndex): void {
    this.#underWay.delete(iface);
    const order = this.#last.get(iface);
    if (order === undefined) return;
    this.#last.delete(iface);
    this.give(iface, order);
  }
}
