import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse as parseToml } from 'smol-toml';
import * as z from 'zod';
import { fileSchema } from '../../src/config/schema.js';
import { formatDurationMs, parseDurationMs } from '../../src/config/durations.js';
import { parseSizeBytes } from '../../src/config/scalars.js';
import {
  ConfigError,
  configForInterfaces,
  loadConfig,
  needsRestart,
  parseConfig,
} from '../../src/config/config.js';
import { parseIp, parseMac, parsePrefix } from '../../src/wire/addresses.js';

const CONFIG_DIRECTORY = new URL('../../config/', import.meta.url);
const reference = readFileSync(new URL('reference.toml', CONFIG_DIRECTORY), 'utf8');
const least = '[[interface]]\nname = "lan0"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"\n';

function problemsOf(text: string): readonly string[] {
  try {
    parseConfig(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function assertProblem(text: string, pattern: RegExp): void {
  const problems = problemsOf(text);
  assert.ok(
    problems.some((problem) => pattern.test(problem)),
    `no problem matches ${pattern}: ${JSON.stringify(problems)}`,
  );
}

/** Paths of all keys, lists of tables as `interface[].name`. */
function schemaPaths(schema: z.core.$ZodType, path = ''): string[] {
  let at = schema;
  while (at instanceof z.ZodPrefault || at instanceof z.ZodDefault || at instanceof z.ZodOptional)
    at = at.def.innerType;
  if (at instanceof z.ZodArray) return schemaPaths(at.element, `${path}[]`);
  if (!(at instanceof z.ZodObject)) return [path];
  return Object.entries(at.shape).flatMap(([key, inner]) =>
    schemaPaths(inner, path === '' ? key : `${path}.${key}`),
  );
}

function valuePaths(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) {
    const tables = value.filter((entry) => typeof entry === 'object');
    return tables.length > 0
      ? tables.flatMap((entry) => valuePaths(entry, `${path}[]`))
      : [path, `${path}[]`];
  }
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([key, inner]) =>
    valuePaths(inner, path === '' ? key : `${path}.${key}`),
  );
}

test('design.md 4: reference.toml parses to exactly the defaults', () => {
  // `source` is the text itself.
  const { source: _all, ...everything } = parseConfig(reference);
  const { source: _least, ...defaults } = parseConfig(least);
  assert.deepEqual(everything, defaults);
});

test('reference.toml shows every key of the schema, and none that is unknown', () => {
  const everything = reference.replace(/^#(?=[a-z[])/gm, '');
  parseConfig(everything);
  const shown = new Set(valuePaths(parseToml(everything)));
  // Bindings are shown in the comment of an empty list.
  for (const [, key] of reference.matchAll(/[{,] (ip|mac) = "/g)) shown.add(`policy.bind[].${key}`);
  for (const path of schemaPaths(fileSchema))
    assert.ok(shown.has(path), `reference.toml does not show ${path}`);
});

test('every configuration file that we ship is accepted', () => {
  const files = readdirSync(CONFIG_DIRECTORY, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.toml'),
  );
  assert.ok(files.includes('marpd.toml') && files.includes('reference.toml'));
  for (const file of files) loadConfig(new URL(file, CONFIG_DIRECTORY).pathname);
});

test('design.md 4: the least configuration suits a site', () => {
  const config = parseConfig(least);
  assert.deepEqual(config.policy.interfaces, [
    {
      pattern: 'lan0',
      learn: 'foreign',
      prove: 'before',
      keepaliveMs: 5000,
      holdMs: 15_000,
      keepaliveTimeoutMs: 750,
      maxHosts: 200_000,
      role: 'alone',
      peers: [],
      multicastRouter: false,
    },
  ]);
  assert.deepEqual(config.policy.subnets, [
    {
      prefix: parsePrefix('10.1.1.0/24'),
      gateways: [parseIp('10.1.1.1')],
      discover: false,
      advertise: false,
    },
  ]);
  assert.equal(config.policy.allow, undefined);
  assert.equal(config.policy.limits.newcomerBurst, 100_000);
  assert.deepEqual(config.router, {
    protocol: 44,
    freshTable: 254,
    settledTable: 254,
    watchTables: [254],
    remoteProtocols: [11, 12, 42, 186, 187, 188, 189, 192],
    freshMetric: 1,
    settledMetric: ((210 << 24) >>> 0) + 2,
    settleMs: 1000,
    onExit: 'withdraw',
    stateDirectory: '/run/marpd',
  });
  assert.equal(config.control.socket, '/run/marpd/marpd.sock');
  assert.equal(config.control.mode, 0o660);
});

test('a [[subnet]] may have its gateway outside: routed blocks (Hetzner, Calico)', () => {
  for (const gateway of ['169.254.1.1', '198.51.100.1', '203.0.113.1']) {
    const { policy } = parseConfig(
      `[[interface]]\nname = "tap*"\n[[subnet]]\nprefix = "203.0.113.0/24"\ngateway = "${gateway}"\n`,
    );
    assert.deepEqual(policy.subnets[0]?.gateways, [parseIp(gateway)]);
  }
});

test('design.md 4: --interface needs no file; the connected subnets are the allowed ones', () => {
  const { policy } = configForInterfaces(['lan0', 'tap*']);
  assert.deepEqual(
    policy.interfaces.map((rule) => rule.pattern),
    ['lan0', 'tap*'],
  );
  assert.equal(policy.allow, undefined);
  assert.deepEqual(policy.subnets, []);
  assert.throws(() => configForInterfaces([]), /at least one \[\[interface\]\]/);
  assert.throws(() => configForInterfaces(['lan0', 'lan0']), /named twice/);
  assert.throws(() => configForInterfaces(['a b']), /interface\[0\]\.name/);
});

test('bindings, lists and overrides become typed values', () => {
  const { policy } = parseConfig(`
    [[interface]]
    name = "lan0"
    keepalive = "5m"
    prove = "after"
    [[interface]]
    name = "tap*"
    learn = "all"
    max_hosts = 4
    [policy]
    allow = ["10.0.0.0/8", "192.168.0.0/16"]
    deny = ["10.9.0.0/16"]
    bind = [{ ip = "10.1.1.5", mac = "02-00-0A-01-01-05" }]
    prove = "never"
  `);
  assert.deepEqual(policy.interfaces[0], {
    pattern: 'lan0',
    learn: 'foreign',
    prove: 'after',
    keepaliveMs: 300_000,
    holdMs: 900_000,
    keepaliveTimeoutMs: 750,
    maxHosts: 200_000,
    role: 'alone',
    peers: [],
    multicastRouter: false,
  });
  assert.deepEqual(policy.interfaces[1], {
    pattern: 'tap*',
    learn: 'all',
    prove: 'never',
    keepaliveMs: 5000,
    holdMs: 15_000,
    keepaliveTimeoutMs: 750,
    maxHosts: 4,
    role: 'alone',
    peers: [],
    multicastRouter: false,
  });
  assert.deepEqual(policy.allow, [parsePrefix('10.0.0.0/8'), parsePrefix('192.168.0.0/16')]);
  assert.deepEqual([...policy.bindings], [[parseIp('10.1.1.5'), parseMac('02:00:0a:01:01:05')]]);
});

test('design.md 4: an unknown key is refused with its path and what was probably meant', () => {
  assert.deepEqual(problemsOf('[[interface]]\nname = "lan0"\nlern = "all"\n'), [
    'interface[0].lern: unknown key (did you mean "learn"?)',
  ]);
  // A key of an earlier version gets no special treatment.
  assert.deepEqual(problemsOf('[[interface]]\nname = "lan0"\n[policy]\nconfirm = "none"\n'), [
    'policy.confirm: unknown key (known: allow, deny, bind, prove, repair_neighbours, limits)',
  ]);
  assertProblem(`${least}[contrl]\n`, /^contrl: unknown key \(did you mean "control"\?\)$/);
  assertProblem(
    `${least}[policy.limits]\nxyzzy = 1\n`,
    /^policy\.limits\.xyzzy: unknown key \(known: max_hosts, /,
  );
});

test('all problems are listed, not only the first', () => {
  const problems = problemsOf(`
    [[interface]]
    name = "lan0"
    prove = "sometimes"
    [[subnet]]
    prefix = "10.1.1.1/24"
    [router]
    settle = 5
    [log]
    level = "loud"
  `);
  assert.deepEqual(problems.map((problem) => problem.split(':')[0]).sort(), [
    'interface[0].prove',
    'log.level',
    'router.settle',
    'subnet[0].prefix',
  ]);
});

for (const [title, text, pattern] of [
  ['no TOML', 'a = \n', /^line 1, column/],
  [
    'an interface name that is longer than the kernel allows',
    '[[interface]]\nname = "sixteen-letters-"\n',
    /^interface\[0\]\.name: must be an interface name of at most 15 characters/,
  ],
  ['no interface', '', /^interface: at least one/],
  ['one bracket', '[interface]\nname = "lan0"\n', /write \[\[interface\]\]/],
  [
    'a number for a duration',
    `${least}[timers]\nkeepalive = 5\n`,
    /^timers\.keepalive: must be text in quotes, not 5$/,
  ],
  [
    'a duration without unit',
    `${least}[timers]\nkeepalive = "5"\n`,
    /^timers\.keepalive: "5" is not a duration/,
  ],
  [
    '"0" where it means nothing',
    `${least}[timers]\nkeepalive = "0"\n`,
    /^timers\.keepalive: "0" is out of range/,
  ],
  ['settle below a verdict', `${least}[router]\nsettle = "100ms"\n`, /^router\.settle: .*out of range/],
  [
    'hold below keepalive',
    `${least}[timers]\nkeepalive = "20s"\nhold = "15s"\n`,
    /^timers\.hold: 15s must be longer than the keepalive \(20s\)/,
  ],
  [
    'hold below keepalive of an interface',
    '[[interface]]\nname = "a"\nkeepalive = "20s"\nhold = "15s"\n',
    /^interface\[0\]\.hold: /,
  ],
  [
    'a glob that hides a name',
    '[[interface]]\nname = "tap*"\n[[interface]]\nname = "tap0"\n',
    /^interface\[1\]\.name: "tap0" is never used/,
  ],
  [
    'a name twice',
    '[[interface]]\nname = "a"\n[[interface]]\nname = "a"\n',
    /^interface\[1\]\.name: "a" is named twice/,
  ],
  [
    'a shell in a name',
    '[[interface]]\nname = "a; reboot"\n',
    /^interface\[0\]\.name: must be an interface name/,
  ],
  [
    'host bits in a prefix',
    '[[interface]]\nname = "a"\n[[subnet]]\nprefix = "10.1.1.1/24"\n',
    /did you mean 10\.1\.1\.0\/24/,
  ],
  [
    'a broadcast gateway',
    '[[interface]]\nname = "a"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.255"\n',
    /^subnet\[0\]\.gateway: .*broadcast/,
  ],
  [
    'a network gateway',
    '[[interface]]\nname = "a"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.0"\n',
    /^subnet\[0\]\.gateway: .*network/,
  ],
  [
    'a subnet twice',
    `${least}[[subnet]]\nprefix = "10.1.1.0/24"\n`,
    /^subnet\[1\]\.prefix: 10\.1\.1\.0\/24 is already subnet\[0\]/,
  ],
  [
    'a prefix of nonsense',
    `${least}[policy]\ndeny = ["10.1.1.0/33"]\n`,
    /^policy\.deny\[0\]: "10\.1\.1\.0\/33" is not a prefix/,
  ],
  [
    'a multicast MAC',
    `${least}[policy]\nbind = [{ ip = "10.1.1.5", mac = "01:00:5e:00:00:01" }]\n`,
    /^policy\.bind\[0\]\.mac: .*group address/,
  ],
  [
    'a loopback binding',
    `${least}[policy]\nbind = [{ ip = "127.0.0.1", mac = "02:00:00:00:00:01" }]\n`,
    /^policy\.bind\[0\]\.ip: .*loopback/,
  ],
  [
    'an address bound twice',
    `${least}[policy]\nbind = [{ ip = "10.1.1.5", mac = "02:00:00:00:00:01" }, { ip = "10.1.1.5", mac = "02:00:00:00:00:02" }]\n`,
    /^policy\.bind\[1\]\.ip: .*already bound/,
  ],
  ["the kernel's protocol", `${least}[router]\nprotocol = 2\n`, /^router\.protocol: 2 is out of range/],
  ["BIRD's protocol", `${least}[router]\nprotocol = 12\n`, /^router\.protocol: 12 belongs to bird/],
  ["FRR's protocol", `${least}[router]\nprotocol = 188\n`, /^router\.protocol: 188 belongs to ospf/],
  ['protocol 256', `${least}[router]\nprotocol = 256\n`, /^router\.protocol: 256 is out of range/],
  [
    'the local table',
    `${least}[router]\ntable = 255\n`,
    /^router\.table: table 255 is reserved by the kernel/,
  ],
  ['an unknown table name', `${least}[router]\ntable = "mobile"\n`, /^router\.table: must be a table number/],
  [
    'equal low bits (design.md 3.3)',
    `${least}[router]\nsettled_metric = ${210 * 2 ** 24 + 1}\n`,
    /^router\.settled_metric: its low 24 bits/,
  ],
  [
    'a distance in the fresh metric (design.md 3.3)',
    `${least}[router]\nfresh_metric = ${2 ** 24 + 1}\n`,
    /^router\.fresh_metric: .*top byte/,
  ],
  [
    'a fresh metric above the remote one',
    `${least}[router]\nfresh_metric = 20\n`,
    /^router\.fresh_metric: must be below 20/,
  ],
  [
    'a settled distance below iBGP',
    `${least}[router]\nsettled_metric = ${200 * 2 ** 24 + 2}\n`,
    /^router\.settled_metric: its top byte.* 200/,
  ],
  [
    'an unusable settled distance',
    `${least}[router]\nsettled_metric = ${255 * 2 ** 24 + 2}\n`,
    /^router\.settled_metric: .* 255/,
  ],
  [
    'a relative socket',
    `${least}[control]\nsocket = "marpd.sock"\n`,
    /^control\.socket: must be an absolute path/,
  ],
  [
    'a socket path too long',
    `${least}[control]\nsocket = "/${'x'.repeat(107)}"\n`,
    /^control\.socket: longer than/,
  ],
  ['a decimal mode', `${least}[control]\nmode = 660\n`, /^control\.mode: must be text/],
  [
    'TLS without a key',
    `${least}[control.tcp]\nlisten = "0.0.0.0:1"\nca = "/a"\ncert = "/b"\n`,
    /^control\.tcp\.key: is missing/,
  ],
  [
    'a name to listen on',
    `${least}[prometheus]\nlisten = "localhost:9444"\n`,
    /^prometheus\.listen: .*not an address to listen on/,
  ],
  ['port 0', `${least}[prometheus]\nlisten = "127.0.0.1:0"\n`, /^prometheus\.listen: port 0/],
  ['a ring of a few bytes', `${least}[capture]\nbuffer = "1KiB"\n`, /^capture\.buffer: .*out of range/],
] as const) {
  test(`wrong config: ${title} is refused with its path`, () => assertProblem(text, pattern));
}

test('the API may listen on an IPv6 address', () => {
  const { prometheus } = parseConfig(`${least}[prometheus]\nlisten = "[::1]:9444"\n`);
  assert.deepEqual(prometheus.listen, { host: '::1', port: 9444 });
});

test('design.md 3.3: a settled claim in a table of its own (BIRD) needs no distance in its metric', () => {
  const { router } = parseConfig(
    `${least}[router]\ntable = 100\nsettled_table = 101\nwatch_tables = [102, "main", 102]\nsettled_metric = 2\n`,
  );
  assert.deepEqual([router.freshTable, router.settledTable, router.watchTables], [100, 101, [102, 254]]);
});

test('router.remote_protocols takes names of rtnetlink and FRR, and numbers', () => {
  const remote = (list: string) => parseConfig(`${least}[router]\nremote_protocols = ${list}\n`).policy;
  assert.deepEqual(parseConfig(least).policy.remoteProtocols, [11, 12, 42, 186, 187, 188, 189, 192]);
  assert.deepEqual(remote('["bird", 250, "bird", "zstatic"]').remoteProtocols, [12, 250, 196]);
  assert.deepEqual(remote('[]').remoteProtocols, []);
  for (const [list, problem] of [
    ['["brid"]', /^router\.remote_protocols\[0\]: "brid" is no protocol .*did you mean "bird"/],
    ['[256]', /^router\.remote_protocols\[0\]: protocol 256 is out of range/],
    ['["toString"]', /^router\.remote_protocols\[0\]: "toString" is no protocol/],
    ['[44]', /^router\.remote_protocols: 44 is router\.protocol/],
  ] as const)
    assert.match(problemsOf(`${least}[router]\nremote_protocols = ${list}\n`).join('\n'), problem);
});

test('a file that cannot be read is a problem like any other', () => {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-config-'));
  try {
    assert.throws(
      () => loadConfig(join(directory, 'absent.toml')),
      (error) => error instanceof ConfigError && /cannot read/.test(error.message),
    );
    writeFileSync(join(directory, 'least.toml'), least);
    assert.deepEqual(loadConfig(join(directory, 'least.toml')), parseConfig(least));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('durations read back what they print', () => {
  fc.assert(fc.property(fc.nat(), (ms) => assert.equal(parseDurationMs(formatDurationMs(ms)), ms)));
  assert.equal(parseDurationMs('1.5s'), 1500);
  for (const bad of ['', '5', '-1s', '5 s', '1e3s', '0.5ms', '99999999999999h'])
    assert.equal(parseDurationMs(bad), undefined);
  assert.equal(parseSizeBytes('32MiB'), 33_554_432);
  for (const bad of ['32', '32MB', '1.5MiB']) assert.equal(parseSizeBytes(bad), undefined);
});

test('hostile text never breaks the reader: a Config or a ConfigError', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      problemsOf(text);
    }),
  );
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (key, value) => {
      const json = JSON.stringify(value) ?? 'null';
      problemsOf(`${least}[policy]\n${JSON.stringify(key)} = ${json}\n`);
    }),
  );
});

test('a reload names the keys that need a restart, and lets policy through', () => {
  const before = parseConfig(least);
  const after = parseConfig(
    `${least}[router]\nprotocol = 45\nsettle = "2s"\n[policy]\nprove = "never"\n[capture]\nbuffer = "8MiB"\n`,
  );
  assert.deepEqual(needsRestart(before, after), ['router.protocol', 'capture']);
  assert.deepEqual(needsRestart(before, parseConfig(least)), []);
});
