import { type Ipv4, type Mac, readIpv4 } from './addresses.js';
import { ETHER_TYPE_IPV4, ETHERNET_HEADER_BYTES, decodeEthernet } from './ethernet.js';

/** What the repair of stale neighbours reads of an IPv4 packet (RFC 791 section 3.1) and its frame. */
export interface Ipv4Packet {
  readonly source: Mac;
  readonly destination: Mac;
  readonly sourceIp: Ipv4;
  readonly destinationIp: Ipv4;
}

const SHORTEST_HEADER_BYTES = 20;

/** The addresses of an IPv4 packet, or the reason why bytes are none. Never throws. */
export function decodeIpv4(bytes: Uint8Array): Ipv4Packet | 'truncated' | 'not-ipv4' {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined) return 'truncated';
  if (ethernet.etherType !== ETHER_TYPE_IPV4) return 'not-ipv4';
  const at = ETHERNET_HEADER_BYTES;
  if (bytes.length < at + SHORTEST_HEADER_BYTES) return 'truncated';
  if ((bytes[at] as number) >>> 4 !== 4) return 'not-ipv4';
  return {
    source: ethernet.source,
    destination: ethernet.destination,
    sourceIp: readIpv4(bytes, at + 12),
    destinationIp: readIpv4(bytes, at + 16),
  };
}
