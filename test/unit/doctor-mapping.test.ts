import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../src/config/config.js';
import { checkMapping } from '../../src/doctor/mapping.js';
import type { DaemonView, Facts, MappingFacts } from '../../src/doctor/finding.js';
import type { Link } from '../../src/mobility/events.js';
import { type Ip, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';

const config = parseConfig('[mapping]\nrloc = "10.255.0.1"\nservers = ["10.255.0.2"]\n');
const good: MappingFacts = { keyFileMode: 0o600, controlPortTaken: false, tunnelMtu: 1464, looped: [] };
const links = [
  { index: 2, name: 'core', mtu: 1500, rpFilter: 1, addresses: [parsePrefix('10.255.0.1/24') as Prefix] },
  { index: 3, name: 'marp0', mtu: 1464, rpFilter: 0, addresses: [] },
] as unknown as Link[];

const check = (
  more: Partial<MappingFacts> = {},
  sysctls: Record<string, number> = {},
  ls = links,
  daemon?: DaemonView,
) =>
  checkMapping(
    {
      mapping: { ...good, ...more },
      links: ls,
      sysctls: new Map(Object.entries(sysctls)),
    } as unknown as Facts,
    config,
    daemon,
  ).filter(({ level }) => level !== 'ok');

test('a good router has nothing to complain of', () => assert.deepEqual(check(), []));

for (const [what, args, message, fix] of [
  ['a key file for all', [{ keyFileMode: 0o644 }], /mode 0644: others can read/, /chmod 0600/],
  ['no key file', [{ keyFileMode: undefined }], /mapping\.keys is missing/, /copy it/],
  ['the port', [{ controlPortTaken: true }], /4342 .* taken/, /ss -lunp/],
  [
    'a loop',
    [{ looped: [parseIp('10.255.0.2') as Ip] }],
    /10\.255\.0\.2 is reached through marp0/,
    /ip route get/,
  ],
  ['a small underlay', [{ tunnelMtu: 1364 }], /is 1464, but .* leave 1364/, /mapping\.mtu/],
  [
    'redirects',
    [{}, { 'net/ipv4/conf/all/send_redirects': 1 }],
    /send_redirects is on/,
    /all\/send_redirects=0/,
  ],
  [
    'another address',
    [{}, {}, links.slice(1)],
    /10\.255\.0\.1 is no address of this machine/,
    /mapping\.rloc/,
  ],
  [
    'strict rp_filter',
    [{}, {}, [links[0], { ...links[1], rpFilter: 1 }]],
    /rp_filter is strict on marp0/,
    /=2/,
  ],
] as const)
  test(`doctor: ${what}`, () => {
    const [finding, ...more] = check(...(args as unknown as Parameters<typeof check>));
    assert.match(finding?.message ?? '', message);
    assert.match(finding?.fix ?? '', fix);
    assert.deepEqual(more, []);
  });

test('doctor: the daemon itself has the port', () => {
  assert.deepEqual(check({ controlPortTaken: true }, {}, links, {} as DaemonView), []);
});
