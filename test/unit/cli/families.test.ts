import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import { host } from '../control/fixture.js';
import { startWith } from './kit.js';

/** marpctl with hosts of both families. */

const ip = (text: string) => parseIp(text) as Ip;

/** Two machines: one with an address of IPv4 and two of IPv6, one with IPv6 alone. */
async function dualStack(t: TestContext) {
  const running = await startWith(t);
  running.daemon.served = ['ipv4', 'ipv6'];
  for (const [text, more] of [
    ['2001:db8:1::5', {}],
    ['2001:db8:1::a:5', { state: 'fresh' }],
    ['2001:db8:2::7', { mac: '02:00:0a:01:01:07', state: 'home' }],
  ] as const)
    running.daemon.table.set(ip(text), host(text, more));
  return running;
}

const firstWords = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/\s+/, 1)[0]);

test('hosts: IPv4 before IPv6, by value, also with --sort ip', async (t) => {
  const { ask } = await dualStack(t);
  const order = ['IP', '10.1.1.5', '10.1.1.20', '2001:db8:1::5', '2001:db8:1::a:5', '2001:db8:2::7'];
  assert.deepEqual(firstWords((await ask('hosts')).out), order);
  assert.deepEqual(firstWords((await ask('hosts', '--sort', 'ip')).out), order);
  for (const one of ['2001:db8:1::5', '2001:DB8:1:0::5'])
    assert.deepEqual(firstWords((await ask('hosts', one)).out), ['IP', '2001:db8:1::5']);
  assert.deepEqual(firstWords((await ask('hosts', '2001:db8:2::/64')).out), ['IP', '2001:db8:2::7']);
});

test('hosts --by-mac shows a machine once, with its addresses of both families', async (t) => {
  const { ask } = await dualStack(t);
  const { out } = await ask('hosts', '--by-mac');
  assert.deepEqual(
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, 42).trimEnd()),
    [
      'MAC                IP               STATE',
      '02:00:0a:01:01:05  10.1.1.5         settle',
      '                   2001:db8:1::5    settle',
      '                   2001:db8:1::a:5  fresh',
      '02:00:0a:01:01:07  2001:db8:2::7    home',
    ].map((line) => line.trimEnd()),
  );
});

test('hosts --by-mac: one address finds the others of its machine; pages go by MAC', async (t) => {
  const { ask } = await dualStack(t);
  const addresses = async (...argv: string[]) => {
    const page = JSON.parse((await ask('hosts', '--by-mac', '--json', ...argv)).out);
    return page.macs.map(({ hosts }: { hosts: { ip: string }[] }) => hosts.map((view) => view.ip));
  };
  const first = ['10.1.1.5', '2001:db8:1::5', '2001:db8:1::a:5'];
  assert.deepEqual(await addresses('2001:db8:1::a:5'), [first]);
  assert.deepEqual(await addresses('10.1.1.5'), [first]);
  assert.deepEqual(await addresses('--state', 'home'), [['2001:db8:2::7']]);
  assert.deepEqual(await addresses('--after', '02:00:0a:01:01:05'), [['2001:db8:2::7']]);
  const page = (await ask('hosts', '--by-mac', '--limit', '1')).out;
  assert.match(page, /^1 of 2 MACs\nnext page: --after 02:00:0a:01:01:05$/m);
});

test('why, host, probe and drops take an address of IPv6 in any spelling', async (t) => {
  const { ask, daemon } = await dualStack(t);
  assert.match((await ask('host', '2001:DB8:1:0:0::5')).out, /^ip: +2001:db8:1::5$/m);
  assert.match((await ask('why', '2001:db8:1::5')).out, /^2001:db8:1::5: /);
  assert.equal((await ask('probe', '2001:db8:1::5')).status, 0);
  assert.deepEqual(daemon.commands.at(-1), { name: 'probe', ip: ip('2001:db8:1::5') });
  assert.equal((await ask('drops', '2001:db8:1::5')).out, 'no frames ignored\n');
});

test('prepare, attach and detach name addresses of both families at once', async (t) => {
  const { ask, daemon } = await dualStack(t);
  const ips = [ip('10.1.1.5'), ip('2001:db8:1::5')];
  for (const name of ['prepare', 'attach', 'detach'] as const) {
    const options = ['--mac', '02:00:0a:01:01:05', '--ip', '10.1.1.5', '--ip', '2001:db8:1::5'];
    assert.equal((await ask(name, ...options, '--interface', 'tap0')).status, 0);
    const byOptions = daemon.commands.at(-1);
    assert.deepEqual(byOptions, { name, mac: 0x02000a010105, ips, interface: 'tap0' });
    assert.equal((await ask(name, 'tap0', '2001:db8:1::5', '02:00:0a:01:01:05', '10.1.1.5')).status, 0);
    assert.deepEqual(daemon.commands.at(-1), { ...byOptions, ips: [...ips].reverse() });
  }
});

test('what looks like an address of IPv6 and is none is said to be none', async (t) => {
  const { ask, daemon } = await dualStack(t);
  for (const wrong of ['2001:db8::1::5', '2001:db8:1::g', '1:2:3:4:5:6:7'])
    assert.match((await ask('why', wrong)).err, /is not an IP address/);
  assert.match((await ask('attach', '--ip', 'fe80::5', 'tap0')).err, /fe80::5 is a link-local address/);
  assert.deepEqual(daemon.commands, []);
});

test('completion proposes hosts of both families, asked for by what is complete', async (t) => {
  const { ask } = await dualStack(t);
  const proposed = async (partial: string) =>
    (await ask('__complete', 'host', partial)).out.trim().split('\n');
  assert.deepEqual(await proposed('2001:db8:2:'), ['2001:db8:2::7']);
  assert.deepEqual(await proposed('2001:db8:1::'), ['2001:db8:1::5', '2001:db8:1::a:5']);
  assert.deepEqual(await proposed('10.1.1.2'), ['10.1.1.20']);
  assert.ok((await proposed('')).includes('2001:db8:2::7'));
});
