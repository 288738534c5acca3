import {
  IPV6_UNSPECIFIED,
  type Ipv6,
  type Mac,
  isLinkLocal,
  isMulticast,
  isSolicitedNodeGroup,
  readIpv6,
  readMac,
  writeIpv6,
  writeMac,
} from './addresses.js';
import {
  ICMPV6,
  type Icmpv6Malformed,
  ND_HOP_LIMIT,
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

/**
 * A neighbour solicitation (RFC 4861 section 4.3) in its frame. Field names follow Wireshark where it has one.
 */
export interface NeighbourSolicitation extends Ipv6Packet {
  readonly type: typeof ICMPV6.neighbourSolicitation;
  readonly targetIp: Ipv6;
  /** Of the option Source Link-Layer Address. */
  readonly linkLayerAddress: Mac | undefined;
}

/** A neighbour advertisement (RFC 4861 section 4.4). */
export interface NeighbourAdvertisement extends Ipv6Packet {
  readonly type: typeof ICMPV6.neighbourAdvertisement;
  readonly targetIp: Ipv6;
  /** Of the option Target Link-Layer Address. */
  readonly linkLayerAddress: Mac | undefined;
  readonly isRouter: boolean;
  readonly isSolicited: boolean;
  readonly isOverride: boolean;
}

/** A router solicitation (RFC 4861 section 4.1), or what tells a router: the head of its advertisement (section 4.2). */
export interface RouterDiscovery extends Ipv6Packet {
  readonly type: typeof ICMPV6.routerSolicitation | typeof ICMPV6.routerAdvertisement;
  /** Of the option Source Link-Layer Address. */
  readonly linkLayerAddress: Mac | undefined;
}

export type NdFrame = NeighbourSolicitation | NeighbourAdvertisement | RouterDiscovery;

const TARGET_BYTES = 24;
const OPTION_BYTES = 8;
export const OPTION_SOURCE_LINK_LAYER = 1;
const OPTION_TARGET_LINK_LAYER = 2;

const ROUTER = 0x80;
const SOLICITED = 0x40;
const OVERRIDE = 0x20;

/** The message of Neighbor Discovery in a captured frame, or the reason why there is none. Never throws. */
export function decodeNd(bytes: Uint8Array): NdFrame | Icmpv6Malformed {
  const at = locateIcmpv6(bytes);
  return typeof at === 'string' ? at : decodeNdAt(bytes, at);
}

/** The same, of a message that is known to be at `at`. */
export function decodeNdAt(bytes: Uint8Array, at: number): NdFrame | Icmpv6Malformed {
  switch (bytes[at]) {
    case ICMPV6.neighbourSolicitation:
      return decodeSolicitation(bytes, at);
    case ICMPV6.neighbourAdvertisement:
      return decodeAdvertisement(bytes, at);
    case ICMPV6.routerSolicitation:
      return decodeRouterDiscovery(bytes, at, ICMPV6.routerSolicitation);
    case ICMPV6.routerAdvertisement:
      return decodeRouterDiscovery(bytes, at, ICMPV6.routerAdvertisement);
    default:
      return 'not-neighbour-discovery';
  }
}

/** RFC 4861 section 7.1.1. */
function decodeSolicitation(bytes: Uint8Array, at: number): NeighbourSolicitation | Icmpv6Malformed {
  const linkLayerAddress = readLinkLayerAddress(bytes, at + TARGET_BYTES, OPTION_SOURCE_LINK_LAYER);
  if (typeof linkLayerAddress === 'string') return linkLayerAddress;
  if (isMulticastAt(bytes, at + 8) || isMulticastAt(bytes, IPV6_SOURCE_AT)) return 'bad-address';
  const destinationIp = readIpv6(bytes, IPV6_DESTINATION_AT);
  const isNobody = isUnspecifiedAt(bytes, IPV6_SOURCE_AT);
  if (isNobody) {
    if (!isSolicitedNodeGroup(destinationIp)) return 'bad-address';
    if (linkLayerAddress !== undefined) return 'bad-option';
  }
  return {
    source: readMac(bytes, 6),
    destination: readMac(bytes, 0),
    sourceIp: isNobody ? IPV6_UNSPECIFIED : readIpv6(bytes, IPV6_SOURCE_AT),
    destinationIp,
    type: ICMPV6.neighbourSolicitation,
    targetIp: readIpv6(bytes, at + 8),
    linkLayerAddress,
  };
}

/** RFC 4861 section 7.1.2. */
function decodeAdvertisement(bytes: Uint8Array, at: number): NeighbourAdvertisement | Icmpv6Malformed {
  const linkLayerAddress = readLinkLayerAddress(bytes, at + TARGET_BYTES, OPTION_TARGET_LINK_LAYER);
  if (typeof linkLayerAddress === 'string') return linkLayerAddress;
  const flags = bytes[at + 4] as number;
  if (isMulticastAt(bytes, at + 8) || isMulticastAt(bytes, IPV6_SOURCE_AT)) return 'bad-address';
  if (isUnspecifiedAt(bytes, IPV6_SOURCE_AT)) return 'bad-address';
  // A solicited one is for who asked.
  const isSolicited = (flags & SOLICITED) !== 0;
  if (isSolicited && isMulticastAt(bytes, IPV6_DESTINATION_AT)) return 'bad-address';
  return {
    source: readMac(bytes, 6),
    destination: readMac(bytes, 0),
    sourceIp: readIpv6(bytes, IPV6_SOURCE_AT),
    destinationIp: readIpv6(bytes, IPV6_DESTINATION_AT),
    type: ICMPV6.neighbourAdvertisement,
    targetIp: readIpv6(bytes, at + 8),
    linkLayerAddress,
    isRouter: (flags & ROUTER) !== 0,
    isSolicited,
    isOverride: (flags & OVERRIDE) !== 0,
  };
}

/** RFC 4861 sections 6.1.1 and 6.1.2. */
function decodeRouterDiscovery(
  bytes: Uint8Array,
  at: number,
  type: RouterDiscovery['type'],
): RouterDiscovery | Icmpv6Malformed {
  const isSolicitation = type === ICMPV6.routerSolicitation;
  const optionsAt = at + (isSolicitation ? 8 : 16);
  const linkLayerAddress = readLinkLayerAddress(bytes, optionsAt, OPTION_SOURCE_LINK_LAYER);
  if (typeof linkLayerAddress === 'string') return linkLayerAddress;
  const sourceIp = readIpv6(bytes, IPV6_SOURCE_AT);
  if (isSolicitation ? isMulticast(sourceIp) : !isLinkLocal(sourceIp)) return 'bad-address';
  if (sourceIp === IPV6_UNSPECIFIED && linkLayerAddress !== undefined) return 'bad-option';
  return {
    source: readMac(bytes, 6),
    destination: readMac(bytes, 0),
    sourceIp,
    destinationIp: readIpv6(bytes, IPV6_DESTINATION_AT),
    type,
    linkLayerAddress,
  };
}

function isMulticastAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff;
}

function isUnspecifiedAt(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 16; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The address in the first option of this type. All options have to be whole, and none may have the length 0. */
function readLinkLayerAddress(bytes: Uint8Array, from: number, type: number): Mac | undefined | 'bad-option' {
  const end = endOfPacket(bytes);
  let found: Mac | undefined;
  for (let at = from; at < end; ) {
    const length = OPTION_BYTES * (bytes[at + 1] as number);
    if (at + 2 > end || length === 0 || at + length > end) return 'bad-option';
    if (bytes[at] === type) {
      if (length !== OPTION_BYTES) return 'bad-option';
      found ??= readMac(bytes, at + 2);
    }
    at += length;
  }
  return found;
}

export function encodeSolicitation(frame: Omit<NeighbourSolicitation, 'type'>): Uint8Array {
  return encodeNeighbour(ICMPV6.neighbourSolicitation, 0, OPTION_SOURCE_LINK_LAYER, frame);
}

export function encodeAdvertisement(frame: Omit<NeighbourAdvertisement, 'type'>): Uint8Array {
  const flags =
    (frame.isRouter ? ROUTER : 0) | (frame.isSolicited ? SOLICITED : 0) | (frame.isOverride ? OVERRIDE : 0);
  return encodeNeighbour(ICMPV6.neighbourAdvertisement, flags, OPTION_TARGET_LINK_LAYER, frame);
}

function encodeNeighbour(
  type: number,
  flags: number,
  option: number,
  frame: Omit<NeighbourSolicitation, 'type'>,
): Uint8Array {
  const { linkLayerAddress: mac } = frame;
  const at = IPV6_PAYLOAD_AT;
  const bytes = new Uint8Array(at + TARGET_BYTES + (mac === undefined ? 0 : OPTION_BYTES));
  writeIpv6Headers(bytes, frame, NEXT_HEADER.icmpv6, ND_HOP_LIMIT);
  bytes[at] = type;
  bytes[at + 4] = flags;
  writeIpv6(bytes, at + 8, frame.targetIp);
  if (mac !== undefined) writeLinkLayerAddress(bytes, at + TARGET_BYTES, option, mac);
  writeChecksum(bytes, at);
  return bytes;
}

export function encodeRouterSolicitation(frame: Omit<RouterDiscovery, 'type'>): Uint8Array {
  const { linkLayerAddress: mac } = frame;
  const at = IPV6_PAYLOAD_AT;
  const bytes = new Uint8Array(at + 8 + (mac === undefined ? 0 : OPTION_BYTES));
  writeIpv6Headers(bytes, frame, NEXT_HEADER.icmpv6, ND_HOP_LIMIT);
  bytes[at] = ICMPV6.routerSolicitation;
  if (mac !== undefined) writeLinkLayerAddress(bytes, at + 8, OPTION_SOURCE_LINK_LAYER, mac);
  writeChecksum(bytes, at);
  return bytes;
}

export function writeLinkLayerAddress(bytes: Uint8Array, at: number, option: number, mac: Mac): void {
  bytes[at] = option;
  bytes[at + 1] = 1;
  writeMac(bytes, at + 2, mac);
}
