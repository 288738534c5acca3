import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/config.js';
import { Topology } from '../../../src/mobility/network/topology.js';
import { formatPrefix, type Ip, type Mac, parseIp } from '../../../src/wire/addresses.js';
import { link } from './small-router.js';

const ip = (text: string): Ip => parseIp(text) as Ip;

function topology(subnets: readonly (readonly [string, string?])[] = []): Topology {
  const families = subnets.some(([prefix]) => prefix.includes(':')) ? '"ipv4", "ipv6"' : '"ipv4"';
  const text = subnets.map(([prefix, gateway]) => {
    return `[[subnet]]\nprefix = "${prefix}"\n${gateway === undefined ? '' : `gateway = "${gateway}"\n`}`;
  });
  const made = new Topology(
    parseConfig(`[router]\nfamilies = [${families}]\n[[interface]]\nname = "lan*"\n${text.join('')}`).policy,
  );
  made.setLink(link(1, 'lo', ['127.0.0.1/8', '::1/128']));
  made.setLink(link(2, 'wan', ['10.255.0.1/30']));
  made.setLink(link(10, 'lan0', ['10.1.1.1/24', 'fe80::1/64']));
  made.setLink(link(11, 'lan1', ['10.2.2.1/24', '10.3.3.1/24']));
  return made;
}

describe('a gateway that is on every LAN (design.md 3.6)', () => {
  it('is found on one of 300 as fast as an address of that LAN alone', () => {
    const made = topology();
    for (let index = 100; index < 400; index++)
      made.setLink(link(index, `lan${index}`, ['fe80::1/64', `fe80::${index}/64`]));
    const msOf = (address: Ip) => {
      const began = performance.now();
      let found = 0;
      for (let i = 0; i < 20_000; i++) if (made.isLocalOn(address, 399)) found++;
      assert.equal(found, 20_000);
      return performance.now() - began;
    };
    const bestOf = (address: Ip) => Math.min(...[1, 2, 3].map(() => msOf(address)));
    const [aloneMs, sharedMs] = [bestOf(ip('fe80::399')), bestOf(ip('fe80::1'))];
    assert.ok(sharedMs < 5 * aloneMs + 10, `${sharedMs} ms, and ${aloneMs} ms`);
    assert.ok(!made.isLocalOn(ip('fe80::1'), 11));
    assert.equal(made.holderOn(ip('fe80::1'), 150)?.index, 150);
  });
});

describe('mobility interfaces (design.md 3.2)', () => {
  it('are those that a rule names; one with a master is never one', () => {
    const made = topology();
    assert.ok(made.rule(10) !== undefined);
    assert.equal(made.rule(2), undefined);
    made.setLink(link(10, 'lan0', [], { master: 20 }));
    assert.equal(made.rule(10), undefined);
    made.setLink(link(10, 'lan0', ['10.1.1.1/24']));
    assert.ok(made.rule(10) !== undefined);
    made.removeLink(10);
    assert.equal(made.rule(10), undefined);
    assert.equal(made.linkNamed('lan0'), undefined);
  });

  it('usable: up with carrier; listening: captured as well', () => {
    const made = topology();
    assert.ok(made.isUsable(10));
    assert.ok(!made.isUsable(2), 'no mobility interface');
    assert.ok(!made.isListening(10));
    made.setCapturing(10, true);
    assert.ok(made.isListening(10));
    for (const change of [{ up: false }, { carrier: false }]) {
      made.setLink(link(10, 'lan0', [], change));
      assert.ok(!made.isUsable(10));
      assert.ok(!made.isListening(10));
    }
    made.removeLink(10);
    made.setLink(link(10, 'lan0', []));
    assert.ok(!made.isListening(10), 'a re-created interface is not captured yet');
  });
});

describe('addresses of the box', () => {
  it('one that another machine has is not ours, but its subnet is on the LAN', () => {
    const made = topology([['2001:db8:1::/64', 'fe80::1']]);
    const addresses = ['2001:db8:1::1/64', 'fe80::1/64', 'fe80::a1/64'];
    made.setLink(link(10, 'lan0', addresses));
    assert.equal(made.gatewayHolder(10, 'ipv6')?.gateway, ip('fe80::1'));
    made.setLink(link(10, 'lan0', addresses, { duplicates: [ip('fe80::1'), ip('2001:db8:1::1')] }));
    assert.ok(!made.isLocalOn(ip('fe80::1'), 10));
    assert.ok(!made.isLocal(ip('2001:db8:1::1')));
    assert.deepEqual(made.linkLocalsOn(10), [ip('fe80::a1')]);
    assert.equal(made.gatewayHolder(10, 'ipv6'), undefined);
    assert.ok(made.subnets.isHome(10, ip('2001:db8:1::5')));
    assert.equal(made.ownSource(10, ip('2001:db8:1::5')), ip('fe80::a1'));
  });

  it('local addresses, own MACs, gateways', () => {
    const made = topology([['10.9.9.0/24', '10.9.9.1']]);
    assert.ok(made.isLocal(ip('10.2.2.1')));
    assert.ok(made.isLocal(ip('127.0.0.1')));
    assert.ok(made.isLocalOn(ip('10.2.2.1'), 11));
    assert.ok(!made.isLocalOn(ip('10.2.2.1'), 10));
    assert.ok(!made.isLocal(ip('10.9.9.1')), 'a gateway of the configuration need not be ours');
    assert.ok(made.isGateway(ip('10.9.9.1')));
    assert.ok(made.isOwnMac(10, 0x02000000000a as Mac));
    assert.ok(!made.isOwnMac(10, 0 as Mac));
    made.setLink(link(11, 'lan1', []));
    assert.ok(!made.isLocal(ip('10.2.2.1')), 'the address went');
  });

  it('own MACs are those of the interface, its master and its ports, not of every link: macvtap', () => {
    const made = topology();
    const guest = 0x5254000a0105 as Mac;
    made.setLink(link(30, 'macvtap0', [], { mac: guest, type: 'macvtap' }));
    made.setLink(link(31, 'lan3', [], { type: 'bridge' }));
    made.setLink(link(32, 'tap7', [], { master: 31 }));
    made.setLink(link(33, 'tap8', [], { master: 31 }));
    const macOf = (index: number) => (0x020000000000 + index) as Mac;
    assert.ok(!made.isOwnMac(10, guest), 'the guest of a macvtap on the card of lan0');
    assert.ok(made.isOwnMac(30, guest));
    assert.ok(made.isOwnMac(31, macOf(31)) && made.isOwnMac(31, macOf(32)) && made.isOwnMac(31, macOf(33)));
    assert.ok(made.isOwnMac(32, macOf(31)), 'of its bridge');
    assert.ok(!made.isOwnMac(32, macOf(33)), 'another port is another place');
    assert.ok(!made.isOwnMac(10, macOf(11)));
    made.removeLink(32);
    assert.ok(!made.isOwnMac(31, macOf(32)));
  });

  it('home: the subnet of the interface; the longest prefix decides between two', () => {
    const made = topology();
    assert.ok(made.subnets.isHome(11, ip('10.3.3.9')));
    assert.ok(!made.subnets.isHome(10, ip('10.3.3.9')));
    assert.equal(made.subnets.homeInterface(ip('10.1.1.9')), 10);
    assert.equal(made.subnets.homeInterface(ip('10.9.9.9')), undefined);
    made.setLink(link(12, 'lan2', ['10.1.1.129/25']));
    assert.equal(made.subnets.homeInterface(ip('10.1.1.200')), 12);
    assert.equal(made.subnets.homeInterface(ip('10.1.1.5')), 10);
  });

  it('another LAN: connected, and hosts do not move there', () => {
    const made = topology();
    assert.ok(made.subnets.isOnOtherLan(ip('10.255.0.2')));
    assert.ok(!made.subnets.isOnOtherLan(ip('10.1.1.9')));
    assert.ok(!made.subnets.isOnOtherLan(ip('192.0.2.1')));
  });

  it('RFC 1122 section 3.2.1.3: edges of connected and of configured subnets', () => {
    const made = topology([['10.9.9.0/24', '10.9.9.1']]);
    for (const edge of ['10.1.1.0', '10.1.1.255', '10.9.9.0', '10.9.9.255'])
      assert.ok(made.subnets.isEdge(ip(edge)), edge);
    assert.ok(!made.subnets.isEdge(ip('10.1.1.254')));
  });

  it('RFC 1122 section 3.2.1.3: a routed block, whose gateway lies elsewhere, has no edges; a connected one has', () => {
    const made = topology([
      ['203.0.113.0/24', '169.254.1.1'],
      ['203.0.114.0/29', '198.51.100.1'],
      ['203.0.115.8/29'],
      ['203.0.116.0/31', '203.0.116.0'],
      ['203.0.117.5/32', '203.0.117.5'],
      ['10.1.1.0/24', '169.254.1.1'],
    ]);
    const hosts = ['203.0.113.0', '203.0.113.255', '203.0.114.7', '203.0.115.8', '203.0.115.15'];
    for (const host of [...hosts, '203.0.116.0', '203.0.116.1', '203.0.117.5'])
      assert.ok(!made.subnets.isEdge(ip(host)), host);
    for (const edge of ['10.1.1.0', '10.1.1.255'])
      assert.ok(made.subnets.isEdge(ip(edge)), `${edge} is connected`);
  });

  it('RFC 3927 section 7, RFC 6890: what no router may speak for', () => {
    const made = topology([['10.9.9.0/24', '10.9.9.1']]);
    const never = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '169.254.7.7', '169.254.255.255', '224.0.0.251'];
    for (const target of [
      ...never,
      '239.255.255.250',
      '240.0.0.1',
      '255.255.255.255',
      'fe80::1',
      '::',
      'ff02::1',
    ])
      assert.ok(made.subnets.isNeverAnswered(ip(target)), target);
    for (const edge of ['10.1.1.0', '10.1.1.255', '10.255.0.3', '10.9.9.255'])
      assert.ok(made.subnets.isNeverAnswered(ip(edge)), edge);
    for (const target of ['1.0.0.1', '10.1.1.99', '169.253.1.1', '192.0.2.1', '198.51.100.0', '2001:db8::1'])
      assert.ok(!made.subnets.isNeverAnswered(ip(target)), target);
  });

  it('allowed by default: the configured subnets, else the connected subnets of the mobility interfaces', () => {
    assert.deepEqual(topology([['10.9.9.0/24']]).subnets.defaultAllow.map(formatPrefix), ['10.9.9.0/24']);
    assert.deepEqual(topology().subnets.defaultAllow.map(formatPrefix), [
      '10.1.1.1/24',
      '10.2.2.1/24',
      '10.3.3.1/24',
    ]);
  });
});

describe('sender IP of a proof (design.md 3.2 Prove)', () => {
  const made = topology([['10.1.1.0/24', '10.1.1.254'], ['10.9.9.0/24', '10.9.9.1'], ['10.8.8.0/24']]);
  const rows: readonly (readonly [string, number, string, string])[] = [
    ['at home our own address there, never another router', 10, '10.1.1.5', '10.1.1.1'],
    ['on an interface with two subnets the one of the host', 11, '10.3.3.5', '10.3.3.1'],
    ['towards a visitor the configured gateway of its home', 11, '10.1.1.5', '10.1.1.254'],
    ['also when that home is nowhere here', 10, '10.9.9.5', '10.9.9.1'],
    ['else our address in its subnet', 10, '10.2.2.5', '10.2.2.1'],
    ['else our address on the receiving interface', 11, '10.8.8.5', '10.2.2.1'],
  ];
  for (const [title, iface, host, source] of rows) {
    it(title, () => assert.equal(made.probeSource(iface, ip(host)), ip(source)));
  }
  it('on a LAN without any address of ours, any address; never 0.0.0.0', () => {
    made.setLink(link(12, 'lan2', []));
    const source = made.probeSource(12, ip('10.8.8.5'));
    assert.ok(source !== undefined && made.isLocal(source));
    assert.equal(
      new Topology(parseConfig('[[interface]]\nname = "lan*"\n').policy).probeSource(10, ip('10.8.8.5')),
      undefined,
    );
  });
});
