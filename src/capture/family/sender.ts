/** What the head of a captured frame says about its sender, as far as the reader has to know it. */
export interface FrameSender {
  /** An announcement repeats the sender's own pair of addresses; an ACD probe only wants `ip` (RFC 5227 section 2.1.1). */
  kind: 'announcement' | 'acd-probe' | 'other';
  ip: number;
  /** The first two bytes of the sender's MAC as the message states it, and the other four. */
  macHigh: number;
  macLow: number;
}

/**
 * The order in which frames leave a queue. A `reply` may answer a question that we asked by unicast. A `question` waits for
 * our answer: a host cannot send before it has it.
 */
export type FrameRank = 'reply' | 'question' | 'other';

/** What the capture has to know of the frames of one address family. */
export interface FrameFamily {
  /** A pcap-filter(7) expression, one term, for the family's neighbour messages. */
  readonly messageFilter: string;
  /** The same for its packets, of which stale neighbours are read. */
  readonly packetFilter: string;
  /** The EtherTypes of both. */
  readonly etherTypes: readonly number[];
  /** `bytes` may be longer than the frame. */
  rank(bytes: Uint8Array): FrameRank;
  /** Reads the sender of the frame in the first `length` bytes into `sender`; false when there is none to be read. */
  readSender(bytes: Uint8Array, length: number, sender: FrameSender): boolean;
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return ((readUint16(bytes, at) << 16) | readUint16(bytes, at + 2)) >>> 0;
}
