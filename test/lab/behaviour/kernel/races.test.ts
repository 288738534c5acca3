// What changes while no co-process runs, or while the kernel is being read. Needs root and iproute2.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { Ip } from '../../../../src/wire/addresses.js';
import { treeOf } from '../../../bench/processes.js';
import { signalIfAlive } from '../../kit/processes.js';
import { KernelTestbed, addr, claimed, layCables, neighbours } from '../../testbed/kernel-testbed.js';
import { enterPrivateNetwork, ip, until } from '../../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

before(layCables);

describe('what changes while the kernel cannot be told, or is being read', () => {
  let testbed: KernelTestbed;
  beforeEach(async () => {
    testbed = await KernelTestbed.open();
  });
  afterEach(() => {
    rmSync(hold, { force: true });
    return testbed.close();
  });
  const booksOf = (host: Ip) => testbed.claims.snapshot().find((view) => view.ip === host);

  const directory = mkdtempSync(join(tmpdir(), 'marpd-races-'));
  const hold = join(directory, 'hold');
  const { PATH } = process.env;
  before(() => {
    const script = `#!/bin/sh
PATH='${PATH}'
case "$*" in *-batch*) while [ -e '${hold}' ]; do sleep 0.01; done ;; esac
exec ip "$@"
`;
    writeFileSync(join(directory, 'ip'), script, { mode: 0o755 });
    process.env.PATH = `${directory}:${PATH}`;
  });
  after(() => {
    process.env.PATH = PATH;
    rmSync(directory, { recursive: true });
  });

  /** No co-process that answers, until `resume`. */
  async function outage(): Promise<{ readonly resume: () => Promise<true> }> {
    const { batch } = testbed.claims;
    await until('a co-process', () => batch.ready);
    const { deaths } = batch;
    writeFileSync(hold, '');
    process.kill(batch.pids[0] as number, 'SIGKILL');
    await until('it is gone', () => batch.deaths > deaths);
    const resume = () => {
      rmSync(hold);
      return until<true>('another co-process', () => batch.ready, 20_000);
    };
    return { resume };
  }

  async function replaceDevice(): Promise<void> {
    const old = testbed.link('lan1').index;
    ip('link del lan1');
    ip('link add lan1 type veth peer name far1');
    ip('link set lan1 up');
    ip('link set far1 up');
    await until('the new device', () => {
      const now = testbed.watch.links.indexOf('lan1');
      return now !== undefined && now !== old && testbed.link('lan1').up;
    });
  }

  it('what waits for a co-process while its device is replaced is not carried out on the new device', async () => {
    const { resume } = await outage();
    const { commands } = testbed.claims;
    testbed.want(addr('10.16.200.1'), 'lan1');
    testbed.claims.forgetNeighbour(addr('10.16.200.9'), 'lan1');
    testbed.claims.flush();
    await replaceDevice();
    assert.ok(!testbed.claims.batch.ready, 'no co-process yet');
    await resume();
    await testbed.done();
    assert.equal(testbed.claims.commands, commands);
    testbed.want(addr('10.16.200.2'), 'lan1');
    await testbed.done();
    assert.equal(claimed('lan1').length, 1);
  });

  it('what the co-process may have done on a device that was replaced is not undone on the new one', async () => {
    const host = addr('10.16.200.3');
    const tree = treeOf(testbed.claims.batch.pids[0] as number);
    for (const pid of tree) process.kill(pid, 'SIGSTOP');
    testbed.want(host, 'lan1');
    testbed.claims.flush();
    await replaceDevice();
    testbed.want(host, 'lan1');
    testbed.claims.flush();
    const { commands } = testbed.claims;
    for (const pid of tree) signalIfAlive(pid, 'SIGKILL');
    await until('installed', () => testbed.count('installed') > 0 && testbed.claims.pending === 0);
    // Neighbour and route are set, and the route of the other age is deleted.
    assert.equal(testbed.claims.commands - commands, 3);
    assert.equal(claimed('lan1').length, 1);
    assert.equal(neighbours().length, 1);
  });

  it('a reading that began before the interface went down says nothing of what was on it', async () => {
    const host = addr('10.16.200.4');
    testbed.want(host, 'lan1');
    await testbed.done();
    const link = testbed.link('lan1');
    testbed.claims.linkChanged(link);
    const reading = testbed.claims.reconcile('begun before');
    // The route is still there for it to be read, as it was for one that began a moment ago.
    testbed.claims.linkChanged({ ...link, up: false });
    await reading;
    assert.equal(booksOf(host)?.fresh, undefined);
    await testbed.claims.reconcile('begun after');
    assert.equal(booksOf(host)?.fresh, 'lan1');
  });

  it('a reading that began before a route or a neighbour was deleted does not hide that', async () => {
    const host = addr('10.16.200.5');
    testbed.want(host, 'lan0');
    await testbed.done();
    const { resume } = await outage();
    const reading = testbed.claims.reconcile('begun before');
    testbed.claims.routeDeleted(host, { table: 254, metric: 1 });
    testbed.claims.neighbourDeleted(host, testbed.link('lan0').index);
    await reading;
    assert.ok(!testbed.claims.batch.ready, 'no co-process yet');
    assert.equal(booksOf(host)?.fresh, undefined);
    assert.equal(booksOf(host)?.mac, undefined);
    await resume();
    await until('it is installed again', () => booksOf(host)?.fresh === 'lan0');
  });

  it('a co-process whose first line finds something to delete serves like any other', async () => {
    ip(`route add 0.0.0.0/32 dev lo scope link proto 44 metric 1 table 254`);
    const other = await KernelTestbed.open();
    try {
      other.want(addr('10.16.200.6'), 'lan0');
      other.claims.flush();
      await until('installed', () => other.count('installed') > 0);
      assert.equal(claimed('lan0').length, 1);
    } finally {
      await other.close();
    }
  });
});
