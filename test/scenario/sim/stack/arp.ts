import type { Ipv4, Mac } from '../../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame } from '../../../../src/wire/arp.js';
import type { Neighbours } from './neighbours.js';

const LOCKTIME_MS = 1_000;

/**
 * The merge rule of RFC 826 as Linux has it (net/ipv4/arp.c): a request for our own address always overwrites and
 * creates; anything else only changes what is there, and not within the second after the last change unless it is
 * gratuitous. `toUs`: the ARP target is an address of this interface. `unicast`: the frame was sent to our MAC.
 */
export function hearArp(
  neighbours: Neighbours,
  now: number,
  frame: ArpFrame,
  toUs: boolean,
  unicast: boolean,
): void {
  const { senderIp: ip, senderMac: mac, targetIp, opcode } = frame;
  if (ip === 0) return;
  if (opcode === ARP_REQUEST && toUs && targetIp !== ip) {
    neighbours.learn(ip, mac, { state: 'stale', override: true, create: true });
    return;
  }
  const gratuitous = targetIp === ip && (opcode === ARP_REQUEST || frame.targetMac === mac);
  neighbours.learn(ip, mac, {
    state: opcode === ARP_REPLY && unicast ? 'reachable' : 'stale',
    override: gratuitous || now > neighbours.updatedAt(ip) + LOCKTIME_MS,
    create: false,
  });
}

/** An ARP frame with the Ethernet header that belongs to it. */
export function arpFrame(
  opcode: 1 | 2,
  sender: { readonly mac: Mac; readonly ip: Ipv4 },
  target: { readonly mac: Mac; readonly ip: Ipv4 },
  destination: Mac,
): ArpFrame {
  return {
    destination,
    source: sender.mac,
    opcode,
    senderMac: sender.mac,
    senderIp: sender.ip,
    targetMac: target.mac,
    targetIp: target.ip,
  };
}
