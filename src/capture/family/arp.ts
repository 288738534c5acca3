import { ARP_REPLY, ARP_REQUEST } from '../../wire/arp.js';
import { ETHER_TYPE_ARP, ETHER_TYPE_IPV4, ETHER_TYPE_RARP } from '../../wire/ethernet.js';
import {
  type FrameFamily,
  type FrameRank,
  type FrameSender,
  readUint16,
  readUint32,
  writeIpv4Words,
} from './sender.js';

/** Ethernet header and ARP packet (RFC 826) without padding. */
const ARP_BYTES = 42;

/** Frames of IPv4. They are read in place: a decoded value per frame is too dear at 300,000 frames a second. */
export const ARP_FRAMES: FrameFamily = {
  family: 'ipv4',
  messageFilter: '(arp or rarp)',
  packetFilter: 'ip',
  etherTypes: [ETHER_TYPE_ARP, ETHER_TYPE_RARP, ETHER_TYPE_IPV4],

  /** A unicast ARP reply, or an ARP request that is neither a probe nor an announcement (RFC 5227 section 1.1). */
  rank(bytes: Uint8Array): FrameRank {
    if (readUint16(bytes, 12) !== ETHER_TYPE_ARP) return 'other';
    if (bytes[21] === ARP_REPLY) return ((bytes[0] as number) & 1) === 0 ? 'reply' : 'other';
    const senderIp = readUint32(bytes, 28);
    return senderIp !== 0 && senderIp !== readUint32(bytes, 38) ? 'question' : 'other';
  },

  /** The sender of an ARP packet, or who would like to be the target of a probe (RFC 5227). */
  readSender(bytes: Uint8Array, length: number, sender: FrameSender): boolean {
    if (length < ARP_BYTES || !isArp(bytes)) return false;
    const senderIp = readUint32(bytes, 28);
    const targetIp = readUint32(bytes, 38);
    sender.kind = senderIp === 0 ? 'acd-probe' : senderIp === targetIp ? 'announcement' : 'other';
    writeIpv4Words(sender.ip, senderIp === 0 ? targetIp : senderIp);
    sender.macHigh = readUint16(bytes, 22);
    sender.macLow = readUint32(bytes, 24);
    return true;
  },
};

/** RFC 826 for Ethernet (hardware type 1, or 6 as wire/arp.ts takes it) and IPv4, request or reply. */
function isArp(bytes: Uint8Array): boolean {
  return (
    readUint16(bytes, 12) === 0x0806 &&
    bytes[14] === 0 &&
    (bytes[15] === 1 || bytes[15] === 6) &&
    readUint32(bytes, 16) === 0x0800_0604 &&
    bytes[20] === 0 &&
    (bytes[21] === ARP_REQUEST || bytes[21] === ARP_REPLY)
  );
}
