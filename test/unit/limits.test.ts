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

/** How many newcomers of lan0 are admitted before one is refused, none of them having answered yet. */
function credit(limits: Limits, now: number): number {
  let unproven = 0;
  while (limits.admitNewcomer('lan0', unproven, false, now)) unproven++;
  return unproven;
}

describe('credit for newcomers that have not answered', () => {
  it('is a first number, and as many as have answered in the last one to two seconds', () => {
    const limits = new Limits(LIMITS);
    assert.equal(credit(limits, 0), 4096);
    for (let i = 0; i < 500; i++) limits.noteProof('lan0');
    assert.equal(credit(limits, 100), 4596);
    assert.equal(credit(limits, 1100), 4596);
    assert.equal(credit(limits, 3200), 4096, 'long ago');
  });

  it('shrinks with each storm, not below 256, and returns when they are long gone', () => {
    const limits = new Limits(LIMITS);
    credit(limits, 0);
    const storm = (now: number) => {
      for (let i = 0; i < 256; i++) limits.noteRefusal('lan0', now);
    };
    storm(0);
    assert.equal(credit(limits, 10), 3296);
    for (let now = 60; now < 660; now += 60) storm(now);
    assert.equal(credit(limits, 700), 256);
    for (let i = 0; i < 300; i++) limits.noteProof('lan0');
    assert.equal(credit(limits, 800), 556, 'those who answer are served in a storm as well');
    assert.equal(credit(limits, 3400), 4096);
  });

  it('does not shrink when so few are refused that it is no storm', () => {
    const limits = new Limits(LIMITS);
    for (let now = 0; now < 1000; now += 60) for (let i = 0; i < 255; i++) limits.noteRefusal('lan0', now);
    assert.equal(credit(limits, 1000), 4096);
  });

  it('is all there is for one that is known from another place', () => {
    const limits = new Limits(LIMITS);
    assert.equal(limits.admitNewcomer('lan0', 4096, false, 0), false);
    assert.equal(limits.admitNewcomer('lan0', 4096, true, 0), true);
    assert.equal(limits.admitNewcomer('lan0', 32_768, true, 0), false);
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
    for (let i = 0; i < 40_000; i++) limits.noteProof('lan0');
    assert.equal(credit(limits, 100), 32_768);
    assert.equal(limits.admitNewcomer('lan1', 4096, false, 100), false);
  });
});

describe('refused newcomers', () => {
  it('are no storm beside as many that answer', () => {
    const limits = new Limits(LIMITS);
    limits.credit('lan0', 0);
    for (let i = 0; i < 256; i++) limits.noteProof('lan0');
    for (let i = 0; i < 1000; i++) assert.equal(limits.noteRefusal('lan0', 10), 0);
    assert.equal(limits.credit('lan0', 20), 4352);
  });

  it('are a storm when there are 256 within 50 ms, which is said once per window', () => {
    const limits = new Limits(LIMITS);
    const refuse = (times: number, now: number) =>
      Array.from({ length: times }, () => limits.noteRefusal('lan0', now)).filter((ms) => ms > 0);
    assert.deepEqual(refuse(255, 0), []);
    assert.deepEqual(refuse(255, 60), [], 'another window');
    assert.deepEqual(refuse(1, 100), [50]);
    assert.deepEqual(refuse(1000, 105), []);
    assert.deepEqual(refuse(1000, 120), [50]);
    assert.deepEqual(refuse(1000, 180), [50]);
    assert.deepEqual(refuse(1000, 240), [50]);
    assert.deepEqual(refuse(1000, 300), [200], 'it lasts');
  });
});
