import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ControlClient } from '../../../src/control/client.js';
import { UiServer } from '../../../src/ui/server.js';
import { type Running, ask, start, temporaryDirectory, until } from '../control/fixture.js';

/** The server of the page: who may ask it, and what of it reaches a daemon. */

interface Ui {
  readonly host: string;
  readonly port: number;
  readonly headers: { readonly authorization: string };
}

async function serve(
  t: TestContext,
  sockets: Readonly<Record<string, string>>,
  replay?: string,
): Promise<Ui> {
  const routers = new Map(Object.entries(sockets).map(([name, path]) => [name, new ControlClient(path)]));
  const ui = await UiServer.start({
    routers,
    port: 0,
    replay: replay === undefined ? undefined : { name: 'story', text: replay },
  });
  t.after(() => ui.stop());
  const { hostname: host, port, hash } = new URL(ui.address);
  return { host, port: Number(port), headers: { authorization: `Bearer ${hash.replace('#token=', '')}` } };
}

test('data of every router is read with the token, and with nothing else', async (t) => {
  const one = await start(t);
  const two = await start(t);
  two.daemon.addHosts(3);
  const ui = await serve(t, { r1: one.socket, 'r 2': two.socket });
  const setup = await ask(ui, 'GET', '/api/setup');
  assert.deepEqual(JSON.parse(setup.text), { routers: ['r1', 'r 2'], replay: null });
  const hosts = await ask(ui, 'GET', '/api/routers/r%202/v1/hosts?limit=2');
  assert.equal(JSON.parse(hosts.text).total, 3);
  assert.equal(JSON.parse(hosts.text).hosts.length, 2);
  for (const authorization of [
    '',
    'Bearer ',
    `${ui.headers.authorization}0`,
    ui.headers.authorization.slice(0, -1),
  ]) {
    const { status } = await ask({ ...ui, headers: { authorization } }, 'GET', '/api/routers/r1/v1/status');
    assert.equal(status, 401, authorization);
  }
});

test('a foreign name in the Host header is refused, whatever is asked (DNS rebinding)', async (t) => {
  const ui = await serve(t, {});
  const refused = [
    'evil.example',
    `evil.example:${ui.port}`,
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '0.0.0.0',
  ];
  for (const host of refused) {
    for (const path of ['/', '/main.js', '/api/setup']) {
      const { status, text } = await ask({ ...ui, headers: { ...ui.headers, host } }, 'GET', path);
      assert.equal(status, 421, `${host} ${path}: ${text}`);
    }
  }
  for (const host of [`127.0.0.1:${ui.port}`, 'localhost', 'LOCALHOST:8099', '[::1]:1']) {
    assert.equal(
      (await ask({ ...ui, headers: { ...ui.headers, host } }, 'GET', '/api/setup')).status,
      200,
      host,
    );
  }
});

test('nothing but GET for a known path reaches a daemon', async (t) => {
  const socket = join(temporaryDirectory(t), 'recorder.sock');
  const reached: string[] = [];
  const recorder = createServer((message, response) => {
    reached.push(`${message.method} ${message.url}`);
    response.end('{}');
  });
  await new Promise<void>((resolve) => recorder.listen(socket, resolve));
  t.after(() => {
    recorder.closeAllConnections();
    recorder.close();
  });
  const ui = await serve(t, { r1: socket });
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']) {
    for (const path of ['/api/routers/r1/v1/clear', '/api/routers/r1/v1/status', '/api/events']) {
      const { status, headers } = await ask(
        ui,
        method,
        path,
        method === 'POST' ? '{"ip":"10.1.1.5"}' : undefined,
      );
      assert.equal(status, 405, `${method} ${path}`);
      assert.equal(headers.allow, 'GET');
    }
  }
  for (const path of [
    '/v1/clear',
    '/v1/events',
    '/metrics',
    '/v1/hosts/../clear',
    '/v1/hosts/%2e%2e/clear',
    '/v1/why/10.1.1.5/../../clear',
    '/v1/why/',
    '/v1/statusx',
    '//v1/status',
  ]) {
    assert.equal((await ask(ui, 'GET', `/api/routers/r1${path}`)).status, 404, path);
  }
  for (const name of ['r2', '%', '__proto__', '..']) {
    assert.equal((await ask(ui, 'GET', `/api/routers/${name}/v1/status`)).status, 404, name);
  }
  assert.deepEqual(reached, []);
  for (const path of ['/v1/status', '/v1/why/10.1.1.5', '/v1/hosts?limit=1']) {
    assert.equal((await ask(ui, 'GET', `/api/routers/r1${path}`)).status, 200, path);
  }
  assert.deepEqual(reached, ['GET /v1/status', 'GET /v1/why/10.1.1.5', 'GET /v1/hosts?limit=1']);
});

test('only files of the page are served, with a policy that lets it load nothing from elsewhere', async (t) => {
  const ui = await serve(t, {});
  const { status, headers, text } = await ask({ host: ui.host, port: ui.port }, 'GET', '/');
  assert.equal(status, 200);
  assert.match(text, /<title>marpd<\/title>/);
  assert.match(String(headers['content-security-policy']), /^default-src 'none'; script-src 'self'; /);
  assert.equal(headers['referrer-policy'], 'no-referrer');
  for (const path of [
    '/../package.json',
    '/..%2fctl.js',
    '/../ctl.js',
    '/page/main.js',
    '/nope.js',
    '/index.html',
  ])
    assert.equal((await ask(ui, 'GET', path)).status, 404, path);
});

/** Lines of /api/events, as they come. */
function follow(t: TestContext, ui: Ui): { readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const asked = request({ ...ui, path: '/api/events' }, (response) => {
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() as string;
      lines.push(...parts.map((part) => JSON.parse(part)));
    });
    response.on('error', () => {});
  });
  asked.on('error', () => {});
  asked.end();
  t.after(() => asked.destroy());
  return { lines };
}

test('one stream has the events of all routers, and says which router is not heard', async (t) => {
  const one: Running = await start(t);
  const ui = await serve(t, { r1: one.socket, gone: '/nonexistent/marpd.sock' });
  const { lines } = follow(t, ui);
  await until('both are known', () => lines.length >= 2);
  const said = new Map(lines.map(({ router, event, message }) => [router, [event, message]]));
  assert.deepEqual(said.get('r1'), ['connected', undefined]);
  assert.match(String(said.get('gone')), /^disconnected,marpd is not running: \/nonexistent/);
  one.daemon.publish({ event: 'drop', ip: '10.1.1.9' });
  one.daemon.publish({ event: 'transition', ip: '10.1.1.5' });
  await until('the event', () => lines.length >= 3);
  assert.deepEqual(lines[2], { router: 'r1', event: 'transition', ip: '10.1.1.5' });
  await one.server.stop();
  await until('its end', () => lines.length >= 4);
  assert.deepEqual(lines[3], { router: 'r1', event: 'disconnected', message: 'marpd has stopped' });
});

test('the stream of a daemon ends with the page', async (t) => {
  const one: Running = await start(t);
  const ui = await serve(t, { r1: one.socket });
  const asked = request({ ...ui, path: '/api/events' });
  asked.on('error', () => {});
  asked.end();
  await until('a subscriber', () => one.server.subscribers === 1);
  asked.destroy();
  await until('none', () => one.server.subscribers === 0);
});

test('a recorded file is handed to the page', async (t) => {
  const ui = await serve(t, {}, '{"event":"transition"}\n');
  assert.deepEqual(JSON.parse((await ask(ui, 'GET', '/api/setup')).text), { routers: [], replay: 'story' });
  assert.equal((await ask(ui, 'GET', '/api/replay')).text, '{"event":"transition"}\n');
});
