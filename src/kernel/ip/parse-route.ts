import type { IfIndex, Route } from '../../mobility/events.js';
import {
  type Ip,
  type Ipv4,
  type Prefix,
  hostLength,
  isIpv4,
  parseIp,
  parsePrefix,
} from '../../wire/addresses.js';

/** One next hop of a route that has several. */
export interface RouteLineLeg {
  readonly dev: string | undefined;
  readonly via: Ip | undefined;
}

/** A route as `ip -d -N` prints it; `dev` is the name of its one outgoing interface. */
export interface RouteLine {
  readonly kind: 'route';
  readonly deleted: boolean;
  readonly prefix: Prefix;
  readonly table: number;
  readonly protocol: number;
  readonly metric: number;
  readonly type: Route['type'];
  readonly dev: string | undefined;
  readonly via: Ip | undefined;
  /** Of a multipath route. */
  readonly legs?: readonly RouteLineLeg[];
}

/** RTN_* of linux/rtnetlink.h. */
const TYPES: readonly Route['type'][] = [
  'other',
  'unicast',
  'local',
  'broadcast',
  'other',
  'other',
  'blackhole',
  'unreachable',
  'prohibit',
];

const ANY_IPV4: Prefix = { ip: 0 as Ipv4, length: 0 };
const ANY_IPV6: Prefix = { ip: parseIp('::') as Ip, length: 0 };

/** RT_TABLE_MAIN: what a line without `table` means. */
export const MAIN_TABLE = 254;

/**
 * `1 10.1.1.5 dev lan0 table 254 proto 44 scope 253 metric 1`, without `Deleted `; several next hops follow behind
 * `\<tab>nexthop`. A dump leaves out what it was filtered by: that is `implied`. undefined for what is no route.
 */
export function parseRoute(
  text: string,
  deleted: boolean,
  implied: { readonly table?: number; readonly protocol?: number } = {},
): RouteLine | undefined {
  const words = text.split(' ');
  const type = numeral(words[0]);
  if (Number.isNaN(type)) return undefined;
  let table = implied.table ?? MAIN_TABLE;
  let protocol = implied.protocol ?? 0;
  let metric = 0;
  let dev: string | undefined;
  const legs: RouteLineLeg[] = [];
  let via: Ip | undefined;
  let hop: Ip | undefined;
  let isIpv6 = false;
  for (let i = 2; i < words.length; i++) {
    switch (words[i]) {
      case 'table':
        table = numeral(words[++i]);
        break;
      case 'proto':
        protocol = numeral(words[++i], 255);
        break;
      case 'metric':
        metric = numeral(words[++i]);
        break;
      case 'dev':
        dev = words[++i] || undefined;
        legs.push({ dev, via: hop });
        hop = undefined;
        break;
      case 'via': {
        const family = words[i + 1] === 'inet6' || words[i + 1] === 'inet';
        if (family) i++;
        hop = parseIp(words[++i] ?? '');
        via ??= hop;
        if (!family && typeof hop === 'string') isIpv6 = true;
        break;
      }
      case 'pref': // router preference, of IPv6 routes only
        isIpv6 = true;
        break;
    }
  }
  const destination = words[1] ?? '';
  const prefix = destination === 'default' ? (isIpv6 ? ANY_IPV6 : ANY_IPV4) : parseDestination(destination);
  if (prefix === undefined || Number.isNaN(table + protocol + metric)) return undefined;
  return {
    kind: 'route',
    deleted,
    prefix,
    table,
    protocol,
    metric,
    type: TYPES[type] ?? 'other',
    dev: legs.length === 1 ? dev : undefined,
    via,
    ...(legs.length > 1 && { legs }),
  };
}

function parseDestination(text: string): Prefix | undefined {
  if (text.includes('/')) return parsePrefix(text);
  const ip = parseIp(text);
  return ip === undefined ? undefined : { ip, length: hostLength(ip) };
}

/** What identifies a route in the kernel. */
export function routeKey({ prefix, table, metric }: RouteLine): string {
  return `${table} ${metric} ${prefix.length} ${prefix.ip}`;
}

/** `iface`: the index of `dev`. `indexOf`: for the legs of an IPv6 route, each of which may be deleted by itself. */
export function toRoute(
  line: RouteLine,
  iface: IfIndex | undefined,
  indexOf: (dev: string) => IfIndex | undefined,
): Route {
  const { prefix, table, protocol, metric, type, via, legs } = line;
  const route = { prefix, table, protocol, metric, type, iface, via };
  if (legs === undefined || isIpv4(prefix.ip)) return route;
  return {
    ...route,
    legs: legs.map(({ dev, via }) => ({ iface: dev === undefined ? undefined : indexOf(dev), via })),
  };
}
/** A decimal number up to `most`; NaN for anything else, such as a number that is cut off or has a sign. */
export function numeral(word: string | undefined, most = 0xffff_ffff): number {
  const value = word !== undefined && /^\d{1,10}$/.test(word) ? Number(word) : Number.NaN;
  return value <= most ? value : Number.NaN;
}
