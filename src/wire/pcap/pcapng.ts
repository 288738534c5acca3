/**
 * Blocks of pcapng (draft-ietf-opsawg-pcapng), written in little-endian order with stamps in ns. All interfaces of a
 * file are Ethernet with one snap length: libpcap, and so tcpdump, reads no other file.
 */

export const BLOCK = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
  /** systemd Journal Export Block; Wireshark shows it as a packet of its own, tcpdump passes over it. */
  journalExport: 9,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const OPTION_COMMENT = 1;
export const SECTION_OPTION = { hardware: 2, os: 3, application: 4 } as const;
export const INTERFACE_OPTION = { name: 2, description: 3, tsresol: 9, filter: 11, tsoffset: 14 } as const;
export const PACKET_OPTION = { flags: 2, packetId: 5 } as const;
const STATISTICS_OPTION = { received: 4, dropped: 5 } as const;

/** Seen from the machine that captures. */
export type Direction = 'in' | 'out';

const LINK_TYPE_ETHERNET = 1;
const SNAP_BYTES = 262_144;
const NANOSECONDS = 9;
const MAX_OPTION_BYTES = 0xffff;
/** Wireshark refuses a longer journal entry. */
export const MAX_JOURNAL_BYTES = 262_144;

type Option = readonly [code: number, value: string | Uint8Array | undefined];
const text = new TextEncoder();

export function sectionHeader(about: {
  readonly application: string;
  readonly os?: string;
  readonly comments?: readonly string[];
}): Uint8Array {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true);
  // The length of the section is not known.
  view.setBigInt64(8, -1n, true);
  return block(BLOCK.sectionHeader, head, [
    ...commentOptions(about.comments),
    [SECTION_OPTION.os, about.os],
    [SECTION_OPTION.application, about.application],
  ]);
}

export function interfaceDescription(about: {
  readonly name: string;
  readonly description?: string | undefined;
}): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint16(0, LINK_TYPE_ETHERNET, true);
  view.setUint32(4, SNAP_BYTES, true);
  return block(BLOCK.interfaceDescription, head, [
    [INTERFACE_OPTION.name, about.name],
    [INTERFACE_OPTION.description, about.description],
    [INTERFACE_OPTION.tsresol, Uint8Array.of(NANOSECONDS)],
  ]);
}

export interface PacketToWrite {
  /** Number of the interface description in this section. */
  readonly interface: number;
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
  /** On the wire; default: all of it was captured. */
  readonly length?: number;
  readonly direction?: Direction | undefined;
  readonly comments?: readonly string[];
  readonly packetId?: bigint | undefined;
}

export function enhancedPacket(packet: PacketToWrite): Uint8Array {
  const { bytes, timeNs, direction, packetId } = packet;
  const head = new Uint8Array(20 + bytes.length + (-bytes.length & 3));
  const view = new DataView(head.buffer);
  view.setUint32(0, packet.interface, true);
  view.setUint32(4, Number((timeNs >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Number(timeNs & 0xffffffffn), true);
  view.setUint32(12, bytes.length, true);
  view.setUint32(16, packet.length ?? bytes.length, true);
  head.set(bytes, 20);
  return block(BLOCK.enhancedPacket, head, [
    ...commentOptions(packet.comments),
    [
      PACKET_OPTION.flags,
      direction === undefined ? undefined : Uint8Array.of(direction === 'in' ? 1 : 2, 0, 0, 0),
    ],
    [PACKET_OPTION.packetId, packetId === undefined ? undefined : uint64(packetId)],
  ]);
}

/** Fields in the order given; a line break in a value becomes a space. */
export function journalExport(timeNs: bigint, fields: Readonly<Record<string, string>>): Uint8Array {
  const lines = [`__REALTIME_TIMESTAMP=${timeNs / 1000n}`];
  for (const [name, value] of Object.entries(fields)) lines.push(`${name}=${value.replace(/[\n\0]/g, ' ')}`);
  const body = text.encode(`${lines.join('\n')}\n`);
  if (body.length > MAX_JOURNAL_BYTES) throw new RangeError(`journal entry of ${body.length} bytes`);
  const padded = new Uint8Array(body.length + (-body.length & 3));
  padded.set(body);
  return block(BLOCK.journalExport, padded, []);
}

/** Packets received by the interface, and those of them that were lost before they could be written. */
export function interfaceStatistics(
  index: number,
  timeNs: bigint,
  counts: { readonly received: number; readonly dropped: number },
): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint32(0, index, true);
  view.setUint32(4, Number((timeNs >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Number(timeNs & 0xffffffffn), true);
  return block(BLOCK.interfaceStatistics, head, [
    [STATISTICS_OPTION.received, uint64(BigInt(counts.received))],
    [STATISTICS_OPTION.dropped, uint64(BigInt(counts.dropped))],
  ]);
}

function commentOptions(comments: readonly string[] = []): Option[] {
  return comments.map((comment) => [OPTION_COMMENT, comment]);
}

/** `head` is the body up to the options, padded. */
function block(type: number, head: Uint8Array, options: readonly Option[]): Uint8Array {
  const values: { code: number; value: Uint8Array }[] = [];
  let size = 12 + head.length;
  for (const [code, given] of options) {
    if (given === undefined) continue;
    const value = (typeof given === 'string' ? text.encode(given) : given).subarray(0, MAX_OPTION_BYTES);
    values.push({ code, value });
    size += 4 + value.length + (-value.length & 3);
  }
  if (values.length > 0) size += 4;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  bytes.set(head, 8);
  let at = 8 + head.length;
  for (const { code, value } of values) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + value.length + (-value.length & 3);
  }
  view.setUint32(size - 4, size, true);
  return bytes;
}

function uint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}
