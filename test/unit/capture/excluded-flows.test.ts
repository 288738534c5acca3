import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExcludedFlows } from '../../../src/capture/overload/excluded-flows.js';
import { misdirectedFilter } from '../../../src/capture/stale-neighbours.js';
import { type Mac, parseMac, writeMac } from '../../../src/wire/addresses.js';

const mac = (text: string) => parseMac(text) as Mac;
const GUEST = mac('02:00:00:00:00:01');
const OTHER = mac('02:00:00:00:00:02');
const STALE = mac('02:5a:1e:00:00:01');
const LOUD = 100;

function frame(source: Mac, destination: Mac): Uint8Array {
  const bytes = new Uint8Array(34);
  writeMac(bytes, 0, destination);
  writeMac(bytes, 6, source);
  return bytes;
}

/** Windows of a quarter of a second, in each of which `say` is called; what each of them changed. */
function windows(mutes: ExcludedFlows, count: number, say: () => void, from = 0): boolean[] {
  return Array.from({ length: count }, (_, i) => {
    say();
    return mutes.judge(from + i * 250);
  });
}

function repeat(mutes: ExcludedFlows, times: number, source: Mac, destination: (i: number) => Mac): void {
  for (let i = 0; i < times; i++) mutes.count(frame(source, destination(i)));
}

describe('who is left out of the watch for stale neighbours (at a bounded cost)', () => {
  it('a conversation that goes on and on, and nobody else', () => {
    const mutes = new ExcludedFlows();
    const say = () => {
      repeat(mutes, LOUD, GUEST, () => STALE);
      repeat(mutes, 5, OTHER, () => STALE);
    };
    assert.deepEqual(windows(mutes, 3, say), [false, false, true]);
    assert.deepEqual(mutes.muted, { pairs: [{ source: GUEST, destination: STALE }], sources: [] });
  });

  it('not one that ends when its neighbour is repaired', () => {
    const mutes = new ExcludedFlows();
    repeat(mutes, 10_000, GUEST, () => STALE);
    assert.deepEqual(
      windows(mutes, 4, () => undefined),
      [false, false, false, false],
    );
    assert.equal(mutes.quiet, true);
  });

  it('a source that sends everywhere is left out altogether', () => {
    const mutes = new ExcludedFlows();
    let next = 0;
    const say = () => repeat(mutes, 300, GUEST, () => (STALE + next++) as Mac);
    assert.deepEqual(windows(mutes, 3, say), [false, false, true]);
    assert.deepEqual(mutes.muted, { pairs: [], sources: [GUEST] });
  });

  it('only for five seconds', () => {
    const mutes = new ExcludedFlows();
    windows(mutes, 3, () => repeat(mutes, LOUD, GUEST, () => STALE));
    assert.equal(mutes.judge(5400), false);
    assert.equal(mutes.quiet, false);
    assert.equal(mutes.judge(5501), true);
    assert.deepEqual(mutes.muted, { pairs: [], sources: [] });
    assert.equal(mutes.quiet, true);
  });

  it('however many there are, the filter fits into an order to the child', () => {
    const mutes = new ExcludedFlows();
    const say = () => {
      for (let i = 1; i < 200; i++) {
        repeat(mutes, LOUD, (GUEST + i) as Mac, (n) => (STALE + 10 * i + (n % 2)) as Mac);
        repeat(mutes, LOUD, (GUEST + i) as Mac, (n) => (STALE + 10_000 + n) as Mac);
      }
    };
    windows(mutes, 3, say);
    const { pairs, sources } = mutes.muted;
    assert.ok(pairs.length > 0 && sources.length > 0);
    const few = new Map(Array.from({ length: 48 }, (_, i) => [(GUEST + i) as Mac, 1]));
    const many = new Map(Array.from({ length: 49 }, (_, i) => [(GUEST + i) as Mac, 1]));
    for (const visitors of [few, many]) {
      const filter = misdirectedFilter(OTHER, visitors, mutes.muted) as string;
      assert.ok(9 + 16 + filter.length <= 2048, `${filter.length} characters`);
    }
  });

  it('pcap-filter(7): muted pairs are excluded, muted sources no longer named; when none is left there is no filter', () => {
    const third = mac('02:00:00:00:00:09');
    const two = new Map([
      [GUEST, 1],
      [third, 1],
    ]);
    const pairs = [{ source: GUEST, destination: STALE }];
    assert.equal(
      misdirectedFilter(OTHER, two, { pairs, sources: [third] }),
      'ip and not ether multicast and not ether dst 02:00:00:00:00:02 and not ether src 02:00:00:00:00:02' +
        ' and not (ether src 02:00:00:00:00:01 and ether dst 02:5a:1e:00:00:01)' +
        ' and (ether src 02:00:00:00:00:01)',
    );
    assert.equal(misdirectedFilter(OTHER, two, { pairs, sources: [GUEST, third] }), undefined);
  });
});
