import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Crowd } from './crowd.js';
import { LAN0, LAN1, hostRoute, link } from './driver.js';

/** Silence while frames are missed proves nothing (design.md 3.2). */

const NEVER = Number.POSITIVE_INFINITY;

/** Quiet visitors on LAN0, and on LAN1 as many, that answer within a millisecond. */
function quietVisitors(count: number): Crowd {
  const crowd = new Crowd();
  crowd.delayOf = () => 1;
  for (let n = 0; n < count; n++) {
    crowd.says(n, LAN0);
    crowd.says(1000 + n, LAN1);
  }
  crowd.advance(3000);
  assert.equal(crowd.claimed, 2 * count);
  return crowd;
}

/** Frames of LAN0 are lost for so long; every 400 ms the capture says so. */
function overload(crowd: Crowd, ms: number): void {
  for (let at = 0; at < ms; at += 400) {
    crowd.take({ kind: 'missed', iface: LAN0 });
    crowd.advance(400);
  }
}

/** This process stands still: nothing is handled and no deadline is kept. */
function stall(crowd: Crowd, ms: number): void {
  crowd.router.nextDeadline();
  crowd.now += ms;
}

function held(crowd: Crowd, from: number, count: number): number {
  let found = 0;
  for (let n = from; n < from + count; n++) if (crowd.router.host(Crowd.ip(n))?.held === true) found++;
  return found;
}

describe('overload withdraws nobody', () => {
  it('quiet hosts whose answers drown for a minute are kept, and lost hosts are noticed when it is over', () => {
    const crowd = quietVisitors(12);
    crowd.delayOf = ({ iface }) => (iface === LAN0 ? NEVER : 1);
    let withdrawn = 0;
    for (let at = 0; at < 60_000; at += 400) {
      overload(crowd, 400);
      withdrawn = Math.max(withdrawn, 12 - held(crowd, 0, 12));
    }
    assert.equal(withdrawn, 0);
    crowd.delayOf = ({ ip }) => (ip === Crowd.ip(0) ? NEVER : 1);
    crowd.advance(400 + 5000 + 800);
    assert.equal(held(crowd, 0, 1), 0, 'the one that is gone');
    assert.equal(held(crowd, 1, 11), 11);
  });

  it('meanwhile they are asked no more often than in quiet times', () => {
    const crowd = quietVisitors(12);
    let asked = 0;
    crowd.delayOf = ({ iface }) => {
      if (iface === LAN0) asked++;
      return iface === LAN0 ? NEVER : 1;
    };
    overload(crowd, 60_000);
    assert.ok(asked <= 12 * 3 * 12, `${asked} questions in a minute`);
  });

  it('silence on another interface means what it always means', () => {
    const crowd = quietVisitors(12);
    crowd.delayOf = () => NEVER;
    overload(crowd, 10_000);
    assert.equal(held(crowd, 0, 12), 12);
    assert.equal(held(crowd, 1000, 12), 0);
  });

  it('who is proven elsewhere moves, whom another router claims is let go, a lost link withdraws', () => {
    const crowd = quietVisitors(3);
    const [moved, claimed] = [Crowd.ip(0), Crowd.ip(1)];
    crowd.delayOf = ({ ip, iface }) => (ip === moved && iface === LAN1 ? 1 : NEVER);
    overload(crowd, 2000);
    crowd.says(0, LAN1);
    overload(crowd, 400);
    assert.ok(crowd.router.host(moved)?.isHeldAt(LAN1, Crowd.mac(0)));
    crowd.take({ kind: 'route', change: 'add', route: hostRoute(claimed), initial: false });
    overload(crowd, 400);
    assert.equal(crowd.router.host(claimed)?.held, false);
    crowd.take({ kind: 'link', link: link(LAN0, { carrier: false }) });
    assert.equal(held(crowd, 2, 1), 0);
  });

  it('a host that a hypervisor attached has its time after the overload', () => {
    const crowd = new Crowd();
    crowd.delayOf = () => NEVER;
    const attach = { name: 'attach', mac: Crowd.mac(5), ips: [Crowd.ip(5)], interface: 'lan0' } as const;
    crowd.take({ kind: 'command', token: 1, command: attach });
    overload(crowd, 20_000);
    assert.equal(held(crowd, 5, 1), 1);
    crowd.delayOf = () => 1;
    crowd.advance(30_000);
    assert.equal(held(crowd, 5, 1), 1);
  });
});

describe('a stall of our own withdraws nobody', () => {
  for (const ms of [700, 2000, 20_000, 600_000])
    it(`${ms} ms at any moment of a keepalive: all are asked, and who is gone is noticed`, () => {
      for (const offset of [0, 4000, 4990, 5001, 5300, 5600, 5740]) {
        const crowd = quietVisitors(30);
        crowd.advance(2000 + offset);
        stall(crowd, ms);
        crowd.delayOf = ({ ip }) => (ip === Crowd.ip(0) ? NEVER : 1);
        for (let at = 0; at < 2000; at += 50) {
          crowd.advance(50);
          assert.equal(held(crowd, 1, 29) + held(crowd, 1000, 30), 59, `${offset} + ${at}`);
        }
        crowd.advance(6000);
        assert.equal(held(crowd, 0, 1), 0, 'the one that is gone');
      }
    });

  it('a question whose answer came meanwhile is asked anew: at the old place, under a remote claim, after a link-up', () => {
    const crowd = quietVisitors(3);
    crowd.take({ kind: 'route', change: 'add', route: hostRoute(Crowd.ip(0)), initial: false });
    stall(crowd, 20_000);
    crowd.advance(300);
    assert.equal(crowd.router.host(Crowd.ip(0))?.held, true, 'contested: it is alive here');
  });

  it('nor does it make a host slow whose answer waited meanwhile', () => {
    const crowd = quietVisitors(3);
    let asked = 0;
    crowd.delayOf = () => {
      asked++;
      return 1;
    };
    while (asked === 0) crowd.advance(1);
    stall(crowd, 1800);
    crowd.advance(100);
    for (let n = 0; n < 3; n++) {
      const host = crowd.router.host(Crowd.ip(n));
      assert.equal(host?.slowestMs, undefined);
      assert.ok((host?.rttMs ?? 0) < 100, `${host?.rttMs} ms`);
    }
  });

  it('of the capture alone: as long as nothing is heard at all, nobody is given up', () => {
    const crowd = quietVisitors(12);
    crowd.delayOf = () => NEVER;
    let lost = 0;
    for (let at = 0; at < 20_000; at += 200) {
      crowd.take({ kind: 'missed', iface: undefined });
      crowd.advance(200);
      lost = Math.max(lost, 24 - crowd.claimed);
    }
    assert.equal(lost, 0);
    crowd.delayOf = () => 1;
    crowd.advance(10_000);
    assert.equal(crowd.claimed, 24);
  });

  for (const deadMs of [100, 600, 700, 3000])
    it(`nor does a capture that dies in the midst of a keepalive and is replaced ${deadMs} ms later`, () => {
      for (const offset of [0, 1, 100, 260, 510, 740]) {
        const crowd = quietVisitors(12);
        let asked = 0;
        crowd.delayOf = ({ iface }) => {
          if (iface === LAN0) asked++;
          return iface === LAN0 ? NEVER : 1;
        };
        while (asked < 12) crowd.advance(1);
        crowd.advance(offset);
        crowd.captures(false);
        let lost = 0;
        for (let at = 0; at < deadMs; at += 10) {
          crowd.advance(10);
          lost = Math.max(lost, 24 - crowd.claimed);
        }
        crowd.captures(true);
        crowd.delayOf = () => 1;
        crowd.advance(8000);
        assert.equal(lost, 0, `${offset} ms after the first try`);
        assert.equal(crowd.claimed, 24);
      }
    });

  it('is no storm: newcomers that were asked before it are not taken for forgers', () => {
    const crowd = new Crowd();
    crowd.delayOf = () => NEVER;
    for (let n = 0; n < 8000; n++) crowd.says(n);
    crowd.advance(30);
    stall(crowd, 20_000);
    crowd.delayOf = () => 1;
    for (let n = 8000; n < 8100; n++) crowd.says(n);
    crowd.advance(20_000);
    assert.equal(crowd.storms, 0);
    assert.ok(crowd.claimed >= 8100 - 4096, `${crowd.claimed}`);
  });
});
