import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ControlClient, Refused, Unreachable } from '../../src/control/client.js';
import { compareIps, pageOf } from '../../src/control/paging.js';
import { installedRecord, recordOf } from '../../src/control/records.js';
import { type EventRecord, MAX_ADDRESSES, hostView, statusView } from '../../src/control/schemas.js';
import { ControlServer } from '../../src/control/server.js';
import type { Action } from '../../src/mobility/events.js';
import { type Ip, parseIp, parseMac } from '../../src/wire/addresses.js';
import { FakeDaemon, ask, host, lan0, start, status, temporaryDirectory, until } from './control-fixture.js';

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

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('DESIGN 4: every view answers, and the client reads what the server wrote', async (t) => {
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
  const answer = await ask(socket, 'GET', '/v1/status');
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.ok(answer.text.endsWith('\n'), 'curl shows a prompt on its own line');
  statusView.parse(JSON.parse(answer.text));
  hostView.parse(host('10.1.1.5', { contest: { count: 1, frozenForMs: null, mac: null, interface: 'lan0', otherMac: null, otherInterface: 'remote' } }));
});

test('DESIGN 4: commands arrive as typed values', async (t) => {
  const { daemon, socket } = await start(t);
  const mac = '02:00:0a:01:01:05';
  for (const [path, body] of [
    ['/v1/probe', { ip: '10.1.1.5' }],
    ['/v1/clear', { ip: '10.1.1.5' }],
    ['/v1/prepare', { mac, ip: ['10.1.1.5', '10.1.1.6', '10.1.1.5'], interface: 'tap0' }],
    ['/v1/attach', { ip: '10.1.1.5', interface: 'tap0' }],
    ['/v1/detach', { mac, interface: 'tap0' }],
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
  ]);
});

test('a command that the daemon refuses is 409 with its reason, and a negative answer for the client', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.verdict = { ok: false, message: 'lan9 is no mobility interface' };
  const answer = await ask(socket, 'POST', '/v1/attach', '{"ip":"10.1.1.5","interface":"lan9"}');
  assert.equal(answer.status, 409);
  assert.deepEqual(errorOf(answer), { code: 'refused', message: 'lan9 is no mobility interface' });
  assert.deepEqual(await new ControlClient(socket).command('attach', { ip: '10.1.1.5', interface: 'lan9' }), daemon.verdict);
});

test('issue 5, hostile API input: refused with a reason, nothing changed', async (t) => {
  const { daemon, socket } = await start(t);
  const mac = '02:00:0a:01:01:05';
  for (const [path, body, status, reason] of [
    ['/v1/attach', 'hello', 400, /no JSON/],
    ['/v1/attach', '', 400, /no JSON/],
    ['/v1/attach', '[]', 400, /must be a JSON object/],
    ['/v1/attach', 'null', 400, /must be a JSON object/],
    ['/v1/attach', '{}', 400, /^interface: undefined/],
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
    ['/v1/attach', `{"interface":"x234567890123456","mac":"${mac}"}`, 400, /^interface: .*not an interface name/],
    ['/v1/attach', `{"interface":"tap0","mac":"${mac}","force":true}`, 400, /^"force": unknown field; attach takes mac, ip, interface/],
    ['/v1/attach', `{"interface":"tap0","ip":${JSON.stringify(Array.from({ length: MAX_ADDRESSES + 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`))}}`, 400, /at most 256/],
    ['/v1/prepare', '{"interface":"tap0","ip":"10.1.1.5"}', 400, /^mac: prepare needs/],
    ['/v1/prepare', `{"interface":"tap0","mac":"${mac}"}`, 400, /^ip: prepare needs/],
    ['/v1/probe', '{}', 400, /^ip: undefined/],
    ['/v1/probe', '{"ip":"10.1.1.5","interface":"lan0"}', 400, /unknown field; probe takes ip/],
    ['/v1/attach', `{"interface":"${'x'.repeat(70_000)}"}`, 413, /larger than 65536/],
  ] as const) {
    const answer = await ask(socket, 'POST', path, body);
    assert.equal(answer.status, status, `${path} ${body.slice(0, 80)}: ${answer.text}`);
    assert.match(errorOf(answer).message, reason);
  }
  assert.deepEqual(daemon.commands, []);
});

test('unknown paths, methods and parameters are told what there is', async (t) => {
  const { socket, warnings } = await start(t);
  for (const [method, path, status, reason] of [
    ['GET', '/', 404, /GET \/v1\/\{status,hosts/],
    ['GET', '/v2/status', 404, /there is no \/v2\/status/],
    ['GET', '/v1/nonsense', 404, /there is no/],
    ['GET', '/v1/status/x', 404, /there is no/],
    ['GET', '/v1/hosts/10.1.1.5/x', 404, /there is no/],
    ['GET', '/v1/why', 400, /^ip: undefined/],
    ['GET', '/v1/hosts/10.1.1.5', 404, /10\.1\.1\.5 is not known; see \/v1\/why\/10\.1\.1\.5/],
    ['GET', '/v1/hosts/banana', 400, /not an IP address/],
    ['GET', '/v1/hosts/%', 400, /percent-encoded/],
    ['GET', '/v1/hosts?stat=fresh', 400, /unknown query parameter "stat"; there are state,/],
    ['GET', '/v1/hosts?state=alive', 400, /state: "alive" is not one of unknown, proving/],
    ['GET', '/v1/hosts?mac=x', 400, /mac: "x"/],
    ['GET', '/v1/hosts?prefix=10.0.0.0/99', 400, /prefix: /],
    ['GET', '/v1/hosts?limit=0', 400, /limit: "0"/],
    ['GET', '/v1/hosts?limit=-1', 400, /limit: /],
    ['GET', '/v1/hosts?limit=1e9', 400, /limit: /],
    ['GET', '/v1/hosts?limit=1&limit=2', 400, /given twice/],
    ['GET', '/v1/hosts?after=zzz', 400, /after: /],
    ['GET', '/v1/status?x=1', 400, /takes no query parameter "x"/],
    ['GET', '/v1/events?kinds=transition,gossip', 400, /"gossip" is not one of transition/],
    ['POST', '/v1/status', 405, /takes GET, not POST/],
    ['DELETE', '/v1/hosts/10.1.1.5', 405, /takes GET, not DELETE/],
    ['GET', '/v1/attach', 405, /takes POST, not GET/],
    ['POST', '/metrics', 405, /takes GET/],
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

test('issue 2, garbage on the control socket: an answer or a hang-up, and the daemon keeps serving', async (t) => {
  const { socket } = await start(t);
  assert.match(await shout(socket, 'status\n\n'), /^HTTP\/1\.1 400 .*this is no HTTP request/s);
  assert.match(await shout(socket, Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 167) & 255))), /^HTTP\/1\.1 400/);
  assert.match(await shout(socket, `GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`), /^HTTP\/1\.1 431/);
  const silent = createConnection(socket);
  silent.write('GET /v1/sta');
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  silent.destroy();
});

test('issue 5: a body of 10 MB is refused and its sender gets to read why', async (t) => {
  const { socket, daemon } = await start(t);
  const answer = await ask(socket, 'POST', '/v1/attach', 'x'.repeat(10 << 20));
  assert.equal(answer.status, 413);
  assert.equal(errorOf(answer).code, 'body-too-large');
  const unsized = await shout(socket, `POST /v1/attach HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${`2000\r\n${'x'.repeat(0x2000)}\r\n`.repeat(20)}0\r\n\r\n`);
  assert.match(unsized, /^HTTP\/1\.1 413/);
  assert.deepEqual(daemon.commands, []);
});

test('many connections at once are all served', async (t) => {
  const { socket } = await start(t);
  const answers = await Promise.all(Array.from({ length: 300 }, () => ask(socket, 'GET', '/v1/status')));
  assert.ok(answers.every((answer) => answer.status === 200));
});

test('/v1/hosts filters and pages, and the pages meet', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.addHosts(25);
  daemon.table.set(ip('10.9.0.1'), host('10.9.0.1', { state: 'home', interface: 'lan0', mac: '02:00:00:00:00:99' }));
  const client = new ControlClient(socket);
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await client.hosts({ limit: 10, after });
    assert.equal(page.total, 26);
    seen.push(...page.hosts.map((view) => view.ip));
    after = page.next ?? undefined;
  } while (after !== undefined);
  assert.deepEqual(seen, [...daemon.table.values()].map((view) => view.ip));
  for (const filter of [{ state: 'home' }, { interface: 'lan0' }, { mac: '02:00:00:00:00:99' }, { prefix: '10.9.0.0/16' }]) {
    assert.deepEqual((await client.hosts(filter)).hosts.map((view) => view.ip), ['10.9.0.1']);
  }
  await assert.rejects(client.hosts({ state: 'nope' }), (error) => error instanceof Refused && error.status === 400);
});

test('issue 4: a table of 20,000 hosts is streamed and other requests are served meanwhile', async (t) => {
  const { daemon, socket } = await start(t);
  daemon.addHosts(20_000);
  const all = ask(socket, 'GET', '/v1/hosts');
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  const page = JSON.parse((await all).text);
  assert.equal(page.total, 20_000);
  assert.equal(new Set(page.hosts.map((view: { ip: string }) => view.ip)).size, 20_000);
  assert.equal(page.next, null);
});

test('pageOf: lowest addresses first, IPv4 before IPv6, nothing twice, nothing missed', () => {
  const texts = ['2001:db8::2', '10.0.0.3', '255.0.0.1', '2001:db8::1', '10.0.0.20'];
  const table = new Map(texts.map((text) => [ip(text), text]));
  const order = ['10.0.0.3', '10.0.0.20', '255.0.0.1', '2001:db8::1', '2001:db8::2'];
  assert.deepEqual([...table.keys()].sort(compareIps).map((key) => table.get(key)), order);
  for (let limit = 1; limit <= 6; limit++) {
    const seen: string[] = [];
    let after: Ip | undefined;
    do {
      const page = pageOf(table, () => true, { limit, after });
      assert.equal(page.total, 5);
      seen.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(seen, order);
  }
});

test('/v1/events streams records by kind and address, and only subscribes while somebody listens', async (t) => {
  const { daemon, server, socket } = await start(t);
  const all: EventRecord[] = [];
  const some: EventRecord[] = [];
  const stop = new AbortController();
  const client = new ControlClient(socket);
  const streams = [
    client.events((record) => all.push(record), { signal: stop.signal }),
    client.events((record) => some.push(record), { signal: stop.signal, kinds: ['transition', 'answered'], ip: ip('10.1.1.5') }),
  ];
  await until('both are subscribed', () => server.readers === 2);
  assert.equal(daemon.listeners.size, 1, 'one subscription serves all readers');
  daemon.publish({ event: 'transition', ip: '10.1.1.5' });
  daemon.publish({ event: 'transition', ip: '10.1.1.6' });
  daemon.publish({ event: 'drop', ip: '10.1.1.5' });
  daemon.publish({ event: 'answered', ip: '10.1.1.7', target: '10.1.1.5' });
  await until('all records arrived', () => all.length === 4 && some.length === 2);
  assert.deepEqual(some, [{ event: 'transition', ip: '10.1.1.5' }, { event: 'answered', ip: '10.1.1.7', target: '10.1.1.5' }]);
  stop.abort();
  await Promise.all(streams);
  await until('the last reader is gone', () => daemon.listeners.size === 0);
});

test('a reader that does not read loses records, is told how many, and never holds up the daemon', async (t) => {
  const { daemon, server, socket } = await start(t);
  const lazy = createConnection(socket);
  t.after(() => lazy.destroy());
  lazy.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
  lazy.pause();
  await until('it is subscribed', () => server.readers === 1);
  const sent = 60_000;
  for (let i = 0; i < sent; i++) {
    daemon.publish({ event: 'transition', ip: '10.1.1.5', number: i });
    if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let text = '';
  lazy.on('data', (chunk) => {
    text += chunk.toString();
  });
  lazy.resume();
  const linesOf = () => text.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line));
  const accounted = () => linesOf().reduce((sum, record) => sum + (record.lost ?? 1), 0);
  await until('every record is delivered or reported lost', () => text.includes('"lost"') && accounted() === sent);
  const records = linesOf();
  const gap = records.findIndex((record) => record.event === 'lost');
  assert.ok(gap > 0);
  // The gap stands exactly where the records are missing.
  for (let i = 0; i < gap; i++) assert.equal(records[i].number, i);
  daemon.publish({ event: 'transition', ip: '10.1.1.5', number: sent });
  await until('the stream goes on', () => linesOf().at(-1)?.number === sent);
});

test('event streams are limited, and end with the daemon', async (t) => {
  const { server, socket } = await start(t);
  const client = new ControlClient(socket);
  const streams = Array.from({ length: 64 }, () => client.events(() => {}));
  await until('64 readers', () => server.readers === 64);
  await assert.rejects(client.events(() => {}), (error) => error instanceof Refused && error.code === 'too-many-readers');
  await server.stop();
  await Promise.allSettled(streams);
  await assert.rejects(client.status(), Unreachable);
});

test('the socket of a dead daemon is replaced, that of a living one is not', async (t) => {
  const { socket, server } = await start(t);
  const options = { socket: { path: socket, mode: 0o600, group: undefined }, tcp: undefined, prometheus: undefined, warn: () => {} };
  await assert.rejects(ControlServer.start(new FakeDaemon(), options), /already running/);
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  await server.stop();
  assert.equal(existsSync(socket), false, 'stop removes the socket');
});

test('a socket file left by kill -9 does not keep the next daemon from starting', async (t) => {
  const path = join(temporaryDirectory(t), 'marpd.sock');
  assert.throws(() => execFileSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`]));
  assert.ok(statSync(path).isSocket());
  const server = await ControlServer.start(new FakeDaemon(), {
    socket: { path, mode: 0o640, group: undefined }, tcp: undefined, prometheus: undefined, warn: () => {},
  });
  t.after(() => server.stop());
  assert.equal(statSync(path).mode & 0o777, 0o640);
  assert.equal((await ask(path, 'GET', '/v1/status')).status, 200);
});

test('what is no socket is never removed, and an unknown group is named', async (t) => {
  const path = join(temporaryDirectory(t), 'marpd.sock');
  writeFileSync(path, 'precious');
  const options = (group?: string) => ({ socket: { path, mode: 0o660, group }, tcp: undefined, prometheus: undefined, warn: () => {} });
  await assert.rejects(ControlServer.start(new FakeDaemon(), options()), /exists and is no socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  await assert.rejects(ControlServer.start(new FakeDaemon(), options('no-such-group')), /control\.group: there is no group "no-such-group"/);
});

test('DESIGN 4: the socket has mode 0660 and the group of the configuration', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'marpd.sock');
  const [name, , id] = readFileSync('/etc/group', 'utf8').split('\n').find((line) => line.startsWith('daemon:'))?.split(':') ?? ['root', '', '0'];
  const group = process.getuid?.() === 0 ? name : undefined;
  const server = await ControlServer.start(new FakeDaemon(), {
    socket: { path, mode: 0o660, group }, tcp: undefined, prometheus: undefined, warn: () => {},
  });
  t.after(() => server.stop());
  assert.equal(statSync(path).mode & 0o777, 0o660);
  if (group !== undefined) assert.equal(statSync(path).gid, Number(id));
});

test('the client says what is wrong when no daemon answers', async (t) => {
  const directory = temporaryDirectory(t);
  const client = (name: string) => new ControlClient(join(directory, name), 300);
  await assert.rejects(client('absent').status(), (error) => error instanceof Unreachable && /marpd is not running: there is no/.test(error.message));
  const mute = createServer(() => {});
  t.after(() => mute.close());
  await new Promise<void>((resolve) => mute.listen(join(directory, 'mute'), resolve));
  await assert.rejects(client('mute').status(), (error) => error instanceof Unreachable && /no answer within 300 ms/.test(error.message));
});

test('prometheus.listen serves /metrics and nothing else; a port in use is named', async (t) => {
  const port = await freePort();
  const { daemon } = await start(t, { prometheus: { host: '127.0.0.1', port } });
  const answer = await ask({ port, host: '127.0.0.1' }, 'GET', '/metrics');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal((await ask({ port, host: '127.0.0.1' }, 'GET', '/v1/status')).status, 404);
  assert.equal((await ask({ port, host: '127.0.0.1' }, 'POST', '/v1/clear', '{"ip":"10.1.1.5"}')).status, 404);
  assert.deepEqual(daemon.commands, []);
  await assert.rejects(start(t, { prometheus: { host: '127.0.0.1', port } }), new RegExp(`prometheus\\.listen 127\\.0\\.0\\.1:${port}: the address is already in use`));
});

test('issue 5: control.tcp takes only clients with a certificate of its CA', async (t) => {
  const certificates = makeCertificates(t);
  const port = await freePort();
  const listen = { host: '127.0.0.1', port };
  const { warnings } = await start(t, { tcp: { listen, ca: certificates('ca.pem'), cert: certificates('server.pem'), key: certificates('server.key') } });
  const get = (options: object) =>
    new Promise<number>((resolve, reject) => {
      const target = { host: '127.0.0.1', port, path: '/v1/status', agent: false, ca: readFileSync(certificates('ca.pem')), servername: 'router', ...options };
      httpsRequest(target, (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject).end();
    });
  const pair = (name: string) => ({ cert: readFileSync(certificates(`${name}.pem`)), key: readFileSync(certificates(`${name}.key`)) });
  assert.equal(await get(pair('client')), 200);
  await assert.rejects(get({}));
  await assert.rejects(get(pair('stranger')));
  await assert.rejects(ask(listen, 'GET', '/v1/status'));
  await until('the refusal is logged', () => warnings.some((warning) => /control\.tcp: refused 127\.0\.0\.1/.test(warning)));
  await assert.rejects(start(t, { tcp: { listen: { host: '127.0.0.1', port: await freePort() }, ca: '/nonexistent', cert: '/x', key: '/y' } }), /control\.tcp\.ca: /);
  await assert.rejects(start(t, { tcp: { listen: { host: '127.0.0.1', port: await freePort() }, ca: certificates('ca.pem'), cert: certificates('server.key'), key: certificates('server.pem') } }), /certificate or key cannot be used/);
});

function makeCertificates(t: TestContext): (name: string) => string {
  const directory = temporaryDirectory(t);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2');
  openssl('req', '-x509', ...ec, '-keyout', 'stranger.key', '-out', 'stranger.pem', '-subj', '/CN=stranger', '-days', '2');
  for (const [name, subject] of [['server', '/CN=router'], ['client', '/CN=hypervisor']] as const) {
    openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    writeFileSync(join(directory, `${name}.ext`), 'subjectAltName=DNS:router');
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
  }
  return (name) => join(directory, name);
}

test('records of actions: text addresses, wall-clock time with microseconds, null for what is not known', () => {
  const at = 1500.25;
  const origin = Date.parse('2024-05-01T12:00:00.000Z');
  const transition: Action = {
    kind: 'transition', ip: ip('10.1.1.5'), from: 'proving', to: 'fresh', cause: 'proven', iface: 4, interface: 'lan1', mac: parseMac('02:00:0a:01:01:05'), deadline: 2500.25, at,
  };
  assert.deepEqual(recordOf(transition, origin, () => 'lan1'), {
    event: 'transition', time: '2024-05-01T12:00:01.500250Z', ip: '10.1.1.5', from: 'proving', to: 'fresh', cause: 'proven', interface: 'lan1', mac: '02:00:0a:01:01:05', deadlineMs: 1000,
  });
  const drop: Action = { kind: 'drop', reason: 'truncated', ip: undefined, mac: undefined, iface: 9, at };
  assert.deepEqual(recordOf(drop, origin, () => undefined), {
    event: 'drop', time: '2024-05-01T12:00:01.500250Z', ip: null, reason: 'truncated', interface: null, mac: null,
  });
  assert.equal(recordOf({ kind: 'release', ip: ip('10.1.1.5') }, origin, () => undefined), undefined);
  assert.equal(installedRecord(ip('10.1.1.5'), 'fresh', 'lan1', 0.5, origin, at).latencyMs, 0.5);
});
