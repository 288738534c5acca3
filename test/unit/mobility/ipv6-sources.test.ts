import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Link } from '../../../src/mobility/events.js';
import type { Subnet } from '../../../src/mobility/policy.js';
import { Topology } from '../../../src/mobility/network/topology.js';
import { type Ip, type Mac, formatIp } from '../../../src/wire/addresses.js';
import { LAN0, LAN1, link, macOf } from './small-router.js';
import { OTHERS, SHARED, SUBNETS6, ip6, lan6, ownLinkLocal, policy6, subnet6 } from './small-router6.js';

/** Which addresses are whose on which link, and in whose name hosts are asked over IPv6. */

const VISITOR = ip6('2001:db8:1::5');
const LOCAL = ip6('2001:db8:2::5');
const UNKNOWN = ip6('2001:db8:99::5');

function topology(
  subnets: readonly Subnet[] = SUBNETS6,
  links: readonly Link[] = [lan6(LAN0), lan6(LAN1)],
): Topology {
  const made = new Topology(policy6(subnets));
  for (const one of [link(2, 'wan', ['2001:db8:ff::1/64', 'fe80::1/64']), ...links]) made.setLink(one);
  return made;
}

const text = (ip: Ip | undefined) => (ip === undefined ? undefined : formatIp(ip));
const lan1 = (...addresses: string[]) => [lan6(LAN0), lan6(LAN1, {}, addresses)];

describe('a link-local address belongs to a link (RFC 4291 section 2.5.6)', () => {
  it('is an address of ours on the interfaces that have it, and nowhere else', () => {
    const made = topology(SUBNETS6, [lan6(LAN0), lan6(LAN1, {}, ['fe80::b/64'])]);
    const shared = ip6(SHARED);
    assert.ok(!made.isLocal(shared), 'of the machine as a whole');
    assert.ok(made.isLocalOn(shared, LAN0));
    assert.ok(!made.isLocalOn(shared, LAN1));
    assert.equal(made.holderOn(shared, LAN0)?.index, LAN0);
    assert.ok(made.isGateway(shared), 'of the configuration: on every LAN');
    assert.ok(made.isLocal(ip6('2001:db8:1::1')) && !made.isLocalOn(ip6('2001:db8:1::1'), LAN1));
  });

  it('makes no subnet that a host could be at home in', () => {
    const made = topology();
    assert.equal(made.subnets.homeInterface(ip6('fe80::5')), undefined);
    assert.ok(!made.subnets.isHome(LAN0, ip6(SHARED)) && !made.subnets.isOnOtherLan(ip6('fe80::ff')));
  });

  it('is the gateway of a LAN when a subnet of that LAN names it', () => {
    const made = topology();
    assert.ok(made.subnets.isGatewayOn(LAN0, ip6(OTHERS)));
    assert.ok(!made.subnets.isGatewayOn(LAN1, ip6(OTHERS)));
    assert.ok(made.subnets.isGatewayOn(LAN1, ip6(SHARED)));
  });
});

describe('RFC 4291 section 2.6.1: the subnet-router anycast address', () => {
  it('is no host of a connected or a configured prefix, wherever its gateway is', () => {
    const made = topology([subnet6('2001:db8:77::/64', SHARED)]);
    for (const edge of ['2001:db8:1::', '2001:db8:ff::', '2001:db8:77::'])
      assert.ok(made.subnets.isEdge(ip6(edge)) && made.subnets.isNeverAnswered(ip6(edge)), edge);
    for (const host of ['2001:db8:1::ffff:ffff:ffff:ffff', '2001:db8:78::', '2001:db8:77::1'])
      assert.ok(!made.subnets.isEdge(ip6(host)), host);
  });
});

describe('in whose name an IPv6 host is asked (design.md 3.2 "Prove")', () => {
  const source = (made: Topology, iface: number, ip: Ip) => text(made.probeSource(iface, ip));

  it('a visitor: a gateway of its subnet, one that the kernel has there before others', () => {
    assert.equal(source(topology(), LAN1, VISITOR), SHARED);
    const distinct = [subnet6('2001:db8:1::/64', OTHERS), subnet6('2001:db8:2::/64', 'fe80::b2')];
    assert.equal(source(topology(distinct), LAN1, VISITOR), OTHERS, 'that nobody has there');
    const both = [subnet6('2001:db8:1::/64', OTHERS, SHARED)];
    assert.equal(source(topology(both), LAN1, VISITOR), SHARED);
    assert.equal(
      source(topology([subnet6('2001:db8:1::/64', '2001:db8:1::1')]), LAN1, VISITOR),
      '2001:db8:1::1',
    );
  });

  it('a host at home: its gateway if the kernel has it there, else our own address there', () => {
    assert.equal(source(topology(), LAN1, LOCAL), SHARED);
    const without = lan1('2001:db8:2::1/64', 'fe80::b/64');
    assert.equal(source(topology(SUBNETS6, without), LAN1, LOCAL), 'fe80::b', 'not in another one’s name');
    assert.equal(source(topology(SUBNETS6, lan1('2001:db8:2::1/64')), LAN1, LOCAL), '2001:db8:2::1');
  });

  it('BSD answers neighbours alone: never from a global address of ours that is elsewhere', () => {
    assert.equal(source(topology([]), LAN1, VISITOR), ownLinkLocal(LAN1));
    assert.equal(source(topology(), LAN1, UNKNOWN), ownLinkLocal(LAN1));
    assert.equal(source(topology([], lan1('2001:db8:2::1/64')), LAN1, VISITOR), undefined);
    const far = [subnet6('2001:db8:1::/64', '2001:db8:ff::9')];
    assert.equal(source(topology(far), LAN1, VISITOR), ownLinkLocal(LAN1), 'a gateway outside of the prefix');
    assert.equal(source(topology([], lan1('fe80::1/64')), LAN1, VISITOR), SHARED, 'the only one');
  });

  it('a standby, and who leaves visitors to another machine, ask as themselves', () => {
    const made = topology();
    made.roles.setSilent(LAN1, 'ipv6', true);
    assert.equal(source(made, LAN1, VISITOR), ownLinkLocal(LAN1));
    const bare = topology(SUBNETS6, lan1('fe80::1/64'));
    bare.roles.setSilent(LAN1, 'ipv6', true);
    assert.equal(source(bare, LAN1, VISITOR), undefined, 'there is no own one');
    const deferring = topology();
    deferring.roles.setDeferring(LAN1, 'ipv6', true);
    assert.equal(source(deferring, LAN1, VISITOR), ownLinkLocal(LAN1));
    assert.equal(source(deferring, LAN1, LOCAL), SHARED);
  });

  it('the gateways that the proof leaves as they are: all others of a visitor, of a host at home those that we have', () => {
    const repaired = (made: Topology, iface: number, ip: Ip) =>
      made.gatewaysToRepair(iface, ip).map(formatIp);
    assert.deepEqual(repaired(topology(), LAN1, VISITOR), [OTHERS]);
    assert.deepEqual(repaired(topology(), LAN1, LOCAL), []);
    const three = [subnet6('2001:db8:1::/64', OTHERS, SHARED, '2001:db8:1::1')];
    assert.deepEqual(repaired(topology(three), LAN0, VISITOR), ['2001:db8:1::1']);
    const silent = topology();
    silent.roles.setSilent(LAN1, 'ipv6', true);
    assert.deepEqual(repaired(silent, LAN1, VISITOR), []);
    assert.deepEqual(topology().gatewaysToRepair(LAN1, 0x0a010105 as never), [], 'IPv4 has one');
  });

  it('a name that tells nothing: the own link-local address, else the gateway all the same, never ::', () => {
    const outside = (made: Topology) => text(made.outsideSource(LAN1, VISITOR, ip6(SHARED)));
    assert.equal(outside(topology()), ownLinkLocal(LAN1));
    assert.equal(outside(topology(SUBNETS6, lan1('2001:db8:2::1/64', 'fe80::1/64'))), SHARED);
  });

  it('our address on a LAN, for whom it is asked there', () => {
    const on = (made: Topology, other: string) => text(made.addressOn(LAN1, ip6(other)));
    assert.equal(on(topology(), SHARED), ownLinkLocal(LAN1));
    const bare = topology(SUBNETS6, lan1('2001:db8:2::1/64', 'fe80::1/64'));
    assert.equal(on(bare, SHARED), '2001:db8:2::1', 'a router there is in the prefix, too');
    assert.equal(on(bare, '2001:db8:2::5'), '2001:db8:2::1');
    assert.equal(on(bare, '2001:db8:99::5'), SHARED);
  });
});

describe('with which MAC we speak IPv6', () => {
  const [vrrp4, vrrp6] = [0x00005e000133 as Mac, 0x00005e000233 as Mac];
  const macvlan = (index: number, name: string, mac: Mac, address: string) =>
    link(index, name, [address], { mac, type: 'macvlan', lower: LAN1 });
  const made = topology(
    [...SUBNETS6, { prefix: { ip: 0x0a020200 as never, length: 24 }, gateways: [0x0a0202fe as never] }],
    [
      lan6(LAN0),
      lan6(LAN1, {}, ['10.2.2.2/24', '2001:db8:2::2/64', 'fe80::b/64']),
      macvlan(20, 'vrrp4-1', vrrp4, '10.2.2.254/32'),
      macvlan(21, 'vrrp6-1', vrrp6, `${SHARED}/64`),
    ],
  );

  it('RFC 9568 section 7.3: that of the virtual router of the family', () => {
    assert.equal(made.speakingMac(LAN1, ip6(SHARED)), vrrp6);
    assert.equal(made.speakingMac(LAN1, LOCAL), vrrp6, 'of others');
    assert.equal(made.speakingMac(LAN1, 0x0a020205 as never), vrrp4);
    assert.equal(made.speakingMac(LAN1, ip6('fe80::b')), macOf(LAN1), 'our own address is not virtual');
    assert.equal(text(made.probeSource(LAN1, LOCAL)), SHARED);
    assert.equal(text(made.kernelSource(LAN1, LOCAL)), 'fe80::b');
  });

  it('the own link-local address is that of the interface, not of its macvlans', () => {
    assert.deepEqual(made.linkLocalsOn(LAN1).map(formatIp), ['fe80::b', SHARED]);
  });
});

describe('a mobility interface without IPv6', () => {
  it('is usable for IPv4 hosts alone', () => {
    const made = topology(SUBNETS6, [lan6(LAN0), lan6(LAN1, { hasIpv6: false })]);
    made.setCapturing(LAN1, true);
    assert.ok(made.isUsable(LAN1) && made.isListening(LAN1));
    assert.ok(made.isUsable(LAN1, 0x0a020205 as never));
    assert.ok(!made.isUsable(LAN1, LOCAL) && !made.isListening(LAN1, LOCAL));
  });
});
