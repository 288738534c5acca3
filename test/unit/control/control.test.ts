import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { ControlClient } from '../../../src/control/client.js';
import { installedRecord, recordOf } from '../../../src/control/records.js';
import { MAX_ADDRESSES } from '../../../src/control/routes.js';
import { hostView, mappingView, statusView } from '../../../src/control/schemas.js';
import { viewMapping } from '../../../src/control/views.js';
import type { Action } from '../../../src/mobility/events.js';
import { type Ip, formatIp, parseIp, parseMac } from '../../../src/wire/addresses.js';
import { familyOff } from '../../../src/wire/host-address.js';
import { ask, host, lan0, start, status } from './fixture.js';
import { mapped } from './mapped.js';

const ip = (text: string) => parseIp(text) as Ip;

function errorOf(answer: { text: string }): { code: string; message: string } {
  return JSON.parse(answer.text).error;
}

/** Bytes as they are to the socket; resolves with everything that came back when the server hangs up. */
function shout(socket: string, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const connection = createConnection(socket, () => connection.write(bytes));
    connection.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    connection.on('error', reject);
    connection.on('close', () => resolve(text));
  });
}

test('design.md 4: every view answers, and the client reads what the server wrote', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.table.set(ip('10.1.1.5'), host('10.1.1.5'));
  const client = new ControlClient(socket);
  assert.deepEqual(await client.status(), status);
  assert.deepEqual(await client.hosts(), { total: 1, hosts: [host('10.1.1.5')], next: null });
  assert.deepEqual(await client.host(ip('10.1.1.5')), host('10.1.1.5'));
  assert.equal(await client.host(ip('10.1.1.6')), undefined);
  assert.deepEqual(await client.interfaces(), [lan0]);
  assert.equal((await client.why(ip('10.1.1.9'))).conclusion, 'not learned: MAC is not the bound one');
  assert.equal((await client.drops())[0]?.reason, 'not-allowed');
  assert.match(await client.metrics(), /^marpd_up 1$/m);
  await assert.rejects(client.mapping(), { status: 404, code: 'no-mapping' });
  daemon.mapped = mapped;
  assert.deepEqual(await client.mapping(), mapped);
  const answer = await ask(socket, 'GET', '/v1/status');
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.ok(answer.text.endsWith('\n'), 'curl shows a prompt on its own line');
  statusView.parse(JSON.parse(answer.text));
  hostView.parse(
    host('10.1.1.5', {
      contest: {
        count: 1,
        frozenForMs: null,
        mac: null,
        interface: 'lan0',
        otherMac: null,
        otherInterface: 'remote',
      },
    }),
  );
});

test('what a terminal would take for a command in the name of an interface reaches no terminal', async (t) => {
  const { daemon, socket } = await start(t);
  const ip = parseIp('10.9.9.9') as Ip;
  daemon.table.set(ip, host('10.9.9.9', { interface: 'tap\x1b[2J\x9b' }));
  const client = new ControlClient(socket);
  assert.equal((await client.host(ip))?.interface, 'tap\\x1b[2J\\x9b');
  assert.equal((await client.hosts()).hosts[0]?.interface, 'tap\\x1b[2J\\x9b');
});

test('design.md 4: commands arrive as typed values', async (t) => {
  const { daemon, socket } = await start(t);
  const mac = '02:00:0a:01:01:05';
  for (const [path, body] of [
    ['/v1/probe', { ip: '10.1.1.5' }],
    ['/v1/clear', { ip: '10.1.1.5' }],
    ['/v1/prepare', { mac, ip: ['10.1.1.5', '10.1.1.6', '10.1.1.5'], interface: 'tap0' }],
    ['/v1/attach', { ip: '10.1.1.5', interface: 'tap0' }],
    ['/v1/detach', { mac, interface: 'tap0' }],
    ['/v1/discover', { prefix: '10.1.1.0/24' }],
    ['/v1/role', { interface: 'lan0', state: 'active' }],
  ] as const) {
    const answer = await ask(socket, 'POST', path, JSON.stringify(body));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(JSON.parse(answer.text), { ok: true, message: 'done' });
  }
  assert.deepEqual(daemon.commands, [
    { name: 'probe', ip: ip('10.1.1.5') },
    { name: 'clear', ip: ip('10.1.1.5') },
    { name: 'prepare', mac: parseMac(mac), ips: [ip('10.1.1.5'), ip('10.1.1.6')], interface: 'tap0' },
    { name: 'attach', mac: undefined, ips: [ip('10.1.1.5')], interface: 'tap0' },
    { name: 'detach', mac: parseMac(mac), ips: [], interface: 'tap0' },
    { name: 'discover', prefix: { ip: ip('10.1.1.0'), length: 24 } },
    { name: 'role', interface: 'lan0', state: 'active' },
  ]);
});

test('a command that the daemon refuses is 409 with its reason, and a negative answer for the client', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.verdict = { ok: false, message: 'lan9 is no mobility interface' };
  const answer = await ask(socket, 'POST', '/v1/attach', '{"ip":"10.1.1.5","interface":"lan9"}');
  assert.equal(answer.status, 409);
  assert.deepEqual(errorOf(answer), { code: 'refused', message: 'lan9 is no mobility interface' });
  assert.deepEqual(
    await new ControlClient(socket).command('attach', { ip: '10.1.1.5', interface: 'lan9' }),
    daemon.verdict,
  );
});

test('hostile API input: refused with a reason, nothing changed', async (t) => {
  const { daemon, socket } = await start(t);
  const mac = '02:00:0a:01:01:05';
  for (const [path, body, status, reason] of [
    [
      '/v1/role',
      '{"interface":"lan0","state":"master"}',
      400,
      /^state: "master" is not one of active, standby/,
    ],
    ['/v1/attach', 'hello', 400, /not JSON/],
    ['/v1/attach', '', 400, /not JSON/],
    ['/v1/attach', '[]', 400, /must be a JSON object/],
    ['/v1/attach', 'null', 400, /must be a JSON object/],
    ['/v1/attach', '{}', 400, /^interface: is missing/],
    ['/v1/attach', '{"interface":"tap0"}', 400, /^mac, ip: attach needs at least one/],
    ['/v1/attach', '{"interface":"tap0","ip":"10.1.1"}', 400, /^ip: "10\.1\.1" is not an IP address/],
    ['/v1/attach', '{"interface":"tap0","ip":7}', 400, /^ip: 7 is not an IP address/],
    ['/v1/attach', '{"interface":"tap0","ip":"224.0.0.1"}', 400, /no host can have/],
    ['/v1/attach', '{"interface":"tap0","ip":"0.0.0.0"}', 400, /no host can have/],
    ['/v1/attach', '{"interface":"tap0","ip":"255.255.255.255"}', 400, /no host can have/],
    ['/v1/attach', '{"interface":"tap0","mac":"01:00:5e:00:00:01"}', 400, /^mac: .*group address/],
    ['/v1/attach', '{"interface":"tap0","mac":"ff:ff:ff:ff:ff:ff"}', 400, /^mac: .*group address/],
    ['/v1/attach', '{"interface":"tap0","mac":"nonsense"}', 400, /^mac: "nonsense" is not a MAC/],
    ['/v1/attach', `{"interface":"tap0; reboot","mac":"${mac}"}`, 400, /^interface: .*not an interface name/],
    ['/v1/attach', `{"interface":"../../etc","mac":"${mac}"}`, 400, /^interface: .*not an interface name/],
    [
      '/v1/attach',
      `{"interface":"x234567890123456","mac":"${mac}"}`,
      400,
      /^interface: .*not an interface name/,
    ],
    ['/v1/attach', `{"iface":"tap0","mac":"${mac}"}`, 400, /^unknown field "iface" \(allowed: /],
    [
      '/v1/attach',
      `{"interface":"tap0","mac":"${mac}","force":true}`,
      400,
      /^unknown field "force" \(allowed: mac, ip, interface\)/,
    ],
    [
      '/v1/attach',
      `{"interface":"tap0","ip":${JSON.stringify(Array.from({ length: MAX_ADDRESSES + 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`))}}`,
      400,
      /at most 256/,
    ],
    ['/v1/attach', `{"__proto__":{"mac":"${mac}"},"interface":"tap0"}`, 400, /unknown field "__proto__"/],
    ['/v1/prepare', '{"interface":"tap0","ip":"10.1.1.5"}', 400, /^mac: prepare needs/],
    ['/v1/prepare', `{"interface":"tap0","mac":"${mac}"}`, 400, /^ip: prepare needs/],
    ['/v1/probe', '{}', 400, /^ip: is missing/],
    ['/v1/probe', '{"ip":"10.1.1.5","interface":"lan0"}', 400, /unknown field "interface" \(allowed: ip\)/],
    ['/v1/attach', `{"interface":"${'x'.repeat(70_000)}"}`, 413, /larger than 65536/],
  ] as const) {
    const answer = await ask(socket, 'POST', path, body);
    assert.equal(answer.status, status, `${path} ${body.slice(0, 80)}: ${answer.text}`);
    assert.match(errorOf(answer).message, reason);
  }
  assert.deepEqual(daemon.commands, []);
});

test('IPv6 addresses are refused with one sentence wherever a host or a prefix is named, while IPv6 is off', async (t) => {
  const { daemon, socket } = await start(t);
  for (const [method, path, body] of [
    ['GET', '/v1/hosts/2001:db8::5'],
    ['GET', '/v1/why/2001:db8::5'],
    ['GET', '/v1/hosts?prefix=2001:db8::/64'],
    ['GET', '/v1/events?ip=2001:db8::5'],
    ['POST', '/v1/probe', { ip: '2001:db8::5' }],
    ['POST', '/v1/clear', { ip: '2001:db8::5' }],
    ['POST', '/v1/prepare', { mac: '02:00:0a:01:01:05', ip: ['10.1.1.5', '2001:db8::5'], interface: 'tap0' }],
    ['POST', '/v1/attach', { ip: '2001:db8::5', interface: 'tap0' }],
    ['POST', '/v1/detach', { ip: ['2001:db8::5'], interface: 'tap0' }],
  ] as const) {
    const answer = await ask(socket, method, path, body === undefined ? undefined : JSON.stringify(body));
    assert.equal(answer.status, 400, path);
    const { message } = errorOf(answer);
    assert.match(message, /^(?:ip|prefix): [0-9a-f:/]+: /);
    assert.ok(message.endsWith(familyOff('ipv6')), message);
  }
  assert.deepEqual(daemon.commands, []);
});

test('with IPv6 on, hosts of both families are named alike; discovery is for IPv4', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.served = ['ipv4', 'ipv6'];
  const post = (path: string, body: object) => ask(socket, 'POST', path, JSON.stringify(body));
  const ip = ['10.1.1.5', '2001:db8:1::5', '2001:DB8:1:0::5'];
  assert.equal((await post('/v1/attach', { ip, interface: 'tap0' })).status, 200);
  const [attach] = daemon.commands;
  assert.deepEqual(attach?.name === 'attach' && attach.ips.map(formatIp), ['10.1.1.5', '2001:db8:1::5']);
  const discovery = await post('/v1/discover', { prefix: '2001:db8:1::/64' });
  assert.equal(discovery.status, 400);
  assert.match(errorOf(discovery).message, /^prefix: 2001:db8:1::\/64 has too many addresses/);
  for (const bad of ['fe80::5', 'ff02::1', '::', '::1', '::ffff:10.1.1.5'])
    assert.match(
      errorOf(await post('/v1/probe', { ip: bad })).message,
      /which no (?:mobile )?host can have$/,
    );
  daemon.served = ['ipv6'];
  const off = errorOf(await ask(socket, 'GET', '/v1/hosts?prefix=10.1.1.0/24')).message;
  assert.equal(off, `prefix: 10.1.1.0/24: ${familyOff('ipv4')}`);
});

test('unknown paths, methods and parameters are told what there is', async (t) => {
  const { socket, warnings } = await start(t);
  for (const [method, path, status, reason] of [
    ['GET', '/', 404, /available: GET \/metrics, GET \/v1\/status, GET \/v1\/hosts,/],
    ['GET', '/v2/status', 404, /no such path: \/v2\/status/],
    ['GET', '/v1/nonsense', 404, /no such path/],
    ['GET', '/v1/status/x', 404, /no such path/],
    ['GET', '/v1/hosts/10.1.1.5/x', 404, /no such path/],
    ['GET', '/v1/why', 400, /^ip: is missing/],
    ['GET', '/v1/hosts/10.1.1.5', 404, /no such host: 10\.1\.1\.5 \(see \/v1\/why\/10\.1\.1\.5\)/],
    ['GET', '/v1/hosts/banana', 400, /not an IP address/],
    ['GET', '/v1/hosts/%', 400, /percent-encoded/],
    ['GET', '/v1/hosts?stat=fresh', 400, /unknown query parameter "stat" \(allowed: state,/],
    ['GET', '/v1/hosts?state=alive', 400, /state: "alive" is not one of unknown, proving/],
    ['GET', '/v1/hosts?mac=x', 400, /mac: "x"/],
    ['GET', '/v1/hosts?prefix=10.0.0.0/99', 400, /prefix: /],
    ['GET', '/v1/hosts?limit=0', 400, /limit: "0"/],
    ['GET', '/v1/hosts?limit=-1', 400, /limit: /],
    ['GET', '/v1/hosts?limit=1e9', 400, /limit: /],
    ['GET', '/v1/hosts?limit=1&limit=2', 400, /given twice/],
    ['GET', '/v1/hosts?after=zzz', 400, /after: /],
    ['GET', '/v1/status?x=1', 400, /unknown query parameter "x" \(none is allowed\)/],
    ['GET', '/v1/events?kinds=transition,gossip', 400, /"gossip" is not one of transition/],
    ['GET', '/v1/status?__proto__=x', 400, /unknown query parameter "__proto__"/],
    ['POST', '/v1/status', 405, /accepts GET, not POST/],
    ['DELETE', '/v1/hosts/10.1.1.5', 405, /accepts GET, not DELETE/],
    ['GET', '/v1/attach', 405, /accepts POST, not GET/],
    ['POST', '/metrics', 405, /accepts GET/],
  ] as const) {
    const answer = await ask(socket, method, path);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
    assert.match(errorOf(answer).message, reason);
    if (status === 405) assert.ok(answer.headers.allow);
  }
  assert.deepEqual(warnings, []);
});

test('an error of our own is 500 without its details, which go to the log', async (t) => {
  const { daemon, socket, warnings } = await start(t);
  daemon.broken = true;
  const answer = await ask(socket, 'GET', '/v1/status');
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.text, /invariant/);
  assert.match(warnings.join(), /GET \/v1\/status: Error: an invariant is broken/);
  daemon.broken = false;
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
});

test('garbage on the control socket: an answer or a hang-up, and the daemon keeps serving', async (t) => {
  const { socket } = await start(t);
  assert.match(await shout(socket, 'status\n\n'), /^HTTP\/1\.1 400 .*this is not an HTTP request/s);
  assert.match(
    await shout(socket, Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 167) & 255))),
    /^HTTP\/1\.1 400/,
  );
  assert.match(
    await shout(socket, `GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431/,
  );
  const silent = createConnection(socket);
  silent.write('GET /v1/sta');
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  silent.destroy();
});

test('a body of 10 MB is refused and its sender gets to read why', async (t) => {
  const { socket, daemon } = await start(t);
  const answer = await ask(socket, 'POST', '/v1/attach', 'x'.repeat(10 << 20));
  assert.equal(answer.status, 413);
  assert.equal(errorOf(answer).code, 'body-too-large');
  const unsized = await shout(
    socket,
    `POST /v1/attach HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${`2000\r\n${'x'.repeat(0x2000)}\r\n`.repeat(20)}0\r\n\r\n`,
  );
  assert.match(unsized, /^HTTP\/1\.1 413/);
  assert.deepEqual(daemon.commands, []);
});

test('many connections at once are all served', async (t) => {
  const { socket } = await start(t);
  const answers = await Promise.all(Array.from({ length: 300 }, () => ask(socket, 'GET', '/v1/status')));
  assert.ok(answers.every((answer) => answer.status === 200));
});

test('records of actions: text addresses, wall-clock time with microseconds, null for what is not known', () => {
  const at = 1500.25;
  const origin = Date.parse('2024-05-01T12:00:00.000Z');
  const transition: Action = {
    kind: 'transition',
    ip: ip('10.1.1.5'),
    from: 'proving',
    to: 'fresh',
    cause: 'proven',
    iface: 4,
    interface: 'lan1',
    mac: parseMac('02:00:0a:01:01:05'),
    deadline: 2500.25,
    heardAt: at,
    at,
  };
  assert.deepEqual(
    recordOf(transition, origin, () => 'lan1'),
    {
      event: 'transition',
      time: '2024-05-01T12:00:01.500250Z',
      ip: '10.1.1.5',
      from: 'proving',
      to: 'fresh',
      cause: 'proven',
      machine: 'proof',
      interface: 'lan1',
      mac: '02:00:0a:01:01:05',
      deadlineMs: 1000,
    },
  );
  const drop: Action = { kind: 'drop', reason: 'truncated', ip: undefined, mac: undefined, iface: 9, at };
  assert.deepEqual(
    recordOf(drop, origin, () => undefined),
    {
      event: 'drop',
      time: '2024-05-01T12:00:01.500250Z',
      ip: null,
      reason: 'truncated',
      interface: null,
      mac: null,
    },
  );
  assert.equal(
    recordOf({ kind: 'release', ip: ip('10.1.1.5') }, origin, () => undefined),
    undefined,
  );
  assert.equal(installedRecord(ip('10.1.1.5'), 'fresh', 'lan1', 0.5, origin, at).latencyMs, 0.5);
});

test('JSON that is nested too deeply is a refusal, whole or cut off, and as a field', async (t) => {
  const { socket } = await start(t);
  const levels = 30_000;
  for (const body of [
    '['.repeat(levels) + ']'.repeat(levels),
    '['.repeat(2 * levels),
    '{"a":'.repeat(levels / 4) + '1' + '}'.repeat(levels / 4),
    `{"ip":${'['.repeat(levels)}${']'.repeat(levels)}}`,
  ]) {
    const answer = await ask(socket, 'POST', '/v1/probe', body);
    assert.equal(answer.status, 400, answer.text.slice(0, 200));
    assert.equal(errorOf(answer).code, 'bad-request');
  }
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
});

test('the mapping system as the API shows it: sorted, by name, and empty while it starts', () => {
  const prefix = (text: string, length: number) => ({ ip: ip(text), length });
  const rloc = ip('10.255.0.2');
  const view = viewMapping(
    {
      servers: [{ server: '10.255.0.1', state: 'wrong-key' }],
      registrations: [new Map([['held', 2] as const])],
      cache: [
        { prefix: prefix('10.2.2.0', 24), rloc, state: 'stale', until: 5 },
        { prefix: prefix('10.1.1.5', 32), rloc, state: 'published', until: Number.POSITIVE_INFINITY },
      ],
      drops: new Map([['old-nonce', 4] as const]),
      server: undefined,
    },
    undefined,
  );
  assert.deepEqual(mappingView.parse(view), view);
  assert.deepEqual(view.servers[0]?.registrations, {
    unsent: 0,
    asking: 0,
    held: 2,
    refused: 0,
    lost: 0,
    withdrawing: 0,
  });
  assert.deepEqual(view.mappings, [
    { prefix: '10.1.1.5/32', rloc: '10.255.0.2', state: 'published' },
    { prefix: '10.2.2.0/24', rloc: '10.255.0.2', state: 'stale' },
  ]);
  assert.deepEqual(view.drops, [{ reason: 'old-nonce', count: 4 }]);
  const none = { servers: [], mappings: [], drops: [], mapServer: null, tunnel: null };
  assert.deepEqual(viewMapping(undefined, undefined), none);
});
