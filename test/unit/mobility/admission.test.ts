import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CREDIT,
  MOST_CREDIT,
  STORM_CREDIT,
  STORM_MS,
  STORM_SILENT,
  STORM_WAIT_MS,
} from '../../../src/mobility/admission/constants.js';
import { Limits } from '../../../src/mobility/admission/limits.js';
import { AdmissionWindow } from '../../../src/mobility/admission/window.js';

const LIMITS = {
  hosts: 1000,
  addressesPerMac: { ipv4: 4, ipv6: 4 },
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

  proofs(count: number, now = 0): void {
    for (let i = 0; i < count; i++) this.at(now).noteProof();
  }

  silences(count: number, now = 0): void {
    for (let i = 0; i < count; i++) this.at(now).noteSilence();
  }

  credit(now: number): number {
    return this.at(now).credit(now);
  }

  /** One newcomer more than can be probed, the first of whom has waited. */
  overflow(now: number, waitedMs = STORM_WAIT_MS): boolean {
    return this.at(now).onOverflow(waitedMs, now);
  }
}

describe('credit for newcomers that have not answered', () => {
  it('is a first number, and as many as have answered in the last one to two seconds', () => {
    const lan = new Lan();
    assert.equal(lan.credit(0), CREDIT);
    lan.proofs(500);
    assert.equal(lan.credit(100), CREDIT + 500);
    assert.equal(lan.credit(1100), CREDIT + 500);
    assert.equal(lan.credit(3200), CREDIT, 'long ago');
  });

  it('is little in a storm, and for who answers as much as ever', () => {
    const lan = new Lan();
    lan.silences(1000);
    assert.ok(lan.overflow(0));
    assert.equal(lan.credit(10), STORM_CREDIT);
    lan.proofs(300, 10);
    assert.equal(lan.credit(20), STORM_CREDIT + 300);
    assert.equal(lan.credit(STORM_MS), CREDIT + 300, 'the storm is over');
  });

  it('is never more than its limit', () => {
    const lan = new Lan();
    lan.proofs(40_000);
    assert.equal(lan.credit(100), MOST_CREDIT);
  });

  it('is of each interface by its name, and not remembered of a thousand that are long gone', () => {
    const limits = new Limits(LIMITS);
    limits.newcomersOf('lan0', 0).noteProof();
    assert.equal(limits.newcomersOf('lan0', 10).credit(10), CREDIT + 1);
    assert.equal(limits.newcomersOf('lan1', 10).credit(10), CREDIT);
    for (let i = 0; i < 5000; i++) limits.newcomersOf(`tap${i}`, 11_000 * i);
    const { newcomers } = limits as unknown as { readonly newcomers: ReadonlyMap<string, unknown> };
    assert.ok(newcomers.size <= 1000, `${newcomers.size}`);
  });
});

describe('newcomers that have to wait', () => {
  it('are not a storm as long as few were silent, however late they answer', () => {
    const lan = new Lan();
    lan.silences(STORM_SILENT - 1);
    assert.equal(lan.overflow(10), false);
    lan.silences(1);
    assert.equal(lan.overflow(10), true);
  });

  it('are not a storm beside more that answer than are silent', () => {
    const lan = new Lan();
    lan.proofs(301);
    lan.silences(300);
    assert.equal(lan.overflow(10), false);
    lan.silences(1);
    assert.equal(lan.overflow(10), true);
  });

  it('are not a storm before those that came with them could have answered: others were silent before', () => {
    const lan = new Lan();
    lan.silences(600);
    assert.equal(lan.overflow(10, STORM_WAIT_MS - 1), false);
    assert.equal(lan.overflow(20, STORM_WAIT_MS), true);
    assert.equal(lan.overflow(30, 0), true, 'it goes on');
  });

  it('are a storm for a second after the last sign of it', () => {
    const lan = new Lan();
    lan.silences(600);
    assert.equal(lan.overflow(0), true);
    assert.equal(lan.overflow(900, 0), true);
    assert.equal(lan.at(1800).inStorm(1800), true);
    assert.equal(lan.at(1900).inStorm(1900), false);
    assert.equal(lan.overflow(3000), false, 'nobody was silent lately');
  });
});
