import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toOutcome } from '../../../src/kernel/ip/executor.js';
import { LOST } from '../../../src/kernel/ip/process.js';
import { deviceCommands, parseDevice } from '../../../src/kernel/tunnel/device.js';
import {
  type Encapsulation,
  firstNexthopId,
  gatewayOf,
  isAsWanted,
  nexthopCommands,
  overheadOf,
  ownNexthop,
  parseNexthop,
  tunnelMac,
} from '../../../src/kernel/tunnel/encapsulation.js';
import { type DumpedRoute, Mappings } from '../../../src/kernel/tunnel/mappings.js';
import {
  type Ip,
  type Prefix,
  formatIp,
  formatMac,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';

const ip = (text: string) => parseIp(text) as Ip;
const prefix = (text: string) => parsePrefix(text) as Prefix;
const GPE: Encapsulation = {
  device: 'marp0',
  encapsulation: 'vxlan-gpe',
  port: 4790,
  vni: 100,
  rlocs: [ip('10.255.0.1'), ip('fd00::1')],
  checksum: false,
  protocol: 45,
  table: 254,
  metric: 20,
};
const FIRST = firstNexthopId(45);
const NH1 = `nexthop replace id ${FIRST + 1} encap ip id 100 src 10.255.0.1 dst 10.255.0.2 ttl 64 via 10.255.0.2 dev marp0 onlink protocol 45`;
const TAIL = 'proto 45 metric 20 table 254';

describe('commands of the tunnel', () => {
  it('IPv4 over IPv4: the RLOC is the gateway', () => {
    const nexthop = { id: FIRST + 1, rloc: ip('10.255.0.2'), family: 'ipv4' } as const;
    assert.deepEqual(nexthopCommands(nexthop, GPE), [NH1]);
  });

  it('the rest: a link-local gateway; over IPv6 with checksum (RFC 8200 section 8.1)', () => {
    assert.deepEqual(nexthopCommands({ id: 5, rloc: ip('10.255.0.2'), family: 'ipv6' }, GPE), [
      'nexthop replace id 5 encap ip id 100 src 10.255.0.1 dst 10.255.0.2 ttl 64 via fe80::5efe:aff:2 dev marp0 onlink protocol 45',
    ]);
    assert.deepEqual(nexthopCommands({ id: 6, rloc: ip('fd00:2::7'), family: 'ipv6' }, GPE), [
      'nexthop replace id 6 encap ip6 id 100 src fd00::1 dst fd00:2::7 hoplimit 64 csum via fe80::fd00:2:0:7 dev marp0 onlink protocol 45',
    ]);
    assert.throws(() =>
      nexthopCommands({ id: 6, rloc: ip('fd00::2'), family: 'ipv6' }, { ...GPE, rlocs: [ip('10.255.0.1')] }),
    );
  });

  it('VXLAN with Ethernet: the MAC of the other end is made of its RLOC, and each router has its own', () => {
    const vxlan = { ...GPE, encapsulation: 'vxlan', rlocs: [ip('10.255.0.1')] } as const;
    assert.equal(
      nexthopCommands({ id: 5, rloc: ip('10.255.0.2'), family: 'ipv4' }, vxlan)[1],
      'neigh replace 10.255.0.2 lladdr 02:6c:0a:ff:00:02 dev marp0 nud permanent protocol 45',
    );
    assert.ok(deviceCommands(vxlan, 1450)[0]?.includes('02:6c:0a:ff:00:01'));
    const macs = ['fd00::1', 'fd00::2', 'fd00:0:1::1'].map((text) => formatMac(tunnelMac(ip(text))));
    assert.equal(new Set(macs).size, 3);
    for (const mac of macs) assert.match(mac, /^06:/);
    assert.equal(formatIp(gatewayOf(ip('10.0.0.1'), 'ipv4')), '10.0.0.1');
  });

  it('makes the device, and knows it again', () => {
    assert.deepEqual(
      deviceCommands(GPE, 1444).map((words) => words.join(' ')),
      [
        'ip link add marp0 mtu 1444 type vxlan external gpe vnifilter dstport 4790',
        'ip link set marp0 alias marpd protocol 45 instance 100',
        'ip link set marp0 addrgenmode none',
        'bridge vni add vni 100 dev marp0',
      ],
    );
    const link = (more: object, data: object = {}) =>
      JSON.stringify([
        {
          ifindex: 4,
          flags: ['UP'],
          mtu: 1444,
          ifalias: 'marpd protocol 45 instance 100',
          linkinfo: {
            info_kind: 'vxlan',
            info_data: { external: true, vnifilter: true, gpe: true, port: 4790, ...data },
          },
          ...more,
        },
      ]);
    const good = { index: 4, isOurs: true, isAsWanted: true, up: true, mtu: 1444 };
    assert.deepEqual(parseDevice(link({}), GPE), good);
    assert.deepEqual(parseDevice(link({}, { port: 4789 }), GPE), { ...good, isAsWanted: false });
    const other = parseDevice(link({ ifalias: 'marpd protocol 45 instance 7' }), GPE);
    assert.deepEqual(other, { ...good, isAsWanted: false });
    assert.equal(parseDevice(link({ ifalias: 'uplink' }), GPE)?.isOurs, false);
    assert.equal(parseDevice('', GPE), undefined);
  });

  it('what an inner packet loses', () => {
    assert.deepEqual(
      (['vxlan-gpe', 'vxlan'] as const).flatMap((kind) => [
        overheadOf(kind, 'ipv4'),
        overheadOf(kind, 'ipv6'),
      ]),
      [36, 56, 50, 70],
    );
  });

  it('nexthop objects as the kernel shows them: ours, changed ones, and those of others', () => {
    const text = `id ${FIRST + 1}  encap ip id 100 src 10.255.0.1 dst 10.255.0.2 ttl 64 tos 0 via 10.255.0.2 dev marp0 scope 253 proto 45 onlink `;
    const check = (line: string) => {
      const parsed = parseNexthop(line);
      const nexthop = parsed && ownNexthop(parsed, GPE);
      return nexthop && parsed && [nexthop.family, formatIp(nexthop.rloc), isAsWanted(parsed, nexthop, GPE)];
    };
    assert.deepEqual(check(text), ['ipv4', '10.255.0.2', true]);
    assert.deepEqual(check(text.replace('id 100', 'id 101')), ['ipv4', '10.255.0.2', false]);
    assert.deepEqual(check(text.replace('src 10.255.0.1', 'src 10.255.0.9')), ['ipv4', '10.255.0.2', false]);
    assert.equal(check(text.replace('proto 45', 'proto 11')), undefined);
    assert.equal(check(text.replace(`id ${FIRST + 1}`, 'id 7')), undefined);
    assert.equal(check(text.replace('dev marp0', 'dev eth0')), undefined);
    assert.equal(parseNexthop('\tnh_info id 1'), undefined);
    assert.equal(parseNexthop('id 12 group 10/11 proto zebra')?.encap, undefined);
    // FRR's zebra and its clients stay below.
    assert.ok(FIRST > 0x3fff_ffff && firstNexthopId(255) + 2 ** 20 < 2 ** 32);
  });
});

/** Mappings whose commands the kernel carries out, unless `refuse` says why not. */
function testbed(refuse: (command: string) => string | undefined = () => undefined) {
  const unusable: string[] = [];
  const mappings = new Mappings(GPE, (_prefix, rloc, why) => unusable.push(`${why} ${formatIp(rloc)}`));
  const flush = () => {
    const work = mappings.takeWork();
    mappings.note(
      work,
      work.commands.map((command) => toOutcome(refuse(command))),
    );
    return work.commands;
  };
  return { mappings, flush, unusable };
}
const H = prefix('10.1.1.5/32');
const held = (id: number, adopt = false, routes: DumpedRoute[] = [{ prefix: H, nexthopId: id }]) =>
  [
    [{ nexthop: { id, rloc: ip('10.255.0.2'), family: 'ipv4' as const }, isAsWanted: true }],
    routes,
    new Set<number>(),
    adopt,
  ] as const;

describe('mappings: desired against installed', () => {
  it('add, replace, del; the nexthop first, and only what differs', () => {
    const { mappings, flush } = testbed();
    mappings.want(H, ip('10.255.0.2'));
    assert.deepEqual(flush(), [NH1, `route add 10.1.1.5/32 nhid ${FIRST + 1} ${TAIL}`]);
    mappings.want(H, ip('10.255.0.3'));
    mappings.want(H, ip('10.255.0.2'));
    assert.deepEqual(flush(), [], 'there and back');
    mappings.want(H, ip('10.255.0.3'));
    assert.equal(flush()[1], `route replace 10.1.1.5/32 nhid ${FIRST + 2} ${TAIL}`);
    mappings.want(H, undefined);
    assert.deepEqual(flush(), [`route del 10.1.1.5/32 ${TAIL}`]);
    assert.deepEqual(mappings.takeIdleNexthops(), [], 'not at once');
    assert.deepEqual(mappings.takeIdleNexthops(), [
      `nexthop del id ${FIRST + 1}`,
      `nexthop del id ${FIRST + 2}`,
    ]);
  });

  it('one command for a route at a time: what comes meanwhile waits', () => {
    const { mappings, flush } = testbed();
    mappings.want(H, ip('10.255.0.2'));
    const first = mappings.takeWork();
    mappings.want(H, undefined);
    mappings.want(prefix('10.1.1.6/32'), ip('10.255.0.2'));
    assert.deepEqual(flush(), [], 'the nexthop of the second is not acknowledged');
    mappings.note(first, []);
    assert.deepEqual(flush().sort(), [
      `route add 10.1.1.6/32 nhid ${FIRST + 1} ${TAIL}`,
      `route del 10.1.1.5/32 ${TAIL}`,
    ]);
  });

  it('refused: not again before a dump; lost: what the dump says counts', () => {
    let answer: string | undefined = 'RTNETLINK answers: File exists';
    const { mappings, flush } = testbed((command) => (command.startsWith('route') ? answer : undefined));
    mappings.want(H, ip('10.255.0.2'));
    assert.equal(flush().length, 2);
    assert.deepEqual(flush(), []);
    assert.equal(mappings.stats().refused, 1);
    mappings.compare(mappings.clock, ...held(FIRST + 1, false, []));
    answer = LOST;
    assert.equal(flush().length, 1);
    assert.deepEqual(flush(), []);
    mappings.compare(mappings.clock, ...held(FIRST + 1));
    assert.deepEqual(flush(), [], 'it had been carried out');
  });

  it('a dump says nothing of what was sent since it began', () => {
    const { mappings, flush } = testbed();
    const begunAt = mappings.clock;
    mappings.want(H, ip('10.255.0.2'));
    flush();
    assert.equal(mappings.compare(begunAt, [], [], new Set(), false), false);
    assert.deepEqual(flush(), []);
    assert.equal(mappings.compare(mappings.clock, [], [], new Set(), false), true);
    assert.equal(flush().length, 2, 'now it is really gone');
  });

  it('adopts routes of an earlier run, and deletes others of ours', () => {
    const one = testbed();
    one.mappings.compare(0, ...held(FIRST + 9, true));
    assert.deepEqual([...one.mappings.wanted()], [{ prefix: H, rloc: ip('10.255.0.2') }]);
    assert.deepEqual(one.flush(), []);
    const two = testbed();
    two.mappings.compare(0, ...held(FIRST + 9, false));
    assert.deepEqual(two.flush(), [`route del 10.1.1.5/32 ${TAIL}`]);
  });

  it('ids of others in our range are left to them', () => {
    const { mappings, flush } = testbed();
    mappings.compare(0, [], [], new Set([FIRST + 1, FIRST + 2]), true);
    mappings.want(H, ip('10.255.0.2'));
    assert.match(flush()[0] ?? '', new RegExp(`^nexthop replace id ${FIRST + 3} `));
  });

  it('our own RLOC, a loop, an RLOC of a family that we lack: no route', () => {
    const { mappings, flush, unusable } = testbed();
    mappings.want(H, ip('10.255.0.1'));
    assert.deepEqual([flush(), unusable], [[], []]);
    mappings.want(prefix('10.255.0.0/16'), ip('10.9.0.1'));
    assert.deepEqual([flush(), unusable], [[], ['loop 10.9.0.1']]);
  });
});
