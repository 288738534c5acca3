import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config, parseConfig } from '../../src/config/config.js';
import { diagnose, diagnoseFromOutside } from '../../src/doctor/checks.js';
import type { DaemonView, Facts, Finding } from '../../src/doctor/finding.js';
import { readSysctls } from '../../src/kernel/inspect.js';
import { INTERFACE_SYSCTLS, Sysctls } from '../../src/kernel/sysctl.js';
import type { Link, Route } from '../../src/mobility/events.js';
import { type Ip, type Mac, type Prefix, parseIp, parsePrefix } from '../../src/wire/addresses.js';

const config = parseConfig(`
  [[interface]]
  name = "lan0"
  [[interface]]
  name = "tap*"
  [[subnet]]
  prefix = "10.1.1.0/24"
  gateway = "10.1.1.1"
`);

const link = (name: string, index: number, more: Partial<Link> = {}): Link => ({
  index,
  name,
  mac: index as Mac,
  up: true,
  carrier: true,
  master: undefined,
  type: 'veth',
  addresses: [],
  rpFilter: 1,
  ...more,
});
const lan0 = link('lan0', 3, { addresses: [parsePrefix('10.1.1.1/24') as Prefix] });

const route = (prefix: string, more: Partial<Route> = {}): Route => ({
  prefix: parsePrefix(prefix) as Prefix,
  table: 254,
  protocol: 44,
  metric: 1,
  type: 'unicast',
  iface: 3,
  via: undefined,
  ...more,
});

const goodSysctls: readonly (readonly [string, number])[] = [
  ['net/ipv4/ip_forward', 1],
  ...INTERFACE_SYSCTLS.flatMap(({ key, wanted }) =>
    ['all', 'lan0', 'tap0'].map(
      (name) => [`net/ipv4/conf/${name}/${key}`, name === 'all' ? 0 : wanted] as const,
    ),
  ),
];

function facts(more: Partial<Facts> = {}, sysctls: Record<string, number> = {}): Facts {
  return {
    sysctls: new Map([...goodSysctls, ...Object.entries(sysctls)]),
    interfaceSysctls: INTERFACE_SYSCTLS,
    links: [lan0],
    routes: [route('10.1.1.5')],
    proxyNeighbours: [],
    capabilities: new Set(['cap_net_admin', 'cap_net_raw']),
    iproute2Version: '6.1.0',
    capBuild: { ok: true },
    ...more,
  };
}

const running: DaemonView = {
  pid: 4242,
  configPath: '/etc/marpd/marpd.toml',
  families: ['ipv4'],
  networkNamespace: '4026531840',
  otherRouters: [],
  roles: [],
  alarms: [],
  interfaces: [
    { name: 'lan0', pattern: 'lan0', present: true, up: true, master: null, capturing: true, reason: null },
  ],
};

/** Findings that are not ok; without a configuration, or with the daemon down, when it is said so. */
function bad(
  theFacts: Facts,
  theConfig: Config | 'no config' = config,
  theRunning: DaemonView | 'down' = running,
): Finding[] {
  const findings = diagnose(
    theFacts,
    theConfig === 'no config' ? undefined : theConfig,
    theRunning === 'down' ? undefined : theRunning,
  );
  return findings.filter((finding) => finding.level !== 'ok');
}

function assertFinding(
  findings: readonly Finding[],
  level: Finding['level'],
  check: string,
  message: RegExp,
  fix: RegExp,
): void {
  const found = findings.find((finding) => finding.check === check && message.test(finding.message));
  assert.ok(found, `no ${check} in ${JSON.stringify(findings)}`);
  assert.equal(found.level, level);
  assert.match(found.fix ?? '', fix);
}

test('doctor finds nothing on a healthy router, and says what it looked at', () => {
  assert.deepEqual(bad(facts()), []);
  const checks = new Set(diagnose(facts(), config, running).map((finding) => finding.check));
  for (const check of [
    'daemon',
    'capabilities',
    'iproute2',
    'libpcap',
    'interface',
    'capture',
    'ip_forward',
    'settings',
    'rp_filter',
    'gateway',
    'protocol',
    'metrics',
  ]) {
    assert.ok(checks.has(check), check);
  }
});

test('every finding that is not ok says how to fix it', () => {
  const everything = facts(
    {
      links: [link('br0', 2), link('lan0', 3, { master: 2 }), link('tap0', 4, { up: false })],
      capabilities: new Set(),
      iproute2Version: undefined,
      capBuild: { ok: false, reason: 'gone' },
      routes: [route('10.1.1.0/24', { via: parseIp('10.1.1.1') as Ip })],
      proxyNeighbours: [{ ip: parseIp('10.1.1.9') as Ip, dev: 'tap0' }],
    },
    { 'net/ipv4/ip_forward': 0, 'net/ipv4/conf/tap0/proxy_arp': 1 },
  );
  for (const finding of [...bad(everything), ...bad(everything, 'no config', 'down')])
    assert.ok((finding.fix ?? '').length > 5, JSON.stringify(finding));
});

for (const [key, value, where, fix] of [
  ['proxy_arp', 1, 'all', /^sysctl -w net\/ipv4\/conf\/all\/proxy_arp=0$/],
  ['proxy_arp', 1, 'lan0', /^sysctl -w net\/ipv4\/conf\/lan0\/proxy_arp=0$/],
  ['proxy_arp_pvlan', 1, 'lan0', /^sysctl -w net\/ipv4\/conf\/lan0\/proxy_arp_pvlan=0$/],
  ['forwarding', 0, 'lan0', /^sysctl -w net\/ipv4\/conf\/lan0\/forwarding=1$/],
  ['arp_accept', 1, 'lan0', /arp_accept=0$/],
  ['send_redirects', 1, 'all', /^sysctl -w net\/ipv4\/conf\/all\/send_redirects=0$/],
  ['arp_ignore', 0, 'lan0', /^sysctl -w net\/ipv4\/conf\/lan0\/arp_ignore=1$/],
] as const) {
  test(`design.md 3.2, kernel settings: ${key}=${value} on ${where} is found, with the command that sets it right`, () => {
    const findings = bad(facts({}, { [`net/ipv4/conf/${where}/${key}`]: value }));
    assert.equal(findings.length, 1);
    assertFinding(findings, 'error', key, /on lan0/, fix);
  });
}

test('design.md 3.2, kernel settings: what marpd will set at its start is no error while it is down', () => {
  const wrong = facts(
    { capabilities: undefined, routes: [] },
    { 'net/ipv4/ip_forward': 0, 'net/ipv4/conf/lan0/proxy_arp': 1 },
  );
  assert.deepEqual(
    diagnose(wrong, config, undefined).filter((finding) => finding.level === 'error'),
    [],
  );
  const checking = { ...config, kernel: { settings: 'check' as const } };
  assertFinding(
    bad(wrong, checking, 'down'),
    'error',
    'ip_forward',
    /does not forward/,
    /^sysctl -w net\/ipv4\/ip_forward=1$/,
  );
});

test('design.md 3.2, kernel settings: what the doctor judges is what it reads and what marpd sets', () => {
  const root = mkdtempSync(join(tmpdir(), 'marpd-doctor-'));
  try {
    for (const name of ['all', 'lan0']) {
      mkdirSync(join(root, 'net/ipv4/conf', name), { recursive: true });
      for (const { key, wanted } of INTERFACE_SYSCTLS)
        writeFileSync(join(root, 'net/ipv4/conf', name, key), `${wanted === 2 ? 0 : 1 - wanted}\n`);
    }
    writeFileSync(join(root, 'net/ipv4/ip_forward'), '0\n');
    const links = [lan0, link('lan0', 9, { type: 'macvlan', lower: 3, rpFilter: 0 })];
    const judged = () => [
      ...new Set(bad({ ...facts({ links }), sysctls: readSysctls(root) }).map(({ check }) => check)),
    ];
    assert.deepEqual(judged(), ['ip_forward', ...INTERFACE_SYSCTLS.map(({ key }) => key)]);
    const sysctls = new Sysctls({
      mode: 'apply',
      root,
      stateFile: join(root, 'state'),
      indexOf: () => 3,
      hasMacvlan: () => true,
      onWarning: assert.fail,
    });
    sysctls.applyGlobal();
    sysctls.apply({ name: 'lan0', index: 3 });
    assert.deepEqual(judged(), []);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('design.md 3.2, kernel settings: a stricter arp_ignore is fine, whatever all says', () => {
  assert.deepEqual(bad(facts({}, { 'net/ipv4/conf/lan0/arp_ignore': 2 })), []);
  assert.deepEqual(
    bad(facts({}, { 'net/ipv4/conf/lan0/arp_ignore': 0, 'net/ipv4/conf/all/arp_ignore': 1 })),
    [],
  );
});

test('the daemon: down, or without its capabilities', () => {
  assertFinding(
    bad(facts({ routes: [] }), config, 'down'),
    'warning',
    'daemon',
    /not running/,
    /systemctl start marpd/,
  );
  assertFinding(
    bad(facts({ capabilities: new Set(['cap_net_raw']) })),
    'error',
    'capabilities',
    /lacks CAP_NET_ADMIN$/,
    /AmbientCapabilities=CAP_NET_ADMIN/,
  );
});

test('conflicting proxy ARP entries of the kernel are found on mobility interfaces', () => {
  const proxies = [
    { ip: parseIp('10.1.1.9') as Ip, dev: 'lan0' },
    { ip: parseIp('192.0.2.9') as Ip, dev: 'lan0' },
    { ip: parseIp('10.1.1.9') as Ip, dev: 'eth9' },
  ];
  const findings = bad(facts({ proxyNeighbours: proxies }));
  assert.equal(findings.length, 2);
  assertFinding(
    findings,
    'error',
    'proxy-arp',
    /10\.1\.1\.9 on lan0/,
    /^ip neigh del proxy 10\.1\.1\.9 dev lan0$/,
  );
  assertFinding(findings, 'warning', 'proxy-arp', /192\.0\.2\.9/, /^ip neigh del proxy 192\.0\.2\.9/);
});

test('a gateway of a connected subnet that none of our interfaces has', () => {
  const moved = link('lan0', 3, { addresses: [parsePrefix('10.1.1.2/24') as Prefix] });
  assertFinding(
    bad(facts({ links: [moved] })),
    'error',
    'gateway',
    /connected on lan0, but its gateway 10\.1\.1\.1/,
    /^ip address add 10\.1\.1\.1\/24 dev lan0$/,
  );
  const elsewhere = link('lan0', 3, { addresses: [parsePrefix('10.2.2.1/24') as Prefix] });
  assert.deepEqual(
    bad(facts({ links: [elsewhere] })),
    [],
    'the home subnet of visitors is connected elsewhere',
  );
  const routed = parseConfig(
    '[[interface]]\nname = "lan0"\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "169.254.1.1"\n',
  );
  assert.deepEqual(bad(facts(), routed), [], 'a gateway outside the prefix is an address of nobody');
  const nameless = parseConfig('[[interface]]\nname = "lan0"\n[[subnet]]\nprefix = "10.1.1.0/24"\n');
  assertFinding(bad(facts(), nameless), 'warning', 'gateway', /has no gateway/, /gateway = /);
});

test('interfaces: missing, enslaved, down, without carrier', () => {
  assertFinding(bad(facts({ links: [] })), 'warning', 'interface', /^lan0 does not exist/, /ip link show/);
  const enslaved = [link('br0', 2), link('lan0', 3, { master: 2 })];
  assertFinding(
    bad(facts({ links: enslaved })),
    'error',
    'interface',
    /^lan0 is a port of br0/,
    /name = "br0"/,
  );
  assertFinding(
    bad(facts({ links: [{ ...lan0, up: false }] })),
    'warning',
    'interface',
    /^lan0 is down/,
    /^ip link set lan0 up$/,
  );
  assertFinding(
    bad(facts({ links: [{ ...lan0, carrier: false }] })),
    'warning',
    'interface',
    /no carrier/,
    /ip link show lan0/,
  );
});

test('design.md 3.2: globs skip enslaved interfaces, and doctor says so', () => {
  const findings = diagnose(
    facts({ links: [lan0, link('br0', 2), link('tap0', 4, { master: 2 })] }),
    config,
    running,
  );
  assert.ok(
    findings.some(
      (finding) => finding.level === 'ok' && /tap0 is a port of br0.*"tap\*" skips it/.test(finding.message),
    ),
  );
});

test('an interface that is up but not captured', () => {
  const deaf: DaemonView = {
    ...running,
    interfaces: running.interfaces.map((view) => ({ ...view, capturing: false, reason: 'EPERM' })),
  };
  assertFinding(bad(facts(), config, deaf), 'error', 'capture', /lan0 is not captured: EPERM/, /journalctl/);
});

test('a gateway that another machine has is not to be added here', () => {
  const otherRouters = [{ interface: 'lan0', ip: '10.1.1.1', mac: '02:00:00:00:00:66', sinceMs: 5000 }];
  const moved = link('lan0', 3, { addresses: [parsePrefix('10.1.1.2/24') as Prefix] });
  const findings = bad(facts({ links: [moved] }), config, { ...running, otherRouters });
  assert.equal(findings.length, 1);
  assertFinding(findings, 'error', 'other-router', /uses the gateway address 10\.1\.1\.1/, /set role/);
});

test('another router that owns a configured gateway, and the other alarms', () => {
  const alarms = [
    {
      alarm: 'other-router',
      ip: '10.1.1.1',
      mac: '02:00:00:00:00:66',
      interface: 'lan0',
      message: 'another machine uses a configured gateway address',
    },
    { alarm: 'frozen', ip: '10.1.1.5', mac: null, interface: null, message: 'contested too often' },
  ] as const;
  const otherRouters = [{ interface: 'lan0', ip: '10.1.1.1', mac: '02:00:00:00:00:66', sinceMs: 5000 }];
  const findings = bad(facts(), config, { ...running, alarms, otherRouters });
  assert.equal(findings.length, 2);
  assertFinding(
    findings,
    'error',
    'other-router',
    /^02:00:00:00:00:66 on lan0 uses the gateway address 10\.1\.1\.1/,
    /a second first-hop router of this LAN, set role/,
  );
  assertFinding(findings, 'warning', 'frozen', /contested/, /marpctl clear 10\.1\.1\.5/);
  const over = bad(facts(), config, { ...running, alarms });
  assertFinding(
    over,
    'warning',
    'other-router',
    /\(10\.1\.1\.1, 02:00:00:00:00:66, lan0\)/,
    /second first-hop/,
  );
});

test('programs: no ip, an old ip, cap with assertions', () => {
  assertFinding(
    bad(facts({ iproute2Version: undefined })),
    'error',
    'iproute2',
    /ip command is missing/,
    /apt-get install iproute2/,
  );
  assertFinding(
    bad(facts({ iproute2Version: '4.20.0' })),
    'warning',
    'iproute2',
    /older than 5\.10/,
    /upgrade/,
  );
  assert.deepEqual(bad(facts({ iproute2Version: '5.10.0' })), []);
  assertFinding(
    bad(facts({ capBuild: { ok: false, reason: 'built with assertions' } })),
    'error',
    'libpcap',
    /built with assertions/,
    /npm run build:native/,
  );
});

test('another program that uses our protocol number', () => {
  for (const stranger of [
    route('10.9.0.0/16'),
    route('10.1.1.7', { via: parseIp('10.1.1.1') as Ip }),
    route('10.1.1.7', { table: 100 }),
  ]) {
    assertFinding(
      bad(facts({ routes: [stranger] })),
      'error',
      'protocol',
      /another program uses the number/,
      /ip route show table all proto 44/,
    );
  }
});

test('routes that a killed daemon left behind', () => {
  assertFinding(
    bad(facts(), config, 'down'),
    'warning',
    'protocol',
    /left the routes of 1 hosts/,
    /ip route flush proto 44/,
  );
  const keeping = { ...config, router: { ...config.router, onExit: 'keep' as const } };
  assert.ok(!bad(facts(), keeping, 'down').some((finding) => finding.check === 'protocol'));
});

test('design.md 3.3: remote claims whose metric breaks the order fresh, remote, settled', () => {
  const remote = (metric: number, more: Partial<Route> = {}) =>
    facts({
      routes: [route('10.1.1.5', { protocol: 188, metric, via: parseIp('192.0.2.1') as Ip, ...more })],
    });
  assert.deepEqual(bad(remote(20)), []);
  assertFinding(bad(remote(0)), 'error', 'metrics', /metric 0, not above fresh_metric/, /krt_metric/);
  assertFinding(bad(remote(0xf0000000)), 'error', 'metrics', /not below settled_metric/, /lower metric/);
  assert.deepEqual(bad(remote(0, { table: 100 })), [], 'a table that is not watched');
});

test('a host route that is no other router’s claim: harmless, in the way, or of nobody here', () => {
  const claim = route('10.1.1.5', { metric: 3523215362 });
  const foreign = (more: Partial<Route>) => route('10.1.1.5', { protocol: 196, metric: 20, ...more });
  const findings = (...routes: readonly Route[]) => bad(facts({ routes }));
  assert.deepEqual(findings(claim, foreign({})), [], 'it leads where our claim leads');
  assertFinding(
    findings(claim, foreign({ iface: 2 })),
    'error',
    'foreign-route',
    /10\.1\.1\.5\/32 .*protocol 196 \(zstatic\).*hides our claim on lan0/,
    /^ip route del 10\.1\.1\.5\/32 proto 196 metric 20/,
  );
  for (const routes of [[foreign({ iface: 2 })], [claim, foreign({ iface: 2, metric: 4294967295 })]])
    assertFinding(
      findings(...routes),
      'warning',
      'foreign-route',
      /foreign route 10\.1\.1\.5/,
      /ip route del/,
    );
  const own = route('10.1.1.7', { protocol: 2, iface: 9 });
  const [first, ...others] = facts().links;
  assert.ok(first !== undefined);
  const having = { ...first, addresses: [...first.addresses, own.prefix] };
  assert.deepEqual(bad(facts({ routes: [own], links: [having, ...others] })), [], 'an address of ours');
  const elsewhere = route('192.0.2.9', { protocol: 4, iface: 2 });
  assert.deepEqual(findings(elsewhere, foreign({ table: 100 })), [], 'no mobile host, no watched table');
  const many = Array.from({ length: 30 }, (_, n) => route(`10.1.1.${100 + n}`, { protocol: 4, iface: 2 }));
  assert.equal(findings(...many).length, 11);
});

test('without a configuration the machine is still checked', () => {
  const findings = bad(facts({ iproute2Version: undefined }), 'no config', 'down');
  assert.deepEqual(findings.map((finding) => finding.check).sort(), ['config', 'daemon', 'iproute2']);
});

test('a daemon in a namespace that cannot be entered: what it says itself, and that the rest was not checked', () => {
  const otherRouters = [{ interface: 'lan0', ip: '10.1.1.1', mac: '02:00:00:00:00:66', sinceMs: 5000 }];
  const findings = diagnoseFromOutside({ ...running, otherRouters }, 'Operation not permitted');
  assertFinding(
    findings,
    'warning',
    'namespace',
    /another network namespace.*: Operation not permitted$/,
    /nsenter --net=\/proc\/4242\/ns\/net marpctl doctor/,
  );
  assertFinding(findings, 'error', 'other-router', /10\.1\.1\.1/, /second first-hop router/);
  assert.ok(!findings.some(({ check }) => ['settings', 'ip_forward', 'gateway'].includes(check)));
});

test('a macvlan on a mobility interface is part of its LAN: its settings count, and so does its rp_filter', () => {
  const macvlan = (rpFilter: 0 | 1 | 2) =>
    link('lan0.v', 9, {
      type: 'macvlan',
      lower: 3,
      rpFilter,
      addresses: [parsePrefix('10.1.1.1/32') as Prefix],
    });
  const at = (name: string, key: string, value: number) => ({ [`net/ipv4/conf/${name}/${key}`]: value });
  const good = Object.assign({}, ...INTERFACE_SYSCTLS.map(({ key, wanted }) => at('lan0.v', key, wanted)));
  const findings = (rpFilter: 0 | 1 | 2, ...changes: Record<string, number>[]) =>
    bad(facts({ links: [lan0, macvlan(rpFilter)] }, Object.assign({}, good, ...changes)));
  assert.deepEqual(findings(2), []);
  const strict = findings(1);
  assertFinding(strict, 'error', 'rp_filter', /strict on lan0\.v: .* visitors/, /lan0\.v\/rp_filter=2/);
  for (const name of ['lan0', 'lan0.v']) {
    const announce = findings(0, at(name, 'arp_announce', 0));
    assertFinding(announce, 'error', 'arp_announce', new RegExp(`0 on ${name}: `), /arp_announce=2/);
  }
  assertFinding(findings(0, at('lan0.v', 'arp_ignore', 0)), 'error', 'arp_ignore', /lan0\.v/, /arp_ignore=1/);
  assert.deepEqual(bad(facts({}, at('lan0', 'arp_announce', 0))), [], 'without one it does not matter');
});
