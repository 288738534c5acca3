import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIp, formatMac, type Ipv4, type Mac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp, type ArpFrame } from '../../../src/wire/arp.js';
import {
  decodeEthernet,
  ETHERNET_MIN_BYTES,
  etherTypeOf,
  writeEthernet,
} from '../../../src/wire/ethernet.js';
import { decodeRarp } from '../../../src/wire/rarp.js';
import * as golden from './golden.js';

const mac = fc.integer({ min: 0, max: 2 ** 48 - 1 }) as fc.Arbitrary<Mac>;
const ip = fc.integer({ min: 0, max: 2 ** 32 - 1 }) as fc.Arbitrary<Ipv4>;
const arpFrame: fc.Arbitrary<ArpFrame> = fc.record(
  {
    destination: mac,
    source: mac,
    opcode: fc.constantFrom(ARP_REQUEST, ARP_REPLY),
    senderMac: mac,
    senderIp: ip,
    targetMac: mac,
    targetIp: ip,
  },
  { noNullPrototype: true },
);

const MALFORMED = new Set([
  'truncated',
  'not-arp',
  'bad-hardware-type',
  'bad-protocol-type',
  'bad-address-length',
  'bad-opcode',
]);

function text(bytes: Uint8Array): string {
  const frame = decodeArp(bytes);
  assert.ok(typeof frame !== 'string', `not decoded: ${String(frame)}`);
  return [
    `${formatMac(frame.source)} > ${formatMac(frame.destination)}`,
    `${frame.opcode}`,
    `${formatMac(frame.senderMac)} ${formatIp(frame.senderIp)}`,
    `${formatMac(frame.targetMac)} ${formatIp(frame.targetIp)}`,
  ].join(', ');
}

function with16(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[offset] = value >>> 8;
  copy[offset + 1] = value & 255;
  return copy;
}

describe('RFC 826 frames of real stacks', () => {
  const host = '02:00:0a:01:01:05';
  const all = 'ff:ff:ff:ff:ff:ff';
  const zero = '00:00:00:00:00:00';
  const expected: Readonly<Record<keyof typeof golden.ARP_FRAMES, string>> = {
    LINUX_REQUEST: `${host} > ${all}, 1, ${host} 10.1.1.5, ${zero} 10.1.1.1`,
    LINUX_REPLY: `02:00:0a:01:01:01 > ${host}, 2, 02:00:0a:01:01:01 10.1.1.1, ${host} 10.1.1.5`,
    IPUTILS_UNSOLICITED_REQUEST: `${host} > ${all}, 1, ${host} 10.1.1.5, ${all} 10.1.1.5`,
    IPUTILS_UNSOLICITED_REPLY: `${host} > ${all}, 2, ${host} 10.1.1.5, ${host} 10.1.1.5`,
    IPUTILS_PROBE: `${host} > ${all}, 1, ${host} 0.0.0.0, ${all} 10.1.1.77`,
    LINUX_ANNOUNCEMENT: `${host} > ${all}, 1, ${host} 10.1.1.5, ${zero} 10.1.1.5`,
    HABETS_UNSOLICITED_REQUEST: `${host} > ${all}, 1, ${host} 10.1.1.5, ${all} 10.1.1.5`,
    HABETS_UNSOLICITED_REPLY: `${host} > ${all}, 2, ${host} 10.1.1.5, ${all} 10.1.1.5`,
  };
  for (const [name, bytes] of Object.entries(golden.ARP_FRAMES)) {
    it(`decodes ${name} as tcpdump does`, () => {
      assert.equal(text(bytes), expected[name as keyof typeof expected]);
    });
    it(`encodes ${name} back to its bytes and pads with zeros to 60 (IEEE 802.3 section 3.2.8)`, () => {
      const frame = decodeArp(bytes);
      assert.ok(typeof frame !== 'string');
      const encoded = encodeArp(frame);
      assert.equal(encoded.length, ETHERNET_MIN_BYTES);
      assert.deepEqual(encoded.subarray(0, 42), bytes.subarray(0, 42));
      assert.ok(encoded.subarray(42).every((byte) => byte === 0));
    });
    it(`refuses every truncation of ${name}`, () => {
      for (let length = 0; length < 42; length++) {
        assert.equal(decodeArp(bytes.subarray(0, length)), 'truncated', `${length} bytes`);
      }
      assert.notEqual(typeof decodeArp(bytes.subarray(0, 42)), 'string');
    });
  }

  it('reads a frame that lies in the middle of a larger buffer', () => {
    const buffer = new Uint8Array(200).fill(0xaa);
    buffer.set(golden.LINUX_REQUEST, 77);
    assert.equal(text(buffer.subarray(77, 77 + 42)), expected.LINUX_REQUEST);
  });

  it('RFC 1042: hardware type 6 (IEEE 802) is read as Ethernet, which is what we send', () => {
    const frame = decodeArp(with16(golden.LINUX_REQUEST, 14, 6));
    assert.deepEqual(frame, decodeArp(golden.LINUX_REQUEST));
    assert.ok(typeof frame !== 'string');
    assert.deepEqual(encodeArp(frame).subarray(0, 42), golden.LINUX_REQUEST.subarray(0, 42));
    assert.equal(typeof decodeRarp(with16(golden.QEMU_RARP, 14, 6)), 'object');
  });

  it('ignores padding and oversize trailers', () => {
    const oversize = new Uint8Array(1514).fill(0x5a);
    oversize.set(golden.LINUX_REQUEST);
    assert.equal(text(oversize), expected.LINUX_REQUEST);
  });
});

describe('malformed ARP has a named reason', () => {
  const good = golden.LINUX_REQUEST;
  it('IEEE 802.1Q: a VLAN-tagged ARP frame is not ours', () => {
    assert.equal(decodeArp(golden.TAGGED_ANNOUNCEMENT), 'not-arp');
  });
  it('RFC 826: another EtherType', () => {
    assert.equal(decodeArp(with16(good, 12, 0x0800)), 'not-arp');
    assert.equal(decodeArp(golden.QEMU_RARP), 'not-arp');
  });
  it('RFC 826: ar$hrd is neither Ethernet nor IEEE 802', () => {
    for (const type of [0, 2, 5, 7, 24, 0x0101, 0x0106, 0x0600])
      assert.equal(decodeArp(with16(good, 14, type)), 'bad-hardware-type', `type ${type}`);
  });
  it('RFC 826: ar$pro is not IPv4', () => {
    assert.equal(decodeArp(with16(good, 16, 0x86dd)), 'bad-protocol-type');
    assert.equal(decodeArp(with16(good, 16, 0x0801)), 'bad-protocol-type');
  });
  it('RFC 826: ar$hln and ar$pln', () => {
    assert.equal(decodeArp(with16(good, 18, 0x0804)), 'bad-address-length');
    assert.equal(decodeArp(with16(good, 18, 0x0610)), 'bad-address-length');
  });
  it('RFC 826: ar$op', () => {
    for (const opcode of [0, 3, 4, 8, 9, 0x0101, 0x0201, 0xffff]) {
      assert.equal(decodeArp(with16(good, 20, opcode)), 'bad-opcode', `opcode ${opcode}`);
    }
  });
});

describe('RARP (RFC 903)', () => {
  it('decodes what QEMU sends after a migration', () => {
    const frame = decodeRarp(golden.QEMU_RARP);
    assert.ok(typeof frame !== 'string');
    assert.equal(formatMac(frame.senderMac), '52:54:00:12:34:56');
    assert.equal(formatMac(frame.source), '52:54:00:12:34:56');
    assert.equal(frame.opcode, 3);
  });
  it('refuses every truncation', () => {
    for (let length = 0; length < 42; length++) {
      assert.equal(decodeRarp(golden.QEMU_RARP.subarray(0, length)), 'truncated', `${length} bytes`);
    }
  });
  it('refuses ARP, ARP opcodes and InARP opcodes', () => {
    assert.equal(decodeRarp(golden.LINUX_REQUEST), 'not-arp');
    for (const opcode of [0, 1, 2, 8, 9, 0x0103]) {
      assert.equal(decodeRarp(with16(golden.QEMU_RARP, 20, opcode)), 'bad-opcode', `opcode ${opcode}`);
    }
  });
});

describe('properties of the codecs', () => {
  it('RFC 826: decode(encode(frame)) is the frame', () => {
    fc.assert(fc.property(arpFrame, (frame) => assert.deepEqual(decodeArp(encodeArp(frame)), frame)));
  });
  it('random bytes give a value or a named reason and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 128 }), (bytes) => {
        for (const decoded of [decodeArp(bytes), decodeRarp(bytes)]) {
          assert.ok(typeof decoded === 'object' || MALFORMED.has(decoded));
        }
      }),
      { numRuns: 2000 },
    );
  });
  it('one damaged byte in a good frame gives a value or a named reason', () => {
    const frames = [...Object.values(golden.ARP_FRAMES), golden.QEMU_RARP, golden.TAGGED_ANNOUNCEMENT];
    fc.assert(
      fc.property(
        fc.constantFrom(...frames),
        fc.nat({ max: 41 }),
        fc.nat({ max: 255 }),
        (bytes, at, value) => {
          const damaged = bytes.slice();
          damaged[at] = value;
          for (const decoded of [decodeArp(damaged), decodeRarp(damaged)]) {
            assert.ok(typeof decoded === 'object' || MALFORMED.has(decoded));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
  it('decoding does not change the captured buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 42, maxLength: 64 }), (bytes) => {
        const before = bytes.slice();
        decodeArp(bytes);
        decodeRarp(bytes);
        assert.deepEqual(bytes, before);
      }),
    );
  });
  it('Ethernet header round trip (IEEE 802.3 section 3.1.1)', () => {
    fc.assert(
      fc.property(mac, mac, fc.nat({ max: 0xffff }), (destination, source, etherType) => {
        const bytes = new Uint8Array(14);
        writeEthernet(bytes, { destination, source, etherType });
        assert.deepEqual(decodeEthernet(bytes), { destination, source, etherType });
        assert.equal(etherTypeOf(bytes), etherType);
      }),
    );
  });
  it('a header shorter than 14 bytes has no EtherType', () => {
    for (let length = 0; length < 14; length++) {
      assert.equal(etherTypeOf(new Uint8Array(length)), undefined);
      assert.equal(decodeEthernet(new Uint8Array(length)), undefined);
    }
  });
});
