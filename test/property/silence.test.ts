import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Mac } from '../../src/wire/addresses.js';
import { Driver, frameOf, hostRoute, IPS, LAN0, LAN1, link, MACS, testPolicy } from './driver.js';

/** Silence is not the end, and slow is not silent (design.md 3.2). */

const VISITOR = IPS[4] as (typeof IPS)[0];
const [ONE, TWO] = MACS as unknown as readonly [Mac, Mac];

/** A visitor on LAN1 that answers after `delayMs` and says nothing by itself but one announcement. */
function visitor(delayMs = 0.4, policy = testPolicy()): Driver {
  const driver = new Driver(policy);
  driver.delays.set(ONE, delayMs);
  driver.boot();
  driver.setAnswering(VISITOR, ONE, LAN1, true);
  driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', ONE, VISITOR) });
  driver.advance(delayMs + 100);
  assert.equal(driver.router.host(VISITOR)?.claimed, true, driver.trace.join('\n'));
  return driver;
}

/** Runs on, in steps of a tenth of a second, and yields how long the visitor was without a claim, ms. */
function unclaimedFor(driver: Driver, ms: number): number {
  let unclaimed = 0;
  for (let at = 0; at < ms; at += 100) {
    driver.advance(100);
    if (driver.router.host(VISITOR)?.claimed !== true) unclaimed += 100;
  }
  return unclaimed;
}

describe('a host that pauses', () => {
  for (let startsMs = 0; startsMs < 5000; startsMs += 500) {
    it(`8 s without loss of carrier, ${startsMs} ms after it was heard: back within 2 s of the end`, () => {
      const driver = visitor();
      driver.advance(5000 + startsMs);
      driver.setAnswering(VISITOR, ONE, LAN1, false);
      driver.advance(8000);
      assert.equal(driver.router.host(VISITOR)?.state, 'remembered');
      driver.setAnswering(VISITOR, ONE, LAN1, true);
      driver.advance(2000);
      assert.equal(driver.router.host(VISITOR)?.claimed, true, driver.trace.join('\n'));
    });
  }

  it('an hour of silence costs few probes, and none when the host is forgotten', () => {
    const driver = visitor();
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(8000);
    const before = driver.trace.filter((line) => line.endsWith('> send')).length;
    driver.advance(3_600_000);
    const probes = driver.trace.filter((line) => line.endsWith('> send')).length - before;
    assert.ok(probes > 10 && probes <= 50, `${probes} probes`);
    assert.equal(driver.router.host(VISITOR), undefined, 'forgotten');
    assert.equal(driver.router.nextDeadline(), undefined);
  });

  it('a pause of five minutes: back within the interval of the policy', () => {
    const driver = visitor();
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(300_000);
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    driver.advance(66_100);
    assert.equal(driver.router.host(VISITOR)?.claimed, true, driver.trace.join('\n'));
  });

  it('a lost host that another router claims is not asked', () => {
    const driver = visitor();
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(8000);
    driver.handle({ kind: 'route', change: 'add', route: hostRoute(VISITOR), initial: false });
    driver.advance(1000);
    const before = driver.trace.filter((line) => line.endsWith('> send')).length;
    driver.advance(60_000);
    assert.equal(driver.trace.filter((line) => line.endsWith('> send')).length, before);
  });

  it('after a contest the challenger is asked when the incumbent is gone', () => {
    const driver = visitor();
    driver.advance(5000);
    driver.setAnswering(VISITOR, TWO, LAN0, true);
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', TWO, VISITOR) });
    driver.advance(2000);
    assert.ok(driver.router.host(VISITOR)?.isAt(LAN1, ONE), 'the incumbent keeps it');
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(9000);
    assert.ok(driver.router.host(VISITOR)?.isHeldAt(LAN0, TWO), driver.trace.join('\n'));
  });

  it('its interface is renamed: asked at once under the new name', () => {
    const driver = visitor();
    driver.advance(2000);
    driver.handle({ kind: 'link', link: link(LAN1, { name: 'lan77' }) });
    driver.advance(100);
    const host = driver.router.host(VISITOR);
    assert.equal(host?.claimed, true, driver.trace.join('\n'));
    assert.equal(host?.interface, 'lan77');
  });

  it('its interface gets a name that is not configured: it is let go', () => {
    const driver = visitor();
    driver.advance(2000);
    driver.handle({ kind: 'link', link: link(LAN1, { name: 'zz0' }) });
    driver.advance(60_000);
    assert.equal(driver.router.host(VISITOR)?.claimed ?? false, false);
  });
});

describe('a host that is slow', () => {
  for (const delayMs of [300, 600, 900, 1500, 3000, 6000]) {
    it(`answers after ${delayMs} ms: learned by its late answer, and routed for ten minutes`, () => {
      const driver = visitor(delayMs);
      assert.equal(unclaimedFor(driver, 600_000), 0, driver.trace.join('\n'));
    });
  }

  it('becomes slow: one late answer restores it, and it stays', () => {
    const driver = visitor();
    driver.advance(5000);
    driver.delays.set(ONE, 1500);
    assert.ok(unclaimedFor(driver, 10_000) <= 800, driver.trace.join('\n'));
    assert.equal(unclaimedFor(driver, 600_000), 0);
  });

  it('becomes fast again: its silence is noticed as soon as that of others', () => {
    const driver = visitor(1500);
    driver.delays.set(ONE, 1);
    driver.advance(300_000);
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(5000 + 800);
    assert.equal(driver.router.host(VISITOR)?.claimed, false, driver.trace.join('\n'));
  });

  it('has at most `hold` to answer', () => {
    const driver = visitor(9000, testPolicy({ holdMs: 10_000 }));
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    // One second until it is settled, five until the keepalive.
    driver.advance(1000 + 5000 + 10_100);
    assert.equal(driver.router.host(VISITOR)?.claimed, false, driver.trace.join('\n'));
  });

  it('a late answer restores nothing when another router has claimed the host meanwhile', () => {
    const driver = visitor();
    driver.advance(5000);
    driver.delays.set(ONE, 1500);
    driver.advance(6000);
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(60_000);
    assert.equal(driver.router.host(VISITOR)?.claimed, false);
    driver.handle({ kind: 'route', change: 'add', route: hostRoute(VISITOR), initial: false });
    driver.advance(10_000);
    assert.equal(driver.router.host(VISITOR)?.claimed, false);
  });

  it('the interface has its own patience', () => {
    const driver = visitor(0.4, testPolicy({ keepaliveTimeoutMs: 4000, holdMs: 60_000 }));
    driver.advance(5000);
    driver.delays.set(ONE, 3500);
    assert.equal(unclaimedFor(driver, 60_000), 0, driver.trace.join('\n'));
  });
});

it('a lost host that speaks while it is asked whether it is back is proven at once', () => {
  const driver = visitor();
  driver.advance(5000);
  driver.setAnswering(VISITOR, ONE, LAN1, false);
  while (driver.router.host(VISITOR)?.asking === false) driver.advance(10);
  driver.setAnswering(VISITOR, ONE, LAN1, true);
  driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf('gratuitous', ONE, VISITOR) });
  driver.advance(2);
  assert.equal(driver.router.host(VISITOR)?.claimed, true, driver.trace.join('\n'));
});

for (const kind of ['gratuitous', 'request', 'rarp'] as const) {
  it(`a host that arrives when the last probe after a link-up was sent is proven at once: ${kind}`, () => {
    const driver = visitor();
    driver.advance(5000);
    driver.setAnswering(VISITOR, ONE, LAN1, false);
    driver.advance(10_000);
    assert.equal(driver.router.host(VISITOR)?.state, 'remembered');
    driver.handle({ kind: 'link', link: link(LAN1, { carrier: false }) });
    driver.handle({ kind: 'link', link: link(LAN1) });
    driver.advance(400);
    assert.equal(driver.router.host(VISITOR)?.candidates[0]?.probe.sent, 3, driver.trace.join('\n'));
    driver.setAnswering(VISITOR, ONE, LAN1, true);
    driver.handle({ kind: 'frame', iface: LAN1, bytes: frameOf(kind, ONE, VISITOR) });
    driver.advance(2);
    assert.equal(driver.router.host(VISITOR)?.claimed, true, driver.trace.join('\n'));
  });
}

it('C5: a forger that shouts its announcement in both forms proves nothing', () => {
  const driver = visitor();
  driver.advance(5000);
  for (let times = 0; times < 5; times++) {
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous', TWO, VISITOR) });
    driver.handle({ kind: 'frame', iface: LAN0, bytes: frameOf('gratuitous-reply', TWO, VISITOR) });
    assert.ok(driver.router.host(VISITOR)?.isHeldAt(LAN1, ONE), driver.trace.join('\n'));
    driver.advance(1000);
  }
});
