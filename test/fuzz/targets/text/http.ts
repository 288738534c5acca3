import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ControlServer } from '../../../../src/control/server.js';
import { FakeDaemon } from '../../../unit/control/fixture.js';
import { type Target, scratch } from '../../engine/target.js';

/** Bytes on a connection to the control socket: each request is answered or the connection closed, never with a 500. */

const STATUSES = new Set([100, 200, 400, 404, 405, 408, 409, 413, 417, 431, 503]);
const ANSWER_MS = 5000;

const directory = scratch('http');
const socket = join(directory, 'marpd.sock');
const daemon = new FakeDaemon();
daemon.addHosts(3);
const warnings: string[] = [];
let server: ControlServer | undefined;
// A worker may not set it, and the socket is alone in a directory of ours.
process.umask = () => 0o022;

/** All that comes back until the server closes, or begins a stream that has no end. */
function exchange(bytes: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const client = connect(socket);
    const timer = setTimeout(() => {
      client.destroy();
      reject(
        new Error(`not answered and not closed within ${ANSWER_MS} ms, after ${JSON.stringify(answer)}`),
      );
    }, ANSWER_MS);
    client.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
      if (text.includes('application/x-ndjson')) client.destroy();
    });
    // A server that has seen enough may close while we still write.
    client.on('error', () => undefined);
    client.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    client.end(bytes);
  });
}

async function start(): Promise<ControlServer> {
  return ControlServer.start(daemon, {
    socket: { path: socket, mode: 0o600, group: undefined },
    tcp: undefined,
    prometheus: undefined,
    warn: (message) => warnings.push(message),
  });
}

export const target: Target = {
  covers: [
    'src/control/http.ts',
    'src/control/routes.ts',
    'src/control/server.ts',
    'src/control/stream.ts',
    'src/control/paging.ts',
  ],
  maxBytes: 3000,
  slowMs: 3000,
  words: [
    '\r\n',
    '\r\n\r\n',
    'GET ',
    'POST ',
    ' HTTP/1.1',
    ' HTTP/1.0',
    'Host: x',
    'Content-Length: ',
    'Transfer-Encoding: chunked',
    'Expect: 100-continue',
    'Connection: close',
    '0\r\n\r\n',
    '%00',
    '%2e',
    '?',
    '&',
    '=',
    '{"ip":"10.1.1.5"}',
    '10.0.0.1',
    '__proto__',
  ],
  async run(input) {
    server ??= await start();
    daemon.commands.length = 0;
    const answer = await exchange(input);
    for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm))
      assert.ok(STATUSES.has(Number(status)), `status ${status}: ${warnings.at(-1) ?? answer}`);
    assert.deepEqual(warnings, []);
    for (const command of daemon.commands) assert.ok(command.name.length > 0);
    if (input.length > 0 && answer !== '') assert.match(answer, /^HTTP\/1\.1 /);
  },
  close: () => {
    void server?.stop();
    rmSync(directory, { recursive: true, force: true });
  },
};
