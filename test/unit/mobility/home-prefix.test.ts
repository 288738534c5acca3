import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import type { Action } from '../../../src/mobility/events.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { type Ipv6, type Mac, formatIp, groupMac, parseIp } from '../../../src/wire/addresses.js';
import { ALL_NODES } from '../../../src/wire/mld.js';
import { decodeNd, encodeAdvertisement, encodeRouterSolicitation } from '../../../src/wire/nd.js';
import { HOST_MAC, LAN0, LAN1, link, macOf } from './small-router.js';

/** `[[subnet]] advertise` (RFC 5213 section 6.7, RFC 8273). */

const ip6 = (text: string) => parseIp(text) as Ipv6;
const HOME = '2001:db8:1::5';
const MINUTE = 60_000;

const config = (keys = 'advertise = true') =>
  parseConfig(`
    [[interface]]
    name = "lan*"
    prove = "never"
    keepalive = "1h"
    [router]
    families = ["ipv6"]
    [[subnet]]
    prefix = "2001:db8:1::/64"
    gateway = "fe80::1"
    ${keys}
    [[subnet]]
    prefix = "2001:db8:2::/64"
    gateway = "fe80::1"
  `).policy;

/** lan0 is the home of 2001:db8:1::/64, lan1 a foreign LAN to it. */
function start(policy = config()): HostTracker {
  const tracker = new HostTracker(policy);
  for (const one of [
    link(LAN0, 'lan0', ['2001:db8:1::1/64', 'fe80::1/64', 'fe80::a1/64']),
    link(LAN1, 'lan1', ['2001:db8:2::1/64', 'fe80::1/64', 'fe80::a2/64']),
  ])
    tracker.handle({ kind: 'link', link: one }, 0);
  for (const iface of [LAN0, LAN1]) tracker.handle({ kind: 'capture', iface, open: true }, 0);
  return tracker;
}

const advertisements = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'send' && action.purpose === 'advertise' ? [action] : []));

/** The host says by an unsolicited advertisement that it is there; what is due at once is done. */
function arrives(tracker: HostTracker, iface: number, now: number, address = HOME, mac: Mac = HOST_MAC) {
  const bytes = encodeAdvertisement({
    source: mac,
    destination: groupMac(ALL_NODES),
    sourceIp: ip6(address),
    destinationIp: ALL_NODES,
    targetIp: ip6(address),
    linkLayerAddress: mac,
    isRouter: false,
    isSolicited: false,
    isOverride: true,
  });
  return [...tracker.handle({ kind: 'frame', iface, bytes }, now), ...tracker.handle({ kind: 'tick' }, now)];
}

function decodeDestination(bytes: Uint8Array): string {
  const frame = decodeNd(bytes);
  return typeof frame === 'string' ? frame : formatIp(frame.destinationIp);
}

/** How many prefixes an advertisement names. */
const prefixes = (bytes: Uint8Array | undefined) => (bytes ? (bytes.length - 54 - 16 - 8) / 32 : 0);

/** Words of 32 bits of the frame, from an offset in the ICMPv6 message on. */
const word = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer).getUint32(54 + at);

describe('the home prefix of a visitor', () => {
  it('names the prefix of the LAN once, however many addresses the router has in it', () => {
    const tracker = start();
    const addresses = ['2001:db8:2::9/64', '2001:db8:2::1/64', 'fe80::1/64', 'fe80::a2/64'];
    tracker.handle({ kind: 'link', link: link(LAN1, 'lan1', addresses) }, 0);
    const [sent] = advertisements(arrives(tracker, LAN1, 1000));
    assert.equal(prefixes(sent?.bytes), 2);
  });

  it('is advertised to it alone when it arrives, by the shared gateway; that of the LAN is deprecated', () => {
    const [sent, ...more] = advertisements(arrives(start(), LAN1, 1000));
    assert.ok(sent !== undefined && more.length === 0);
    assert.equal(sent.iface, LAN1);
    const frame = decodeNd(sent.bytes);
    assert.ok(typeof frame !== 'string', String(frame));
    assert.deepEqual(frame, {
      type: 134,
      source: macOf(LAN1),
      destination: HOST_MAC,
      sourceIp: ip6('fe80::1'),
      destinationIp: ip6(HOME),
      linkLayerAddress: macOf(LAN1),
    });
    // Hop limit and flags 0, a default router for 5400 s.
    assert.equal(word(sent.bytes, 4), 5400);
    const [home, foreign] = [24, 56];
    assert.equal(word(sent.bytes, home), 0x03_04_40_c0, 'prefix /64 with L and A');
    assert.deepEqual([word(sent.bytes, home + 4), word(sent.bytes, home + 8)], [86_400, 14_400]);
    assert.equal(word(sent.bytes, home + 16 + 4), 0x0001_0000, '2001:db8:1::');
    assert.equal(word(sent.bytes, foreign), 0x03_04_40_40, 'prefix /64 with A');
    assert.deepEqual([word(sent.bytes, foreign + 4), word(sent.bytes, foreign + 8)], [0, 0]);
    assert.equal(word(sent.bytes, foreign + 16 + 4), 0x0002_0000, '2001:db8:2::');
  });

  it('is advertised again when the router itself may have answered, then every minute, and no more when it has left', () => {
    const tracker = start();
    arrives(tracker, LAN1, 1000);
    const tick = (now: number) => advertisements(tracker.handle({ kind: 'tick' }, now)).length;
    assert.equal(tick(4999), 0);
    // MAX_RA_DELAY_TIME 0.5 s and MIN_DELAY_BETWEEN_RAS 3 s (RFC 4861 section 10) are over.
    assert.equal(tick(5000), 1);
    assert.equal(tick(5000 + MINUTE - 1), 0);
    assert.equal(tick(5000 + MINUTE), 1);
    assert.equal(tick(5000 + 2 * MINUTE), 1);
    const detach = { name: 'detach', mac: HOST_MAC, ips: [], interface: 'lan1' } as const;
    tracker.handle({ kind: 'command', token: 1, command: detach }, 6000 + 2 * MINUTE);
    assert.equal(tick(6020 + 2 * MINUTE), 0, 'its claim is withdrawn after 20 ms');
    assert.equal(tick(5000 + 3 * MINUTE), 0);
    assert.equal(tick(5000 + 9 * MINUTE), 0);
  });

  it('is not that of a LAN where the host was, once it is back at home with an address of that LAN', () => {
    const both = config();
    const tracker = start({ ...both, subnets: both.subnets.map((one) => ({ ...one, advertise: true })) });
    const AWAY = '2001:db8:2::5';
    assert.equal(advertisements(arrives(tracker, LAN1, 1000)).length, 1, 'a visitor with its home address');
    assert.equal(advertisements(arrives(tracker, LAN1, 1100, AWAY)).length, 0, 'at home there');
    const back = [...arrives(tracker, LAN0, 20_000), ...arrives(tracker, LAN0, 20_100, AWAY)];
    const later = [1000, 5000, 70_000].flatMap((ms) => tracker.handle({ kind: 'tick' }, 20_100 + ms));
    assert.deepEqual(advertisements([...back, ...later]), []);
  });

  it('is sent once to a machine with several addresses, and on its solicitation, once a second', () => {
    const tracker = start();
    assert.equal(advertisements(arrives(tracker, LAN1, 1000)).length, 1);
    assert.equal(advertisements(arrives(tracker, LAN1, 1001, '2001:db8:1::6')).length, 0);
    assert.equal(advertisements(tracker.handle({ kind: 'tick' }, 2000)).length, 1, 'for the second address');
    const bytes = encodeRouterSolicitation({
      source: HOST_MAC,
      destination: groupMac(ip6('ff02::2')),
      sourceIp: ip6('fe80::5'),
      destinationIp: ip6('ff02::2'),
      linkLayerAddress: HOST_MAC,
    });
    const solicited = (now: number) => {
      const actions = tracker.handle({ kind: 'frame', iface: LAN1, bytes }, now);
      return advertisements([...actions, ...tracker.handle({ kind: 'tick' }, now)]).length;
    };
    assert.deepEqual([solicited(5000), solicited(5001), solicited(6000)], [1, 0, 1]);
    const stranger = encodeRouterSolicitation({
      source: 0x020000000099 as Mac,
      destination: groupMac(ip6('ff02::2')),
      sourceIp: ip6('fe80::99'),
      destinationIp: ip6('ff02::2'),
      linkLayerAddress: undefined,
    });
    assert.deepEqual(
      advertisements(tracker.handle({ kind: 'frame', iface: LAN1, bytes: stranger }, 9000)),
      [],
    );
  });

  it('is not advertised at home, to hosts of another subnet, or when the configuration does not say so', () => {
    assert.deepEqual(advertisements(arrives(start(), LAN0, 1000)), []);
    assert.deepEqual(advertisements(arrives(start(), LAN0, 1000, '2001:db8:2::5')), []);
    assert.deepEqual(advertisements(arrives(start(config('')), LAN1, 1000)), []);
    const tracker = start();
    arrives(tracker, LAN1, 1000);
    tracker.setPolicy(config(''), 2000);
    assert.deepEqual(advertisements(tracker.handle({ kind: 'tick' }, 1000 + MINUTE)), []);
  });

  it('is advertised to a visitor whose claim an earlier run made, and to one that was there before the key', () => {
    const advertised = (tracker: HostTracker) => {
      const at = tracker.nextDeadline() ?? 0;
      return advertisements(tracker.handle({ kind: 'tick' }, Math.max(at, 1100))).length;
    };
    const adopted = start();
    adopted.handle({ kind: 'adopt', ip: ip6(HOME), iface: LAN1, mac: HOST_MAC, age: 'settled' }, 1000);
    assert.equal(advertised(adopted), 1);
    const changed = start(config(''));
    arrives(changed, LAN1, 1000);
    changed.setPolicy(config(), 1050);
    assert.equal(advertised(changed), 1);
    changed.setPolicy(config(), 1200);
    assert.equal(advertisements(changed.handle({ kind: 'tick' }, 1300)).length, 0, 'once');
  });

  it('is not kept for thousands that came and went, and goes on for who is there', () => {
    const tracker = start();
    arrives(tracker, LAN1, 1000);
    let now = 2000;
    for (let i = 1; i <= 3000; i++) {
      const mac = (0x020000010000 + i) as Mac;
      arrives(tracker, LAN1, now, `2001:db8:1::1:${i.toString(16)}`, mac);
      const detach = { name: 'detach', mac, ips: [], interface: 'lan1' } as const;
      tracker.handle({ kind: 'command', token: i, command: detach }, ++now);
      now += 25;
      tracker.handle({ kind: 'tick' }, now);
    }
    const { visitors, deadlines } = tracker.seed().known.homePrefixes;
    assert.ok(visitors.length < 1100, `${visitors.length} are remembered`);
    assert.ok(deadlines.times.length < 2200, `${deadlines.times.length} deadlines`);
    const sent = advertisements(tracker.handle({ kind: 'tick' }, now + 2 * MINUTE));
    assert.ok(sent.some(({ bytes }) => decodeDestination(bytes) === HOME));
  });

  it('goes on in a recording that begins in the middle', () => {
    const tracker = start();
    arrives(tracker, LAN1, 1000);
    const other = new HostTracker(config());
    const { events, known } = tracker.seed();
    for (const event of events) other.handle(event, 2000);
    other.restore(known);
    const at = 1000 + MINUTE;
    const [one, two] = [tracker, other].map((each) => advertisements(each.handle({ kind: 'tick' }, at)));
    assert.equal(one?.length, 1);
    assert.deepEqual(two, one);
  });
});
