import type { Family } from '../../wire/addresses.js';
import { ARP_FRAMES } from './arp.js';
import { ND_FRAMES } from './nd.js';
import type { FrameFamily, FrameRank, FrameSender } from './sender.js';

/** All that the rest of the capture knows of address families. */
const FAMILIES: readonly FrameFamily[] = [ARP_FRAMES, ND_FRAMES];

const etherTypes: ReadonlySet<number> = new Set(FAMILIES.flatMap((family) => family.etherTypes));

/** One for all frames: see senderOf(). */
const sender: FrameSender = { kind: 'other', ip: new Uint32Array(4), macHigh: 0, macLow: 0 };

/** A pcap-filter(7) expression for the neighbour messages of these families that are no longer than SNAP_BYTES. */
export function messageFilter(families: readonly Family[]): string {
  return anyOf(ofFamilies(families).map((family) => family.messageFilter));
}

/** A pcap-filter(7) expression for the packets of these families. */
export function packetFilter(families: readonly Family[]): string {
  return anyOf(ofFamilies(families).map((family) => family.packetFilter));
}

/** The same for messages that may be longer than SNAP_BYTES; undefined: these families have none. */
export function longMessageFilter(families: readonly Family[]): string | undefined {
  const filters = ofFamilies(families).flatMap((family) => family.longMessageFilter ?? []);
  return filters.length === 0 ? undefined : anyOf(filters);
}

function ofFamilies(families: readonly Family[]): FrameFamily[] {
  return FAMILIES.filter(({ family }) => families.includes(family));
}

function anyOf(filters: readonly string[]): string {
  return filters.length === 1 ? (filters[0] as string) : `(${filters.join(' or ')})`;
}

/** Whether frames of this EtherType can be captured. */
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
