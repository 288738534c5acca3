import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Limits } from '../../../src/mobility/admission/limits.js';
import { AdmissionWindow } from '../../../src/mobility/admission/window.js';

const LIMITS = {
  hosts: 1000,
  addressesPerMac: 4,
  newcomerBurst: 100_000,
  newcomersPerSecond: 20_000,
  probesPerSecond: 20_000,
  remembered: 1000,
  rarpLookupCandidates: 8,
};

class Lan {
  readonly newcomers = new AdmissionWindow(LIMITS);

  at(now: number): AdmissionWindow {
    this.newcomers.roll(now);
    return this.newcomers;
  }

  proofs(count: number, now = 0, rttMs = 30): void {
    for (let i = 0; i < count; i++) this.at(now).noteProof(rttMs);
  }

  silences(count: number, now = 0): void {
    for (let i = 0; i < count; i++) this.at(now).noteSilence();
  }

  /** So many beyond the credit, the first of whom has waited. Returns for how long the next are refused, each time. */
  crowd(times: number, now: number, waitedMs = 600): number[] {
    return Array.from({ length: times }, () => this.at(now).crowd(1, waitedMs, now)).filter((ms) => ms > 0);
  }

  refuse(times: number, now: number): number[] {
    return Array.from({ length: times }, () => this.at(now).refuse(now)).filter((ms) => ms > 0);
  }
}

describe('credit for newcomers that have not answered', () => {
  it('is a first number, and as many as have answered in the last one to two seconds', () => {
    const lan = new Lan();
    assert.equal(lan.at(0).credit, 4096);
    lan.proofs(500);
    assert.equal(lan.at(100).credit, 4596);
    assert.equal(lan.at(1100).credit, 4596);
    assert.equal(lan.at(3200).credit, 4096, 'long ago');
  });

  it('shrinks with each storm, not below 256, and returns when they are long gone', () => {
    const lan = new Lan();
    lan.silences(1000);
    lan.crowd(256, 0);
    assert.equal(lan.at(10).credit, 3296);
    for (let now = 60; now < 660; now += 60) lan.crowd(256, now);
    assert.equal(lan.at(700).credit, 256);
    lan.proofs(300, 700);
    assert.equal(lan.at(800).credit, 556, 'those who answer are served in a storm as well');
    assert.equal(lan.at(3400).credit, 4096);
  });

  it('does not shrink when so few are too many that it is no storm', () => {
    const lan = new Lan();
    lan.silences(256);
    for (let now = 0; now < 1000; now += 60) assert.deepEqual(lan.crowd(255, now), []);
    assert.equal(lan.at(1000).credit, 4096);
  });

  it('is never more than 32,768, which is all there is for one that is known from elsewhere', () => {
    const lan = new Lan();
    lan.proofs(40_000);
    assert.equal(lan.at(100).credit, 32_768);
    assert.equal(lan.at(100).mostCredit, 32_768);
  });

  it('is of each interface by its name, and not remembered of a thousand that are long gone', () => {
    const limits = new Limits(LIMITS);
    limits.newcomersOf('lan0', 0).noteProof(1);
    assert.equal(limits.newcomersOf('lan0', 10).credit, 4097);
    assert.equal(limits.newcomersOf('lan1', 10).credit, 4096);
    for (let i = 0; i < 5000; i++) limits.newcomersOf(`tap${i}`, 11_000 * i);
    const { newcomers } = limits as unknown as { readonly newcomers: ReadonlyMap<string, unknown> };
    assert.ok(newcomers.size <= 1000, `${newcomers.size}`);
  });
});

describe('newcomers that were asked once', () => {
  it('are fewer at a time when answers take long, and more when they come at once, or after a rest', () => {
    const lan = new Lan();
    assert.equal(lan.at(0).once, 512);
    lan.proofs(100, 0, 10);
    assert.equal(lan.at(0).once, 512, 'no more than that');
    lan.proofs(100, 0, 60);
    assert.equal(lan.at(0).once, 412);
    lan.proofs(100, 0, 30);
    assert.equal(lan.at(0).once, 412, 'neither late nor prompt');
    lan.proofs(50, 0, 10);
    assert.equal(lan.at(0).once, 462);
    lan.proofs(1000, 0, 60);
    assert.equal(lan.at(0).once, 200, 'no less than that');
    assert.equal(lan.at(1500).once, 200);
    assert.equal(lan.at(4000).once, 512);
  });
});

describe('newcomers beyond the credit that wait', () => {
  it('are no storm as long as few were silent, however late they answer', () => {
    const lan = new Lan();
    lan.silences(255);
    assert.deepEqual(lan.crowd(10_000, 10), []);
  });

  it('are no storm beside more that answer than are silent', () => {
    const lan = new Lan();
    lan.proofs(301);
    lan.silences(300);
    assert.deepEqual(lan.crowd(1000, 10), []);
    lan.silences(1);
    assert.deepEqual(lan.crowd(1000, 70), [50]);
  });

  it('are no first storm before those that came with them could have answered: others were silent before', () => {
    const lan = new Lan();
    lan.silences(600);
    assert.deepEqual(lan.crowd(10_000, 10, 499), []);
    assert.deepEqual(lan.crowd(256, 70, 500), [50]);
    assert.deepEqual(lan.crowd(256, 130, 0), [50], 'it goes on');
  });

  it('are a storm when there are 256 within 50 ms, which is said once per window', () => {
    const lan = new Lan();
    lan.silences(256);
    assert.deepEqual(lan.crowd(255, 0), []);
    assert.deepEqual(lan.crowd(255, 60), [], 'another window');
    assert.deepEqual(lan.crowd(1, 100), [50]);
    assert.deepEqual(lan.crowd(1000, 105), []);
    assert.deepEqual(lan.crowd(1000, 120), [50]);
    assert.deepEqual(lan.crowd(1000, 180), [50]);
    assert.deepEqual(lan.crowd(1000, 240), [50]);
    assert.deepEqual(lan.crowd(1000, 300), [200], 'it lasts');
  });

  it('are a storm when they come slowly and 4,096 wait', () => {
    const lan = new Lan();
    lan.silences(256);
    const storms: number[] = [];
    for (let n = 1; n <= 4096; n++) if (lan.at(n / 10).crowd(n, 600, n) > 0) storms.push(n);
    assert.deepEqual(storms, [4096]);
  });
});

describe('newcomers that are refused', () => {
  it('are a storm when there are 256 within 50 ms, unless as many have answered', () => {
    const lan = new Lan();
    assert.deepEqual(lan.refuse(255, 0), []);
    assert.deepEqual(lan.refuse(255, 60), []);
    assert.deepEqual(lan.refuse(1000, 120), [50]);
    lan.proofs(256, 120);
    assert.deepEqual(lan.refuse(1000, 180), []);
  });
});
