// Settings, rules, echo, inspection, and the kernel module as a whole, on a real kernel. Needs root and iproute2.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { inspect } from '../../../../src/kernel/inspect.js';
import { Kernel } from '../../../../src/kernel/kernel.js';
import { Rules } from '../../../../src/kernel/ip/rules.js';
import { Sysctls } from '../../../../src/kernel/sysctl.js';
import type { Event, IfIndex, Link } from '../../../../src/mobility/events.js';
import { formatIp } from '../../../../src/wire/addresses.js';
import {
  MAC,
  SETTLED_METRIC,
  addr,
  layCables,
  lines,
  neighbours,
  routes,
} from '../../testbed/kernel-testbed.js';
import { enterPrivateNetwork, ip, until } from '../../testbed/private-net.js';

enterPrivateNetwork(import.meta.url);

before(layCables);

describe('settings, rules, echo, inspection', () => {
  const conf = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, 'latin1').trim();

  it('every setting of the namespace is as before after apply and restore (design.md 3.2)', () => {
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    writeFileSync('/proc/sys/net/ipv4/conf/lan1/forwarding', '1');
    writeFileSync('/proc/sys/net/ipv4/conf/all/send_redirects', '1');
    const look = () =>
      execFileSync('sh', ['-c', 'cd /proc/sys/net/ipv4; grep -r . conf ip_forward'], { encoding: 'utf8' });
    const before = look();
    const stateFile = join(mkdtempSync(join(tmpdir(), 'marpd-sysctl-')), 'sysctl.state');
    const open = () => {
      const settings = new Sysctls({
        mode: 'apply',
        stateFile,
        indexOf: () => undefined,
        onWarning: assert.fail,
      });
      settings.takeOver();
      return settings;
    };
    const link = { name: 'lan0', index: Number(readFileSync('/sys/class/net/lan0/ifindex', 'latin1')) };
    const first = open();
    first.applyGlobal();
    first.apply(link);
    assert.equal(conf('ip_forward'), '1');
    assert.equal(conf('conf/all/send_redirects'), '0');
    assert.equal(conf('conf/lan1/send_redirects'), '1');
    assert.equal(conf('conf/lan0/arp_ignore'), '1');
    const second = open(); // the first was killed
    assert.deepEqual(second.applyGlobal(), []);
    assert.deepEqual(second.apply(link), []);
    second.restore({ keepForwarding: false });
    assert.equal(look(), before);
    writeFileSync('/proc/sys/net/ipv4/conf/lan1/forwarding', '0');
    rmSync(dirname(stateFile), { recursive: true });
  });

  it('rules: added once, leftovers and only ours removed; the kernel looks up fresh, remote, settled', () => {
    const show = () => lines(ip('-N rule show'));
    const original = show();
    const warnings: string[] = [];
    const open = (watchTables: number[]) =>
      new Rules({ protocol: 44, freshTable: 100, settledTable: 102, watchTables }, (text) =>
        warnings.push(text),
      );
    ip('rule add priority 32500 lookup 200 protocol 45');
    open([103]).apply(); // a run with another configuration, killed
    const rules = open([254]);
    rules.apply();
    rules.apply();
    assert.equal(show().length, original.length + 4);
    const dev = () => / dev (\S+)/.exec(ip('route get 10.20.0.5'))?.[1];
    ip('route add default dev lo');
    ip('route add 10.20.0.5/32 dev lan1 table 102');
    assert.equal(dev(), 'lan1', 'the default route in main does not hide the settled claim');
    ip('route add 10.20.0.5/32 dev lan0 metric 20');
    assert.equal(dev(), 'lan0', 'the remote claim does');
    ip('route add 10.20.0.5/32 dev lan1 table 100');
    assert.equal(dev(), 'lan1', 'the fresh claim beats both');
    ip('route del default dev lo');
    ip('route del 10.20.0.5/32 dev lan1 table 102');
    ip('route del 10.20.0.5/32 dev lan0');
    ip('route del 10.20.0.5/32 dev lan1 table 100');
    rules.remove();
    ip('rule del priority 32500');
    assert.deepEqual(show(), original);
    assert.deepEqual(warnings, []);
  });

  it('inspection tells what is, for marpctl doctor', async () => {
    ip('neigh add proxy 10.2.0.200 dev lan0');
    ip('route add 10.22.0.1/32 dev lan0 proto 44 metric 1');
    ip('route add 10.22.0.2/32 dev lan0 proto 188 metric 20');
    ip('route add 10.22.1.0/24 dev lan0 proto 188 metric 20');
    const facts = await inspect({ protocol: 44, tables: [254, 4711], pid: process.pid });
    assert.match(facts.iproute2Version ?? '', /^\d+\.\d+/);
    assert.equal(facts.sysctls.get('net/ipv4/conf/lan0/proxy_arp'), 0);
    assert.ok(facts.links.some((link) => link.name === 'lan0' && link.addresses.length > 0));
    assert.deepEqual(
      facts.routes.map((route) => formatIp(route.prefix.ip)).filter((text) => text.startsWith('10.22.')),
      ['10.22.0.1', '10.22.0.2'],
    );
    assert.deepEqual(facts.proxyNeighbours, [{ ip: addr('10.2.0.200'), dev: 'lan0' }]);
    assert.ok(facts.capabilities?.has('cap_net_admin'));
    assert.equal((await inspect({ protocol: 44, tables: [], pid: undefined })).capabilities, undefined);
    ip('neigh del proxy 10.2.0.200 dev lan0');
    for (const prefix of ['10.22.0.1/32', '10.22.0.2/32', '10.22.1.0/24']) ip(`route del ${prefix}`);
  });
});

describe('the kernel module as a whole', () => {
  it('starts, claims, keeps its routes at the stop, adopts them, withdraws them; settings are as before', async () => {
    const stateDirectory = mkdtempSync(join(tmpdir(), 'marpd-state-'));
    const events: Event[] = [];
    const warnings: string[] = [];
    const installed: string[] = [];
    const links = new Map<IfIndex, Link>();
    const open = () =>
      new Kernel({
        families: ['ipv4', 'ipv6'],
        protocol: 44,
        freshTable: 254,
        settledTable: 254,
        watchTables: [254],
        freshMetric: 1,
        settledMetric: SETTLED_METRIC,
        stateDirectory,
        settings: 'apply',
        isMobility: (iface) => links.get(iface)?.name.startsWith('lan') ?? false,
        lanOf: (iface) => iface,
        onEvent: (event) => {
          events.push(event);
          if (event.kind === 'link') links.set(event.link.index, event.link);
        },
        onInstalled: (address, age, dev) => installed.push(`${formatIp(address)} ${age} ${dev}`),
        onWarning: (message) => warnings.push(message),
        onInfo: () => undefined,
        onFlap: () => undefined,
        onSettingChanged: (_name, message) => warnings.push(message),
        onFatal: assert.fail,
      });
    const arpIgnore = () => readFileSync('/proc/sys/net/ipv4/conf/lan0/arp_ignore', 'latin1').trim();
    const first = open();
    await first.start();
    assert.deepEqual(await first.adopt(), []);
    assert.equal(arpIgnore(), '1');
    const lan0 = [...links.values()].find((link) => link.name === 'lan0') as Link;
    const ip5 = addr('10.16.0.5');
    first.carryOut({ kind: 'claim', ip: ip5, iface: lan0.index, dev: 'lan0', mac: MAC, age: 'fresh' });
    first.flush();
    await until('installed', () => installed.length === 1);
    assert.deepEqual(installed, ['10.16.0.5 fresh lan0']);
    assert.equal(first.stats().pending, 0);
    await first.stop('keep');
    assert.equal(routes().length, 1);
    assert.equal(arpIgnore(), '0');
    assert.equal(readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim(), '1');
    const second = open();
    await second.start();
    assert.deepEqual(await second.adopt(), [{ ip: ip5, iface: lan0.index, mac: MAC, age: 'fresh' }]);
    await second.stop('withdraw');
    assert.deepEqual([routes(), neighbours()], [[], []]);
    assert.equal(readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim(), '0');
    assert.deepEqual(warnings, []);
    rmSync(stateDirectory, { recursive: true });
  });
});
