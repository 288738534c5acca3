import type { Event, Link, Route } from '../mobility/events.js';
import type { Policy } from '../mobility/policy.js';
import type { Snapshot } from '../mobility/seed.js';
import { formatIp, formatPrefix } from '../wire/addresses.js';

/**
 * What the tracker was given, apart from frames, as JSON in a journal entry of a capture file. Numbers survive exactly:
 * JSON has the shortest text that reads as the same number again.
 */

/** An input of the tracker that is no frame, and what it decided. `at` is the daemon's clock in ms. */
export type Input = {
  readonly at: number;
  readonly decided: readonly string[];
} & (
  | {
      readonly event: Exclude<Event, { kind: 'frame' | 'misdirected-packet' }>;
      /** Of a link: its list of addresses is the very one of before, by which the tracker knows that none changed. */
      readonly sameAddresses?: boolean;
    }
  | { readonly policy: Policy }
  /** What the tracker knew when the recording began. */
  | { readonly known: Snapshot }
);

/** The beginning of a recording. */
export interface Start {
  readonly version: 1;
  /** ms since 1970 at which the daemon's clock stood at 0. */
  readonly originMs: number;
  readonly policy: Policy;
  /** Whether the tracker knew nothing before; otherwise it is said what it knew. */
  readonly complete: boolean;
}

export const FIELD = {
  start: 'MARPD_START',
  input: 'MARPD_INPUT',
  /** The input goes on in the next entry. */
  part: 'MARPD_INPUT_PART',
} as const;

/** An entry is to stay below what Wireshark accepts, in UTF-8. */
const PART_CHARACTERS = 60_000;

/** The comment of a frame that waited for the daemon, in whole ms. */
export function describeWait(queuedMs: number): string {
  return `waited ${queuedMs} ms`;
}

/** Reads the comments of a frame: for how long it waited, and what was decided. */
export function splitWait(comments: readonly string[]): {
  readonly queuedMs: number;
  readonly decided: readonly string[];
} {
  const waited = /^waited (\d+) ms$/.exec(comments[0] ?? '');
  return waited === null
    ? { queuedMs: 0, decided: comments }
    : { queuedMs: Number(waited[1]), decided: comments.slice(1) };
}

/** All of a text but its last part, and that part. */
export function partsOf(text: string): { readonly parts: readonly string[]; readonly last: string } {
  const parts: string[] = [];
  let at = 0;
  for (; text.length - at > PART_CHARACTERS; at += PART_CHARACTERS)
    parts.push(text.slice(at, at + PART_CHARACTERS));
  return { parts, last: text.slice(at) };
}

/** JSON has no infinity, no NaN, no Map, no Set and no undefined in lists. */
function encode(_key: string, value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $: String(value) };
  if (value instanceof Set) return { $: 'Set', entries: [...value] };
  return value instanceof Map ? { $: 'Map', entries: [...value] } : value;
}

function decode(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('$' in value)) return value;
  const { entries } = value as { entries?: [unknown, unknown][] };
  if (value.$ === 'Set') return new Set(entries);
  return value.$ === 'Map' ? new Map(entries) : Number(value.$);
}

export function toJson(value: Input | Start): string {
  return JSON.stringify(value, encode);
}

/** @throws SyntaxError */
export function fromJson<T extends Input | Start>(text: string): T {
  return JSON.parse(text, decode) as T;
}

/** For a person who reads the journal entries in Wireshark. */
export function describeInput(input: Input, nameOf: (iface: number) => string | undefined): string {
  if ('policy' in input) return 'configuration';
  if ('known' in input) {
    const { table, fib } = input.known;
    return `known before: ${table.hosts.length} addresses, ${fib.routes.length} routes of others`;
  }
  const { event } = input;
  switch (event.kind) {
    case 'link':
      return `link ${describeLink(event.link)}`;
    case 'route':
      return `route ${event.change} ${describeRoute(event.route, nameOf)}`;
    case 'capture':
      return `capture of ${nameOf(event.iface) ?? event.iface} ${event.open ? 'began' : 'ended'}`;
    case 'command':
      return `command ${event.command.name}`;
    case 'installed':
      return `installed ${formatIp(event.ip)} (${event.age})`;
    case 'refused':
      return `refused ${formatIp(event.ip)}: ${event.message}`;
    default:
      return event.kind;
  }
}

function describeLink({ name, up, carrier }: Link): string {
  return `${name} ${up ? 'up' : 'down'}${carrier ? '' : ', no carrier'}`;
}

export function describeRoute(route: Route, nameOf: (iface: number) => string | undefined): string {
  const via = route.via === undefined ? '' : ` via ${formatIp(route.via)}`;
  const dev = route.iface === undefined ? '' : ` dev ${nameOf(route.iface) ?? `if${route.iface}`}`;
  return `${formatPrefix(route.prefix)}${via}${dev} proto ${route.protocol} metric ${route.metric}`;
}
