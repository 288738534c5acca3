import type { IfIndex } from '../mobility/events.js';
import { type Mac, formatMac } from '../wire/addresses.js';
import { MESSAGE_FILTER } from './family/families.js';
import type { Counters } from './protocol.js';
import type { InterfaceStats } from './stats.js';

export interface CaptureLink {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
  /** A pcap-filter(7) expression; the neighbour messages of others when there is none. */
  readonly filter?: string;
}

export function filterOf(link: CaptureLink): string {
  return link.filter ?? `${MESSAGE_FILTER} and not ether src ${formatMac(link.mac)}`;
}

export const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 5000;

const RING_BUDGET_BYTES = 50 << 20;
const RING_MOST_BYTES = 10 << 20;
const RING_LEAST_BYTES = 128 << 10;

const NO_COUNTERS: Counters = {
  kernelReceived: 0,
  kernelDropped: 0,
  shed: 0,
  sendFailed: 0,
  absorbed: 0,
  refused: 0,
};

/** One interface that the daemon wants captured, in children of the type C. */
export interface CapturedInterface<C> {
  link: CaptureLink;
  readonly ringBytes: number;
  /** Where it is open, or is being opened with `serial`. */
  child: C | undefined;
  serial: number;
  open: boolean;
  /** Where it is moving to. */
  next: { readonly child: C; readonly serial: number } | undefined;
  retry: NodeJS.Timeout | undefined;
  retryMs: number;
  /** The last reason told to the daemon, so that it is told once. */
  reason: string;
  frames: number;
  /** Frames offered when the present window began. */
  framesBefore: number;
  /** Windows in a row that were floods. */
  floodWindows: number;
  quietSince: number;
  /** Counters of the present child, and of all former ones. */
  counters: Counters;
  former: Counters;
}

export function watch<C>(link: CaptureLink, ringBytes: number): CapturedInterface<C> {
  return {
    link,
    ringBytes,
    child: undefined,
    serial: 0,
    open: false,
    next: undefined,
    retry: undefined,
    retryMs: RETRY_FIRST_MS,
    reason: '',
    frames: 0,
    framesBefore: 0,
    floodWindows: 0,
    quietSince: 0,
    counters: NO_COUNTERS,
    former: NO_COUNTERS,
  };
}

/**
 * Bytes of ring for one more interface. Rings are resident memory, so that hundreds of interfaces get small ones:
 * 10 MB hold 50,000 frames, 128 KB hold 600. The rings together stay below 50 MB + 128 KB each.
 */
export function ringBytesFor(rings: Iterable<{ readonly ringBytes: number }>): number {
  let left = RING_BUDGET_BYTES;
  for (const { ringBytes } of rings) left -= ringBytes;
  return Math.max(RING_LEAST_BYTES, Math.min(RING_MOST_BYTES, Math.floor(left / 5)));
}

/** Milliseconds until the next try to open it; each is later than the one before. */
export function nextRetryMs(watched: CapturedInterface<unknown>): number {
  const { retryMs } = watched;
  watched.retryMs = Math.min(RETRY_MOST_MS, retryMs * 2);
  return retryMs;
}

/** It has left its child, whose counters begin anew in the next one. */
export function carryOverCounters(watched: CapturedInterface<unknown>): void {
  watched.former = sum(watched.former, watched.counters);
  watched.counters = NO_COUNTERS;
}

/** Frames delivered, and those that were kept back or lost on the way. */
export function offeredTo({ frames, former, counters }: CapturedInterface<unknown>): number {
  const { shed, kernelDropped, absorbed, refused } = sum(former, counters);
  return frames + shed + kernelDropped + absorbed + refused;
}

export function statsOf(watched: CapturedInterface<{ readonly flood: boolean }>): InterfaceStats {
  const { kernelReceived, kernelDropped, ...counters } = sum(watched.former, watched.counters);
  return {
    iface: watched.link.index,
    name: watched.link.name,
    open: watched.open,
    frames: watched.frames,
    flooded: watched.child?.flood === true,
    kernelReceived,
    kernelDrops: kernelDropped,
    ...counters,
  };
}

function sum(a: Counters, b: Counters): Counters {
  return {
    kernelReceived: a.kernelReceived + b.kernelReceived,
    kernelDropped: a.kernelDropped + b.kernelDropped,
    shed: a.shed + b.shed,
    sendFailed: a.sendFailed + b.sendFailed,
    absorbed: a.absorbed + b.absorbed,
    refused: a.refused + b.refused,
  };
}
