import {
  IPV6_UNSPECIFIED,
  type Ipv6,
  type Mac,
  isLinkLocal,
  isMulticast,
  parseIp,
  groupMac,
  readIpv6,
  readMac,
  writeIpv6,
} from './addresses.js';
import {
  ICMPV6,
  type Icmpv6Malformed,
  MLD_HOP_LIMIT,
  ROUTER_ALERT,
  endOfPacket,
  locateIcmpv6,
  writeChecksum,
} from './icmpv6.js';
import {
  IPV6_DESTINATION_AT,
  IPV6_PAYLOAD_AT,
  IPV6_SOURCE_AT,
  type Ipv6Packet,
  NEXT_HEADER,
  writeIpv6Headers,
} from './ipv6.js';

/** A report of Multicast Listener Discovery, of version 1 (RFC 2710) or 2 (RFC 3810), in its frame. */
export interface MldReport extends Ipv6Packet {
  readonly type: typeof ICMPV6.mldv1Report | typeof ICMPV6.mldv2Report;
  /** The groups that the sender listens to, as far as this report names them. Those that it leaves are not among them. */
  readonly groups: readonly Ipv6[];
}

/** Of MLDv2 (RFC 3810 section 5.2.12). */
export const RECORD = {
  modeIsInclude: 1,
  modeIsExclude: 2,
  changeToInclude: 3,
  changeToExclude: 4,
  allowNewSources: 5,
  blockOldSources: 6,
} as const;

const RECORD_BYTES = 20;
const SOURCE_BYTES = 16;

export const ALL_NODES = parseIp('ff02::1') as Ipv6;
/** All routers that can do MLDv2. */
export const ALL_MLDV2_ROUTERS = parseIp('ff02::16') as Ipv6;
/** RFC 4286 section 3.1. */
export const ALL_SNOOPERS = parseIp('ff02::6a') as Ipv6;

/** The MLD report in a captured frame, or the reason why there is none. Never throws. */
export function decodeMldReport(bytes: Uint8Array): MldReport | Icmpv6Malformed {
  const at = locateIcmpv6(bytes);
  return typeof at === 'string' ? at : decodeMldReportAt(bytes, at);
}

/** The same, of a message that is known to be at `at`. */
export function decodeMldReportAt(bytes: Uint8Array, at: number): MldReport | Icmpv6Malformed {
  const type = bytes[at];
  if (type !== ICMPV6.mldv1Report && type !== ICMPV6.mldv2Report) return 'not-neighbour-discovery';
  const sourceIp = readIpv6(bytes, IPV6_SOURCE_AT);
  // RFC 3810 section 5.2.13; a host whose addresses are all tentative has none to send from (RFC 3590).
  if (sourceIp !== IPV6_UNSPECIFIED && !isLinkLocal(sourceIp)) return 'bad-address';
  const groups = type === ICMPV6.mldv1Report ? [readIpv6(bytes, at + 8)] : readRecords(bytes, at);
  if (typeof groups === 'string') return groups;
  if (!groups.every(isMulticast)) return 'bad-address';
  return {
    source: readMac(bytes, 6),
    destination: readMac(bytes, 0),
    sourceIp,
    destinationIp: readIpv6(bytes, IPV6_DESTINATION_AT),
    type,
    groups,
  };
}

/** The groups in the records of an MLDv2 report that say that the sender listens (RFC 3810 section 5.2). */
function readRecords(bytes: Uint8Array, at: number): Ipv6[] | 'bad-length' {
  const end = endOfPacket(bytes);
  const count = read16(bytes, at + 6);
  const groups: Ipv6[] = [];
  let record = at + 8;
  for (let i = 0; i < count; i++) {
    if (record + RECORD_BYTES > end) return 'bad-length';
    if (record + RECORD_BYTES > bytes.length) return groups;
    const sources = read16(bytes, record + 2);
    if (isListening(bytes[record] as number, sources)) groups.push(readIpv6(bytes, record + 4));
    record += RECORD_BYTES + SOURCE_BYTES * sources + 4 * (bytes[record + 1] as number);
    if (record > end) return 'bad-length';
  }
  return groups;
}

/** To include no source is to leave the group; to exclude any is to listen. Other types are ignored (section 5.2.12). */
function isListening(type: number, sources: number): boolean {
  switch (type) {
    case RECORD.modeIsExclude:
    case RECORD.changeToExclude:
      return true;
    case RECORD.modeIsInclude:
    case RECORD.changeToInclude:
    case RECORD.allowNewSources:
      return sources > 0;
    default:
      return false;
  }
}

function read16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** A report of version 2 with one record of this type for each group. */
export function encodeMldReport(
  frame: Omit<MldReport, 'type'>,
  recordType: number = RECORD.changeToExclude,
): Uint8Array {
  const [bytes, at] = mldFrame(frame, 8 + RECORD_BYTES * frame.groups.length);
  bytes[at] = ICMPV6.mldv2Report;
  write16(bytes, at + 6, frame.groups.length);
  for (const [i, group] of frame.groups.entries()) {
    const record = at + 8 + RECORD_BYTES * i;
    bytes[record] = recordType;
    writeIpv6(bytes, record + 4, group);
  }
  writeChecksum(bytes, at);
  return bytes;
}

/** RFC 3810 section 9: the defaults, which a host that hears a query takes over from it. */
const ROBUSTNESS = 2;
const QUERY_INTERVAL_SECONDS = 125;

/**
 * A general query of version 2 (RFC 3810 section 5.1) that one MAC alone gets. It answers within a millisecond, or as
 * soon as its timers allow. A bridge does not look at it: no querier is elected by it.
 */
export function encodeMldQuery(source: Mac, destination: Mac, sourceIp: Ipv6): Uint8Array {
  const [bytes, at] = mldFrame({ source, destination, sourceIp, destinationIp: ALL_NODES }, 28);
  bytes[at] = ICMPV6.mldQuery;
  write16(bytes, at + 4, 1);
  bytes[at + 24] = ROBUSTNESS;
  bytes[at + 25] = QUERY_INTERVAL_SECONDS;
  writeChecksum(bytes, at);
  return bytes;
}

/**
 * A multicast router advertisement (RFC 4286 section 4): the port at which a snooping bridge hears it gets all
 * multicast frames, those to solicited-node groups included. `interval`: seconds between two of them, 4 to 180.
 */
export function encodeMulticastRouterAdvertisement(
  source: Mac,
  sourceIp: Ipv6,
  interval: number,
): Uint8Array {
  const destination = groupMac(ALL_SNOOPERS);
  const [bytes, at] = mldFrame({ source, destination, sourceIp, destinationIp: ALL_SNOOPERS }, 8);
  bytes[at] = ICMPV6.multicastRouterAdvertisement;
  bytes[at + 1] = interval;
  write16(bytes, at + 4, QUERY_INTERVAL_SECONDS);
  write16(bytes, at + 6, ROBUSTNESS);
  writeChecksum(bytes, at);
  return bytes;
}

/** A frame for an ICMPv6 message of this length, with all headers that are before it, and the offset of the message. */
function mldFrame(packet: Ipv6Packet, length: number): [bytes: Uint8Array, at: number] {
  const at = IPV6_PAYLOAD_AT + ROUTER_ALERT.length;
  const bytes = new Uint8Array(at + length);
  writeIpv6Headers(bytes, packet, NEXT_HEADER.hopByHop, MLD_HOP_LIMIT);
  bytes.set(ROUTER_ALERT, IPV6_PAYLOAD_AT);
  return [bytes, at];
}

function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
