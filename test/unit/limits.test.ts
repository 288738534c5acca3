import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Limits } from '../../src/mobility/limits.js';

const LIMITS = {
  hosts: 1000,
  addressesPerMac: 4,
  newcomerBurst: 100_000,
  newcomersPerSecond: 20_000,
  probesPerSecond: 20_000,
  remembered: 1000,
  inquiryCandidates: 8,
};

function credit(limits: Limits, now: number): number {
  return limits.credit('lan0', now);
}

function proofs(limits: Limits, count: number, rttMs = 30): void {
  for (let i = 0; i < count; i++) limits.noteProof('lan0', rttMs);
}

function silences(limits: Limits, count: number): void {
  for (let i = 0; i < count; i++) limits.noteSilence('lan0');
}

/** So many newcomers beyond the credit, none of whom waits for long. Returns for how long the next are refused, each time. */
function crowd(limits: Limits, times: number, now: number): number[] {
  return Array.from({ length: times }, () => limits.noteCrowding('lan0', 1, now)).filter((ms) => ms > 0);
}

describe('credit for newcomers that have not answered', () => {
  it('is a first number, and as many as have answered in the last one to two seconds', () => {
    const limits = new Limits(LIMITS);
    assert.equal(credit(limits, 0), 4096);
    proofs(limits, 500);
    assert.equal(credit(limits, 100), 4596);
    assert.equal(credit(limits, 1100), 4596);
    assert.equal(credit(limits, 3200), 4096, 'long ago');
  });

  it('shrinks with each storm, not below 256, and returns when they are long gone', () => {
    const limits = new Limits(LIMITS);
    credit(limits, 0);
    silences(limits, 1000);
    crowd(limits, 256, 0);
    assert.equal(credit(limits, 10), 3296);
    for (let now = 60; now < 660; now += 60) crowd(limits, 256, now);
    assert.equal(credit(limits, 700), 256);
    proofs(limits, 300);
    assert.equal(credit(limits, 800), 556, 'those who answer are served in a storm as well');
    assert.equal(credit(limits, 3400), 4096);
  });

  it('does not shrink when so few are too many that it is no storm', () => {
    const limits = new Limits(LIMITS);
    silences(limits, 256);
    for (let now = 0; now < 1000; now += 60) crowd(limits, 255, now);
    assert.equal(credit(limits, 1000), 4096);
  });

  it('is all there is for one that is known from another place', () => {
    const limits = new Limits(LIMITS);
    assert.equal(limits.credit('lan0', 0, true), 32_768);
  });

  it('is not remembered of a thousand interfaces that are long gone', () => {
    const limits = new Limits(LIMITS);
    for (let i = 0; i < 5000; i++) limits.credit(`tap${i}`, 11_000 * i);
    const { newcomers } = limits as unknown as { readonly newcomers: ReadonlyMap<string, unknown> };
    assert.ok(newcomers.size <= 1000, `${newcomers.size}`);
  });

  it('is never more than 32,768, and each interface has its own', () => {
    const limits = new Limits(LIMITS);
    credit(limits, 0);
    proofs(limits, 40_000);
    assert.equal(credit(limits, 100), 32_768);
    assert.equal(limits.credit('lan1', 100), 4096);
  });
});

describe('newcomers that were asked once', () => {
  it('are fewer at a time when answers take long, and more when they come at once', () => {
    const limits = new Limits(LIMITS);
    assert.equal(limits.window('lan0'), 512);
    proofs(limits, 100, 10);
    assert.equal(limits.window('lan0'), 512, 'no more than that');
    proofs(limits, 100, 60);
    assert.equal(limits.window('lan0'), 412);
    proofs(limits, 100, 30);
    assert.equal(limits.window('lan0'), 412, 'neither late nor prompt');
    proofs(limits, 50, 10);
    assert.equal(limits.window('lan0'), 462);
    proofs(limits, 1000, 60);
    assert.equal(limits.window('lan0'), 200, 'no less than that');
    assert.equal(limits.window('lan1'), 512);
  });
});

describe('newcomers beyond the credit', () => {
  it('are no storm as long as nobody was silent, however late they answer', () => {
    const limits = new Limits(LIMITS);
    limits.credit('lan0', 0);
    assert.deepEqual(crowd(limits, 10_000, 10), []);
    silences(limits, 255);
    assert.deepEqual(crowd(limits, 10_000, 70), []);
  });

  it('are no storm beside more that answer than are silent', () => {
    const limits = new Limits(LIMITS);
    limits.credit('lan0', 0);
    proofs(limits, 301);
    silences(limits, 300);
    assert.deepEqual(crowd(limits, 1000, 10), []);
    silences(limits, 1);
    assert.deepEqual(crowd(limits, 1000, 70), [50]);
  });

  it('are a storm when there are 256 within 50 ms, which is said once per window', () => {
    const limits = new Limits(LIMITS);
    silences(limits, 256);
    assert.deepEqual(crowd(limits, 255, 0), []);
    assert.deepEqual(crowd(limits, 255, 60), [], 'another window');
    assert.deepEqual(crowd(limits, 1, 100), [50]);
    assert.deepEqual(crowd(limits, 1000, 105), []);
    assert.deepEqual(crowd(limits, 1000, 120), [50]);
    assert.deepEqual(crowd(limits, 1000, 180), [50]);
    assert.deepEqual(crowd(limits, 1000, 240), [50]);
    assert.deepEqual(crowd(limits, 1000, 300), [200], 'it lasts');
  });

  it('are a storm when they come slowly and 4,096 wait', () => {
    const limits = new Limits(LIMITS);
    silences(limits, 256);
    let storms = 0;
    for (let waiting = 1; waiting <= 4096; waiting++)
      if (limits.noteCrowding('lan0', waiting, waiting) > 0) storms = waiting;
    assert.equal(storms, 4096);
  });
});
