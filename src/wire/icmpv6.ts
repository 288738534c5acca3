import { ETHER_TYPE_IPV6, ETHERNET_HEADER_BYTES, etherTypeOf } from './ethernet.js';
import {
  IPV6_HOP_LIMIT_AT,
  IPV6_NEXT_HEADER_AT,
  IPV6_PAYLOAD_AT,
  IPV6_PAYLOAD_LENGTH_AT,
  IPV6_SOURCE_AT,
  NEXT_HEADER,
} from './ipv6.js';

/** Types of ICMPv6 messages (RFC 4443): those of Neighbor Discovery and of Multicast Listener Discovery. */
export const ICMPV6 = {
  mldQuery: 130,
  mldv1Report: 131,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  mldv2Report: 143,
  /** RFC 4286. */
  multicastRouterAdvertisement: 151,
} as const;

/** Why bytes are no message of Neighbor Discovery, and no MLD report. */
export type Icmpv6Malformed =
  | 'truncated'
  | 'not-neighbour-discovery'
  | 'extension-header'
  | 'bad-hop-limit'
  | 'bad-code'
  | 'bad-length'
  | 'bad-checksum'
  | 'bad-address'
  | 'bad-option';

/** Shortest message of each type that we read (RFC 4861 sections 6.1 and 7.1, RFC 2710 section 3, RFC 3810 section 5.2). */
const SHORTEST_BYTES: Readonly<Record<number, number>> = {
  [ICMPV6.mldv1Report]: 24,
  [ICMPV6.routerSolicitation]: 8,
  [ICMPV6.routerAdvertisement]: 16,
  [ICMPV6.neighbourSolicitation]: 24,
  [ICMPV6.neighbourAdvertisement]: 24,
  [ICMPV6.mldv2Report]: 8,
};

/**
 * An MLDv2 report of which so much is there counts as far as it goes, though its checksum cannot be verified: a host may
 * listen to any number of groups, and a capture keeps the beginning of a frame. Frame, headers and 20 records.
 */
export const MLD_REPORT_CUT_BYTES = 14 + 40 + 8 + 8 + 20 * 20;
/** Of Neighbor Discovery: what comes from another link has less. MLD may not leave the link either, and has 1. */
export const ND_HOP_LIMIT = 255;
export const MLD_HOP_LIMIT = 1;

/** The hop-by-hop header of each MLD message: an option Router Alert that says MLD, and padding (RFC 2711 section 2.1). */
export const ROUTER_ALERT: readonly number[] = [NEXT_HEADER.icmpv6, 0, 5, 2, 0, 0, 1, 0];
const OPTION_PAD1 = 0;
const OPTION_ROUTER_ALERT = 5;

/** Extension headers that are walked over to see what is behind them: 8 at the most, as nobody has a use for more. */
const MOST_EXTENSION_HEADERS = 8;

/**
 * Offset of a message of Neighbor Discovery or of an MLD report in a captured frame. What all of them have in common is
 * in order: headers, hop limit, code, length, checksum (RFC 4861 sections 6.1 and 7.1). Never throws.
 */
export function locateIcmpv6(bytes: Uint8Array): number | Icmpv6Malformed {
  const etherType = etherTypeOf(bytes);
  if (etherType === undefined) return 'truncated';
  if (etherType !== ETHER_TYPE_IPV6) return 'not-neighbour-discovery';
  if (bytes.length < IPV6_PAYLOAD_AT) return 'truncated';
  if ((bytes[ETHERNET_HEADER_BYTES] as number) >>> 4 !== 6) return 'not-neighbour-discovery';
  const nextHeader = bytes[IPV6_NEXT_HEADER_AT] as number;
  const at = nextHeader === NEXT_HEADER.icmpv6 ? IPV6_PAYLOAD_AT : skipExtensionHeaders(bytes, nextHeader);
  if (typeof at === 'string') return at;
  return icmpv6Refusal(bytes, at) ?? at;
}

/** Where the packet of a frame ends; what follows is padding. */
export function endOfPacket(bytes: Uint8Array): number {
  const high = bytes[IPV6_PAYLOAD_LENGTH_AT] as number;
  return IPV6_PAYLOAD_AT + ((high << 8) | (bytes[IPV6_PAYLOAD_LENGTH_AT + 1] as number));
}

function icmpv6Refusal(bytes: Uint8Array, at: number): Icmpv6Malformed | undefined {
  const end = endOfPacket(bytes);
  if (end < at + 4) return 'bad-length';
  if (bytes.length < at + 4) return 'truncated';
  const type = bytes[at] as number;
  const shortest = SHORTEST_BYTES[type];
  if (shortest === undefined) return 'not-neighbour-discovery';
  const isMld = type === ICMPV6.mldv1Report || type === ICMPV6.mldv2Report;
  // RFC 6980 section 5; an MLD report without Router Alert is none (RFC 3810 section 5).
  if (isMld !== at > IPV6_PAYLOAD_AT) return 'extension-header';
  if (bytes[IPV6_HOP_LIMIT_AT] !== (isMld ? MLD_HOP_LIMIT : ND_HOP_LIMIT)) return 'bad-hop-limit';
  // The code of MLDv2 is a reserved field, which receivers ignore (RFC 3810 section 5.2.1).
  if (!isMld && bytes[at + 1] !== 0) return 'bad-code';
  if (end < at + shortest) return 'bad-length';
  if (bytes.length < end) return isMld && bytes.length >= MLD_REPORT_CUT_BYTES ? undefined : 'truncated';
  return checksum(bytes, at, end) === 0 ? undefined : 'bad-checksum';
}

/** The one extension header that MLD has, or why there is no message that we read behind these headers. */
function skipExtensionHeaders(bytes: Uint8Array, first: number): number | Icmpv6Malformed {
  let at = IPV6_PAYLOAD_AT;
  let nextHeader = first;
  for (let count = 0; count < MOST_EXTENSION_HEADERS && isExtensionHeader(nextHeader); count++) {
    if (bytes.length < at + 8) return 'truncated';
    const length = bytes[at + 1] as number;
    const isAlert = nextHeader === NEXT_HEADER.hopByHop && hasRouterAlert(bytes, at, at + 8 * (length + 1));
    nextHeader = bytes[at] as number;
    at += 8 * (length + 1);
    if (count === 0 && isAlert && nextHeader === NEXT_HEADER.icmpv6) return at;
  }
  return nextHeader === NEXT_HEADER.icmpv6 ? 'extension-header' : 'not-neighbour-discovery';
}

function isExtensionHeader(nextHeader: number): boolean {
  return (
    nextHeader === NEXT_HEADER.hopByHop ||
    nextHeader === NEXT_HEADER.routing ||
    nextHeader === NEXT_HEADER.fragment ||
    nextHeader === NEXT_HEADER.authentication ||
    nextHeader === NEXT_HEADER.destinationOptions
  );
}

/** Whether the hop-by-hop header has the option that MLD messages have (RFC 2711 section 2.1). */
function hasRouterAlert(bytes: Uint8Array, at: number, end: number): boolean {
  if (bytes.length < end) return false;
  for (let option = at + 2; option < end; ) {
    const type = bytes[option] as number;
    if (type === OPTION_PAD1) {
      option++;
      continue;
    }
    const length = bytes[option + 1] as number;
    if (type === OPTION_ROUTER_ALERT && option + 4 <= end)
      return length === 2 && bytes[option + 2] === 0 && bytes[option + 3] === 0;
    option += 2 + length;
  }
  return false;
}

/** Writes the checksum of the ICMPv6 message that reaches from `at` to the end of the frame. */
export function writeChecksum(bytes: Uint8Array, at: number): void {
  bytes[at + 2] = 0;
  bytes[at + 3] = 0;
  const sum = checksum(bytes, at, bytes.length);
  bytes[at + 2] = sum >>> 8;
  bytes[at + 3] = sum;
}

/**
 * The Internet checksum of a message and the pseudo-header of its packet (RFC 4443 section 2.3, RFC 8200 section 8.1).
 * 0 over a message with the right checksum in it.
 */
export function checksum(bytes: Uint8Array, at: number, end: number): number {
  let sum = end - at + NEXT_HEADER.icmpv6;
  for (let i = IPV6_SOURCE_AT; i < IPV6_PAYLOAD_AT; i += 2)
    sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  const even = end - ((end - at) & 1);
  for (let i = at; i < even; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  if (even < end) sum += (bytes[even] as number) << 8;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
