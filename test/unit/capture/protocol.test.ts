import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  SUPPRESS_BYTES,
  FAILED,
  FRAME,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
  OutOfStep,
  RecordReader,
  decodeSuppress,
  decodeCounters,
  decodeOpen,
  decodeText,
  decodeOpenResult,
  encodeCounters,
  encodeOpen,
  encodeRecord,
  encodeText,
  encodeOpenResult,
  writeSuppress,
} from '../../../src/capture/protocol.js';
import { parseMac } from '../../../src/wire/addresses.js';

interface Delivered {
  kind: number;
  iface: number;
  payload: number[];
}

function reading(): { reader: RecordReader; delivered: Delivered[] } {
  const delivered: Delivered[] = [];
  const reader = new RecordReader((kind, iface, payload) =>
    delivered.push({ kind, iface, payload: [...payload] }),
  );
  return { reader, delivered };
}

function whole(record: Uint8Array): Delivered {
  const { reader, delivered } = reading();
  reader.feed(record);
  assert.equal(delivered.length, 1);
  return delivered[0] as Delivered;
}

const record = fc.record({
  kind: fc.integer({ min: 1, max: 255 }),
  iface: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 200 }),
});

const mac = parseMac('02:00:0a:01:01:fe');
assert.ok(mac !== undefined);

describe('records between daemon and reader', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(record), fc.array(fc.integer({ min: 1, max: 300 })), (records, cuts) => {
        const stream = Buffer.concat(
          records.map(({ kind, iface, payload }) => encodeRecord(kind, iface, payload)),
        );
        const { reader, delivered } = reading();
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          reader.feed(stream.subarray(at, at + cut));
          at += cut;
        }
        assert.deepEqual(
          delivered,
          records.map(({ kind, iface, payload }) => ({ kind, iface, payload: [...payload] })),
        );
      }),
    );
  });

  it('come out one byte at a time', () => {
    const { reader, delivered } = reading();
    const frame = Uint8Array.from({ length: 60 }, (_, i) => i);
    const stream = Buffer.concat([
      encodeRecord(FRAME, 7, frame),
      encodeRecord(FRAME, 0xffff_ffff),
      encodeRecord(FRAME, 9, frame),
    ]);
    for (const byte of stream) reader.feed(Uint8Array.of(byte));
    assert.deepEqual(
      delivered.map(({ iface, payload }) => [iface, payload.length]),
      [
        [7, 60],
        [0xffff_ffff, 0],
        [9, 60],
      ],
    );
  });

  it('may be as long as a frame and not longer', () => {
    assert.equal(
      whole(encodeRecord(FRAME, 1, new Uint8Array(MAX_PAYLOAD_BYTES))).payload.length,
      MAX_PAYLOAD_BYTES,
    );
    assert.throws(() => encodeRecord(FRAME, 1, new Uint8Array(MAX_PAYLOAD_BYTES + 1)), RangeError);
  });

  it('are told from garbage by their length and their empty byte', () => {
    for (const [at, value] of [
      [1, 1],
      [3, 0xff],
    ] as const) {
      const { reader } = reading();
      const bytes = encodeRecord(FRAME, 1, new Uint8Array(60));
      bytes[at] = value;
      assert.throws(() => reader.feed(bytes), OutOfStep);
    }
  });

  it('never make the reader run past what it was given', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 })), (chunks) => {
        const { reader, delivered } = reading();
        try {
          for (const chunk of chunks) reader.feed(chunk);
        } catch (error) {
          assert.ok(error instanceof OutOfStep);
        }
        const taken = delivered.reduce((sum, { payload }) => sum + HEADER_BYTES + payload.length, 0);
        assert.ok(taken <= chunks.reduce((sum, { length }) => sum + length, 0));
      }),
    );
  });

  it('carry a request to open, and its result with the serial of the request', () => {
    const filter = 'arp and not ether src 02:00:00:00:00:01';
    const request = {
      iface: 12,
      serial: 0xffff_fff0,
      ringBytes: 4 << 20,
      burstFrames: 250_000,
      framesPerSecond: 0xffff_fff1,
      name: 'tap-ü.1',
      filter,
      longFilter: 'ip6[6] = 0',
    };
    const { iface, payload } = whole(encodeOpen(request));
    assert.deepEqual(decodeOpen(iface, Uint8Array.from(payload)), request);
    const result = whole(encodeOpenResult(FAILED, 12, 0xffff_fff0, 'No such device exists'));
    assert.deepEqual(decodeOpenResult(Uint8Array.from(result.payload)), {
      serial: 0xffff_fff0,
      text: 'No such device exists',
    });
  });

  it('carry counters of 32 bits', () => {
    const counters = {
      kernelReceived: 0xffff_ffff,
      kernelDropped: 1,
      dropped: 0x8000_0000,
      sendFailed: 0,
      suppressed: 0xffff_fffe,
    };
    assert.deepEqual(decodeCounters(Uint8Array.from(whole(encodeCounters(3, counters)).payload)), counters);
  });

  it('carry which announcements need not be passed on', () => {
    const ip = Uint32Array.of(0x2001_0db8, 0, 0xff00_0000, 0xfffe_0105);
    const request = { ip, macHigh: 0xfe54, macLow: 0xff0a_0105, forMs: 1000 };
    const payload = new Uint8Array(SUPPRESS_BYTES);
    writeSuppress(payload, request);
    assert.deepEqual(decodeSuppress(payload), request);
  });

  it('cut a text that is too long for a record', () => {
    assert.ok(encodeText('ü'.repeat(10_000)).length <= MAX_PAYLOAD_BYTES);
    assert.equal(decodeText(encodeText('libpcap says no')), 'libpcap says no');
  });
});
