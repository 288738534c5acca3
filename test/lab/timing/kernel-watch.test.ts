// What the kernel does, told as Events. Needs root and iproute2.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KernelWatch } from '../../../src/kernel/watch/kernel-watch.js';
import type { Event } from '../../../src/mobility/events.js';
import { type Ip, formatIp, parseMac } from '../../../src/wire/addresses.js';
import { KernelTestbed, addr, layCables, nth, wait } from '../testbed/kernel-testbed.js';
import { enterPrivateNetwork, FarEnd, ip, until } from '../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

before(layCables);

describe('the watch (design.md 5.5, 5.6)', () => {
  let testbed: KernelTestbed;
  let far: FarEnd;
  before(async () => {
    testbed = await KernelTestbed.open();
    far = await FarEnd.open();
  });
  after(async () => {
    far.end();
    await testbed.close();
  });
  const last = <K extends Event['kind']>(kind: K) =>
    testbed.events.findLast((event): event is Extract<Event, { kind: K }> => event.kind === kind);

  it('routes of others in the watched tables, IPv4 and IPv6; not ours, not the local table, not other tables', async () => {
    testbed.events.length = 0;
    ip('route add 10.17.0.1/32 dev lan0 proto 188 metric 20');
    ip('route add 10.17.0.2/32 dev lan0 proto 186 metric 20 table 100');
    ip('route add 10.17.0.3/32 dev lan0 proto 186 metric 20 table 101');
    ip('route add 10.17.0.4/32 dev lan0 proto 44 metric 9');
    ip('addr add 10.17.1.1/32 dev lo');
    ip('route add fd00:17::1/128 dev lan0 proto 188 metric 20');
    ip('route del 10.17.0.1/32 dev lan0 proto 188 metric 20');
    const seen = () =>
      testbed.events.flatMap((event) =>
        event.kind === 'route'
          ? `${event.change} ${formatIp(event.route.prefix.ip)} ${event.route.table}`
          : [],
      );
    await until('the last', () => seen().includes('delete 10.17.0.1 254'));
    assert.deepEqual(seen(), [
      'add 10.17.0.1 254',
      'add 10.17.0.2 100',
      'add fd00:17::1 254',
      'delete 10.17.0.1 254',
    ]);
    const found = testbed.events.find((event) => event.kind === 'route');
    assert.equal(found?.kind === 'route' && found.route.iface, testbed.link('lan0').index);
    ip('route flush proto 186 table all');
    ip('route del fd00:17::1/128');
    ip('route del 10.17.0.4/32 proto 44');
    ip('addr del 10.17.1.1/32 dev lo');
  });

  it('a link by its whole new state: cable, address, rp_filter, name, bridge', async () => {
    ip('link add w0 type veth peer name w1');
    await until('it appears', () => testbed.watch.links.indexOf('w0') !== undefined);
    assert.equal(testbed.link('w0').type, 'veth');
    ip(`link set w1 netns ${far.pid}`);
    far.ip('link set w1 up');
    ip('link set w0 up');
    await until('carrier', () => testbed.link('w0').up && testbed.link('w0').carrier);
    ip('addr add 10.18.0.1/24 dev w0');
    await until('address', () =>
      testbed.link('w0').addresses.some((prefix) => prefix.ip === addr('10.18.0.1')),
    );
    writeFileSync('/proc/sys/net/ipv4/conf/w0/rp_filter', '1');
    await until('rp_filter', () => testbed.link('w0').rpFilter === 1);
    writeFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', '2');
    await until('rp_filter of all', () => testbed.link('w0').rpFilter === 2);
    writeFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', '0');
    ip('link add br0 type bridge');
    ip('link set br0 up');
    ip('link set w0 master br0');
    await until('master', () => testbed.link('w0').master !== undefined);
    assert.equal(testbed.link('w0').master, testbed.link('br0').index);
    assert.equal(testbed.link('br0').type, 'bridge');
    ip('link set w0 nomaster');
    await until('no master', () => testbed.link('w0').master === undefined);
    assert.ok(testbed.watch.links.indexOf('w0') !== undefined, 'leaving a bridge is not being deleted');
    ip('link set w0 down');
    ip('link set w0 name w7');
    ip('link set w7 up');
    await until('renamed', () => testbed.watch.links.indexOf('w7') !== undefined && testbed.link('w7').up);
    testbed.events.length = 0;
    ip('route add 10.17.0.9/32 dev w7 proto 188 metric 20');
    await until('its route', () => last('route') !== undefined);
    assert.equal(
      last('route')?.route.iface,
      testbed.link('w7').index,
      'although the monitor still calls it w0',
    );
    ip('link set w7 down');
    ip('link set w7 name w0');
    ip('link set w0 up');
    await until('w0 again', () => testbed.watch.links.indexOf('w0') !== undefined && testbed.link('w0').up);
  });

  it('a lost cable within 100 ms, however busy the kernel kept linkwatch before', async () => {
    for (let i = 0; i < 5; i++) {
      await until('carrier', () => testbed.link('w0').carrier);
      await wait(10);
      const start = performance.now();
      far.ip('link set w1 down');
      await until('carrier is lost', () => !testbed.link('w0').carrier);
      const took = performance.now() - start;
      assert.ok(took < 100, `${took} ms`);
      far.ip('link set w1 up');
    }
  });

  it('where a bridge learned a MAC, when it forgot it, and what the kernel knows of a neighbour', async () => {
    const mac = parseMac(/link\/ether (\S+)/.exec(far.ip('link show dev w1'))?.[1] ?? '');
    far.ip('addr add 10.19.0.5/24 dev w1');
    testbed.events.length = 0;
    ip('link set w0 master br0');
    ip('addr add 10.19.0.1/24 dev br0');
    await until('carrier', () => testbed.link('w0').master !== undefined && testbed.link('w0').carrier);
    const speak = () => far.run('bash', '-c', 'echo x > /dev/udp/10.19.0.1/9');
    await until('learned', () => {
      speak();
      const event = testbed.events.find((other) => other.kind === 'fdb' && other.mac === mac);
      return (
        event?.kind === 'fdb' &&
        event.port === testbed.link('w0').index &&
        event.bridge === testbed.link('br0').index
      );
    });
    await until('neighbour', () =>
      testbed.events.some(
        (event) => event.kind === 'neighbour' && event.mac === mac && event.ip === addr('10.19.0.5'),
      ),
    );
    const other = new KernelWatch({
      families: ['ipv4', 'ipv6'],
      protocol: 44,
      watchTables: [254],
      onEvent: (event) => testbed.events.push(event),
      onOwnRouteDeleted: () => undefined,
      onOwnNeighbourDeleted: () => undefined,
      onWarning: (message) => testbed.warnings.push(message),
    });
    testbed.events.length = 0;
    await other.start();
    assert.ok(
      testbed.events.some((event) => event.kind === 'fdb' && event.mac === mac),
      'in the dump, too',
    );
    other.stop();
    testbed.events.length = 0;
    far.ip('link set w1 down');
    await until('forgotten', () => {
      const event = testbed.events.find((candidate) => candidate.kind === 'fdb' && candidate.mac === mac);
      return event?.kind === 'fdb' && event.port === undefined;
    });
    far.ip('link set w1 up');
    ip('link del br0');
  });

  /** Hosts of these that have a route, by all that was told. */
  const routedOf = (...hosts: readonly string[]) => {
    let known = new Set<Ip>();
    let repeated = known;
    for (const event of testbed.events) {
      if (event.kind === 'routes-begin') repeated = new Set();
      if (event.kind === 'routes-end') known = repeated;
      if (event.kind !== 'route') continue;
      for (const set of [known, repeated]) {
        if (event.change === 'add') set.add(event.route.prefix.ip);
        else set.delete(event.route.prefix.ip);
      }
    }
    return hosts.filter((text) => known.has(addr(text)));
  };

  it('routes that die with a link, of which the kernel says nothing, are told to be gone', async () => {
    const routed = () => routedOf('10.17.2.1', '10.17.2.2');
    ip('link add v0 type veth peer name v1');
    for (const end of ['v0', 'v1']) ip(`link set ${end} up`);
    ip('addr add 10.17.3.1/24 dev v0');
    testbed.events.length = 0;
    ip('nexthop add id 17 via 10.17.3.2 dev v0 proto 188');
    ip('route add 10.17.2.1/32 nhid 17 proto 188 metric 20');
    ip('route add 10.17.2.2/32 via 10.17.3.2 dev v0 proto 188 metric 20');
    await until('both', () => routed().length === 2);
    // FRR's routes refer to a nexthop object, which goes with the carrier; others wait for it to return.
    ip('link set v1 down');
    await until('the one over a nexthop object', () => routed().join() === '10.17.2.2');
    ip('link set v0 down');
    await until('the other', () => routed().length === 0);
    ip('link del v0');
  });

  it('routes that die with an address that is back at once, or with a nexthop object, are told to be gone', async () => {
    const hosts = ['10.17.2.1', '10.17.2.2', '10.17.2.3'];
    ip('link add v0 type veth peer name v1');
    for (const end of ['v0', 'v1']) ip(`link set ${end} up`);
    ip('addr add 10.17.3.1/24 dev v0');
    ip('addr add 10.17.4.1/32 dev lan0');
    testbed.events.length = 0;
    ip('route add 10.17.2.1/32 via 10.17.3.2 dev v0 proto 188 metric 20');
    ip('route add 10.17.2.2/32 dev lan1 src 10.17.4.1 proto 188 metric 20');
    ip('nexthop add id 17 dev lan1 proto 188');
    ip('route add 10.17.2.3/32 nhid 17 proto 188 metric 20');
    await until('all three', () => routedOf(...hosts).length === 3);
    ip('addr del 10.17.3.1/24 dev v0');
    ip('addr add 10.17.3.1/24 dev v0');
    await until('gone with the last address of its link', () => !routedOf(...hosts).includes('10.17.2.1'));
    ip('addr del 10.17.4.1/32 dev lan0');
    ip('addr add 10.17.4.1/32 dev lan0');
    await until('gone with its source address', () => !routedOf(...hosts).includes('10.17.2.2'));
    assert.deepEqual(routedOf(...hosts), ['10.17.2.3']);
    ip('nexthop del id 17');
    await until('gone with its nexthop object', () => routedOf(...hosts).length === 0);
    ip('addr del 10.17.4.1/32 dev lan0');
    ip('link del v0');
  });

  it('text of others is data: an alias, a label and a name of an interface are no news of another one', async () => {
    ip('link add v0 type veth peer name v1');
    await until('v0', () => testbed.watch.links.indexOf('v0') !== undefined);
    testbed.events.length = 0;
    const { index } = testbed.link('lan1');
    const text = [
      '',
      '1 10.17.0.66 via 10.2.0.9 dev lan0 table 254 proto 186 scope 0 metric 20 ',
      `Deleted ${index}: lan1@if2: <BROADCAST> mtu 1500 qdisc noop state DOWN `,
      '"},{"ifindex":99,"ifname":"lan9"',
      '',
    ].join('\n');
    execFileSync('ip', ['link', 'set', 'v0', 'alias', text]);
    for (const state of ['up', 'down']) ip(`link set v0 ${state}`);
    execFileSync('ip', ['addr', 'add', '10.17.5.1/24', 'dev', 'v0', 'label', 'v0:\n1 10.1.1.1']);
    ip('link add lan0@x type veth peer name v2');
    ip('addr add 10.17.6.1/24 dev lan0@x');
    ip('addr add 10.17.7.1/32 dev lan1');
    await until('the last of it', () =>
      testbed.link('lan1').addresses.some((prefix) => prefix.ip === addr('10.17.7.1')),
    );
    assert.deepEqual(
      testbed.events.filter(
        (event) =>
          (event.kind === 'route' && event.route.protocol === 186) ||
          (event.kind === 'link-gone' && event.iface === index),
      ),
      [],
    );
    assert.equal(testbed.watch.links.indexOf('lan9'), undefined);
    assert.deepEqual(
      testbed
        .link('lan0')
        .addresses.map((prefix) => formatIp(prefix.ip))
        .slice(0, 1),
      ['10.2.0.1'],
    );
    assert.notEqual(testbed.link('lan0@x').index, testbed.link('lan0').index);
    assert.ok(testbed.link('v0').addresses.some((prefix) => prefix.ip === addr('10.17.5.1')));
    ip('addr del 10.17.7.1/32 dev lan1');
    ip('link del v0');
    ip('link del v2');
    await until('they are gone', () => testbed.watch.links.indexOf('lan0@x') === undefined);
  });

  it('4,000 addresses added at once are told in few events', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'marpd-addresses-')), 'batch');
    const batch = (verb: string) => {
      const lines = Array.from({ length: 4000 }, (_, n) => `addr ${verb} ${formatIp(nth(n))}/32 dev lan1\n`);
      writeFileSync(file, lines.join(''));
      return execFileSync('ip', ['-force', '-batch', file]);
    };
    testbed.events.length = 0;
    batch('add');
    await until('all of them', () => testbed.link('lan1').addresses.length > 4000);
    const told = testbed.events.filter(
      (event) => event.kind === 'link' && event.link.index === testbed.link('lan1').index,
    );
    assert.ok(told.length < 400, `${told.length} events`);
    batch('del');
    await until('none of them', () => testbed.link('lan1').addresses.length < 10);
    rmSync(dirname(file), { recursive: true });
  });

  it('kill -9 of the monitor of links: it is replaced, with what was missed', async () => {
    const pids = () => testbed.watch.children.map(({ pid }) => pid);
    const links = pids().find((pid) => pid !== testbed.watch.pid) as number;
    process.kill(links, 'SIGKILL');
    ip('link add v0 type veth peer name v1');
    await until('v0', () => testbed.watch.links.indexOf('v0') !== undefined);
    await until('another monitor', () => pids().length === 2 && !pids().includes(links));
    ip('link set v0 up');
    await until('it is followed again', () => testbed.link('v0').up);
    ip('link del v0');
  });

  it('kill -9 of the monitor: the complete state is told again, with what was missed', async () => {
    ip('link add v0 type veth peer name v1');
    await until('v0', () => testbed.watch.links.indexOf('v0') !== undefined);
    testbed.events.length = 0;
    process.kill(testbed.watch.pid as number, 'SIGKILL');
    ip('link del v0');
    ip('route add 10.17.0.11/32 dev lan0 proto 188 metric 20');
    await until('resync', () => testbed.resyncs.includes('the monitor ended'));
    ip('route del 10.17.0.11/32 proto 188');
    assert.ok(last('link-gone') !== undefined);
    // The routes may be read once more by themselves, since some may have gone with the link.
    assert.ok(testbed.count('routes-begin') >= 1 && testbed.count('routes-end') >= 1);
    assert.ok(
      testbed.events.some((event) => event.kind === 'route' && event.route.prefix.ip === addr('10.17.0.11')),
    );
  });

  it('an overrun (a stalled reader): dumped again, nothing stays missing', async () => {
    const total = 20_000;
    const file = join(mkdtempSync(join(tmpdir(), 'marpd-burst-')), 'burst');
    const burst = (verb: string) =>
      writeFileSync(
        file,
        Array.from(
          { length: total },
          (_, n) => `route ${verb} ${formatIp(nth(n))}/32 dev lan0 proto 188 metric 20\n`,
        ).join(''),
      );
    const known = new Set<Ip>();
    let initial = 0;
    let consumed = 0;
    const apply = () => {
      for (const event of testbed.events.slice(consumed)) {
        if (event.kind === 'routes-begin') known.clear();
        if (event.kind !== 'route' || event.route.prefix.length !== 32) continue;
        if (event.initial) initial++;
        if (event.change === 'add') known.add(event.route.prefix.ip);
        else known.delete(event.route.prefix.ip);
      }
      consumed = testbed.events.length;
    };
    testbed.events.length = 0;
    burst('add');
    // This process does not read meanwhile: the pipe fills, then the socket's buffer.
    execFileSync('ip', ['-force', '-batch', file]);
    burst('del');
    execFileSync('ip', ['-force', '-batch', file]);
    burst('add');
    execFileSync('ip', ['-force', '-batch', file]);
    await until(
      'all of them',
      () => {
        apply();
        return known.size === total;
      },
      20_000,
    );
    console.log(`${testbed.watch.stats.overruns} overruns, ${initial} routes from dumps`);
    burst('del');
    execFileSync('ip', ['-force', '-batch', file]);
    await until(
      'none of them',
      () => {
        apply();
        return known.size === 0;
      },
      20_000,
    );
    rmSync(dirname(file), { recursive: true });
  });

  it('nothing was misunderstood', () => {
    assert.equal(testbed.watch.stats.notUnderstood, 0);
    assert.deepEqual(testbed.warnings, []);
  });
});
