import type { IfIndex } from '../mobility/events.js';

interface Command {
  readonly record: Uint8Array;
  /** The reader answers it. */
  readonly answered: boolean;
}

/**
 * The commands to one reader about its interfaces. Opening takes the reader some 20 ms, in which it reads nothing. So an
 * interface has at most one such command outstanding, and of those that follow meanwhile only the last is sent: an
 * interface that flaps cannot keep the reader from the others.
 */
export class CommandQueue {
  readonly #send: (record: Uint8Array) => void;
  readonly #outstanding = new Set<IfIndex>();
  readonly #next = new Map<IfIndex, Command>();

  constructor(send: (record: Uint8Array) => void) {
    this.#send = send;
  }

  add(iface: IfIndex, command: Command): void {
    if (this.#outstanding.has(iface)) {
      this.#next.set(iface, command);
      return;
    }
    if (command.answered) this.#outstanding.add(iface);
    this.#send(command.record);
  }

  /** The reader has answered; the next command may be sent. */
  onAnswer(iface: IfIndex): void {
    this.#outstanding.delete(iface);
    const command = this.#next.get(iface);
    if (command === undefined) return;
    this.#next.delete(iface);
    this.add(iface, command);
  }
}
