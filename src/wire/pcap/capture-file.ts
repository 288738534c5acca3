import {
  BLOCK,
  BYTE_ORDER_MAGIC,
  type Direction,
  INTERFACE_OPTION,
  OPTION_COMMENT,
  PACKET_OPTION,
  SECTION_OPTION,
} from './pcapng.js';

/**
 * Capture files as tcpdump, dumpcap and Wireshark write them: pcap (draft-ietf-opsawg-pcap) in both byte orders, with
 * stamps in µs or ns, and pcapng (draft-ietf-opsawg-pcapng). Blocks that tell us nothing are passed over.
 */

/** The file is not what it should be; `message` is for people. */
export class CaptureFileError extends Error {
  override readonly name = 'CaptureFileError';
}

export interface CaptureInterface {
  /** Unique in the file, whatever sections it has. */
  readonly id: number;
  /** pcap files name no interface. */
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly linkType: number;
}

export interface CapturedPacket {
  readonly kind: 'packet';
  readonly interface: CaptureInterface;
  /** ns since 1970, UTC. */
  readonly timeNs: bigint;
  /** What was captured of it; a view that stays valid. */
  readonly bytes: Uint8Array;
  /** Its length on the wire. */
  readonly length: number;
  readonly direction: Direction | undefined;
  readonly comments: readonly string[];
  readonly packetId: bigint | undefined;
}

/** An entry of the systemd journal: its fields by name. */
export interface JournalEntry {
  readonly kind: 'journal';
  /** ns since 1970, UTC. */
  readonly timeNs: bigint;
  readonly fields: ReadonlyMap<string, string>;
}

/** A new section: what follows was written by another program, or by another run of it. */
export interface Section {
  readonly kind: 'section';
  readonly application: string | undefined;
  readonly comments: readonly string[];
}

export type CaptureItem = CapturedPacket | JournalEntry | Section;

export const LINK_TYPE_ETHERNET = 1;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const MAGIC_GZIP = 0x1f8b;
const PCAP_HEADER_BYTES = 24;
const PCAP_RECORD_BYTES = 16;
/** Longer blocks are refused, as libpcap does: such a length is garbage. */
const MAX_BLOCK_BYTES = 16 << 20;
const MAX_LINK_TYPE = 0xffff;

const NO_COMMENTS: readonly string[] = [];
const text = new TextDecoder();

interface PcapngInterface extends CaptureInterface {
  /** A stamp is (high << 32 | low) * multiplier / divisor ns. */
  readonly multiplier: bigint;
  readonly divisor: bigint;
  readonly offsetNs: bigint;
}

/** Takes items out of a file that arrives in arbitrary pieces. */
export class CaptureFileReader {
  #held: Uint8Array = new Uint8Array(0);
  /** Bytes of the file before `#held`. */
  #at = 0;
  #little = true;
  #format: 'pcap' | 'pcapng' | undefined;
  #pcapInterface: CaptureInterface | undefined;
  #nsPerFraction = 1n;
  /** Of the present section. */
  #interfaces: PcapngInterface[] = [];
  #interfaceCount = 0;

  /** The chunk must not change afterwards. @throws CaptureFileError */
  *read(chunk: Uint8Array): Generator<CaptureItem> {
    const bytes = this.#held.length === 0 ? chunk : concatenate(this.#held, chunk);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    for (;;) {
      const size = this.#sizeAt(view, at);
      if (size === undefined || at + size > bytes.length) break;
      const item = this.#itemAt(bytes, view, at, size);
      at += size;
      if (item !== undefined) yield item;
    }
    this.#held = bytes.subarray(at);
    this.#at += at;
  }

  /** At the end of the file: whether its last record is cut off. */
  get isCut(): boolean {
    return this.#held.length > 0;
  }

  /** Bytes of the record at `at`, if that can be told yet. */
  #sizeAt(view: DataView, at: number): number | undefined {
    const left = view.byteLength - at;
    if (this.#format === undefined) {
      if (left < 4) return undefined;
      this.#format = this.#detect(view);
      return this.#sizeAt(view, at);
    }
    if (this.#format === 'pcap') {
      if (this.#pcapInterface === undefined) return PCAP_HEADER_BYTES;
      if (left < PCAP_RECORD_BYTES) return undefined;
      const length = view.getUint32(at + 8, this.#little);
      if (length > MAX_BLOCK_BYTES) throw this.#broken(at, `a packet of ${length} bytes`);
      return PCAP_RECORD_BYTES + length;
    }
    if (left < 12) return undefined;
    if (view.getUint32(at, true) === BLOCK.sectionHeader) this.#little = this.#byteOrder(view, at);
    const size = view.getUint32(at + 4, this.#little);
    if (size < 12 || size % 4 !== 0 || size > MAX_BLOCK_BYTES)
      throw this.#broken(at, `a block of ${size} bytes`);
    return size;
  }

  #detect(view: DataView): 'pcap' | 'pcapng' {
    if (view.getUint32(0) === BLOCK.sectionHeader) return 'pcapng';
    for (const little of [true, false]) {
      const magic = view.getUint32(0, little);
      if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS) continue;
      this.#little = little;
      this.#nsPerFraction = magic === MAGIC_MICROSECONDS ? 1000n : 1n;
      return 'pcap';
    }
    if (view.getUint16(0) === MAGIC_GZIP) throw new CaptureFileError('it is compressed: zcat FILE | ... -');
    throw new CaptureFileError('it is neither pcap nor pcapng');
  }

  #byteOrder(view: DataView, at: number): boolean {
    for (const little of [true, false])
      if (view.getUint32(at + 8, little) === BYTE_ORDER_MAGIC) return little;
    throw this.#broken(at, 'a section without byte order');
  }

  #broken(at: number, what: string): CaptureFileError {
    return new CaptureFileError(`it is damaged: ${what} at offset ${this.#at + at}`);
  }

  #itemAt(bytes: Uint8Array, view: DataView, at: number, size: number): CaptureItem | undefined {
    if (this.#format === 'pcap') return this.#pcapRecord(bytes, view, at, size);
    const little = this.#little;
    if (view.getUint32(at + size - 4, little) !== size) throw this.#broken(at, 'a block with two lengths');
    const body = at + 8;
    const end = at + size - 4;
    switch (view.getUint32(at, little)) {
      case BLOCK.sectionHeader: {
        if (size < 28) throw this.#broken(at, 'a short section header');
        this.#interfaces = [];
        const options = this.#options(bytes, view, body + 16, end);
        return {
          kind: 'section',
          application: options.texts(SECTION_OPTION.application)[0],
          comments: options.texts(OPTION_COMMENT),
        };
      }
      case BLOCK.interfaceDescription:
        if (size < 20) throw this.#broken(at, 'a short interface description');
        this.#addInterface(view.getUint16(body, little), this.#options(bytes, view, body + 8, end));
        return undefined;
      case BLOCK.enhancedPacket:
        return this.#enhancedPacket(bytes, view, body, end);
      case BLOCK.simplePacket: {
        // It has no time: the file starts at 1970.
        if (size < 16) throw this.#broken(at, 'a short packet');
        const length = view.getUint32(body, little);
        const captured = Math.min(length, end - body - 4);
        return this.#packet(body, 0, 0n, bytes.subarray(body + 4, body + 4 + captured), length);
      }
      case BLOCK.journalExport:
        return journalEntry(bytes.subarray(body, end));
      default:
        return undefined;
    }
  }

  #pcapRecord(bytes: Uint8Array, view: DataView, at: number, size: number): CapturedPacket | undefined {
    const little = this.#little;
    const known = this.#pcapInterface;
    if (known === undefined) {
      const linkType = view.getUint32(at + 20, little) & MAX_LINK_TYPE;
      this.#pcapInterface = { id: 0, name: undefined, description: undefined, linkType };
      return undefined;
    }
    const seconds = BigInt(view.getUint32(at, little));
    const fraction = BigInt(view.getUint32(at + 4, little));
    return {
      kind: 'packet',
      interface: known,
      timeNs: seconds * 1_000_000_000n + fraction * this.#nsPerFraction,
      bytes: bytes.subarray(at + PCAP_RECORD_BYTES, at + size),
      length: view.getUint32(at + 12, little),
      direction: undefined,
      comments: NO_COMMENTS,
      packetId: undefined,
    };
  }

  #addInterface(linkType: number, options: Options): void {
    const resolution = options.bytes(INTERFACE_OPTION.tsresol)?.[0] ?? 6;
    const power = BigInt(resolution & 0x7f);
    const unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** power : 2n ** power;
    const offset = options.bytes(INTERFACE_OPTION.tsoffset);
    const offsetSeconds =
      offset?.length === 8
        ? new DataView(offset.buffer, offset.byteOffset, 8).getBigInt64(0, this.#little)
        : 0n;
    const exact = unitsPerSecond <= 1_000_000_000n && 1_000_000_000n % unitsPerSecond === 0n;
    this.#interfaces.push({
      id: this.#interfaceCount++,
      name: options.texts(INTERFACE_OPTION.name)[0],
      description: options.texts(INTERFACE_OPTION.description)[0],
      linkType,
      multiplier: exact ? 1_000_000_000n / unitsPerSecond : 1_000_000_000n,
      divisor: exact ? 1n : unitsPerSecond,
      offsetNs: offsetSeconds * 1_000_000_000n,
    });
  }

  #enhancedPacket(bytes: Uint8Array, view: DataView, body: number, end: number): CapturedPacket {
    const little = this.#little;
    const captured = end - body < 20 ? Number.POSITIVE_INFINITY : view.getUint32(body + 12, little);
    const start = body + 20;
    if (start + captured > end) throw this.#broken(body - 8, 'a packet longer than its block');
    const stamp =
      (BigInt(view.getUint32(body + 4, little)) << 32n) | BigInt(view.getUint32(body + 8, little));
    const packet = this.#packet(
      body,
      view.getUint32(body, little),
      stamp,
      bytes.subarray(start, start + captured),
      view.getUint32(body + 16, little),
    );
    const optionsAt = start + captured + (-captured & 3);
    if (optionsAt >= end) return packet;
    const options = this.#options(bytes, view, optionsAt, end);
    const flags = options.bytes(PACKET_OPTION.flags);
    const id = options.bytes(PACKET_OPTION.packetId);
    const direction = flags?.length === 4 ? viewOf(flags).getUint32(0, little) & 3 : 0;
    return {
      ...packet,
      direction: direction === 1 ? 'in' : direction === 2 ? 'out' : undefined,
      comments: options.texts(OPTION_COMMENT),
      packetId: id?.length === 8 ? viewOf(id).getBigUint64(0, little) : undefined,
    };
  }

  #packet(body: number, index: number, stamp: bigint, bytes: Uint8Array, length: number): CapturedPacket {
    const from = this.#interfaces[index];
    if (from === undefined) throw this.#broken(body - 8, `a packet of an unknown interface ${index}`);
    return {
      kind: 'packet',
      interface: from,
      timeNs: (stamp * from.multiplier) / from.divisor + from.offsetNs,
      bytes,
      length,
      direction: undefined,
      comments: NO_COMMENTS,
      packetId: undefined,
    };
  }

  /** Options that reach over the end of their block are left out, as Wireshark does. */
  #options(bytes: Uint8Array, view: DataView, from: number, end: number): Options {
    const found: { code: number; value: Uint8Array }[] = [];
    let at = from;
    while (at + 4 <= end) {
      const code = view.getUint16(at, this.#little);
      const length = view.getUint16(at + 2, this.#little);
      if (code === 0 || at + 4 + length > end) break;
      found.push({ code, value: bytes.subarray(at + 4, at + 4 + length) });
      at += 4 + length + (-length & 3);
    }
    return new Options(found);
  }
}

class Options {
  constructor(private readonly found: readonly { readonly code: number; readonly value: Uint8Array }[]) {}

  bytes(code: number): Uint8Array | undefined {
    return this.found.find((option) => option.code === code)?.value;
  }

  texts(code: number): string[] {
    return this.found.filter((option) => option.code === code).map(({ value }) => text.decode(value));
  }
}

/** Fields with line breaks in them (the binary form of the format) are left out. */
function journalEntry(bytes: Uint8Array): JournalEntry {
  const fields = new Map<string, string>();
  for (const line of text.decode(bytes).split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) fields.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const stamp = fields.get('__REALTIME_TIMESTAMP') ?? '';
  return { kind: 'journal', timeNs: /^\d{1,18}$/.test(stamp) ? BigInt(stamp) * 1000n : 0n, fields };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
