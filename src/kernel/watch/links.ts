import { readFileSync } from 'node:fs';
import type { Event, IfIndex, Link } from '../../mobility/events.js';
import type { Prefix } from '../../wire/addresses.js';
import type { AddressLine, LinkLine } from '../ip/parse-link.js';

/** The index of an interface that a line names. */
export type Resolve = (name: string) => IfIndex | undefined;

/** All interfaces as the kernel last showed them; every change of one is an Event with its whole new state. */
export class LinkTable {
  readonly #links = new Map<IfIndex, Link>();
  readonly #indices = new Map<string, IfIndex>();
  #rpFilterOfAll = readRpFilter('all');

  get(index: IfIndex): Link | undefined {
    return this.#links.get(index);
  }

  /** By present name. */
  indexOf(name: string): IfIndex | undefined {
    return this.#indices.get(name);
  }

  all(): IterableIterator<Link> {
    return this.#links.values();
  }

  /** What a line changes, or undefined when it repeats what is known. */
  apply(line: LinkLine | AddressLine, resolve: Resolve): Event | undefined {
    const known = this.#links.get(line.index);
    if (line.kind === 'address') {
      return known === undefined ? undefined : this.#set(withAddress(known, line));
    }
    if (line.deleted) {
      return known === undefined ? undefined : this.#remove(known);
    }
    return this.#set(this.#toLink(line, resolve, known?.addresses ?? []));
  }

  /** Takes a complete dump. The events say what is different now, vanished interfaces first. */
  replace(linkLines: readonly LinkLine[], addressLines: readonly AddressLine[]): Event[] {
    this.#rpFilterOfAll = readRpFilter('all');
    const indices = new Map(linkLines.map((line) => [line.name, line.index]));
    const addresses = new Map<IfIndex, Prefix[]>(linkLines.map((line) => [line.index, []]));
    for (const line of addressLines) addresses.get(line.index)?.push(line.prefix);
    const gone = [...this.#links.values()].filter((link) => !addresses.has(link.index));
    const events = gone.map((link) => this.#remove(link));
    for (const line of linkLines) {
      const changed = this.#set(
        this.#toLink(line, (name) => indices.get(name), addresses.get(line.index) ?? []),
      );
      if (changed !== undefined) events.push(changed);
    }
    return events;
  }

  setCarrier(index: IfIndex, carrier: boolean): Event | undefined {
    const known = this.#links.get(index);
    return known === undefined ? undefined : this.#set({ ...known, carrier });
  }

  /** Reads `rp_filter` of an interface again; a change of `all` concerns all interfaces. */
  refreshRpFilter(dev: string, resolve: Resolve): Event[] {
    if (dev === 'all') this.#rpFilterOfAll = readRpFilter('all');
    const one = this.#links.get(resolve(dev) ?? -1);
    const events: Event[] = [];
    for (const link of dev === 'all' ? this.#links.values() : one === undefined ? [] : [one]) {
      const changed = this.#set({ ...link, rpFilter: this.#rpFilter(link.name) });
      if (changed !== undefined) events.push(changed);
    }
    return events;
  }

  /** The effective value is the larger of the two (IN_DEV_RPFILTER). */
  #rpFilter(name: string): 0 | 1 | 2 {
    const value = Math.max(this.#rpFilterOfAll, readRpFilter(name));
    return value === 1 || value === 2 ? value : 0;
  }

  #toLink(line: LinkLine, resolve: Resolve, addresses: readonly Prefix[]): Link {
    return {
      index: line.index,
      name: line.name,
      mac: line.mac,
      up: line.up,
      carrier: line.carrier,
      master: line.master === undefined ? undefined : resolve(line.master),
      type: line.type,
      addresses,
      rpFilter: this.#rpFilter(line.name),
    };
  }

  #remove(link: Link): Event {
    this.#links.delete(link.index);
    if (this.#indices.get(link.name) === link.index) this.#indices.delete(link.name);
    return { kind: 'link-gone', iface: link.index };
  }

  #set(link: Link): Event | undefined {
    const known = this.#links.get(link.index);
    if (known?.name !== link.name) {
      if (known !== undefined && this.#indices.get(known.name) === link.index)
        this.#indices.delete(known.name);
      this.#indices.set(link.name, link.index);
    }
    if (known !== undefined && sameAddresses(known.addresses, link.addresses)) {
      if (sameButForAddresses(known, link)) return undefined;
      // The identity of the list shows the tracker whether addresses have changed at all.
      const unchanged = { ...link, addresses: known.addresses };
      this.#links.set(link.index, unchanged);
      return { kind: 'link', link: unchanged };
    }
    this.#links.set(link.index, link);
    return { kind: 'link', link };
  }
}

function withAddress(link: Link, line: AddressLine): Link {
  const others = link.addresses.filter((other) => !samePrefix(other, line.prefix));
  // A line for a known address (its lifetime changed, duplicate detection ended) leaves the order alone.
  if (!line.deleted && others.length !== link.addresses.length) return link;
  return { ...link, addresses: line.deleted ? others : [...others, line.prefix] };
}

function samePrefix(a: Prefix, b: Prefix): boolean {
  return a.ip === b.ip && a.length === b.length;
}

function sameAddresses(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a.length === b.length && a.every((prefix, at) => samePrefix(prefix, b[at] as Prefix));
}

function sameButForAddresses(a: Link, b: Link): boolean {
  return (
    a.name === b.name &&
    a.mac === b.mac &&
    a.up === b.up &&
    a.carrier === b.carrier &&
    a.master === b.master &&
    a.type === b.type &&
    a.rpFilter === b.rpFilter
  );
}

/** The interface's own value, or that of `all`; 0 where there is none, as on an interface that is just going. */
function readRpFilter(name: string): number {
  try {
    return Number(readFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, 'latin1'));
  } catch {
    return 0;
  }
}
