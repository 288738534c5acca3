import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  isIpv4,
  isUnspecified,
  isGroupMac,
} from '../../wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type Malformed, decodeArp, encodeArp } from '../../wire/arp.js';
import { ETHER_TYPE_ARP, ETHER_TYPE_IPV4, ETHER_TYPE_RARP, etherTypeOf } from '../../wire/ethernet.js';
import { decodeIpv4 } from '../../wire/ipv4.js';
import type { FamilyDriver } from '../neighbour/driver.js';
import type { NeighbourMessage } from '../neighbour/message.js';
import { decodeRarpPresence } from './rarp.js';

/** ARP (RFC 826) with address conflict detection (RFC 5227), and RARP (RFC 903), which names a MAC alone. */
export const arpDriver: FamilyDriver = {
  family: 'ipv4',
  messageEtherTypes: [ETHER_TYPE_ARP, ETHER_TYPE_RARP],
  packetEtherType: ETHER_TYPE_IPV4,
  /** 192.0.2.1 of TEST-NET-1 (RFC 5737). */
  controlAddress: 0xc000_0201 as Ipv4,

  decode: (bytes) => (etherTypeOf(bytes) === ETHER_TYPE_RARP ? decodeRarpPresence(bytes) : message(bytes)),

  decodePacket(bytes) {
    const packet = decodeIpv4(bytes);
    return typeof packet === 'string' ? undefined : packet;
  },

  /** Unicast where the MAC is known (RFC 1122 section 2.3.2.1). */
  probe: (own, mac, source, target) => request(own, mac, own, source, target),

  answer: (own, ip, mac, asker) =>
    encodeArp({
      destination: mac,
      source: own,
      opcode: ARP_REPLY,
      senderMac: own,
      senderIp: ipv4(ip),
      targetMac: mac,
      targetIp: ipv4(asker),
    }),

  /** A gratuitous ARP request (RFC 5944 section 4.6). */
  announce: (own, ip) => request(own, MAC_BROADCAST, own, ip, ip),

  /** A unicast request in the neighbour's name: RFC 826 lets a request overwrite the entry of its receiver. */
  repair: (own, mac, host, neighbour, neighbourMac) => request(own, mac, neighbourMac, neighbour, host),
};

function message(bytes: Uint8Array): NeighbourMessage | Malformed {
  const arp = decodeArp(bytes);
  if (typeof arp === 'string') return arp;
  const { source, destination, senderMac: mac, senderIp: ip, targetIp } = arp;
  const isRequest = arp.opcode === ARP_REQUEST;
  // What was sent to all is no answer to a question of ours, unless it names who asked.
  const toAll = isGroupMac(destination);
  // A request in nobody's name that is sent to all is a probe (RFC 5227 section 2.1.1). One to us alone asks whether we
  // have the address (another router's proof, a switch that tracks addresses); a reply in nobody's name is noise.
  if (isRequest && toAll && isUnspecified(ip))
    return {
      kind: 'acd-probe',
      form: undefined,
      source,
      destination,
      mac,
      ip,
      target: targetIp,
      answeredTo: undefined,
    };
  const kind = 'sighting';
  if (ip === targetIp)
    return {
      kind,
      form: 'announcement',
      source,
      destination,
      mac,
      ip,
      target: undefined,
      answeredTo: isRequest || toAll ? undefined : 'anybody',
    };
  if (isRequest)
    return { kind, form: 'request', source, destination, mac, ip, target: targetIp, answeredTo: undefined };
  // RFC 826 looks at the sender pair only, and some stacks name no target in their replies.
  const answeredTo = isUnspecified(targetIp) && !toAll ? 'anybody' : targetIp;
  return { kind, form: 'reply', source, destination, mac, ip, target: undefined, answeredTo };
}

function request(own: Mac, destination: Mac, senderMac: Mac, senderIp: Ip, targetIp: Ip): Uint8Array {
  return encodeArp({
    destination,
    source: own,
    opcode: ARP_REQUEST,
    senderMac,
    senderIp: ipv4(senderIp),
    targetMac: MAC_ZERO,
    targetIp: ipv4(targetIp),
  });
}

/** The driver was picked by the family of an address: another family here is a fault of ours. */
function ipv4(ip: Ip): Ipv4 {
  if (!isIpv4(ip)) throw new TypeError('ARP carries no IPv6 address');
  return ip;
}
