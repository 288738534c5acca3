import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SleepWatch } from '../../../src/system/sleep-watch.js';

describe('a suspended machine', () => {
  it('shows by the time since boot, which goes on while the monotonic clock stands still, once', () => {
    let boot = 100_000;
    let monotonic = 5000;
    const watch = new SleepWatch(
      () => boot,
      () => monotonic,
    );
    boot += 10_000;
    monotonic += 10_000;
    assert.equal(watch.hasSlept(), false);
    boot += 20_000;
    monotonic += 3;
    assert.equal(watch.hasSlept(), true);
    assert.equal(watch.hasSlept(), false);
  });

  it('is not told from a clock that counts in whole seconds', () => {
    let now = 0;
    const watch = new SleepWatch(
      () => Math.floor((now + 700) / 1000) * 1000,
      () => now,
    );
    for (; now < 100_000; now += 37) assert.equal(watch.hasSlept(), false);
  });

  it('the clocks of this machine agree', () => {
    assert.equal(new SleepWatch().hasSlept(), false);
  });
});
