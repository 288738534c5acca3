// Desired against installed on a real kernel. Needs root and iproute2.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { treeOf } from '../../../bench/processes.js';
import { signalIfAlive } from '../../kit/processes.js';
import type { IfIndex } from '../../../../src/mobility/events.js';
import { formatIp, formatMac } from '../../../../src/wire/addresses.js';
import {
  MAC,
  KernelTestbed,
  SETTLED_METRIC,
  addr,
  claimed,
  layCables,
  neighbours,
  nth,
  routes,
  soak,
  wait,
} from '../../testbed/kernel-testbed.js';
import { enterPrivateNetwork, FarEnd, ip, until } from '../../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

before(layCables);

describe('claims (design.md 3.2, 3.3)', () => {
  let testbed: KernelTestbed;
  before(async () => {
    testbed = await KernelTestbed.open();
  });
  after(() => testbed.close());
  const A = addr('10.16.0.5');

  it('a claim is a permanent neighbour entry and a /32 of our protocol; it ages, moves and goes', async () => {
    testbed.want(A, 'lan0');
    await testbed.done();
    assert.deepEqual(claimed('lan0'), ['10.16.0.5 dev lan0 scope 253 metric 1']);
    assert.deepEqual(neighbours(), [
      `10.16.0.5 dev lan0 lladdr ${formatMac(MAC)} extern_learn PERMANENT proto 44`,
    ]);
    testbed.want(A, 'lan0', 'settled');
    await testbed.done();
    assert.deepEqual(routes(), [`10.16.0.5 dev lan0 scope 253 metric ${SETTLED_METRIC}`]);
    testbed.want(A, 'lan1');
    await testbed.done();
    assert.deepEqual(routes(), ['10.16.0.5 dev lan1 scope 253 metric 1']);
    assert.equal(neighbours().length, 1);
    testbed.claims.release(A);
    await testbed.done();
    assert.deepEqual([routes(), neighbours()], [[], []]);
    const installed = testbed.events.flatMap((event) => (event.kind === 'installed' ? event.age : []));
    assert.deepEqual(installed, ['fresh', 'settled', 'fresh']);
    await until('the address is forgotten', () => testbed.claims.snapshot().length === 0);
  });

  it('wishes that change while they wait are never carried out in their old form', async () => {
    for (let i = 0; i < 50; i++) {
      testbed.want(A, i % 2 === 0 ? 'lan0' : 'lan1', i % 3 === 0 ? 'settled' : 'fresh');
      if (i % 5 === 0) testbed.claims.release(A);
      if (i % 7 === 0) testbed.claims.flush();
    }
    await testbed.done();
    assert.deepEqual(routes(), ['10.16.0.5 dev lan1 scope 253 metric 1']);
    assert.equal(neighbours().length, 1);
    testbed.claims.release(A);
    await testbed.done();
  });

  it('the neighbour entry of a claimed host resists a forged ARP (design.md 3.2)', async () => {
    const far = await FarEnd.open();
    try {
      ip(`link set far1 netns ${far.pid}`);
      ip('addr add 10.16.0.1/24 dev lan1');
      far.ip('link set far1 address 02:66:66:66:66:66');
      far.ip('link set far1 up');
      far.ip('addr add 10.16.0.5/24 dev far1');
      far.ip('addr add 10.16.0.6/24 dev far1');
      await until('carrier', () => testbed.link('lan1').carrier);
      testbed.want(A, 'lan1');
      await testbed.done();
      // The far end asks for our address in the name of both, whose owners it is not.
      const forge = `for from in 5 6; do ip route replace 10.16.0.1 dev far1 src 10.16.0.$from; ip neigh flush dev far1; echo x > /dev/udp/10.16.0.1/9; sleep 0.1; done`;
      await until('the forger of an unclaimed address is believed', () => {
        far.run('bash', '-c', forge);
        return ip('neigh show dev lan1').includes('10.16.0.6 lladdr 02:66:66:66:66:66');
      });
      assert.match(
        ip('neigh show dev lan1'),
        new RegExp(`10.16.0.5 lladdr ${formatMac(MAC)} extern_learn PERMANENT`),
      );
    } finally {
      testbed.claims.release(A);
      await testbed.done();
      ip('addr flush dev lan1');
      far.end();
      await until('its end of the cable is gone', () => !testbed.watch.links.indexOf('lan1'));
      ip('link add lan1 type veth peer name far1');
      ip('link set lan1 up');
      ip('link set far1 up');
      await until(
        'a new cable',
        () => testbed.watch.links.indexOf('lan1') !== undefined && testbed.link('lan1').carrier,
      );
    }
  });

  it('admin down and up again: everything is back, without a word from the tracker (design.md 5.6)', async () => {
    for (let n = 0; n < 200; n++) testbed.want(nth(n), 'lan0');
    await testbed.done();
    assert.equal(claimed('lan0').length, 200);
    const { deaths } = testbed.claims.batch;
    ip('link set lan0 down');
    assert.equal(claimed('lan0').length, 0);
    ip('link set lan0 up');
    await until('routes and neighbours', () => claimed('lan0').length === 200 && neighbours().length === 200);
    assert.equal(testbed.claims.batch.deaths, deaths, 'no command died of what was swept away');
  });

  it('the last address of the interface goes and takes the routes along, silently: they are back (design.md 5.6)', async () => {
    ip('addr flush dev lan0');
    await until('routes and neighbours', () => claimed('lan0').length === 200 && neighbours().length === 200);
    ip('addr add 10.2.0.1/24 dev lan0');
  });

  it('what somebody deletes comes back', async () => {
    ip('route del 10.16.0.7/32 proto 44');
    ip('neigh del 10.16.0.8 dev lan0');
    await until('both', () => claimed('lan0').length === 200 && neighbours().length === 200);
    ip('route flush proto 44');
    await until('all', () => claimed('lan0').length === 200);
  });

  it('reconcile repairs what no event told, and deletes only what carries our mark', async () => {
    ip('route add 10.16.9.9/32 dev lan0 proto 44 metric 1');
    ip('route add 10.16.9.8/32 dev lan0 proto 44 metric 77 table 77');
    ip('route add 10.16.9.0/24 dev lan0 proto 44 metric 5');
    ip('route add 10.16.9.7/32 dev lan0 proto 45 metric 1');
    ip('neigh replace 10.16.9.9 lladdr 02:00:00:00:00:09 dev lan0 nud permanent extern_learn protocol 44');
    ip('neigh replace 10.16.9.7 lladdr 02:00:00:00:00:07 dev lan0 nud permanent extern_learn');
    ip('neigh replace 10.16.9.6 lladdr 02:00:00:00:00:06 dev lan0 nud permanent');
    await testbed.claims.reconcile('test');
    await testbed.done();
    await until(
      'strays are gone',
      () => routes().length === 201 && !neighbours().some((line) => line.includes('9.9')),
    );
    assert.equal(routes('proto 45').length, 1);
    assert.equal(neighbours().length, 202);
    ip('route del 10.16.9.0/24 proto 44');
    ip('route del 10.16.9.7/32 proto 45');
    for (const n of [6, 7]) ip(`neigh del 10.16.9.${n} dev lan0`);
  });

  it('a permanent neighbour entry of the administrator is neither changed nor removed', async () => {
    ip('neigh replace 10.16.8.1 lladdr 02:00:00:00:00:77 dev lan0 nud permanent');
    const host = addr('10.16.8.1');
    await until('it is noticed', () => testbed.watch.foreign.has(host, testbed.link('lan0').index));
    testbed.want(host, 'lan0');
    await testbed.done();
    assert.ok(claimed('lan0').some((line) => line.startsWith('10.16.8.1 ')));
    // another MAC than the host's, and nobody but its maker may change it: that is said, once per claim
    testbed.want(host, 'lan0', 'settled');
    await testbed.done();
    const said = testbed.warnings.filter((text) => text.includes('10.16.8.1 is at'));
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /somebody else on lan0 has 02:00:00:00:00:77/);
    testbed.claims.release(host);
    testbed.claims.forgetNeighbour(host, 'lan0');
    await testbed.done();
    assert.ok(neighbours().includes('10.16.8.1 dev lan0 lladdr 02:00:00:00:00:77 PERMANENT'));
    ip('neigh del 10.16.8.1 dev lan0');
  });

  it('a route of another protocol with our metric is never replaced: the claim is refused', async () => {
    const host = addr('10.16.8.2');
    ip('route add 10.16.8.2/32 dev lan1 proto 45 metric 1');
    testbed.want(host, 'lan0');
    await testbed.done();
    const refused = await until('refused', () => testbed.events.find((event) => event.kind === 'refused'));
    assert.match((refused as { message: string }).message, /another protocol/);
    assert.equal(routes('proto 45').length, 1);
    testbed.claims.release(host);
    await testbed.done();
    ip('route del 10.16.8.2/32 proto 45');
    // The same left by a crash of ours is taken over.
    ip('route add 10.16.8.2/32 dev lan1 proto 44 metric 1');
    testbed.want(host, 'lan0');
    await until('taken over', () => claimed('lan0').some((line) => line.startsWith('10.16.8.2 ')));
    testbed.claims.release(host);
    await testbed.done();
  });

  it('an interface that is down: refused only after it did not come up; then installed when it does', async () => {
    const host = addr('10.16.8.3');
    ip('link set lan1 down');
    await until('down is known', () => !testbed.link('lan1').up);
    testbed.events.length = 0;
    testbed.want(host, 'lan1');
    await until('refused', () => testbed.count('refused') === 1);
    ip('link set lan1 up');
    await until('there', () => claimed('lan1').length === 1);
    testbed.claims.release(host);
    await testbed.done();
  });

  it('forget-neighbour drops what the kernel learned, also when there is nothing to drop', async () => {
    const { deaths } = testbed.claims.batch;
    ip('neigh replace 10.2.0.9 lladdr 02:00:00:00:00:99 dev lan0 nud stale');
    testbed.claims.forgetNeighbour(addr('10.2.0.9'), 'lan0');
    testbed.claims.forgetNeighbour(addr('10.2.0.10'), 'lan0');
    testbed.claims.forgetNeighbour(addr('10.2.0.10'), 'nosuch');
    await testbed.done();
    assert.ok(!ip('neigh show dev lan0').includes('02:00:00:00:00:99'));
    assert.equal(testbed.claims.batch.deaths, deaths);
  });

  it('a stuck-route repair is a route that leads nowhere, added and deleted (design.md 3.3)', async () => {
    const host = addr('10.16.8.4');
    testbed.claims.repairStuckRoute(host, true);
    await testbed.done();
    // RTN_BLACKHOLE
    assert.deepEqual(
      routes().filter((line) => line.includes('10.16.8.4')),
      [`6 10.16.8.4 metric ${SETTLED_METRIC}`],
    );
    testbed.claims.repairStuckRoute(host, false);
    await testbed.done();
    assert.ok(!routes().some((line) => line.includes('10.16.8.4')));
  });

  it('kill -9 of the co-process at random moments: kernel and books agree afterwards', async () => {
    const total = soak ? 20_000 : 2000;
    let kills = 0;
    const killer = setInterval(() => {
      const pid = testbed.claims.batch.pids[0];
      if (pid === undefined || kills >= (soak ? 100 : 10)) return;
      // Its shell, or ip itself.
      const tree = treeOf(pid);
      if (signalIfAlive(tree[kills % tree.length] as number, 'SIGKILL')) kills++;
    }, 7);
    for (let n = 0; n < total; n++) {
      testbed.want(nth(n), n % 3 === 0 ? 'lan1' : 'lan0', n % 2 === 0 ? 'fresh' : 'settled');
      if (n % 50 === 49) {
        testbed.claims.release(nth(n - 20));
        await wait(1);
      }
    }
    clearInterval(killer);
    await until('quiet', () => testbed.claims.pending === 0, 30_000);
    const isWhole = (view: { fresh: string | undefined; settled: string | undefined }) =>
      (view.fresh === undefined) !== (view.settled === undefined);
    await until('the books are whole', () => {
      const wanted = testbed.claims.snapshot().filter((view) => view.wanted);
      return wanted.length === total - total / 50 && wanted.every(isWhole);
    });
    await until('all routes', () => routes().length === total - total / 50);
    await until('all neighbours', () => neighbours().length === total - total / 50);
    assert.ok(kills > 3);
  });

  it('the device is deleted and made anew under the same name: claims go to the new one', async () => {
    ip('link del lan1');
    await until('gone', () => testbed.watch.links.indexOf('lan1') === undefined);
    ip('link add lan1 type veth peer name far1');
    ip('link set lan1 up');
    ip('link set far1 up');
    await until('back', () => testbed.watch.links.indexOf('lan1') !== undefined && testbed.link('lan1').up);
    await until('no claim of the old device', () => claimed('lan1').length === 0);
    testbed.want(nth(0), 'lan1');
    await testbed.done();
    assert.equal(claimed('lan1').length, 1);
  });
});

describe('the end', () => {
  for (const onExit of ['withdraw', 'keep'] as const) {
    it(`a stuck-route repair does not outlive the daemon: ${onExit}`, async () => {
      const testbed = await KernelTestbed.open();
      testbed.claims.repairStuckRoute(addr('10.16.8.4'), true);
      await testbed.done();
      assert.equal(routes().length, 1);
      await testbed.claims.stop(onExit);
      testbed.watch.stop();
      assert.deepEqual(routes(), []);
    });
  }
});

describe('adoption', () => {
  it('an earlier run is found with address, place, MAC and age; the caught-between is settled', async () => {
    const mac = 'lladdr 02:00:0a:01:01:05 dev lan0 nud permanent extern_learn protocol 44';
    ip(`neigh replace 10.16.0.1 ${mac}`);
    ip(`neigh replace 10.16.0.2 ${mac}`);
    ip(`neigh replace 10.16.0.66 ${mac}`);
    ip('route add 10.16.0.1/32 dev lan0 proto 44 metric 1');
    ip(`route add 10.16.0.2/32 dev lan0 proto 44 metric ${SETTLED_METRIC}`);
    ip('route add 10.16.0.2/32 dev lan0 proto 44 metric 1');
    ip('route add 10.16.0.3/32 dev lan1 proto 44 metric 1');
    const testbed = await KernelTestbed.open();
    const adopted = await testbed.claims.adopt();
    const iface = (dev: string): IfIndex => testbed.link(dev).index;
    assert.deepEqual(
      adopted.map((claim) => ({ ...claim, ip: formatIp(claim.ip) })).sort((a, b) => a.ip.localeCompare(b.ip)),
      [
        { ip: '10.16.0.1', iface: iface('lan0'), mac: MAC, age: 'fresh' },
        { ip: '10.16.0.2', iface: iface('lan0'), mac: MAC, age: 'settled' },
        { ip: '10.16.0.3', iface: iface('lan1'), mac: undefined, age: 'fresh' },
      ],
    );
    await testbed.done();
    assert.equal(routes().length, 3, 'kept until the tracker decides, one route each');
    await until('the stray neighbour is gone', () => neighbours().length === 2);
    await testbed.close();
  });
});
