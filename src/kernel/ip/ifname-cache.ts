import type { IfIndex } from '../../mobility/events.js';

/**
 * What a running `ip monitor` means by a device name. It remembers the first name that it saw of an index (ll_map.c, up
 * to 6.1 at least), so after a rename its lines still say the old one, and lines about an interface that is new may have
 * either.
 */
export class IfnameCache {
  readonly #indices = new Map<string, IfIndex>();

  /**
   * Takes note of the interfaces that there are. `fresh`: for a new monitor, which knows the present names alone. False
   * when from now on a name means two interfaces: only a new monitor helps.
   */
  update(links: Iterable<{ readonly index: IfIndex; readonly name: string }>, fresh = false): boolean {
    const present = [...links];
    const alive = new Set(present.map(({ index }) => index));
    for (const [name, index] of this.#indices) if (fresh || !alive.has(index)) this.#indices.delete(name);
    let unique = true;
    for (const { index, name } of present) {
      const other = this.#indices.get(name);
      if (other !== undefined && other !== index) unique = false;
      this.#indices.set(name, index);
    }
    return unique;
  }

  /** It may be gone, and its name another's, until the interfaces are read again. */
  doubt(index: IfIndex): void {
    for (const [name, known] of this.#indices) if (known === index) this.#indices.delete(name);
  }

  /** `if7` stands for an index that has no name any more, or none yet. */
  resolve(name: string): IfIndex | undefined {
    const index = this.#indices.get(name);
    if (index !== undefined) return index;
    const number = /^if(\d+)$/.exec(name)?.[1];
    return number === undefined ? undefined : Number(number);
  }
}
