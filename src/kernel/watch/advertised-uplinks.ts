import type { Event, IfIndex, Route } from '../../mobility/events.js';
import { formatIp, isIpv4 } from '../../wire/addresses.js';

/** RTPROT_RA of linux/rtnetlink.h. */
const PROTOCOL_RA = 9;

/** Interfaces by which this machine has a default route that a router advertisement made (RFC 4861 section 6.3.4). */
export class AdvertisedUplinks {
  readonly #uplinks = new Map<string, IfIndex>();
  /** What a dump that has begun has named so far. */
  #named: Set<string> | undefined;

  note(event: Event): void {
    if (event.kind === 'route') this.#onRoute(event.change, event.route);
    else if (event.kind === 'routes-begin') this.#named = new Set();
    else if (event.kind === 'routes-end') {
      for (const key of [...this.#uplinks.keys()])
        if (this.#named?.has(key) === false) this.#uplinks.delete(key);
      this.#named = undefined;
    } else if (event.kind === 'link-gone') {
      for (const [key, iface] of [...this.#uplinks]) if (iface === event.iface) this.#uplinks.delete(key);
    }
  }

  all(): Set<IfIndex> {
    return new Set(this.#uplinks.values());
  }

  #onRoute(change: 'add' | 'delete', route: Route): void {
    const { prefix, protocol, table, via, iface } = route;
    if (protocol !== PROTOCOL_RA || prefix.length !== 0 || isIpv4(prefix.ip) || iface === undefined) return;
    // Several routers of one link are several routes.
    const key = `${table} ${iface} ${via === undefined ? '' : formatIp(via)}`;
    if (change === 'delete') this.#uplinks.delete(key);
    else this.#uplinks.set(key, iface);
    if (change === 'add') this.#named?.add(key);
  }
}
