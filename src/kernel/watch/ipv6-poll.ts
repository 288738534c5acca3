import type { IfIndex, Link } from '../../mobility/events.js';

/** `disable_ipv6` changes without an event: so many interfaces are looked at each second, in turn. */
const CHECK_MS = 1000;
const CHECKED_INTERFACES = 64;

/** Interfaces that lose their IPv6, or have it again, without an address or a route that would tell. */
export class Ipv6Poll {
  readonly #look: (iface: IfIndex) => void;
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(look: (iface: IfIndex) => void) {
    this.#look = look;
  }

  start(links: () => Iterable<Link>): void {
    this.#timer = setInterval(() => {
      const all = [...links()];
      if (this.#turn >= all.length) this.#turn = 0;
      const due = all.slice(this.#turn, this.#turn + CHECKED_INTERFACES);
      this.#turn += CHECKED_INTERFACES;
      for (const link of new Set([...due, ...all.filter(({ hasIpv6 }) => hasIpv6 === false)]))
        this.#look(link.index);
    }, CHECK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
