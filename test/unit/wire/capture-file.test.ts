import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  CaptureFileError,
  CaptureFileReader,
  type CaptureItem,
  type CapturedPacket,
} from '../../../src/wire/pcap/capture-file.js';
import {
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  journalExport,
  sectionHeader,
} from '../../../src/wire/pcap/pcapng.js';
import { effort } from '../../property/effort.js';
import { LINUX_REPLY, LINUX_REQUEST } from './golden.js';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s+/g, ''), 'hex'));

function read(...chunks: Uint8Array[]): CaptureItem[] {
  const reader = new CaptureFileReader();
  return chunks.flatMap((chunk) => [...reader.read(chunk)]);
}

function packets(items: readonly CaptureItem[]): CapturedPacket[] {
  return items.filter((item) => item.kind === 'packet');
}

function pcap({ little = true, nano = false, linkType = 1 }, ...records: [number, number, Uint8Array][]) {
  const size = 24 + records.reduce((sum, [, , bytes]) => sum + 16 + bytes.length, 0);
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(0, nano ? 0xa1b23c4d : 0xa1b2c3d4, little);
  view.setUint16(4, 2, little);
  view.setUint16(6, 4, little);
  view.setUint32(16, 262_144, little);
  view.setUint32(20, linkType, little);
  let at = 24;
  for (const [seconds, fraction, bytes] of records) {
    view.setUint32(at, seconds, little);
    view.setUint32(at + 4, fraction, little);
    view.setUint32(at + 8, bytes.length, little);
    view.setUint32(at + 12, bytes.length, little);
    new Uint8Array(view.buffer).set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  return new Uint8Array(view.buffer);
}

describe('pcap', () => {
  for (const little of [true, false]) {
    for (const nano of [true, false]) {
      it(`reads ${little ? 'little' : 'big'}-endian files with stamps in ${nano ? 'ns' : 'µs'}`, () => {
        const file = pcap(
          { little, nano },
          [1_795_986_000, 5, LINUX_REQUEST],
          [1_795_986_001, 7, LINUX_REPLY],
        );
        const [first, second] = packets(read(file));
        assert.deepEqual(first?.bytes, LINUX_REQUEST);
        assert.deepEqual(second?.bytes, LINUX_REPLY);
        assert.equal(first?.timeNs, 1_795_986_000_000_000_000n + (nano ? 5n : 5000n));
        assert.equal(second?.timeNs, 1_795_986_001_000_000_000n + (nano ? 7n : 7000n));
        assert.equal(first?.interface.linkType, 1);
      });
    }
  }

  it('says what a file is that is no capture', () => {
    assert.throws(
      () => read(hex('1f8b0800 00000000')),
      new CaptureFileError('it is compressed: zcat FILE | ... -'),
    );
    assert.throws(
      () => read(hex('7f454c46 00000000')),
      new CaptureFileError('it is neither pcap nor pcapng'),
    );
  });

  it('refuses a packet longer than any, which is garbage', () => {
    const file = pcap({}, [1, 2, LINUX_REQUEST]);
    new DataView(file.buffer).setUint32(32, 0x7fffffff, true);
    assert.throws(() => read(file), /damaged: a packet of 2147483647 bytes at offset 24/);
  });

  it('reports a record that is cut off', () => {
    const file = pcap({}, [1, 2, LINUX_REQUEST], [3, 4, LINUX_REPLY]);
    const reader = new CaptureFileReader();
    assert.equal([...reader.read(file.subarray(0, -1))].length, 1);
    assert.equal(reader.isCut, true);
    assert.equal([...reader.read(file.subarray(-1))].length, 1);
    assert.equal(reader.isCut, false);
  });
});

describe('pcapng', () => {
  const stamp = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n });
  const written = fc.record(
    {
      interface: fc.constantFrom(0, 1),
      timeNs: stamp,
      bytes: fc.uint8Array({ maxLength: 80 }),
      direction: fc.constantFrom(undefined, 'in' as const, 'out' as const),
      comments: fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 3 }),
      packetId: fc.option(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { nil: undefined }),
    },
    { noNullPrototype: true },
  );
  const section = () => [
    sectionHeader({ application: 'marpd', comments: ['clock: kernel'] }),
    interfaceDescription({ name: 'lan0' }),
    interfaceDescription({ name: 'lan1', description: 'the second' }),
  ];

  it('reads what it writes, in pieces of any size', () => {
    fc.assert(
      fc.property(fc.array(written, { maxLength: 8 }), fc.integer({ min: 1, max: 97 }), (all, step) => {
        const file = Buffer.concat([...section(), ...all.map(enhancedPacket)]);
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < file.length; at += step) chunks.push(file.subarray(at, at + step));
        const got = packets(read(...chunks)).map(({ kind, interface: from, length, ...rest }) => {
          assert.equal(length, rest.bytes.length);
          return { ...rest, bytes: Uint8Array.from(rest.bytes), interface: from.id };
        });
        assert.deepEqual(got, all);
      }),
      effort(200),
    );
  });

  it('keeps names, descriptions, comments and the fields of journal entries', () => {
    const [header, packet, entry] = read(
      Buffer.concat([
        ...section(),
        enhancedPacket({ interface: 1, timeNs: 5n, bytes: LINUX_REQUEST }),
        interfaceStatistics(1, 6n, { received: 10, dropped: 1 }),
        journalExport(1_795_986_000_123_456_789n, { MESSAGE: 'two\nlines', MARPD_EVENT: '{"a":"b=c"}' }),
      ]),
    );
    assert.deepEqual(header, { kind: 'section', application: 'marpd', comments: ['clock: kernel'] });
    assert.equal(packet?.kind === 'packet' && packet.interface.name, 'lan1');
    assert.equal(packet?.kind === 'packet' && packet.interface.description, 'the second');
    assert.equal(entry?.kind, 'journal');
    if (entry?.kind !== 'journal') return;
    assert.equal(entry.timeNs, 1_795_986_000_123_456_000n);
    assert.equal(entry.fields.get('MESSAGE'), 'two lines');
    assert.equal(entry.fields.get('MARPD_EVENT'), '{"a":"b=c"}');
  });

  it('takes interfaces from the section that a packet is in, and numbers them through', () => {
    const packet = enhancedPacket({ interface: 0, timeNs: 0n, bytes: LINUX_REQUEST });
    const file = [...section(), packet, ...section(), packet];
    const got = packets(read(Buffer.concat(file)));
    assert.deepEqual(
      got.map(({ interface: { id, name } }) => [id, name]),
      [
        [0, 'lan0'],
        [2, 'lan0'],
      ],
    );
  });

  it('reads big-endian blocks, stamps in µs (the default) and in powers of two, and simple packets', () => {
    // Section header and interface descriptions as Wireshark on a big-endian machine would write them.
    const file = hex(`
      0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c
      00000001 00000014 0001 0000 00000000 00000014
      00000001 00000020 0001 0000 00000000 0009 0001 8a000000 0000 0000 00000020
      00000006 00000024 00000000 00000000 000f4240 00000002 00000002 0806 0000 00000024
      00000006 00000024 00000001 00000000 00000200 00000002 00000002 0806 0000 00000024
      00000003 00000014 00000002 0806 0000 00000014`);
    assert.deepEqual(
      packets(read(file)).map(({ timeNs, bytes }) => [timeNs, [...bytes]]),
      [
        [1_000_000_000n, [8, 6]],
        [500_000_000n, [8, 6]],
        [0n, [8, 6]],
      ],
    );
  });

  it('never does other than throw a CaptureFileError, whatever is changed or cut off', () => {
    const file = Buffer.concat([
      ...section(),
      enhancedPacket({ interface: 0, timeNs: 5n, bytes: LINUX_REQUEST, comments: ['seen'], packetId: 3n }),
      journalExport(7n, { MESSAGE: 'x' }),
    ]);
    const change = fc.record({ at: fc.nat(file.length - 1), to: fc.nat(255), end: fc.nat(file.length) });
    fc.assert(
      fc.property(change, ({ at, to, end }) => {
        const broken = Uint8Array.from(file.subarray(0, end));
        if (at < end) broken[at] = to;
        try {
          assert.ok(read(broken).length <= 3);
        } catch (error) {
          assert.ok(error instanceof CaptureFileError, String(error));
        }
      }),
      effort(2000),
    );
  });
});
