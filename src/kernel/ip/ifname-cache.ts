import type { IfIndex, Link } from '../../mobility/events.js';
import type { LinkLine } from './parse-link.js';

/**
 * What a running `ip monitor` means by a device name. It remembers the first name that it saw of an index until the
 * interface is deleted (ll_map.c, up to 6.1 at least), so after a rename its lines about routes, addresses and
 * neighbours still say the old one; only the link line itself has the new one.
 */
export class IfnameCache {
  #indices = new Map<string, IfIndex>();
  #names = new Map<IfIndex, string>();

  /** A new monitor: it knows nothing yet and will learn the present names. */
  reset(links: Iterable<Link>): void {
    this.#indices = new Map();
    this.#names = new Map();
    for (const { index, name } of links) this.#set(index, name);
  }

  /** Takes note of a link line. False when from now on a name means two interfaces: only a new monitor helps. */
  note(line: LinkLine): boolean {
    if (line.deleted) {
      const name = this.#names.get(line.index);
      this.#names.delete(line.index);
      if (name !== undefined && this.#indices.get(name) === line.index) this.#indices.delete(name);
      return true;
    }
    if (this.#names.has(line.index)) return true;
    const unique = !this.#indices.has(line.name);
    this.#set(line.index, line.name);
    return unique;
  }

  #set(index: IfIndex, name: string): void {
    this.#indices.set(name, index);
    this.#names.set(index, name);
  }

  /** `if7` stands for an index that has no name any more, or none yet. */
  resolve(name: string): IfIndex | undefined {
    const index = this.#indices.get(name);
    if (index !== undefined) return index;
    const number = /^if(\d+)$/.exec(name)?.[1];
    return number === undefined ? undefined : Number(number);
  }
}
