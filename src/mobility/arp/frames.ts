import { type Ip, MAC_ZERO, type Mac, isIpv4 } from '../../wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../wire/arp.js';

/**
 * ARP request from our MAC `own` to `destination`: unicast to ask one host, or by broadcast when its MAC is not known
 * (RFC 826, RFC 1122 section 2.3.2.1). `senderMac` is another one when the request tells of somebody else. Undefined
 * for IPv6, which has no ARP.
 */
export function arpRequest(
  own: Mac,
  destination: Mac,
  senderIp: Ip,
  targetIp: Ip,
  senderMac = own,
): Uint8Array | undefined {
  if (!isIpv4(senderIp) || !isIpv4(targetIp)) return undefined;
  return encodeArp({
    destination,
    source: own,
    opcode: ARP_REQUEST,
    senderMac,
    senderIp,
    targetMac: MAC_ZERO,
    targetIp,
  });
}

/** Unicast ARP reply to `targetMac`: `senderIp` is at our MAC `own`. Undefined for IPv6. */
export function arpReply(own: Mac, senderIp: Ip, targetMac: Mac, targetIp: Ip): Uint8Array | undefined {
  if (!isIpv4(senderIp) || !isIpv4(targetIp)) return undefined;
  return encodeArp({
    destination: targetMac,
    source: own,
    opcode: ARP_REPLY,
    senderMac: own,
    senderIp,
    targetMac,
    targetIp,
  });
}
