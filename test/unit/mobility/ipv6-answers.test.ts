import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  IPV6_UNSPECIFIED,
  type Mac,
  formatIp,
  groupMac,
  solicitedNodeGroup,
} from '../../../src/wire/addresses.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { Action } from '../../../src/mobility/events.js';
import { ICMPV6 } from '../../../src/wire/icmpv6.js';
import { encodeSolicitation } from '../../../src/wire/nd.js';
import { HOST_MAC, LAN0, LAN1, macOf } from './small-router.js';
import {
  OTHERS,
  SHARED,
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
} from './small-router6.js';

/** Neighbour solicitations that are answered for somebody behind us (RFC 4861 section 7.2). */

const VISITOR = '2001:db8:1::5';
const VISITOR_LL = 'fe80::5';
const FAR = '2001:db8:77::7';
const OLD_MAC = 0x0200000000aa as Mac;
const NEIGHBOUR_MAC = 0x020000000009 as Mac;

function answers(actions: readonly Action[]) {
  return sent6(actions).flatMap((frame) =>
    frame.purpose === 'answer' && frame.type === ICMPV6.neighbourAdvertisement ? [frame] : [],
  );
}

/** R, S and O of an advertisement. */
const flags = (frame: ReturnType<typeof answers>[number] | undefined) =>
  frame && [frame.isRouter, frame.isSolicited, frame.isOverride].map(Number).join('');

/** A visitor is held on lan1, and a host of its subnet on the uplink is claimed by another router. */
function withVisitor(policy = policy6()) {
  const tracker = makeRouter6(policy);
  const claim = route(`${FAR}/128`, 188, 'fe80::fe');
  tracker.handle({ kind: 'route', change: 'add', route: claim, initial: false }, 500);
  arrive(tracker, LAN1, VISITOR);
  assert.equal(tracker.host(ip6(VISITOR))?.state, 'fresh');
  return tracker;
}

describe('a gateway that the kernel does not have on the LAN', () => {
  it('is answered with R = 1 and O = 1, from itself, to whoever asks: NUD asks from a link-local address', () => {
    for (const tracker of [withVisitor(), makeRouter6()]) {
      const [answer] = answers(solicit(tracker, LAN1, VISITOR_LL, OTHERS, { now: 5000 }));
      assert.equal(flags(answer), '111');
      assert.deepEqual(
        [answer?.sourceIp, answer?.targetIp, answer?.destinationIp].map((ip) => ip && formatIp(ip)),
        [OTHERS, OTHERS, VISITOR_LL],
      );
      assert.deepEqual([answer?.destination, answer?.linkLayerAddress], [HOST_MAC, macOf(LAN1)]);
    }
  });

  it('and to a global address as well', () => {
    const [answer] = answers(solicit(withVisitor(), LAN1, VISITOR, OTHERS, { now: 5000 }));
    assert.equal(flags(answer), '111');
    assert.equal(answer?.destinationIp, ip6(VISITOR));
  });

  it('is not, when its host is at home and has another one', () => {
    const tracker = makeRouter6();
    arrive(tracker, LAN1, '2001:db8:2::5');
    assert.deepEqual(answers(solicit(tracker, LAN1, VISITOR_LL, OTHERS, { now: 5000 })), []);
  });
});

describe('a gateway that the kernel has', () => {
  it('is left to it', () => {
    const tracker = withVisitor();
    for (const to of [undefined, macOf(LAN1)])
      assert.deepEqual(answers(solicit(tracker, LAN1, VISITOR_LL, SHARED, { now: 5000, to })), []);
  });

  it('is answered with R = 1 and O = 1 when the MAC of the router of the last LAN was asked for it', () => {
    const [answer] = answers(solicit(withVisitor(), LAN1, VISITOR_LL, SHARED, { now: 5000, to: OLD_MAC }));
    assert.equal(flags(answer), '111');
  });

  it('that MAC may be that of another interface of ours', () => {
    const tracker = withVisitor();
    const [answer] = answers(solicit(tracker, LAN1, VISITOR_LL, SHARED, { now: 5000, to: macOf(LAN0) }));
    assert.equal(flags(answer), '111');
  });

  it('not when a virtual router was asked, which is another one’s', () => {
    const to = 0x00005e000201 as Mac;
    assert.deepEqual(answers(solicit(withVisitor(), LAN1, VISITOR_LL, SHARED, { now: 5000, to })), []);
  });
});

describe('RFC 4861 section 7.2.8: somebody else', () => {
  it('is answered for with R = 0 and O = 0, from our link-local address', () => {
    const tracker = withVisitor();
    for (const asker of [VISITOR, VISITOR_LL]) {
      const [answer] = answers(solicit(tracker, LAN1, asker, FAR, { now: 5000 }));
      assert.equal(flags(answer), '010', asker);
      assert.deepEqual([answer?.sourceIp, answer?.destinationIp], [ip6(ownLinkLocal(LAN1)), ip6(asker)]);
    }
  });

  it('with O = 1 when it was asked for at another MAC, also of a visitor that is not routed yet', () => {
    for (const to of [undefined, NEIGHBOUR_MAC]) {
      const tracker = makeRouter6();
      const claim = route(`${FAR}/128`, 188, 'fe80::fe');
      tracker.handle({ kind: 'route', change: 'add', route: claim, initial: false }, 500);
      assert.deepEqual(answers(solicit(tracker, LAN1, VISITOR, FAR, { to })), []);
      const [answer] = answers(tracker.handle({ kind: 'tick' }, 1050));
      assert.equal(flags(answer), to === undefined ? '010' : '011');
    }
  });

  it('with O = 1 when it was asked for at another MAC', () => {
    const [answer] = answers(solicit(withVisitor(), LAN1, VISITOR_LL, FAR, { now: 5000, to: NEIGHBOUR_MAC }));
    assert.equal(flags(answer), '011');
  });

  it('is answered for at home, where it has left', () => {
    const tracker = withVisitor();
    const mac = NEIGHBOUR_MAC;
    arrive(tracker, LAN0, '2001:db8:1::9', { mac, now: 2000 });
    const ask = (source: string, to?: Mac) =>
      answers(solicit(tracker, LAN0, source, VISITOR, { mac, now: 5000, ...(to && { to }) }));
    assert.equal(flags(ask('2001:db8:1::9')[0]), '010');
    assert.equal(flags(ask('fe80::9')[0]), '010');
    assert.equal(flags(ask('fe80::9', HOST_MAC)[0]), '011', 'at the MAC that it had there');
  });

  it('not to a host at home, nor to a MAC at which we hold nobody', () => {
    const tracker = withVisitor();
    arrive(tracker, LAN1, '2001:db8:2::6', { mac: NEIGHBOUR_MAC, now: 2000 });
    const asks = (mac: Mac) => answers(solicit(tracker, LAN1, VISITOR_LL, FAR, { mac, now: 5000 }));
    assert.deepEqual(asks(NEIGHBOUR_MAC), []);
    assert.deepEqual(asks(OLD_MAC), []);
    assert.equal(asks(HOST_MAC).length, 1);
  });

  it('a MAC with an address of this LAN, too, is a visitor all the same', () => {
    const tracker = makeRouter6();
    const claim = route(`${FAR}/128`, 188, 'fe80::fe');
    tracker.handle({ kind: 'route', change: 'add', route: claim, initial: false }, 500);
    arrive(tracker, LAN1, '2001:db8:2::6');
    arrive(tracker, LAN1, VISITOR, { now: 2000 });
    assert.equal(answers(solicit(tracker, LAN1, VISITOR_LL, FAR, { now: 5000 })).length, 1);
  });

  it('its LAN is asked first when nothing is known of it, and the answer goes where the question came from', () => {
    const tracker = withVisitor();
    const target = '2001:db8:66::6';
    const asked = sent6(solicit(tracker, LAN1, VISITOR_LL, target, { now: 5000 }));
    assert.deepEqual(
      asked.map(({ purpose, targetIp, sourceIp }) => [purpose, formatIp(targetIp), formatIp(sourceIp)]),
      [['probe', target, ownLinkLocal(LAN1)]],
    );
    const later = [5050, 5100].flatMap((now) => tracker.handle({ kind: 'tick' }, now));
    const answer = answers(later).find(({ targetIp }) => targetIp === ip6(target));
    assert.equal(answer?.destinationIp, ip6(VISITOR_LL));
  });
});

describe('never answered', () => {
  const silent = (source: string, target: string, why: string) => {
    const frame = solicit(withVisitor(), LAN1, source, target, { now: 5000 });
    assert.deepEqual(answers(frame), [], why);
  };

  it('who has no address yet: duplicate address detection (RFC 4862 section 5.4.3)', () => {
    const tracker = withVisitor();
    const group = solicitedNodeGroup(ip6(VISITOR));
    const bytes = encodeSolicitation({
      source: HOST_MAC,
      destination: groupMac(group),
      sourceIp: IPV6_UNSPECIFIED,
      destinationIp: group,
      targetIp: ip6(VISITOR),
      linkLayerAddress: undefined,
    });
    const actions = tracker.handle({ kind: 'frame', iface: LAN0, bytes }, 5000);
    assert.ok(actions.some((action) => action.kind === 'evidence' && action.evidence === 'probe'));
    assert.deepEqual(answers(actions), []);
  });

  it('a link-local address that is no gateway, our own, one of the LAN, the asker itself', () => {
    silent(VISITOR, 'fe80::99', 'link-local');
    silent(VISITOR, ownLinkLocal(LAN1), 'the kernel answers');
    silent(VISITOR, '2001:db8:2::9', 'on this LAN');
    silent(VISITOR, VISITOR, 'itself');
  });

  it('on an interface without IPv6', () => {
    const tracker = withVisitor();
    tracker.handle({ kind: 'link', link: lan6(LAN1, { hasIpv6: false }) }, 4000);
    const [drop] = solicit(tracker, LAN1, VISITOR_LL, OTHERS, { now: 5000 });
    assert.ok(drop?.kind === 'drop' && drop.reason === 'interface-down');
  });
});

describe('a packet to a MAC that is not ours', () => {
  const packet = (tracker: ReturnType<typeof withVisitor>, to: string, destination: Mac, iface = LAN1) => {
    const bytes = ndDriver.probe(HOST_MAC, destination, ip6(VISITOR), ip6(to));
    // An ordinary packet: UDP, to there.
    bytes[20] = 17;
    return sent6(tracker.handle({ kind: 'misdirected-packet', iface, bytes }, 6000));
  };

  it('and to a neighbour of the LAN that was left: repaired, by solicitation in the name of that neighbour', () => {
    const tracker = withVisitor();
    const away = route('2001:db8:1::9/128', 188, 'fe80::fe');
    tracker.handle({ kind: 'route', change: 'add', route: away, initial: false }, 4000);
    tracker.handle({ kind: 'tick' }, 5900);
    const [repair] = packet(tracker, '2001:db8:1::9', NEIGHBOUR_MAC);
    assert.ok(repair?.type === ICMPV6.neighbourSolicitation && repair.purpose === 'repair');
    assert.deepEqual(
      [repair.sourceIp, repair.targetIp, repair.linkLayerAddress, repair.destination],
      [ip6('2001:db8:1::9'), ip6(VISITOR), macOf(LAN1), HOST_MAC],
    );
  });

  it('and to somebody far away: the MAC is that of a gateway of old, so all gateways are repaired, once', () => {
    const tracker = withVisitor();
    const repairs = packet(tracker, '2001:db8:66::6', OLD_MAC);
    assert.deepEqual(
      repairs.map(({ purpose, sourceIp }) => [purpose, formatIp(sourceIp)]),
      [
        ['repair', SHARED],
        ['repair', OTHERS],
      ],
    );
    assert.deepEqual(packet(tracker, '2001:db8:66::6', OLD_MAC), []);
  });

  it('and to a link-local address: that one is of its LAN', () => {
    assert.deepEqual(packet(withVisitor(), 'fe80::99', OLD_MAC), []);
  });

  it('nothing is repaired in the name of an address that is no neighbour: BSD would not listen', () => {
    const tracker = withVisitor(policy6([subnet6('2001:db8:1::/64'), subnet6('2001:db8:2::/64', SHARED)]));
    assert.deepEqual(packet(tracker, '2001:db8:66::6', OLD_MAC), []);
  });
});
