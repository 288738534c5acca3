import { type Action, type ClaimAge, type IfIndex, MACHINE_OF } from '../mobility/events.js';
import { type Ip, type Mac, formatIp, formatMac } from '../wire/addresses.js';

/** What happened, as /v1/events sends it. Made only while there is a subscriber. */

export const EVENT_KINDS = [
  'transition',
  'alarm',
  'answered',
  'role',
  'evidence',
  'drop',
  'installed',
  'lost',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** One line of /v1/events. */
export interface EventRecord {
  readonly event: EventKind;
  /** ISO 8601, with microseconds. */
  readonly time?: string;
  readonly ip?: string | null;
  readonly [key: string]: unknown;
}

/** Wall-clock time in ms at which the monotonic clock stood at 0. */
export type ClockOrigin = number;

export const ipOrNull = (ip: Ip | undefined): string | null => (ip === undefined ? null : formatIp(ip));
export const macOrNull = (mac: Mac | undefined): string | null => (mac === undefined ? null : formatMac(mac));

/** ISO 8601 with microseconds: a proof on a LAN takes a fraction of a millisecond. */
export function formatTime(origin: ClockOrigin, at: number): string {
  const wall = origin + at;
  const whole = Math.floor(wall);
  const micros = Math.floor((wall - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** The record of an action, or undefined for actions that are no news (send, claim, release, ...). */
export function recordOf(
  action: Action,
  origin: ClockOrigin,
  nameOf: (iface: IfIndex) => string | undefined,
): EventRecord | undefined {
  switch (action.kind) {
    case 'transition':
      return {
        event: 'transition',
        time: formatTime(origin, action.at),
        ip: formatIp(action.ip),
        from: action.from,
        to: action.to,
        cause: action.cause,
        machine: MACHINE_OF[action.cause],
        interface: action.interface ?? null,
        mac: macOrNull(action.mac),
        deadlineMs: action.deadline === undefined ? null : action.deadline - action.at,
      };
    case 'alarm':
      return {
        event: 'alarm',
        time: formatTime(origin, action.at),
        alarm: action.alarm,
        ip: ipOrNull(action.ip),
        mac: macOrNull(action.mac),
        interface: action.interface ?? null,
        otherMac: macOrNull(action.otherMac),
        otherInterface: action.otherInterface ?? null,
        message: action.message,
      };
    case 'role':
      return {
        event: 'role',
        time: formatTime(origin, action.at),
        interface: action.interface,
        family: action.family,
        role: action.role,
        state: action.state,
        reason: action.reason,
      };
    case 'evidence':
      return {
        event: 'evidence',
        time: formatTime(origin, action.at),
        ip: ipOrNull(action.ip),
        evidence: action.evidence,
        interface: action.interface,
        mac: formatMac(action.mac),
        rttMs: action.rttMs ?? null,
      };
    case 'answered':
      return {
        event: 'answered',
        time: formatTime(origin, action.at),
        ip: formatIp(action.asker),
        target: formatIp(action.target),
        interface: action.interface,
      };
    case 'drop':
      return {
        event: 'drop',
        time: formatTime(origin, action.at),
        ip: ipOrNull(action.ip),
        reason: action.reason,
        interface: nameOf(action.iface) ?? null,
        mac: macOrNull(action.mac),
      };
    default:
      return undefined;
  }
}

/** The kernel acknowledged a claim; `latencyMs` is the time since the frame or command that caused it. */
export function installedRecord(
  ip: Ip,
  age: ClaimAge,
  dev: string,
  latencyMs: number | undefined,
  origin: ClockOrigin,
  at: number,
): EventRecord {
  return {
    event: 'installed',
    time: formatTime(origin, at),
    ip: formatIp(ip),
    age,
    interface: dev,
    latencyMs: latencyMs ?? null,
  };
}
