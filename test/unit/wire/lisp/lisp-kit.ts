import fc from 'fast-check';
import { type Ip, type Prefix, networkOf, parseIp, parsePrefix } from '../../../../src/wire/addresses.js';
import type { Eid } from '../../../../src/wire/lisp/address.js';
import { ALGORITHM, LISP, type LispMessage, type Xtr } from '../../../../src/wire/lisp/message.js';
import type { Locator, MappingRecord } from '../../../../src/wire/lisp/record.js';

/** What the tests of LISP have in common. */

export const ip = (text: string): Ip => parseIp(text) as Ip;
export const prefix = (text: string): Prefix => parsePrefix(text) as Prefix;
export const eid = (text: string, instance = 0): Eid => ({ instance, prefix: prefix(text) });

export const XTR: Xtr = { id: String.fromCharCode(...Array.from({ length: 16 }, (_, i) => i + 1)), site: 7n };

export function locator(text: string): Locator {
  return { rloc: ip(text), priority: 1, weight: 100, isLocal: true, isProbed: false, isReachable: true };
}

export function record(of: Eid, ...rlocs: readonly string[]): MappingRecord {
  return {
    ttlMinutes: rlocs.length === 0 ? 0 : 1440,
    action: 0,
    isAuthoritative: true,
    version: 9,
    eid: of,
    locators: rlocs.map(locator),
  };
}

const AUTH = { keyId: 1, algorithm: ALGORITHM.sha256, macBytes: 32 } as const;

/** One message of each kind, and what differs in how addresses are written. */
export const MESSAGES: Readonly<Record<string, LispMessage>> = {
  subscribe: {
    type: LISP.mapRequest,
    nonce: 0x0102_0304_0506_0708n,
    isProbe: false,
    isSolicit: false,
    isSolicitInvoked: false,
    sourceEid: undefined,
    itrRlocs: [ip('10.255.0.1')],
    records: [{ eid: eid('10.1.0.0/16', 100), subscribe: true }],
    xtr: XTR,
  },
  solicit: {
    type: LISP.mapRequest,
    nonce: 5n,
    isProbe: false,
    isSolicit: true,
    isSolicitInvoked: false,
    sourceEid: { instance: 0, ip: ip('10.1.1.5') },
    itrRlocs: [ip('10.255.0.1'), ip('fd00::1')],
    records: [{ eid: eid('10.2.1.5/32'), subscribe: false }],
    xtr: undefined,
  },
  reply: {
    type: LISP.mapReply,
    nonce: 77n,
    isProbe: true,
    records: [record(eid('2001:db8::5/128'), 'fd00::1')],
  },
  register: {
    type: LISP.mapRegister,
    nonce: 1n << 63n,
    ...AUTH,
    isProxyReply: true,
    usesTtl: false,
    wantsNotify: true,
    records: [
      record(eid('10.1.1.5/32'), '10.255.0.1'),
      record(eid('2001:db8::5/128', 100), '10.255.0.1', 'fd00::1'),
    ],
    xtr: XTR,
  },
  notify: { type: LISP.mapNotify, nonce: 2n, ...AUTH, macBytes: 16, records: [record(eid('10.1.1.5/32'))] },
  acknowledgement: {
    type: LISP.mapNotifyAck,
    nonce: 3n,
    keyId: 2,
    algorithm: ALGORITHM.sha1,
    macBytes: 20,
    records: [record(eid('0.0.0.0/0'), 'fd00::1')],
  },
};

const ipv4s = fc.nat(0xffff_ffff) as fc.Arbitrary<number> as fc.Arbitrary<Ip>;
const ipv6s = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => String.fromCharCode(...bytes) as Ip);
const ips = fc.oneof(ipv4s, ipv6s);
const instances = fc.constantFrom(0, 1, 100, 0xff_ffff);
const eids: fc.Arbitrary<Eid> = fc.record({
  instance: instances,
  prefix: fc.oneof(
    fc.tuple(ipv4s, fc.nat(32)).map(([of, length]) => ({ ip: networkOf(of, length), length })),
    fc.tuple(ipv6s, fc.nat(128)).map(([of, length]) => ({ ip: networkOf(of, length), length })),
  ),
});
const octets = fc.nat(255);
const nonces = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const flag = fc.boolean();
const records: fc.Arbitrary<MappingRecord[]> = fc.array(
  fc.record({
    ttlMinutes: fc.nat(0xffff_ffff),
    action: fc.nat(7),
    isAuthoritative: flag,
    version: fc.nat(0xfff),
    eid: eids,
    locators: fc.array(
      fc.record({
        rloc: ips,
        priority: octets,
        weight: octets,
        isLocal: flag,
        isProbed: flag,
        isReachable: flag,
      }),
      { maxLength: 4 },
    ),
  }),
  { maxLength: 5 },
);
const authentications = fc.oneof(
  fc.record({ keyId: octets, algorithm: fc.constant(1), macBytes: fc.constant(20) }),
  fc.record({ keyId: octets, algorithm: fc.constant(2), macBytes: fc.constantFrom(16, 32) }),
  fc.record({ keyId: octets, algorithm: fc.constantFrom(0, 3), macBytes: fc.nat(40) }),
);
const xtrs: fc.Arbitrary<Xtr | undefined> = fc.option(
  fc.record({ id: ipv6s as fc.Arbitrary<string>, site: nonces }),
  { nil: undefined },
);

export const messages: fc.Arbitrary<LispMessage> = fc.oneof(
  fc.record({
    type: fc.constant(LISP.mapRequest),
    nonce: nonces,
    isProbe: flag,
    isSolicit: flag,
    isSolicitInvoked: flag,
    sourceEid: fc.option(fc.record({ instance: instances, ip: ips }), { nil: undefined }),
    itrRlocs: fc.array(ips, { maxLength: 32 }),
    records: fc.array(fc.record({ eid: eids, subscribe: flag }), { maxLength: 3 }),
    xtr: fc.oneof(
      xtrs,
      (ipv6s as fc.Arbitrary<string>).map((id) => ({ id, site: undefined })),
    ),
  }),
  fc.record({ type: fc.constant(LISP.mapReply), nonce: nonces, isProbe: flag, records }),
  fc
    .record({
      type: fc.constant(LISP.mapRegister),
      nonce: nonces,
      isProxyReply: flag,
      usesTtl: flag,
      wantsNotify: flag,
      records,
      xtr: xtrs,
    })
    .chain((message) => authentications.map((authentication) => ({ ...message, ...authentication }))),
  fc
    .record({ type: fc.constantFrom(LISP.mapNotify, LISP.mapNotifyAck), nonce: nonces, records })
    .chain((message) => authentications.map((authentication) => ({ ...message, ...authentication }))),
);
