import type { Mac } from './addresses.js';
import { type Malformed, decodeArpBody } from './arp.js';
import { ETHER_TYPE_RARP, decodeEthernet } from './ethernet.js';

/**
 * A RARP packet (RFC 903). QEMU and VMware broadcast a "request reverse" with sender = target = the guest's MAC after
 * a migration; its addresses are 0.0.0.0 and say nothing.
 */
export interface RarpFrame {
  readonly destination: Mac;
  readonly source: Mac;
  readonly opcode: number;
  readonly senderMac: Mac;
}

export const RARP_REQUEST = 3;
export const RARP_REPLY = 4;

/** The RARP packet in a captured frame, or the reason why there is none. Never throws. */
export function decodeRarp(bytes: Uint8Array): RarpFrame | Malformed {
  const ethernet = decodeEthernet(bytes);
  if (ethernet === undefined) return 'truncated';
  if (ethernet.etherType !== ETHER_TYPE_RARP) return 'not-arp';
  const body = decodeArpBody(bytes);
  if (typeof body === 'string') return body;
  if (body.opcode !== RARP_REQUEST && body.opcode !== RARP_REPLY) return 'bad-opcode';
  const { destination, source } = ethernet;
  return { destination, source, opcode: body.opcode, senderMac: body.senderMac };
}
