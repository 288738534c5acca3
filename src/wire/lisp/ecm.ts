import { type Ip, isIpv4, readIpv4, readIpv6 } from '../addresses.js';
import { Cursor, type LispMalformed, Writer } from './address.js';
import { LISP, LISP_CONTROL_PORT } from './message.js';

/**
 * Encapsulated Control Message (RFC 9301 section 5.8): a Map-Request as it would be sent to the EID itself, in a packet to
 * the resolver.
 */
export interface Encapsulated {
  /** Of the packet within. */
  readonly sourceIp: Ip;
  readonly destinationIp: Ip;
  readonly sourcePort: number;
  /** The control message. */
  readonly message: Uint8Array;
}

const SECURITY = 1 << 27;
const UDP = 17;
const UDP_BYTES = 8;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const HOPS = 64;

export function decodeEcm(bytes: Uint8Array): Encapsulated | LispMalformed {
  const cursor = new Cursor(bytes);
  const word = cursor.u32();
  if (cursor.isShort) return 'truncated';
  if (word >>> 28 !== LISP.encapsulated) return 'not-lisp-control';
  if ((word & SECURITY) !== 0) return 'lisp-sec';
  const inner = bytes.subarray(4);
  const head = inner[0] ?? 0;
  if (head >>> 4 === 4) {
    const length = (head & 15) * 4;
    if (length < IPV4_BYTES) return 'bad-encapsulation';
    return decodeUdp(inner, 9, 12, 4, length);
  }
  return head >>> 4 === 6 ? decodeUdp(inner, 6, 8, 16, IPV6_BYTES) : 'bad-encapsulation';
}

/** The checksums are left alone: the outer packet has one. */
function decodeUdp(
  packet: Uint8Array,
  protocolAt: number,
  sourceAt: number,
  addressBytes: 4 | 16,
  udpAt: number,
): Encapsulated | LispMalformed {
  if (packet.length < udpAt + UDP_BYTES) return 'truncated';
  if (packet[protocolAt] !== UDP) return 'bad-encapsulation';
  const cursor = new Cursor(packet, udpAt);
  const sourcePort = cursor.u16();
  if (cursor.u16() !== LISP_CONTROL_PORT) return 'bad-encapsulation';
  const length = cursor.u16();
  if (length < UDP_BYTES) return 'bad-encapsulation';
  if (udpAt + length > packet.length) return 'truncated';
  const read = addressBytes === 4 ? readIpv4 : readIpv6;
  return {
    sourceIp: read(packet, sourceAt),
    destinationIp: read(packet, sourceAt + addressBytes),
    sourcePort,
    message: Uint8Array.from(packet.subarray(udpAt + UDP_BYTES, udpAt + length)),
  };
}

/** @throws TypeError when the two addresses are not of one family */
export function encodeEcm({ sourceIp, destinationIp, sourcePort, message }: Encapsulated): Uint8Array {
  if (isIpv4(sourceIp) !== isIpv4(destinationIp)) throw new TypeError('an ECM between two families');
  const length = UDP_BYTES + message.length;
  const ofPseudoHeader = new Writer().ip(sourceIp).ip(destinationIp).u32(UDP).u32(length);
  const udp = (checksum: number): Uint8Array =>
    new Writer().u16(sourcePort).u16(LISP_CONTROL_PORT).u16(length).u16(checksum).bytes(message).done();
  // RFC 9301 section 5.8: the checksum is not to be 0, and 0xffff says the same (RFC 768).
  const checksum = checksumOf(ofPseudoHeader.bytes(udp(0)).done()) || 0xffff;
  const writer = new Writer().u32(LISP.encapsulated << 28);
  if (isIpv4(sourceIp)) {
    const header = (sum: number): Uint8Array =>
      new Writer()
        .u8(0x45, 0)
        .u16(IPV4_BYTES + length)
        .u32(0)
        .u8(HOPS, UDP)
        .u16(sum)
        .ip(sourceIp)
        .ip(destinationIp)
        .done();
    writer.bytes(header(checksumOf(header(0))));
  } else {
    writer
      .u32(6 << 28)
      .u16(length)
      .u8(UDP, HOPS)
      .ip(sourceIp)
      .ip(destinationIp);
  }
  return writer.bytes(udp(checksum)).done();
}

/** RFC 1071. */
function checksumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
