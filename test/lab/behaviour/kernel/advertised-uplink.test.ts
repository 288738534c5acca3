// IPv6 settings on a real kernel: a router whose own default route comes by router advertisement. Needs root, iproute2, cc.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { inspect } from '../../../../src/kernel/inspect.js';
import { Kernel, type KernelOptions } from '../../../../src/kernel/kernel.js';
import type { Event, IfIndex } from '../../../../src/mobility/events.js';
import { type Family, familyOf } from '../../../../src/wire/addresses.js';
import { AdvertisedUplink } from '../../testbed/advertised-uplink.js';
import { MAC, SETTLED_METRIC, addr, layCables, lines } from '../../testbed/kernel-testbed.js';
import { enterPrivateNetwork, ip, until } from '../../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

const conf = (path: string) => readFileSync(`/proc/sys/net/ipv6/conf/${path}`, 'latin1').trim();
const setConf = (path: string, value: number) =>
  writeFileSync(`/proc/sys/net/ipv6/conf/${path}`, `${value}\n`);
const settings = () =>
  execFileSync('grep', ['-r', '--exclude=stable_secret', '.', '/proc/sys/net/ipv6/conf'], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
const ipv6Routes = (which = '') => ip(`-6 -N route show ${which}`.trim()).replace(/ expires \d+sec/g, '');
const defaultRoute = () => lines(ipv6Routes('default'));
const ipv6Tables = () => [settings(), ip('-6 rule'), ipv6Routes(), ip('-6 neigh show nud permanent')];

let uplink: AdvertisedUplink;
let running: Kernel | undefined;
let stateDirectory = '';
const events: Event[] = [];
const told: string[] = [];
const warnings: string[] = [];

function open(families: readonly Family[], more: Partial<KernelOptions> = {}): Kernel {
  for (const list of [events, told, warnings]) list.length = 0;
  const names = new Map<IfIndex, string>();
  running = new Kernel({
    families,
    protocol: 44,
    freshTable: 254,
    settledTable: 254,
    watchTables: [254],
    freshMetric: 1,
    settledMetric: SETTLED_METRIC,
    stateDirectory,
    settings: 'apply',
    isMobility: (iface) => names.get(iface) === 'lan0',
    lanOf: (iface) => iface,
    onEvent: (event) => {
      events.push(event);
      if (event.kind === 'link') names.set(event.link.index, event.link.name);
    },
    onInstalled: () => undefined,
    onWarning: (message) => warnings.push(message),
    onInfo: (message) => told.push(message),
    onFlap: () => undefined,
    onSettingChanged: (_name, message) => warnings.push(message),
    onFatal: assert.fail,
    ...more,
  });
  return running;
}

before(async () => {
  layCables();
  stateDirectory = mkdtempSync(join(tmpdir(), 'marpd-state-'));
  uplink = new AdvertisedUplink('up0');
  await until('a default route by router advertisement', () => {
    uplink.advertise();
    return defaultRoute().length > 0;
  });
});
after(() => {
  uplink.remove();
  rmSync(stateDirectory, { recursive: true });
});

// (After a failed test, too: it would keep the process alive.)
afterEach(() => running?.stop('withdraw'));

describe('a default route by router advertisement (RFC 4861 section 6.3.4)', () => {
  it('the kernel deletes it when it begins to forward on any one interface: why it is cared for', async () => {
    setConf('lan1/forwarding', 1);
    assert.deepEqual(defaultRoute(), []);
    setConf('lan1/forwarding', 0);
    await until('the route', () => {
      uplink.advertise();
      return defaultRoute().length > 0;
    });
  });

  it('stays while the router starts, is renewed while it runs, and every setting is as before when it stops', async () => {
    const original = settings();
    const route = defaultRoute();
    const kernel = open(['ipv4', 'ipv6']);
    let lost = 0;
    const monitor = setInterval(() => {
      lost += defaultRoute().length === 0 ? 1 : 0;
    }, 1);
    await kernel.start();
    await until('the settings of the mobility interface', () => conf('lan0/accept_ra') === '0');
    clearInterval(monitor);
    assert.equal(lost, 0);
    assert.deepEqual(
      ['all/forwarding', 'lan0/forwarding', 'up0/accept_ra', 'lan1/accept_ra', 'lan0/accept_redirects'].map(
        conf,
      ),
      ['1', '1', '2', '1', '0'],
    );
    assert.deepEqual(defaultRoute(), route);
    assert.ok(
      told.some((line) => /^net\.ipv6\.conf\.up0\.accept_ra = 2, was 1 \(or this router loses/.test(line)),
      told.join('\n'),
    );
    ip('-6 route del default dev up0');
    await until('the next advertisement is accepted', () => {
      uplink.advertise();
      return defaultRoute().length > 0;
    });
    // A later event of the uplink does not undo it.
    ip('link set up0 alias changed');
    ip('-6 addr add 2001:db8:ff::2/64 dev up0');
    await until('the event', () =>
      events.some(
        (event) =>
          event.kind === 'link' && event.link.addresses.some(({ ip }) => ip === addr('2001:db8:ff::2')),
      ),
    );
    assert.equal(conf('up0/accept_ra'), '2');
    ip('-6 addr del 2001:db8:ff::2/64 dev up0');
    await kernel.stop('withdraw');
    assert.deepEqual(warnings, []);
    assert.equal(defaultRoute().length, 1);
    assert.equal(settings(), original);
  });

  it('on_exit = "keep" keeps forwarding, and so the uplink; the next run restores both', async () => {
    const original = settings();
    const first = open(['ipv4', 'ipv6']);
    await first.start();
    await first.stop('keep');
    assert.deepEqual(['all/forwarding', 'up0/accept_ra'].map(conf), ['1', '2']);
    const second = open(['ipv4', 'ipv6']);
    await second.start();
    await second.stop('withdraw');
    assert.equal(settings(), original);
    assert.equal(defaultRoute().length, 1);
  });

  it('settings = "check" changes nothing and says what to do before forwarding is switched on', async () => {
    const original = settings();
    const kernel = open(['ipv4', 'ipv6'], { settings: 'check' });
    await kernel.start();
    await until('the settings of lan0', () => warnings.some((line) => line.includes('lan0.accept_ra')));
    await kernel.stop('withdraw');
    assert.equal(settings(), original);
    const at = (pattern: RegExp) => warnings.findIndex((line) => pattern.test(line));
    const uplinkAt = at(/^net\.ipv6\.conf\.up0\.accept_ra is 1, should be 2 \(or this router loses/);
    assert.ok(uplinkAt >= 0 && uplinkAt < at(/^net\.ipv6\.conf\.all\.forwarding is 0, should be 1/));
  });

  it('doctor gets the facts', async () => {
    const look = (families: readonly Family[]) =>
      inspect({ families, protocol: 44, tables: [254], pid: undefined });
    const both = await look(['ipv4', 'ipv6']);
    assert.deepEqual(both.advertisedUplinks, ['up0']);
    assert.equal(both.sysctls.get('net/ipv6/conf/up0/accept_ra'), 1);
    assert.ok(both.interfaceSysctlsIpv6.length > 0);
    const ipv4 = await look(['ipv4']);
    assert.deepEqual([ipv4.advertisedUplinks, ipv4.interfaceSysctlsIpv6], [[], []]);
    assert.ok([...ipv4.sysctls.keys()].every((path) => path.startsWith('net/ipv4/')));
  });
});

describe('families = ["ipv4"]', () => {
  it('nothing of IPv6 is read by `ip`, set, or reported, whatever there is', async () => {
    ip('-6 rule add priority 32001 lookup 100 protocol 44');
    ip('-6 route add 2001:db8::5/128 dev lan0 proto 44 metric 1');
    ip('-6 route add 2001:db8::6/128 via fe80::99 dev up0 proto 188');
    ip('-6 neigh add 2001:db8::5 lladdr 02:00:00:00:00:05 dev lan0 nud permanent extern_learn protocol 44');
    const original = ipv6Tables();
    const log = join(stateDirectory, 'calls');
    const tools = mkdtempSync(join(tmpdir(), 'marpd-tools-'));
    for (const tool of ['ip', 'bridge']) {
      const real = execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim();
      writeFileSync(join(tools, tool), `#!/bin/sh\necho ${tool} "$@" >> ${log}\nexec ${real} "$@"\n`);
      chmodSync(join(tools, tool), 0o755);
    }
    chmodSync(tools, 0o755);
    chmodSync(stateDirectory, 0o777);
    writeFileSync(log, '');
    chmodSync(log, 0o666);
    const path = process.env.PATH;
    process.env.PATH = `${tools}:${path}`;
    const kernel = open(['ipv4'], { freshTable: 100, settledTable: 102 });
    await kernel.start();
    assert.deepEqual(await kernel.adopt(), []);
    const address = addr('10.16.0.5');
    const lan0 = Number(readFileSync('/sys/class/net/lan0/ifindex', 'latin1'));
    kernel.carryOut({ kind: 'claim', ip: address, iface: lan0, dev: 'lan0', mac: MAC, age: 'fresh' });
    kernel.flush();
    // What happens in IPv6 meanwhile is told by the monitor, which knows no families of neighbours.
    const changes = [
      '-6 route add 2001:db8::7/128 via fe80::99 dev up0 proto 188',
      '-6 neigh add 2001:db8::8 lladdr 02:00:00:00:00:08 dev lan0 nud permanent',
      'neigh add 10.2.0.9 lladdr 02:00:00:00:00:09 dev lan0',
    ];
    for (const change of changes) ip(change);
    await until('the claim', () => events.some((event) => event.kind === 'installed'));
    await until('the neighbour', () =>
      events.some((event) => event.kind === 'neighbour' && event.ip === addr('10.2.0.9')),
    );
    await kernel.reconcile('test');
    await kernel.stop('withdraw');
    process.env.PATH = path;
    ip('-6 route del 2001:db8::7/128');
    ip('-6 neigh del 2001:db8::8 dev lan0');
    ip('neigh del 10.2.0.9 dev lan0');
    const calls = lines(readFileSync(log, 'utf8')).filter((call) => !changes.includes(call.slice(3)));
    rmSync(tools, { recursive: true });
    assert.ok(calls.some((call) => call.includes('-batch')) && calls.length > 8, calls.join('\n'));
    for (const call of calls) {
      assert.doesNotMatch(call, /-6|inet6/);
      if (/ (route|rule|neigh) /.test(call) && !call.includes(' monitor ')) assert.match(call, / -4 /);
    }
    assert.deepEqual(ipv6Tables(), original);
    for (const event of events) {
      if (event.kind === 'route') assert.equal(familyOf(event.route.prefix.ip), 'ipv4');
      if (event.kind === 'neighbour' || event.kind === 'adopt') assert.equal(familyOf(event.ip), 'ipv4');
      if (event.kind === 'link') assert.equal(event.link.hasIpv6, undefined);
    }
    assert.deepEqual(warnings, []);
    for (const address of ['5', '6']) ip(`-6 route del 2001:db8::${address}/128`);
    ip('-6 neigh del 2001:db8::5 dev lan0');
    ip('-6 rule del priority 32001');
  });

  it('families = ["ipv6"] has rules that let host routes alone pass main, and withdraws them', async () => {
    const original = [ip('rule'), ip('-6 rule')];
    const kernel = open(['ipv6'], { freshTable: 100, settledTable: 102 });
    await kernel.start();
    const rules = lines(ip('-6 -N rule')).filter((rule) => rule.startsWith('3200'));
    assert.deepEqual(rules, [
      '32000:\tfrom all lookup 100 proto 44',
      '32001:\tfrom all lookup 254 suppress_prefixlength 127 proto 44',
      '32002:\tfrom all lookup 102 proto 44',
    ]);
    assert.equal(ip('rule'), original[0]);
    ip('-6 route add 2001:db8::5/128 dev lan1 table 102');
    assert.match(ip('-6 route get 2001:db8::5'), / dev lan1 /, 'the default route in main does not hide it');
    ip('-6 route del 2001:db8::5/128 dev lan1 table 102');
    await kernel.stop('withdraw');
    assert.deepEqual([ip('rule'), ip('-6 rule')], original);
    assert.deepEqual(warnings, []);
  });
});
