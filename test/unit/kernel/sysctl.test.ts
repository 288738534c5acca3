// Settings on a copy of /proc/sys. What the kernel does by itself, such as ip_forward writing every interface's
// forwarding, is proven in test/lab/behaviour/kernel/kernel.test.ts.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { INTERFACE_SYSCTLS, INTERFACE_SYSCTLS_IPV6, Sysctls } from '../../../src/kernel/sysctl.js';

const KEYS = INTERFACE_SYSCTLS.map(({ key }) => key);
const LAN0 = { name: 'lan0', index: 2 };
const ETH0 = { name: 'eth0', index: 3 };
const indices = new Map([LAN0, ETH0].map(({ name, index }) => [name, index]));

let root = '';
let stateFile = '';
const warnings: string[] = [];

const path = (name: string) => join(root, 'net/ipv4', name);
const get = (name: string) => readFileSync(path(name), 'utf8').trim();
const set = (name: string, value: number) => writeFileSync(path(name), `${value}\n`);
const macvlans = new Set<number>();
const open = (mode: 'apply' | 'check' = 'apply') => {
  const settings = new Sysctls({
    mode,
    root,
    stateFile,
    indexOf: (name) => indices.get(name),
    hasMacvlan: (iface) => macvlans.has(iface),
    onWarning: (message) => warnings.push(message),
  });
  settings.takeOver();
  return settings;
};
const addInterface = (name: string) => {
  mkdirSync(path(`conf/${name}`), { recursive: true });
  for (const key of KEYS) set(`conf/${name}/${key}`, 0);
};
const everything = () =>
  Object.fromEntries(
    ['all', 'default', 'lan0', 'eth0'].flatMap((name) =>
      KEYS.map((key) => [`${name}/${key}`, get(`conf/${name}/${key}`)]),
    ),
  );

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'marpd-settings-'));
  stateFile = join(root, 'run/sysctl.state');
  warnings.length = 0;
  macvlans.clear();
  for (const name of ['all', 'default', 'lan0', 'eth0']) addInterface(name);
  set('ip_forward', 0);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('kernel settings (design.md 3.2)', () => {
  it('arp_ignore is raised on the interface alone, the rest stays', () => {
    const before = everything();
    const changes = open().apply(LAN0);
    assert.deepEqual(
      changes.map(({ path, to }) => `${path}=${to}`),
      ['net/ipv4/conf/lan0/forwarding=1', 'net/ipv4/conf/lan0/arp_ignore=1'],
    );
    assert.deepEqual(everything(), { ...before, 'lan0/forwarding': '1', 'lan0/arp_ignore': '1' });
  });

  it('with a macvlan arp_announce too; what a virtual router needs stays as long as it is there', () => {
    for (const isThere of [true, false]) {
      for (const name of ['all', 'lan0', 'eth0']) addInterface(name);
      macvlans.add(LAN0.index);
      const settings = open();
      settings.apply(LAN0, ETH0);
      assert.deepEqual([get('conf/lan0/arp_announce'), get('conf/eth0/arp_announce')], ['2', '0']);
      if (!isThere) macvlans.clear();
      settings.restore({ keepForwarding: false });
      const after = everything();
      assert.deepEqual(
        [after['lan0/arp_announce'], after['lan0/arp_ignore'], after['eth0/arp_ignore']],
        isThere ? ['2', '1', '0'] : ['0', '0', '0'],
      );
      assert.equal(after['lan0/forwarding'], '0');
    }
  });

  it('what `all` already does is not done twice', () => {
    set('conf/all/arp_ignore', 1);
    set('conf/lan0/forwarding', 1);
    assert.deepEqual(open().apply(LAN0), []);
  });

  it('an `all` that is too high goes down, and the others keep what it gave them (OR and MAX)', () => {
    set('conf/all/send_redirects', 1);
    set('conf/lan0/send_redirects', 1);
    set('conf/all/proxy_arp', 1);
    set('conf/all/arp_ignore', 2);
    open().apply(LAN0);
    const after = everything();
    for (const [key, value] of Object.entries({
      'all/send_redirects': '0',
      'lan0/send_redirects': '0',
      'eth0/send_redirects': '1',
      'all/proxy_arp': '0',
      'eth0/proxy_arp': '1',
      'all/arp_ignore': '1',
      'eth0/arp_ignore': '2',
      'lan0/arp_ignore': '0',
      'default/arp_ignore': '0',
    })) {
      assert.equal(after[key], value, key);
    }
  });

  it('everything is restored, and the file with the originals goes', () => {
    set('conf/all/send_redirects', 1);
    set('conf/lan0/proxy_arp', 1);
    const before = everything();
    const settings = open();
    settings.applyGlobal();
    settings.apply(LAN0);
    assert.equal(get('ip_forward'), '1');
    assert.ok(existsSync(stateFile));
    settings.restore({ keepForwarding: false });
    assert.deepEqual(everything(), before);
    assert.equal(get('ip_forward'), '0');
    assert.ok(!existsSync(stateFile));
    assert.deepEqual(warnings, []);
  });

  it('forwarding stays while routes are kept, and is still restored by a later run', () => {
    const settings = open();
    settings.applyGlobal();
    settings.apply(LAN0);
    settings.restore({ keepForwarding: true });
    assert.equal(get('ip_forward'), '1');
    assert.equal(get('conf/lan0/forwarding'), '1');
    assert.equal(get('conf/lan0/arp_ignore'), '0');
    open().restore({ keepForwarding: false });
    assert.equal(get('ip_forward'), '0');
  });

  it('a crash does not make our values the originals', () => {
    set('conf/lan0/proxy_arp', 1);
    open().apply(LAN0); // and is killed
    const next = open();
    assert.deepEqual(next.apply(LAN0), []);
    next.restore({ keepForwarding: false });
    assert.equal(get('conf/lan0/proxy_arp'), '1');
    assert.equal(get('conf/lan0/arp_ignore'), '0');
  });

  it('what somebody changed since stays theirs', () => {
    const settings = open();
    settings.apply(LAN0);
    set('conf/lan0/arp_ignore', 2);
    settings.restore({ keepForwarding: false });
    assert.equal(get('conf/lan0/arp_ignore'), '2');
  });

  it('an interface that vanished is no trouble; one re-created starts with its own values', () => {
    const settings = open();
    settings.apply(LAN0);
    rmSync(path('conf/lan0'), { recursive: true });
    addInterface('lan0');
    set('conf/lan0/proxy_arp', 1);
    settings.apply({ name: 'lan0', index: 7 });
    assert.equal(get('conf/lan0/proxy_arp'), '0');
    rmSync(path('conf/lan0'), { recursive: true });
    settings.restore({ keepForwarding: false });
    assert.deepEqual(settings.apply(LAN0), []);
    assert.deepEqual(warnings, []);
  });

  it('an interface that is no mobility interface any more has its own values back at once, others keep ours', () => {
    const before = everything();
    const settings = open();
    settings.apply(LAN0);
    settings.apply(ETH0);
    const changes = settings.restoreInterface(LAN0);
    assert.deepEqual(
      changes.map(({ path, to }) => `${path}=${to}`),
      ['net/ipv4/conf/lan0/arp_ignore=0', 'net/ipv4/conf/lan0/forwarding=0'],
    );
    assert.deepEqual(everything(), { ...before, 'eth0/forwarding': '1', 'eth0/arp_ignore': '1' });
    assert.deepEqual(settings.restoreInterface(LAN0), []);
    settings.restore({ keepForwarding: false });
    assert.deepEqual(everything(), before);
  });

  it('mode `check` tells and touches nothing', () => {
    set('conf/all/proxy_arp', 1);
    const before = everything();
    const settings = open('check');
    const changes = [...settings.applyGlobal(), ...settings.apply(LAN0)];
    assert.ok(changes.length >= 3 && changes.every(({ written }) => !written));
    assert.ok(changes.some(({ path }) => path === 'net/ipv4/conf/all/proxy_arp'));
    settings.restore({ keepForwarding: false });
    assert.deepEqual(everything(), before);
    assert.ok(!existsSync(stateFile));
  });

  it('a damaged or foreign state file is ignored', () => {
    mkdirSync(join(root, 'run'));
    for (const text of ['', '{', '[]', 'null', '{"bootId":"other","saved":[]}']) {
      writeFileSync(stateFile, text);
      open().restore({ keepForwarding: false });
    }
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    const outside = { path: '../../etc/passwd', original: 1, ours: 0, index: 0 };
    const lines = [outside, 7, null].map((line) => JSON.stringify(line));
    writeFileSync(stateFile, [bootId, ...lines, '{"path":"net/ipv4/conf/lan0/arp_ig'].join('\n'));
    assert.deepEqual(open().restore({ keepForwarding: false }), []);
    assert.equal(warnings.length, 4);
  });

  it('what an interface had before conf/all went down is restored, also when it becomes a mobility interface later', () => {
    set('conf/all/send_redirects', 1);
    set('conf/lan0/send_redirects', 1);
    const before = everything();
    const settings = open();
    settings.apply(LAN0);
    assert.equal(get('conf/eth0/send_redirects'), '1', 'as all gave it');
    settings.apply(ETH0);
    assert.equal(get('conf/eth0/send_redirects'), '0');
    settings.restore({ keepForwarding: false });
    assert.deepEqual(everything(), before);
  });

  it('an interface that is no mobility interface any more keeps what conf/all and ip_forward gave it', () => {
    set('conf/all/send_redirects', 1);
    const before = everything();
    const settings = open();
    settings.applyGlobal();
    for (const name of ['all', 'lan0', 'eth0']) set(`conf/${name}/forwarding`, 1); // as the kernel does
    settings.apply(LAN0, ETH0);
    settings.restoreInterface(ETH0);
    assert.equal(get('conf/eth0/send_redirects'), '1');
    assert.equal(get('conf/eth0/forwarding'), '1');
    assert.deepEqual(settings.restoreInterface(ETH0), []);
    settings.restore({ keepForwarding: false });
    assert.equal(get('conf/eth0/send_redirects'), before['eth0/send_redirects']);
  });

  it('300 taps that came and went leave nothing behind', () => {
    const settings = open();
    settings.apply(LAN0);
    const alone = readFileSync(stateFile, 'utf8').split('\n').length;
    for (let n = 0; n < 300; n++) {
      const tap = { name: `vnet${n}`, index: 10 + n };
      addInterface(tap.name);
      settings.apply(tap);
      rmSync(path(`conf/${tap.name}`), { recursive: true });
      settings.interfaceGone(tap.index);
    }
    const lines = readFileSync(stateFile, 'utf8').split('\n').length;
    assert.ok(lines <= 2 * alone + 100, `${lines} lines`);
    // After a crash nothing of them is taken over.
    const changes = open().restore({ keepForwarding: false });
    assert.ok(changes.length > 0 && changes.every((change) => change.path.includes('/lan0/')));
  });

  it('what an interface had is out of the file when it vanishes', () => {
    const settings = open();
    settings.apply(LAN0);
    addInterface('vnet0');
    settings.apply({ name: 'vnet0', index: 10 });
    assert.match(readFileSync(stateFile, 'utf8'), /vnet0/);
    settings.interfaceGone(10);
    assert.doesNotMatch(readFileSync(stateFile, 'utf8'), /vnet0/);
    assert.match(readFileSync(stateFile, 'utf8'), /lan0/);
  });

  it('one tap more costs a line each, not the file', () => {
    const settings = open();
    settings.apply(LAN0);
    const { ino } = statSync(stateFile);
    for (let n = 0; n < 300; n++) {
      addInterface(`vnet${n}`);
      settings.apply({ name: `vnet${n}`, index: 10 + n });
    }
    assert.equal(statSync(stateFile).ino, ino, 'the file was not replaced');
    rmSync(path('conf/lan0'), { recursive: true });
    assert.equal(open().restore({ keepForwarding: false }).length, 600, 'a crash loses none of them');
  });
});

describe('settings of IPv6', () => {
  const at = (name: string) => join(root, 'net/ipv6/conf', name);
  const read = (name: string) => readFileSync(at(name), 'utf8').trim();
  const write = (name: string, value: number) => writeFileSync(at(name), `${value}\n`);
  const all = () =>
    ['all', 'default', 'lan0', 'eth0'].flatMap((name) =>
      INTERFACE_SYSCTLS_IPV6.map(({ key }) => `${name}/${key} ${read(`${name}/${key}`)}`),
    );
  const uplinks: string[] = [];
  const both = (mode: 'apply' | 'check' = 'apply') => {
    const settings = new Sysctls({
      mode,
      families: ['ipv4', 'ipv6'],
      advertisedUplinks: () => uplinks,
      root,
      stateFile,
      indexOf: (name) => indices.get(name),
      onWarning: (message) => warnings.push(message),
    });
    settings.takeOver();
    return settings;
  };

  beforeEach(() => {
    uplinks.length = 0;
    for (const name of ['all', 'default', 'lan0', 'eth0']) {
      mkdirSync(at(name), { recursive: true });
      for (const { key } of INTERFACE_SYSCTLS_IPV6)
        write(`${name}/${key}`, key.startsWith('accept_r') ? 1 : 0);
    }
  });

  it('accept_ra of an uplink is 2 before anything forwards, and 1 again after everything', () => {
    uplinks.push('eth0');
    const before = all();
    const settings = both();
    const changes = [...settings.applyGlobal(), ...settings.apply(LAN0)].map(
      ({ path, to }) => `${path}=${to}`,
    );
    const guard = changes.indexOf('net/ipv6/conf/eth0/accept_ra=2');
    assert.ok(guard >= 0);
    const forwarding = changes.findIndex((change) => /ipv6.*forwarding/.test(change));
    assert.ok(guard < forwarding, changes.join());
    assert.deepEqual(
      [read('all/forwarding'), read('lan0/accept_ra'), read('lan0/accept_redirects')],
      ['1', '0', '0'],
    );
    const restored = settings.restore({ keepForwarding: false }).map(({ path }) => path);
    assert.equal(restored.at(-1), 'net/ipv6/conf/eth0/accept_ra');
    assert.deepEqual(all(), before);
    assert.deepEqual(warnings, []);
  });

  it('also before a mobility interface alone begins to forward', () => {
    write('all/forwarding', 1);
    uplinks.push('eth0');
    const paths = both()
      .apply(LAN0)
      .map(({ path }) => path)
      .filter((path) => path.includes('ipv6'));
    assert.deepEqual(paths.slice(0, 2), ['net/ipv6/conf/eth0/accept_ra', 'net/ipv6/conf/lan0/forwarding']);
  });

  it('with accept_ra = 0 the routes are those of a daemon that reads advertisements itself: it is left alone', () => {
    uplinks.push('eth0');
    write('eth0/accept_ra', 0);
    both().applyGlobal();
    assert.equal(read('eth0/accept_ra'), '0');
  });

  it('an uplink keeps it while forwarding is kept, and however often its link changes', () => {
    uplinks.push('eth0');
    const settings = both();
    settings.applyGlobal();
    assert.deepEqual(settings.restoreInterface(ETH0), []);
    settings.restore({ keepForwarding: true });
    assert.deepEqual([read('all/forwarding'), read('eth0/accept_ra')], ['1', '2']);
    both().restore({ keepForwarding: false });
    assert.deepEqual([read('all/forwarding'), read('eth0/accept_ra')], ['0', '1']);
  });

  it('`all` is never touched but for forwarding; a setting that the kernel lacks is no trouble', () => {
    write('all/proxy_ndp', 1);
    rmSync(at('lan0/accept_untracked_na'));
    const settings = both();
    settings.applyGlobal();
    settings.apply(LAN0);
    assert.deepEqual([read('all/proxy_ndp'), read('all/accept_ra'), read('lan0/proxy_ndp')], ['1', '1', '0']);
    assert.deepEqual(warnings, []);
  });

  it('what the kernel removed with a small MTU is forgotten, the rest of the interface is not', () => {
    const settings = both();
    settings.apply(LAN0);
    rmSync(at('lan0'), { recursive: true });
    settings.ipv6Gone(LAN0.index);
    const text = readFileSync(stateFile, 'utf8');
    assert.doesNotMatch(text, /ipv6/);
    assert.match(text, /net\/ipv4\/conf\/lan0/);
  });

  it('without the family nothing of it is read or changed', () => {
    uplinks.push('eth0');
    const before = all();
    const settings = open();
    settings.applyGlobal();
    settings.apply(LAN0);
    settings.restore({ keepForwarding: false });
    assert.deepEqual(all(), before);
  });
});
