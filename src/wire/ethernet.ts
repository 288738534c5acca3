import { type Mac, readMac, writeMac } from './addresses.js';

/** Ethernet II header. Field names follow Wireshark (`eth.dst`, `eth.src`, `eth.type`). */
export interface Ethernet {
  readonly destination: Mac;
  readonly source: Mac;
  readonly etherType: number;
}

export const ETHERNET_HEADER_BYTES = 14;
/** Shortest frame on the wire without FCS; shorter frames are padded with zeros (IEEE 802.3 section 3.2.8). */
export const ETHERNET_MIN_BYTES = 60;

export const ETHER_TYPE_IPV4 = 0x0800;
export const ETHER_TYPE_ARP = 0x0806;
export const ETHER_TYPE_RARP = 0x8035;
export const ETHER_TYPE_IPV6 = 0x86dd;

/** EtherType of a frame, or undefined when it is too short to have one. */
export function etherTypeOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < ETHERNET_HEADER_BYTES) return undefined;
  return ((bytes[12] as number) << 8) | (bytes[13] as number);
}

/** The header of a frame, or undefined when it is too short to have one. */
export function decodeEthernet(bytes: Uint8Array): Ethernet | undefined {
  const etherType = etherTypeOf(bytes);
  if (etherType === undefined) return undefined;
  return { destination: readMac(bytes, 0), source: readMac(bytes, 6), etherType };
}

/** Writes the header at the start of `bytes`. */
export function writeEthernet(bytes: Uint8Array, header: Ethernet): void {
  writeMac(bytes, 0, header.destination);
  writeMac(bytes, 6, header.source);
  bytes[12] = header.etherType >>> 8;
  bytes[13] = header.etherType;
}
