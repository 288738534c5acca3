import * as z from 'zod';
import { ALARMS, CAUSES, type Command, DROP_REASONS, HOST_STATES } from '../mobility/events.js';
import {
  type Ip,
  type Mac,
  type Prefix,
  isGroupMac,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
  parseIp,
  parseMac,
  parsePrefix,
} from '../wire/addresses.js';

/**
 * Bodies and answers of the control API. Addresses are text, times are milliseconds, what is not known is null: the
 * shape of an answer does not depend on its content.
 */

const ms = z.number();
const ipAddress = z.string();
const macAddress = z.string();
const count = z.int().min(0);
const hostState = z.enum(HOST_STATES as [(typeof HOST_STATES)[number], ...(typeof HOST_STATES)[number][]]);
const cause = z.enum(CAUSES);
const dropReason = z.enum(DROP_REASONS);

export const hostView = z.object({
  ip: ipAddress,
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  state: hostState,
  /** Why it entered this state. */
  cause: cause.nullable(),
  /** Time in this state. */
  sinceMs: ms,
  /** Time since its last frame. */
  lastHeardMs: ms.nullable(),
  /** Smoothed round trip of our questions. */
  rttMs: ms.nullable(),
  /** Time until this state ends by itself. */
  deadlineMs: ms.nullable(),
  /** Another router's route for the host. */
  remote: z
    .object({
      table: z.int(),
      protocol: z.int(),
      metric: z.int(),
      via: ipAddress.nullable(),
      interface: z.string().nullable(),
      sinceMs: ms,
    })
    .nullable(),
  /** Two places claim the host; `mac` and `interface` are the incumbent's. */
  contest: z
    .object({
      /** Contested moves within the last 180 s (RFC 7432 section 15.1). */
      count,
      frozenForMs: ms.nullable(),
      mac: macAddress.nullable(),
      interface: z.string().nullable(),
      otherMac: macAddress.nullable(),
      /** An interface name, or `remote` for another router. */
      otherInterface: z.string().nullable(),
    })
    .nullable(),
});
export type HostView = z.infer<typeof hostView>;

export const hostsPage = z.object({
  /** Hosts that match, on all pages. */
  total: count,
  hosts: z.array(hostView),
  /** Value of `after` for the next page. */
  next: z.string().nullable(),
});
export type HostsPage = z.infer<typeof hostsPage>;

export const interfaceView = z.object({
  name: z.string(),
  /** The configured name or glob that matches it. */
  pattern: z.string(),
  /** False for a configured name that the kernel does not know; the rest is then empty. */
  present: z.boolean(),
  index: z.int().nullable(),
  mac: macAddress.nullable(),
  type: z.string().nullable(),
  up: z.boolean(),
  carrier: z.boolean(),
  /** Bridge or bond it is enslaved to; then it is no mobility interface. */
  master: z.string().nullable(),
  addresses: z.array(z.string()),
  rpFilter: z.int().nullable(),
  capturing: z.boolean(),
  /** Why it is not captured. */
  reason: z.string().nullable(),
  learn: z.enum(['foreign', 'all']),
  prove: z.enum(['before', 'after', 'never']),
  keepaliveMs: ms,
  holdMs: ms,
  hosts: count,
  maxHosts: count,
  frames: count,
});
export type InterfaceView = z.infer<typeof interfaceView>;

export const alarmView = z.object({
  alarm: z.enum(ALARMS),
  agoMs: ms,
  count,
  ip: ipAddress.nullable(),
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  otherMac: macAddress.nullable(),
  otherInterface: z.string().nullable(),
  message: z.string(),
});
export type AlarmView = z.infer<typeof alarmView>;

export const statusView = z.object({
  version: z.string(),
  pid: z.int(),
  /** ISO 8601. */
  startedAt: z.string(),
  uptimeMs: ms,
  /** File of the configuration, null with `--interface`. */
  configPath: z.string().nullable(),
  lastReload: z.object({ agoMs: ms, ok: z.boolean(), message: z.string() }).nullable(),
  protocol: z.int(),
  freshTable: z.int(),
  settledTable: z.int(),
  watchTables: z.array(z.int()),
  freshMetric: z.int(),
  settledMetric: z.int(),
  hosts: z.record(hostState, count),
  interfaces: z.object({ present: count, capturing: count }),
  capture: z.object({
    children: z.array(
      z.object({ pid: z.int(), interfaces: z.array(z.string()), rssBytes: count.nullable() }),
    ),
    restarts: count,
    frames: count,
  }),
  kernel: z.object({ pending: count, commands: count, refused: count, restarts: count }),
  eventLoopLagMs: ms,
  rssBytes: count,
  /** Most recent first; one entry per kind, address and place. */
  alarms: z.array(alarmView),
});
export type StatusView = z.infer<typeof statusView>;

export const whyView = z.object({
  ip: ipAddress,
  /** One sentence for a person. */
  conclusion: z.string(),
  host: hostView.nullable(),
  /** Oldest first. */
  records: z.array(
    z.object({
      agoMs: ms,
      kind: z.enum(['evidence', 'transition', 'drop', 'alarm', 'answered']),
      /** How often in a row. */
      times: count,
      text: z.string(),
    }),
  ),
});
export type WhyView = z.infer<typeof whyView>;

export const dropView = z.object({
  reason: dropReason,
  count,
  /** Time since the last one. */
  agoMs: ms.nullable(),
  /** Of the last one. */
  ip: ipAddress.nullable(),
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  meaning: z.string(),
});
export type DropView = z.infer<typeof dropView>;

export const commandResult = z.object({ ok: z.boolean(), message: z.string() });
export type CommandResult = z.infer<typeof commandResult>;

export const errorBody = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
export type ErrorBody = z.infer<typeof errorBody>;

export const EVENT_KINDS = [
  'transition',
  'alarm',
  'answered',
  'evidence',
  'drop',
  'installed',
  'lost',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** One line of /v1/events, as records.ts makes it. */
export interface EventRecord {
  readonly event: EventKind;
  /** ISO 8601, with microseconds. */
  readonly time?: string;
  readonly ip?: string | null;
  readonly [key: string]: unknown;
}

export interface HostQuery {
  readonly state: HostView['state'] | undefined;
  readonly interface: string | undefined;
  readonly mac: Mac | undefined;
  readonly prefix: Prefix | undefined;
  /** At most this many hosts in one answer. */
  readonly limit: number;
  /** Where the page before ended: its `next`. */
  readonly after: Ip | undefined;
}

export const MAX_PAGE = 10_000;
export const MAX_ADDRESSES = 256;

/** What a request asks for cannot be done as it is written; `message` says why. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

/** Query of /v1/hosts. `limit` undefined: all of them. @throws BadRequest */
export function parseHostQuery(
  query: URLSearchParams,
): Omit<HostQuery, 'limit'> & { limit: number | undefined } {
  const known = ['state', 'interface', 'mac', 'prefix', 'limit', 'after'];
  for (const key of new Set(query.keys())) {
    if (!known.includes(key))
      throw new BadRequest(`unknown query parameter "${key}"; there are ${known.join(', ')}`);
    if (query.getAll(key).length > 1) throw new BadRequest(`query parameter "${key}" is given twice`);
  }
  const read = <T>(key: string, parse: (text: string) => T | undefined, expected: string): T | undefined => {
    const text = query.get(key);
    if (text === null) return undefined;
    const value = parse(text);
    if (value === undefined) throw new BadRequest(`${key}: ${JSON.stringify(text)} is not ${expected}`);
    return value;
  };
  return {
    state: read(
      'state',
      (text) => HOST_STATES.find((state) => state === text),
      `one of ${HOST_STATES.join(', ')}`,
    ),
    interface: read('interface', (text) => (isInterfaceName(text) ? text : undefined), 'an interface name'),
    mac: read('mac', parseMac, 'a MAC address'),
    prefix: read('prefix', parsePrefix, 'a prefix such as 10.1.1.0/24'),
    limit: read(
      'limit',
      (text) => (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= MAX_PAGE ? Number(text) : undefined),
      `a number from 1 to ${MAX_PAGE}`,
    ),
    after: read('after', parseIp, 'an address (take `next` of the page before)'),
  };
}

/** Address in a path or a body that one host can have. @throws BadRequest */
export function parseHostIp(text: unknown): Ip {
  const ip = typeof text === 'string' ? parseIp(text) : undefined;
  if (ip === undefined) throw new BadRequest(`ip: ${JSON.stringify(text)} is not an IP address`);
  if (isUnspecified(ip) || isLoopback(ip) || isMulticast(ip) || isReserved(ip)) {
    throw new BadRequest(`ip: ${text} is an address that no host can have`);
  }
  return ip;
}

export type CommandName = Command['name'];

/** A command from the body of a POST. @throws BadRequest naming the field */
export function parseCommand(name: CommandName, body: unknown): Command {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new BadRequest('the body must be a JSON object');
  const fields = body as Readonly<Record<string, unknown>>;
  const known = name === 'probe' || name === 'clear' ? ['ip'] : ['mac', 'ip', 'interface'];
  for (const key of Object.keys(fields)) {
    if (!known.includes(key))
      throw new BadRequest(`${JSON.stringify(key)}: unknown field; ${name} takes ${known.join(', ')}`);
  }
  if (name === 'probe' || name === 'clear') return { name, ip: parseHostIp(fields.ip) };
  const mac = fields.mac === undefined || fields.mac === null ? undefined : parseHostMac(fields.mac);
  const ips = parseHostIps(fields.ip);
  const target = fields.interface;
  if (typeof target !== 'string' || !isInterfaceName(target)) {
    throw new BadRequest(`interface: ${JSON.stringify(target)} is not an interface name`);
  }
  if (name === 'prepare') {
    if (mac === undefined) throw new BadRequest('mac: prepare needs the MAC address of the guest');
    if (ips.length === 0) throw new BadRequest('ip: prepare needs the addresses of the guest');
    return { name, mac, ips, interface: target };
  }
  if (mac === undefined && ips.length === 0)
    throw new BadRequest(`mac, ip: ${name} needs at least one of them`);
  return { name, mac, ips, interface: target };
}

function parseHostMac(text: unknown): Mac {
  const mac = typeof text === 'string' ? parseMac(text) : undefined;
  if (mac === undefined) throw new BadRequest(`mac: ${JSON.stringify(text)} is not a MAC address`);
  if (mac === 0 || isGroupMac(mac))
    throw new BadRequest(`mac: ${text} is zero or a group address, no host has it`);
  return mac;
}

function parseHostIps(value: unknown): Ip[] {
  if (value === undefined || value === null) return [];
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (texts.length > MAX_ADDRESSES)
    throw new BadRequest(`ip: ${texts.length} addresses, at most ${MAX_ADDRESSES} at once`);
  return [...new Set(texts.map(parseHostIp))];
}

/** What the kernel takes as a name (IFNAMSIZ 16, no slash, no space). */
export function isInterfaceName(text: string): boolean {
  return /^[^\s/:]{1,15}$/.test(text) && text !== '.' && text !== '..' && Buffer.byteLength(text) <= 15;
}
