import { type Command, HOST_STATES } from '../mobility/events.js';
import { type Ip, parseMac } from '../wire/addresses.js';
import { type Reading, readHostIp, readHostMac, readHostPrefix, readIp } from '../wire/host-address.js';
import type { HostQuery } from './schemas.js';

/** Requests of the control API, from hostile text to typed values. By hand: marpctl in a hook has no time for zod. */

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
  const readAddress = <T>(key: string, reader: (text: string) => Reading<T>): T | undefined => {
    const text = query.get(key);
    return text === null ? undefined : take(key, text, reader, '');
  };
  return {
    state: read(
      'state',
      (text) => HOST_STATES.find((state) => state === text),
      `one of ${HOST_STATES.join(', ')}`,
    ),
    interface: read('interface', (text) => (isInterfaceName(text) ? text : undefined), 'an interface name'),
    mac: read('mac', parseMac, 'a MAC address'),
    prefix: readAddress('prefix', readHostPrefix),
    limit: read(
      'limit',
      (text) => (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= MAX_PAGE ? Number(text) : undefined),
      `a number from 1 to ${MAX_PAGE}`,
    ),
    after: readAddress('after', readIp),
  };
}

/** Address in a path or a body that one host can have. @throws BadRequest */
export function parseHostIp(text: unknown): Ip {
  return take('ip', text, readHostIp, 'an IP address');
}

function take<T>(field: string, value: unknown, read: (text: string) => Reading<T>, expected: string): T {
  if (typeof value !== 'string')
    throw new BadRequest(`${field}: ${JSON.stringify(value)} is not ${expected}`);
  const reading = read(value);
  if ('problem' in reading) throw new BadRequest(`${field}: ${reading.problem}`);
  return reading.value;
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
  const mac =
    fields.mac === undefined || fields.mac === null
      ? undefined
      : take('mac', fields.mac, readHostMac, 'a MAC address');
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
