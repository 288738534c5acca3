// Lines of iproute2 6.1 as they came from Linux 6.18 in a namespace: `ip -o -d -N monitor link address neigh route
// netconf`, the dumps of the same objects, and `bridge fdb show`.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMonitorLine } from '../../../src/kernel/ip/monitor.js';
import { parseBridgeFdb } from '../../../src/kernel/ip/parse-neighbour.js';
import { parseRoute } from '../../../src/kernel/ip/parse-route.js';
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

const REST = ' numtxqueues 2 numrxqueues 2 gso_max_size 65536 gso_max_segs 65535 gro_max_size 65536 ';

describe('links', () => {
  const parse = (line: string) => {
    const parsed = parseMonitorLine(line);
    assert.ok(typeof parsed === 'object' && parsed.kind === 'link', line);
    return { ...parsed, mac: formatMac(parsed.mac) };
  };

  it('a veth that appears, down', () => {
    const line =
      '2: lan0@if2: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group 0 \\    link/[1] ae:ba:3a:ef:9c:a8 brd ff:ff:ff:ff:ff:ff link-netnsid 0 promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535 \\    veth' +
      REST;
    assert.deepEqual(parse(line), {
      kind: 'link',
      deleted: false,
      index: 2,
      name: 'lan0',
      up: false,
      carrier: false,
      master: undefined,
      mac: 'ae:ba:3a:ef:9c:a8',
      type: 'veth',
    });
  });

  it('up without a cable, and up with one', () => {
    const of = (flags: string) =>
      parse(
        `2: lan0@if2: <${flags}> mtu 1500 qdisc noqueue state X group 0 \\    link/[1] ae:ba:3a:ef:9c:a8 brd ff:ff:ff:ff:ff:ff promiscuity 0 \\    veth${REST}`,
      );
    holds(of('NO-CARRIER,BROADCAST,MULTICAST,UP'), { up: true, carrier: false });
    holds(of('BROADCAST,MULTICAST,UP,LOWER_UP'), { up: true, carrier: true });
  });

  it('a bridge port names its bridge, and its own kind comes before `bridge_slave`', () => {
    const line = `2: lan0@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master br0 state UP group 0 \\    link/[1] ae:ba:3a:ef:9c:a8 brd ff:ff:ff:ff:ff:ff promiscuity 1  allmulti 1 minmtu 68 maxmtu 65535 \\    veth \\    bridge_slave state forwarding priority 32${REST}`;
    holds(parse(line), { master: 'br0', type: 'veth' });
  });

  it('a port without a kind of its own, as physical ones are, has none', () => {
    const line = `2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq master br0 state UP group 0 qlen 1000\\    link/[1] ae:ba:3a:ef:9c:a8 brd ff:ff:ff:ff:ff:ff promiscuity 1 \\    bridge_slave state forwarding${REST} \\    altname enp0s3`;
    holds(parse(line), { master: 'br0', type: undefined });
  });

  it('what a bridge says of its ports is no news of the interface (AF_BRIDGE)', () => {
    for (const line of [
      '4: vQ@br0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 master br0 state DOWN \\    link/[1] fe:c7:2e:1b:50:aa',
      'Deleted 4: vQ@br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master br0 state UP \\    link/[1] fe:c7:2e:1b:50:aa',
      'Deleted 4: vQ@NONE: <BROADCAST,MULTICAST> mtu 1500 master br0 state DOWN \\    link/[1] fe:c7:2e:1b:50:aa',
    ]) {
      assert.equal(parseMonitorLine(line), 'ignored');
    }
  });

  it('a tap that is deleted, and one that leaves for another namespace', () => {
    for (const word of ['', ' new-netnsid 0 new-ifindex 4']) {
      const line = `Deleted 4: tap0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group 0 \\    link/[1] da:41:85:d9:54:86 brd ff:ff:ff:ff:ff:ff${word} promiscuity 0  allmulti 0 minmtu 68 maxmtu 65521 \\    tun type tap pi off vnet_hdr off persist on${REST}`;
      holds(parse(line), { deleted: true, index: 4, name: 'tap0', type: 'tun' });
    }
  });

  it('the loopback interface has no address worth the name', () => {
    const line = `1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN mode DEFAULT group 0 qlen 1000\\    link/[772] 00:00:00:00:00:00 brd 00:00:00:00:00:00 promiscuity 0  allmulti 0 minmtu 0 maxmtu 0 addrgenmode eui64${REST}`;
    holds(parse(line), { name: 'lo', mac: '00:00:00:00:00:00' });
  });
});

describe('addresses', () => {
  const parse = (line: string) => {
    const parsed = parseMonitorLine(line);
    assert.ok(typeof parsed === 'object' && parsed.kind === 'address', line);
    const { deleted, index, prefix } = parsed;
    return { deleted, index, prefix: `${formatIp(prefix.ip)}/${prefix.length}` };
  };

  it('keeps the host bits', () => {
    const line = '2: lan0    inet 10.1.1.1/24 scope 0 lan0\\       valid_lft forever preferred_lft forever';
    assert.deepEqual(parse(line), { deleted: false, index: 2, prefix: '10.1.1.1/24' });
    assert.deepEqual(parse(`Deleted ${line}`), { deleted: true, index: 2, prefix: '10.1.1.1/24' });
  });

  it('of a point-to-point interface only our own end', () => {
    const line =
      '2: lan0    inet 10.9.9.1 peer 10.9.9.2/32 scope 0 lan0\\       valid_lft forever preferred_lft forever';
    assert.equal(parse(line).prefix, '10.9.9.1/32');
  });

  it('of IPv6', () => {
    const line =
      '2: lan0    inet6 fe80::acba:3aff:feef:9ca8/64 scope 253 \\       valid_lft forever preferred_lft forever';
    assert.equal(parse(line).prefix, 'fe80::acba:3aff:feef:9ca8/64');
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
  it('settings that changed', () => {
    assert.deepEqual(parseMonitorLine('inet all rp_filter strict '), { kind: 'netconf', dev: 'all' });
    assert.equal(parseMonitorLine('inet6 lan0 forwarding off '), 'ignored');
    assert.equal(parseMonitorLine('Deleted inet vQ '), 'ignored');
  });

  it('never throws, and understands no line that is cut off in its first words', () => {
    const lines = [
      '2: lan0@if2: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group 0 \\    link/[1] ae:ba:3a:ef:9c:a8 brd ff:ff:ff:ff:ff:ff \\    veth numtxqueues 2',
      'Deleted 2: lan0    inet 10.1.1.1/24 scope 0 lan0\\       valid_lft forever',
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
  const link = (index: number, name: string, deleted = false) =>
    ({
      kind: 'link',
      index,
      name,
      deleted,
      up: true,
      carrier: true,
      master: undefined,
      mac: 0 as Mac,
      type: '',
    }) as const;

  it('an interface that was renamed keeps its first name in the lines about others (ll_map.c)', () => {
    const names = new IfnameCache();
    assert.equal(names.note(link(2, 'lan0')), true);
    assert.equal(names.note(link(2, 'lan7')), true);
    assert.equal(names.resolve('lan0'), 2);
    assert.equal(names.resolve('lan7'), undefined);
  });

  it('a second interface under a name in use makes the name useless', () => {
    const names = new IfnameCache();
    names.note(link(2, 'lan0'));
    names.note(link(2, 'lan7'));
    assert.equal(names.note(link(5, 'lan0')), false);
  });

  it('a re-created interface is the new one', () => {
    const names = new IfnameCache();
    names.note(link(2, 'lan0'));
    names.note(link(2, 'lan0', true));
    assert.equal(names.resolve('lan0'), undefined);
    assert.equal(names.note(link(5, 'lan0')), true);
    assert.equal(names.resolve('lan0'), 5);
    assert.equal(names.resolve('if9'), 9);
  });
});
