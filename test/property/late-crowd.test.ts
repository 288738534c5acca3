import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mulberry32 } from '../random.js';
import { Crowd } from './crowd.js';
import { LAN0 } from './driver.js';

/** A crowd that answers late is learned in the end, from one word of each (docs/overload.md, "Storms"). */

const MANY = process.env.MARPD_SOAK === '1' ? 50_000 : 24_000;

/** As many newcomers in `overMs`, each of which answers each question after a time of its own. */
function crowdOf(count: number, overMs: number, answerMs: (n: number) => number, interfaces = ''): Crowd {
  const crowd = new Crowd('', interfaces);
  const delays = new Map<number, number>();
  for (let n = 0; n < count; n++) delays.set(Crowd.ip(n), answerMs(n));
  crowd.delayOf = ({ ip }) => delays.get(ip) ?? Number.POSITIVE_INFINITY;
  for (let n = 0; n < count; n++) {
    crowd.says(n);
    if (n % 100 === 0) crowd.advance((overMs * 100) / count);
  }
  for (let s = 0; s < 60 && crowd.claimed < count; s++) crowd.advance(1000);
  return crowd;
}

const CROWDS: readonly (readonly [
  what: string,
  answerMs: (random: () => number) => (n: number) => number,
])[] = [
  ['50 to 600 ms', (random) => () => 50 + random() * 550],
  ['all 600 ms', () => () => 600],
  ['all a second', () => () => 1000],
  ['the later the more have spoken before: a machine that is starved', () => (n) => 50 + (n / MANY) * 900],
];

describe('newcomers whose answers come late are all learned', () => {
  for (const [what, answerMs] of CROWDS) {
    // Faster than hosts can be asked, for long enough that those who wait look like a storm.
    const overMs = MANY / 15;
    it(`${MANY} within ${overMs} ms, late by ${what}`, () => {
      const crowd = crowdOf(MANY, overMs, answerMs(mulberry32(overMs)));
      assert.equal(crowd.claimed, MANY);
      assert.equal(crowd.storms, 0);
      assert.equal(crowd.dropped('newcomer-budget'), 0);
    });
  }

  it('also where they are claimed first and asked later', () => {
    const after = '[[interface]]\nname = "lan0"\nprove = "after"\n';
    const crowd = crowdOf(MANY, 300, () => 600, after);
    assert.equal(crowd.claimed, MANY);
  });

  it('beside as many forgers as are silent anyway', () => {
    const crowd = crowdOf(MANY, 3000, (n) => (n % 5 === 0 ? Number.POSITIVE_INFINITY : 300));
    assert.equal(crowd.claimed, MANY - MANY / 5);
  });

  it('forgers without number are a storm after a second and a half all the same', () => {
    const crowd = new Crowd();
    crowd.delayOf = () => Number.POSITIVE_INFINITY;
    for (let n = 0; crowd.storms === 0 && n < 300_000; n += 100) {
      for (let i = 0; i < 100; i++) crowd.says(n + i, LAN0);
      crowd.advance(1);
    }
    assert.equal(crowd.storms, 1);
    assert.ok(crowd.now < 1000 + 2100, `after ${crowd.now - 1000} ms`);
  });
});
