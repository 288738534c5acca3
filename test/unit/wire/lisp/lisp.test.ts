import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatPrefix } from '../../../../src/wire/addresses.js';
import { LISP_MALFORMED } from '../../../../src/wire/lisp/address.js';
import { decodeEcm, encodeEcm } from '../../../../src/wire/lisp/ecm.js';
import {
  LISP,
  MAC_AT,
  type MapRegister,
  type MapRequest,
  coveredBytes,
  decodeAuthentication,
  decodeLisp,
  encodeLisp,
  macOf,
  writeMac,
} from '../../../../src/wire/lisp/message.js';
import { recordBytes } from '../../../../src/wire/lisp/record.js';
import { MESSAGES, XTR, eid, ip, messages, record } from './lisp-kit.js';

const REASONS: ReadonlySet<string> = new Set(LISP_MALFORMED);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const register = MESSAGES.register as MapRegister;

describe('control messages of LISP (RFC 9301 section 5)', () => {
  for (const [name, message] of Object.entries(MESSAGES)) {
    const bytes = encodeLisp(message);
    it(`decodes what it encoded: ${name}`, () => assert.deepEqual(decodeLisp(bytes), message));
    it(`refuses every truncation: ${name}`, () => {
      for (let length = 0; length < bytes.length; length++) {
        const read = decodeLisp(bytes.subarray(0, length));
        // Without the Site-ID it is the Map-Request of another implementation.
        if (name === 'subscribe' && length === bytes.length - 8)
          assert.deepEqual(read, { ...message, xtr: { id: XTR.id, site: undefined } });
        else assert.equal(read, 'truncated', `${length} bytes`);
      }
    });
  }
  it('any message is decoded as it was', () => {
    // fast-check makes records without a prototype.
    const read = (message: unknown) => structuredClone(message);
    fc.assert(
      fc.property(messages, (message) => assert.deepEqual(decodeLisp(encodeLisp(message)), read(message))),
    );
  });
  it('random bytes give a message or a reason, and change nothing', () => {
    const types = fc.constantFrom(0x10, 0x20, 0x30, 0x40, 0x50, 0x80, 0x00, 0xf0);
    fc.assert(
      fc.property(types, fc.uint8Array({ maxLength: 200 }), (type, bytes) => {
        bytes[0] = type | ((bytes[0] ?? 0) & 15);
        const before = bytes.slice();
        for (const read of [decodeLisp(bytes), decodeEcm(bytes), decodeAuthentication(bytes)])
          assert.ok(typeof read !== 'string' || REASONS.has(read), String(read));
        assert.deepEqual(bytes, before);
      }),
      { numRuns: 2000 },
    );
  });
  it('a Map-Register is these bytes', () => {
    const bytes = encodeLisp({ ...register, nonce: 1n, records: [record(eid('10.1.1.5/32'), '10.255.0.1')] });
    assert.equal(
      hex(bytes),
      hex(
        bytesOf(
          `3a000101 0000000000000001 01 02 0020 ${'00'.repeat(32)}
           000005a0 01 20 1000 0009 0001 0a010105
           01 64 ff 00 0005 0001 0aff0001
           0102030405060708090a0b0c0d0e0f10 0000000000000007`,
        ),
      ),
    );
  });
  it('an EID of an instance is an LCAF of type 2 (RFC 8060 section 4.1), and N is the bit of RFC 9437', () => {
    assert.equal(
      hex(encodeLisp({ ...(MESSAGES.subscribe as MapRequest), xtr: undefined })),
      hex(
        bytesOf(
          '10000001 0102030405060708 0000 0001 0aff0001 80 10 4003 0000 02 00 000a 00000064 0001 0a010000',
        ),
      ),
    );
  });
  it('a request without an ITR-RLOC has one of AFI 0: unsubscribe (RFC 9437 section 5)', () => {
    const bytes = encodeLisp({ ...(MESSAGES.subscribe as MapRequest), itrRlocs: [] });
    assert.equal(hex(bytes.subarray(12, 16)), '00000000');
    const read = decodeLisp(bytes);
    assert.ok(typeof read !== 'string' && read.type === LISP.mapRequest);
    assert.deepEqual(read.itrRlocs, []);
  });
  it('an unknown LCAF is skipped by its length, with its record only', () => {
    const geo = '4003 0000 05 00 0004 deadbeef';
    const head = '000005a0 01 20 1000 0009';
    const rloc = '01 64 ff 00 0005';
    const read = decodeLisp(
      bytesOf(`20000003 0000000000000001
        ${head} ${geo} ${rloc} 0001 0aff0001
        ${head} 0001 0a010105 ${rloc} ${geo}
        ${head} 0001 0a010106 ${rloc} 0001 0aff0002`),
    );
    assert.ok(typeof read !== 'string' && read.type === LISP.mapReply);
    assert.deepEqual(
      read.records.map(({ eid: { prefix }, locators }) => [
        formatPrefix(prefix),
        ...locators.map(({ rloc: of }) => formatIp(of)),
      ]),
      [['10.1.1.5/32'], ['10.1.1.6/32', '10.255.0.2']],
    );
  });
  it('says what is wrong', () => {
    const bytes = encodeLisp(register);
    const changed = (at: number, ...values: number[]) => {
      const copy = bytes.slice();
      copy.set(values, at);
      return decodeLisp(copy);
    };
    assert.equal(changed(0, 0x60), 'not-lisp-control');
    assert.equal(changed(14, 0, 12), 'bad-authentication-length');
    assert.equal(changed(13, 1), 'bad-authentication-length', '32 octets of SHA-1');
    assert.equal(changed(48 + 5, 33), 'bad-mask-length');
    assert.equal(changed(48 + 10, 0, 9), 'bad-afi');
    assert.equal(decodeLisp(Uint8Array.of(...bytes, 0)), 'bad-length');
  });
  it('50 records of a host with one RLOC fit a datagram of 1,500 octets', () => {
    const one = record(eid('10.1.1.5/32'), '10.255.0.1');
    assert.equal(recordBytes(one), 28);
    const bytes = encodeLisp({ ...register, records: Array.from({ length: 50 }, () => one) });
    assert.equal(bytes.length, 48 + 50 * 28 + 24);
    assert.ok(bytes.length + 20 + 8 <= 1500);
  });
});

describe('the MAC of a message (RFC 9301 section 5.6)', () => {
  const key = 'secret';
  const hmac = (bytes: Uint8Array) => createHmac('sha256', key).update(bytes).digest();
  it('covers the whole message, xTR-ID and Site-ID included, with the MAC as zeros', () => {
    const bytes = encodeLisp(register);
    const authentication = decodeAuthentication(bytes);
    assert.ok(typeof authentication !== 'string');
    assert.deepEqual(authentication, { keyId: 1, algorithm: 2, macBytes: 32 });
    const mac = hmac(coveredBytes(bytes, authentication));
    writeMac(bytes, mac);
    assert.equal(hex(macOf(bytes, authentication)), hex(mac));
    for (let at = 0; at < bytes.length; at++) {
      if (at >= MAC_AT - 4 && at < MAC_AT + 32) continue;
      const forged = bytes.slice();
      forged[at] = (forged[at] as number) ^ 1;
      assert.notEqual(hex(hmac(coveredBytes(forged, authentication))), hex(mac), `octet ${at}`);
    }
  });
  it('is found before the records are read, whatever they are', () => {
    const bytes = encodeLisp(register);
    bytes.fill(0xff, 48);
    assert.deepEqual(decodeAuthentication(bytes), { keyId: 1, algorithm: 2, macBytes: 32 });
  });
});

describe('encapsulated control messages (RFC 9301 section 5.8)', () => {
  const message = encodeLisp(MESSAGES.solicit as MapRequest);
  for (const [source, destination] of [
    ['10.255.0.1', '10.2.1.5'],
    ['fd00::1', '2001:db8::5'],
  ] as const) {
    const packet = { sourceIp: ip(source), destinationIp: ip(destination), sourcePort: 4342, message };
    it(`from ${source}: decodes what it encoded, and no truncation of it`, () => {
      const bytes = encodeEcm(packet);
      assert.deepEqual(decodeEcm(bytes), packet);
      for (let length = 0; length < bytes.length; length++)
        assert.match(String(decodeEcm(bytes.subarray(0, length))), /^(truncated|bad-encapsulation)$/);
    });
  }
  it('one with LISP-SEC data, or with something else within, is refused', () => {
    const bytes = encodeEcm({
      sourceIp: ip('10.0.0.1'),
      destinationIp: ip('10.0.0.2'),
      sourcePort: 1,
      message,
    });
    const changed = (at: number, value: number) => {
      const copy = bytes.slice();
      copy[at] = value;
      return decodeEcm(copy);
    };
    assert.equal(changed(0, 0x88), 'lisp-sec');
    assert.equal(changed(4 + 9, 6), 'bad-encapsulation', 'TCP');
    assert.equal(changed(4, 0x55), 'bad-encapsulation', 'IP version 5');
    assert.equal(changed(4 + 20 + 3, 1), 'bad-encapsulation', 'another port');
  });
});
