import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMAND_NAMES, helpText } from '../../../src/cli/arguments/help.js';
import { run } from '../../../src/ctl.js';
import { type Ip, parseIp, parseMac } from '../../../src/wire/addresses.js';
import { temporaryDirectory, until } from '../control/fixture.js';
import { ctl, startWith } from './kit.js';

const CTL = new URL('../../../src/ctl.ts', import.meta.url).pathname;
const ip = (text: string) => parseIp(text) as Ip;

test('design.md 4: marpctl shows tables to people', async (t) => {
  const { ask } = await startWith(t);
  const hosts = await ask('hosts');
  assert.equal(hosts.status, 0);
  assert.equal(
    hosts.out,
    [
      'IP         STATE       INTERFACE  MAC                SINCE  HEARD  RTT     CAUSE  NOTE',
      '10.1.1.5   settled     lan1       02:00:0a:01:01:05  1m01s  1.2s   0.4 ms  aged',
      '10.1.1.20  remembered  -          -                  1m01s  -      -       aged   FROZEN for 8m20s, contested 5x by 02:00:00:00:00:66 on lan1',
      '',
    ].join('\n'),
  );
  assert.match((await ask('status')).out, /^marpd: +0\.1\.0, pid 4242, up 1h02m$/m);
  assert.match((await ask('status')).out, /^hosts: +1 proving, 5 home, 2 settled, 1 away, 3 remembered$/m);
  assert.match(
    (await ask('interfaces')).out,
    /^lan0 +captured +02:00:00:00:00:01 +10\.1\.1\.1\/24 +foreign +before +alone +5\.0s +15\.0s +2 +12345 +lan\*$/m,
  );
  assert.match((await ask('host', '10.1.1.5')).out, /^state: +settled for 1m01s, cause: aged$/m);
  const why = await ask('why', '10.1.1.9');
  assert.match(
    why.out,
    /^10\.1\.1\.9: not learned: MAC is not the bound one\n\nWHEN +WHAT\n\d\d:\d\d:01\.500250 +3x +frame on lan0 ignored/,
  );
  assert.match(
    (await ask('drops')).out,
    /^7 +not-allowed +\d\d:\d\d:01\.500250 +192\.0\.2\.1 +- +lan0 +not allowed by policy$/m,
  );
  assert.match((await ask('hosts', '--limit', '1')).out, /1 of 2 hosts\nnext page: --after 10\.1\.1\.5\n$/);
});

test('design.md 4: marpctl --json prints what the API says', async (t) => {
  const { ask } = await startWith(t);
  for (const [argv, beginning] of [
    [['hosts'], '{"total":2,"hosts":[{"ip":"10.1.1.5"'],
    [
      ['hosts', '--state', 'settled', '--interface', 'lan1', '--prefix', '10.1.0.0/16'],
      '{"total":1,"hosts":[',
    ],
    [['host', '10.1.1.5'], '{"ip":"10.1.1.5"'],
    [['status'], '{"hostname":"r1","version":"0.1.0"'],
    [['interfaces'], '[{"name":"lan0"'],
    [['drops'], '[{"reason":"not-allowed"'],
    [['why', '10.1.1.5'], '{"ip":"10.1.1.5","conclusion":"not learned'],
    [['probe', '10.1.1.5'], '{"ok":true'],
    [['discover', '10.1.1.0/24'], '{"ok":true'],
    [['role', 'lan0', 'standby'], '{"ok":true'],
  ] as const) {
    const result = await ask(...argv, '--json');
    assert.equal(result.status, 0, result.err);
    assert.equal(result.out.slice(0, beginning.length), beginning);
    JSON.parse(result.out);
  }
});

test('prepare, attach and detach, with options or with arguments in any order', async (t) => {
  const { ask, daemon } = await startWith(t);
  const mac = '52:54:00:00:00:05';
  for (const argv of [
    ['attach', '--mac', mac, '--ip', '10.1.1.5', '--interface', 'tap0'],
    ['attach', '10.1.1.5', mac, 'tap0'],
    ['attach', 'tap0', '10.1.1.5', '--mac', mac],
  ]) {
    const result = await ask(...argv);
    assert.deepEqual(result, { status: 0, out: 'done\n', err: '' });
    assert.deepEqual(daemon.commands.pop(), {
      name: 'attach',
      mac: parseMac(mac),
      ips: [ip('10.1.1.5')],
      interface: 'tap0',
    });
  }
  await ask('prepare', mac, '10.1.1.5', '--ip', '10.1.1.6', 'tap0');
  assert.deepEqual(daemon.commands.pop(), {
    name: 'prepare',
    mac: parseMac(mac),
    ips: [ip('10.1.1.6'), ip('10.1.1.5')],
    interface: 'tap0',
  });
  await ask('detach', mac, 'tap0');
  assert.deepEqual(daemon.commands.pop(), { name: 'detach', mac: parseMac(mac), ips: [], interface: 'tap0' });
});

test('exit codes (design.md 4): 1 for no such host and for a negative answer', async (t) => {
  const { ask, daemon } = await startWith(t);
  assert.deepEqual(await ask('host', '10.1.1.99'), {
    status: 1,
    out: '',
    err: 'marpctl: no such host: 10.1.1.99 (try: marpctl why 10.1.1.99)\n',
  });
  daemon.verdict = { ok: false, message: 'tap9 is no mobility interface' };
  assert.deepEqual(await ask('attach', '10.1.1.5', 'tap9'), {
    status: 1,
    out: '',
    err: 'marpctl: tap9 is no mobility interface\n',
  });
  const json = await ask('attach', '10.1.1.5', 'tap9', '--json');
  assert.equal(json.status, 1);
  assert.deepEqual(JSON.parse(json.out), daemon.verdict);
});

test('exit codes (design.md 4): 2 for wrong usage, with what was wrong and nothing sent', async (t) => {
  const { ask, daemon } = await startWith(t);
  for (const [argv, reason] of [
    [[], /^Usage: marpctl COMMAND/m],
    [['hots'], /unknown command "hots" \(did you mean hosts\?\)/],
    [['xyzzy'], /unknown command "xyzzy" \(available: status, hosts/],
    [['help', 'nope'], /unknown command "nope"/],
    [['nope', '--help'], /unknown command "nope"/],
    [['pr'], /"pr" may mean probe or prepare/],
    [['host'], /IP missing \(usage: marpctl host IP\)/],
    [['host', 'banana'], /"banana" is not an IP address/],
    [['host', '10.1.1.5', '10.1.1.6'], /unexpected "10\.1\.1\.6"/],
    [['status', 'now'], /unexpected "now"/],
    [['status', '--mac', 'x'], /--mac does not apply to status\nTry: marpctl status --help\n$/],
    [
      ['hosts', '--colour'],
      /unknown option --colour \(did you mean --color\?\)\nTry: marpctl hosts --help\n$/,
    ],
    [['hosts', '-q'], /unknown option -q/],
    [['hosts', '--color'], /--color needs a value/],
    [
      ['hosts', '--color', 'alway'],
      /--color: "alway" is not one of auto, always, never \(did you mean always\?\)/,
    ],
    [['hosts', '--state', 'alive'], /--state: "alive" is not one of unknown, proving/],
    [['hosts', '--state'], /--state needs a value/],
    [['hosts', '--limit', '0'], /--limit: "0" is not a number from 1 to 10000/],
    [['hosts', '--limit', '1', '--limit', '2'], /--limit is given twice/],
    [['hosts', '10.1.1.0/33'], /"10\.1\.1\.0\/33" is not a prefix/],
    [['hosts', '10.1.1'], /"10\.1\.1" is not an IP address/],
    [['hosts', '--watch=soon'], /--watch: "soon" is not a time/],
    [['why', 'a/b'], /"a\/b" is no IP address, no MAC and no interface name/],
    [['wait', '10.1.1.5', '--timeout', '0'], /--timeout: "0" is not a time/],
    [['log-level', 'loud'], /"loud" is not one of trace, debug/],
    [
      ['doctor', '--host', 'https://192.0.2.1:4411', '--cert', 'a', '--key', 'b', '--ca', 'c'],
      /--host and --socket exclude each other/,
    ],
    [['attach', '10.1.1.5'], /--interface is missing/],
    [['attach', 'tap0'], /attach needs at least one/],
    [['attach', '10.1.1.5', 'tap0', 'tap1'], /unexpected "tap1"/],
    [['prepare', '10.1.1.5', 'tap0'], /prepare needs the MAC/],
    [['attach', '224.0.0.5', 'tap0'], /no host can have/],
    [['host', '2001:db8::5'], /IPv6 is off/],
    [['why', '2001:db8::5'], /IPv6 is off/],
    [['monitor', '2001:db8::5'], /IPv6 is off/],
    [['probe', '2001:db8::5'], /IPv6 is off/],
    [['discover', '2001:db8::/64'], /IPv6 is off/],
    [['discover', '10.1.1'], /is not a prefix/],
    [['role', 'lan0', 'master'], /"master" is not one of active, standby/],
    [['attach', '2001:db8::5', 'tap0'], /IPv6 is off/],
    [['detach', '--ip', 'fe80::5', 'tap0'], /fe80::5 is a link-local address/],
    [['hosts', '--prefix', '2001:db8::/64'], /IPv6 is off/],
  ] as const) {
    const result = await ask(...argv);
    assert.equal(result.status, 2, `${argv.join(' ')}: ${result.err}`);
    assert.match(result.err, reason);
    assert.equal(result.out, '');
  }
  assert.deepEqual(daemon.commands, []);
});

test('what is typed is checked before the daemon is asked', async (t) => {
  const socket = join(temporaryDirectory(t), 'absent.sock');
  for (const argv of [
    ['hosts', '--state', 'foo'],
    ['why', '10.1.1'],
    ['wait', 'banana'],
    ['attach', '10.1.1.5'],
  ])
    assert.equal((await ctl('--socket', socket, ...argv)).status, 2, argv.join(' '));
});

test('exit codes (design.md 4): 3 when the daemon is not reachable', async (t) => {
  const socket = join(temporaryDirectory(t), 'absent.sock');
  for (const argv of [['status'], ['monitor'], ['attach', '10.1.1.5', 'tap0']]) {
    const result = await ctl('--socket', socket, ...argv);
    assert.equal(result.status, 3);
    assert.match(result.err, /^marpctl: marpd is not running: .*absent\.sock does not exist/);
  }
});

test('--help names every command, and each has its own', async () => {
  const { status, out } = await ctl('--help');
  assert.equal(status, 0);
  for (const command of COMMAND_NAMES) {
    assert.match(out, new RegExp(`^  ${command} `, 'm'));
    const own = await ctl(command, '--help');
    assert.equal(own.status, 0);
    assert.ok(own.out.startsWith(`marpctl ${command}`) && own.out.includes('Exit status:'), own.out);
    assert.equal((await ctl('help', command)).out, own.out);
  }
  assert.ok(
    helpText()
      .split('\n')
      .every((line) => line.length <= 120),
  );
  assert.match((await ctl('--version')).out, /^marpctl \d+\.\d+\.\d+\n$/);
});

test('monitor shows one line per record to people and NDJSON to programs', async (t) => {
  const { daemon, server, socket } = await startWith(t);
  const stop = new AbortController();
  let text = '';
  let json = '';
  const watch = (argv: string[], take: (text: string) => void) =>
    run(['monitor', '--socket', socket, ...argv], {
      out: take,
      err: (problem) => assert.fail(problem),
      signal: stop.signal,
    });
  const watching = [
    watch([], (line) => {
      text += line;
    }),
    watch(['--json', '--all', '10.1.1.5'], (line) => {
      json += line;
    }),
  ];
  await until('both watch', () => server.subscribers === 2);
  const transition = {
    event: 'transition',
    time: '2024-05-01T12:00:01.500250Z',
    ip: '10.1.1.5',
    from: 'proving',
    to: 'fresh',
    cause: 'proven',
    interface: 'lan1',
    mac: '02:00:0a:01:01:05',
  };
  const drop = { event: 'drop', ip: '10.1.1.5', reason: 'contested', interface: 'lan0', mac: null };
  daemon.publish(drop);
  daemon.publish(transition);
  await until('it is shown', () => text !== '' && json.split('\n').length === 3);
  assert.match(
    text,
    /^\d\d:\d\d:01\.500250 10\.1\.1\.5 {7} proving -> fresh on lan1 02:00:0a:01:01:05 \(proven\)\n$/,
  );
  assert.deepEqual(
    json
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [drop, transition],
  );
  stop.abort();
  assert.deepEqual(await Promise.all(watching), [0, 0]);
});

test('monitor ends with 3 when marpd stops', async (t) => {
  const { server, socket } = await startWith(t);
  const watching = ctl('monitor', '--socket', socket);
  await until('it watches', () => server.subscribers === 1);
  await server.stop();
  assert.equal((await watching).status, 3);
});

test('monitor | head is no error', async (t) => {
  const { daemon, server, socket } = await startWith(t);
  const child = spawn(
    'sh',
    [
      '-c',
      `"$0" --import tsx ${CTL} monitor --json --socket ${socket} | head -n 2; echo "done"`,
      process.execPath,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => child.kill());
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  let ended = false;
  child.on('close', () => {
    ended = true;
  });
  await until('it watches', () => server.subscribers === 1, 20_000);
  await until(
    'head has seen enough',
    () => {
      daemon.publish({ event: 'transition', ip: '10.1.1.5' });
      return ended;
    },
    20_000,
  );
  assert.equal(out, '{"event":"transition","ip":"10.1.1.5"}\n{"event":"transition","ip":"10.1.1.5"}\ndone\n');
  assert.equal(err, '');
});

test('the program itself: exit code, a link in the path, output larger than a pipe', async (t) => {
  const { daemon, socket } = await startWith(t);
  const link = join(temporaryDirectory(t), 'marpctl.ts');
  symlinkSync(CTL, link);
  const version = spawnSync(process.execPath, ['--import', 'tsx', link, '--version'], { encoding: 'utf8' });
  assert.match(version.stdout, /^marpctl /);
  assert.equal(spawnSync(process.execPath, ['--import', 'tsx', link, 'nonsense']).status, 2);
  daemon.addHosts(5000);
  const child = spawn(process.execPath, ['--import', 'tsx', CTL, 'hosts', '--json', '--socket', socket]);
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(status, 0);
  assert.equal(JSON.parse(out).hosts.length, 5002);
});

test('doctor works while the daemon is down, says so, and its status tells whether something is in error', async (t) => {
  const socket = join(temporaryDirectory(t), 'absent.sock');
  const reference = new URL('../../../config/marpd.toml', import.meta.url).pathname;
  const text = await ctl('doctor', '--socket', socket, '--config', reference);
  assert.match(text.out, /^WARN +daemon +marpd is not running/m);
  assert.match(text.out, /^ok +iproute2 +iproute2 \d/m);
  assert.match(text.out, /^WARN +interface +lan0 does not exist/m);
  const json = JSON.parse((await ctl('doctor', '--json', '--socket', socket, '--config', reference)).out);
  assert.equal(text.status, json.ok ? 0 : 1);
  const broken = await ctl('doctor', '--socket', socket, '--config', '/nonexistent.toml');
  assert.equal(broken.status, 1);
  assert.match(broken.out, /^ERROR +config +cannot read \/nonexistent\.toml/m);
});
