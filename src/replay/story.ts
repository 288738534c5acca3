import type { Action, IfIndex } from '../mobility/events.js';
import type { CapturedPacket } from '../wire/pcap/capture-file.js';

/** One thing that happened and what followed from it, as the replays tell it. */
export interface Chapter {
  /** ns since 1970. */
  readonly timeNs: bigint;
  /** Where the packet was captured; undefined: it is about no packet. */
  readonly interface: string | undefined;
  /** Of the capture, or an answer that was assumed. */
  readonly packet: Pick<CapturedPacket, 'bytes' | 'length' | 'direction'> | undefined;
  /** What happened that is no packet, or a remark about the packet. */
  readonly note: string | undefined;
  readonly actions: readonly Action[];
  /** A recording says otherwise. */
  readonly differences: readonly string[];
}

export type NameOf = (iface: IfIndex) => string | undefined;
