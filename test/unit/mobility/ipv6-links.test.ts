import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Action, DropReason } from '../../../src/mobility/events.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import { type Ip, type Mac, formatIp } from '../../../src/wire/addresses.js';
import { ICMPV6, ND_HOP_LIMIT, writeChecksum } from '../../../src/wire/icmpv6.js';
import { IPV6_PAYLOAD_AT, NEXT_HEADER, writeIpv6Headers } from '../../../src/wire/ipv6.js';
import { ALL_NODES } from '../../../src/wire/mld.js';
import { HOST_MAC, LAN0, LAN1, macOf, reply, request } from './small-router.js';
import {
  OTHERS,
  SHARED,
  advertise,
  arrive,
  ip6,
  lan6,
  makeRouter6,
  ownLinkLocal,
  policy6,
  route,
  sent6,
  solicit,
  subnet6,
  until6,
} from './small-router6.js';

/** Who is no IPv6 host, who is another router on a LAN, and a LAN whose kernel does no IPv6. */

const VISITOR = '2001:db8:1::5';
const VISITOR4 = '10.1.1.5';
const ROUTER_MAC = 0x0200000000aa as Mac;

const reasons = (actions: readonly Action[]): DropReason[] =>
  actions.flatMap((action) => (action.kind === 'drop' ? [action.reason] : []));
const alarms = (actions: readonly Action[]) =>
  actions.flatMap((action) => (action.kind === 'alarm' ? [[action.alarm, action.mac, action.message]] : []));

/** An unsolicited advertisement in somebody's name. */
const announce = (tracker: HostTracker, iface: number, target: string, mac = HOST_MAC, now = 1000) =>
  tracker.handle({ kind: 'frame', iface, bytes: ndDriver.announce(mac, ip6(target), undefined) }, now);

/** A router advertisement (RFC 4861 section 4.2). */
function advertiseRouter(
  tracker: HostTracker,
  iface: number,
  from: string,
  { mac = ROUTER_MAC, now = 1000 } = {},
): readonly Action[] {
  const bytes = new Uint8Array(IPV6_PAYLOAD_AT + 16);
  const destination = 0x333300000001 as Mac;
  const packet = { source: mac, destination, sourceIp: ip6(from), destinationIp: ALL_NODES };
  writeIpv6Headers(bytes, packet, NEXT_HEADER.icmpv6, ND_HOP_LIMIT);
  bytes[IPV6_PAYLOAD_AT] = ICMPV6.routerAdvertisement;
  writeChecksum(bytes, IPV6_PAYLOAD_AT);
  return tracker.handle({ kind: 'frame', iface, bytes }, now);
}

describe('never a host (learning.ts)', () => {
  const cases: readonly (readonly [string, DropReason])[] = [
    ['fe80::5', 'sender-ip-link-local'],
    [SHARED, 'sender-ip-gateway'],
    [OTHERS, 'sender-ip-gateway'],
    [ownLinkLocal(LAN1), 'sender-ip-local'],
    ['2001:db8:1::1', 'sender-ip-local'],
    ['::1', 'sender-ip-loopback'],
    ['::ffff:10.1.1.5', 'sender-ip-reserved'],
    ['2001:db8:1::', 'sender-ip-subnet-edge'],
    ['2001:db8:ff::7', 'sender-ip-other-lan'],
    ['2001:db8:99::7', 'not-allowed'],
  ];
  for (const [address, reason] of cases)
    it(`${address}: ${reason}`, () => {
      const tracker = makeRouter6();
      assert.deepEqual(reasons(announce(tracker, LAN1, address)), [reason]);
      assert.equal(tracker.host(ip6(address)), undefined);
    });

  it('our link-local address of another interface is somebody else’s here', () => {
    assert.deepEqual(reasons(announce(makeRouter6(), LAN1, ownLinkLocal(LAN0))), ['sender-ip-link-local']);
  });

  it('a link-local next hop, which each interface may have, keeps no host from being learned', () => {
    const tracker = makeRouter6(policy6([subnet6('2001:db8:1::/64', SHARED)]));
    const claim = route('2001:db8:1::9/128', 188, 'fe80::fe');
    tracker.handle({ kind: 'route', change: 'add', route: claim, initial: false }, 500);
    arrive(tracker, LAN1, VISITOR);
    assert.equal(tracker.host(ip6(VISITOR))?.state, 'fresh');
  });

  it('a peer of the LAN, by its link-local address', () => {
    const policy = policy6();
    const [rule] = policy.interfaces;
    assert.ok(rule !== undefined);
    const shared = { ...rule, role: 'gateway', peers: [ip6('fe80::c')] } as const;
    const tracker = makeRouter6({ ...policy, interfaces: [shared] });
    for (const actions of [
      announce(tracker, LAN1, 'fe80::c', ROUTER_MAC),
      solicit(tracker, LAN1, 'fe80::c', VISITOR, { mac: ROUTER_MAC }),
      advertiseRouter(tracker, LAN1, 'fe80::c'),
    ])
      assert.deepEqual(reasons(actions), ['sender-ip-peer']);
    // Its kernel speaks from an address that nobody has named. A question to it would be passed on, and heard again.
    const heard = solicit(tracker, LAN1, 'fe80::d', VISITOR, { mac: ROUTER_MAC, now: 2000 });
    assert.deepEqual(reasons(heard), ['sender-ip-peer']);
    assert.deepEqual(sent6([...heard, ...until6(tracker, 5000)]), []);
    const stranger = solicit(tracker, LAN1, 'fe80::e', VISITOR, { mac: HOST_MAC, now: 6000 });
    assert.notDeepEqual([...stranger, ...until6(tracker, 9000)], [], 'any other machine is asked who it is');
  });
});

describe('another router', () => {
  /** It answers when it is asked for this address. */
  function answers(tracker: HostTracker, asked: readonly Action[], address: string, now: number) {
    const question = sent6(asked).find(({ targetIp }) => targetIp === ip6(address));
    assert.ok(question !== undefined, `${address} is asked for`);
    assert.equal(formatIp(question.sourceIp), ownLinkLocal(LAN1), 'never from ::, whose answer goes to all');
    const as = { mac: ROUTER_MAC, now, isRouter: true };
    return advertise(tracker, LAN1, address, formatIp(question.sourceIp), as);
  }

  it('uses a gateway address: in an advertisement, a solicitation, or a router advertisement', () => {
    const ways: readonly ((tracker: HostTracker) => readonly Action[])[] = [
      (tracker) => announce(tracker, LAN1, OTHERS, ROUTER_MAC),
      (tracker) => solicit(tracker, LAN1, OTHERS, VISITOR, { mac: ROUTER_MAC }),
      (tracker) => advertiseRouter(tracker, LAN1, OTHERS),
    ];
    for (const way of ways) {
      const tracker = makeRouter6();
      const heard = way(tracker);
      assert.deepEqual(reasons(heard), ['sender-ip-gateway']);
      const [alarm] = alarms(answers(tracker, heard, OTHERS, 1010));
      assert.deepEqual(alarm?.slice(0, 2), ['other-router', ROUTER_MAC]);
      assert.deepEqual(
        [...tracker.otherRouters()].map(({ gateway, mac }) => [gateway, mac]),
        [[ip6(OTHERS), ROUTER_MAC]],
      );
      assert.deepEqual(
        sent6(solicit(tracker, LAN1, 'fe80::5', OTHERS, { now: 2000 })).filter(
          (one) => one.purpose === 'answer',
        ),
        [],
        'who asks for that gateway is left to it',
      );
    }
  });

  it('is asked four times, and is none when it is silent', () => {
    const tracker = makeRouter6();
    const heard = announce(tracker, LAN1, OTHERS, ROUTER_MAC);
    const asked = [...sent6(heard), ...sent6(until6(tracker, 5000))];
    assert.deepEqual(
      asked.map(({ sourceIp, targetIp }) => [formatIp(sourceIp), formatIp(targetIp)]),
      Array.from({ length: 4 }, () => [ownLinkLocal(LAN1), OTHERS]),
    );
    assert.deepEqual([...tracker.otherRouters()], []);
  });

  it('is none an hour after it advertised itself last: a host that forwards answers like one, too', () => {
    for (const isRouter of [true, false]) {
      const tracker = makeRouter6();
      let asked = advertiseRouter(tracker, LAN1, 'fe80::bad');
      let advertisedAt = 1000;
      for (let now = 1000; now < 7_200_000; now = tracker.nextDeadline() ?? 7_200_000) {
        if (now > 1000) asked = tracker.handle({ kind: 'tick' }, now);
        if (sent6(asked).length > 0) answers(tracker, asked, 'fe80::bad', now);
        if (!isRouter || now - advertisedAt < 1_800_000) continue;
        advertiseRouter(tracker, LAN1, 'fe80::bad', { now });
        advertisedAt = now;
      }
      assert.equal([...tracker.otherRouters()].length, isRouter ? 1 : 0);
    }
  });

  it('advertises itself under an address that nobody configured: its MAC is no host’s any more', () => {
    const tracker = makeRouter6();
    const heard = advertiseRouter(tracker, LAN1, 'fe80::bad');
    assert.deepEqual(reasons(heard), ['other-router']);
    const [alarm] = alarms(answers(tracker, heard, 'fe80::bad', 1010));
    assert.deepEqual(alarm?.slice(0, 2), ['other-router', ROUTER_MAC]);
    assert.match(String(alarm?.[2]), /router advertisements/);
    assert.deepEqual(reasons(announce(tracker, LAN1, VISITOR, ROUTER_MAC, 2000)), ['other-router']);
    arrive(tracker, LAN1, '2001:db8:1::6', { now: 3000 });
    assert.equal(tracker.host(ip6('2001:db8:1::6'))?.state, 'fresh', 'visitors are served as before');
  });

  it('is no host in whose name somebody else advertises a router: it answers for its address, but not as one', () => {
    const tracker = makeRouter6();
    const heard = advertiseRouter(tracker, LAN1, 'fe80::5', { mac: HOST_MAC });
    const asker = sent6(heard).find(({ targetIp }) => targetIp === ip6('fe80::5'))?.sourceIp;
    assert.ok(asker !== undefined);
    assert.deepEqual(alarms(advertise(tracker, LAN1, 'fe80::5', formatIp(asker))), []);
    arrive(tracker, LAN1, VISITOR, { now: 1020 });
    assert.equal(tracker.host(ip6(VISITOR))?.state, 'fresh', 'its frames are heard');
  });

  it('advertises itself as we do, from an address of ours: a frame of that is none of a host', () => {
    assert.deepEqual(reasons(advertiseRouter(makeRouter6(), LAN1, ownLinkLocal(LAN1))), ['sender-ip-local']);
  });

  it('is looked for when a LAN comes up: who has a gateway of that LAN which we have not', () => {
    const policy = policy6([subnet6('2001:db8:1::/64', SHARED), subnet6('2001:db8:2::/64', 'fe80::b2')]);
    const asked: Ip[] = [];
    const tracker = new HostTracker(policy);
    for (const link of [lan6(LAN0), lan6(LAN1)]) {
      tracker.handle({ kind: 'link', link }, 0);
      const actions = tracker.handle({ kind: 'capture', iface: link.index, open: true }, 0);
      asked.push(...sent6(actions).map(({ targetIp }) => targetIp));
    }
    assert.deepEqual(asked.map(formatIp), ['fe80::b2']);
    const heard = announce(tracker, LAN1, 'fe80::b2', ROUTER_MAC);
    answers(tracker, heard, 'fe80::b2', 1010);
    assert.match(tracker.roleOn(LAN1)?.why ?? '', /IPv6 is active: .* visitors are left to it/);
  });
});

describe('a LAN whose kernel does no IPv6 (disable_ipv6, an MTU below 1280)', () => {
  function withVisitors() {
    const tracker = makeRouter6();
    arrive(tracker, LAN1, VISITOR);
    request(tracker, LAN1, VISITOR4, '10.9.9.9', HOST_MAC, 1100);
    reply(tracker, LAN1, VISITOR4, '10.2.2.1', 1101);
    assert.equal(tracker.host(ip6(VISITOR))?.claimed, true);
    return tracker;
  }

  it('has lost its IPv6 hosts as with a link that is down, and IPv4 is untouched', () => {
    const tracker = withVisitors();
    const states = tracker.handle({ kind: 'link', link: lan6(LAN1, { hasIpv6: false }) }, 2000);
    const changes = states.flatMap((action) => (action.kind === 'transition' ? [action] : []));
    assert.deepEqual(
      changes.map(({ ip, to, cause }) => [ip, to, cause]),
      [[ip6(VISITOR), 'remembered', 'ipv6-off']],
    );
    assert.ok(
      !sent6(until6(tracker, 60_000)).some(({ iface }) => iface === LAN1),
      'nothing of IPv6 is sent there',
    );
  });

  it('they are asked when it does again, and IPv4 is not', () => {
    const tracker = withVisitors();
    tracker.handle({ kind: 'link', link: lan6(LAN1, { hasIpv6: false }) }, 2000);
    const back = tracker.handle({ kind: 'link', link: lan6(LAN1) }, 3000);
    const actions = [...back, ...until6(tracker, 3010)];
    const asked = sent6(actions).filter(({ iface }) => iface === LAN1);
    assert.deepEqual(
      [...new Set(asked.map(({ targetIp, destination }) => `${formatIp(targetIp)} ${destination}`))],
      [`${VISITOR} ${HOST_MAC}`],
    );
    const [question] = asked;
    assert.ok(question !== undefined);
    advertise(tracker, LAN1, VISITOR, formatIp(question.sourceIp), { now: 3011 });
    assert.equal(tracker.host(ip6(VISITOR))?.claimed, true);
  });

  it('a link that is back without IPv6 asks its IPv4 hosts alone', () => {
    const tracker = withVisitors();
    tracker.handle({ kind: 'link', link: lan6(LAN1, { carrier: false }) }, 2000);
    tracker.handle({ kind: 'link', link: lan6(LAN1, { hasIpv6: false }) }, 3000);
    const actions = until6(tracker, 3100);
    assert.deepEqual(sent6(actions), []);
    assert.ok(
      actions.some(({ kind }) => kind === 'send'),
      'ARP',
    );
    assert.equal(macOf(LAN1), 0x020000000000 + LAN1);
  });

  it('adopts no IPv6 claim there', () => {
    const tracker = makeRouter6(policy6(), [lan6(LAN0), lan6(LAN1, { hasIpv6: false })]);
    const claim = { kind: 'adopt', ip: ip6(VISITOR), iface: LAN1, mac: HOST_MAC, age: 'settled' } as const;
    assert.deepEqual(tracker.handle(claim, 100), []);
    assert.equal(tracker.host(ip6(VISITOR)), undefined);
  });
});
