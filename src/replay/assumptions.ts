import type { IfIndex, Link, Route } from '../mobility/events.js';
import type { Subnet } from '../mobility/policy.js';
import { parseRoute, toRoute } from '../kernel/ip/parse-route.js';
import { type Ip, type Mac, type Prefix, parseMac, parsePrefix } from '../wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp } from '../wire/arp.js';
import type { RouteChange } from './foreign-replay.js';

/** What a capture does not say of the router: its interfaces, and the routes of others. */

/** The length of a subnet that nobody names. */
const ASSUMED_LENGTH = 24;

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

/** Who asks for an address and who answers for it, on one interface. */
interface Address {
  readonly askers: Set<Mac>;
  readonly owners: Map<Mac, number>;
}

/** Finds the router among the stations of each LAN: it is who answers for the gateway. */
export class RouterSearch {
  private readonly lans = new Map<string, Map<Ip, Address>>();

  constructor(private readonly subnets: readonly Subnet[]) {}

  note(name: string, bytes: Uint8Array): void {
    let lan = this.lans.get(name);
    if (lan === undefined) {
      lan = new Map();
      this.lans.set(name, lan);
    }
    const arp = decodeArp(bytes);
    if (typeof arp === 'string') return;
    const { opcode, senderIp, senderMac, targetIp } = arp;
    if (opcode === ARP_REQUEST && senderIp !== targetIp) addressOf(lan, targetIp).askers.add(senderMac);
    if (senderIp === 0) return;
    const { owners } = addressOf(lan, senderIp);
    // An answer says more than a question in the address's name.
    owners.set(senderMac, (owners.get(senderMac) ?? 0) + (opcode === ARP_REPLY ? 2 : 1));
  }

  /** One link for each LAN whose router was found; what was assumed, for people; and LANs without a router. */
  result(): { readonly links: readonly Link[]; readonly unknown: readonly string[] } {
    const links: Link[] = [];
    const unknown: string[] = [];
    for (const [name, lan] of this.lans) {
      const found = this.gatewayOf(lan);
      if (found === undefined) unknown.push(name);
      else links.push(assumedLink(links.length + 1, name, found.mac, [found.address]));
    }
    return { links, unknown };
  }

  private gatewayOf(lan: ReadonlyMap<Ip, Address>): { mac: Mac; address: Prefix } | undefined {
    let best: { ip: Ip; mac: Mac; askers: number } | undefined;
    for (const [ip, { askers, owners }] of lan) {
      const [owner] = [...owners].sort((a, b) => b[1] - a[1])[0] ?? [];
      if (owner === undefined) continue;
      const isGateway = this.subnets.some(({ gateway }) => gateway === ip);
      const count = askers.size + (isGateway ? 1000 : 0);
      if (best === undefined || count > best.askers) best = { ip, mac: owner, askers: count };
    }
    if (best === undefined || best.askers === 0) return undefined;
    const { ip, mac } = best;
    const length = this.subnets.find(({ gateway }) => gateway === ip)?.prefix.length ?? ASSUMED_LENGTH;
    return { mac, address: { ip, length } };
  }
}

function addressOf(lan: Map<Ip, Address>, ip: Ip): Address {
  let known = lan.get(ip);
  if (known === undefined) {
    known = { askers: new Set(), owners: new Map() };
    lan.set(ip, known);
  }
  return known;
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
    const route: Route = toRoute(parsed, parsed.dev === undefined ? undefined : indices.get(parsed.dev));
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
