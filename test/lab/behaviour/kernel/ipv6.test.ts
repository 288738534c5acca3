// Claims and routes of IPv6 on a real kernel, and what it does to them with an interface. Needs root and iproute2.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Fib } from '../../../../src/mobility/network/fib.js';
import { formatMac, isIpv4 } from '../../../../src/wire/addresses.js';
import {
  KernelTestbed,
  MAC,
  SETTLED_METRIC,
  addr,
  layCables,
  lines,
  nth,
  nth6,
} from '../../testbed/kernel-testbed.js';
import { enterPrivateNetwork, ip, until } from '../../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

before(layCables);

const ours = (option: '-4' | '-6') => lines(ip(`${option} -o -N route show table all proto 44`));
const entries = (option: '-4' | '-6') => lines(ip(`${option} -o -N neigh show nud permanent`));
const setIpv6 = (name: string, key: string, value: number) =>
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/${key}`, `${value}\n`);

describe('claims of IPv6', () => {
  let testbed: KernelTestbed;
  before(async () => {
    testbed = await KernelTestbed.open();
  });
  after(() => testbed.close());
  const A = addr('2001:db8:1::5');

  it('a claim is a permanent neighbour entry and a /128 of our protocol; it ages, moves and goes', async () => {
    testbed.want(A, 'lan0');
    await testbed.done();
    assert.deepEqual(ours('-6'), ['2001:db8:1::5 dev lan0 metric 1 pref medium']);
    assert.deepEqual(entries('-6'), [
      `2001:db8:1::5 dev lan0 lladdr ${formatMac(MAC)} extern_learn PERMANENT proto 44`,
    ]);
    testbed.want(A, 'lan0', 'settled');
    await testbed.done();
    assert.deepEqual(ours('-6'), [`2001:db8:1::5 dev lan0 metric ${SETTLED_METRIC} pref medium`]);
    testbed.want(A, 'lan1');
    await testbed.done();
    assert.deepEqual(ours('-6'), ['2001:db8:1::5 dev lan1 metric 1 pref medium']);
    assert.equal(entries('-6').length, 1);
    testbed.claims.release(A);
    await testbed.done();
    assert.deepEqual([ours('-6'), entries('-6')], [[], []]);
    assert.deepEqual(testbed.warnings, []);
  });

  it('what somebody deletes comes back; what a run left is adopted; a route that leads nowhere is made and deleted', async () => {
    testbed.want(A, 'lan0');
    await testbed.done();
    ip('-6 route del 2001:db8:1::5/128 proto 44');
    await until('the route is back', () => ours('-6').length === 1);
    ip('-6 neigh del 2001:db8:1::5 dev lan0');
    await until('the entry is back', () => entries('-6').length === 1);
    testbed.claims.release(A);
    await testbed.done();
    ip('-6 route add 2001:db8:1::6/128 dev lan1 proto 44 metric 1');
    ip(`-6 neigh add 2001:db8:1::6 lladdr ${formatMac(MAC)} dev lan1 nud permanent extern_learn protocol 44`);
    const lan1 = testbed.link('lan1').index;
    const B = addr('2001:db8:1::6');
    assert.deepEqual(await testbed.claims.adopt(), [{ ip: B, iface: lan1, mac: MAC, age: 'fresh' }]);
    testbed.claims.release(B);
    await testbed.done();
    assert.deepEqual([ours('-6'), entries('-6')], [[], []]);
    testbed.claims.repairStuckRoute(A, true);
    await testbed.done();
    assert.match(ours('-6').join(), /^6 2001:db8:1::5 dev lo metric \d+ /);
    testbed.claims.repairStuckRoute(A, false);
    await testbed.done();
    assert.deepEqual(ours('-6'), []);
  });

  it('the last address of a link takes nothing with it (RFC 4862: the link-local one included)', async () => {
    testbed.want(A, 'lan0');
    testbed.want(nth(1), 'lan0');
    await testbed.done();
    ip('-6 addr flush dev lan0');
    await until(
      'the address is known to be gone',
      () => !testbed.link('lan0').addresses.some(({ ip }) => !isIpv4(ip)),
    );
    assert.equal(ours('-6').length, 1);
    testbed.claims.release(A);
    testbed.claims.release(nth(1));
    await testbed.done();
  });
});

describe('an interface that the kernel takes its IPv6 from, with 10,000 claims of each family', () => {
  const HOSTS = 10_000;
  let testbed: KernelTestbed;
  before(async () => {
    testbed = await KernelTestbed.open();
    for (let n = 0; n < HOSTS; n++) {
      testbed.want(nth(n), 'lan0');
      testbed.want(nth6(n), 'lan0');
    }
    await testbed.done();
    assert.deepEqual([ours('-4').length, ours('-6').length, entries('-6').length], [HOSTS, HOSTS, HOSTS]);
  });
  after(() => testbed.close());

  const missing = (family: 'ipv4' | 'ipv6') =>
    testbed.claims
      .snapshot()
      .filter(({ ip, fresh }) => isIpv4(ip) === (family === 'ipv4') && fresh === undefined).length;
  const back = () =>
    until('all are back', () => testbed.claims.pending === 0 && missing('ipv6') === 0, 30_000);
  /** The monitor has told all deletions when it tells of a neighbour that was made after them. */
  const monitorIsThrough = async () => {
    const mark = addr('10.250.0.1');
    ip(`neigh replace 10.250.0.1 lladdr ${formatMac(MAC)} dev lan1 nud stale`);
    await until(
      'the monitor is through',
      () => testbed.events.some((event) => event.kind === 'neighbour' && event.ip === mark),
      30_000,
    );
    ip('neigh del 10.250.0.1 dev lan1');
    testbed.events.length = 0;
  };

  const losses = {
    disable_ipv6: {
      take: () => setIpv6('lan0', 'disable_ipv6', 1),
      give: () => setIpv6('lan0', 'disable_ipv6', 0),
    },
    'MTU 1279 (RFC 8200 section 5)': {
      take: () => ip('link set lan0 mtu 1279'),
      give: () => ip('link set lan0 mtu 1500'),
    },
  };
  for (const [name, { take, give }] of Object.entries(losses)) {
    it(`${name}: no command for what cannot be, all back with it, IPv4 untouched`, async () => {
      const commands = testbed.claims.commands;
      const refused = testbed.claims.refused;
      take();
      await until('the link without IPv6', () => testbed.link('lan0').hasIpv6 === false);
      await monitorIsThrough();
      await testbed.claims.reconcile('test');
      assert.equal(testbed.claims.commands, commands);
      assert.deepEqual([ours('-6').length, missing('ipv6'), missing('ipv4')], [0, HOSTS, 0]);
      assert.equal(ours('-4').length, HOSTS);
      give();
      await back();
      assert.deepEqual([ours('-6').length, entries('-6').length, ours('-4').length], [HOSTS, HOSTS, HOSTS]);
      assert.equal(testbed.claims.commands, commands + 2 * HOSTS);
      assert.equal(testbed.claims.refused, refused);
      assert.deepEqual(testbed.warnings, []);
    });
  }

  it('admin down: no command until it is up again, then everything of both families is back', async () => {
    const { commands, refused } = testbed.claims;
    ip('link set lan0 down');
    await until('the link is down', () => !testbed.link('lan0').up);
    await monitorIsThrough();
    assert.deepEqual([ours('-6').length, missing('ipv6'), missing('ipv4')], [0, HOSTS, HOSTS]);
    const spent = testbed.claims.commands - commands;
    assert.ok(spent <= 100, `${spent} commands while it was down`);
    ip('link set lan0 up');
    await until(
      'all are back',
      () => missing('ipv4') + testbed.claims.pending === 0 && missing('ipv6') === 0,
      30_000,
    );
    assert.deepEqual([ours('-6').length, ours('-4').length, entries('-6').length], [HOSTS, HOSTS, HOSTS]);
    assert.ok(testbed.claims.refused - refused <= 100, `${testbed.claims.refused - refused} refused`);
  });
});

describe('remote claims with several next hops (RFC 2991)', () => {
  let testbed: KernelTestbed;
  before(async () => {
    testbed = await KernelTestbed.open();
  });
  after(() => testbed.close());

  it('two fresh claims meet at a third router; one leg is removed: no return, until the last one goes', async () => {
    const fib = new Fib(44, [254], [188]);
    const told: string[] = [];
    let seen = 0;
    const follow = () => {
      for (const event of testbed.events.slice(seen)) {
        if (event.kind !== 'route') continue;
        const what = fib.apply(event.change, event.route, performance.now());
        if (what !== undefined) told.push(what);
      }
      seen = testbed.events.length;
    };
    const V = addr('2001:db8:1::77');
    const hop = () => fib.remote(V)?.route;
    const index = (name: string) => testbed.link(name).index;
    const untilSeen = (what: string, look: () => boolean) =>
      until(what, () => {
        follow();
        return look();
      });
    ip('-6 route add 2001:db8:1::77/128 proto 188 metric 20 via fe80::a dev lan0');
    await untilSeen('the first claim', () => hop()?.iface === index('lan0'));
    ip('-6 route append 2001:db8:1::77/128 proto 188 metric 20 via fe80::b dev lan1');
    await untilSeen('the second claim', () => hop()?.legs?.length === 2);
    ip('-6 route del 2001:db8:1::77/128 proto 188 metric 20 via fe80::a dev lan0');
    await untilSeen('the first withdrawal', () => hop()?.legs === undefined);
    assert.deepEqual([hop()?.via, hop()?.iface], [addr('fe80::b'), index('lan1')]);
    // As FRR does it: the whole group in one message.
    ip(
      '-6 route replace 2001:db8:1::77/128 proto 188 metric 20 nexthop via fe80::a dev lan0 nexthop via fe80::b dev lan1',
    );
    await untilSeen('both again', () => hop()?.legs?.length === 2);
    ip('-6 route replace 2001:db8:1::77/128 proto 188 metric 20 via fe80::a dev lan0');
    await untilSeen('the other withdrawal', () => hop()?.legs === undefined);
    assert.deepEqual([hop()?.via, hop()?.iface], [addr('fe80::a'), index('lan0')]);
    assert.ok(
      !told.includes('vanished') && told.filter((what) => what === 'appeared').length === 1,
      told.join(),
    );
    assert.ok(lines(ip('-6 route show 2001:db8:1::77')).length > 0);
    ip('-6 route del 2001:db8:1::77/128 proto 188 metric 20');
    await untilSeen('the end', () => hop() === undefined);
    assert.equal(told.at(-1), 'vanished');
  });
});
