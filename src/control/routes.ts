import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { ROLE_KINDS } from '../mobility/events.js';
import * as z from 'zod';
import type { Command } from '../mobility/commands.js';
import { HOST_STATES, type HostState } from '../mobility/events.js';
import {
  type Family,
  type Ip,
  type Mac,
  formatIp,
  formatMac,
  formatPrefix,
  isIpv4,
} from '../wire/addresses.js';
import { type Reading, readHostIp, readHostMac, readHostPrefix, readIp } from '../wire/host-address.js';
import { familyRefusal } from './families.js';
import { Refusal, badRequest } from './http.js';
import type { HostQuery, MacQuery } from './paging.js';
import { EVENT_KINDS, type EventKind } from './records.js';
import type {
  AlarmsAnswer,
  CommandResult,
  ConfigView,
  DropView,
  HostView,
  InterfaceView,
  MacView,
  MappingView,
  StatusView,
  WhyView,
} from './schemas.js';
import type { EventSubscribers } from './stream.js';

/** What the daemon shows and does. Nothing here may block, or throw because of a bad request. */
export interface Api {
  /** Those that are served. */
  families(): readonly Family[];
  status(): StatusView;
  hosts(query: HostQuery): { hosts: HostView[]; next: Ip | undefined; total: number };
  macs(query: MacQuery): { macs: MacView[]; next: Mac | undefined; total: number };
  host(ip: Ip): HostView | undefined;
  interfaces(): InterfaceView[];
  why(ip: Ip): WhyView;
  /** With the name of an interface, only what was ignored on it. */
  drops(place?: string): DropView[];
  alarms(): AlarmsAnswer;
  config(): ConfigView;
  /** Undefined without [mapping]. */
  mapping(): MappingView | undefined;
  reload(): CommandResult;
  setLogLevel(level: LogLevel): CommandResult;
  command(command: Command): Promise<CommandResult>;
  /** Calls `listener` with an EventRecord for everything that happens, until the returned function is called. */
  subscribe(listener: (record: object) => void): () => void;
  /** Writes a pcapng recording of everything to `stream` until it closes. False: there are as many as there may be. */
  record(stream: Writable): boolean;
  /** Prometheus text. */
  metrics(): Promise<string>;
}

interface Call {
  readonly api: Api;
  readonly response: ServerResponse;
  readonly subscribers: EventSubscribers;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** A last segment `{ip}` is a field of the input. */
  readonly path: string;
  readonly input: z.ZodObject;
  /**
   * `input` is the JSON body of a POST; for a GET it holds the query and what the path names. Resolves with the body of
   * the answer, or with undefined when the answer is written already. @throws Refusal
   */
  handle(input: unknown, call: Call): Promise<object | undefined>;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const MAX_ADDRESSES = 256;
const MAX_PAGE = 10_000;
const STREAMED_PAGE = 2000;
/** A machine may have many addresses. */
const MACS_PAGE = 1000;
const COMMAND_TIMEOUT_MS = 10_000;
const MAX_SUBSCRIBERS = 64;
const KEEPALIVE_PROBE_MS = 30_000;

// --- fields of requests ----------------------------------------------------------------------------------------------

/** Text that `read` turns into a value; `what` names it when something other than text is given. */
function text<T>(what: string, read: (input: string) => Reading<T>) {
  const error = ({ input }: { readonly input?: unknown }) =>
    input === undefined ? 'is missing' : `${JSON.stringify(input)} is not ${what}`;
  return z.string({ error }).transform((input, context): T => {
    const reading = read(input);
    if ('value' in reading) return reading.value;
    context.issues.push({ code: 'custom', message: reading.problem, input });
    return z.NEVER;
  });
}

const hostIp = text('an IP address', readHostIp);
const hostMac = text('a MAC address', readHostMac);

const hostIps = z.preprocess(
  (input) => (Array.isArray(input) ? input : input === undefined || input === null ? [] : [input]),
  z
    .array(hostIp)
    .max(MAX_ADDRESSES, { error: `at most ${MAX_ADDRESSES} addresses at once` })
    .transform((ips) => [...new Set(ips)]),
);

/** What the kernel accepts as a name (IFNAMSIZ 16, no slash, no space). */
const interfaceName = text('an interface name', (input) =>
  /^[^\s/:]{1,15}$/.test(input) && input !== '.' && input !== '..' && Buffer.byteLength(input) <= 15
    ? { value: input }
    : { problem: `${JSON.stringify(input)} is not an interface name` },
);

/** Names with commas between them, each one of `known`. */
function listOf<T extends string>(known: readonly T[]) {
  return text('a list of names', (input): Reading<ReadonlySet<T>> => {
    const names = input.split(',');
    const unknown = names.find((name) => !(known as readonly string[]).includes(name));
    return unknown === undefined
      ? { value: new Set(names as T[]) }
      : { problem: `${JSON.stringify(unknown)} is not one of ${known.join(', ')}` };
  });
}

const pageLimit = text('a number', (input) =>
  /^[1-9]\d{0,4}$/.test(input) && Number(input) <= MAX_PAGE
    ? { value: Number(input) }
    : { problem: `${JSON.stringify(input)} is not a number from 1 to ${MAX_PAGE}` },
);

const hostFilter = {
  state: listOf<HostState>(HOST_STATES).optional(),
  interface: interfaceName.optional(),
  mac: hostMac.optional(),
  prefix: text('a prefix', readHostPrefix).optional(),
  limit: pageLimit.optional(),
};

/** `next` of the page before. */
const afterIp = text('an IP address', readIp).optional();
const afterMac = text('a MAC address', readHostMac).optional();

const logLevel = z.enum(LOG_LEVELS, {
  error: ({ input }) =>
    input === undefined ? 'is missing' : `${JSON.stringify(input)} is not one of ${LOG_LEVELS.join(', ')}`,
});

const roleState = z.enum(ROLE_KINDS, {
  error: ({ input }) =>
    input === undefined ? 'is missing' : `${JSON.stringify(input)} is not one of ${ROLE_KINDS.join(', ')}`,
});

const guest = { mac: hostMac.nullish(), ip: hostIps, interface: interfaceName };

// --- the table -------------------------------------------------------------------------------------------------------

function route<S extends z.ZodRawShape>(
  method: Route['method'],
  path: string,
  fields: S,
  handle: (input: z.output<z.ZodObject<S>>, call: Call) => object | Promise<object | undefined>,
): Route {
  const schema = z.strictObject(fields, {
    error: ({ code }) => (code === 'invalid_type' ? 'the body must be a JSON object' : undefined),
  });
  const names = Object.keys(fields);
  const allowed = names.length === 0 ? 'none is allowed' : `allowed: ${names.join(', ')}`;
  const what = method === 'GET' ? 'query parameter' : 'field';
  return {
    method,
    path,
    input: schema,
    async handle(input, call) {
      const { success, data, error } = schema.safeParse(input);
      if (success) {
        const refusal = familyRefusal(data, call.api.families());
        if (refusal !== undefined) throw badRequest(refusal);
        return handle(data, call);
      }
      // A misspelt field is also a missing one, and the first of the two says more.
      const unknown = error.issues.find(({ code }) => code === 'unrecognized_keys');
      if (unknown?.code === 'unrecognized_keys') {
        throw badRequest(`unknown ${what} ${JSON.stringify(unknown.keys[0])} (${allowed})`);
      }
      const [issue] = error.issues;
      const field = issue?.path[0];
      throw badRequest(`${field === undefined ? '' : `${String(field)}: `}${issue?.message}`);
    },
  };
}

export const METRICS_ROUTE = route('GET', '/metrics', {}, async (_, { api, response }) => {
  const metrics = await api.metrics();
  response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
  response.end(metrics);
  return undefined;
});

export const ROUTES: readonly Route[] = [
  METRICS_ROUTE,
  route('GET', '/v1/status', {}, (_, { api }) => api.status()),
  route('GET', '/v1/hosts', { ...hostFilter, after: afterIp }, listHosts),
  route('GET', '/v1/macs', { ...hostFilter, after: afterMac }, (query, { api }) => {
    const { macs, next, total } = api.macs({ ...query, limit: query.limit ?? MACS_PAGE });
    return { total, macs, next: next === undefined ? null : formatMac(next) };
  }),
  route('GET', '/v1/hosts/{ip}', { ip: hostIp }, ({ ip }, { api }) => {
    const host = api.host(ip);
    if (host !== undefined) return host;
    const address = formatIp(ip);
    throw new Refusal(404, 'no-such-host', `no such host: ${address} (see /v1/why/${address})`);
  }),
  route('GET', '/v1/interfaces', {}, (_, { api }) => ({ interfaces: api.interfaces() })),
  route('GET', '/v1/why/{ip}', { ip: hostIp }, ({ ip }, { api }) => api.why(ip)),
  route('GET', '/v1/drops', { interface: interfaceName.optional() }, ({ interface: place }, { api }) => ({
    drops: api.drops(place),
  })),
  route('GET', '/v1/alarms', {}, (_, { api }) => api.alarms()),
  route('GET', '/v1/config', {}, (_, { api }) => api.config()),
  route('GET', '/v1/mapping', {}, (_, { api }) => {
    const mapping = api.mapping();
    if (mapping !== undefined) return mapping;
    throw new Refusal(
      404,
      'no-mapping',
      'there is no mapping system here: the configuration has no [mapping]',
    );
  }),
  route(
    'GET',
    '/v1/events',
    { kinds: listOf<EventKind>(EVENT_KINDS).optional(), ip: hostIp.optional() },
    streamEvents,
  ),
  route('GET', '/v1/capture', {}, streamCapture),
  route('POST', '/v1/prepare', guest, ({ mac, ip: ips, interface: name }, call) => {
    if (mac === undefined || mac === null)
      throw badRequest('mac: prepare needs the MAC address of the guest');
    if (ips.length === 0) throw badRequest('ip: prepare needs the addresses of the guest');
    return command(call, { name: 'prepare', mac, ips, interface: name });
  }),
  route('POST', '/v1/attach', guest, (input, call) => signal('attach', input, call)),
  route('POST', '/v1/detach', guest, (input, call) => signal('detach', input, call)),
  route('POST', '/v1/probe', { ip: hostIp }, ({ ip }, call) => command(call, { name: 'probe', ip })),
  route('POST', '/v1/clear', { ip: hostIp }, ({ ip }, call) => command(call, { name: 'clear', ip })),
  route('POST', '/v1/discover', { prefix: text('a prefix', readHostPrefix) }, ({ prefix }, call) => {
    if (isIpv4(prefix.ip)) return command(call, { name: 'discover', prefix });
    const what = `${formatPrefix(prefix)} has too many addresses to ask for each`;
    throw badRequest(`prefix: ${what}; hosts of IPv6 name themselves in MLD reports`);
  }),
  route(
    'POST',
    '/v1/role',
    { interface: interfaceName, state: roleState },
    ({ interface: name, state }, call) => command(call, { name: 'role', interface: name, state }),
  ),
  route('POST', '/v1/reload', {}, (_, { api }) => accepted(api.reload())),
  route('POST', '/v1/log-level', { level: logLevel }, ({ level }, { api }) =>
    accepted(api.setLogLevel(level)),
  ),
];

/** The route of a request and the field that its path names. @throws Refusal 404, 405 */
export function findRoute(
  routes: readonly Route[],
  method: string | undefined,
  path: string,
): { readonly route: Route; readonly fields: Readonly<Record<string, string>> } {
  const slash = path.lastIndexOf('/');
  const found =
    routes.filter((route) => route.path === path)[0] ??
    // Without the address it is a request for this route that lacks a field.
    routes.filter(
      (route) => route.path === `${path}/{ip}` || route.path === `${path.slice(0, slash)}/{ip}`,
    )[0];
  if (found === undefined) {
    const list = routes.map((route) => `${route.method} ${route.path}`).join(', ');
    throw new Refusal(404, 'not-found', `no such path: ${path} (available: ${list})`);
  }
  if (found.method !== method) {
    const message = `${path} accepts ${found.method}, not ${method}`;
    throw new Refusal(405, 'method-not-allowed', message, { Allow: found.method });
  }
  const named = found.path.endsWith('/{ip}') && !found.path.startsWith(`${path}/`);
  return { route: found, fields: named ? { ip: path.slice(slash + 1) } : {} };
}

// --- handlers --------------------------------------------------------------------------------------------------------

function signal(
  name: 'attach' | 'detach',
  { mac, ip: ips, interface: target }: z.output<z.ZodObject<typeof guest>>,
  call: Call,
): Promise<CommandResult> {
  if ((mac === undefined || mac === null) && ips.length === 0) {
    throw badRequest(`mac, ip: ${name} needs at least one of them`);
  }
  return command(call, { name, mac: mac ?? undefined, ips, interface: target });
}

/** @throws Refusal 409 */
function accepted(result: CommandResult): CommandResult {
  if (!result.ok) throw new Refusal(409, 'refused', result.message);
  return result;
}

async function command({ api }: Call, wanted: Command): Promise<CommandResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `${wanted.name}: no result within ${COMMAND_TIMEOUT_MS} ms`;
    timer = setTimeout(() => reject(new Refusal(504, 'timeout', message)), COMMAND_TIMEOUT_MS);
  });
  try {
    return accepted(await Promise.race([api.command(wanted), late]));
  } finally {
    clearTimeout(timer);
  }
}

/** Without `limit` all hosts, a page per event-loop turn, at the speed of the client. */
async function listHosts(
  filter: z.output<z.ZodObject<typeof hostFilter>> & { readonly after?: Ip | undefined },
  { api, response }: Call,
): Promise<object | undefined> {
  const query: HostQuery = { ...filter, limit: filter.limit ?? STREAMED_PAGE };
  const page = api.hosts(query);
  if (filter.limit !== undefined || page.next === undefined) {
    return { ...page, next: page.next === undefined ? null : formatIp(page.next) };
  }
  response.writeHead(200, { 'Content-Type': 'application/json' });
  try {
    await pipeline(allHosts(api, query, page), response);
  } catch (error) {
    // The client has hung up.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
  return undefined;
}

async function* allHosts(
  api: Api,
  query: HostQuery,
  first: ReturnType<Api['hosts']>,
): AsyncGenerator<string> {
  let page = first;
  const json = () => page.hosts.map((host) => JSON.stringify(host)).join(',');
  yield `{"total":${page.total},"hosts":[${json()}`;
  while (page.next !== undefined) {
    await setImmediate();
    page = api.hosts({ ...query, after: page.next });
    if (page.hosts.length > 0) yield `,${json()}`;
  }
  yield '],"next":null}\n';
}

async function streamEvents(
  { kinds, ip }: { readonly kinds?: ReadonlySet<EventKind> | undefined; readonly ip?: Ip | undefined },
  { response, subscribers }: Call,
): Promise<undefined> {
  if (subscribers.size >= MAX_SUBSCRIBERS) {
    throw new Refusal(503, 'too-many-readers', `${MAX_SUBSCRIBERS} event streams are open already`);
  }
  // A quiet network has a quiet stream.
  response.setTimeout(0);
  response.socket?.setKeepAlive(true, KEEPALIVE_PROBE_MS);
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'Cache-Control': 'no-store' });
  response.flushHeaders();
  subscribers.add(response, kinds, ip === undefined ? undefined : formatIp(ip));
  return undefined;
}

async function streamCapture(_: object, { api, response }: Call): Promise<undefined> {
  response.setTimeout(0);
  response.socket?.setKeepAlive(true, KEEPALIVE_PROBE_MS);
  response.setHeader('Content-Type', 'application/x-pcapng');
  response.setHeader('Cache-Control', 'no-store');
  if (!api.record(response)) throw new Refusal(503, 'too-many-readers', 'as many captures as there may be');
  response.flushHeaders();
  return undefined;
}
