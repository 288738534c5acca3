// What others do to the daemon and around it: privileges, descriptors, settings, text.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { privilegesOf } from '../../../src/system/confine.js';
import { MARPD } from '../kit/ctl.js';
import { labTest } from '../kit/lab-test.js';
import { type Task, CHILDREN, pidsOf } from '../kit/children.js';
import { signalIfAlive } from '../kit/processes.js';
import { Program, waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';

const VISITOR = '10.1.1.5';
const USER = 65533;
const NOBODY = 65534;

/** The one capability that each keeps. */
const NEEDED: Readonly<Record<Task, readonly string[]>> = {
  capture: ['cap_net_raw'],
  monitor: [],
  batch: ['cap_net_admin'],
};

/** Starts marpd by another program, such as setpriv, and waits until it captures. */
async function startBy(site: Site, ...wrap: readonly string[]): Promise<void> {
  const argv = [...wrap, process.execPath, MARPD, '--config', site.marpd.configPath];
  site.marpd.program = new Program(site.router, argv, { title: 'marpd', env: { NOTIFY_SOCKET: undefined } });
  await site.marpd.answers();
  for (const lan of site.lans) await site.marpd.captures(lan);
}

const net = (set: string) => [`--bounding-set=-all,${set}`, '--no-new-privs'];
const userMayRead =
  spawnSync('setpriv', [`--reuid=${USER}`, '--clear-groups', 'test', '-r', MARPD]).status === 0;
/** A checkout in a private home. */
const READ = userMayRead ? '' : ',+dac_read_search';

const STARTS: readonly (readonly [how: string, wrap: readonly string[], uid: number])[] = [
  ['as root', [], userMayRead ? NOBODY : 0],
  [
    "as the unit's user with ambient capabilities",
    [
      ...['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'],
      ...['inh-caps', 'ambient-caps'].map((set) => `--${set}=-all,+net_admin,+net_raw${READ}`),
      ...net(`+net_admin,+net_raw${READ}`),
    ],
    USER,
  ],
  [
    'as in a container: root with two capabilities and without new ones',
    ['setpriv', '--inh-caps=-all', ...net(`+net_admin,+net_raw${READ}`)],
    0,
  ],
];
for (const [how, wrap, uid] of STARTS) {
  labTest(`started ${how}, each child has the privileges that it needs and no others`, async (lab) => {
    const site = new Site(lab);
    chmodSync(lab.directory, 0o777);
    chownSync(site.marpd.stateDirectory, uid === USER ? USER : 0, 0);
    await startBy(site, ...wrap);
    for (const task of Object.keys(CHILDREN) as Task[]) {
      const pids = pidsOf(site.marpd.pid, task);
      assert.ok(pids.length > 0, task);
      for (const pid of pids) {
        const has = privilegesOf(pid);
        // Which program runs as nobody depends on who may read it; ip(8) is everybody's.
        const isReadable = userMayRead || task !== 'capture';
        if (isReadable) assert.deepEqual(has?.capabilities, NEEDED[task], task);
        if (isReadable && task !== 'capture')
          assert.equal(has?.uid, uid === 0 && wrap.length === 0 ? NOBODY : uid);
        if (isReadable && task === 'capture') assert.equal(has?.uid, uid);
        assert.match(readFileSync(`/proc/${pid}/status`, 'latin1'), /^NoNewPrivs:\s*1$/m);
      }
    }
    // It is said what could not be dropped, and nothing else.
    if (uid === 0) await site.marpd.said(/runs as root, without other capabilities/);
    const host = site.host('host', {});
    await host.plug('lan1', 'request');
    await site.marpd.routed(VISITOR, 'lan1');
    assert.doesNotMatch(site.marpd.program?.output ?? '', /more privileges than it needs/);
    assert.equal(await site.marpd.stop(), 0);
  });
}

labTest('SIGUSR1 opens no debugger, neither in the daemon nor in a child', async (lab) => {
  const site = await new Site(lab).start();
  const pids = [site.marpd.pid, ...pidsOf(site.marpd.pid, 'capture')];
  for (const pid of pids) process.kill(pid, 'SIGUSR1');
  for (let i = 0; i < 20; i++) await site.marpd.ctl.status();
  for (const pid of pids) process.kill(pid, 0);
  assert.doesNotMatch(site.router.exec('ss', '-Hltn'), /:92\d\d/);
  assert.doesNotMatch(site.marpd.program?.output ?? '', /[Dd]ebugger/);
});

labTest('a setting that somebody else changes is mended, and an alarm in any case', async (lab) => {
  const site = await new Site(lab).start();
  const changed = { 'ipv4.ip_forward': 0, 'ipv4.conf.lan1.arp_ignore': 0, 'ipv4.conf.lan0.forwarding': 0 };
  const keys = Object.keys(changed);
  site.router.sysctl(changed);
  await waitFor(
    () => site.router.readSysctl(...keys).join() === '1,1,1',
    5000,
    'the settings to be right again',
  );
  const alarms = (await site.marpd.ctl.status()).alarms.filter(({ alarm }) => alarm === 'setting-changed');
  assert.ok(
    alarms.some(({ interface: name, message }) => name === 'lan1' && /arp_ignore to 0/.test(message)),
  );
  assert.ok(alarms.some(({ interface: name, message }) => name === null && /ip_forward to 0/.test(message)));
  assert.equal(await site.marpd.stop(), 0);
});

labTest(
  'a setting that somebody else changes is an alarm, once, where settings are only checked',
  async (lab) => {
    const site = new Site(lab, { config: { kernel: { settings: 'check' } } });
    site.router.sysctl({ 'ipv4.ip_forward': 1, 'ipv4.conf.all.arp_ignore': 1, 'ipv4.conf.all.proxy_arp': 1 });
    await site.start();
    site.router.sysctl({ 'ipv4.ip_forward': 0 });
    const found = async () =>
      (await site.marpd.ctl.status()).alarms.filter(({ alarm }) => alarm === 'setting-changed');
    const alarm = await waitFor(
      async () => (await found()).find(({ interface: name }) => name === null),
      5000,
      'an alarm',
    );
    assert.match(alarm.message, /ip_forward to 0; it should be 1/);
    // Several rounds later it is still one, and what was wrong at the start is none.
    const { uptimeMs } = await site.marpd.ctl.status();
    await waitFor(
      async () => (await site.marpd.ctl.status()).uptimeMs > uptimeMs + 3000,
      5000,
      'three seconds',
    );
    assert.equal((await found()).find(({ interface: name }) => name === null)?.count, 1);
    assert.ok((await found()).every(({ message }) => !message.includes('proxy_arp')));
    assert.deepEqual(site.router.readSysctl('ipv4.ip_forward'), [0]);
  },
);

labTest('running out of file descriptors ends nothing', async (lab) => {
  const site = await new Site(lab).start();
  const host = site.host('host', {});
  await host.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1');
  const { pid } = site.marpd;
  // Less than it has open: it cannot open anything.
  execFileSync('prlimit', [`--pid=${pid}`, '--nofile=16:']);
  const sockets = Array.from({ length: 40 }, () =>
    createConnection(site.marpd.socket).on('error', () => undefined),
  );
  for (const task of Object.keys(CHILDREN) as Task[])
    for (const child of pidsOf(pid, task)) signalIfAlive(child, 'SIGKILL');
  await site.marpd.said(/EMFILE|too many open files/);
  process.kill(pid, 0);
  execFileSync('prlimit', [`--pid=${pid}`, '--nofile=1024:']);
  for (const socket of sockets) socket.destroy();
  await site.marpd.answers();
  for (const lan of site.lans) await site.marpd.captures(lan, 15_000);
  await host.plug('lan0', 'request');
  await host.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1', 10_000);
});

labTest('4,000 addresses added at once do not stop the API', async (lab) => {
  const site = await new Site(lab).start();
  const file = join(lab.directory, 'addresses');
  const lines = Array.from({ length: 4000 }, (_, n) => `addr add 10.77.${n >> 8}.${n & 255}/32 dev up0\n`);
  writeFileSync(file, lines.join(''));
  const batch = new Program(site.router, ['ip', '-batch', file], { quiet: true });
  let slowest = 0;
  const ask = async () => {
    const began = performance.now();
    await site.marpd.ctl.status();
    slowest = Math.max(slowest, performance.now() - began);
  };
  while (batch.running) await ask();
  const host = site.host('host', {});
  await host.plug('lan1', 'request');
  await site.marpd.routed(VISITOR, 'lan1', 5000);
  for (let i = 0; i < 20; i++) await ask();
  assert.ok(slowest < 2000, `${slowest} ms`);
});
