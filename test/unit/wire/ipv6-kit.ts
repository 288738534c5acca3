import fc from 'fast-check';
import { type Ipv6, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';
import { writeChecksum } from '../../../src/wire/icmpv6.js';
import { IPV6_PAYLOAD_AT, IPV6_PAYLOAD_LENGTH_AT } from '../../../src/wire/ipv6.js';
import * as golden from './golden-ipv6.js';

/** What the tests of the IPv6 codecs have in common. */

export const ip = (text: string): Ipv6 => parseIp(text) as Ipv6;
export const mac = (text: string): Mac => parseMac(text) as Mac;

export const FRAMES: Readonly<Record<string, Uint8Array>> = golden;

/** Why bytes are none of what the codecs read. */
export const MALFORMED = new Set([
  'truncated',
  'not-neighbour-discovery',
  'extension-header',
  'bad-hop-limit',
  'bad-code',
  'bad-length',
  'bad-checksum',
  'bad-address',
  'bad-option',
]);

export const macs = fc.integer({ min: 0, max: 2 ** 48 - 1 }) as fc.Arbitrary<Mac>;
export const unicasts = fc
  .tuple(fc.constantFrom('fe80::', '2001:db8:1::', 'fd00::'), fc.uint8Array({ minLength: 8, maxLength: 8 }))
  .map(([network, low]) => (ip(network).slice(0, 8) + String.fromCharCode(...low)) as Ipv6);
export const linkLocals = unicasts.map((address) => (ip('fe80::').slice(0, 8) + address.slice(8)) as Ipv6);
export const groups = unicasts.map((address) => (ip('ff02::').slice(0, 8) + address.slice(8)) as Ipv6);

/** The frame with these bytes in it, from `at` on. */
export function damaged(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

/** The frame with the checksum that the changed message ought to have, and the length of the changed payload. */
export function mended(bytes: Uint8Array, at = IPV6_PAYLOAD_AT): Uint8Array {
  const copy = bytes.slice();
  const length = bytes.length - IPV6_PAYLOAD_AT;
  copy[IPV6_PAYLOAD_LENGTH_AT] = length >>> 8;
  copy[IPV6_PAYLOAD_LENGTH_AT + 1] = length;
  writeChecksum(copy, at);
  return copy;
}

export function joined(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
