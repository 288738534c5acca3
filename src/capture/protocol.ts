import type { AddressWords } from './family/sender.js';

/**
 * The records that daemon and reader exchange over one socket pair: records in host memory order of a single
 * machine, each a header of 8 bytes and a payload.
 *
 *   0     kind
 *   1     0
 *   2..3  payload bytes, little-endian
 *   4..7  interface index, little-endian; 0 when the record is about the reader itself
 *
 * Captured frames make up nearly all of the traffic, so there is nothing in the header that a frame does not need.
 */

export const HEADER_BYTES = 8;
/** Longest payload either side may send: an Ethernet frame, or a sentence. */
export const MAX_PAYLOAD_BYTES = 2048;
/** So much of a frame is read. ARP needs 42 bytes, a solicitation or advertisement of neighbours (RFC 4861) 86. */
export const SNAP_BYTES = 128;
/** Reader to daemon. */
export const FRAME = 1;
/** Text: the reader's libraries are loaded. */
export const READY = 2;
/** Serial of the open: frames of the interface are captured from here on. */
export const OPENED = 3;
/** Serial of the open and libpcap's error text. */
export const FAILED = 4;
/** A frame and, behind it, the kernel's time of it: seconds and microseconds since 1970. */
export const STAMPED_FRAME = 5;
/** Counters of one open interface. */
export const COUNTERS = 6;
/** The reader runs: sent every ALIVE_MS, so that its silence shows that it stands still. */
export const ALIVE = 9;
/** Frames of the interface were lost or refused since the last ALIVE, or many wait to be read. */
export const MISSED = 10;
/** Text: a frame could not be injected. */
export const SEND_FAILED = 7;
/** Text: no reader can work on this machine. */
export const UNUSABLE = 8;
/** Milliseconds for which the first of the interface's frames that follow has waited for the daemon; 0 ends that. */
export const QUEUED = 9;
export const QUEUED_BYTES = HEADER_BYTES + 4;
/** Daemon to reader. */
export const OPEN = 16;
export const CLOSE = 17;
export const INJECT = 18;
/** The daemon has read so many bytes of the reader's records; the number stands in place of the interface. */
export const READ = 19;
/** Announcements of a host need not be passed on for a while. */
export const SUPPRESS = 20;
/** From now on frames come with their time (1) or without (0); the number stands in place of the interface. */
export const STAMP = 21;
export const STAMP_BYTES = 8;
/** A time of 0 ms revokes what was allowed. */
export interface SuppressRequest {
  readonly ip: AddressWords;
  /** The first two bytes of the MAC, and the other four. */
  readonly macHigh: number;
  readonly macLow: number;
  readonly forMs: number;
}

export const SUPPRESS_BYTES = 28;

export interface OpenRequest {
  readonly iface: number;
  /** Comes back in OPENED and FAILED, so that the answer to an earlier open is not taken for this one's. */
  readonly serial: number;
  /** Kernel memory for frames that wait to be read. */
  readonly ringBytes: number;
  /** Frames that are read at any speed, and per second from then on. */
  readonly burstFrames: number;
  readonly framesPerSecond: number;
  readonly name: string;
  /** A pcap-filter(7) expression. */
  readonly filter: string;
  /** The same for long messages; '': there are none. */
  readonly longFilter: string;
}

/** Totals since the interface was opened in this reader; each wraps at 2^32. */
export interface Counters {
  /** Frames that passed the filter, and those of them that found no free slot in the ring (PACKET_STATISTICS). */
  readonly kernelReceived: number;
  readonly kernelDropped: number;
  /** Frames that the reader dropped because the daemon did not read them. */
  readonly dropped: number;
  /** Frames the kernel refused to send. */
  readonly sendFailed: number;
  /** Announcements of known hosts that the reader kept back. */
  readonly suppressed: number;
}

/** Writes a header at `at`; the payload follows it. */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  kind: number,
  payloadBytes: number,
  iface: number,
): void {
  bytes[at] = kind;
  bytes[at + 1] = 0;
  bytes[at + 2] = payloadBytes;
  bytes[at + 3] = payloadBytes >>> 8;
  writeUint32(bytes, at + 4, iface);
}

/** A whole record. Throws a RangeError when the payload is too long. */
export function encodeRecord(
  kind: number,
  iface: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  if (payload.length > MAX_PAYLOAD_BYTES) throw new RangeError(`capture record of ${payload.length} bytes`);
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  writeHeader(bytes, 0, kind, payload.length, iface);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

const OPEN_BYTES = 19;

export function encodeOpen(request: OpenRequest): Uint8Array {
  const name = Buffer.from(request.name);
  const filter = Buffer.from(request.filter);
  const longFilter = Buffer.from(request.longFilter);
  const payload = new Uint8Array(OPEN_BYTES + name.length + filter.length + longFilter.length);
  writeUint32(payload, 0, request.serial);
  writeUint32(payload, 4, request.ringBytes);
  writeUint32(payload, 8, request.burstFrames);
  writeUint32(payload, 12, request.framesPerSecond);
  payload[16] = filter.length;
  payload[17] = filter.length >>> 8;
  payload[18] = name.length;
  payload.set(name, OPEN_BYTES);
  payload.set(filter, OPEN_BYTES + name.length);
  payload.set(longFilter, OPEN_BYTES + name.length + filter.length);
  return encodeRecord(OPEN, request.iface, payload);
}

export function decodeOpen(iface: number, payload: Uint8Array): OpenRequest {
  const filterAt = OPEN_BYTES + (payload[18] as number);
  const longFilterAt = filterAt + ((payload[16] as number) | ((payload[17] as number) << 8));
  return {
    iface,
    serial: readUint32(payload, 0),
    ringBytes: readUint32(payload, 4),
    burstFrames: readUint32(payload, 8),
    framesPerSecond: readUint32(payload, 12),
    name: decodeText(payload.subarray(OPEN_BYTES, filterAt)),
    filter: decodeText(payload.subarray(filterAt, longFilterAt)),
    longFilter: decodeText(payload.subarray(longFilterAt)),
  };
}

/** OPENED and FAILED; the text of the latter is cut to what a record holds. */
export function encodeOpenResult(kind: number, iface: number, serial: number, text: string): Uint8Array {
  const words = encodeText(text);
  const payload = new Uint8Array(4 + words.length);
  writeUint32(payload, 0, serial);
  payload.set(words, 4);
  return encodeRecord(kind, iface, payload);
}

export function decodeOpenResult(payload: Uint8Array): { serial: number; text: string } {
  return { serial: readUint32(payload, 0), text: decodeText(payload.subarray(4)) };
}

export function encodeCounters(iface: number, counters: Counters): Uint8Array {
  const payload = new Uint8Array(20);
  writeUint32(payload, 0, counters.kernelReceived);
  writeUint32(payload, 4, counters.kernelDropped);
  writeUint32(payload, 8, counters.dropped);
  writeUint32(payload, 12, counters.sendFailed);
  writeUint32(payload, 16, counters.suppressed);
  return encodeRecord(COUNTERS, iface, payload);
}

export function decodeCounters(payload: Uint8Array): Counters {
  return {
    kernelReceived: readUint32(payload, 0),
    kernelDropped: readUint32(payload, 4),
    dropped: readUint32(payload, 8),
    sendFailed: readUint32(payload, 12),
    suppressed: readUint32(payload, 16),
  };
}

/** Writes the payload into the first SUPPRESS_BYTES of `payload`. */
export function writeSuppress(payload: Uint8Array, { ip, macHigh, macLow, forMs }: SuppressRequest): void {
  for (let i = 0; i < 4; i++) writeUint32(payload, 4 * i, ip[i] as number);
  writeUint32(payload, 16, macHigh);
  writeUint32(payload, 20, macLow);
  writeUint32(payload, 24, forMs);
}

export function decodeSuppress(payload: Uint8Array): SuppressRequest {
  return {
    ip: Uint32Array.from([0, 4, 8, 12], (at) => readUint32(payload, at)),
    macHigh: readUint32(payload, 16),
    macLow: readUint32(payload, 20),
    forMs: readUint32(payload, 24),
  };
}

/** The last STAMP_BYTES of a STAMPED_FRAME, in ms since 1970. */
export function decodeStampMs(payload: Uint8Array): number {
  const at = payload.length - STAMP_BYTES;
  return readUint32(payload, at) * 1000 + readUint32(payload, at + 4) / 1000;
}

/** Writes a whole record of QUEUED_BYTES at `at`. */
export function writeQueued(bytes: Uint8Array, at: number, iface: number, ms: number): void {
  writeHeader(bytes, at, QUEUED, QUEUED_BYTES - HEADER_BYTES, iface);
  writeUint32(bytes, at + HEADER_BYTES, ms);
}

export function decodeQueued(payload: Uint8Array): number {
  return readUint32(payload, 0);
}

export function encodeText(text: string): Uint8Array {
  return Buffer.from(text.slice(0, 500));
}

export function decodeText(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString();
}

/** The other side is broken: what it sends are not records. */
export class OutOfStep extends Error {}

/** Takes whole records out of a stream that arrives in arbitrary pieces. */
export class RecordReader {
  readonly #onRecord: (kind: number, iface: number, payload: Uint8Array) => void;
  /** The beginning of a record whose end has not arrived. */
  readonly #held = new Uint8Array(HEADER_BYTES + MAX_PAYLOAD_BYTES);
  #heldBytes = 0;

  /** `payload` is a view that is valid only during the call. */
  constructor(onRecord: (kind: number, iface: number, payload: Uint8Array) => void) {
    this.#onRecord = onRecord;
  }

  /** Throws OutOfStep when the stream holds something else than records. */
  feed(chunk: Uint8Array): void {
    let at = this.#heldBytes > 0 ? this.#complete(chunk) : 0;
    while (chunk.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + payloadLength(chunk, at);
      if (end > chunk.length) break;
      this.#deliver(chunk, at, end);
      at = end;
    }
    if (at < chunk.length) this.#hold(chunk, at, chunk.length);
  }

  /** Adds to the held record what it lacks, delivers it, and returns how much of the chunk that took. */
  #complete(chunk: Uint8Array): number {
    let at = 0;
    if (this.#heldBytes < HEADER_BYTES) {
      at = Math.min(HEADER_BYTES - this.#heldBytes, chunk.length);
      this.#hold(chunk, 0, at);
      if (this.#heldBytes < HEADER_BYTES) return at;
    }
    const size = HEADER_BYTES + payloadLength(this.#held, 0);
    const end = Math.min(at + size - this.#heldBytes, chunk.length);
    this.#hold(chunk, at, end);
    if (this.#heldBytes === size) {
      this.#heldBytes = 0;
      this.#deliver(this.#held, 0, size);
    }
    return end;
  }

  #hold(chunk: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end; i++) this.#held[this.#heldBytes++] = chunk[i] as number;
  }

  #deliver(bytes: Uint8Array, at: number, end: number): void {
    const payload = new Uint8Array(
      bytes.buffer,
      bytes.byteOffset + at + HEADER_BYTES,
      end - at - HEADER_BYTES,
    );
    this.#onRecord(bytes[at] as number, readUint32(bytes, at + 4), payload);
  }
}

function payloadLength(bytes: Uint8Array, at: number): number {
  const length = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
  if (length > MAX_PAYLOAD_BYTES || bytes[at + 1] !== 0) throw new OutOfStep('capture stream out of step');
  return length;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
