import { readFileSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Command } from '../mobility/events.js';
import { type Ip, formatIp } from '../wire/addresses.js';
import {
  BadRequest,
  type CommandName,
  EVENT_KINDS,
  type EventKind,
  parseCommand,
  parseHostIp,
  parseHostQuery,
} from './requests.js';
import type {
  CommandResult,
  DropView,
  HostQuery,
  HostView,
  InterfaceView,
  StatusView,
  WhyView,
} from './schemas.js';
import {
  Refusal,
  BODY_BYTES,
  discardRest,
  onceDrained,
  readBody,
  refuseGarbage,
  sendJson,
  splitUrl,
} from './http.js';
import { ControlError, type SocketOptions, explain, listen, listenOnSocket } from './socket.js';
import { EventReaders } from './stream.js';

/** What the daemon tells and does; the server only speaks HTTP. Nothing here may block or throw for a bad request. */
export interface Api {
  status(): StatusView;
  hosts(query: HostQuery): { hosts: HostView[]; next: Ip | undefined; total: number };
  host(ip: Ip): HostView | undefined;
  interfaces(): InterfaceView[];
  why(ip: Ip): WhyView;
  drops(): DropView[];
  command(command: Command): Promise<CommandResult>;
  /** Calls `listener` with an EventRecord for everything that happens, until the returned function is called. */
  subscribe(listener: (record: object) => void): () => void;
  /** Prometheus text. */
  metrics(): Promise<string>;
}

interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface ControlOptions {
  readonly socket: SocketOptions;
  /** Mutual TLS: no client without a certificate of `ca`. File names. */
  readonly tcp:
    | { readonly listen: Listen; readonly ca: string; readonly cert: string; readonly key: string }
    | undefined;
  /** Plain TCP for GET /metrics and nothing else. */
  readonly prometheus: Listen | undefined;
  /** What the operator should know: our own faults, refused TLS clients. */
  readonly warn: (message: string) => void;
}

/** Whoever sends or reads slowly loses its connection, within two seconds of these times. */
const HTTP = {
  requestTimeout: 10_000,
  headersTimeout: 10_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 2000,
} as const;
const COMMAND_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 512;
const MAX_EVENT_READERS = 64;
const STREAMED_PAGE = 2000;
const TLS_WARNING_INTERVAL_MS = 10_000;

const VIEWS = ['status', 'hosts', 'interfaces', 'drops', 'events', 'why'] as const;
const COMMANDS: readonly CommandName[] = ['prepare', 'attach', 'detach', 'probe', 'clear'];

export class ControlServer {
  readonly #api: Api;
  readonly #warn: (message: string) => void;
  readonly #readers: EventReaders;
  readonly #servers: Server[] = [];
  #lastTlsWarning = Number.NEGATIVE_INFINITY;

  private constructor(api: Api, warn: (message: string) => void) {
    this.#api = api;
    this.#warn = warn;
    this.#readers = new EventReaders((listener) => api.subscribe(listener));
  }

  /** Opens everything that `options` names, or nothing. @throws ControlError */
  static async start(api: Api, options: ControlOptions): Promise<ControlServer> {
    const control = new ControlServer(api, options.warn);
    try {
      await listenOnSocket(control.#add(createServer(HTTP)), options.socket);
      if (options.tcp !== undefined) await control.#listenTls(options.tcp);
      if (options.prometheus !== undefined) await control.#listenPrometheus(options.prometheus);
    } catch (error) {
      await control.stop();
      throw error;
    }
    return control;
  }

  /** Open event streams. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Ends all streams and connections and removes the socket. */
  async stop(): Promise<void> {
    this.#readers.close();
    await Promise.all(
      this.#servers.splice(0).map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  }

  #add(server: Server, metricsOnly = false): Server {
    server.maxConnections = MAX_CONNECTIONS;
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      // A client that neither reads nor hangs up must not hold a connection for ever.
      response.setTimeout(IDLE_TIMEOUT_MS, () => response.destroy());
      response.on('error', () => response.destroy());
      const path = request.url?.split('?', 1)[0];
      const work =
        metricsOnly && path !== '/metrics' ? Promise.reject(notFound(path)) : this.#route(request, response);
      work.catch((error) => this.#refuse(request, response, error));
    };
    server.on('request', answer);
    // curl asks before it sends a large body; the answer may be the refusal.
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      if (Number(request.headers['content-length']) <= BODY_BYTES) response.writeContinue();
      answer(request, response);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseGarbage(error, socket));
    this.#servers.push(server);
    return server;
  }

  async #listenTls(tcp: NonNullable<ControlOptions['tcp']>): Promise<void> {
    const read = (key: 'ca' | 'cert' | 'key') => {
      try {
        return readFileSync(tcp[key]);
      } catch (error) {
        throw new ControlError(`control.tcp.${key}: ${explain(error)}`);
      }
    };
    const files = { ca: read('ca'), cert: read('cert'), key: read('key') };
    let server: Server;
    try {
      server = createTlsServer({
        ...HTTP,
        ...files,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.2',
      });
    } catch (error) {
      throw new ControlError(`control.tcp: the certificate or key cannot be used: ${explain(error)}`);
    }
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      const now = performance.now();
      if (now - this.#lastTlsWarning < TLS_WARNING_INTERVAL_MS) return;
      this.#lastTlsWarning = now;
      this.#warn(`control.tcp: refused ${socket.remoteAddress ?? 'a client'}: ${error.message}`);
    });
    await this.#listenTcp(this.#add(server), 'control.tcp', tcp.listen);
  }

  async #listenPrometheus(where: Listen): Promise<void> {
    await this.#listenTcp(this.#add(createServer(HTTP), true), 'prometheus', where);
  }

  async #listenTcp(server: Server, section: string, where: Listen): Promise<void> {
    try {
      await listen(server, where);
    } catch (error) {
      throw new ControlError(`${section}.listen ${where.host}:${where.port}: ${explain(error)}`);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path, search] = splitUrl(request.url ?? '');
    const [root, version, what, ...rest] = path.split('/');
    const known = root === '' && version === 'v1' && what !== undefined && rest.length <= 1;
    const argument = rest[0];
    const view = known ? VIEWS.find((name) => name === what) : undefined;
    const command = known && argument === undefined ? COMMANDS.find((name) => name === what) : undefined;
    const withArgument = view === 'hosts' || view === 'why';
    if (
      path !== '/metrics' &&
      command === undefined &&
      (view === undefined || (argument !== undefined && !withArgument))
    ) {
      throw notFound(path);
    }
    const method = command === undefined ? 'GET' : 'POST';
    if (request.method !== method) {
      throw new Refusal(405, 'method-not-allowed', `${path} takes ${method}, not ${request.method}`, {
        Allow: method,
      });
    }
    if (command !== undefined) return this.#command(command, request, response);
    if (path === '/metrics') return this.#metrics(response);
    const query = new URLSearchParams(search);
    const api = this.#api;
    if (view === 'hosts' && argument === undefined) return this.#hosts(query, response);
    if (view === 'events') return this.#events(query, response);
    for (const key of query.keys()) throw new BadRequest(`${path} takes no query parameter "${key}"`);
    if (view === 'why') return sendJson(response, 200, api.why(parseHostIp(argument)));
    if (view === 'status') return sendJson(response, 200, api.status());
    if (view === 'interfaces') return sendJson(response, 200, { interfaces: api.interfaces() });
    if (view === 'drops') return sendJson(response, 200, { drops: api.drops() });
    const ip = parseHostIp(argument);
    const host = api.host(ip);
    if (host === undefined)
      throw new Refusal(404, 'no-such-host', `${formatIp(ip)} is not known; see /v1/why/${formatIp(ip)}`);
    sendJson(response, 200, host);
  }

  async #command(name: CommandName, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await readBody(request);
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch (error) {
      throw new BadRequest(`the body is no JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
    const command = parseCommand(name, body);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Refusal(504, 'timeout', `${name}: no verdict within ${COMMAND_TIMEOUT_MS} ms`)),
        COMMAND_TIMEOUT_MS,
      );
    });
    try {
      const result = await Promise.race([this.#api.command(command), late]);
      if (!result.ok) throw new Refusal(409, 'refused', result.message);
      sendJson(response, 200, result);
    } finally {
      clearTimeout(timer);
    }
  }

  async #metrics(response: ServerResponse): Promise<void> {
    const text = await this.#api.metrics();
    response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
    response.end(text);
  }

  #events(query: URLSearchParams, response: ServerResponse): void {
    for (const key of query.keys()) {
      if (key !== 'kinds' && key !== 'ip')
        throw new BadRequest(`unknown query parameter "${key}"; there are kinds, ip`);
    }
    const kinds = query.get('kinds')?.split(',');
    for (const kind of kinds ?? []) {
      if (!(EVENT_KINDS as readonly string[]).includes(kind)) {
        throw new BadRequest(`kinds: "${kind}" is not one of ${EVENT_KINDS.join(', ')}`);
      }
    }
    const ip = query.get('ip');
    const canonicalIp = ip === null ? undefined : formatIp(parseHostIp(ip));
    if (this.#readers.size >= MAX_EVENT_READERS) {
      throw new Refusal(503, 'too-many-readers', `${MAX_EVENT_READERS} event streams are open already`);
    }
    // Quiet networks have quiet streams.
    response.setTimeout(0);
    response.socket?.setKeepAlive(true, IDLE_TIMEOUT_MS);
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'Cache-Control': 'no-store' });
    response.flushHeaders();
    this.#readers.add(response, kinds === undefined ? undefined : new Set(kinds as EventKind[]), canonicalIp);
  }

  /** Without `limit` all hosts, a page per event-loop turn, at the speed of the reader. */
  async #hosts(params: URLSearchParams, response: ServerResponse): Promise<void> {
    const { limit, ...query } = parseHostQuery(params);
    let page = this.#api.hosts({ ...query, limit: limit ?? STREAMED_PAGE });
    const nextOf = (next: Ip | undefined) => (next === undefined ? null : formatIp(next));
    if (limit !== undefined || page.next === undefined) {
      return sendJson(response, 200, { total: page.total, hosts: page.hosts, next: nextOf(page.next) });
    }
    response.writeHead(200, { 'Content-Type': 'application/json' });
    let text = `{"total":${page.total},"hosts":[`;
    for (;;) {
      text += page.hosts.map((host) => JSON.stringify(host)).join(',');
      if (page.next === undefined || response.destroyed) break;
      if (!response.write(text)) await new Promise<void>((resolve) => onceDrained(response, resolve));
      else await new Promise((resolve) => setImmediate(resolve));
      page = this.#api.hosts({ ...query, limit: STREAMED_PAGE, after: page.next });
      text = page.hosts.length > 0 ? ',' : '';
    }
    response.end(`${text}],"next":null}\n`);
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const refusal =
      error instanceof Refusal
        ? error
        : error instanceof BadRequest
          ? new Refusal(400, 'bad-request', error.message)
          : new Refusal(500, 'internal', 'an error of marpd itself; its log has the details');
    if (refusal.status === 500) {
      this.#warn(
        `${request.method} ${request.url}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendJson(
      response,
      refusal.status,
      { error: { code: refusal.code, message: refusal.message } },
      refusal.headers,
    );
    discardRest(request);
  }
}

function notFound(path: string | undefined): Refusal {
  return new Refusal(
    404,
    'not-found',
    `there is no ${path ?? ''}; there are /metrics, GET /v1/{${VIEWS.join(',')}}, POST /v1/{${COMMANDS.join(',')}}`,
  );
}
