import type { IfIndex } from '../../mobility/events.js';
import type { Ip, Mac } from '../../wire/addresses.js';

/** Permanent neighbour entries that somebody else made: not ours to touch. */
export class ForeignNeighbours {
  readonly #macs = new Map<IfIndex, Map<Ip, Mac | undefined>>();

  note(ip: Ip, iface: IfIndex, mac: Mac | undefined): void {
    const there = this.#macs.get(iface) ?? new Map<Ip, Mac | undefined>();
    this.#macs.set(iface, there.set(ip, mac));
  }

  forget(ip: Ip, iface: IfIndex): void {
    const there = this.#macs.get(iface);
    there?.delete(ip);
    if (there?.size === 0) this.#macs.delete(iface);
  }

  /** The interface is gone. */
  forgetAll(iface: IfIndex): void {
    this.#macs.delete(iface);
  }

  /** Before they are all read anew. */
  clear(): void {
    this.#macs.clear();
  }

  has(ip: Ip, iface: IfIndex): boolean {
    return this.#macs.get(iface)?.has(ip) ?? false;
  }

  /** The MAC in the entry. */
  macOf(ip: Ip, iface: IfIndex): Mac | undefined {
    return this.#macs.get(iface)?.get(ip);
  }
}
