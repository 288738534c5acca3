import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import type { Action, Link } from '../../../src/mobility/events.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { type Ipv6, groupMac, parseIp } from '../../../src/wire/addresses.js';
import { encodeMulticastRouterAdvertisement } from '../../../src/wire/mld.js';
import { LAN0, LAN1, link, macOf } from './small-router.js';

/** `multicast_router` of an interface (RFC 4286). */

const config = (keys: string) =>
  parseConfig(
    `[[interface]]\nname = "lan0"\n${keys}\n[[interface]]\nname = "lan1"\n[router]\nfamilies = ["ipv6"]\n`,
  ).policy;
const TOLD = 'multicast_router = true';

const lan0 = (change: Partial<Link> = {}) => link(LAN0, 'lan0', ['2001:db8:1::1/64', 'fe80::a1/64'], change);
const lan1 = link(LAN1, 'lan1', ['2001:db8:2::1/64', 'fe80::a2/64']);

function start(policy = config(TOLD)): HostTracker {
  const tracker = new HostTracker(policy);
  tracker.handle({ kind: 'link', link: lan1 }, 0);
  tracker.handle({ kind: 'link', link: lan0() }, 0);
  return tracker;
}

const sent = (actions: readonly Action[]) =>
  actions.flatMap((action) =>
    action.kind === 'send' && action.purpose === 'advertise'
      ? [{ iface: action.iface, bytes: action.bytes }]
      : [],
  );

const tick = (tracker: HostTracker, now: number) => sent(tracker.handle({ kind: 'tick' }, now));

describe('an interface of a multicast router', () => {
  const frame = {
    iface: LAN0,
    bytes: encodeMulticastRouterAdvertisement(macOf(LAN0), parseIp('fe80::a1') as Ipv6, 20),
  };

  it('is told at once and then every 20 s, on the interfaces that say so and on no other', () => {
    const tracker = start();
    assert.equal(tracker.nextDeadline(), 0);
    assert.deepEqual(tick(tracker, 0), [frame]);
    assert.equal(tracker.nextDeadline(), 20_000);
    assert.deepEqual(tick(tracker, 19_999), []);
    assert.deepEqual(tick(tracker, 20_000), [frame]);
    assert.equal(groupMac(parseIp('ff02::6a') as Ipv6), 0x33330000006a);
  });

  it('is told again when its link was down: another switch may be there', () => {
    const tracker = start();
    tick(tracker, 0);
    tracker.handle({ kind: 'link', link: lan0({ carrier: false }) }, 1000);
    assert.equal(tracker.nextDeadline(), undefined);
    tracker.handle({ kind: 'link', link: lan0() }, 2000);
    assert.equal(tracker.nextDeadline(), 2000);
    assert.deepEqual(tick(tracker, 2000), [frame]);
    tracker.handle({ kind: 'link-gone', iface: LAN0 }, 3000);
    assert.equal(tracker.nextDeadline(), undefined);
  });

  it('is told as soon as it has a link-local address, however late that comes', () => {
    const tracker = new HostTracker(config(TOLD));
    tracker.handle({ kind: 'link', link: link(LAN0, 'lan0', ['2001:db8:1::1/64']) }, 0);
    assert.equal(tracker.nextDeadline(), undefined);
    tracker.handle({ kind: 'link', link: lan0() }, 1500);
    assert.equal(tracker.nextDeadline(), 1500);
    assert.deepEqual(tick(tracker, 1500), [frame]);
  });

  it('follows a reload', () => {
    const tracker = start(config(''));
    assert.equal(tracker.nextDeadline(), undefined);
    tracker.setPolicy(config(TOLD), 5000);
    assert.deepEqual(tick(tracker, 5000), [frame]);
    tracker.setPolicy(config(''), 6000);
    assert.equal(tracker.nextDeadline(), undefined);
  });

  it('says nothing while IPv6 is off, disabled on the interface, or without a link-local address', () => {
    // As after a reload: families change with a restart only.
    assert.deepEqual(tick(start({ ...config(TOLD), families: ['ipv4'] }), 0), []);
    for (const other of [lan0({ hasIpv6: false }), link(LAN0, 'lan0', ['2001:db8:1::1/64'])]) {
      const tracker = new HostTracker(config(TOLD));
      tracker.handle({ kind: 'link', link: other }, 0);
      assert.deepEqual(tick(tracker, 0), []);
    }
  });

  it('goes on in a recording that begins in the middle', () => {
    const tracker = start();
    tick(tracker, 0);
    const other = new HostTracker(config(TOLD));
    const { events, known } = tracker.seed();
    for (const event of events) other.handle(event, 5000);
    other.restore(known);
    assert.equal(other.nextDeadline(), 20_000);
  });
});
