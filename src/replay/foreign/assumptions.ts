import type { IfIndex, Link, Route } from '../../mobility/events.js';
import { parseRoute, toRoute } from '../../kernel/ip/parse-route.js';
import { type Mac, type Prefix, parseMac, parsePrefix } from '../../wire/addresses.js';
import type { RouteChange } from './foreign-replay.js';

/** What a capture does not say of the router: its interfaces, and the routes of others. */

/** An interface that is up, with what is known of it. */
export function assumedLink(index: IfIndex, name: string, mac: Mac, addresses: readonly Prefix[]): Link {
  return {
    index,
    name,
    mac,
    up: true,
    carrier: true,
    master: undefined,
    type: undefined,
    addresses,
    rpFilter: 0,
  };
}

/** `NAME,MAC,PREFIX,...` with the router's own addresses; a string says what is wrong with it. */
export function parseLink(index: IfIndex, text: string): Link | string {
  const [name = '', macText = '', ...prefixes] = text.split(',');
  const mac = parseMac(macText);
  if (name === '' || mac === undefined) return `"${text}" is not NAME,MAC,ADDRESS/LENGTH,...`;
  const addresses: Prefix[] = [];
  for (const prefixText of prefixes) {
    const prefix = parsePrefix(prefixText);
    if (prefix === undefined) return `"${prefixText}" is not an address with a prefix length`;
    addresses.push(prefix);
  }
  return assumedLink(index, name, mac, addresses);
}

/**
 * Lines of `ip -ts -o -d -N monitor route`; its stamps are local time. Others are passed over. `initial`: the output of
 * `ip -o -d -N route show table all` in front of it, which has no stamps, was there before the first packet.
 */
export function parseRoutes(text: string, links: readonly Link[]): RouteChange[] {
  const indices = new Map(links.map(({ name, index }) => [name, index]));
  const changes: RouteChange[] = [];
  for (const line of text.split('\n')) {
    const match = /^(?:\[([^\]]+)\] *)?(Deleted )?(\d.*)$/.exec(line);
    if (match === null) continue;
    const [, stamp, deleted, words = ''] = match;
    const timeNs = stamp === undefined ? 0n : parseStampNs(stamp);
    const parsed = parseRoute(words.trim().replace(/\s+/g, ' '), deleted !== undefined);
    if (timeNs === undefined || parsed === undefined) continue;
    const indexOf = (dev: string) => indices.get(dev);
    const route: Route = toRoute(parsed, parsed.dev === undefined ? undefined : indexOf(parsed.dev), indexOf);
    changes.push({ timeNs, change: parsed.deleted ? 'delete' : 'add', route });
  }
  return changes.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0));
}

function parseStampNs(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})$/.exec(text);
  if (match === null) return undefined;
  const seconds = Date.parse(match[1] as string);
  return Number.isNaN(seconds)
    ? undefined
    : BigInt(seconds) * 1_000_000n + BigInt(match[2] as string) * 1000n;
}
