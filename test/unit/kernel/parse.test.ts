// Text of iproute2 6.1 as it came from Linux 6.18 in a namespace: `ip -o -d -N monitor neigh route nexthop netconf`, the
// dumps of the same objects, `ip -j -d address show` and `bridge fdb show`.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMonitorLine } from '../../../src/kernel/ip/monitor.js';
import { parseLink, splitLinks } from '../../../src/kernel/ip/parse-link.js';
import { parseBridgeFdb } from '../../../src/kernel/ip/parse-neighbour.js';
import { parseRoute, toRoute } from '../../../src/kernel/ip/parse-route.js';
import { IfnameCache } from '../../../src/kernel/ip/ifname-cache.js';
import { type Ip, type Mac, formatIp, formatMac, parseIp, parseMac } from '../../../src/wire/addresses.js';

const ip = (text: string) => parseIp(text) as Ip;
const mac = (text: string) => parseMac(text) as Mac;
/** The value has at least these fields. */
function holds(actual: object | string | undefined, expected: object): void {
  assert.ok(typeof actual === 'object', String(actual));
  const fields = Object.entries(actual).filter(([key]) => key in expected);
  assert.deepEqual(Object.fromEntries(fields), expected);
}

describe('links and their addresses: ip -j -d address show', () => {
  const of = (json: string) => {
    const link = parseLink(json);
    assert.ok(link !== undefined, json);
    const addresses = link.addresses.map((prefix) => `${formatIp(prefix.ip)}/${prefix.length}`);
    return { ...link, mac: formatMac(link.mac), addresses };
  };
  const VETH =
    '{"ifindex":2,"link":"d0","ifname":"d1","flags":["NO-CARRIER","BROADCAST","MULTICAST","UP","M-DOWN"],"mtu":1500,"qdisc":"noqueue","master":"br0","operstate":"LOWERLAYERDOWN","group":"default","txqlen":1000,"link_type":"ether","address":"ea:84:04:bc:5e:6b","broadcast":"ff:ff:ff:ff:ff:ff","linkinfo":{"info_kind":"veth","info_slave_kind":"bridge"},"addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24,"scope":"global","label":"d1"},{"family":"inet","local":"10.9.9.1","address":"10.9.9.2","prefixlen":32,"scope":"global","label":"d1"},{"family":"inet6","local":"fe80::e884:4ff:febc:5e6b","prefixlen":64,"scope":"link","tentative":true}]}';

  it('a veth without a cable in a bridge; of a point-to-point address only our own end', () => {
    assert.deepEqual(of(VETH), {
      index: 2,
      name: 'd1',
      up: true,
      carrier: false,
      master: 'br0',
      lower: undefined,
      mac: 'ea:84:04:bc:5e:6b',
      type: 'veth',
      mtu: 1500,
      addresses: ['10.1.1.1/24', '10.9.9.1/32', 'fe80::e884:4ff:febc:5e6b/64'],
    });
  });

  it('an address that another machine has is a duplicate; one that is still checked is none', () => {
    const json =
      '{"ifindex":4,"ifname":"lan0","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet6","local":"fe80::2","prefixlen":64,"scope":"link","tentative":true},{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link","dadfailed":true,"tentative":true}]}';
    holds(of(json), { addresses: ['fe80::2/64', 'fe80::1/64'], duplicates: [ip('fe80::1')] });
  });

  it('up with a cable; a physical port has no kind; a tun device has no MAC', () => {
    holds(of('{"ifindex":4,"ifname":"eth0","flags":["UP","LOWER_UP"],"address":"02:fc:00:00:00:01"}'), {
      carrier: true,
      type: undefined,
      master: undefined,
      addresses: [],
    });
    holds(of('{"ifindex":5,"ifname":"tun0","flags":["UP"],"link_type":"none"}'), {
      mac: '00:00:00:00:00:00',
    });
  });

  it('a macvlan names the interface that it stands on, unless that is in another namespace', () => {
    const macvlan = (where: string) =>
      of(`{"ifindex":4,${where},"ifname":"gw0","flags":["UP"],"linkinfo":{"info_kind":"macvlan"}}`).lower;
    assert.equal(macvlan('"link":"lan0"'), 'lan0');
    assert.equal(macvlan('"link_index":3,"link_netnsid":0'), undefined);
  });

  it('text of others is data: quotes, line breaks and control characters in alias, label and names', () => {
    const alias = String.raw`x\n7: lan9: <UP> \"},{\"ifindex\":9,\"ifname\":\"lan9\" it's \' \\`;
    const json = `[${VETH.replace('"addr_info"', `"ifalias":"${alias}\u0001\u001b","altnames":["alt\\"nm","lan0"],"addr_info"`).replace('"label":"d1"', '"label":"d1:\\n1 10.1"')},{"ifindex":3,"link":"a@b","ifname":"lan0@x","flags":["UP"],"addr_info":[]}]\n`;
    assert.deepEqual(
      splitLinks(json).map((element) => {
        const { index, name, addresses } = of(element);
        return [index, name, addresses.length];
      }),
      [
        [2, 'd1', 3],
        [3, 'lan0@x', 0],
      ],
    );
    assert.deepEqual(splitLinks('[]\n'), []);
  });

  it('what is no link, or is cut off, is none', () => {
    for (let length = 0; length < VETH.length; length++)
      assert.equal(parseLink(VETH.slice(0, length)), undefined);
    for (const json of ['{}', '[]', 'null', '{"ifindex":"1","ifname":"x"}', '['.repeat(10_000)])
      assert.equal(parseLink(json), undefined);
  });
});

describe('routes', () => {
  const parse = (line: string) => {
    const parsed = parseMonitorLine(line);
    assert.ok(typeof parsed === 'object' && parsed.kind === 'route', line);
    const { prefix, via, ...rest } = parsed;
    return {
      ...rest,
      prefix: `${formatIp(prefix.ip)}/${prefix.length}`,
      via: via === undefined ? via : formatIp(via),
    };
  };

  it('a claim of ours', () => {
    const line = '1 10.1.1.5 dev lan0 table 254 proto 44 scope 253 metric 3523215362 ';
    assert.deepEqual(parse(line), {
      kind: 'route',
      deleted: false,
      prefix: '10.1.1.5/32',
      table: 254,
      protocol: 44,
      metric: 3523215362,
      type: 'unicast',
      dev: 'lan0',
      via: undefined,
    });
    assert.equal(parse(`Deleted ${line}`).deleted, true);
  });

  it("a routing daemon's, with a next hop", () => {
    const line = '1 10.1.1.7 via 10.1.1.9 dev lan0 table 254 proto 188 scope 0 metric 20 ';
    holds(parse(line), { protocol: 188, metric: 20, via: '10.1.1.9', dev: 'lan0' });
  });

  it('several next hops have no one interface, and the first hop', () => {
    const line =
      '1 10.1.1.8 table 254 proto 188 scope 0 metric 20 \\\tnexthop via 10.1.1.9 dev lan0 weight 1 \\\tnexthop via 10.1.1.10 dev lan0 weight 1 ';
    holds(parse(line), { dev: undefined, via: '10.1.1.9', metric: 20 });
  });

  it('the legs of a multipath route of IPv6, each with its interface; the deletion of one names it alone', () => {
    const line =
      '1 2001:db8::5 table 254 proto 188 scope 0 metric 20 pref medium\\\tnexthop via fe80::1 dev core1 weight 1 \\\tnexthop via fe80::2 dev core2 weight 1 ';
    const parsed = parseMonitorLine(line);
    assert.ok(typeof parsed === 'object' && parsed.kind === 'route');
    const indices = new Map([
      ['core1', 2],
      ['core2', 3],
    ]);
    const route = toRoute(parsed, undefined, (dev) => indices.get(dev));
    assert.deepEqual(route.legs, [
      { iface: 2, via: parseIp('fe80::1') },
      { iface: 3, via: parseIp('fe80::2') },
    ]);
    holds(
      parse('Deleted 1 2001:db8::5 via fe80::1 dev core1 table 254 proto 188 scope 0 metric 20 pref medium'),
      { deleted: true, dev: 'core1', via: 'fe80::1' },
    );
  });

  it('a next-hop object, and its continuation line', () => {
    const line = '1 10.1.1.80 nhid 7 via 10.1.1.9 dev lan0 table 254 proto 186 scope 0 ';
    holds(parse(line), { dev: 'lan0', via: '10.1.1.9', protocol: 186, metric: 0 });
    assert.equal(parseMonitorLine('\tnh_info id 7 via 10.1.1.9 dev lan0 scope 253 proto 0 '), 'ignored');
  });

  it('routes that lead nowhere', () => {
    holds(parse('6 10.1.1.77 table 100 proto 186 scope 0 '), {
      type: 'blackhole',
      table: 100,
      dev: undefined,
    });
    assert.equal(parse('7 10.1.1.78 table 100 proto 186 scope 0 ').type, 'unreachable');
  });

  it('default routes say their family between the lines', () => {
    assert.equal(parse('1 default via 10.1.1.9 dev lan0 table 254 proto 3 scope 0 ').prefix, '0.0.0.0/0');
    assert.equal(parse('1 default dev ppp0 table 254 proto 3 scope 253 ').prefix, '0.0.0.0/0');
    assert.equal(
      parse('1 default via fe80::1 dev lan0 table 254 proto 9 scope 0 metric 1024 pref medium').prefix,
      '::/0',
    );
    assert.equal(
      parse('1 default via inet6 fe80::1 dev lan0 table 254 proto 9 scope 0 ').prefix,
      '0.0.0.0/0',
    );
  });

  it('the local table, IPv6, and a subnet', () => {
    holds(parse('2 10.1.1.1 dev lan0 table 255 proto 2 scope 254 src 10.1.1.1 '), {
      type: 'local',
      table: 255,
    });
    holds(parse('1 fd00::5 dev lan0 table 254 proto 44 scope 0 metric 1 pref medium'), {
      prefix: 'fd00::5/128',
      metric: 1,
    });
    assert.equal(
      parse('1 10.1.1.0/24 dev lan0 table 254 proto 2 scope 253 src 10.1.1.1 linkdown ').prefix,
      '10.1.1.0/24',
    );
  });

  it('a dump leaves out what it was filtered by', () => {
    const line = '1 10.1.1.5 dev d0 table 254 scope 253 metric 1 linkdown ';
    assert.equal(parseRoute(line, false, { protocol: 44 })?.protocol, 44);
    assert.equal(parseRoute('1 10.1.1.5 dev d0 proto 44 metric 1', false, { table: 100 })?.table, 100);
  });
});

describe('neighbours and forwarding entries', () => {
  const parse = (line: string) => {
    const parsed = parseMonitorLine(line);
    assert.ok(typeof parsed === 'object' && parsed.kind === 'neighbour', line);
    return parsed;
  };

  it('ours: permanent, extern_learn, with our protocol number', () => {
    assert.deepEqual(parse('10.1.1.5 dev lan0 lladdr 02:00:0a:01:01:05 extern_learn PERMANENT proto 44 '), {
      kind: 'neighbour',
      deleted: false,
      ip: ip('10.1.1.5'),
      dev: 'lan0',
      mac: mac('02:00:0a:01:01:05'),
      state: 'PERMANENT',
      externLearn: true,
      protocol: 44,
    });
  });

  it('its last words', () => {
    const line = 'Deleted 10.1.1.5 dev lan0  FAILED proto 44 ';
    holds(parse(line), {
      deleted: true,
      mac: undefined,
      state: 'FAILED',
      protocol: 44,
    });
  });

  it('learned by the kernel, unresolved, and on an interface that is already gone', () => {
    holds(parse('10.0.0.5 dev br0 lladdr 62:cf:d7:98:cf:8c STALE '), {
      state: 'STALE',
      protocol: 0,
    });
    holds(parse('10.1.1.6 dev d0 router FAILED '), {
      mac: undefined,
      state: 'FAILED',
    });
    assert.equal(
      parse('Deleted fd00::5 dev if4 lladdr 02:00:0a:01:01:05 extern_learn PERMANENT ').dev,
      'if4',
    );
    assert.equal(parse('fd00:: dev lan0 lladdr 02:00:0a:01:01:05 STALE ').ip, ip('fd00::'));
  });

  it('a bridge that learns, forgets, and its own addresses', () => {
    const parseFdb = (line: string) => parseMonitorLine(line);
    assert.deepEqual(parseFdb('dev vQ lladdr 62:cf:d7:98:cf:8c REACHABLE '), {
      kind: 'fdb',
      deleted: false,
      dev: 'vQ',
      bridge: undefined,
      mac: mac('62:cf:d7:98:cf:8c'),
      permanent: false,
    });
    holds(parseFdb('Deleted dev vQ lladdr 62:cf:d7:98:cf:8c STALE '), {
      deleted: true,
    });
    holds(parseFdb('dev lan0 lladdr ae:ba:3a:ef:9c:a8 PERMANENT '), {
      permanent: true,
    });
  });

  it('bridge fdb show', () => {
    holds(parseBridgeFdb('62:cf:d7:98:cf:8c dev vP master br0 '), {
      dev: 'vP',
      bridge: 'br0',
      permanent: false,
    });
    for (const own of [
      'ee:2e:19:dd:b8:6e dev vP master br0 permanent',
      '33:33:00:00:00:01 dev vP self permanent',
    ]) {
      assert.equal(parseBridgeFdb(own)?.permanent, true);
    }
  });
});

describe('the rest of the monitor', () => {
  it('a nexthop object that is deleted; a new one is nothing yet', () => {
    assert.deepEqual(parseMonitorLine('Deleted id 7 via 10.0.0.3 dev d0 scope 253 proto 11 '), {
      kind: 'nexthop-gone',
    });
    assert.equal(parseMonitorLine('id 8 group 7 scope 0 proto 0 '), 'ignored');
  });

  it('interfaces with the names of keywords', () => {
    holds(parseMonitorLine('10.1.1.5 dev lladdr lladdr 02:00:0a:01:01:05 STALE '), {
      dev: 'lladdr',
      mac: mac('02:00:0a:01:01:05'),
    });
    holds(parseMonitorLine('10.1.1.5 dev extern_learn lladdr 02:00:0a:01:01:05 PERMANENT '), {
      externLearn: false,
    });
    holds(parseMonitorLine('dev PERMANENT lladdr 62:cf:d7:98:cf:8c REACHABLE '), { permanent: false });
    holds(parseBridgeFdb('62:cf:d7:98:cf:8c dev master master permanent '), {
      dev: 'master',
      bridge: 'permanent',
      permanent: false,
    });
    holds(parseMonitorLine('1 10.1.1.7 via 10.1.1.9 dev proto table 254 proto 188 scope 0 metric 20 '), {
      dev: 'proto',
      protocol: 188,
    });
  });

  it('settings that changed', () => {
    assert.deepEqual(parseMonitorLine('inet all rp_filter strict '), {
      kind: 'netconf',
      dev: 'all',
      family: 'ipv4',
    });
    holds(parseMonitorLine('inet6 c1 forwarding on '), { kind: 'netconf', dev: 'c1', family: 'ipv6' });
    assert.equal(parseMonitorLine('Deleted inet vQ '), 'ignored');
  });

  it('never throws, and understands no line that is cut off in its first words', () => {
    const lines = [
      '1 10.1.1.7 via 10.1.1.9 dev lan0 table 254 proto 188 scope 0 metric 20 ',
      'Deleted 10.1.1.5 dev lan0 lladdr 02:00:0a:01:01:05 extern_learn PERMANENT proto 44 ',
      'dev vQ lladdr 62:cf:d7:98:cf:8c REACHABLE ',
    ];
    for (const line of lines) {
      for (let length = 0; length < line.length; length++) parseMonitorLine(line.slice(0, length));
    }
    for (const line of [
      'hello',
      '2:',
      '2: ',
      '1',
      '1 ',
      '1 nonsense dev lan0',
      '10.1.1.5',
      ':: dev',
      'dev',
    ]) {
      assert.equal(parseMonitorLine(line), undefined, line);
    }
    assert.equal(parseMonitorLine('1 10.1.1.5 dev lan0 proto 44 metric '), undefined);
  });
});

describe('names as a running monitor prints them', () => {
  const link = (index: number, name: string) => ({ index, name });

  it('an interface that was renamed keeps its first name in the lines about others (ll_map.c)', () => {
    const names = new IfnameCache();
    assert.equal(names.update([link(2, 'lan0')]), true);
    assert.equal(names.update([link(2, 'lan7')]), true);
    assert.equal(names.resolve('lan0'), 2);
    assert.equal(names.resolve('lan7'), 2, 'a line may have either');
    names.update([link(2, 'lan7')], true);
    assert.equal(names.resolve('lan0'), undefined, 'a new monitor knows the present names alone');
  });

  it('a second interface under a name in use makes the name useless', () => {
    const names = new IfnameCache();
    names.update([link(2, 'lan0')]);
    names.update([link(2, 'lan7')]);
    assert.equal(names.update([link(2, 'lan7'), link(5, 'lan0')]), false);
  });

  it('a re-created interface is the new one; in between the name means nothing', () => {
    const names = new IfnameCache();
    names.update([link(2, 'lan0'), link(3, 'lan1')]);
    names.doubt(2);
    assert.equal(names.resolve('lan0'), undefined);
    assert.equal(names.resolve('lan1'), 3);
    assert.equal(names.update([link(5, 'lan0'), link(3, 'lan1')]), true);
    assert.equal(names.resolve('lan0'), 5);
    assert.equal(names.resolve('if9'), 9);
  });
});
