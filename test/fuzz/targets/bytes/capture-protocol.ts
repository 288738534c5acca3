import assert from 'node:assert/strict';
import {
  COUNTERS,
  FAILED,
  HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
  OPEN,
  OPENED,
  OutOfStep,
  RecordReader,
  SUPPRESS,
  SUPPRESS_BYTES,
  decodeCounters,
  decodeOpen,
  decodeOpenResult,
  decodeSuppress,
  decodeText,
  encodeCounters,
  encodeOpen,
  encodeOpenResult,
  encodeRecord,
  encodeText,
  writeSuppress,
} from '../../../../src/capture/protocol.js';
import type { Target } from '../../engine/target.js';

/** What daemon and reader read from each other. A reader may have been taken over by a frame, and write anything. */

interface Taken {
  readonly kind: number;
  readonly iface: number;
  readonly payload: Uint8Array;
}

/** The records in the stream, fed in pieces of this size, and whether it broke. */
function read(stream: Uint8Array, piece: number): { readonly records: Taken[]; readonly broken: boolean } {
  const records: Taken[] = [];
  const reader = new RecordReader((kind, iface, payload) =>
    records.push({ kind, iface, payload: payload.slice() }),
  );
  try {
    for (let at = 0; at < stream.length; at += piece) reader.feed(stream.subarray(at, at + piece));
  } catch (error) {
    if (!(error instanceof OutOfStep)) throw error;
    return { records, broken: true };
  }
  return { records, broken: false };
}

function checkPayload({ kind, iface, payload }: Taken): void {
  assert.ok(payload.length <= MAX_PAYLOAD_BYTES);
  const text = decodeText(payload);
  assert.ok(encodeText(text).length <= 4 * 500);
  const open = decodeOpen(iface, payload);
  const counters = decodeCounters(payload);
  assert.ok(Object.values(counters).every((count) => Number.isInteger(count) && count >= 0));
  const result = decodeOpenResult(payload);
  const suppress = decodeSuppress(payload);
  const { ip, ...numbers } = suppress;
  assert.ok([...ip, ...Object.values(numbers)].every(Number.isInteger));
  // What is whole comes out of an encoding as it went in.
  if (kind === COUNTERS && payload.length === 20)
    assert.deepEqual(encodeCounters(iface, counters).subarray(HEADER_BYTES), payload);
  if (kind === SUPPRESS && payload.length === SUPPRESS_BYTES) {
    const again = new Uint8Array(SUPPRESS_BYTES);
    writeSuppress(again, suppress);
    assert.deepEqual(again, payload);
  }
  if ((kind === OPENED || kind === FAILED) && payload.length >= 4 && result.text.length <= 500) {
    const again = encodeOpenResult(kind, iface, result.serial, result.text).subarray(HEADER_BYTES);
    assert.deepEqual(decodeOpenResult(again), result);
  }
  const fits = Buffer.byteLength(open.name) <= 15 && Buffer.byteLength(open.filter) <= 1500;
  if (kind === OPEN && payload.length >= 19 && fits)
    assert.deepEqual(decodeOpen(iface, encodeOpen(open).subarray(HEADER_BYTES)), open);
}

export const target: Target = {
  covers: ['src/capture/protocol.ts'],
  maxBytes: 6000,
  seeds: () => [
    encodeRecord(1, 3, new Uint8Array(60)),
    encodeOpen({
      iface: 3,
      serial: 1,
      ringBytes: 1 << 20,
      burstFrames: 1000,
      framesPerSecond: 500,
      name: 'lan0',
      filter: '(arp or rarp)',
      longFilter: '(ip6)',
    }),
    encodeOpenResult(OPENED, 3, 1, ''),
    encodeOpenResult(FAILED, 3, 1, 'lan0: No such device exists'),
    encodeCounters(3, { kernelReceived: 9, kernelDropped: 1, dropped: 2, sendFailed: 3, suppressed: 4 }),
    encodeRecord(SUPPRESS, 3, new Uint8Array(SUPPRESS_BYTES).fill(7)),
    encodeRecord(2, 0),
  ],
  run(stream) {
    const whole = read(stream, stream.length + 1);
    for (const record of whole.records) checkPayload(record);
    for (const piece of [1, 7, 1000]) {
      if (stream.length > 1000 && piece === 1) continue;
      assert.deepEqual(read(stream, piece), whole, `in pieces of ${piece} bytes`);
    }
  },
};
