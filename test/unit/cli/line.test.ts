import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { commandHelp } from '../../../src/cli/arguments/help.js';
import { run } from '../../../src/ctl.js';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import { freePort, host, makeCertificates, start, until } from '../control/fixture.js';
import { mapped } from '../control/mapped.js';
import { ctl, startWith } from './kit.js';

/** What people and scripts expect of a command line. */

const ip = (text: string) => parseIp(text) as Ip;
const ESCAPE = '\x1b';
const ROOT = new URL('../../../', import.meta.url).pathname;

test('the beginning of a name is enough where it is unique; `show` may stand before it', async (t) => {
  const { ask } = await startWith(t);
  const hosts = await ask('hosts');
  for (const argv of [['ho'], ['show', 'hosts'], ['show', 'ho']]) assert.deepEqual(await ask(...argv), hosts);
  assert.deepEqual(await ask('int'), await ask('interfaces'));
  assert.deepEqual(await ask('stat'), await ask('status'));
  assert.equal((await ask('help', 'mon')).out, commandHelp('monitor'));
});

test('options may stand before the command, after it, and be joined', async (t) => {
  const { socket } = await startWith(t);
  const expected = await ctl('hosts', '--socket', socket, '--json');
  assert.equal(expected.status, 0);
  for (const argv of [
    ['-j', '--socket', socket, 'hosts'],
    [`--socket=${socket}`, 'hosts', '-o', 'json'],
    ['hosts', '-o=json', '--socket', socket],
  ])
    assert.deepEqual(await ctl(...argv), expected);
});

test('-p prints indented JSON, -o ndjson one object per line, -o wide more columns', async (t) => {
  const { ask } = await startWith(t);
  assert.match((await ask('hosts', '-p')).out, /^\{\n {2}"total": 2,\n {2}"hosts": \[\n/);
  const lines = (await ask('drops', '-o', 'ndjson')).out.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).reason),
    ['not-allowed'],
  );
  assert.match(
    (await ask('hosts', '-o', 'wide')).out,
    /CAUSE +STATE ENDS +ASKED AGAIN +NOTE\n.* in 13\.8s +-\n/,
  );
  assert.doesNotMatch((await ask('hosts')).out, /STATE ENDS/);
});

test('times are those of the clock, of UTC or ages', async (t) => {
  const { ask } = await startWith(t);
  assert.match((await ask('why', '10.1.1.5')).out, /^\d\d:\d\d:01\.500250 {2}3x {2}frame on lan0 ignored/m);
  assert.match((await ask('why', '10.1.1.5', '--time', 'utc')).out, /^2024-05-01T12:00:01\.500250Z +3x/m);
  assert.match((await ask('drops', '--time', 'ago')).out, /not-allowed +10ms ago/);
});

test('colours: on a terminal, never with NO_COLOR, as --color says otherwise', async (t) => {
  const { socket } = await startWith(t);
  const shown = async (isTTY: boolean, ...argv: string[]) => {
    let out = '';
    const take = (text: string) => {
      out += text;
    };
    await run(['hosts', '--socket', socket, ...argv], { out: take, err: take, isTTY });
    return out;
  };
  const before = process.env.NO_COLOR;
  t.after(() => {
    if (before === undefined) delete process.env.NO_COLOR;
    else process.env.NO_COLOR = before;
  });
  delete process.env.NO_COLOR;
  process.env.TERM = 'xterm';
  const colored = await shown(true);
  assert.match(colored, new RegExp(`10\\.1\\.1\\.5 +${ESCAPE}\\[32msettled${ESCAPE}\\[0m +lan1`));
  assert.equal(stripVTControlCharacters(colored), await shown(false), 'columns are aligned alike');
  assert.ok(!(await shown(true, '--color', 'never')).includes(ESCAPE));
  assert.ok((await shown(false, '--color', 'always')).includes(ESCAPE));
  process.env.NO_COLOR = '1';
  assert.ok(!(await shown(true)).includes(ESCAPE));
});

test('hosts: filters by their form, several states, an order, no header', async (t) => {
  const { ask, daemon } = await startWith(t);
  daemon.table.set(
    ip('10.1.1.7'),
    host('10.1.1.7', { mac: '02:00:00:00:00:07', sinceMs: 5, state: 'fresh' }),
  );
  const first = async (...argv: string[]) =>
    (await ask('hosts', '--no-header', ...argv)).out.split('\n').flatMap((line) => line.split(' ')[0] || []);
  assert.deepEqual(await first(), ['10.1.1.5', '10.1.1.7', '10.1.1.20']);
  assert.deepEqual(await first('--sort', 'since'), ['10.1.1.7', '10.1.1.5', '10.1.1.20']);
  assert.deepEqual(await first('--state', 'fresh,remembered'), ['10.1.1.7', '10.1.1.20']);
  assert.deepEqual(await first('10.1.1.0/28'), ['10.1.1.5', '10.1.1.7']);
  assert.deepEqual(await first('10.1.1.20'), ['10.1.1.20']);
  assert.deepEqual(await first('02:00:00:00:00:07'), ['10.1.1.7']);
  assert.deepEqual(await first('lan1', '--state', 'settled'), ['10.1.1.5']);
});

test('why of an interface or a MAC has one line per host; --since leaves out what is older', async (t) => {
  const { ask } = await startWith(t);
  const place = await ask('why', 'lan1');
  assert.match(place.out, /^lan1: no mobility interface.*\n\nIP +WHY\n10\.1\.1\.5 +not learned: MAC/);
  assert.match((await ask('why', 'lan0')).out, /^lan0: captured\n\nno hosts there \(marpctl drops/);
  assert.match((await ask('why', '02:00:0a:01:01:05')).out, /\n10\.1\.1\.5 +not learned/);
  assert.match((await ask('why', '10.1.1.5', '--since', '5s')).out, /frame on lan0/);
  assert.doesNotMatch((await ask('why', '10.1.1.5', '--since', '1s')).out, /frame on lan0/);
});

test('drops of an interface, of a MAC, of the last moments', async (t) => {
  const { ask } = await startWith(t);
  assert.match((await ask('drops', 'lan0')).out, /^7 +not-allowed/m);
  for (const argv of [['lan9'], ['02:00:00:00:00:09'], ['--since', '9ms']])
    assert.equal((await ask('drops', ...argv)).out, 'no frames ignored\n', argv.join(' '));
  assert.match((await ask('drops', '192.0.2.1', '--since', '1s')).out, /^7 +not-allowed/m);
});

test('alarms say what they mean and what to do', async (t) => {
  const { ask, daemon } = await startWith(t);
  assert.equal((await ask('alarms')).out, 'no alarms\n');
  daemon.raised.push({
    alarm: 'duplicate',
    time: '2024-05-01T12:00:01.500250Z',
    agoMs: 10,
    count: 2,
    ip: '10.1.1.5',
    mac: 'a',
    interface: 'lan0',
    otherMac: 'b',
    otherInterface: 'lan1',
    message: 'two hosts',
  });
  const { out } = await ask('alarms');
  assert.match(out, /^\d\d:\d\d:01\.500250 +2 +duplicate +10\.1\.1\.5 +a on lan0 +b on lan1 +two hosts$/m);
  assert.match(out, /\nduplicate: two hosts\n {2}What to do: rename one\n$/);
});

test('mappings and servers show the mapping system; without one they say so, with status 1', async (t) => {
  const { ask, daemon } = await startWith(t);
  for (const command of ['mappings', 'servers']) {
    const { status, out, err } = await ask(command);
    assert.deepEqual([status, out], [1, '']);
    assert.equal(
      err,
      'marpctl: there is no mapping system here: the configuration has no [mapping]\n',
      command,
    );
  }
  daemon.mapped = mapped;
  const mappings = await ask('mappings');
  assert.equal(mappings.status, 0);
  assert.match(mappings.out, /^PREFIX +RLOC +STATE\n10\.1\.1\.5\/32 +10\.255\.0\.2 +published\n/);
  assert.deepEqual(JSON.parse((await ask('mappings', '--json')).out), mapped.mappings);
  const servers = await ask('servers');
  assert.match(servers.out, /^SERVER +STATE +REGISTRATIONS\n10\.255\.0\.1 +up +1 asking, 12 held\n/);
  assert.match(servers.out, /^10\.255\.0\.9 +silent +none$/m);
  assert.match(servers.out, /^messages ignored: +3 bad-mac$/m);
  assert.match(servers.out, /^map-server here: +14 mappings, 0 publications/m);
  assert.match(servers.out, /^tunnel: +2 of 2 routes installed, 0 refused, MTU 1464$/m);
  daemon.mapped = { servers: [], mappings: [], drops: [], mapServer: null, tunnel: null };
  assert.equal((await ask('mappings')).out, 'no mappings of other routers\n');
  assert.match((await ask('servers')).out, /^no map-server is asked yet/);
});

test('wait: until a host is in a state, with status 1 when it is not in time', async (t) => {
  const { ask, daemon } = await startWith(t);
  assert.equal((await ask('wait', '10.1.1.5')).status, 0);
  assert.equal((await ask('wait', '10.1.1.99', '--state', 'unknown')).out, '10.1.1.99 is not known\n');
  const late = await ask('wait', '10.1.1.20', '--timeout', '50ms');
  assert.equal(late.status, 1);
  assert.match(
    late.err,
    /10\.1\.1\.20 is remembered, not home or fresh or settled or beneath, after 0\.05 s/,
  );
  const waiting = ask('wait', '10.1.1.20', '--state', 'fresh,settled');
  daemon.table.set(ip('10.1.1.20'), host('10.1.1.20', { state: 'fresh' }));
  assert.match((await waiting).out, /^state: +fresh/m);
});

test('status --wait waits for a daemon that is still starting', async (t) => {
  const first = await start(t);
  await first.server.stop();
  const waiting = ctl('status', '--wait', '--socket', first.socket);
  const { ControlServer } = await import('../../../src/control/server.js');
  const server = await ControlServer.start(first.daemon, {
    socket: { path: first.socket, mode: 0o660, group: undefined },
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  });
  t.after(() => server.stop());
  assert.equal((await waiting).status, 0);
  await server.stop();
  assert.equal((await ctl('status', '--wait=10ms', '--socket', first.socket)).status, 3);
});

test('--watch prints again until Ctrl-C; drops then say what is new', async (t) => {
  const { socket } = await startWith(t);
  const stop = new AbortController();
  let out = '';
  const watching = run(['drops', '--watch=10ms', '--socket', socket], {
    out: (text) => {
      out += text;
    },
    err: (text) => assert.fail(text),
    signal: stop.signal,
    isTTY: true,
  });
  await until('it is printed three times', () => out.split('not-allowed').length > 3);
  stop.abort();
  assert.equal(await watching, 0);
  assert.ok(out.startsWith('\x1b[H\x1b[2J'), 'on a terminal the screen is cleared');
});

test('reload, config and log-level ask the daemon, and say what came of it', async (t) => {
  const { ask, daemon } = await startWith(t);
  daemon.verdict = { ok: true, message: 'configuration reloaded' };
  assert.deepEqual(await ask('reload'), { status: 0, out: 'configuration reloaded\n', err: '' });
  daemon.verdict = { ok: false, message: 'configuration refused: timers.hold: ...' };
  assert.deepEqual(await ask('reload'), {
    status: 1,
    out: '',
    err: 'marpctl: configuration refused: timers.hold: ...\n',
  });
  assert.equal(daemon.reloads, 2);
  assert.equal((await ask('log-level', 'debug')).out, 'log level debug\n');
  assert.equal(daemon.logLevel, 'debug');
  const { out } = await ask('config');
  assert.match(out, /^# from \/etc\/marpd\/marpd\.toml\n# restart required for: kernel\.settings\n/);
  assert.match(out, /\[router\]\nsettle = "2s"/);
  const all = (await ask('config', '--defaults')).out;
  const { parseConfig } = await import('../../../src/config/config.js');
  const { source: _given, ...given } = parseConfig(out);
  const { source: _all, ...withDefaults } = parseConfig(all);
  assert.deepEqual(withDefaults, given, 'the defaults that it prints are the defaults');
  assert.match(all, /flood_frames_per_second = 60000/);
});

test('--host speaks to control.tcp of another router, with certificates', async (t) => {
  const { files, port, daemon } = await startTls(t);
  daemon.table.set(ip('10.1.1.5'), host('10.1.1.5'));
  const remote = ['--host', `https://127.0.0.1:${port}`, '--ca', files('ca.pem')];
  const client = ['--cert', files('client.pem'), '--key', files('client.key')];
  assert.match((await ctl('hosts', ...remote, ...client)).out, /^10\.1\.1\.5 +settled/m);
  const stranger = await ctl(
    'hosts',
    ...remote,
    '--cert',
    files('stranger.pem'),
    '--key',
    files('stranger.key'),
  );
  assert.equal(stranger.status, 3);
  assert.match(stranger.err, /no answer from marpd at https:\/\/127\.0\.0\.1/);
  for (const [argv, status, problem] of [
    [[...remote], 2, /--host needs --cert/],
    [['--host', '127.0.0.1', ...client], 2, /"127\.0\.0\.1" is not an https:\/\/ URL/],
    [[...remote, '--cert', '/nonexistent', '--key', files('client.key')], 3, /--cert \/nonexistent: ENOENT/],
  ] as const) {
    const result = await ctl('hosts', ...argv);
    assert.equal(result.status, status);
    assert.match(result.err, problem);
  }
  const doctor = await ctl('doctor', ...remote, ...client);
  assert.match(doctor.err, /doctor looks at the machine that it runs on/);
});

async function startTls(t: TestContext) {
  const files = makeCertificates(t);
  const port = await freePort();
  const tcp = {
    listen: { host: '127.0.0.1', port },
    ca: files('ca.pem'),
    cert: files('server.pem'),
    key: files('server.key'),
  };
  return { files, port, ...(await start(t, { tcp })) };
}

test('completion: commands, options, values, and addresses and interfaces of the running daemon', async (t) => {
  const { ask, socket } = await startWith(t);
  const completed = async (...words: string[]) =>
    (await ctl('__complete', ...words)).out.split('\n').filter((line) => line !== '');
  assert.deepEqual(await completed('int'), ['interfaces']);
  assert.ok((await completed('')).includes('hosts'));
  assert.ok(!(await completed('')).includes('__complete'));
  assert.deepEqual(await completed('help', 'mo'), ['monitor']);
  assert.deepEqual(await completed('hosts', '--st'), ['--state']);
  assert.deepEqual(await completed('hosts', '--state', 'fresh,se'), ['fresh,settled']);
  assert.deepEqual(await completed('hosts', '--sort', 's'), ['state', 'since']);
  assert.deepEqual(await completed('log-level', 'd'), ['debug']);
  const here = ['--socket', socket];
  assert.deepEqual(await completed(...here, 'why', '10.1.1.'), ['10.1.1.5', '10.1.1.20']);
  assert.deepEqual(await completed(...here, 'why', 'la'), ['lan0']);
  assert.deepEqual(await completed(...here, 'attach', '-i', ''), ['lan0']);
  assert.deepEqual(await completed(...here, 'detach', '--mac', '02'), ['02:00:0a:01:01:05']);
  assert.deepEqual(await completed('--socket', '/nonexistent', 'why', '10.'), [], 'no daemon, no proposal');
  assert.deepEqual(await completed('nonsense', ''), []);
  assert.equal((await ask('hosts')).status, 0);
});

test('the completion script of bash asks marpctl', async (t) => {
  const { socket } = await startWith(t);
  const script = `
    marpctl() { "$NODE" --import tsx src/ctl.ts "$@"; }
    . config/completion/marpctl.bash
    COMP_WORDS=(marpctl --socket ${socket} why 10.1.1.2); COMP_CWORD=4; _marpctl
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const options = { cwd: ROOT, encoding: 'utf8', env: { ...process.env, NODE: process.execPath } } as const;
  const child = await import('node:child_process').then(({ spawn }) =>
    spawn('bash', ['-c', script], options),
  );
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  await new Promise((resolve) => child.on('close', resolve));
  assert.equal(out, '10.1.1.20\n');
});

test('the completion scripts of zsh and fish call the same command', () => {
  for (const name of ['_marpctl', 'marpctl.fish'])
    assert.match(readFileSync(`${ROOT}config/completion/${name}`, 'utf8'), /marpctl __complete/);
  assert.equal(spawnSync('bash', ['-n', `${ROOT}config/completion/marpctl.bash`]).status, 0);
});
