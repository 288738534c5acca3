import type { IfIndex } from '../mobility/events.js';
import { type Family, type Mac, formatMac } from '../wire/addresses.js';
import { longMessageFilter, messageFilter } from './family/families.js';
import { RING_BUDGET_BYTES, RING_LEAST_BYTES, RING_MOST_BYTES } from './overload/constants.js';
import type { Counters } from './protocol.js';
import type { InterfaceStats } from './stats.js';

export interface CaptureLink {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac;
  /** A pcap-filter(7) expression; the neighbour messages of others when there is none. */
  readonly filter?: string;
}

export function filterOf(link: CaptureLink, families: readonly Family[]): string {
  return link.filter ?? `${messageFilter(families)} and ${notFrom(link)}`;
}

/** For messages that may be long; '' when there are none. */
export function longFilterOf(link: CaptureLink, families: readonly Family[]): string {
  const filter = link.filter === undefined ? longMessageFilter(families) : undefined;
  return filter === undefined ? '' : `${filter} and ${notFrom(link)}`;
}

function notFrom({ mac }: CaptureLink): string {
  return `not ether src ${formatMac(mac)}`;
}

export const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 5000;
export const REOPEN_MS = 1000;

const NO_COUNTERS: Counters = {
  kernelReceived: 0,
  kernelDropped: 0,
  dropped: 0,
  sendFailed: 0,
  suppressed: 0,
};

/** One interface that the daemon wants captured. */
export interface CapturedInterface {
  link: CaptureLink;
  readonly ringBytes: number;
  /** Of the last opening; 0 before the first one in this reader. */
  serial: number;
  open: boolean;
  /** When this was asked of the reader last. */
  openedAt: number;
  retry: NodeJS.Timeout | undefined;
  retryMs: number;
  /** For how long the next frames have waited in the reader. */
  queuedMs: number;
  /** The last reason reported to the daemon, so that it is reported once. */
  reason: string;
  frames: number;
  /** Counters of the present opening, and of all former ones. */
  counters: Counters;
  former: Counters;
}

export function capturedInterface(link: CaptureLink, ringBytes: number): CapturedInterface {
  return {
    link,
    ringBytes,
    serial: 0,
    open: false,
    openedAt: Number.NEGATIVE_INFINITY,
    retry: undefined,
    retryMs: RETRY_FIRST_MS,
    queuedMs: 0,
    reason: '',
    frames: 0,
    counters: NO_COUNTERS,
    former: NO_COUNTERS,
  };
}

/**
 * Bytes of ring for one more interface. Rings are resident memory, so hundreds of interfaces get small ones: 10 MB hold
 * 50,000 frames, 128 KB hold 600. The rings together stay below 50 MB + 128 KB each.
 */
export function ringBytesFor(rings: Iterable<{ readonly ringBytes: number }>): number {
  let left = RING_BUDGET_BYTES;
  for (const { ringBytes } of rings) left -= ringBytes;
  return Math.max(RING_LEAST_BYTES, Math.min(RING_MOST_BYTES, Math.floor(left / 5)));
}

/** Milliseconds until the next try to open it; each is later than the one before. */
export function nextRetryMs(known: CapturedInterface): number {
  const { retryMs } = known;
  known.retryMs = Math.min(RETRY_MOST_MS, retryMs * 2);
  return retryMs;
}

/** Its counters begin anew: it is opened again, or its reader has died. */
export function carryOverCounters(known: CapturedInterface): void {
  known.former = sum(known.former, known.counters);
  known.counters = NO_COUNTERS;
}

export function statsOf(known: CapturedInterface): InterfaceStats {
  const { kernelReceived, kernelDropped, ...counters } = sum(known.former, known.counters);
  return {
    iface: known.link.index,
    name: known.link.name,
    open: known.open,
    frames: known.frames,
    kernelReceived,
    kernelDrops: kernelDropped,
    ...counters,
  };
}

function sum(a: Counters, b: Counters): Counters {
  return {
    kernelReceived: a.kernelReceived + b.kernelReceived,
    kernelDropped: a.kernelDropped + b.kernelDropped,
    dropped: a.dropped + b.dropped,
    sendFailed: a.sendFailed + b.sendFailed,
    suppressed: a.suppressed + b.suppressed,
  };
}
