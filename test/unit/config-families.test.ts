import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, configForInterfaces, needsRestart, parseConfig } from '../../src/config/config.js';
import { withFamilies } from '../../src/config/families.js';
import { type Family, parseIp, parsePrefix } from '../../src/wire/addresses.js';
import { familyOff } from '../../src/wire/host-address.js';

/** `router.families`, and what a configuration can say of IPv6. */

function problemsOf(text: string): readonly string[] {
  try {
    parseConfig(text);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

const site = (rest: string, families: readonly Family[] = ['ipv4', 'ipv6']) =>
  `[[interface]]\nname = "lan0"\n${rest}\n[router]\nfamilies = ${JSON.stringify(families)}\n`;
const subnet = (prefix: string, keys = '') => `[[subnet]]\nprefix = "${prefix}"\n${keys}\n`;

const IPV6_SUBNET = subnet('2001:db8:1::/64', 'gateway = ["fe80::1", "2001:db8:1::1"]');

describe('router.families', () => {
  it('is IPv4 alone unless the file says otherwise', () => {
    assert.deepEqual(parseConfig('[[interface]]\nname = "lan0"\n').policy.families, ['ipv4']);
    assert.deepEqual(parseConfig(site('', ['ipv6'])).policy.families, ['ipv6']);
    assert.deepEqual(parseConfig(site('')).policy.families, ['ipv4', 'ipv6']);
    assert.deepEqual(configForInterfaces(['lan0']).policy.families, ['ipv4']);
    assert.deepEqual(configForInterfaces(['lan0'], ['ipv6']).policy.families, ['ipv6']);
  });

  it('has each family once, and at least one', () => {
    assert.deepEqual(problemsOf(site('', [])), ['router.families: needs at least 1 entry']);
    assert.deepEqual(problemsOf(site('', ['ipv6', 'ipv6'])), ['router.families[1]: "ipv6" is named twice']);
    assert.match(
      problemsOf(site('', ['ip' as Family]))[0] as string,
      /^router\.families\[0\]: must be "ipv4" or "ipv6", not "ip"$/,
    );
  });

  it('without IPv6 refuses what is of IPv6 alone', () => {
    assert.deepEqual(problemsOf(site('multicast_router = true')), []);
    assert.match(
      problemsOf(site('multicast_router = true', ['ipv4']))[0] as string,
      /^interface\[0\]\.multicast_router: RFC 4286 is of IPv6/,
    );
  });

  it('needs a restart to change; until then an address of the other family has no effect', () => {
    const before = parseConfig(site(''));
    const after = parseConfig(site(subnet('10.1.1.0/24'), ['ipv4']));
    assert.deepEqual(needsRestart(before, after), ['router.families']);
    const both = parseConfig(
      site(
        `peers = ["10.1.1.2", "fe80::2"]\n${subnet('10.1.1.0/24')}${IPV6_SUBNET}
        [policy]
        allow = ["10.0.0.0/8", "2001:db8::/32"]
        deny = ["10.9.0.0/16", "2001:db8:9::/48"]
        bind = [{ ip = "2001:db8:1::5", mac = "02:00:00:00:00:05" }]`,
      ),
    );
    const policy = withFamilies(both.policy, ['ipv4']);
    assert.deepEqual(policy.families, ['ipv4']);
    assert.deepEqual(policy.interfaces[0]?.peers, [parseIp('10.1.1.2')]);
    assert.deepEqual(
      policy.subnets.map(({ prefix }) => prefix),
      [parsePrefix('10.1.1.0/24')],
    );
    assert.deepEqual(policy.allow, [parsePrefix('10.0.0.0/8')]);
    assert.deepEqual(policy.deny, [parsePrefix('10.9.0.0/16')]);
    assert.equal(policy.bindings.size, 0);
  });

  const v6 = ['ipv6'] as const;
  const v4 = ['ipv4'] as const;
  for (const [path, families, text] of [
    ['subnet[0].prefix', v4, subnet('2001:db8::/64')],
    ['subnet[0].prefix', v4, subnet('2001:db8::/64', 'gateway = "fe80::1"')],
    ['policy.allow[0]', v4, '[policy]\nallow = ["2001:db8::/32"]'],
    ['policy.deny[0]', v4, '[policy]\ndeny = ["::/0"]'],
    ['policy.bind[0].ip', v4, '[policy]\nbind = [{ ip = "2001:db8::5", mac = "02:00:00:00:00:01" }]'],
    ['interface[0].peers[0]', v4, 'peers = ["fe80::2"]'],
    ['subnet[0].prefix', v6, subnet('10.1.1.0/24', 'gateway = "10.1.1.1"')],
    ['policy.allow[1]', v6, '[policy]\nallow = ["2001:db8::/32", "10.0.0.0/8"]'],
  ] as const) {
    it(`refuses an address in ${path} when only ${families[0]} is served`, () => {
      const problems = problemsOf(site(text, families));
      assert.equal(problems.length, 1);
      const other = families[0] === 'ipv4' ? 'ipv6' : 'ipv4';
      assert.ok(problems[0]?.startsWith(`${path}: `) && problems[0].endsWith(familyOff(other)), problems[0]);
      assert.deepEqual(problemsOf(site(text)), []);
    });
  }
});

describe('gateways of IPv6', () => {
  it('are one or several, link-local ones among them', () => {
    const { policy } = parseConfig(
      site(IPV6_SUBNET + subnet('2001:db8:2::/64', 'gateway = "fe80::1"') + subnet('2001:db8:3::/64')),
    );
    assert.deepEqual(
      policy.subnets.map(({ gateways }) => gateways),
      [[parseIp('fe80::1'), parseIp('2001:db8:1::1')], [parseIp('fe80::1')], []],
    );
  });

  it('may be an address of another prefix of the same LAN', () => {
    const text = IPV6_SUBNET + subnet('2001:db8:2::/64', 'gateway = "2001:db8:1::1"');
    assert.deepEqual(problemsOf(site(text)), []);
  });

  it('role = "gateway" follows a link-local one', () => {
    assert.deepEqual(problemsOf(site(`role = "gateway"\npeers = ["fe80::2"]\n${IPV6_SUBNET}`)), []);
    assert.match(
      problemsOf(site(`role = "gateway"\npeers = ["fe80::1"]\n${IPV6_SUBNET}`))[0] as string,
      /^interface\[0\]\.peers: fe80::1 is a gateway/,
    );
  });
});

for (const [what, text, problem] of [
  [
    'a link-local prefix',
    subnet('fe80::/64'),
    /^subnet\[0\]\.prefix: fe80::\/64 holds link-local addresses only/,
  ],
  [
    'a multicast prefix',
    subnet('ff00::/8'),
    /^subnet\[0\]\.prefix: ff00::\/8 holds multicast addresses only/,
  ],
  [
    'an IPv4-mapped prefix',
    subnet('::ffff:10.1.1.0/120'),
    /^subnet\[0\]\.prefix: ::ffff:10\.1\.1\.0\/120 holds IPv4-mapped addresses only/,
  ],
  [
    'host bits in a prefix',
    subnet('2001:db8:1::5/64'),
    /did you mean 2001:db8:1::\/64 or 2001:db8:1::5\/128\?/,
  ],
  ['nonsense', subnet('2001:db8::1::/64'), /is not a prefix/],
  [
    'a gateway of the other family',
    subnet('10.2.2.0/24', 'gateway = "fe80::1"'),
    /^subnet\[0\]\.gateway: fe80::1 can be no gateway of 10\.2\.2\.0\/24: they are of different families/,
  ],
  [
    'an IPv4 gateway of an IPv6 prefix',
    subnet('2001:db8::/64', 'gateway = ["fe80::1", "10.1.1.1"]'),
    /^subnet\[0\]\.gateway\[1\]: 10\.1\.1\.1 can be no gateway/,
  ],
  [
    'several IPv4 gateways',
    subnet('10.1.1.0/24', 'gateway = ["10.1.1.1", "10.1.1.2"]'),
    /^subnet\[0\]\.gateway\[1\]: 10\.1\.1\.2 is a second gateway/,
  ],
  [
    'a gateway twice',
    subnet('2001:db8::/64', 'gateway = ["fe80::1", "fe80:0::1"]'),
    /^subnet\[0\]\.gateway\[1\]: fe80::1 is named twice/,
  ],
  [
    'the Subnet-Router anycast address as gateway (RFC 4291 section 2.6.1)',
    subnet('2001:db8::/64', 'gateway = "2001:db8::"'),
    /^subnet\[0\]\.gateway: 2001:db8:: is the Subnet-Router anycast address/,
  ],
  [
    'a gateway far away',
    subnet('2001:db8:1::/64', 'gateway = "2001:db8:2::1"'),
    /^subnet\[0\]\.gateway: 2001:db8:2::1 is neither link-local nor in the prefix of a \[\[subnet\]\]/,
  ],
  [
    'discovery of a subnet of IPv6',
    subnet('2001:db8::/64', 'discover = true'),
    /^subnet\[0\]\.discover: 2001:db8::\/64 has too many addresses/,
  ],
  ['a multicast gateway', subnet('2001:db8::/64', 'gateway = "ff02::2"'), /^subnet\[0\]\.gateway.*multicast/],
  ['an unspecified gateway', subnet('2001:db8::/64', 'gateway = "::"'), /^subnet\[0\]\.gateway.*unspecified/],
  ['a loopback peer', 'peers = ["::1"]', /^interface\[0\]\.peers\[0\]: .*loopback/],
  [
    'a binding of a link-local address',
    '[policy]\nbind = [{ ip = "fe80::5", mac = "02:00:00:00:00:05" }]',
    /^policy\.bind\[0\]\.ip: fe80::5 is a link-local address, which no mobile host can have$/,
  ],
  [
    'a binding of an IPv4-mapped address',
    '[policy]\nbind = [{ ip = "::ffff:10.1.1.5", mac = "02:00:00:00:00:05" }]',
    /^policy\.bind\[0\]\.ip: .*IPv4-mapped/,
  ],
] as const)
  it(`wrong config: ${what} is refused with its path`, () => {
    const problems = problemsOf(site(text));
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] as string, problem);
  });

it('RFC 6164: a /127 has no Subnet-Router anycast address', () => {
  assert.deepEqual(problemsOf(site(subnet('2001:db8::/127', 'gateway = "2001:db8::"'))), []);
});

it('a /64 of IPv6 may be advertised to its visitors, and an interface declared that of a multicast router', () => {
  const { policy } = parseConfig(
    site(`multicast_router = true\n${subnet('2001:db8::/64', 'advertise = true')}`),
  );
  assert.equal(policy.subnets[0]?.advertise, true);
  assert.equal(policy.interfaces[0]?.multicastRouter, true);
  for (const prefix of ['2001:db8::/48', '10.1.1.0/24'])
    assert.match(
      problemsOf(site(subnet(prefix, 'advertise = true')))[0] as string,
      /^subnet\[0\]\.advertise: [^ ]+ is no \/64 of IPv6/,
    );
});

it('addresses per MAC are counted separately: 16 of IPv4, 64 of IPv6', () => {
  assert.deepEqual(parseConfig(site('')).policy.limits.addressesPerMac, { ipv4: 16, ipv6: 64 });
  const text = '[policy.limits]\naddresses_per_mac = 2\naddresses_per_mac_ipv6 = 8';
  assert.deepEqual(parseConfig(site(text)).policy.limits.addressesPerMac, { ipv4: 2, ipv6: 8 });
});
