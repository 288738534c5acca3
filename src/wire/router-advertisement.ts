import { type Ipv6, type Mac, type Prefix, readIpv6, writeIpv6 } from './addresses.js';
import { ICMPV6, ND_HOP_LIMIT, endOfPacket, writeChecksum } from './icmpv6.js';
import { IPV6_PAYLOAD_AT, type Ipv6Packet, NEXT_HEADER, writeIpv6Headers } from './ipv6.js';
import { OPTION_SOURCE_LINK_LAYER, decodeNd, writeLinkLayerAddress } from './nd.js';

/** A prefix information option (RFC 4861 section 4.6.2). Lifetimes are seconds. */
export interface PrefixInformation {
  readonly network: Ipv6;
  readonly length: number;
  /** L: addresses of it are on this link. Without it nothing is said of that. */
  readonly isOnLink: boolean;
  /** A: hosts make addresses of it. */
  readonly isAutonomous: boolean;
  readonly validSeconds: number;
  readonly preferredSeconds: number;
}

export interface RouterAdvertisement extends Ipv6Packet {
  /** How long the sender is a default router, 9000 at the most; 0: it is none. */
  readonly routerSeconds: number;
  readonly linkLayerAddress: Mac;
  readonly prefixes: readonly PrefixInformation[];
}

const HEAD_BYTES = 16;
const LINK_LAYER_BYTES = 8;
const PREFIX_BYTES = 32;
const OPTION_PREFIX = 3;
const ON_LINK = 0x80;
const AUTONOMOUS = 0x40;

/**
 * A router advertisement (RFC 4861 section 4.2) in its frame. What it leaves at 0 (hop limit, reachable time, retransmit
 * timer) each host keeps as it has it.
 */
export function encodeRouterAdvertisement(frame: RouterAdvertisement): Uint8Array {
  const at = IPV6_PAYLOAD_AT;
  const optionsAt = at + HEAD_BYTES + LINK_LAYER_BYTES;
  const bytes = new Uint8Array(optionsAt + PREFIX_BYTES * frame.prefixes.length);
  writeIpv6Headers(bytes, frame, NEXT_HEADER.icmpv6, ND_HOP_LIMIT);
  bytes[at] = ICMPV6.routerAdvertisement;
  bytes[at + 6] = frame.routerSeconds >>> 8;
  bytes[at + 7] = frame.routerSeconds;
  writeLinkLayerAddress(bytes, at + HEAD_BYTES, OPTION_SOURCE_LINK_LAYER, frame.linkLayerAddress);
  for (const [i, prefix] of frame.prefixes.entries())
    writePrefix(bytes, optionsAt + PREFIX_BYTES * i, prefix);
  writeChecksum(bytes, at);
  return bytes;
}

function writePrefix(bytes: Uint8Array, at: number, prefix: PrefixInformation): void {
  bytes[at] = OPTION_PREFIX;
  bytes[at + 1] = PREFIX_BYTES / 8;
  bytes[at + 2] = prefix.length;
  bytes[at + 3] = (prefix.isOnLink ? ON_LINK : 0) | (prefix.isAutonomous ? AUTONOMOUS : 0);
  write32(bytes, at + 4, prefix.validSeconds);
  write32(bytes, at + 8, prefix.preferredSeconds);
  writeIpv6(bytes, at + 16, prefix.network);
}

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The prefixes that a valid router advertisement says are on its link; none of other bytes. Never throws. */
export function onLinkPrefixes(bytes: Uint8Array): Prefix[] {
  const frame = decodeNd(bytes);
  if (typeof frame === 'string' || frame.type !== ICMPV6.routerAdvertisement) return [];
  const end = endOfPacket(bytes);
  const prefixes: Prefix[] = [];
  for (let option = IPV6_PAYLOAD_AT + HEAD_BYTES; option < end; ) {
    const size = 8 * (bytes[option + 1] as number);
    const isPrefix = bytes[option] === OPTION_PREFIX && size === PREFIX_BYTES;
    const length = bytes[option + 2] as number;
    const isOnLink = ((bytes[option + 3] as number) & ON_LINK) !== 0;
    if (isPrefix && isOnLink && length <= 128) prefixes.push({ ip: readIpv6(bytes, option + 16), length });
    option += size;
  }
  return prefixes;
}
