import { type Family, type Ip, isIpv4 } from '../../wire/addresses.js';

/**
 * An address as four words of 32 bits, so that the reader need not make a value of it for every frame. IPv4 is written as
 * an IPv4-mapped address (RFC 4291 section 2.5.5.2), which no IPv6 host has.
 */
export type AddressWords = Uint32Array;

/** Before an IPv4 address in its last word: the third one. */
export const IPV4_MAPPED = 0xffff;

/** What the head of a captured frame says about its sender, as far as the reader has to know it. */
export interface FrameSender {
  /** An announcement repeats the sender's own pair of addresses; an ACD probe only wants `ip` (RFC 5227 section 2.1.1). */
  kind: 'announcement' | 'acd-probe' | 'other';
  readonly ip: AddressWords;
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
  readonly family: Family;
  /** A pcap-filter(7) expression, one term, for the family's neighbour messages of up to SNAP_BYTES. */
  readonly messageFilter: string;
  /** The same for messages that may be longer, if there are any. */
  readonly longMessageFilter?: string;
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

export function wordsOf(ip: Ip): AddressWords {
  const words = new Uint32Array(4);
  if (isIpv4(ip)) writeIpv4Words(words, ip);
  else for (let i = 0; i < 4; i++) words[i] = wordOf(ip, 4 * i);
  return words;
}

export function writeIpv4Words(words: AddressWords, ip: number): void {
  words[0] = 0;
  words[1] = 0;
  words[2] = IPV4_MAPPED;
  words[3] = ip;
}

function wordOf(characters: string, at: number): number {
  return (
    (characters.charCodeAt(at) << 24) |
    (characters.charCodeAt(at + 1) << 16) |
    (characters.charCodeAt(at + 2) << 8) |
    characters.charCodeAt(at + 3)
  );
}
