import type { Event, IfIndex, Link } from '../../mobility/events.js';
import type { Family, Prefix } from '../../wire/addresses.js';
import type { LinkFacts } from '../ip/parse-link.js';
import { readHasIpv6, readRpFilter, readUpAndMtu } from './link-files.js';

/** All interfaces as the kernel last showed them; every change of one is an Event with its whole new state. */
export class LinkTable {
  readonly #links = new Map<IfIndex, Link>();
  readonly #indices = new Map<string, IfIndex>();
  /** When a carrier was seen to change by other means than a dump. */
  readonly #carrierSeenAt = new Map<IfIndex, number>();
  /** The same for whether it is up, its MTU and its IPv6. */
  readonly #lookedAt = new Map<IfIndex, number>();
  #rpFilterOfAll = readRpFilter('all') ?? 0;
  readonly #withIpv6: boolean;

  /** `families`: of others nothing is read. */
  constructor(families: readonly Family[]) {
    this.#withIpv6 = families.includes('ipv6');
  }

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

  /**
   * Takes a complete dump that was begun at this time of `performance.now()`. The events say what is different now,
   * vanished interfaces first.
   */
  replace(dump: readonly LinkFacts[], begunAt: number): Event[] {
    const indices = new Map(dump.map(({ name, index }) => [name, index]));
    const present = new Set(indices.values());
    const gone = [...this.#links.values()].filter((link) => !present.has(link.index));
    const events = gone.map((link) => this.#remove(link));
    for (const facts of dump) {
      const known = this.#links.get(facts.index);
      const { master, lower, ...rest } = facts;
      const isNewer = known !== undefined && (this.#carrierSeenAt.get(facts.index) ?? 0) > begunAt;
      const wasLookedAt = known !== undefined && (this.#lookedAt.get(facts.index) ?? 0) > begunAt;
      const changed = this.#set({
        ...rest,
        carrier: isNewer ? known.carrier : facts.carrier,
        ...(wasLookedAt ? lookOf(known) : this.#ipv6(known, facts)),
        master: master === undefined ? undefined : indices.get(master),
        lower: lower === undefined ? undefined : indices.get(lower),
        // Later changes are told by `ip monitor netconf`.
        rpFilter: known?.name === facts.name ? known.rpFilter : (this.#rpFilter(facts.name) ?? 0),
      });
      if (changed !== undefined) events.push(changed);
    }
    return events;
  }

  setCarrier(index: IfIndex, carrier: boolean): Event | undefined {
    const known = this.#links.get(index);
    if (known === undefined) return undefined;
    this.#carrierSeenAt.set(index, performance.now());
    return this.#set({ ...known, carrier });
  }

  /** Looks whether it is up and does IPv6 now. */
  look(index: IfIndex): Event | undefined {
    const known = this.#links.get(index);
    const now = known && readUpAndMtu(known.name, index);
    if (known === undefined || now === undefined) return undefined;
    const hasIpv6 = this.#withIpv6 ? readHasIpv6(known.name, now.mtu ?? 0) : undefined;
    if (known.up === now.up && known.mtu === now.mtu && known.hasIpv6 === hasIpv6) return undefined;
    this.#lookedAt.set(index, performance.now());
    return this.#set({ ...known, ...now, ...(hasIpv6 !== undefined && { hasIpv6 }) });
  }

  /** `disable_ipv6` changes without an event of the link, but addresses come and go with it. */
  #ipv6(known: Link | undefined, { name, mtu, addresses }: LinkFacts): Pick<Link, 'hasIpv6'> {
    if (!this.#withIpv6) return {};
    const isSame =
      known?.hasIpv6 !== undefined &&
      known.name === name &&
      known.mtu === mtu &&
      sameAddresses(known.addresses, addresses);
    return { hasIpv6: isSame ? known.hasIpv6 : readHasIpv6(name, mtu) };
  }

  /** Reads `rp_filter` of an interface again; a change of `all` concerns all interfaces. */
  refreshRpFilter(dev: 'all' | IfIndex): Event[] {
    if (dev === 'all') this.#rpFilterOfAll = readRpFilter('all') ?? this.#rpFilterOfAll;
    const one = dev === 'all' ? undefined : this.#links.get(dev);
    const events: Event[] = [];
    for (const link of dev === 'all' ? this.#links.values() : one === undefined ? [] : [one]) {
      const changed = this.#set({ ...link, rpFilter: this.#rpFilter(link.name) ?? link.rpFilter });
      if (changed !== undefined) events.push(changed);
    }
    return events;
  }

  /** The effective value is the larger of the two (IN_DEV_RPFILTER). */
  #rpFilter(name: string): 0 | 1 | 2 | undefined {
    const own = readRpFilter(name);
    if (own === undefined) return undefined;
    const value = Math.max(this.#rpFilterOfAll, own);
    return value === 1 || value === 2 ? value : 0;
  }

  #remove(link: Link): Event {
    this.#links.delete(link.index);
    this.#carrierSeenAt.delete(link.index);
    this.#lookedAt.delete(link.index);
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

/** What a look at the link told. */
function lookOf({ up, mtu, hasIpv6 }: Link): Partial<Link> & Pick<Link, 'up'> {
  return { up, ...(mtu !== undefined && { mtu }), ...(hasIpv6 !== undefined && { hasIpv6 }) };
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
    a.lower === b.lower &&
    a.type === b.type &&
    a.mtu === b.mtu &&
    a.hasIpv6 === b.hasIpv6 &&
    (a.duplicates ?? []).join() === (b.duplicates ?? []).join() &&
    a.rpFilter === b.rpFilter
  );
}
