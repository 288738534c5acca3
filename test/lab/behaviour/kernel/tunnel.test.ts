// The data plane of the mapping system on real kernels: two routers, hosts of both families behind each, a core that
// knows the RLOCs only.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { labTest } from '../../kit/lab-test.js';
import type { Lab, Namespace } from '../../kit/namespace.js';
import { Program, waitFor } from '../../kit/program.js';
import type { Question } from '../../testbed/tunnel-process.js';

const PROCESS = fileURLToPath(new URL('../../testbed/tunnel-process.ts', import.meta.url));
const RLOCS_NFT = fileURLToPath(new URL('../../../../config/mapping/rlocs.nft', import.meta.url));

interface Answer {
  readonly error?: string;
  readonly ms: number;
  readonly adopted: readonly string[];
  readonly wanted: number;
  readonly installed: number;
  readonly refused: number;
  readonly mtu: number;
  readonly recreated: number;
  readonly warnings: readonly string[];
}

/** A router with a tunnel, and the host behind it. */
class Router {
  #program: Program;

  constructor(
    readonly n: number,
    readonly namespace: Namespace,
    readonly host: Namespace,
  ) {
    this.#program = this.#launch();
  }

  #launch(): Program {
    return new Program(this.namespace, [process.execPath, '--import', 'tsx', PROCESS], { title: 'tunnel' });
  }

  async ask(question: Question): Promise<Answer> {
    const program = this.#program;
    const before = program.lines.filter(({ text }) => text.startsWith('{')).length;
    program.write(`${JSON.stringify(question)}\n`);
    const line = await waitFor(
      () => program.lines.filter(({ text }) => text.startsWith('{'))[before],
      20_000,
      `an answer to ${question.op}`,
    );
    return JSON.parse(line.text) as Answer;
  }

  async start(more: Record<string, unknown> = {}): Promise<Answer> {
    const answer = await this.ask({
      op: 'start',
      options: {
        device: 'marp0',
        encapsulation: 'vxlan-gpe',
        port: 4790,
        vni: 100,
        rlocs: [`10.255.${this.n}.1`],
        checksum: false,
        protocol: 45,
        table: 254,
        metric: 20,
        families: ['ipv4', 'ipv6'],
        servers: [`10.255.${3 - this.n}.1`],
        ...more,
      },
    });
    assert.equal(answer.error, undefined);
    return answer;
  }

  async kill(): Promise<void> {
    await this.#program.stop('SIGKILL');
    this.#program = this.#launch();
  }

  ip(...args: readonly string[]): string {
    return this.namespace.exec('ip', '-N', ...args);
  }

  /** Routes of ours, of both families. */
  routes(): string[] {
    return ['-4', '-6'].flatMap((family) =>
      this.ip(family, '-o', 'route', 'show', 'proto', '45')
        .split('\n')
        .filter((line) => /^\S/.test(line)),
    );
  }
}

interface Site {
  readonly core: Namespace;
  readonly routers: readonly [Router, Router];
}

function build(lab: Lab): Site {
  const [core, r1, r2, h1, h2] = lab.create('core', 'r1', 'r2', 'h1', 'h2') as [
    Namespace,
    Namespace,
    Namespace,
    Namespace,
    Namespace,
  ];
  for (const namespace of [core, r1, r2, h1, h2])
    namespace.sysctl({ 'ipv6.conf.all.disable_ipv6': 0, 'ipv6.conf.default.disable_ipv6': 0 });
  for (const router of [core, r1, r2])
    router.sysctl({ 'ipv4.ip_forward': 1, 'ipv6.conf.all.forwarding': 1, 'ipv6.conf.default.accept_dad': 0 });
  [r1, r2].forEach((router, index) => {
    const n = index + 1;
    const host = [h1, h2][index] as Namespace;
    lab.link(core, `to${n}`, router, 'core');
    lab.link(router, 'lan0', host, 'eth0');
    core.ip(
      `link set to${n} up`,
      `address add 10.255.${n}.254/24 dev to${n}`,
      `address add fd00:${n}::fe/64 dev to${n} nodad`,
    );
    router.ip(
      'link set core up',
      'link set lan0 up',
      `address add 10.255.${n}.1/24 dev core`,
      `address add fd00:${n}::1/64 dev core nodad`,
      `address add 10.${n}.0.1/24 dev lan0`,
      `address add 2001:db8:${n}::1/64 dev lan0 nodad`,
      `route add 10.255.0.0/16 via 10.255.${n}.254`,
      `route add fd00::/16 via fd00:${n}::fe`,
    );
    host.ip(
      'link set eth0 up',
      `address add 10.${n}.0.5/24 dev eth0`,
      `address add 2001:db8:${n}::5/64 dev eth0 nodad`,
      `route add default via 10.${n}.0.1`,
      `route add default via 2001:db8:${n}::1`,
    );
  });
  return { core, routers: [new Router(1, r1, h1), new Router(2, r2, h2)] };
}

/** What is behind the other router, of both families. */
const mappingsTo = (n: number, rloc: string) =>
  [
    [`10.${n}.0.0/24`, rloc],
    [`2001:db8:${n}::/64`, rloc],
  ] as const;

const ping = (host: Namespace, to: string, ...more: readonly string[]) =>
  host.status('ping', '-c', '1', '-W', '1', ...more, to) === 0;

/** All four ways between the two hosts. */
async function everybodyIsReached({ routers: [one, two] }: Site): Promise<void> {
  for (const [from, to] of [
    [one.host, '10.2.0.5'],
    [one.host, '2001:db8:2::5'],
    [two.host, '10.1.0.5'],
    [two.host, '2001:db8:1::5'],
  ] as const)
    await waitFor(() => ping(from, to), 5000, `an answer of ${to}`);
}

/** What a ping that must not be fragmented is told. */
function refusal(host: Namespace, to: string, payload: number): string {
  try {
    return host.exec('sh', '-c', `ping -c1 -W1 -M do -s ${payload} ${to} 2>&1 || true`);
  } catch (error) {
    return String(error);
  }
}

for (const [title, options, rloc, mtu] of [
  ['VXLAN-GPE over IPv4', {}, '10.255.N.1', 1464],
  ['VXLAN-GPE over IPv6', { rlocs: ['fd00:N::1'], servers: ['fd00:M::1'] }, 'fd00:N::1', 1444],
  ['VXLAN over IPv4', { encapsulation: 'vxlan' }, '10.255.N.1', 1450],
  [
    'VXLAN over IPv6',
    { encapsulation: 'vxlan', rlocs: ['fd00:N::1'], servers: ['fd00:M::1'] },
    'fd00:N::1',
    1430,
  ],
] as const)
  labTest(`${title}: hosts of both families reach each other, and DF 1500 is told ${mtu}`, async (lab) => {
    const site = build(lab);
    const { core, routers } = site;
    for (const router of routers) {
      const text = JSON.stringify(options)
        .replaceAll('N', `${router.n}`)
        .replaceAll('M', `${3 - router.n}`);
      assert.equal((await router.start(JSON.parse(text))).mtu, mtu);
    }
    const capture = join(lab.directory, 'core.pcap');
    const tcpdump = new Program(
      core,
      ['tcpdump', '-Z', 'root', '--immediate-mode', '-i', 'to1', '-U', '-w', capture],
      { quiet: true },
    );
    await tcpdump.line(/listening on/);
    for (const router of routers) {
      const other = 3 - router.n;
      await router.ask({ op: 'set', mappings: mappingsTo(other, rloc.replace('N', `${other}`)) });
    }
    await everybodyIsReached(site);
    const [{ host }] = routers;
    assert.match(refusal(host, '10.2.0.5', 1472), new RegExp(`mtu ?= ?${mtu}`), 'RFC 1191');
    assert.match(
      refusal(host, '2001:db8:2::5', 1452),
      new RegExp(`mtu ?[=:] ?${mtu}`),
      'RFC 4443 section 3.2',
    );
    // The largest that fits, one that the sender fragments, and its answer.
    assert.ok(ping(host, '10.2.0.5', '-M', 'do', '-s', `${mtu - 28}`), 'the largest packet');
    assert.ok(ping(host, '10.2.0.5', '-s', '3000'), 'inner fragments');
    await tcpdump.stop();
    const read = (filter: string) => core.exec('tcpdump', '-nr', capture, filter).split('\n').length - 1;
    assert.ok(read('udp port 4790') > 8, 'the core carries the tunnel');
    assert.equal(read('ip[6:2] & 0x3fff != 0 or ip6[6] == 44'), 0, 'no outer fragment');
    assert.equal(read('net 10.1.0.0/24 or net 10.2.0.0/24'), 0, 'no inner packet outside');
    for (const router of routers) {
      assert.deepEqual((await router.ask({ op: 'stop' })).warnings, []);
      assert.deepEqual(router.routes(), []);
      assert.equal(router.ip('nexthop', 'show'), '');
      assert.notEqual(router.namespace.status('ip', 'link', 'show', 'marp0'), 0);
    }
  });

labTest('a device that was deleted or set down comes back with all its routes', async (lab) => {
  const site = build(lab);
  const [one, two] = site.routers;
  for (const router of site.routers) {
    await router.start();
    const other = 3 - router.n;
    await router.ask({ op: 'set', mappings: mappingsTo(other, `10.255.${other}.1`) });
  }
  await one.ask({ op: 'range', count: 200, rloc: '10.255.2.1' });
  await everybodyIsReached(site);
  for (const how of [
    'link del marp0',
    'link set marp0 down',
    'nexthop flush proto 45',
    'route del 10.2.0.0/24',
  ]) {
    one.ip(...how.split(' '));
    assert.ok(!one.routes().some((line) => line.startsWith('10.2.0.0/24 ')), `${how}: the route is gone`);
    // A deletion is seen; the rest with the next comparison.
    if (how !== 'link del marp0') await one.ask({ op: 'reconcile' });
    await waitFor(() => one.routes().length === 202, 5000, `${how}: all routes again`);
    await everybodyIsReached(site);
  }
  const { recreated, warnings, refused } = await one.ask({ op: 'stats' });
  assert.equal(recreated, 1);
  assert.equal(refused, 0);
  assert.ok(
    warnings.some((line) => line.startsWith('device: marp0 has vanished')),
    warnings.join('\n'),
  );
  await two.ask({ op: 'stop' });
  await one.ask({ op: 'stop' });
  assert.deepEqual(one.routes(), []);
});

labTest('10,000 mappings are set, re-pointed and withdrawn in seconds', async (lab) => {
  const [one] = build(lab).routers;
  await one.start();
  const set = await one.ask({ op: 'range', count: 10_000, rloc: '10.255.2.1' });
  assert.equal(one.routes().length, 10_000);
  const moved = await one.ask({ op: 'range', count: 10_000, rloc: '10.255.3.1' });
  assert.equal(one.routes().filter((line) => line.includes('dst 10.255.3.1')).length, 10_000);
  const again = await one.ask({ op: 'range', count: 10_000, rloc: '10.255.3.1' });
  const stopped = await one.ask({ op: 'stop' });
  console.log(
    `10,000 routes: set ${set.ms.toFixed(0)} ms, moved ${moved.ms.toFixed(0)} ms, unchanged ${again.ms.toFixed(0)} ms, withdrawn ${stopped.ms.toFixed(0)} ms`,
  );
  // 0.7 s each on an idle machine.
  assert.ok(set.ms < 15_000, `${set.ms} ms`);
  assert.ok(moved.ms < 15_000, `${moved.ms} ms`);
  assert.deepEqual(one.routes(), []);
});

labTest('what others have is left alone: routes, nexthop objects, a device of the name', async (lab) => {
  const [one] = build(lab).routers;
  const id = 0x4000_0000 + 45 * 2 ** 20 + 1;
  one.namespace.ip(
    `nexthop add id ${id} via 10.255.1.254 dev core protocol 4`,
    'nexthop add id 7 via 10.255.1.254 dev core protocol 45',
    'route add 10.9.0.1/32 nhid 7 proto 4 metric 20',
    'route add 10.9.0.2/32 via 10.255.1.254 proto 45 metric 5',
  );
  await one.start();
  await one.ask({
    op: 'set',
    mappings: [
      ['10.9.0.1/32', '10.255.2.1'],
      ['10.9.0.3/32', '10.255.2.1'],
    ],
  });
  const route = () => one.ip('-o', 'route', 'show', '10.9.0.1');
  assert.match(route(), /via 10\.255\.1\.254 .*proto 4 /, 'the slot is taken: not replaced');
  assert.match(one.ip('-o', 'route', 'show', '10.9.0.3'), new RegExp(`nhid ${id + 1} `));
  const { warnings } = await one.ask({ op: 'stats' });
  assert.match(warnings.join('\n'), /^refused: a route of another program with metric 20 in table 254/m);
  // As soon as the slot is free, the next comparison uses it.
  one.ip('route', 'del', '10.9.0.1');
  await one.ask({ op: 'reconcile' });
  await waitFor(() => route().includes('dst 10.255.2.1'), 5000, 'the mapping');
  await one.ask({ op: 'stop' });
  assert.equal(one.ip('-o', 'nexthop', 'show').trim().split('\n').length, 2);
  assert.match(one.ip('-o', 'route', 'show', '10.9.0.2'), /metric 5/);
  await one.kill();
  one.namespace.ip('link add marp0 type veth peer name other');
  const refused = await one.ask({
    op: 'start',
    options: { device: 'marp0', rlocs: ['10.255.1.1'], servers: [], protocol: 45, families: ['ipv4'] },
  });
  assert.match(refused.error ?? '', /marp0 is a device of somebody else: set \[mapping\] device/);
  assert.equal(one.namespace.status('ip', 'link', 'show', 'marp0'), 0);
});

labTest('killed and started again: the routes never go, and each is adopted or deleted', async (lab) => {
  const site = build(lab);
  const [one, two] = site.routers;
  for (const router of site.routers) {
    await router.start();
    const other = 3 - router.n;
    await router.ask({ op: 'set', mappings: mappingsTo(other, `10.255.${other}.1`) });
  }
  await one.ask({ op: 'set', mappings: [['10.9.0.3/32', '10.255.3.1']] });
  const before = one.routes();
  await one.kill();
  await everybodyIsReached(site);
  const { adopted } = await one.start();
  assert.deepEqual([...adopted].sort(), [
    '10.2.0.0/24 10.255.2.1',
    '10.9.0.3/32 10.255.3.1',
    '2001:db8:2::/64 10.255.2.1',
  ]);
  assert.deepEqual(one.routes(), before, 'not one was made anew');
  await one.ask({ op: 'delete', mappings: [['10.9.0.3/32', '']] });
  assert.equal(one.routes().length, 2);
  // Another RLOC of our own: the nexthop objects change, the routes stay.
  one.ip('address', 'add', '10.255.1.9/24', 'dev', 'core');
  await one.kill();
  await one.start({ rlocs: ['10.255.1.9'] });
  await waitFor(() => one.routes().every((line) => line.includes('src 10.255.1.9 ')), 5000, 'the new source');
  await two.ask({ op: 'set', mappings: mappingsTo(1, '10.255.1.9') });
  await everybodyIsReached(site);
  await one.ask({ op: 'stop', keep: true });
  assert.equal(one.routes().length, 2);
});

labTest('a mapping that would loop is refused, and one to ourselves is no route', async (lab) => {
  const [one] = build(lab).routers;
  await one.start();
  await one.ask({
    op: 'set',
    mappings: [
      ['10.255.2.0/24', '10.255.2.1'],
      ['10.9.0.4/32', '10.255.1.1'],
      ['10.9.0.5/32', 'fd00:2::1'],
      ['10.8.0.0/16', '10.255.2.1'],
    ],
  });
  assert.equal(one.routes().length, 1);
  // The prefix is there already; now an RLOC in it becomes known.
  await one.ask({ op: 'set', mappings: [['10.9.0.6/32', '10.8.0.9']] });
  await waitFor(
    () => one.routes().every((line) => line.startsWith('10.9.0.6 ')),
    2000,
    'the wide route gone',
  );
  const { warnings } = await one.ask({ op: 'stats' });
  assert.deepEqual(
    warnings.map((line) => line.replace(/ is not used.*/, '')),
    [
      'loop: the mapping of 10.255.2.0/24 to 10.255.2.1',
      'no-rloc: the mapping of 10.9.0.5/32 to fd00:2::1',
      'loop: the mapping of 10.8.0.0/16 to 10.255.2.1',
    ],
  );
});

labTest('a smaller underlay makes a smaller tunnel', async (lab) => {
  const [one] = build(lab).routers;
  await one.start();
  await one.ask({ op: 'set', mappings: mappingsTo(2, '10.255.2.1') });
  one.ip('link', 'set', 'core', 'mtu', '1400');
  assert.equal((await one.ask({ op: 'reconcile' })).mtu, 1364);
  assert.match(one.ip('link', 'show', 'marp0'), / mtu 1364 /);
});

labTest('config/mapping/rlocs.nft: a stranger reaches nobody through the port', async (lab) => {
  const site = build(lab);
  const { core, routers } = site;
  const [one, two] = routers;
  for (const router of routers) {
    await router.start();
    const other = 3 - router.n;
    await router.ask({ op: 'set', mappings: mappingsTo(other, `10.255.${other}.1`) });
  }
  core.ip(
    'link add forger type vxlan external gpe dstport 4790',
    'link set forger up',
    'address add 10.1.0.77/32 dev lo',
    'route add 10.2.0.5/32 encap ip id 100 src 10.255.2.254 dst 10.255.2.1 ttl 64 dev forger src 10.1.0.77',
  );
  const echoes = () => {
    const [names, values] = two.host
      .exec('cat', '/proc/net/snmp')
      .split('\n')
      .filter((line) => line.startsWith('Icmp:'));
    return Number(values?.split(' ')[names?.split(' ').indexOf('InEchos') ?? -1]);
  };
  const forge = () => core.status('ping', '-c', '1', '-W', '0.3', '10.2.0.5');
  const before = echoes();
  forge();
  assert.equal(echoes(), before + 1, 'without the filter the host gets it');
  const rules = join(lab.directory, 'rlocs.nft');
  writeFileSync(
    rules,
    readFileSync(RLOCS_NFT, 'utf8')
      .replaceAll('10.255.0.1', '10.255.1.1')
      .replaceAll('10.255.0.2', '10.255.2.1'),
  );
  two.namespace.exec('nft', '-f', rules);
  two.namespace.exec('nft', '-f', rules); // read again
  forge();
  assert.equal(echoes(), before + 1, 'with it the host gets nothing');
  assert.match(two.namespace.exec('nft', 'list', 'table', 'inet', 'marpd_rlocs'), /counter packets [1-9]/);
  await everybodyIsReached(site);
  two.namespace.exec('nft', 'delete', 'element', 'inet', 'marpd_rlocs', 'ipv4', '{ 10.255.1.1 }');
  assert.ok(!ping(one.host, '10.2.0.5'));
  two.namespace.exec('nft', 'add', 'element', 'inet', 'marpd_rlocs', 'ipv4', '{ 10.255.1.1 }');
  await everybodyIsReached(site);
});
