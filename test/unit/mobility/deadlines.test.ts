import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Deadlines, type Due } from '../../../src/mobility/deadlines.js';

interface Owner extends Due {
  readonly name: number;
}

function owner(name: number): Owner {
  return { name, due: Number.POSITIVE_INFINITY };
}

describe('deadlines', () => {
  it('are taken in order of time and only when they are due', () => {
    const deadlines = new Deadlines<Owner>();
    const [late, soon] = [owner(1), owner(2)];
    deadlines.schedule(late, 30);
    deadlines.schedule(soon, 10);
    assert.equal(deadlines.next(), 10);
    assert.equal(deadlines.takeDue(9), undefined);
    assert.equal(deadlines.takeDue(10), soon);
    assert.equal(soon.due, Number.POSITIVE_INFINITY);
    assert.equal(deadlines.takeDue(10), undefined);
    assert.equal(deadlines.next(), 30);
  });

  it('are moved to earlier, to later and away', () => {
    const deadlines = new Deadlines<Owner>();
    const one = owner(1);
    for (const at of [50, 20, 80]) deadlines.schedule(one, at);
    assert.equal(deadlines.next(), 80);
    assert.equal(deadlines.takeDue(79), undefined);
    deadlines.schedule(one, Number.POSITIVE_INFINITY);
    assert.equal(deadlines.next(), undefined);
    assert.equal(deadlines.size, 0);
  });

  it('an entry that was left behind by an earlier deadline does not come up twice', () => {
    const deadlines = new Deadlines<Owner>();
    const one = owner(1);
    for (const at of [50, 20, 50]) deadlines.schedule(one, at);
    assert.equal(deadlines.takeDue(100), one);
    assert.equal(deadlines.takeDue(100), undefined);
  });

  it('agree with a sorted list, whatever is scheduled and taken', () => {
    const move = fc.oneof(
      fc.record({
        name: fc.nat({ max: 9 }),
        at: fc.oneof(fc.nat({ max: 50 }), fc.constant(Number.POSITIVE_INFINITY)),
      }),
      fc.nat({ max: 60 }),
    );
    fc.assert(
      fc.property(fc.array(move, { maxLength: 100, size: 'max' }), (moves) => {
        const deadlines = new Deadlines<Owner>();
        const owners = Array.from({ length: 10 }, (_, name) => owner(name));
        const model = new Map<number, number>();
        for (const one of moves) {
          if (typeof one === 'number') {
            const due = [...model].filter(([, at]) => at <= one).map(([, at]) => at);
            const taken = deadlines.takeDue(one);
            if (due.length === 0) assert.equal(taken, undefined);
            else {
              assert.ok(taken !== undefined);
              assert.equal(model.get(taken.name), Math.min(...due));
              model.delete(taken.name);
            }
          } else {
            deadlines.schedule(owners[one.name] as Owner, one.at);
            if (one.at === Number.POSITIVE_INFINITY) model.delete(one.name);
            else model.set(one.name, one.at);
          }
          assert.equal(deadlines.next(), model.size === 0 ? undefined : Math.min(...model.values()));
        }
      }),
      { numRuns: 500 },
    );
  });
});
