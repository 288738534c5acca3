import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ControlClient, Refused, Unreachable } from '../../../src/control/client.js';
import type { EventRecord } from '../../../src/control/records.js';
import { ControlServer } from '../../../src/control/server.js';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import { FakeDaemon, ask, freePort, makeCertificates, start, temporaryDirectory, until } from './fixture.js';

const ip = (text: string) => parseIp(text) as Ip;

test('/v1/events streams records by kind and address, and only subscribes while somebody listens', async (t) => {
  const { daemon, server, socket } = await start(t);
  const all: EventRecord[] = [];
  const some: EventRecord[] = [];
  const stop = new AbortController();
  const client = new ControlClient(socket);
  const streams = [
    client.events((record) => all.push(record), { signal: stop.signal }),
    client.events((record) => some.push(record), {
      signal: stop.signal,
      kinds: ['transition', 'answered'],
      ip: ip('10.1.1.5'),
    }),
  ];
  await until('both are subscribed', () => server.subscribers === 2);
  assert.equal(daemon.listeners.size, 1, 'one subscription serves all readers');
  daemon.publish({ event: 'transition', ip: '10.1.1.5' });
  daemon.publish({ event: 'transition', ip: '10.1.1.6' });
  daemon.publish({ event: 'drop', ip: '10.1.1.5' });
  daemon.publish({ event: 'answered', ip: '10.1.1.7', target: '10.1.1.5' });
  await until('all records arrived', () => all.length === 4 && some.length === 2);
  assert.deepEqual(some, [
    { event: 'transition', ip: '10.1.1.5' },
    { event: 'answered', ip: '10.1.1.7', target: '10.1.1.5' },
  ]);
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
  await until('it is subscribed', () => server.subscribers === 1);
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
  const linesOf = () =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line));
  const accounted = () => linesOf().reduce((sum, record) => sum + (record.lost ?? 1), 0);
  await until(
    'every record is delivered or reported lost',
    () => text.includes('"lost"') && accounted() === sent,
  );
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
  await until('64 readers', () => server.subscribers === 64);
  await assert.rejects(
    client.events(() => {}),
    (error) => error instanceof Refused && error.code === 'too-many-readers',
  );
  await server.stop();
  await Promise.allSettled(streams);
  await assert.rejects(client.status(), Unreachable);
});

test('the socket of a dead daemon is replaced, that of a living one is not', async (t) => {
  const { socket, server } = await start(t);
  const options = {
    socket: { path: socket, mode: 0o600, group: undefined },
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  };
  await assert.rejects(ControlServer.start(new FakeDaemon(), options), /already running/);
  assert.equal((await ask(socket, 'GET', '/v1/status')).status, 200);
  await server.stop();
  assert.equal(existsSync(socket), false, 'stop removes the socket');
});

test('a socket file left by kill -9 does not keep the next daemon from starting', async (t) => {
  const path = join(temporaryDirectory(t), 'marpd.sock');
  assert.throws(() =>
    execFileSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]),
  );
  assert.ok(statSync(path).isSocket());
  const server = await ControlServer.start(new FakeDaemon(), {
    socket: { path, mode: 0o640, group: undefined },
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  });
  t.after(() => server.stop());
  assert.equal(statSync(path).mode & 0o777, 0o640);
  assert.equal((await ask(path, 'GET', '/v1/status')).status, 200);
});

test('what is no socket is never removed, and an unknown group is named', async (t) => {
  const path = join(temporaryDirectory(t), 'marpd.sock');
  writeFileSync(path, 'precious');
  const options = (group?: string) => ({
    socket: { path, mode: 0o660, group },
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  });
  await assert.rejects(ControlServer.start(new FakeDaemon(), options()), /exists and is not a socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  await assert.rejects(
    ControlServer.start(new FakeDaemon(), options('no-such-group')),
    /control\.group: group "no-such-group" does not exist/,
  );
});

test('design.md 4: the socket has mode 0660 and the group of the configuration', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'marpd.sock');
  const [name, , id] = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('daemon:'))
    ?.split(':') ?? ['root', '', '0'];
  const group = process.getuid?.() === 0 ? name : undefined;
  const server = await ControlServer.start(new FakeDaemon(), {
    socket: { path, mode: 0o660, group },
    tcp: undefined,
    prometheus: undefined,
    warn: () => {},
  });
  t.after(() => server.stop());
  assert.equal(statSync(path).mode & 0o777, 0o660);
  if (group !== undefined) assert.equal(statSync(path).gid, Number(id));
});

test('the client says what is wrong when no daemon answers', async (t) => {
  const directory = temporaryDirectory(t);
  const client = (name: string) => new ControlClient(join(directory, name), 300);
  await assert.rejects(
    client('absent').status(),
    (error) => error instanceof Unreachable && /marpd is not running: .* does not exist/.test(error.message),
  );
  const mute = createServer(() => {});
  t.after(() => mute.close());
  await new Promise<void>((resolve) => mute.listen(join(directory, 'mute'), resolve));
  await assert.rejects(
    client('mute').status(),
    (error) => error instanceof Unreachable && /no answer within 300 ms/.test(error.message),
  );
});

test('prometheus.listen serves /metrics and nothing else; a port in use is named', async (t) => {
  const port = await freePort();
  const { daemon } = await start(t, { prometheus: { host: '127.0.0.1', port } });
  const answer = await ask({ port, host: '127.0.0.1' }, 'GET', '/metrics');
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal((await ask({ port, host: '127.0.0.1' }, 'GET', '/v1/status')).status, 404);
  assert.equal(
    (await ask({ port, host: '127.0.0.1' }, 'POST', '/v1/clear', '{"ip":"10.1.1.5"}')).status,
    404,
  );
  assert.deepEqual(daemon.commands, []);
  await assert.rejects(
    start(t, { prometheus: { host: '127.0.0.1', port } }),
    new RegExp(`prometheus\\.listen 127\\.0\\.0\\.1:${port}: the address is already in use`),
  );
});

/** A server with mutual TLS, and ways to ask it. */
async function startTls(t: TestContext) {
  const certificates = makeCertificates(t);
  const listen = { host: '127.0.0.1', port: await freePort() };
  const { warnings } = await start(t, {
    tcp: {
      listen,
      ca: certificates('ca.pem'),
      cert: certificates('server.pem'),
      key: certificates('server.key'),
    },
  });
  const get = (options: object) =>
    new Promise<number>((resolve, reject) => {
      const target = {
        ...listen,
        path: '/v1/status',
        agent: false,
        ca: readFileSync(certificates('ca.pem')),
        servername: 'router',
        ...options,
      };
      httpsRequest(target, (response) => resolve(response.resume().statusCode ?? 0))
        .on('error', reject)
        .end();
    });
  const pair = (name: string) => ({
    cert: readFileSync(certificates(`${name}.pem`)),
    key: readFileSync(certificates(`${name}.key`)),
  });
  return { certificates, listen, warnings, get, pair };
}

test('clients that never finish their handshake have a share of their own, and little time', async (t) => {
  const { listen, get, pair } = await startTls(t);
  let open = 0;
  const connect = (bytes: string) => {
    const socket = createConnection(listen.port, listen.host);
    t.after(() => socket.destroy());
    socket.on('error', () => undefined).on('close', () => open--);
    return new Promise<void>((resolve) =>
      socket.once('connect', () => {
        open++;
        socket.write(bytes);
        resolve();
      }),
    );
  };
  // Silent ones, some with the beginning of a ClientHello, and some that speak HTTP.
  for (let i = 0; i < 600; i++)
    await connect(['', '\x16\x03\x01\x02', 'GET / HTTP/1.1\r\n\r\n'][i % 3] as string);
  assert.equal(await get(pair('client')), 200);
  await until('most are ended at once', () => open <= 128);
  await until('the rest when their time is over', () => open === 0, 10_000);
});

test('control.tcp takes only clients with a certificate of its CA', async (t) => {
  const { certificates, listen, warnings, get, pair } = await startTls(t);
  assert.equal(await get(pair('client')), 200);
  await assert.rejects(get({}));
  await assert.rejects(get(pair('stranger')));
  await assert.rejects(ask(listen, 'GET', '/v1/status'));
  await until('the refusal is logged', () =>
    warnings.some((warning) => /control\.tcp: refused 127\.0\.0\.1/.test(warning)),
  );
  await assert.rejects(
    start(t, {
      tcp: {
        listen: { host: '127.0.0.1', port: await freePort() },
        ca: '/nonexistent',
        cert: '/x',
        key: '/y',
      },
    }),
    /control\.tcp\.ca: /,
  );
  await assert.rejects(
    start(t, {
      tcp: {
        listen: { host: '127.0.0.1', port: await freePort() },
        ca: certificates('ca.pem'),
        cert: certificates('server.key'),
        key: certificates('server.pem'),
      },
    }),
    /certificate or key cannot be used/,
  );
});
