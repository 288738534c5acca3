import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  nextRetryMs,
  carryOverCounters,
  ringBytesFor,
  statsOf,
  capturedInterface,
} from '../../../src/capture/captured-interface.js';
import { MAC_ZERO } from '../../../src/wire/addresses.js';

const MB = 1 << 20;
const link = { index: 5, name: 'tap5', mac: MAC_ZERO };

describe('an interface that the daemon wants captured', () => {
  it('gets a ring of 50,000 frames when there are few, and hundreds of them stay below 85 MB', () => {
    const rings: { ringBytes: number }[] = [];
    const add = () => rings.push({ ringBytes: ringBytesFor(rings) });
    add();
    add();
    assert.deepEqual(rings[0], { ringBytes: 10 * MB });
    assert.ok(ringBytesFor(rings) > 6 * MB);
    while (rings.length < 256) add();
    const total = rings.reduce((sum, { ringBytes }) => sum + ringBytes, 0);
    assert.ok(total < 85 * MB, `${total}`);
    assert.ok(rings.every(({ ringBytes }) => ringBytes >= 128 * 1024));
    // The memory of those that went is there for those that come.
    rings.splice(0, 250);
    assert.ok(ringBytesFor(rings) > 5 * MB);
  });

  it('is retried ever more rarely, but at least every five seconds', () => {
    const known = capturedInterface(link, MB);
    const waits = Array.from({ length: 10 }, () => nextRetryMs(known));
    assert.deepEqual(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  });

  it('adds up what it lost in all its openings', () => {
    const known = capturedInterface(link, MB);
    known.counters = {
      kernelReceived: 100,
      kernelDropped: 10,
      dropped: 1,
      sendFailed: 2,
      suppressed: 30,
    };
    carryOverCounters(known);
    known.counters = {
      kernelReceived: 50,
      kernelDropped: 5,
      dropped: 0,
      sendFailed: 0,
      suppressed: 3,
    };
    assert.deepEqual(statsOf(known), {
      iface: 5,
      name: 'tap5',
      open: false,
      frames: 0,
      kernelReceived: 150,
      kernelDrops: 15,
      dropped: 1,
      sendFailed: 2,
      suppressed: 33,
    });
  });
});
