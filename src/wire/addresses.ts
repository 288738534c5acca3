/**
 * Addresses as values that are cheap to compare and to use as map keys.
 *
 * An IPv4 address is a number (0 .. 2^32-1), an IPv6 address a string of 16 characters, one per byte, and a MAC
 * address a number (0 .. 2^48-1). `===` compares them, a Map takes them as keys, and nothing above this file asks
 * which family it holds unless the wire format itself differs.
 */

declare const family: unique symbol;

/** IPv4 address as an unsigned 32-bit number, network order read as big-endian. */
export type Ipv4 = number & { readonly [family]: 'ipv4' };
/** IPv6 address as 16 characters with code points 0..255, in network order. */
export type Ipv6 = string & { readonly [family]: 'ipv6' };
export type Ip = Ipv4 | Ipv6;
/** Address family, as iproute2 names it. */
export type Family = 'ipv4' | 'ipv6';
/** EUI-48 as an unsigned 48-bit number, first octet on the wire most significant. */
export type Mac = number & { readonly [family]: 'mac' };

/** An address with a prefix length in bits. `ip` keeps its host bits when it describes an interface address. */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number;
}

export const IPV4_UNSPECIFIED = 0 as Ipv4;
export const IPV6_UNSPECIFIED = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' as Ipv6;
export const MAC_ZERO = 0 as Mac;
export const MAC_BROADCAST = 0xffff_ffff_ffff as Mac;

export function isIpv4(ip: Ip): ip is Ipv4 {
  return typeof ip === 'number';
}

export function familyOf(ip: Ip): Family {
  return isIpv4(ip) ? 'ipv4' : 'ipv6';
}

/** Length in bits of a host route for this address: 32 or 128. */
export function hostLength(ip: Ip): 32 | 128 {
  return isIpv4(ip) ? 32 : 128;
}

export function readIpv4(bytes: Uint8Array, offset: number): Ipv4 {
  return (((bytes[offset] as number) * 0x100_0000 +
    (((bytes[offset + 1] as number) << 16) |
      ((bytes[offset + 2] as number) << 8) |
      (bytes[offset + 3] as number))) >>>
    0) as Ipv4;
}

export function writeIpv4(bytes: Uint8Array, offset: number, ip: Ipv4): void {
  bytes[offset] = ip >>> 24;
  bytes[offset + 1] = ip >>> 16;
  bytes[offset + 2] = ip >>> 8;
  bytes[offset + 3] = ip;
}

/** One call with all characters: half the time of a loop or of a decoder, and every IPv6 frame needs two or three. */
export function readIpv6(bytes: Uint8Array, offset: number): Ipv6 {
  return String.fromCharCode(
    bytes[offset] as number,
    bytes[offset + 1] as number,
    bytes[offset + 2] as number,
    bytes[offset + 3] as number,
    bytes[offset + 4] as number,
    bytes[offset + 5] as number,
    bytes[offset + 6] as number,
    bytes[offset + 7] as number,
    bytes[offset + 8] as number,
    bytes[offset + 9] as number,
    bytes[offset + 10] as number,
    bytes[offset + 11] as number,
    bytes[offset + 12] as number,
    bytes[offset + 13] as number,
    bytes[offset + 14] as number,
    bytes[offset + 15] as number,
  ) as Ipv6;
}

export function writeIpv6(bytes: Uint8Array, offset: number, ip: Ipv6): void {
  for (let i = 0; i < 16; i++) bytes[offset + i] = ip.charCodeAt(i);
}

export function readMac(bytes: Uint8Array, offset: number): Mac {
  const high = ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
  return (high * 0x1_0000_0000 + readIpv4(bytes, offset + 2)) as Mac;
}

export function writeMac(bytes: Uint8Array, offset: number, mac: Mac): void {
  const high = Math.floor(mac / 0x1_0000_0000);
  bytes[offset] = high >>> 8;
  bytes[offset + 1] = high;
  writeIpv4(bytes, offset + 2, (mac % 0x1_0000_0000) as Ipv4);
}

/** Group addresses, the broadcast address included (IEEE 802: the least significant bit of the first octet). */
export function isGroupMac(mac: Mac): boolean {
  return (Math.floor(mac / 0x100_0000_0000) & 1) === 1;
}

/**
 * First address and number of the MACs of virtual routers: of VRRP for IPv4 and for IPv6 (RFC 9568 section 7.3), of HSRP,
 * its version 2, the same for IPv6, and of GLBP.
 */
const VIRTUAL_ROUTER_MACS: readonly (readonly [first: number, count: number])[] = [
  [0x00_00_5e_00_01_00, 0x100],
  [0x00_00_5e_00_02_00, 0x100],
  [0x00_00_0c_07_ac_00, 0x100],
  [0x00_00_0c_9f_f0_00, 0x1000],
  [0x00_05_73_a0_00_00, 0x1000],
  [0x00_07_b4_00_00_00, 0x1_0000],
];

/** Whether this MAC belongs to a virtual router and to no machine: whoever is its active router at the time uses it. */
export function isVirtualRouterMac(mac: Mac): boolean {
  return VIRTUAL_ROUTER_MACS.some(([first, count]) => mac >= first && mac < first + count);
}

/** Text of a MAC address: `02:00:0a:01:01:05`. */
export function formatMac(mac: Mac): string {
  const hex = mac.toString(16).padStart(12, '0');
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`;
}

/** Six octets in hexadecimal, separated by colons or dashes. Anything else is undefined. */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})$/i.test(text)) return undefined;
  return Number.parseInt(text.replace(/[:-]/g, ''), 16) as Mac;
}

/** Canonical text: dotted quad, or RFC 5952 for IPv6. */
export function formatIp(ip: Ip): string {
  if (isIpv4(ip)) return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((ip.charCodeAt(i) << 8) | ip.charCodeAt(i + 1));
  let bestStart = -1;
  let bestLength = 1; // RFC 5952 section 4.2.2: a single zero group is not shortened
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
    if (end > start) start = end - 1;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(':');
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`;
}

/** A dotted quad or an IPv6 address without zone. Leading zeros, spaces and short forms of IPv4 are refused. */
export function parseIp(text: string): Ip | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Ipv4 | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const part = match[i] as string;
    const octet = Number(part);
    if (octet > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = value * 256 + octet;
  }
  return value as Ipv4;
}

function parseIpv6(text: string): Ipv6 | undefined {
  let rest = text;
  const tail: number[] = [];
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const embedded = parseIpv4(dotted[2] as string);
    if (embedded === undefined) return undefined;
    tail.push(embedded >>> 16, embedded & 0xffff);
    const head = dotted[1] as string;
    rest = head.endsWith('::') ? head : head.slice(0, -1);
  }
  const halves = rest.split('::');
  if (halves.length > 2) return undefined;
  const parsed: number[][] = [];
  for (const half of halves) {
    const groups: number[] = [];
    for (const group of half === '' ? [] : half.split(':')) {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
      groups.push(Number.parseInt(group, 16));
    }
    parsed.push(groups);
  }
  const left = parsed[0] as number[];
  const right = [...(parsed[1] ?? []), ...tail];
  const missing = 8 - left.length - right.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...left, ...new Array<number>(missing).fill(0), ...right];
  return String.fromCharCode(...groups.flatMap((group) => [group >>> 8, group & 255])) as Ipv6;
}

/** `10.1.1.0/24`, host bits kept. An address alone is a host prefix. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  if (slash < 0) return { ip, length: hostLength(ip) };
  const lengthText = text.slice(slash + 1);
  const length = Number(lengthText);
  if (!/^\d{1,3}$/.test(lengthText) || length > hostLength(ip)) return undefined;
  return { ip, length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.ip)}/${prefix.length}`;
}

/** The address with all bits after `length` cleared. */
export function networkOf(ip: Ip, length: number): Ip {
  if (isIpv4(ip)) return (length === 0 ? 0 : (ip & (-1 << (32 - length))) >>> 0) as Ipv4;
  const whole = length >>> 3;
  if (whole >= 16) return ip;
  scratch.fill(0);
  for (let i = 0; i < whole; i++) scratch[i] = ip.charCodeAt(i);
  scratch[whole] = ip.charCodeAt(whole) & (0xff00 >>> (length & 7));
  return readIpv6(scratch, 0);
}

/** IPv6 addresses are made of bytes here: a string that is joined of others takes longer to compare and to look up. */
const scratch = new Uint8Array(16);

/** True when `ip` lies in `prefix`. Families never mix. */
export function contains(prefix: Prefix, ip: Ip): boolean {
  const { ip: network, length } = prefix;
  if (isIpv4(ip)) return isIpv4(network) && networkOf(ip, length) === networkOf(network, length);
  if (isIpv4(network)) return false;
  const whole = length >>> 3;
  for (let i = 0; i < whole; i++) if (ip.charCodeAt(i) !== network.charCodeAt(i)) return false;
  const differing = whole < 16 ? ip.charCodeAt(whole) ^ network.charCodeAt(whole) : 0;
  return (differing & (0xff00 >>> (length & 7)) & 0xff) === 0;
}

/** True when `inner` is `outer` or one of its more-specifics. */
export function containsPrefix(outer: Prefix, inner: Prefix): boolean {
  return inner.length >= outer.length && contains(outer, inner.ip);
}

/**
 * An address of a subnet that no host may have: the directed broadcast or network address of IPv4 (RFC 1122 section
 * 3.2.1.3), the subnet-router anycast address of IPv6.
 */
export function isSubnetEdge(prefix: Prefix, ip: Ip): boolean {
  if (!isIpv4(ip)) return isSubnetRouterAnycast(prefix, ip);
  if (prefix.length >= 31 || !contains(prefix, ip)) return false;
  const hostBits = ip & (0xffff_ffff >>> prefix.length);
  return hostBits === 0 || hostBits >>> 0 === 0xffff_ffff >>> prefix.length;
}

/**
 * All bits behind the prefix are zero: every router of the subnet has this address (RFC 4291 section 2.6.1). A subnet of
 * two addresses has none (RFC 6164).
 */
export function isSubnetRouterAnycast(prefix: Prefix, ip: Ip): boolean {
  return !isIpv4(ip) && prefix.length < 127 && ip === networkOf(prefix.ip, prefix.length);
}

/** 0.0.0.0 or ::, of the family of `ip`. */
export function unspecifiedOf(ip: Ip): Ip {
  return isIpv4(ip) ? IPV4_UNSPECIFIED : IPV6_UNSPECIFIED;
}

export function isUnspecified(ip: Ip): boolean {
  return ip === unspecifiedOf(ip);
}

const IPV6_LOOPBACK = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u0001';

/** 127.0.0.0/8 or ::1. */
export function isLoopback(ip: Ip): boolean {
  return isIpv4(ip) ? ip >>> 24 === 127 : ip === IPV6_LOOPBACK;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(ip: Ip): boolean {
  return isIpv4(ip) ? ip >>> 28 === 14 : ip.charCodeAt(0) === 0xff;
}

/** 255.255.255.255 and the rest of the reserved class E (240.0.0.0/4), which no host may use; none in IPv6. */
export function isReserved(ip: Ip): boolean {
  return isIpv4(ip) && ip >>> 28 === 15;
}

/** 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 section 2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return isIpv4(ip) ? ip >>> 16 === 0xa9fe : ip.charCodeAt(0) === 0xfe && (ip.charCodeAt(1) & 0xc0) === 0x80;
}

/**
 * Whether an address means something on one link only (fe80::/10): each interface may have the same one, and no host
 * could be away from it.
 */
export function isOfOneLink(ip: Ip): boolean {
  return !isIpv4(ip) && isLinkLocal(ip);
}

const IPV4_MAPPED = '\0\0\0\0\0\0\0\0\0\0\u00ff\u00ff';

/** ::ffff:0:0/96, an IPv4 address in the form of an IPv6 one, which never is on a wire (RFC 4291 section 2.5.5.2). */
export function isIpv4Mapped(ip: Ip): boolean {
  return !isIpv4(ip) && ip.startsWith(IPV4_MAPPED);
}

/**
 * Addresses that no router forwards to: this network (0.0.0.0/8, ::), loopback, link-local, multicast and reserved ones,
 * the broadcast address included (RFC 6890).
 */
export function isUnroutable(ip: Ip): boolean {
  const isThisNetwork = isIpv4(ip) ? ip >>> 24 === 0 : isUnspecified(ip);
  return isThisNetwork || isLoopback(ip) || isLinkLocal(ip) || isMulticast(ip) || isReserved(ip);
}

/** ff02::1:ff00:0/104 (RFC 4291 section 2.7.1). */
const SOLICITED_NODE = '\u00ff\u0002\0\0\0\0\0\0\0\0\0\u0001\u00ff';

/** The group that every owner of this address listens to, whatever its upper 104 bits (RFC 4291 section 2.7.1). */
export function solicitedNodeGroup(ip: Ipv6): Ipv6 {
  writeIpv6(scratch, 0, ip);
  for (let i = 0; i < SOLICITED_NODE.length; i++) scratch[i] = SOLICITED_NODE.charCodeAt(i);
  return readIpv6(scratch, 0);
}

export function isSolicitedNodeGroup(ip: Ip): boolean {
  return !isIpv4(ip) && ip.startsWith(SOLICITED_NODE);
}

/** The MAC address that a multicast address of IPv6 is sent to (RFC 2464 section 7). */
export function groupMac(ip: Ipv6): Mac {
  return (0x3333_0000_0000 + ip.charCodeAt(12) * 0x100_0000 + low24(ip)) as Mac;
}

/** What a solicited-node group tells of the addresses in it: their low 24 bits. */
export function low24(ip: Ipv6): number {
  return (ip.charCodeAt(13) << 16) | (ip.charCodeAt(14) << 8) | ip.charCodeAt(15);
}

/** The address of this prefix whose host bits are zero but for the low 24; undefined: the prefix has fewer host bits. */
export function withLow24(prefix: Prefix, low: number): Ipv6 | undefined {
  if (isIpv4(prefix.ip) || prefix.length > 104) return undefined;
  writeIpv6(scratch, 0, networkOf(prefix.ip, prefix.length) as Ipv6);
  scratch[13] = low >>> 16;
  scratch[14] = low >>> 8;
  scratch[15] = low;
  return readIpv6(scratch, 0);
}

/**
 * The address of this prefix with the interface identifier that a host makes of its MAC (modified EUI-64, RFC 4291
 * appendix A); undefined: the prefix has not 64 host bits (RFC 4862 section 5.5.3).
 */
export function withEui64(prefix: Prefix, mac: Mac): Ipv6 | undefined {
  if (isIpv4(prefix.ip) || prefix.length > 64) return undefined;
  writeIpv6(scratch, 0, networkOf(prefix.ip, prefix.length) as Ipv6);
  writeMac(scratch, 8, mac);
  scratch.copyWithin(13, 11, 14);
  scratch[8] = (scratch[8] as number) ^ 2;
  scratch[11] = 0xff;
  scratch[12] = 0xfe;
  return readIpv6(scratch, 0);
}
