import {
  type Ip,
  type Prefix,
  isIpv4,
  networkOf,
  readIpv4,
  readIpv6,
  writeIpv4,
  writeIpv6,
} from '../addresses.js';

/** Why bytes are no control message that we can use: the return value of the decoders of this folder. */
export const LISP_MALFORMED = [
  'truncated',
  'not-lisp-control', // another type, or another port's message
  'lisp-sec', // an ECM with authentication data (RFC 9303), which we do not speak
  'bad-encapsulation', // the packet within an ECM is no UDP to the control port
  'bad-afi', // an address whose length nobody could know
  'bad-mask-length',
  'bad-length',
  'bad-authentication-length',
] as const;
export type LispMalformed = (typeof LISP_MALFORMED)[number];

/** What a mapping is for: a prefix of an instance (a tenant), 0 where there is only one (RFC 8060 section 4.1). */
export interface Eid {
  readonly instance: number;
  readonly prefix: Prefix;
}

const AFI = { none: 0, ipv4: 1, ipv6: 2, lcaf: 16387 } as const;
const LCAF_INSTANCE_ID = 2;
/** AFI, two reserved octets, type, another octet, length (RFC 8060 section 3). */
const LCAF_HEADER_BYTES = 8;

/** Reads forwards; what would be behind the end reads as zero and `isShort` says so, so that one check is enough. */
export class Cursor {
  isShort = false;
  readonly #view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    public at = 0,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** The place of the next `count` bytes, which are read; undefined: there are not so many. */
  take(count: number): number | undefined {
    if (this.left < count) {
      this.isShort = true;
      this.at = this.bytes.length;
      return undefined;
    }
    this.at += count;
    return this.at - count;
  }

  u8(): number {
    const at = this.take(1);
    return at === undefined ? 0 : this.#view.getUint8(at);
  }

  u16(): number {
    const at = this.take(2);
    return at === undefined ? 0 : this.#view.getUint16(at);
  }

  u32(): number {
    const at = this.take(4);
    return at === undefined ? 0 : this.#view.getUint32(at);
  }

  u64(): bigint {
    const at = this.take(8);
    return at === undefined ? 0n : this.#view.getBigUint64(at);
  }
}

/** Octets of a message that is being written. */
export class Writer {
  readonly #octets: number[] = [];

  u8(...octets: readonly number[]): this {
    for (const octet of octets) this.#octets.push(octet & 255);
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8, value);
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value);
  }

  u64(value: bigint): this {
    return this.u32(Number((value >> 32n) & 0xffff_ffffn)).u32(Number(value & 0xffff_ffffn));
  }

  bytes(bytes: Uint8Array): this {
    return this.u8(...bytes);
  }

  ip(ip: Ip): this {
    const octets = new Uint8Array(isIpv4(ip) ? 4 : 16);
    if (isIpv4(ip)) writeIpv4(octets, 0, ip);
    else writeIpv6(octets, 0, ip);
    return this.bytes(octets);
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#octets);
  }
}

/** An address of a message. `skipped`: of a kind that we do not know, with a length that we do. */
export type WireAddress =
  | { readonly kind: 'none' | 'skipped' }
  | { readonly kind: 'ip'; readonly ip: Ip; readonly instance: number };

const NONE: WireAddress = { kind: 'none' };
const SKIPPED: WireAddress = { kind: 'skipped' };

/** AFI and address. Of LCAFs only the Instance-ID counts; others are skipped by their length (RFC 8060 section 3). */
export function readAddress(cursor: Cursor): WireAddress | LispMalformed {
  const afi = cursor.u16();
  if (cursor.isShort) return 'truncated';
  switch (afi) {
    case AFI.none:
      return NONE;
    case AFI.ipv4:
    case AFI.ipv6:
      return readIp(cursor, afi, 0) ?? 'truncated';
    case AFI.lcaf:
      return readLcaf(cursor);
    default:
      return 'bad-afi';
  }
}

function readIp(cursor: Cursor, afi: number, instance: number): WireAddress | undefined {
  const at = cursor.take(afi === AFI.ipv4 ? 4 : 16);
  if (at === undefined) return undefined;
  return {
    kind: 'ip',
    ip: afi === AFI.ipv4 ? readIpv4(cursor.bytes, at) : readIpv6(cursor.bytes, at),
    instance,
  };
}

function readLcaf(cursor: Cursor): WireAddress | LispMalformed {
  cursor.u16();
  const type = cursor.u8();
  cursor.u8();
  const length = cursor.u16();
  const start = cursor.isShort ? undefined : cursor.take(length);
  if (start === undefined) return 'truncated';
  if (type !== LCAF_INSTANCE_ID) return SKIPPED;
  const body = new Cursor(cursor.bytes.subarray(start, start + length));
  const instance = body.u32();
  const afi = body.u16();
  if (afi !== AFI.ipv4 && afi !== AFI.ipv6) return body.isShort ? 'bad-length' : SKIPPED;
  return readIp(body, afi, instance) ?? 'bad-length';
}

/** An address with its AFI; within an Instance-ID LCAF when the instance is not 0. */
export function writeAddress(writer: Writer, ip: Ip | undefined, instance = 0): void {
  if (ip === undefined) {
    writer.u16(AFI.none);
    return;
  }
  const afi = isIpv4(ip) ? AFI.ipv4 : AFI.ipv6;
  if (instance !== 0) {
    const length = 4 + 2 + (isIpv4(ip) ? 4 : 16);
    writer.u16(AFI.lcaf).u16(0).u8(LCAF_INSTANCE_ID, 0).u16(length).u32(instance);
  }
  writer.u16(afi).ip(ip);
}

/** Octets that `writeAddress` needs. */
export function addressBytes(ip: Ip, instance: number): number {
  return 2 + (isIpv4(ip) ? 4 : 16) + (instance === 0 ? 0 : LCAF_HEADER_BYTES + 4);
}

/** The prefix of a record, host bits cleared; undefined: the record is about something else. */
export function eidOf(address: WireAddress, length: number): Eid | undefined | 'bad-mask-length' {
  if (address.kind !== 'ip') return undefined;
  const { ip, instance } = address;
  if (length > (isIpv4(ip) ? 32 : 128)) return 'bad-mask-length';
  return { instance, prefix: { ip: networkOf(ip, length), length } };
}
