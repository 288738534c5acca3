import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { type Ip, type Ipv6, type Mac, formatIp } from '../../../src/wire/addresses.js';
import {
  CONTROL_ADDRESS,
  DualRouter,
  FOREIGN,
  GATEWAY,
  GUEST_LINK_LOCAL,
  GUEST_MAC,
  HOME,
  advertisement,
  dad,
  gratuitousArp,
  ip4,
  ip6,
  mldReport,
  rarp,
  routerSolicitation,
  solicitation,
} from './dual-router.js';

/** Frames that name a MAC and none of its addresses: what is asked because of them. */

const A = ip6('2001:db8:1::5');
const B = ip6('2001:db8:1::a:5');
const V4 = ip4('10.1.1.5');
const ALL = [V4, A, B];

let router: DualRouter;

beforeEach(() => {
  router = new DualRouter();
});

/** Held on lan1, both families of it. */
function settle(iface = FOREIGN, ips: readonly Ip[] = ALL): void {
  router.plug(iface, GUEST_MAC, ...ips);
  for (const one of ips)
    router.frame(
      iface,
      typeof one === 'number'
        ? gratuitousArp(GUEST_MAC, one as never)
        : advertisement(GUEST_MAC, one as Ipv6),
    );
  router.advance(20);
  for (const one of ips) assert.ok(isHeld(one, iface), `${formatIp(one)} is held`);
  router.takeSent();
}

function isHeld(ip: Ip, iface: number): boolean {
  return router.tracker.host(ip)?.isHeldAt(iface, GUEST_MAC) === true;
}

const FORMS: readonly (readonly [string, () => Uint8Array])[] = [
  ['an MLD report (RFC 3810)', () => mldReport(GUEST_MAC, GUEST_LINK_LOCAL)],
  ['an MLD report from :: (RFC 3590)', () => mldReport(GUEST_MAC, ip6('::'))],
  ['a router solicitation (RFC 4861 section 4.1)', () => routerSolicitation(GUEST_MAC, GUEST_LINK_LOCAL)],
  ['a solicitation from a link-local address', () => solicitation(GUEST_MAC, GUEST_LINK_LOCAL, GATEWAY)],
  ['RARP (RFC 903)', () => rarp(GUEST_MAC)],
];

for (const [name, frame] of FORMS) {
  describe(name, () => {
    it('has all known addresses of the MAC asked where it comes from, in both families, and they move', () => {
      settle(HOME);
      router.plug(FOREIGN, GUEST_MAC, ...ALL);
      router.frame(FOREIGN, frame());
      for (const ip of ALL) assert.equal(router.asked(ip)[0]?.iface, FOREIGN, formatIp(ip));
      assert.equal(router.asked(A)[0]?.source, GATEWAY, 'in the name of the gateway');
      router.advance(10);
      for (const ip of ALL) assert.ok(isHeld(ip, FOREIGN), `${formatIp(ip)} has moved`);
    });

    it('finds them again after they were lost', () => {
      settle();
      router.alive.clear();
      router.advance(8000);
      for (const ip of ALL) assert.equal(router.tracker.host(ip)?.state, 'remembered', formatIp(ip));
      router.plug(FOREIGN, GUEST_MAC, ...ALL);
      router.advance(200);
      router.frame(FOREIGN, frame());
      router.advance(10);
      for (const ip of ALL) assert.ok(isHeld(ip, FOREIGN), formatIp(ip));
    });

    it('asks nothing of what is held there, and is no more than a question a second', () => {
      settle();
      router.frame(FOREIGN, frame());
      assert.deepEqual(router.sent, []);
      router.alive.clear();
      router.advance(8000);
      router.takeSent();
      for (let i = 0; i < 20; i++) router.frame(FOREIGN, frame());
      const here = router.asked(A).filter(({ iface }) => iface === FOREIGN);
      assert.equal(here.length, 1);
    });
  });
}

it('a virtual router is not asked for addresses: a query would look like that of a querier to it', () => {
  const queries = (mac: Mac) => {
    router.frame(FOREIGN, mldReport(mac, ip6('fe80::5e:1'), A));
    return router.takeSent().map(({ kind }) => kind);
  };
  assert.deepEqual(queries(0x00005e000201 as Mac), []);
  assert.ok(queries(0x020000000201 as Mac).includes('query'), 'a machine that nobody knows is');
});

it('a machine with one MAC on two LANs keeps both addresses, however often it speaks on either', () => {
  settle(FOREIGN, [A]);
  const other = ip6('2001:db8:2::5');
  settle(HOME, [other]);
  router.advance(4000);
  router.takeSent();
  for (let i = 0; i < 10; i++) {
    router.frame(HOME, solicitation(GUEST_MAC, GUEST_LINK_LOCAL, GATEWAY));
    router.frame(FOREIGN, solicitation(GUEST_MAC, GUEST_LINK_LOCAL, GATEWAY));
    router.advance(2000);
  }
  assert.ok(isHeld(A, FOREIGN) && isHeld(other, HOME));
  assert.deepEqual(
    router.sent.filter(
      ({ target, iface }) => (target === A && iface === HOME) || (target === other && iface === FOREIGN),
    ),
    [],
    'neither is asked on the LAN of the other',
  );
});

it('the cause tells RARP from the others', () => {
  settle(FOREIGN, [A]);
  router.alive.clear();
  router.advance(8000);
  router.frame(FOREIGN, routerSolicitation(GUEST_MAC, GUEST_LINK_LOCAL));
  assert.equal(router.tracker.host(A)?.cause, 'presence');
  router.advance(3000);
  router.frame(FOREIGN, rarp(GUEST_MAC));
  assert.equal(router.tracker.host(A)?.cause, 'rarp');
});

describe('a MAC of which no IPv6 address is known', () => {
  const FAR = ip6('2001:db8:7::12:3456');

  beforeEach(() => {
    router = new DualRouter({ allow: undefined });
  });

  it('RARP: it is asked for its groups by an MLD query to it alone, and for what another router claims in them', () => {
    router.remote('add', A);
    router.advance(2000);
    router.takeSent();
    router.frame(FOREIGN, rarp(GUEST_MAC));
    const [query] = router.takeSent();
    assert.deepEqual([query?.kind, query?.iface, query?.destination], ['query', FOREIGN, GUEST_MAC]);
    router.plug(FOREIGN, GUEST_MAC, A);
    router.now += 9;
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, GUEST_LINK_LOCAL, A));
    assert.deepEqual(
      router.sent.map(({ target }) => formatIp(target)),
      [CONTROL_ADDRESS, A].map(formatIp),
      'the control address, and what is claimed elsewhere: nothing is guessed',
    );
    router.advance(10);
    assert.ok(isHeld(A, FOREIGN), 'within 20 ms of the RARP');
  });

  it('it is asked five times in a second, and no more once it has named its groups', () => {
    router.frame(FOREIGN, rarp(GUEST_MAC));
    router.advance(999);
    const queries = () => router.sent.filter(({ kind }) => kind === 'query').length;
    assert.equal(queries(), 5);
    router.advance(1000);
    assert.equal(queries(), 5);
    router.frame(FOREIGN, rarp(GUEST_MAC));
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL));
    router.advance(900);
    assert.equal(queries(), 6);
  });

  it('where nobody claims anything, the address that people give by hand and the one of the MAC are tried', () => {
    const eui64 = ip6('2001:db8:1:0:0:ff:fe00:5');
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, eui64, B));
    const asked = router.sent
      .filter(({ kind }) => kind === 'solicitation')
      .map(({ target }) => formatIp(target));
    assert.deepEqual(asked, [
      formatIp(CONTROL_ADDRESS),
      ...['2001:db8:1::ff:fe00:5', '2001:db8:1::5', '2001:db8:2::ff:fe00:5', '2001:db8:2::5'],
      ...['2001:db8:1::a:5', '2001:db8:2::a:5'],
    ]);
    router.plug(FOREIGN, GUEST_MAC, B);
    router.advance(60);
    assert.ok(isHeld(B, FOREIGN));
  });

  it('what another MAC is known to have is not guessed: who names its group would skip the proof of a move', () => {
    settle(HOME, [A]);
    router.alive.clear();
    router.remote('add', A);
    router.advance(8000);
    const known = router.tracker.host(A);
    assert.deepEqual([known?.held, known?.attachment?.mac], [false, GUEST_MAC]);
    router.takeSent();
    const other = 0x020000000066 as Mac;
    router.plug(FOREIGN, other, A);
    router.frame(FOREIGN, mldReport(other, ip6('fe80::66'), A));
    router.advance(2000);
    assert.deepEqual(router.asked(A), []);
    assert.equal(router.tracker.host(A)?.held, false);
  });

  it('each further group is asked for once, and what was asked for before only when its time comes', () => {
    const groups = Array.from({ length: 20 }, (_, i) => ip6(`2001:db8:1::1:${(0x100 + i).toString(16)}`));
    for (const ip of groups) router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, ip));
    // The query, the control address, and each in both subnets.
    assert.equal(router.sent.length, 2 + 2 * groups.length);
    router.advance(3000);
    assert.equal(router.asked(groups[0] as Ip).length, 5);
    assert.equal(router.asked(groups[19] as Ip).length, 5);
  });

  it('of a MAC that is known, groups select among what other routers claim, and nothing is guessed', () => {
    settle(FOREIGN, [A]);
    router.remote('add', B);
    router.advance(2000);
    router.takeSent();
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, A, GUEST_LINK_LOCAL, FAR));
    assert.deepEqual(router.takeSent(), []);
    router.plug(FOREIGN, GUEST_MAC, A, B);
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, A, B));
    router.advance(10);
    assert.ok(isHeld(B, FOREIGN));
  });

  it('who answers for the control address is believed for none', () => {
    const proxy = 0x020000000077 as Mac;
    router.remote('add', A);
    router.advance(2000);
    router.plug(FOREIGN, proxy, A, CONTROL_ADDRESS);
    router.frame(FOREIGN, mldReport(proxy, ip6('fe80::77'), A));
    router.advance(1000);
    assert.equal(router.tracker.host(A)?.held, false);
    assert.ok(router.actions.some((action) => action.kind === 'alarm' && action.alarm === 'proxy-arp'));
  });

  it('IPv4 addresses that others claim are asked for by ARP on the word of RARP alone', () => {
    router.remote('add', V4);
    router.advance(2000);
    router.takeSent();
    router.frame(FOREIGN, mldReport(GUEST_MAC, GUEST_LINK_LOCAL, A));
    assert.deepEqual(router.asked(V4), []);
    router.advance(2000);
    router.plug(FOREIGN, GUEST_MAC, V4);
    router.frame(FOREIGN, rarp(GUEST_MAC));
    router.advance(10);
    assert.ok(isHeld(V4, FOREIGN));
  });
});

it('3,000 MLD reports of random MACs in 3 s cost little, and delay nobody who speaks for itself', () => {
  for (let i = 0; i < 3000; i++) {
    const mac = (0x020000100000 + i) as Mac;
    const low = (i * 7919) & 0xffffff;
    router.frame(
      FOREIGN,
      mldReport(
        mac,
        GUEST_LINK_LOCAL,
        ip6(`fe80::${(low >> 16).toString(16)}:${(low & 0xffff).toString(16)}`),
      ),
    );
    router.advance(1);
  }
  // 16 MACs at a time, for a second each: five queries, and five times a guess in each subnet and the control address.
  assert.ok(router.sent.length <= 4 * 16 * 5 * 6, `${router.sent.length} frames`);
  router.takeSent();
  router.plug(FOREIGN, GUEST_MAC, A);
  router.frame(FOREIGN, advertisement(GUEST_MAC, A));
  assert.equal(router.asked(A).filter(({ iface }) => iface === FOREIGN).length, 1, 'asked at once');
  router.advance(2);
  assert.ok(isHeld(A, FOREIGN));
});

it('a host at home is refreshed by what its MAC says', () => {
  settle(HOME, [A]);
  router.advance(30_000);
  router.frame(HOME, solicitation(GUEST_MAC, GUEST_LINK_LOCAL, GATEWAY));
  assert.equal(router.tracker.host(A)?.lastHeard, router.now);
});

describe('duplicate address detection (RFC 4862 section 5.4)', () => {
  const from = (at: number) => router.asked(A).flatMap((one) => (one.iface === FOREIGN ? [one.at - at] : []));

  it('is never learned and never answered; its sender is asked at once and a second later', () => {
    router.remote('add', A);
    router.advance(4000);
    router.takeSent();
    const { now } = router;
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    assert.equal(router.tracker.host(A)?.held, false);
    router.advance(1600);
    assert.deepEqual(
      router.sent.filter(({ purpose }) => purpose !== 'probe'),
      [],
    );
    assert.deepEqual(from(now), [0, 1000, 1050, 1150]);
    assert.ok(router.sent.every(({ destination, iface }) => destination === GUEST_MAC && iface === FOREIGN));
  });

  it('an optimistic host (RFC 4429) is claimed at once', () => {
    router.plug(FOREIGN, GUEST_MAC, A);
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    router.advance(2);
    assert.ok(isHeld(A, FOREIGN));
  });

  it('another one answers when its address is valid, 1,020 ms later', () => {
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    router.advance(1020);
    router.plug(FOREIGN, GUEST_MAC, A);
    router.advance(40);
    assert.ok(isHeld(A, FOREIGN));
  });

  it('each further solicitation says that it takes a second longer (DupAddrDetectTransmits)', () => {
    const { now } = router;
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    router.advance(990);
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    router.advance(2000);
    assert.deepEqual(from(now), [0, 1990, 2040, 2140]);
  });

  it('a host that takes its address anew where it is held is not lost meanwhile', () => {
    settle(FOREIGN, [A]);
    router.advance(4900);
    router.alive.clear();
    router.frame(FOREIGN, dad(GUEST_MAC, A));
    router.advance(1100);
    assert.ok(isHeld(A, FOREIGN));
    router.alive.clear();
    router.advance(7000);
    assert.equal(isHeld(A, FOREIGN), false, 'but it is if it never answers again');
  });

  it('no announcement reaches a host that checks its address long after it joined its group', () => {
    settle(HOME, [A]);
    router.alive.clear();
    router.remote('add', A);
    const announced = () =>
      router.sent.filter(({ purpose, iface }) => purpose === 'announce' && iface === HOME);
    while (announced().length === 0) router.advance(10);
    router.frame(HOME, mldReport(GUEST_MAC, ip6('::'), A));
    router.advance(3900);
    router.takeSent();
    router.frame(HOME, dad(GUEST_MAC, A));
    router.advance(1000);
    assert.deepEqual(announced(), []);
    // Who only ever checks holds back no longer than that.
    for (let i = 0; i < 6; i++) {
      router.frame(HOME, dad(GUEST_MAC, A));
      router.advance(1000);
    }
    assert.equal(announced().length, 2);
  });

  it('600 at once are not taken for a storm, nor do they keep a host waiting that speaks', () => {
    for (let i = 0; i < 600; i++)
      router.frame(FOREIGN, dad((0x020000010000 + i) as Mac, ip6(`2001:db8:1::1:${i.toString(16)}`)));
    router.plug(FOREIGN, GUEST_MAC, A);
    router.frame(FOREIGN, advertisement(GUEST_MAC, A));
    router.advance(2);
    assert.ok(isHeld(A, FOREIGN));
  });
});

it('a solicited advertisement counts by its target and by who was addressed, wherever the frame went', () => {
  router.frame(FOREIGN, advertisement(GUEST_MAC, A));
  const elsewhere = 0x020000000099 as Mac;
  const answer = (destinationIp: Ipv6) =>
    advertisement(GUEST_MAC, A, {
      destination: elsewhere,
      sourceIp: GUEST_LINK_LOCAL,
      destinationIp,
      isSolicited: true,
      isOverride: false,
      linkLayerAddress: undefined,
    });
  router.frame(FOREIGN, answer(ip6('fe80::99')));
  assert.equal(isHeld(A, FOREIGN), false, 'an answer to somebody else');
  router.frame(FOREIGN, answer(GATEWAY));
  assert.ok(isHeld(A, FOREIGN), 'to the MAC of the other router, in whose name it was asked');
});
