import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { type ControlClient, Refused, Unreachable } from '../control/client.js';
import { Refusal, sendJson } from '../control/http.js';
import { Merged } from './merged.js';

/**
 * The page of `marpctl ui`, on loopback, and the way from it to the daemons.
 *
 * A daemon's socket has permissions; a TCP port has none. So each request for data needs the token that marpctl printed,
 * and only reading passes: a request to a daemon is always a GET, for one of PATHS. A foreign name in the Host header is
 * refused, because a name that somebody else controls may resolve to 127.0.0.1 (DNS rebinding).
 */

export interface UiOptions {
  readonly routers: ReadonlyMap<string, ControlClient>;
  /** Port on 127.0.0.1; 0: any. */
  readonly port: number;
  /** A recorded file to begin with. */
  readonly replay: { readonly name: string; readonly text: string } | undefined;
}

/** What the page may read of a daemon. */
const PATHS = /^\/v1\/(status|hosts|interfaces|drops|(hosts|why)\/[0-9a-f.:]{2,45})$/i;
const OWN_NAMES: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);
const PAGE = fileURLToPath(new URL('../page/', import.meta.url));
const FILES = /^\/(|[a-z-]+\.(js|css))$/;
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
} as const;

export class UiServer {
  readonly #options: UiOptions;
  readonly #token = randomBytes(16).toString('hex');
  readonly #server: Server;
  readonly #merged: Merged;

  private constructor(options: UiOptions) {
    this.#options = options;
    this.#merged = new Merged(options.routers);
    this.#server = createServer((request, response) => {
      response.on('error', () => response.destroy());
      this.#answer(request, response).catch((error: unknown) => refuse(response, error));
    });
  }

  /** @throws an error of node:net when the port is taken */
  static async start(options: UiOptions): Promise<UiServer> {
    const ui = new UiServer(options);
    await new Promise<void>((resolve, reject) => {
      ui.#server.once('error', reject);
      ui.#server.listen(options.port, '127.0.0.1', resolve);
    });
    return ui;
  }

  /** To be opened in a browser. A fragment is sent in no request, so the token is in no log and in no Referer. */
  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/#token=${this.#token}`;
  }

  async stop(): Promise<void> {
    this.#merged.stop();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const { method, headers } = request;
    const host = (headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
    if (!OWN_NAMES.has(host))
      throw new Refusal(421, 'foreign-host', 'this page is only served as 127.0.0.1 or localhost');
    if (method !== 'GET')
      throw new Refusal(405, 'method-not-allowed', `GET only, not ${method}`, { Allow: 'GET' });
    const [path = '', query] = (request.url ?? '').split('?', 2);
    if (FILES.test(path)) {
      sendFile(response, path === '/' ? 'index.html' : path.slice(1));
      return;
    }
    if (!path.startsWith('/api/')) throw new Refusal(404, 'not-found', `no such path: ${path}`);
    if (!this.#isToken(headers.authorization)) {
      throw new Refusal(401, 'no-token', 'open the address that marpctl ui printed: it contains a token');
    }
    await this.#data(path, query, response);
  }

  async #data(path: string, query: string | undefined, response: ServerResponse): Promise<void> {
    const { routers, replay } = this.#options;
    if (path === '/api/setup') {
      sendJson(response, 200, { routers: [...routers.keys()], replay: replay?.name ?? null });
    } else if (path === '/api/replay' && replay !== undefined) {
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
      response.end(replay.text);
    } else if (path === '/api/events') {
      this.#merged.add(response);
    } else {
      const [, name = '', rest = ''] = /^\/api\/routers\/([^/]+)(\/.*)$/.exec(path) ?? [];
      const client = routers.get(decoded(name));
      if (client === undefined || !PATHS.test(rest))
        throw new Refusal(404, 'not-found', `no such path: ${path}`);
      const answer = await client.open(query === undefined ? rest : `${rest}?${query}`);
      response.writeHead(200, { 'Content-Type': 'application/json' });
      await pipeline(answer, response);
    }
  }

  #isToken(authorization: string | undefined): boolean {
    const given = Buffer.from(authorization ?? '');
    const wanted = Buffer.from(`Bearer ${this.#token}`);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function sendFile(response: ServerResponse, name: string): void {
  let content: Buffer;
  try {
    content = readFileSync(join(PAGE, name));
  } catch {
    throw new Refusal(404, 'not-found', `no such file: ${name}`);
  }
  response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' });
  response.end(content);
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const known = error instanceof Refusal || error instanceof Refused;
  const status = known ? error.status : error instanceof Unreachable ? 502 : 500;
  const code = known ? error.code : error instanceof Unreachable ? 'unreachable' : 'internal';
  const headers = error instanceof Refusal ? error.headers : {};
  sendJson(response, status, { error: { code, message: (error as Error).message } }, headers);
}
