import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { Refusal, splitUrl } from '../../../../src/control/http.js';
import { ROUTES, findRoute } from '../../../../src/control/routes.js';
import { EventSubscribers } from '../../../../src/control/stream.js';
import { isGroupMac } from '../../../../src/wire/addresses.js';
import { FakeDaemon } from '../../../unit/control/fixture.js';
import type { Target } from '../../engine/target.js';

/** Requests that are proper HTTP, and anything in their path, query and body: an answer, or a refusal that says why. */

const daemon = new FakeDaemon();
daemon.addHosts(3);

/** As much of a response as the handlers use. */
class Response extends Writable {
  readonly headersSent = false;
  readonly socket = undefined;

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }

  setHeader(): void {}
  writeHead(): void {}
  flushHeaders(): void {}
  setTimeout(): void {}
}

async function answer(method: string, url: string, body: string): Promise<object | undefined> {
  const { path, query } = splitUrl(url);
  const { route, fields } = findRoute(ROUTES, method, path);
  let input: unknown = { ...query, ...fields };
  if (route.method === 'POST') {
    try {
      input = JSON.parse(body);
    } catch {
      return undefined; // readJson() refuses it
    }
  }
  const response = new Response();
  const subscribers = new EventSubscribers((listener) => daemon.subscribe(listener));
  try {
    const call = { api: daemon, response: response as unknown as ServerResponse, subscribers };
    return await route.handle(input, call);
  } finally {
    response.destroy();
  }
}

export const target: Target = {
  covers: ['src/control/routes.ts', 'src/control/http.ts', 'src/control/paging.ts'],
  maxBytes: 2000,
  words: [
    '/v1/hosts/',
    '/v1/why/',
    '?state=',
    '&mac=',
    '&prefix=',
    '&limit=',
    '&after=',
    '&interface=',
    'ip',
    '{"mac":"02:00:0a:01:01:05"',
    ',"ip":["10.1.1.5"]',
    ',"interface":"lan0"}',
    '%',
    '%zz',
    '\n',
    '[',
    ']',
    '{',
    '}',
    'null',
    '__proto__',
    '":',
  ],
  seeds: () => [
    'GET\n/v1/status\n',
    'GET\n/v1/hosts?state=settled&interface=lan0&mac=02:00:0a:01:01:05&prefix=10.0.0.0/8&limit=2&after=10.0.0.1\n',
    'GET\n/v1/hosts/10.0.0.1\n',
    'GET\n/v1/why/10.0.0.9\n',
    'GET\n/v1/events?kinds=transition,alarm&ip=10.0.0.1\n',
    'GET\n/v1/capture\n',
    'GET\n/v1/drops\n',
    'GET\n/v1/interfaces\n',
    'GET\n/metrics\n',
    'POST\n/v1/attach\n{"mac":"02:00:0a:01:01:05","ip":["10.1.1.5","10.1.1.6"],"interface":"tap0"}',
    'POST\n/v1/detach\n{"ip":"10.1.1.5","mac":null,"interface":"tap0"}',
    'POST\n/v1/prepare\n{"mac":"02:00:0a:01:01:05","ip":"10.1.1.5","interface":"tap0"}',
    'POST\n/v1/probe\n{"ip":"10.1.1.5"}',
    'POST\n/v1/clear\n{"ip":"10.1.1.5"}',
  ],
  async run(input) {
    const [method = '', url = '', ...rest] = new TextDecoder().decode(input).split('\n');
    daemon.commands.length = 0;
    try {
      const given = await answer(method, url, rest.join('\n'));
      if (given !== undefined) assert.ok(JSON.stringify(given).length < 100_000);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      assert.ok(error.status >= 400 && error.status < 500 && error.message.length > 0, error.message);
      assert.ok(
        error.message.length < 1000 + 4 * input.length,
        'a refusal is no longer than what it refuses',
      );
    }
    for (const command of daemon.commands) {
      const ips = 'ips' in command ? command.ips : 'ip' in command ? [command.ip] : [];
      assert.ok(ips.every((ip) => typeof ip === 'number' && ip > 0 && ip >>> 28 < 14));
      if ('mac' in command && command.mac !== undefined)
        assert.ok(command.mac > 0 && !isGroupMac(command.mac));
      if ('interface' in command) assert.match(command.interface, /^[^\s/:]{1,15}$/);
    }
  },
};
