import {
  type Ip,
  type Mac,
  MAC_ZERO,
  type Prefix,
  hostLength,
  parseIp,
  parseMac,
  parsePrefix,
} from '../../wire/addresses.js';

/** An interface and its addresses, as the kernel shows them at one moment. */
export interface LinkFacts {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  /** By name. */
  readonly master: string | undefined;
  /** By name: the interface that a macvlan stands on, unless that is in another network namespace. */
  readonly lower: string | undefined;
  readonly mac: Mac;
  readonly type: string | undefined;
  /** Bytes; 0 when it is not told. */
  readonly mtu: number;
  readonly addresses: readonly Prefix[];
  /** Of them those that another machine has (RFC 4862 section 5.4.5); absent: none. */
  readonly duplicates?: readonly Ip[];
}

/**
 * The elements of the array that `ip -j -d address show` prints. Text of others (an alias, an alternative name, a label)
 * stands in JSON strings, where a quote is escaped, so none of it can look like the beginning of an element.
 */
export function splitLinks(json: string): string[] {
  const inside = json.slice(json.indexOf('[') + 1, json.lastIndexOf(']'));
  return inside === '' ? [] : inside.split(/,(?=\{"ifindex":)/);
}

/** One such element; undefined for what is none. Names are whole: `lan0@x` is the name of one interface. */
export function parseLink(json: string): LinkFacts | undefined {
  const link = parseIpJson(json);
  if (!isRecord(link) || !isIndex(link.ifindex)) return undefined;
  if (typeof link.ifname !== 'string' || link.ifname === '') return undefined;
  const flags = Array.isArray(link.flags) ? link.flags : [];
  const addresses = Array.isArray(link.addr_info) ? link.addr_info : [];
  const kind = isRecord(link.linkinfo) ? link.linkinfo.info_kind : undefined;
  const duplicates = addresses.filter(isDuplicate).flatMap((address) => parseAddress(address)?.ip ?? []);
  return {
    index: link.ifindex,
    name: link.ifname,
    up: flags.includes('UP'),
    carrier: flags.includes('LOWER_UP'),
    master: asText(link.master),
    // Of a veth `link` is its peer, and of others something else.
    lower: kind === 'macvlan' && link.link_netnsid === undefined ? asText(link.link) : undefined,
    // A tun device has no address, that of InfiniBand is none of Ethernet's.
    mac: parseMac(asText(link.address) ?? '') ?? MAC_ZERO,
    type: asText(kind),
    mtu: isIndex(link.mtu) ? link.mtu : 0,
    addresses: addresses.flatMap((address) => parseAddress(address) ?? []),
    ...(duplicates.length > 0 && { duplicates }),
  };
}

/** Of a point-to-point interface our own end: `local` is ours, `address` the peer's. */
function parseAddress(value: unknown): Prefix | undefined {
  if (!isRecord(value)) return undefined;
  const ip = parseIp(asText(value.local) ?? '');
  if (ip === undefined) return undefined;
  const length = value.address === undefined ? value.prefixlen : hostLength(ip);
  return parsePrefix(`${asText(value.local)}/${length}`);
}

function isDuplicate(value: unknown): boolean {
  return isRecord(value) && value.dadfailed === true;
}

/** iproute2 writes control characters into strings as they are, and older versions escape an apostrophe. */
function parseIpJson(json: string): unknown {
  const repaired = json
    .replace(/[^ -\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/\\(.)/g, (both, char) => (char === "'" ? char : both));
  try {
    return JSON.parse(repaired);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isIndex(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= 0x7fff_ffff;
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
