import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig, parseConfig } from '../../src/config/config.js';
import { ruleFor, subnetOf } from '../../src/mobility/policy.js';
import { formatIp, type Ip, parseIp } from '../../src/wire/addresses.js';

/** The examples of docs/virtual-machines.md, two-routers.md, virtual-subnet.md, redundant-routers.md and clean-core.md. hooks.test.ts reads the guest, lab/behaviour/vm/examples.test.ts frr.conf. */

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string) => readFileSync(at(path), 'utf8');
const PAGE = read('docs/virtual-machines.md');
const SHOWN = [
  'config/libvirt/guest.xml',
  'config/libvirt/marpd.toml',
  'config/libvirt/frr.conf',
  'config/proxmox/interfaces',
  'config/proxmox/marpd.toml',
  'config/proxmox/frr.conf',
];

const ofTwoRouters = (example: string) => [
  `config/${example}/daemons`,
  ...['r1', 'r2'].flatMap((role) =>
    ['interfaces', 'marpd.toml', 'frr.conf'].map((name) => `config/${example}/${role}/${name}`),
  ),
];

const OF_REDUNDANT_ROUTERS = [
  ...[
    'sysctl.conf',
    'daemons',
    'keepalived-marpd.conf',
    'r3/frr.conf',
    'sysctl-ipv6.conf',
    'r3/frr-ipv6.conf',
  ],
  ...['r1', 'r2'].flatMap((role) =>
    [
      ...['interfaces', 'marpd.toml', 'keepalived.conf', 'frr.conf', 'interfaces-vrrpd', 'frr-vrrpd.conf'],
      ...['interfaces-ipv6', 'marpd-ipv6.toml', 'keepalived-ipv6.conf', 'frr-ipv6.conf'],
      ...['interfaces-vrrpd-ipv6', 'frr-vrrpd-ipv6.conf'],
    ].map((name) => `${role}/${name}`),
  ),
].map((name) => `config/redundant-routers/${name}`);

const OF_CLEAN_CORE = [
  ...['sysctl.conf', 'nftables.conf', 'r1/interfaces', 'r1/marpd.toml'],
  ...['bird-overlay/routers', 'bird-overlay/overlay', 'bird-overlay/r1.conf'],
  ...['frr-evpn/daemons', 'frr-evpn/overlay', 'frr-evpn/r1.conf'],
].map((name) => `config/clean-core/${name}`);

for (const [page, paths] of [
  [PAGE, SHOWN],
  [read('docs/two-routers.md'), ofTwoRouters('two-routers')],
  [read('docs/virtual-subnet.md'), ofTwoRouters('virtual-subnet')],
  [read('docs/redundant-routers.md'), OF_REDUNDANT_ROUTERS],
  [read('docs/clean-core.md'), OF_CLEAN_CORE],
] as const)
  for (const path of paths)
    test(`the page shows ${path} as it is shipped`, () => {
      assert.ok(page.includes(`\`${path}\``), 'named');
      assert.ok(page.includes(`\n${read(path)}\`\`\`\n`), 'the same text');
    });

test('two routers: both have the same home subnets, and FRR tells others of them', () => {
  const [one, two] = ['r1', 'r2'].map(
    (role) => loadConfig(at(`config/two-routers/${role}/marpd.toml`)).policy,
  );
  assert.deepEqual(one?.subnets, two?.subnets);
  for (const role of ['r1', 'r2']) {
    const frr = read(`config/two-routers/${role}/frr.conf`);
    for (const prefix of ['10.1.1.0/24', '10.2.2.0/24'])
      assert.match(frr, new RegExp(`^ip prefix-list mobile-hosts seq \\d+ permit ${prefix} ge 32$`, 'm'));
    assert.match(read(`config/two-routers/${role}/interfaces`), /^iface lan0 inet static$/m);
  }
});

test('virtual subnet: the same gateway with the same MAC, and a claim for every host', () => {
  const stanzas = ['r1', 'r2'].map((role) => {
    const { policy } = loadConfig(at(`config/virtual-subnet/${role}/marpd.toml`));
    assert.equal(ruleFor(policy, 'lan0')?.learn, 'all');
    const text = read(`config/virtual-subnet/${role}/interfaces`);
    return /^iface lan0 inet static\n(\t.*\n)+/m.exec(text)?.[0] ?? '';
  });
  assert.match(stanzas[0] as string, /\thwaddress 02:/);
  assert.equal(stanzas[0], stanzas[1]);
});

test('redundant routers: each names the other one, and both have the same virtual router', () => {
  const directory = 'config/redundant-routers';
  const addressOf = (role: string): string =>
    /^\taddress (10\.1\.1\.\d+)\/24$/m.exec(read(`${directory}/${role}/interfaces`))?.[1] ?? '';
  const virtual = new Set<string>();
  for (const [role, other] of [
    ['r1', 'r2'],
    ['r2', 'r1'],
  ] as const) {
    const { policy } = loadConfig(at(`${directory}/${role}/marpd.toml`));
    const rule = ruleFor(policy, 'lan0');
    assert.equal(rule?.role, 'gateway');
    assert.deepEqual(rule?.peers, [parseIp(addressOf(other))]);
    const gateway = formatIp(subnetOf(policy, parseIp('10.1.1.9') as Ip)?.gateways[0] as Ip);
    const keepalived = read(`${directory}/${role}/keepalived.conf`);
    const vrrpd = read(`${directory}/${role}/frr-vrrpd.conf`);
    assert.match(keepalived, new RegExp(`^ {4}${gateway.replaceAll('.', '\\.')}/32$`, 'm'));
    const id = /^ {2}virtual_router_id (\d+)$/m.exec(keepalived)?.[1];
    virtual.add(`${id} ${gateway}`);
    virtual.add(/^ vrrp (\d+) ip (\S+)$/m.exec(vrrpd)?.slice(1).join(' ') ?? '');
    const mac = `00:00:5e:00:01:${Number(id).toString(16).padStart(2, '0')}`;
    assert.ok(read(`${directory}/${role}/interfaces-vrrpd`).includes(mac), 'its MAC on the macvlan');
  }
  assert.deepEqual([...virtual], ['7 10.1.1.1']);
});

test('redundant routers with IPv6: the same, beside what IPv4 has', () => {
  const directory = 'config/redundant-routers';
  const virtual = new Set<string>();
  for (const [role, own, other] of [
    ['r1', 2, 3],
    ['r2', 3, 2],
  ] as const) {
    const file = (name: string) => read(`${directory}/${role}/${name}`);
    const [ipv4, { policy }] = ['marpd.toml', 'marpd-ipv6.toml'].map((name) =>
      loadConfig(at(`${directory}/${role}/${name}`)),
    ) as [ReturnType<typeof loadConfig>, ReturnType<typeof loadConfig>];
    assert.deepEqual(policy.families, ['ipv4', 'ipv6']);
    assert.deepEqual(policy.subnets.slice(0, 2), ipv4.policy.subnets);
    const rule = ruleFor(policy, 'lan0');
    assert.equal(rule?.role, 'gateway');
    assert.deepEqual(
      rule?.peers,
      [`10.1.1.${other}`, `2001:db8:1::${other}`, `fe80::${other}`].map((ip) => parseIp(ip)),
    );
    assert.match(file('interfaces-ipv6'), new RegExp(`^\taddress 2001:db8:1::${own}/64$`, 'm'));
    assert.match(file('interfaces-ipv6'), new RegExp(`addr add fe80::${own}/64 dev lan0$`, 'm'));
    const gateways = subnetOf(policy, parseIp('2001:db8:1::9') as Ip)?.gateways.map(formatIp) ?? [];
    const named = (name: string, pattern: RegExp) =>
      virtual.add([...file(name).matchAll(pattern)].map(([, ip]) => ip).join(' '));
    virtual.add(gateways.join(' '));
    named('keepalived-ipv6.conf', /^ {4}(\S+:\S*)\/\d+$/gm);
    named('frr-vrrpd-ipv6.conf', /^ vrrp 7 ipv6 (\S+)$/gm);
    named('interfaces-vrrpd-ipv6', /addr add (\S+)\/\d+ dev vrrp7-ipv6 nodad$/gm);
    assert.match(file('keepalived-ipv6.conf'), /^ {2}virtual_router_id 7$/m);
    assert.ok(file('interfaces-vrrpd-ipv6').includes('address 00:00:5e:00:02:07'), 'its MAC on the macvlan');
  }
  assert.deepEqual([...virtual], ['fe80::1 2001:db8:1::1']);
});

test('clean core: every file has the same edge routers, and no routing daemon of theirs tells the core of hosts', () => {
  const file = (name: string) => read(`config/clean-core/${name}`);
  const listed = [...file('bird-overlay/routers').matchAll(/^(\d\S+) (\S+)$/gm)];
  const rlocs = listed.map(([, rloc]) => rloc as string);
  assert.equal(rlocs.length, 3);
  assert.ok(file('nftables.conf').includes(`elements = { ${rlocs.join(', ')} }`));
  const [one, two] = ['r1', 'r2'].map(
    (role) => loadConfig(at(`config/clean-core/${role}/marpd.toml`)).policy,
  );
  assert.deepEqual(one?.subnets, two?.subnets);
  for (const [i, role] of ['r1', 'r2', 'r3'].entries()) {
    const own = rlocs[i] as string;
    assert.ok(file(`${role}/interfaces`).includes(`\tup ip addr add ${own}/32 dev lo\n`));
    assert.ok(file(`${role}/interfaces`).includes(`\tpre-up /etc/clean-core/overlay ${own}\n`));
    const [bird, frr] = [file(`bird-overlay/${role}.conf`), file(`frr-evpn/${role}.conf`)];
    assert.ok(bird.includes(`router id ${own};`) && frr.includes(` ospf router-id ${own}\n`));
    for (const [, rloc, address] of listed.filter(([, rloc]) => rloc !== own)) {
      assert.ok(bird.includes(` neighbor ${address} as `), `${role}: ${address}`);
      assert.ok(frr.includes(` neighbor ${rloc} peer-group edge\n`), `${role}: ${rloc}`);
    }
    assert.match(
      bird,
      /^protocol ospf v2 underlay {\n {2}ipv4 { import where net ~ RLOCS; export none; };$/m,
    );
    assert.match(frr, /^router ospf\n ospf router-id \S+\nexit$/m);
  }
});

test('every TOML example of the page is a configuration, or a part of one', () => {
  const pages = PAGE + read('docs/mapping.md');
  const blocks = [...pages.matchAll(/```toml\n([^`]*)```/g)].map(([, text]) => text as string);
  assert.ok(blocks.length >= 6);
  for (const text of blocks)
    parseConfig(text.includes('[[interface]]') ? text : `[[interface]]\nname = "lan0"\n${text}`);
});

test('libvirt: marpd serves the tap and the address of the guest, and FRR tells others of it', () => {
  const { policy } = loadConfig(at('config/libvirt/marpd.toml'));
  assert.ok(ruleFor(policy, 'vnet0') !== undefined);
  const guest = /name='IP' value='([^']+)'/.exec(read('config/libvirt/guest.xml'))?.[1] ?? '';
  assert.ok(subnetOf(policy, parseIp(guest) as Ip)?.gateways[0] !== undefined, guest);
  const frr = read('config/libvirt/frr.conf');
  assert.match(frr, /^ip prefix-list guests seq 10 permit 10\.1\.1\.0\/24 ge 32$/m);
  assert.doesNotMatch(frr, /match interface/, 'taps come and go');
});

test('Proxmox: marpd is on a bridge without a card, never on the one that holds the physical card', () => {
  const { policy } = loadConfig(at('config/proxmox/marpd.toml'));
  const bridges = read('config/proxmox/interfaces')
    .split(/^iface /m)
    .flatMap((stanza) => {
      const ports = /^\tbridge-ports (.+)$/m.exec(stanza)?.[1];
      return ports === undefined ? [] : [{ name: stanza.split(' ', 1)[0] as string, ports }];
    });
  assert.deepEqual(
    bridges.map(({ name, ports }) => [name, ports, ruleFor(policy, name) !== undefined]),
    [
      ['vmbr0', 'eno1', false],
      ['vmbr1', 'none', true],
    ],
  );
  assert.match(read('config/proxmox/interfaces'), /\thwaddress 02:/, 'the same MAC on every node');
  assert.match(read('config/proxmox/frr.conf'), /match interface vmbr1/);
});
