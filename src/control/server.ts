import { readFileSync } from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { BODY_BYTES, Refusal, discardRest, readJson, refuseGarbage, sendJson, splitUrl } from './http.js';
import { type Api, METRICS_ROUTE, ROUTES, type Route, findRoute } from './routes.js';
import { HANDSHAKE_MS, limitHandshakes } from './handshakes.js';
import { ControlError, type SocketOptions, explain, listen, listenOnSocket } from './socket.js';
import { EventSubscribers } from './stream.js';

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
  /** For the log: our own faults, refused TLS clients. */
  readonly warn: (message: string) => void;
}

/** A client that sends or reads too slowly loses its connection, within two seconds of these times. */
const HTTP = {
  requestTimeout: 10_000,
  headersTimeout: 10_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 2000,
} as const;
const IDLE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 512;
const WARNING_INTERVAL_MS = 10_000;

/** Connections, limits and TLS. What is asked and answered: routes.ts. */
export class ControlServer {
  readonly #api: Api;
  readonly #warn: (message: string) => void;
  readonly #subscribers: EventSubscribers;
  readonly #servers: Server[] = [];
  #lastWarning = Number.NEGATIVE_INFINITY;

  private constructor(api: Api, warn: (message: string) => void) {
    this.#api = api;
    this.#warn = warn;
    this.#subscribers = new EventSubscribers((listener) => api.subscribe(listener));
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
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** Ends all streams and connections and removes the socket. */
  async stop(): Promise<void> {
    this.#subscribers.close();
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

  #add(server: Server, routes = ROUTES): Server {
    server.maxConnections = MAX_CONNECTIONS;
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      // A client that neither reads nor hangs up must not hold a connection for ever.
      response.setTimeout(IDLE_TIMEOUT_MS, () => response.destroy());
      response.on('error', () => response.destroy());
      this.#answer(routes, request, response).catch((error) => this.#refuse(request, response, error));
    };
    server.on('request', answer);
    // curl asks before it sends a large body; the answer may be the refusal.
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      if (Number(request.headers['content-length']) <= BODY_BYTES) response.writeContinue();
      answer(request, response);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseGarbage(error, socket));
    this.#servers.push(server);
    // Such as a connection that finds no file descriptor left.
    server.on('listening', () =>
      server.on('error', (error) => this.#warnSometimes(`a connection cannot be accepted: ${error.message}`)),
    );
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
        handshakeTimeout: HANDSHAKE_MS,
      });
      limitHandshakes(server);
    } catch (error) {
      throw new ControlError(`control.tcp: the certificate or key cannot be used: ${explain(error)}`);
    }
    server.on('tlsClientError', (error: Error, socket: Socket) =>
      this.#warnSometimes(`control.tcp: refused ${socket.remoteAddress ?? 'a client'}: ${error.message}`),
    );
    await this.#listenTcp(this.#add(server), 'control.tcp', tcp.listen);
  }

  #warnSometimes(message: string): void {
    const now = performance.now();
    if (now - this.#lastWarning < WARNING_INTERVAL_MS) return;
    this.#lastWarning = now;
    this.#warn(message);
  }

  async #listenPrometheus(where: Listen): Promise<void> {
    await this.#listenTcp(this.#add(createServer(HTTP), [METRICS_ROUTE]), 'prometheus', where);
  }

  async #listenTcp(server: Server, section: string, where: Listen): Promise<void> {
    try {
      await listen(server, where);
    } catch (error) {
      throw new ControlError(`${section}.listen ${where.host}:${where.port}: ${explain(error)}`);
    }
  }

  async #answer(routes: readonly Route[], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { path, query } = splitUrl(request.url ?? '');
    const { route, fields } = findRoute(routes, request.method, path);
    const input = route.method === 'GET' ? { ...query, ...fields } : await readJson(request);
    const call = { api: this.#api, response, subscribers: this.#subscribers };
    const answer = await route.handle(input, call);
    if (answer !== undefined) sendJson(response, 200, answer);
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const refusal =
      error instanceof Refusal ? error : new Refusal(500, 'internal', 'internal error of marpd; see its log');
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
