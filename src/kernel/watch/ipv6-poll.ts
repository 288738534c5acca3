import type { IfIndex, Link } from '../../mobility/events.js';

/**
 * `disable_ipv6` changes without an event: so many interfaces are looked at each second, in turn, and as many of those
 * without IPv6. Hypervisors turn it off on each port of a bridge, and a look at a thousand of them takes 0.2 s.
 */
const CHECK_MS = 1000;
const CHECKED_INTERFACES = 64;

/** Interfaces that lose their IPv6, or have it again, without an address or a route that would tell. */
export class Ipv6Poll {
  readonly #look: (iface: IfIndex) => void;
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;
  #turnOfThoseWithout = 0;

  constructor(look: (iface: IfIndex) => void) {
    this.#look = look;
  }

  start(links: () => Iterable<Link>): void {
    this.#timer = setInterval(() => this.check([...links()]), CHECK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Those whose turn it is among all links. */
  check(all: readonly Link[]): void {
    const without = all.filter(({ hasIpv6 }) => hasIpv6 === false);
    if (this.#turn >= all.length) this.#turn = 0;
    if (this.#turnOfThoseWithout >= without.length) this.#turnOfThoseWithout = 0;
    const due = new Set([
      ...all.slice(this.#turn, this.#turn + CHECKED_INTERFACES),
      ...without.slice(this.#turnOfThoseWithout, this.#turnOfThoseWithout + CHECKED_INTERFACES),
    ]);
    this.#turn += CHECKED_INTERFACES;
    this.#turnOfThoseWithout += CHECKED_INTERFACES;
    for (const { index } of due) this.#look(index);
  }
}
