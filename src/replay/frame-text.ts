import { FamilyDrivers } from '../mobility/neighbour/driver.js';
import { driversOf } from '../mobility/families.js';
import { formatIp, formatMac } from '../wire/addresses.js';
import { ARP_REQUEST, decodeArp } from '../wire/arp.js';
import { ETHER_TYPE_ARP, ETHER_TYPE_IPV6, decodeEthernet } from '../wire/ethernet.js';
import { ICMPV6 } from '../wire/icmpv6.js';
import { IPV6_NEXT_HEADER_AT, IPV6_PAYLOAD_AT, NEXT_HEADER, decodeIpv6 } from '../wire/ipv6.js';
import { decodeMldReport } from '../wire/mld.js';
import { decodeNd } from '../wire/nd.js';
import { decodeRarp } from '../wire/rarp.js';

/** Frames in words, as `tcpdump -n` prints them. */

const drivers = new FamilyDrivers(driversOf(['ipv4', 'ipv6']));

/** ARP, RARP, Neighbor Discovery and MLD reports, well-formed or not. */
export function isNeighbourFrame(bytes: Uint8Array): boolean {
  const message = drivers.decode(bytes);
  return message !== 'not-arp' && message !== 'not-neighbour-discovery';
}

export function describeFrame(bytes: Uint8Array, length: number): string {
  const ethernet = decodeEthernet(bytes);
  const rest = `, length ${Math.max(0, length - 14)}`;
  if (ethernet === undefined) return `[|ether]${rest}`;
  if (ethernet.etherType === ETHER_TYPE_ARP) return `${describeArp(bytes)}${rest}`;
  if (ethernet.etherType === ETHER_TYPE_IPV6) {
    const packet = decodeIpv6(bytes);
    const from =
      typeof packet === 'string' ? '' : ` ${formatIp(packet.sourceIp)} > ${formatIp(packet.destinationIp)}:`;
    return `IP6${from} ${describeIpv6(bytes)}, length ${Math.max(0, length - messageAt(bytes))}`;
  }
  const rarp = decodeRarp(bytes);
  if (typeof rarp !== 'string') return `Reverse ARP, who-is ${formatMac(rarp.senderMac)}${rest}`;
  return `ethertype 0x${ethernet.etherType.toString(16).padStart(4, '0')}${rest}`;
}

/** Where an ICMPv6 message begins: tcpdump counts neither the header nor the hop-by-hop options before it. */
function messageAt(bytes: Uint8Array): number {
  const hasOptions = bytes[IPV6_NEXT_HEADER_AT] === NEXT_HEADER.hopByHop;
  return IPV6_PAYLOAD_AT + (hasOptions ? 8 * (1 + (bytes[IPV6_PAYLOAD_AT + 1] ?? 0)) : 0);
}

function describeArp(bytes: Uint8Array): string {
  const arp = decodeArp(bytes);
  if (typeof arp === 'string') return `ARP, malformed (${arp})`;
  if (arp.opcode !== ARP_REQUEST)
    return `ARP, Reply ${formatIp(arp.senderIp)} is-at ${formatMac(arp.senderMac)}`;
  // As tcpdump does: a target MAC in a request is unusual, and said.
  const target = arp.targetMac === 0 ? '' : ` (${formatMac(arp.targetMac)})`;
  return `ARP, Request who-has ${formatIp(arp.targetIp)}${target} tell ${formatIp(arp.senderIp)}`;
}

function describeIpv6(bytes: Uint8Array): string {
  const report = decodeMldReport(bytes);
  if (typeof report !== 'string') {
    const version = report.type === ICMPV6.mldv2Report ? ' v2' : '';
    return `HBH ICMP6, multicast listener report${version} ${report.groups.map(formatIp).join(' ')}`;
  }
  const nd = decodeNd(bytes);
  if (typeof nd !== 'string') return `ICMP6, ${describeNd(nd)}`;
  if (nd !== 'not-neighbour-discovery') return `ICMP6, malformed (${nd})`;
  const nextHeader = bytes[IPV6_NEXT_HEADER_AT];
  if (nextHeader === NEXT_HEADER.hopByHop && bytes[IPV6_PAYLOAD_AT + 8] === ICMPV6.mldQuery)
    return 'HBH ICMP6, multicast listener query';
  return nextHeader === NEXT_HEADER.icmpv6
    ? `ICMP6, type ${bytes[IPV6_PAYLOAD_AT] ?? '?'}`
    : `next-header ${nextHeader ?? '?'}`;
}

function describeNd(frame: Exclude<ReturnType<typeof decodeNd>, string>): string {
  switch (frame.type) {
    case ICMPV6.neighbourSolicitation:
      return `neighbor solicitation, who has ${formatIp(frame.targetIp)}`;
    case ICMPV6.neighbourAdvertisement: {
      const flags = [
        frame.isRouter && 'router',
        frame.isSolicited && 'solicited',
        frame.isOverride && 'override',
      ];
      return `neighbor advertisement, tgt is ${formatIp(frame.targetIp)}, Flags [${flags.filter(Boolean).join(', ')}]`;
    }
    case ICMPV6.routerAdvertisement:
      return 'router advertisement';
    default:
      return 'router solicitation';
  }
}
