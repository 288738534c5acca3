import type { HostState } from '../mobility/events.js';
import { type Ip, type Mac, type Prefix, isIpv4 } from '../wire/addresses.js';

/** Which hosts, and which page of them. */
export interface HostQuery {
  readonly state?: ReadonlySet<HostState> | undefined;
  readonly interface?: string | undefined;
  readonly mac?: Mac | undefined;
  readonly prefix?: Prefix | undefined;
  /** At most this many hosts in one answer. */
  readonly limit: number;
  /** Where the page before ended: its `next`. */
  readonly after?: Ip | undefined;
}

/** Order of the pages: IPv4 before IPv6, then by value, so that a page can be found again from its last address. */
export function compareIps(a: Ip, b: Ip): number {
  if (isIpv4(a)) return isIpv4(b) ? a - b : -1;
  if (isIpv4(b)) return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * One page of a table that changes between pages: the `limit` lowest addresses above `after` that `accepts` takes, in
 * one pass over `entries`. `next` is the last address of the page when more follow.
 */
export function pageOf<T>(
  entries: Iterable<readonly [Ip, T]>,
  accepts: (entry: T) => boolean,
  page: Pick<HostQuery, 'limit' | 'after'>,
): { items: T[]; next: Ip | undefined; total: number } {
  const { limit, after } = page;
  let found: (readonly [Ip, T])[] = [];
  /** Addresses above this one are on a later page. */
  let highest: Ip | undefined;
  let total = 0;
  let beyond = 0;
  for (const entry of entries) {
    if (!accepts(entry[1])) continue;
    total++;
    if (after !== undefined && compareIps(entry[0], after) <= 0) continue;
    if (highest !== undefined && compareIps(entry[0], highest) > 0) {
      beyond++;
      continue;
    }
    found.push(entry);
    // Sorting now and then keeps a page of a large table cheap, without a heap.
    if (found.length < 2 * limit) continue;
    beyond += found.length - limit;
    found = lowest(found, limit);
    highest = found.at(-1)?.[0];
  }
  beyond += Math.max(0, found.length - limit);
  found = lowest(found, limit);
  return { items: found.map(([, item]) => item), next: beyond > 0 ? found.at(-1)?.[0] : undefined, total };
}

function lowest<T>(found: (readonly [Ip, T])[], limit: number): (readonly [Ip, T])[] {
  return found.sort((a, b) => compareIps(a[0], b[0])).slice(0, limit);
}
