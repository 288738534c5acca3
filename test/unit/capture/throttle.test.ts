import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  LONG_FRAMES_PER_SECOND,
  LONG_READ_PER_SECOND,
  TURN_FRAMES,
} from '../../../src/capture/overload/constants.js';
import { Allowance } from '../../../src/capture/overload/throttle.js';

it('passes a burst on, and what its pace has earned since', () => {
  const allowance = new Allowance({ burstFrames: 100, framesPerSecond: 50 }, 0);
  const passed = (count: number, now: number): number => {
    let taken = 0;
    for (let i = 0; i < count; i++) if (allowance.take(now)) taken++;
    return taken;
  };
  assert.equal(passed(1000, 0), 100);
  assert.equal(passed(1000, 1000), 50);
  assert.equal(passed(1000, 1010), 0);
  assert.equal(passed(1000, 1020), 1);
  assert.equal(passed(1000, 60_000), 100, 'it earns no more than a burst');
});

it('a turn of long messages takes one short sleep, whatever is passed on of it', () => {
  const sleepMs = (TURN_FRAMES * 1000) / LONG_READ_PER_SECOND;
  assert.ok(sleepMs < 2, `${sleepMs} ms`);
  assert.ok(LONG_READ_PER_SECOND > LONG_FRAMES_PER_SECOND);
});
