import { type Ipv4, type Mac, readIpv4, readMac, writeIpv4, writeMac } from './addresses.js';
import {
  ETHER_TYPE_ARP,
  ETHERNET_HEADER_BYTES,
  ETHERNET_MIN_BYTES,
  decodeEthernet,
  writeEthernet,
} from './ethernet.js';

/**
 * An Ethernet/IPv4 ARP packet in its frame (RFC 826). Field names follow Wireshark (`arp.src.hw_mac`,
 * `arp.src.proto_ipv4`, `arp.dst.*`), with sender and target as RFC 826 calls them.
 */
export interface ArpFrame {
  readonly destination: Mac;
  readonly source: Mac;
  readonly opcode: typeof ARP_REQUEST | typeof ARP_REPLY;
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetMac: Mac;
  readonly targetIp: Ipv4;
}

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** Why bytes are not an ARP or RARP frame. */
export type Malformed =
  | 'truncated'
  | 'not-arp'
  | 'bad-hardware-type'
  | 'bad-protocol-type'
  | 'bad-address-length'
  | 'bad-opcode';

/** The 28 bytes that ARP (RFC 826) and RARP (RFC 903) have in common. */
export interface ArpBody {
  readonly opcode: number;
  readonly senderMac: Mac;
  readonly senderIp: Ipv4;
  readonly targetMac: Mac;
  readonly targetIp: Ipv4;
}

const BODY_BYTES = 28;
/** Hardware types that mean a 48-bit MAC on Ethernet: Ethernet, and IEEE 802, which some devices send (RFC 1042). */
const HARDWARE_ETHERNET = 1;
const HARDWARE_IEEE_802 = 6;

/**
 * Reads the body behind the Ethernet header. The hardware type may be 1 or 6, as for Linux (net/ipv4/arp.c). Padding
 * behind the body is ignored. Never throws.
 */
export function decodeArpBody(bytes: Uint8Array): ArpBody | Malformed {
  const at = ETHERNET_HEADER_BYTES;
  if (bytes.length < at + BODY_BYTES) return 'truncated';
  const hardware = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  if (hardware !== HARDWARE_ETHERNET && hardware !== HARDWARE_IEEE_802) return 'bad-hardware-type';
  if (bytes[at + 2] !== 8 || bytes[at + 3] !== 0) return 'bad-protocol-type';
  if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) return 'bad-address-length';
  return {
    opcode: ((bytes[at + 6] as number) << 8) | (bytes[at + 7] as number),
    senderMac: readMac(bytes, at + 8),
    senderIp: readIpv4(bytes, at + 14),
    targetMac: readMac(bytes, at + 18),
    targetIp: readIpv4(bytes, at + 24),
  };
}

/** A whole frame of ETHERNET_MIN_BYTES bytes, zero-padded. */
export function encodeArpBody(destination: Mac, source: Mac, etherType: number, body: ArpBody): Uint8Array {
  const bytes = new Uint8Array(ETHERNET_MIN_BYTES);
  writeEthernet(bytes, { destination, source, etherType });
  const at = ETHERNET_HEADER_BYTES;
  bytes[at + 1] = HARDWARE_ETHERNET;
  bytes[at + 2] = 8;
  bytes[at + 4] = 6;
  bytes[at + 5] = 4;
  bytes[at + 7] = body.opcode;
  writeMac(bytes, at + 8, body.senderMac);
  writeIpv4(bytes, at + 14, body.senderIp);
  writeMac(bytes, at + 18, body.targetMac);
  writeIpv4(bytes, at + 24, body.targetIp);
  return bytes;
}

/** The ARP packet in a captured frame, or the reason why there is none. Never throws. */
export function decodeArp(bytes: Uint8Array): ArpFrame | Malformed {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined) return 'truncated';
  if (ethernet.etherType !== ETHER_TYPE_ARP) return 'not-arp';
  const body = decodeArpBody(bytes);
  if (typeof body === 'string') return body;
  if (body.opcode !== ARP_REQUEST && body.opcode !== ARP_REPLY) return 'bad-opcode';
  return {
    destination: ethernet.destination,
    source: ethernet.source,
    opcode: body.opcode,
    senderMac: body.senderMac,
    senderIp: body.senderIp,
    targetMac: body.targetMac,
    targetIp: body.targetIp,
  };
}

export function encodeArp(frame: ArpFrame): Uint8Array {
  return encodeArpBody(frame.destination, frame.source, ETHER_TYPE_ARP, frame);
}
