import { type Ipv6, type Mac, readIpv6, writeIpv6 } from './addresses.js';
import { ETHER_TYPE_IPV6, ETHERNET_HEADER_BYTES, decodeEthernet, writeEthernet } from './ethernet.js';

/** The addresses of an IPv6 packet (RFC 8200 section 3) and of its frame. */
export interface Ipv6Packet {
  readonly source: Mac;
  readonly destination: Mac;
  readonly sourceIp: Ipv6;
  readonly destinationIp: Ipv6;
}

export const IPV6_HEADER_BYTES = 40;
/** Where the fields of the header are in a frame. */
export const IPV6_PAYLOAD_LENGTH_AT = ETHERNET_HEADER_BYTES + 4;
export const IPV6_NEXT_HEADER_AT = ETHERNET_HEADER_BYTES + 6;
export const IPV6_HOP_LIMIT_AT = ETHERNET_HEADER_BYTES + 7;
export const IPV6_SOURCE_AT = ETHERNET_HEADER_BYTES + 8;
export const IPV6_DESTINATION_AT = ETHERNET_HEADER_BYTES + 24;
export const IPV6_PAYLOAD_AT = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;

export const NEXT_HEADER = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  icmpv6: 58,
  destinationOptions: 60,
} as const;

/** The addresses of an IPv6 packet, or the reason why bytes are none. Never throws. */
export function decodeIpv6(bytes: Uint8Array): Ipv6Packet | 'truncated' | 'not-ipv6' {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined) return 'truncated';
  if (ethernet.etherType !== ETHER_TYPE_IPV6) return 'not-ipv6';
  if (bytes.length < IPV6_PAYLOAD_AT) return 'truncated';
  if ((bytes[ETHERNET_HEADER_BYTES] as number) >>> 4 !== 6) return 'not-ipv6';
  return {
    source: ethernet.source,
    destination: ethernet.destination,
    sourceIp: readIpv6(bytes, IPV6_SOURCE_AT),
    destinationIp: readIpv6(bytes, IPV6_DESTINATION_AT),
  };
}

/** Writes the Ethernet and IPv6 headers of a frame, all of whose bytes behind them are the payload. */
export function writeIpv6Headers(
  bytes: Uint8Array,
  { source, destination, sourceIp, destinationIp }: Ipv6Packet,
  nextHeader: number,
  hopLimit: number,
): void {
  const payloadLength = bytes.length - IPV6_PAYLOAD_AT;
  writeEthernet(bytes, { destination, source, etherType: ETHER_TYPE_IPV6 });
  bytes[ETHERNET_HEADER_BYTES] = 0x60;
  bytes[IPV6_PAYLOAD_LENGTH_AT] = payloadLength >>> 8;
  bytes[IPV6_PAYLOAD_LENGTH_AT + 1] = payloadLength;
  bytes[IPV6_NEXT_HEADER_AT] = nextHeader;
  bytes[IPV6_HOP_LIMIT_AT] = hopLimit;
  writeIpv6(bytes, IPV6_SOURCE_AT, sourceIp);
  writeIpv6(bytes, IPV6_DESTINATION_AT, destinationIp);
}
