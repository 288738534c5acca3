import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTime } from '../../../src/control/records.js';
import { WallClock } from '../../../src/system/wall-clock.js';

test('an event keeps the time that was told of it, whenever it is asked for', () => {
  let monotonic = 0;
  // As Date.now(): whole milliseconds.
  const clock = new WallClock(
    () => Math.floor(1_796_000_000_000.7 + monotonic),
    () => monotonic,
    1_796_000_000_000.7,
  );
  const at = 381.713;
  const told = new Set<string>();
  for (monotonic = 400; monotonic < 5000; monotonic += 13.37) told.add(formatTime(clock.originOf(at), at));
  assert.deepEqual([...told], [formatTime(1_796_000_000_000.7, at)]);
});

test('after a step of the clock events have the new time, and those before it keep theirs', () => {
  let monotonic = 0;
  let originMs = 1_796_000_000_000;
  const clock = new WallClock(
    () => originMs + monotonic,
    () => monotonic,
    originMs,
  );
  monotonic = 100;
  assert.equal(clock.originOf(90), 1_796_000_000_000);
  originMs += 3_600_000;
  monotonic = 200;
  assert.equal(clock.originOf(150), 1_796_003_600_000);
  assert.equal(clock.originOf(90), 1_796_000_000_000);
  for (let steps = 0; steps < 1000; steps++) {
    originMs += 10;
    monotonic += 1;
    clock.originOf(monotonic);
  }
  assert.equal(clock.originOf(monotonic), originMs);
  assert.ok(clock.originOf(90) > 1_796_000_000_000, 'only so many steps are kept');
});

test('a process that stands still between two readings sees no step of the clock', () => {
  let monotonic = 100;
  let stallMs = 0;
  const clock = new WallClock(
    () => {
      monotonic += stallMs;
      return 1_796_000_000_000 + monotonic;
    },
    () => monotonic,
    1_796_000_000_000,
  );
  stallMs = 80;
  assert.equal(clock.originOf(190), 1_796_000_000_000);
  stallMs = 0;
  assert.equal(clock.originOf(200), 1_796_000_000_000);
});

test('the clock of this process agrees with Date.now()', () => {
  const clock = new WallClock();
  const before = Date.now();
  const at = performance.now();
  const after = Date.now();
  const told = clock.originOf(at) + at;
  assert.ok(told > before - 3 && told < after + 3, `${told} is not between ${before} and ${after}`);
});
