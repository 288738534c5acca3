import type { HostState } from '../mobility/events.js';
import { type Ip, type Mac, type Prefix, isIpv4 } from '../wire/addresses.js';

/** Which hosts. */
export interface HostFilter {
  readonly state?: ReadonlySet<HostState> | undefined;
  readonly interface?: string | undefined;
  readonly mac?: Mac | undefined;
  readonly prefix?: Prefix | undefined;
}

/** Which hosts, and which page of them. */
export interface HostQuery extends HostFilter {
  /** At most this many hosts in one answer. */
  readonly limit: number;
  /** Where the page before ended: its `next`. */
  readonly after?: Ip | undefined;
}

/** Which MACs, by their hosts, and which page of them. */
export interface MacQuery extends HostFilter {
  readonly limit: number;
  readonly after?: Mac | undefined;
}

/** Order of the pages: IPv4 before IPv6, then by value, so that a page can be found again from its last address. */
export function compareIps(a: Ip, b: Ip): number {
  if (isIpv4(a)) return isIpv4(b) ? a - b : -1;
  if (isIpv4(b)) return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * One page of a table that changes between pages: the `limit` lowest keys above `after` that `accepts` takes, in
 * one pass over `entries`. `next` is the last key of the page when more follow.
 */
export function pageOf<K, T>(
  entries: Iterable<readonly [K, T]>,
  accepts: (entry: T) => boolean,
  page: { readonly limit: number; readonly after?: K | undefined },
  compare: (a: K, b: K) => number,
): { items: T[]; next: K | undefined; total: number } {
  const { limit, after } = page;
  let found: (readonly [K, T])[] = [];
  /** Keys above this one are on a later page. */
  let highest: K | undefined;
  let total = 0;
  let beyond = 0;
  for (const entry of entries) {
    if (!accepts(entry[1])) continue;
    total++;
    if (after !== undefined && compare(entry[0], after) <= 0) continue;
    if (highest !== undefined && compare(entry[0], highest) > 0) {
      beyond++;
      continue;
    }
    found.push(entry);
    // Sorting now and then keeps a page of a large table cheap, without a heap.
    if (found.length < 2 * limit) continue;
    beyond += found.length - limit;
    found = lowest(found, limit, compare);
    highest = found.at(-1)?.[0];
  }
  beyond += Math.max(0, found.length - limit);
  found = lowest(found, limit, compare);
  return { items: found.map(([, item]) => item), next: beyond > 0 ? found.at(-1)?.[0] : undefined, total };
}

function lowest<K, T>(
  found: (readonly [K, T])[],
  limit: number,
  compare: (a: K, b: K) => number,
): (readonly [K, T])[] {
  return found.sort((a, b) => compare(a[0], b[0])).slice(0, limit);
}
