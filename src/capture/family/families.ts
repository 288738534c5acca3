import { ARP_FRAMES } from './arp.js';
import type { FrameFamily, FrameRank, FrameSender } from './sender.js';

/** All that the rest of the capture knows of address families. A second family is one more entry. */
const FAMILIES: readonly FrameFamily[] = [ARP_FRAMES];

const etherTypes: ReadonlySet<number> = new Set(FAMILIES.flatMap((family) => family.etherTypes));

/** One for all frames: see senderOf(). */
const sender: FrameSender = { kind: 'other', ip: 0, macHigh: 0, macLow: 0 };

/** A pcap-filter(7) expression for the neighbour messages of all families. */
export const MESSAGE_FILTER = anyOf(FAMILIES.map(({ messageFilter }) => messageFilter));

/** A pcap-filter(7) expression for the packets of all families. */
export const PACKET_FILTER = anyOf(FAMILIES.map(({ packetFilter }) => packetFilter));

function anyOf(filters: readonly string[]): string {
  return filters.length === 1 ? (filters[0] as string) : `(${filters.join(' or ')})`;
}

/** Whether frames of this EtherType are captured. */
export function isCaptured(etherType: number): boolean {
  return etherTypes.has(etherType);
}

/** `bytes` may be longer than the frame. */
export function rankOf(bytes: Uint8Array): FrameRank {
  for (const family of FAMILIES) {
    const rank = family.rank(bytes);
    if (rank !== 'other') return rank;
  }
  return 'other';
}

/**
 * The sender of the neighbour message in the first `length` bytes; undefined when it names none. The object is valid
 * until the next call, which fills it anew.
 */
export function senderOf(bytes: Uint8Array, length: number): Readonly<FrameSender> | undefined {
  for (const family of FAMILIES) if (family.readSender(bytes, length, sender)) return sender;
  return undefined;
}
