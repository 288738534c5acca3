import { ETHER_TYPE_IPV6, ETHER_TYPE_RARP } from '../../wire/ethernet.js';
import { MLD_REPORT_CUT_BYTES } from '../../wire/icmpv6.js';
import { type FrameFamily, type FrameRank, type FrameSender, readUint16, readUint32 } from './sender.js';

const PRIORITY_TAG_BYTES = 4;
/** So much of a long message is read: of an MLD report 20 groups. */
export const LONG_SNAP_BYTES = MLD_REPORT_CUT_BYTES + PRIORITY_TAG_BYTES;

const NEXT_HEADER_ICMPV6 = 58;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** The S flag of an advertisement (RFC 4861 section 4.4). */
const SOLICITED = 0x40;
const OPTION_SOURCE_MAC = 1;
const OPTION_TARGET_MAC = 2;

/** Where things are in a frame without extension headers. */
const PAYLOAD_BYTES_AT = 18;
const NEXT_HEADER_AT = 20;
const HOP_LIMIT_AT = 21;
const SOURCE_AT = 22;
const TYPE_AT = 54;
const FLAGS_AT = 58;
const TARGET_AT = 62;
const OPTION_AT = 78;
/** Behind the only option, a link-layer address. */
const END = 86;

/** A solicitation or advertisement is a message wherever it is sent; a link-local address is no mobile host's. */
const MESSAGE = 'ip6[6] = 58 and ip6[40] >= 133 and ip6[40] <= 137';
const NOT_TO_LINK_LOCAL = 'ip6[24:2] & 0xffc0 != 0xfe80';
/** Router solicitation, neighbour solicitation and advertisement; 137 is a redirect, which only routers send. */
const SHORT = 'ip6[6] = 58 and (ip6[40] = 133 or ip6[40] = 135 or ip6[40] = 136)';
const ROUTER_ADVERTISEMENT = 'ip6[6] = 58 and ip6[40] = 134';
/**
 * Reports of version 1 (RFC 2710) and 2. `icmp6` does not match them: they stand behind a hop-by-hop options header, here
 * one of 8 bytes, which has room for the router alert (RFC 2711) and nothing else.
 */
const MLD_REPORT = 'ip6[6] = 0 and ip6[40] = 58 and ip6[41] = 0 and (ip6[48] = 131 or ip6[48] = 143)';

/**
 * Frames of IPv6, read in place. Neighbor Discovery (RFC 4861) behind any other header is not captured (RFC 6980). RARP names
 * a MAC, whatever the family of its addresses.
 */
export const ND_FRAMES: FrameFamily = {
  family: 'ipv6',
  messageFilter: `(rarp or (ip6 and ${SHORT}))`,
  longMessageFilter: `(ip6 and ((${ROUTER_ADVERTISEMENT}) or (${MLD_REPORT})))`,
  packetFilter: `(ip6 and not (${MESSAGE}) and ${NOT_TO_LINK_LOCAL})`,
  etherTypes: [ETHER_TYPE_IPV6, ETHER_TYPE_RARP],

  /** A solicited advertisement to one host, or a solicitation that is not part of duplicate address detection. */
  rank(bytes: Uint8Array): FrameRank {
    if (readUint16(bytes, 12) !== ETHER_TYPE_IPV6 || bytes[NEXT_HEADER_AT] !== NEXT_HEADER_ICMPV6)
      return 'other';
    const type = bytes[TYPE_AT];
    if (type === NEIGHBOUR_SOLICITATION) return isUnspecified(bytes, SOURCE_AT) ? 'other' : 'question';
    const isReply =
      type === NEIGHBOUR_ADVERTISEMENT &&
      ((bytes[FLAGS_AT] as number) & SOLICITED) !== 0 &&
      ((bytes[0] as number) & 1) === 0;
    return isReply ? 'reply' : 'other';
  },

  /** Who advertises an address or solicits; of duplicate address detection who would like to have the address. */
  readSender(bytes: Uint8Array, length: number, sender: FrameSender): boolean {
    if (length < OPTION_AT || readUint16(bytes, 12) !== ETHER_TYPE_IPV6) return false;
    if (((bytes[14] as number) & 0xf0) !== 0x60 || bytes[NEXT_HEADER_AT] !== NEXT_HEADER_ICMPV6) return false;
    if (bytes[HOP_LIMIT_AT] !== 255 || bytes[TYPE_AT + 1] !== 0) return false;
    const type = bytes[TYPE_AT];
    if (type === NEIGHBOUR_ADVERTISEMENT) {
      sender.kind = ((bytes[FLAGS_AT] as number) & SOLICITED) === 0 ? 'announcement' : 'other';
      readWords(bytes, TARGET_AT, sender);
      return readMac(bytes, length, OPTION_TARGET_MAC, sender);
    }
    if (type !== NEIGHBOUR_SOLICITATION) return false;
    const isProbe = isUnspecified(bytes, SOURCE_AT);
    sender.kind = isProbe ? 'acd-probe' : 'other';
    readWords(bytes, isProbe ? TARGET_AT : SOURCE_AT, sender);
    // A probe has other options at most: the nonce of RFC 7527.
    if (isProbe) readMacAt(bytes, 6, sender);
    return isProbe || readMac(bytes, length, OPTION_SOURCE_MAC, sender);
  },
};

/** The link-layer address of the only option, or that of the frame without any; false when there are others. */
function readMac(bytes: Uint8Array, length: number, option: number, sender: FrameSender): boolean {
  const end = TYPE_AT + readUint16(bytes, PAYLOAD_BYTES_AT);
  const has = end === END && length >= END && bytes[OPTION_AT] === option && bytes[OPTION_AT + 1] === 1;
  readMacAt(bytes, has ? OPTION_AT + 2 : 6, sender);
  return has || end === OPTION_AT;
}

function readMacAt(bytes: Uint8Array, at: number, sender: FrameSender): void {
  sender.macHigh = readUint16(bytes, at);
  sender.macLow = readUint32(bytes, at + 2);
}

function readWords(bytes: Uint8Array, at: number, { ip }: FrameSender): void {
  for (let i = 0; i < 4; i++) ip[i] = readUint32(bytes, at + 4 * i);
}

function isUnspecified(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 16; i++) if (bytes[i] !== 0) return false;
  return true;
}
