import type { Malformed } from '../../wire/arp.js';
import { decodeRarp } from '../../wire/rarp.js';
import type { PresenceMessage } from '../neighbour/message.js';

/** What a frame of RARP (RFC 903) says: a MAC is here. It names no address, so it counts for both families. */
export function decodeRarpPresence(bytes: Uint8Array): PresenceMessage | Malformed {
  const rarp = decodeRarp(bytes);
  if (typeof rarp === 'string') return rarp;
  return {
    kind: 'presence',
    form: 'rarp',
    source: rarp.source,
    destination: rarp.destination,
    mac: rarp.senderMac,
    ip: undefined,
    target: undefined,
    answeredTo: undefined,
  };
}
