import type { IfIndex } from './events.js';

/**
 * When frames may last have been missed: lost, refused or not read yet on an interface, or not captured there, or on all
 * of them because this process or its capture stood still. Silence up to then proves nothing.
 */
export class MissedFrames {
  #on = new Map<IfIndex, number>();
  #everywhereAt = Number.NEGATIVE_INFINITY;

  snapshot() {
    return { on: this.#on, everywhereAt: this.#everywhereAt };
  }

  restore({ on, everywhereAt }: ReturnType<MissedFrames['snapshot']>): void {
    this.#on = on;
    this.#everywhereAt = everywhereAt;
  }

  /** undefined: on every interface. */
  note(iface: IfIndex | undefined, now: number): void {
    if (iface === undefined) this.#everywhereAt = now;
    else this.#on.set(iface, now);
  }

  forget(iface: IfIndex): void {
    this.#on.delete(iface);
  }

  /** Because we stood still; a question that was open then is asked anew. */
  get everywhereAt(): number {
    return this.#everywhereAt;
  }

  lastOn(iface: IfIndex): number {
    return Math.max(this.#everywhereAt, this.#on.get(iface) ?? Number.NEGATIVE_INFINITY);
  }
}
