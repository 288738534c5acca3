import { readFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { type RequestOptions, request as httpsRequest } from 'node:https';
import type * as z from 'zod';
import { type Ip, formatIp } from '../wire/addresses.js';
import type { Command } from '../mobility/commands.js';
import type { EventKind, EventRecord } from './records.js';
import type {
  AlarmsAnswer,
  CommandResult,
  ConfigView,
  DropView,
  ErrorBody,
  HostView,
  HostsPage,
  InterfaceView,
  MacsPage,
  MappingView,
  StatusView,
  WhyView,
} from './schemas.js';
import type * as schemasModule from './schemas.js';

type Schemas = typeof schemasModule;

/** No daemon answers at the socket; `message` says why and what to do. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

/** The daemon answered, but not with what was asked for. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface HostFilter {
  readonly state?: string | undefined;
  readonly interface?: string | undefined;
  readonly mac?: string | undefined;
  readonly prefix?: string | undefined;
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
}

/** Body of prepare, attach, detach, probe, clear, discover, role, log-level; addresses are text. */
export interface CommandBody {
  readonly mac?: string | undefined;
  readonly ip?: string | readonly string[] | undefined;
  readonly interface?: string | undefined;
  readonly level?: string | undefined;
  readonly prefix?: string | undefined;
  readonly state?: string | undefined;
}

/** The daemon of another machine: its `control.tcp`, with a certificate of its CA. File names. */
export interface RemoteDaemon {
  readonly url: URL;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function queryOf(filter: HostFilter): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(filter)) if (value !== undefined) query.set(key, String(value));
  return query.size === 0 ? '' : `?${query}`;
}

/** One connection per request, to the daemon's Unix socket or to its TLS port. All methods throw Unreachable or Refused. */
export class ControlClient {
  /** For people: the path of the socket, or the URL. */
  readonly place: string;
  readonly #endpoint: () => RequestOptions;
  readonly #timeoutMs: number;

  constructor(where: string | RemoteDaemon, timeoutMs = 15_000) {
    this.place = typeof where === 'string' ? where : where.url.origin;
    this.#endpoint = () => (typeof where === 'string' ? { socketPath: where } : tlsOptions(where));
    this.#timeoutMs = timeoutMs;
  }

  status(): Promise<StatusView> {
    return this.#get('/v1/status', (schemas) => schemas.statusView);
  }

  /** All hosts that match, or one page when `limit` is given. */
  hosts(filter: HostFilter = {}): Promise<HostsPage> {
    return this.#get(`/v1/hosts${queryOf(filter)}`, (schemas) => schemas.hostsPage);
  }

  /** One page of the machines that match, each with all its addresses; `after` is a MAC. */
  macs(filter: HostFilter = {}): Promise<MacsPage> {
    return this.#get(`/v1/macs${queryOf(filter)}`, (schemas) => schemas.macsPage);
  }

  /** Undefined when the daemon does not know it. */
  async host(ip: Ip): Promise<HostView | undefined> {
    try {
      return await this.#get(`/v1/hosts/${formatIp(ip)}`, (schemas) => schemas.hostView);
    } catch (error) {
      if (error instanceof Refused && error.code === 'no-such-host') return undefined;
      throw error;
    }
  }

  async interfaces(): Promise<InterfaceView[]> {
    return (await this.#get('/v1/interfaces', (schemas) => schemas.interfacesAnswer)).interfaces;
  }

  why(ip: Ip): Promise<WhyView> {
    return this.#get(`/v1/why/${formatIp(ip)}`, (schemas) => schemas.whyView);
  }

  alarms(): Promise<AlarmsAnswer> {
    return this.#get('/v1/alarms', (schemas) => schemas.alarmsAnswer);
  }

  /** Throws Refused without [mapping]. */
  mapping(): Promise<MappingView> {
    return this.#get('/v1/mapping', (schemas) => schemas.mappingView);
  }

  config(): Promise<ConfigView> {
    return this.#get('/v1/config', (schemas) => schemas.configView);
  }

  /** On one interface only, if it is named. */
  async drops(place?: string): Promise<DropView[]> {
    const query = place === undefined ? '' : `?${new URLSearchParams({ interface: place })}`;
    return (await this.#get(`/v1/drops${query}`, (schemas) => schemas.dropsAnswer)).drops;
  }

  /** The answer to a GET as it comes, unchecked. `timeoutMs`: for its beginning. */
  open(path: string, timeoutMs = this.#timeoutMs): Promise<IncomingMessage> {
    return this.#request('GET', path, undefined, undefined, timeoutMs);
  }

  async metrics(): Promise<string> {
    return readAll(await this.#request('GET', '/metrics'));
  }

  /** A command that the daemon refuses is `ok: false` with its reason; a malformed one throws Refused. */
  async command(name: Command['name'] | 'reload' | 'log-level', body: CommandBody): Promise<CommandResult> {
    try {
      const text = await readAll(await this.#request('POST', `/v1/${name}`, JSON.stringify(body)));
      const { ok, message } = parseJson(text) as Partial<CommandResult>;
      if (typeof ok !== 'boolean' || typeof message !== 'string') throw strange('no ok or no message');
      return { ok, message };
    } catch (error) {
      if (error instanceof Refused && error.status === 409) return { ok: false, message: error.message };
      throw error;
    }
  }

  /** Calls `onRecord` for each record until the daemon ends the stream or `signal` aborts. */
  async events(
    onRecord: (record: EventRecord, line: string) => void,
    options: {
      kinds?: readonly EventKind[];
      ip?: Ip | undefined;
      signal?: AbortSignal;
      /** What happens from now on is in the stream. */
      onOpen?: () => void;
    } = {},
  ): Promise<void> {
    const query = new URLSearchParams();
    if (options.kinds !== undefined) query.set('kinds', options.kinds.join(','));
    if (options.ip !== undefined) query.set('ip', formatIp(options.ip));
    const response = await this.#request('GET', `/v1/events?${query}`, undefined, options.signal);
    options.onOpen?.();
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) onRecord(JSON.parse(line, printable) as EventRecord, line);
      }
    } catch (error) {
      if (options.signal?.aborted === true) return;
      throw unreachable(this.place, error);
    }
  }

  /** Schemas are loaded where an answer has to be checked; commands do without. */
  async #get<T>(path: string, pick: (schemas: Schemas) => z.ZodType<T>): Promise<T> {
    const [text, schemas] = await Promise.all([
      this.#request('GET', path).then(readAll),
      import('./schemas.js'),
    ]);
    const result = pick(schemas).safeParse(parseJson(text));
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    throw strange(`${issue?.path.join('.')}: ${issue?.message}`);
  }

  async #request(
    method: string,
    path: string,
    body?: string,
    signal?: AbortSignal,
    timeoutMs = this.#timeoutMs,
  ): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const endpoint = this.#endpoint();
      const request: ClientRequest = (endpoint.protocol === 'https:' ? httpsRequest : httpRequest)({
        ...endpoint,
        method,
        path,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
        headers:
          body === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      });
      request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.once('response', (message) => {
        // A stream may be silent for hours.
        request.setTimeout(0);
        resolve(message);
      });
      request.once('error', (error) => reject(unreachable(this.place, error)));
      request.end(body);
    });
    if (response.statusCode === 200) return response;
    const text = await readAll(response);
    const status = response.statusCode ?? 0;
    const { code, message } = refusalIn(text) ?? { code: 'unknown', message: `HTTP ${status}` };
    throw new Refused(status, code, message);
  }
}

/** An interface may have a name that a terminal takes for commands: control characters are shown by their number. */
function printable(_key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value.replace(/[^\P{Cc}\n\t]/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, printable);
  } catch {
    throw new Refused(200, 'unknown', 'the answer is truncated or not JSON');
  }
}

function strange(detail: string): Refused {
  return new Refused(200, 'unknown', `the answer does not match this version of marpctl (${detail})`);
}

/** The error in an answer, when the words are marpd's. */
function refusalIn(text: string): { code: string; message: string } | undefined {
  try {
    const { error } = JSON.parse(text, printable) as Partial<ErrorBody>;
    return typeof error?.code === 'string' && typeof error.message === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function tlsOptions({ url, ca, cert, key }: RemoteDaemon): RequestOptions {
  const read = (option: string, path: string) => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new Unreachable(`--${option} ${path}: ${(error as Error).message}`);
    }
  };
  return {
    protocol: 'https:',
    // An IPv6 address of a URL has brackets.
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    ca: read('ca', ca),
    cert: read('cert', cert),
    key: read('key', key),
  };
}

function unreachable(place: string, error: unknown): Unreachable {
  if (error instanceof Unreachable) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (place.startsWith('https:')) return new Unreachable(`no answer from marpd at ${place}: ${message}`);
  const socketPath = place;
  if (code === 'ENOENT')
    return new Unreachable(`marpd is not running: ${socketPath} does not exist (see --socket)`);
  if (code === 'ECONNREFUSED')
    return new Unreachable(`marpd is not running: nothing listens on ${socketPath}`);
  if (code === 'EACCES' || code === 'EPERM') {
    return new Unreachable(
      `no permission to open ${socketPath}: run as root, or as a member of its group (control.group)`,
    );
  }
  return new Unreachable(`no answer from marpd at ${socketPath}: ${message}`);
}
