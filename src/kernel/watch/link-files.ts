import { readFileSync } from 'node:fs';
import type { IfIndex, Link } from '../../mobility/events.js';

/**
 * What a file of an interface says now, before or without any event. An interface that was just removed has none, and a
 * sysfs mounted for another network namespace may show another interface of the same name.
 */

/** The interface's own value, or that of `all`; undefined where it cannot be read, as on an interface that is just going. */
export function readRpFilter(name: string): number | undefined {
  return read(`/proc/sys/net/ipv4/conf/${name}/rp_filter`);
}

/** RFC 8200 section 5: IPv6 needs 1280 bytes; with fewer the kernel removes its IPv6 from the interface. */
const MIN_MTU = 1280;

/** Whether the kernel does IPv6 on an interface with this MTU. */
export function readHasIpv6(name: string, mtu: number): boolean {
  return mtu >= MIN_MTU && read(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`) === 0;
}

/** IFF_UP of linux/if.h. */
const IFF_UP = 1;

/** undefined when nothing can be said. */
export function readUpAndMtu(name: string, index: IfIndex): Pick<Link, 'up' | 'mtu'> | undefined {
  const directory = `/sys/class/net/${name}`;
  if (read(`${directory}/ifindex`) !== index) return undefined;
  const flags = read(`${directory}/flags`);
  const mtu = read(`${directory}/mtu`);
  return flags === undefined || mtu === undefined ? undefined : { up: (flags & IFF_UP) !== 0, mtu };
}

function read(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'latin1'));
  } catch {
    return undefined;
  }
}
