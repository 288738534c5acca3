import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseConfig } from '../../src/config/config.js';
import { diagnose } from '../../src/doctor/checks.js';
import { checkAlarms } from '../../src/doctor/daemon-checks.js';
import type { DaemonView, Facts, Finding, Ipv6Facts } from '../../src/doctor/finding.js';
import { isQuerier, readIcmpv6Counts } from '../../src/kernel/icmpv6-counts.js';
import type { Link } from '../../src/mobility/events.js';
import { type Ip, type Mac, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';

/** What `marpctl doctor` says of LANs with hosts of IPv6. */

const FILE = `
  [[interface]]
  name = "lan0"
  [[interface]]
  name = "lan1"
  [[subnet]]
  prefix = "2001:db8:1::/64"
  gateway = "fe80::1"
  [router]
  families = ["ipv6"]
`;

const SETTING = { key: 'accept_ra', wanted: 0, combined: false, withMacvlan: false } as const;
const NOTHING: Ipv6Facts = {
  queriesIn: 0,
  advertisementsIn: 0,
  advertisementsOut: 0,
  redirectsOut: 0,
  isQuerier: false,
};

/** The newest address is first, as the kernel lists them. */
const link = (name: string, index: number, addresses: readonly string[], more: Partial<Link> = {}): Link => ({
  index,
  name,
  mac: index as Mac,
  up: true,
  carrier: true,
  master: undefined,
  type: 'veth',
  addresses: addresses.map((text) => parsePrefix(text) as Prefix),
  rpFilter: 1,
  ...more,
});
const lan0 = link('lan0', 3, ['2001:db8:1::2/64', 'fe80::1/64', 'fe80::a1/64']);
const lan1 = link('lan1', 4, ['fe80::1/64', 'fe80::a2/64']);

function facts(more: Partial<Facts> = {}, counts: Partial<Ipv6Facts> = {}): Facts {
  return {
    sysctls: new Map([
      ['net/ipv6/conf/all/forwarding', 1],
      ['net/ipv6/conf/lan0/accept_ra', 0],
      ['net/ipv6/conf/lan1/accept_ra', 0],
    ]),
    interfaceSysctls: [{ ...SETTING, key: 'proxy_arp', consequence: 'nobody asks' }],
    interfaceSysctlsIpv6: [{ ...SETTING, consequence: 'a stranger gives this router its routes' }],
    ipv6: new Map([
      ['lan0', { ...NOTHING, ...counts }],
      ['lan1', NOTHING],
    ]),
    links: [lan0, lan1],
    routes: [],
    proxyNeighbours: [],
    capabilities: undefined,
    iproute2Version: '6.1.0',
    capBuild: { ok: true },
    ...more,
  };
}

function bad(given: Facts, file = FILE): Finding[] {
  return diagnose(given, parseConfig(file), undefined).filter(({ level }) => level !== 'ok');
}

/** That this and nothing else is wrong, beside the daemon that does not run. */
function assertOnly(found: readonly Finding[], check: string, message: RegExp, fix: RegExp): void {
  const others = found.filter((finding) => finding.check !== 'daemon');
  assert.deepEqual(
    others.map((finding) => finding.check),
    [check],
    JSON.stringify(others),
  );
  assert.match(others[0]?.message ?? '', message);
  assert.match(others[0]?.fix ?? '', fix);
}

describe('the doctor of a LAN with IPv6', () => {
  it('has nothing against the recommended site: fe80::1 everywhere, younger than the own address', () => {
    const found = diagnose(facts(), parseConfig(FILE), undefined);
    assert.deepEqual(
      found.filter(({ level, check }) => level !== 'ok' && check !== 'daemon'),
      [],
    );
    assert.ok(found.some(({ check, message }) => check === 'forwarding' && /forwards IPv6/.test(message)));
    assert.ok(
      !found.some(({ check }) => ['ip_forward', 'rp_filter', 'proxy_arp'].includes(check)),
      'IPv4 is off',
    );
  });

  it('says nothing of IPv6 while that is off', () => {
    const file = FILE.replaceAll('2001:db8:1::/64', '10.1.1.0/24').replace('fe80::1', '10.1.1.1');
    const found = bad(
      facts({ links: [link('lan0', 3, [])] }, { queriesIn: 9 }),
      file.replace('ipv6', 'ipv4'),
    );
    assert.ok(!found.some(({ check }) => ['ipv6', 'link-local', 'snooping', 'forwarding'].includes(check)));
  });

  it('a [[subnet]] of IPv4 alone leaves the connected subnets of IPv6 to its hosts', () => {
    const file = FILE.replace('2001:db8:1::/64', '10.1.1.0/24').replace('fe80::1', '10.1.1.1');
    const both = file.replace('["ipv6"]', '["ipv4", "ipv6"]');
    const said = (links: readonly Link[]) =>
      bad(facts({ links }), both).find(({ check }) => check === 'ipv6')?.message ?? '';
    assert.match(said([lan0, lan1]), /only hosts of the connected subnets are allowed/);
    const unnumbered = link('lan0', 3, ['fe80::1/64', 'fe80::a1/64']);
    assert.match(said([unnumbered, lan1]), /no host of IPv6 is allowed/);
    const proxyNeighbours = [{ ip: parseIp('2001:db8:1::5') as Ip, dev: 'lan0' }];
    const proxy = bad(facts({ proxyNeighbours }), both).find(({ check }) => check === 'proxy-ndp');
    assert.equal(proxy?.level, 'error', 'it may be a host of ours');
  });

  it('an address that failed Duplicate Address Detection is named, and how routers can share one', () => {
    const failed = { ...lan0, duplicates: [parseIp('fe80::1') as Ip] };
    assertOnly(
      bad(facts({ links: [failed, lan1] })),
      'duplicate-address',
      /^another machine on the LAN of lan0 has fe80::1: the kernel does not use it here/,
      /ip address del fe80::1\/64 dev lan0 && ip address add fe80::1\/64 dev lan0 nodad$/,
    );
  });

  it('redirects come from the oldest link-local address, which must not be the gateway', () => {
    const turned = link('lan0', 3, ['fe80::a1/64', 'fe80::1/64']);
    assertOnly(
      bad(facts({ links: [turned, lan1] })),
      'link-local',
      /^the gateway fe80::1 is the oldest link-local address of lan0/,
      /^ip address del fe80::1\/64 dev lan0 && ip address add fe80::1\/64 dev lan0$/,
    );
    const alone = link('lan0', 3, ['fe80::1/64']);
    assertOnly(
      bad(facts({ links: [alone, lan1] })),
      'link-local',
      /oldest/,
      /^ip address add fe80::ID\/64 dev lan0/,
    );
    const sent = bad(facts({ links: [turned, lan1] }, { redirectsOut: 7 })).map(({ check }) => check);
    assert.ok(sent.includes('redirects'));
    assertOnly(
      bad(facts({ links: [turned] }, { redirectsOut: 0 })).filter(({ check }) => check !== 'interface'),
      'link-local',
      /./,
      /./,
    );
  });

  it('the shared gateway has to be in the kernel, on every LAN', () => {
    assertOnly(
      bad(facts({ links: [lan0, link('lan1', 4, ['fe80::a2/64'])] })),
      'gateway',
      /^the shared gateway fe80::1 is not on lan1/,
      /^ip address add fe80::1\/64 dev lan1$/,
    );
  });

  it('a virtual router has the shared gateway: on one of the routers at a time, and on a macvlan (RFC 9568)', () => {
    const shared = (role: string) => FILE.replace('name = "lan1"', `name = "lan1"\n  role = "${role}"`);
    const own = link('lan1', 4, ['2001:db8:2::2/64', 'fe80::a2/64']);
    const macvlan = link('vrrp6', 5, ['fe80::1/64'], { type: 'macvlan', lower: 4, rpFilter: 0 });
    const absent = (role: string, ...links: readonly Link[]) =>
      bad(facts({ links: [lan0, own, ...links] }), shared(role)).filter(({ check }) => check === 'gateway');
    assert.deepEqual(absent('gateway'), []);
    assert.deepEqual(absent('told'), []);
    assert.equal(absent('first').length, 1);
    assert.deepEqual(absent('first', macvlan), []);
  });

  it('without a link-local address, without IPv6 at all, or below an MTU of 1280 nobody is resolved', () => {
    const bare = link('lan1', 4, ['2001:db8:2::1/64']);
    assertOnly(
      bad(facts({ links: [lan0, bare] })),
      'link-local',
      /^lan1 has no link-local address/,
      /addr_gen_mode/,
    );
    const off = { ...lan1, hasIpv6: false };
    assertOnly(bad(facts({ links: [lan0, off] })), 'ipv6', /^IPv6 is disabled on lan1/, /disable_ipv6=0/);
    const small = { ...off, mtu: 1279 };
    assertOnly(bad(facts({ links: [lan0, small] })), 'ipv6', /^the MTU of lan1 is 1279/, /mtu 1500/);
  });

  it('an MLD querier means that a snooping switch keeps hosts from us (RFC 4541, RFC 4286)', () => {
    assertOnly(
      bad(facts({}, { queriesIn: 2 })),
      'snooping',
      /^lan0 has an MLD querier/,
      /^multicast_router = true in the \[\[interface\]\] lan0/,
    );
    const told = FILE.replace('name = "lan0"', 'name = "lan0"\n  multicast_router = true');
    assert.ok(!bad(facts({}, { queriesIn: 2 }), told).some(({ check }) => check === 'snooping'));
    assert.ok(
      !bad(facts({}, { queriesIn: 2, isQuerier: true })).some(({ check }) => check === 'snooping'),
      'a bridge hears its own queries, and as a mobility interface it hears everything',
    );
  });

  it('another router that advertises itself, and a LAN where this one does not', () => {
    assertOnly(
      bad(facts({}, { advertisementsIn: 3 })),
      'ra-source',
      /^another router advertises itself on lan0 \(3 router advertisements received, 0 sent\)/,
      /tcpdump -eni lan0/,
    );
    assertOnly(
      bad(facts({}, { advertisementsOut: 3 })),
      'ra-source',
      /^this router advertises itself on lan0 and not on lan1/,
      /radvd/,
    );
    const others = (advertisementsIn: number, advertisementsOut: number) =>
      bad(facts({}, { advertisementsIn, advertisementsOut })).filter(({ message }) =>
        message.startsWith('another router'),
      ).length;
    assert.equal(others(3, 3), 0, 'radvd hears what it sends to all nodes');
    assert.equal(others(2, 3), 0, 'one of them went to one host alone');
    assert.equal(others(4, 3), 1);
    const shared = FILE.replace('name = "lan0"', 'name = "lan0"\n  role = "gateway"');
    assert.ok(!bad(facts({}, { advertisementsIn: 3 }), shared).some(({ check }) => check === 'ra-source'));
  });

  it('another router without the gateway address is one that advertises itself', () => {
    const says = (ip: string) => {
      const otherRouters = [{ interface: 'lan0', ip, mac: '02:00:00:00:00:66', sinceMs: 5000 }];
      return checkAlarms({ alarms: [], otherRouters } as unknown as DaemonView, parseConfig(FILE))[0]
        ?.message;
    };
    assert.match(says('fe80::66') ?? '', /on lan0 advertises itself as a router from fe80::66/);
    assert.match(says('fe80::1') ?? '', /uses the gateway address fe80::1/);
    assert.match(says('2001:db8:1::1') ?? '', /uses the gateway address/);
  });

  it('a default route by router advertisement is lost when the kernel forwards, unless accept_ra is 2', () => {
    const given = facts({ advertisedUplinks: ['wan0'] });
    const sysctls = (value: number) => new Map([...given.sysctls, ['net/ipv6/conf/wan0/accept_ra', value]]);
    const check = `${FILE}[kernel]\nsettings = "check"`;
    assertOnly(
      bad({ ...given, sysctls: sysctls(1) }, check),
      'accept_ra',
      /lost when the kernel forwards/,
      /accept_ra=2$/,
    );
    assert.ok(
      !bad({ ...given, sysctls: sysctls(2) }, check).some((finding) => finding.check === 'accept_ra'),
    );
    assert.ok(!bad({ ...given, sysctls: sysctls(1) }).some((finding) => finding.check === 'accept_ra'));
  });

  it('router advertisements of an uplink that the kernel ignores because it forwards already', () => {
    const given = (acceptRa: number, forwarding = 1, uplinks: readonly string[] = []) => {
      const base = facts({ advertisedUplinks: uplinks });
      return {
        ...base,
        sysctls: new Map([
          ...base.sysctls,
          ['net/ipv6/conf/wan0/accept_ra', acceptRa],
          ['net/ipv6/conf/wan0/forwarding', forwarding],
        ]),
        ipv6: new Map([...(base.ipv6 ?? []), ['wan0', { ...NOTHING, advertisementsIn: 3 }]]),
      };
    };
    assertOnly(
      bad(given(1)),
      'accept_ra',
      /^a router advertises itself on wan0, and the kernel ignores it/,
      /=2 if/,
    );
    for (const heard of [given(2), given(0), given(1, 0), given(1, 1, ['wan0'])])
      assert.ok(!bad(heard).some(({ check }) => check === 'accept_ra'));
  });

  it('settings of IPv6 are checked by their own table', () => {
    const check = `${FILE}[kernel]\nsettings = "check"`;
    const sysctls = new Map([...facts().sysctls, ['net/ipv6/conf/lan1/accept_ra', 1]]);
    assertOnly(
      bad(facts({ sysctls }), check),
      'accept_ra',
      /^accept_ra is 1 on lan1: a stranger gives this router its routes$/,
      /^sysctl -w net\/ipv6\/conf\/lan1\/accept_ra=0$/,
    );
    sysctls.set('net/ipv6/conf/lan1/accept_ra', 0).set('net/ipv6/conf/all/forwarding', 0);
    assertOnly(bad(facts({ sysctls }), check), 'forwarding', /does not forward IPv6/, /all\/forwarding=1$/);
  });

  it('proxy entries of Neighbor Discovery', () => {
    const proxyNeighbours = [{ ip: parseIp('2001:db8:1::5') as Ip, dev: 'lan1' }];
    assertOnly(
      bad(facts({ proxyNeighbours })),
      'proxy-ndp',
      /^the kernel answers neighbour solicitations for 2001:db8:1::5 on lan1/,
      /^ip neigh del proxy 2001:db8:1::5 dev lan1$/,
    );
  });

  it('a subnet without a link-local gateway, and IPv6 without a subnet', () => {
    assertOnly(
      bad(facts(), FILE.replace('fe80::1', '2001:db8:1::2')),
      'gateway',
      /^2001:db8:1::\/64 has no link-local gateway/,
      /gateway = "fe80::1"/,
    );
    const both = FILE.replace('["ipv6"]', '["ipv4", "ipv6"]').replace('2001:db8:1::/64', '10.1.1.0/24');
    const found = bad(facts(), both.replace('gateway = "fe80::1"', 'gateway = "10.1.1.1"'));
    assert.ok(found.some(({ message }) => /no \[\[subnet\]\] has a prefix of it/.test(message)));
  });
});

describe('what the kernel counts', () => {
  it('is read from /proc/net/dev_snmp6 and from the bridge', (t) => {
    const root = mkdtempSync(join(tmpdir(), 'marpd-snmp6-'));
    t.after(() => rmSync(root, { recursive: true }));
    const lines = ['ifIndex 3', 'Icmp6InGroupMembQueries \t2', 'Icmp6OutRedirects\t7', 'Icmp6OutType134\t1'];
    writeFileSync(join(root, 'lan0'), `${lines.join('\n')}\n`);
    assert.deepEqual(readIcmpv6Counts('lan0', root), {
      queriesIn: 2,
      advertisementsIn: 0,
      advertisementsOut: 0,
      redirectsOut: 7,
    });
    assert.equal(readIcmpv6Counts('lan9', root), undefined);
    mkdirSync(join(root, 'br0', 'bridge'), { recursive: true });
    writeFileSync(join(root, 'br0', 'bridge', 'multicast_querier'), '1\n');
    assert.equal(isQuerier('br0', root), true);
    assert.equal(isQuerier('lan0', root), false);
  });
});
