import type { Ip, Prefix } from '../wire/addresses.js';
import { LISP_MALFORMED } from '../wire/lisp/address.js';

/** What the machines of the mapping system ask for, as plain data, and the closed lists of why. */

/** Why a message was not acted on: one closed list, the metric's label, what tests assert. */
export const MAPPING_DROPS = [
  ...LISP_MALFORMED,
  // what no MAC vouches for
  'bad-algorithm', // none, SHA-1 where it is not allowed, or one that we do not know
  'unknown-key',
  'bad-mac',
  'old-nonce', // a replay, or overtaken by a newer one
  'unasked', // a Map-Notify or Map-Reply for no question of ours
  'unknown-server', // not one of the configured map-servers
  'no-server', // a question for a map-server, which does not run here
  // what a key may not say
  'foreign-instance',
  'foreign-prefix',
  'foreign-rloc',
  'rloc-without-key', // nobody has proven a key from there
  'displaced-refresh', // the registration of a router that another one has displaced since
  'not-owner', // withdrawn by another router than the one that registered it
  'mapping-limit',
  'subscription-limit',
  'smr-limit', // asked about this EID a moment ago
] as const;
export type MappingDrop = (typeof MAPPING_DROPS)[number];

export const MAPPING_ALARMS = [
  'map-server-silent',
  'map-server-wrong-key',
  'registration-refused',
  'clock-went-back', // nonces of this run would be older than those of an earlier one
] as const;
export type MappingAlarm = (typeof MAPPING_ALARMS)[number];

export type MappingAction =
  | { readonly kind: 'send'; readonly to: Ip; readonly port: number; readonly bytes: Uint8Array }
  /** Packets to this prefix are to go to this RLOC; undefined: by other routes. */
  | { readonly kind: 'route'; readonly prefix: Prefix; readonly rloc: Ip | undefined }
  /** The state of the map-server changed: it is to be saved before anything that was sent since leaves. */
  | { readonly kind: 'save' }
  | { readonly kind: 'drop'; readonly reason: MappingDrop; readonly from: Ip }
  | {
      readonly kind: 'alarm';
      readonly alarm: MappingAlarm;
      /** It is over. */
      readonly isOver: boolean;
      readonly server: Ip | undefined;
      readonly message: string;
    };

export type Emit = (action: MappingAction) => void;

/** Where a message came from. */
export interface Sender {
  readonly ip: Ip;
  readonly port: number;
}

/** No deadline. */
export const NEVER = Number.POSITIVE_INFINITY;
/** As many as fit a datagram of 1,500 octets with SHA-256 and an xTR-ID: 28 octets each, IPv4 with one RLOC. */
export const RECORDS_PER_DATAGRAM = 50;
/** IPv6 in an instance needs 66 octets. */
const OCTETS_PER_DATAGRAM = 1400;
/** Datagrams without an acknowledgement, to one receiver: 10,000 records at once would overflow its buffer. */
export const WINDOW = 8;

/** The first of `items` that fit into one datagram; `octets` says the size of each record. */
export function oneDatagram<T>(items: Iterable<T>, octets: (item: T) => number): T[] {
  const taken: T[] = [];
  let used = 0;
  for (const item of items) {
    used += octets(item);
    if (taken.length === RECORDS_PER_DATAGRAM || (used > OCTETS_PER_DATAGRAM && taken.length > 0)) break;
    taken.push(item);
  }
  return taken;
}
