import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../../src/rate/token-bucket.js';

describe('budget (generic cell rate algorithm, ITU-T I.371)', () => {
  it('gives the whole burst at once and nothing more', () => {
    const budget = new TokenBucket(5, 100);
    for (let i = 0; i < 5; i++) assert.ok(budget.take(1000));
    assert.ok(!budget.take(1000));
    assert.ok(!budget.take(1009));
    assert.ok(budget.take(1010.001));
    assert.ok(!budget.take(1010.001));
  });

  it('is full again after a rest, and not fuller', () => {
    const budget = new TokenBucket(3, 1000);
    for (let i = 0; i < 3; i++) assert.ok(budget.take(0));
    for (let i = 0; i < 3; i++) assert.ok(budget.take(60_000));
    assert.ok(!budget.take(60_000));
  });

  it('never admits more than burst + rate x time, and always what the rate allows', () => {
    const gaps = fc.array(fc.double({ min: 0, max: 20, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
      size: 'max',
    });
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 2000 }),
        (waits, burst, perSecond) => {
          const budget = new TokenBucket(burst, perSecond);
          let now = 0;
          let taken = 0;
          let tokens = burst;
          for (const wait of waits) {
            now += wait;
            tokens = Math.min(burst, tokens + (wait * perSecond) / 1000);
            const admitted = budget.take(now);
            if (Math.abs(tokens - 1) > 1e-6) assert.equal(admitted, tokens >= 1);
            if (admitted) {
              taken++;
              tokens -= 1;
            }
            assert.ok(taken <= burst + (now * perSecond) / 1000 + 1e-6);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reserve gives every asker its own time, spaced by the rate once the burst is used, and makes no debt', () => {
    const budget = new TokenBucket(2, 100);
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map(() => budget.reserve(500, 20)),
      [500, 500, 510, 520, undefined, undefined],
    );
    assert.equal(budget.reserve(510, 20), 530, 'who was refused has used nothing up');
    assert.equal(budget.reserve(100_000, 20), 100_000);
  });
});
