import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action } from '../../src/mobility/events.js';
import type { Mac } from '../../src/wire/addresses.js';
import { Driver, frameOf, hostRoute, IPS, LAN1, link, MACS, testPolicy } from './driver.js';

const VISITOR = IPS[4] as (typeof IPS)[0];
const ONE = MACS[0] as Mac;

/** A router whose claim the kernel deleted 5 ms after a remote one appeared, which is gone since `ms` 0. */
class Suspicion {
  /** What was done to the route of the repair, and when. */
  readonly repairs: { readonly ms: number; readonly present: boolean }[] = [];
  private readonly driver = new Driver(testPolicy());
  private readonly start: number;

  constructor() {
    const { driver } = this;
    driver.boot();
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', ONE, VISITOR) });
    driver.advance(5000);
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    this.start = driver.now + 10;
    this.remote('add');
    driver.now += 5;
    driver.handle({ kind: 'link', link: link(LAN1, { up: false }) });
    driver.now += 5;
    this.remote('delete');
  }

  get withdrawableAt(): number {
    return this.driver.router.withdrawableAt() - this.start;
  }

  remote(change: 'add' | 'delete'): void {
    this.note(this.driver.handle({ kind: 'route', change, route: hostRoute(VISITOR), initial: false }));
  }

  /** Until so many ms after the remote claim was gone for the first time. */
  until(ms: number): void {
    const { driver } = this;
    while (driver.now < this.start + ms) {
      driver.now += 1;
      if ((driver.router.nextDeadline() ?? Number.POSITIVE_INFINITY) <= driver.now)
        this.note(driver.handle({ kind: 'tick' }));
    }
  }

  private note(actions: readonly Action[]): void {
    const ms = this.driver.now - this.start;
    for (const action of actions)
      if (action.kind === 'stuck-route-repair') this.repairs.push({ ms, present: action.present });
  }
}

describe('the repair of a stuck route (design.md 3.3, the 20 ms rule)', () => {
  const ADDED = { ms: 0, present: true };
  const DELETED = { ms: 50, present: false };

  it('adds a route when no other router claims the address any more, and deletes it 50 ms later', () => {
    const one = new Suspicion();
    one.until(500);
    assert.deepEqual(one.repairs, [ADDED, DELETED]);
  });

  it('lasts until a remote claim that comes and goes stays away, or stays', () => {
    for (const last of ['add', 'delete'] as const) {
      const one = new Suspicion();
      for (let ms = 0; ms < 80; ms += 4) {
        one.until(ms + 2);
        one.remote('add');
        one.until(ms + 4);
        if (ms < 76 || last === 'delete') one.remote('delete');
      }
      one.until(500);
      assert.deepEqual(one.repairs, [ADDED, { ms: 98, present: false }]);
    }
  });

  it('does not leave its route behind when a remote claim appears and stays', () => {
    const one = new Suspicion();
    one.until(30);
    one.remote('add');
    one.until(500);
    assert.deepEqual(one.repairs, [ADDED, DELETED]);
  });

  it('does not delete its route within 20 ms of a remote claim that appeared meanwhile', () => {
    const one = new Suspicion();
    one.until(45);
    one.remote('add');
    one.until(500);
    assert.deepEqual(one.repairs, [ADDED, { ms: 65, present: false }]);
  });

  it('holds back a planned stop as a claim does', () => {
    const one = new Suspicion();
    one.until(45);
    one.remote('add');
    assert.equal(one.withdrawableAt, 65);
    one.until(100);
    assert.ok(one.withdrawableAt < 100);
  });

  it('is made again when a remote claim appeared within 20 ms of its end', () => {
    const one = new Suspicion();
    one.until(69);
    one.remote('add');
    one.until(200);
    one.remote('delete');
    one.until(500);
    assert.deepEqual(one.repairs, [ADDED, DELETED, { ms: 225, present: true }, { ms: 275, present: false }]);
  });

  it('is not made again for a remote claim that appears later, as that of a repair at another router', () => {
    const one = new Suspicion();
    one.until(50 + 25);
    one.remote('add');
    one.until(50 + 25 + 50);
    one.remote('delete');
    one.until(500);
    assert.deepEqual(one.repairs, [ADDED, DELETED]);
  });
});
