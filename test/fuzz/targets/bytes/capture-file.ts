import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CaptureFileError, CaptureFileReader } from '../../../../src/wire/pcap/capture-file.js';
import type { Target } from '../../engine/target.js';

/** Capture files of anybody: whole items or a CaptureFileError, the same in whatever pieces the file arrives. */

interface Reading {
  readonly items: readonly string[];
  readonly problem: string | undefined;
}

const plain = (_: string, value: unknown): unknown =>
  typeof value === 'bigint'
    ? `${value}n`
    : value instanceof Map
      ? [...value]
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('hex')
        : value;

function read(file: Uint8Array, piece: number): Reading {
  const reader = new CaptureFileReader();
  const items: string[] = [];
  try {
    for (let at = 0; at < file.length; at += piece) {
      for (const item of reader.read(file.slice(at, at + piece))) {
        if (item.kind === 'packet') assert.ok(item.bytes.length <= file.length && item.timeNs < 2n ** 200n);
        items.push(JSON.stringify(item, plain));
      }
    }
  } catch (error) {
    if (!(error instanceof CaptureFileError)) throw error;
    assert.ok(error.message.length > 0 && error.message.length < 1000);
    return { items, problem: error.message };
  }
  return { items, problem: reader.isCut ? 'cut' : undefined };
}

export const target: Target = {
  covers: ['src/wire/pcap/capture-file.ts'],
  maxBytes: 3000,
  seeds: () =>
    ['roaming.pcap', 'forged.pcapng'].flatMap((name) => {
      const file = readFileSync(`test/property/captures/${name}`);
      return [file.subarray(0, 400), file.subarray(0, 1500)];
    }),
  run(file) {
    const whole = read(file, file.length + 1);
    assert.deepEqual(read(file, 97), whole, 'in pieces');
  },
};
