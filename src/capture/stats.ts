import { readFileSync } from 'node:fs';
import type { IfIndex } from '../mobility/events.js';

export interface CaptureStats {
  readonly frames: number;
  readonly batches: number;
  readonly sent: number;
  /** Frames that were not sent because the interface was not open or its reader did not read. */
  readonly sendRefused: number;
  /** Readers that died and were replaced. */
  readonly restarts: number;
  readonly children: readonly ReaderStats[];
  readonly interfaces: readonly InterfaceStats[];
}

export interface ReaderStats {
  readonly pid: number;
  readonly interfaces: number;
  /** Resident memory, its rings included; undefined when it has just died. */
  readonly rssBytes: number | undefined;
}

/** Totals since open() was first called for the interface; the last five are at most a second old. */
export interface InterfaceStats {
  readonly iface: IfIndex;
  readonly name: string;
  readonly open: boolean;
  /** Frames delivered to the daemon. */
  readonly frames: number;
  /** Frames that passed the filter in the kernel. */
  readonly kernelReceived: number;
  /** Those of them that found the ring full (PACKET_STATISTICS, by way of libpcap). */
  readonly kernelDrops: number;
  /** Frames that the reader dropped because the daemon did not keep up. */
  readonly dropped: number;
  /** Frames that the kernel refused to send. */
  readonly sendFailed: number;
  /** Announcements of known hosts that the reader kept back, as the daemon wanted. */
  readonly suppressed: number;
}

/** Resident memory of a process from /proc, undefined when there is no such process. */
export function residentBytes(pid: number): number | undefined {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}
