import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  LONG_FRAMES_PER_SECOND,
  LONG_READ_PER_SECOND,
  TURN_FRAMES,
} from '../../../src/capture/overload/constants.js';

it('a turn of long messages takes one short sleep, whatever is passed on of it', () => {
  const sleepMs = (TURN_FRAMES * 1000) / LONG_READ_PER_SECOND;
  assert.ok(sleepMs < 2, `${sleepMs} ms`);
  assert.ok(LONG_READ_PER_SECOND > LONG_FRAMES_PER_SECOND);
});
