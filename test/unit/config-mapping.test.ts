import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ConfigError, configForInterfaces, needsRestart, parseConfig } from '../../src/config/config.js';
import { mappingLines } from '../../src/config/mapping.js';
import { readArguments } from '../../src/cli/arguments/arguments.js';
import { type Ip, parseIp } from '../../src/wire/addresses.js';

const ip = (text: string) => parseIp(text) as Ip;
const LEAST = 'rloc = "10.255.0.1"\nservers = ["10.255.0.1"]\n';
const parse = (lines = LEAST, rest = '') => parseConfig(`${rest}\n[mapping]\n${lines}`);

function problemsOf(lines: string, rest = ''): readonly string[] {
  try {
    parse(lines, rest);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('the least [mapping], on a border router without an [[interface]]', () => {
  const { mapping, policy, router } = parse();
  assert.deepEqual(mapping, {
    rlocs: [ip('10.255.0.1')],
    servers: [ip('10.255.0.1')],
    isServer: true,
    keyFile: '/etc/marpd/mapping.keys',
    instance: 100,
    encapsulation: 'vxlan-gpe',
    port: 4790,
    device: 'marp0',
    mtu: undefined,
    checksum: false,
    protocol: 45,
    table: 254,
    metric: 20,
    announce: 'home',
    stateFile: '/run/marpd/mappings.json',
    sites: [],
  });
  assert.deepEqual(policy.interfaces, []);
  assert.ok(
    policy.remoteProtocols.includes(45) && router.remoteProtocols.includes(45),
    'mappings are claims',
  );
});

test('without [mapping] nothing is different', () => {
  const config = configForInterfaces(['lan0']);
  assert.equal(config.mapping, undefined);
  assert.ok(!config.policy.remoteProtocols.includes(45));
  assert.throws(() => parseConfig(''), /at least one \[\[interface\]\]/);
});

const OTHER = 'rloc = "10.255.0.1"\nservers = ["10.255.0.2"]\n';
for (const [lines, problem, rest] of [
  ['servers = ["10.0.0.1"]', /^mapping\.rloc: is missing/],
  ['rloc = "10.0.0.1"', /^mapping\.servers: is missing/],
  [
    'rloc = ["10.0.0.1", "10.0.0.2"]\nservers = ["10.0.0.1"]',
    /^mapping\.rloc\[1\]: .* second address of its family/,
  ],
  ['rloc = "224.0.0.1"\nservers = ["10.0.0.1"]', /^mapping\.rloc\[0\]: .*multicast/],
  ['rloc = "10.0.0.1"\nservers = ["fd00::1"]', /^mapping\.servers\[0\]: fd00::1 is of a family/],
  ['rloc = "10.0.0.1"\nservers = ["10.0.0.2", "10.0.0.2"]', /^mapping\.servers\[1\]: .* named twice/],
  [
    'rloc = ["10.0.0.1", "fd00::1"]\nservers = ["10.0.0.1"]\nencapsulation = "vxlan"',
    /^mapping\.rloc: .*needs one/,
  ],
  [`${LEAST}instance = 16777216`, /^mapping\.instance: 16777216 is too large/],
  [`${LEAST}port = 4342`, /^mapping\.port: 4342 is the port of the map servers/],
  [`${LEAST}mtu = 500`, /^mapping\.mtu: 500 is out of range/],
  [`${LEAST}mtu = "small"`, /^mapping\.mtu: must be a number of bytes or "auto"/],
  [`${LEAST}protocol = 44`, /^mapping\.protocol: 44 is router\.protocol/],
  [`${LEAST}protocol = 186`, /^mapping\.protocol: 186 belongs to bgp/],
  [`${LEAST}metric = 1`, /^mapping\.metric: 1 must be above router\.fresh_metric/],
  [`${LEAST}metric = 4000000000`, /^mapping\.metric: .*must be below router\.settled_metric/],
  [`${LEAST}table = 77`, /^mapping\.table: 77 is not in router\.watch_tables/],
  [`${LEAST}device = "marp tunnel"`, /^mapping\.device: must be an interface name/],
  [`${LEAST}device = "tap9"`, /^mapping\.device: "tap9" matches/, '[[interface]]\nname = "tap*"'],
  [`${LEAST}key_file = "keys"`, /^mapping\.key_file: must be an absolute path/],
  [`${OTHER}[mapping.server]`, /^mapping\.server: no map server runs here: add 10\.255\.0\.1/],
  [
    `${LEAST}[[mapping.server.site]]\nkey = 1\nprefixes = ["10.1.1.5/24"]`,
    /^mapping\.server\.site\[0\]\.prefixes\[0\]: .*host bits/,
  ],
  [
    `${LEAST}[[mapping.server.site]]\nkey = 1\nprefixes = ["10.1.0.0/16"]\n[[mapping.server.site]]\nkey = 1\nprefixes = ["10.2.0.0/16"]`,
    /^mapping\.server\.site\[1\]\.key: 1 is already the key of site\[0\]/,
  ],
] as const)
  test(`refused: ${String(problem)}`, () => {
    const problems = problemsOf(lines, rest);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] as string, problem);
  });

test('every change of [mapping] needs a restart', () => {
  const before = parse();
  const site = '[[mapping.server.site]]\nkey = 1\nprefixes = ["10.1.0.0/16"]\n';
  assert.deepEqual(needsRestart(before, parse(`${LEAST}announce = "visitors"\n${site}`)), ['mapping']);
  assert.deepEqual(needsRestart(before, parse()), []);
  assert.deepEqual(needsRestart(before, parse(`${LEAST}port = 4789\n`)), ['mapping']);
  assert.ok(needsRestart(configForInterfaces(['lan0']), before).includes('mapping'));
});

test('two commands: a map server, and a router that uses it', () => {
  const one = readArguments(['--interface', 'lan0', '--rloc', '10.255.0.1', '--map-server']);
  const two = readArguments(
    '-i lan0 --rloc 10.255.0.2 --rloc fd00::2 --map-server 10.255.0.1 --key /etc/k'.split(' '),
  );
  const border = readArguments(['--map-server', '--rloc', '10.255.0.3']);
  const configs = [one, two, border].map(({ interfaces, families, mapping }) =>
    configForInterfaces(interfaces, families, mapping),
  );
  assert.deepEqual(
    configs.map(({ mapping, policy }) => [
      mapping?.isServer,
      mapping?.servers[0],
      mapping?.rlocs.length,
      mapping?.keyFile,
      policy.interfaces.length,
    ]),
    [
      [true, ip('10.255.0.1'), 1, '/etc/marpd/mapping.keys', 1],
      [false, ip('10.255.0.1'), 2, '/etc/k', 1],
      [true, ip('10.255.0.3'), 1, '/etc/marpd/mapping.keys', 0],
    ],
  );
  assert.equal(readArguments(['-i', 'lan0']).mapping, '');
  assert.equal(
    mappingLines(['10.0.0.1'], [], undefined),
    '[mapping]\nrloc = ["10.0.0.1"]\nservers = ["10.0.0.1"]\n',
  );
});

const main = new URL('../../src/main.ts', import.meta.url).pathname;
for (const [args, said] of [
  ['--rloc 10.0.0.1', '--rloc needs --map-server as well'],
  ['-i lan0 --key k', '--key needs --map-server as well'],
  ['-i lan0 --map-server', '--map-server needs --rloc ADDRESS as well'],
  ['--rloc x --map-server', '--rloc takes an IP address, not "x"'],
  ['-c x --rloc 10.0.0.1 --map-server', '--map-server and --config exclude each other'],
] as const)
  test(`marpd ${args} is a usage error`, () => {
    const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...args.split(' ')], {
      encoding: 'utf8',
    });
    assert.equal(status, 2, stderr);
    assert.ok(stderr.includes(said), stderr);
  });
