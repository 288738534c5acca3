import { type Ip, readIpv6 } from '../addresses.js';
import { Cursor, type Eid, type LispMalformed, Writer, eidOf, readAddress, writeAddress } from './address.js';
import { type MappingRecord, readRecord, readRecords, writeRecord } from './record.js';

/** The control messages of LISP on UDP port 4342 (RFC 9301 section 5), with subscriptions (RFC 9437). */

export const LISP_CONTROL_PORT = 4342;

export const LISP = {
  mapRequest: 1,
  mapReply: 2,
  mapRegister: 3,
  mapNotify: 4,
  mapNotifyAck: 5,
  encapsulated: 8,
} as const;

/** HMAC-SHA-1 and HMAC-SHA-256; the field of an algorithm we do not know is read and carried all the same. */
export const ALGORITHM = { none: 0, sha1: 1, sha256: 2 } as const;

/** The router that sent a message: 16 octets as a string, one character each, and its site (RFC 9301 section 5.6). */
export interface Xtr {
  readonly id: string;
  /** undefined: the message ends with the ID, as some implementations write a Map-Request. */
  readonly site: bigint | undefined;
}

/** RFC 9301 section 5.2. */
export interface MapRequest {
  readonly type: typeof LISP.mapRequest;
  readonly nonce: bigint;
  /** P: asks whether an RLOC is reachable. */
  readonly isProbe: boolean;
  /** S: the receiver is asked to ask anew (section 6.1). */
  readonly isSolicit: boolean;
  /** s: this was asked because of such a request. */
  readonly isSolicitInvoked: boolean;
  readonly sourceEid: { readonly instance: number; readonly ip: Ip } | undefined;
  /** Where answers are to be sent. None is written as one of AFI 0: with N, unsubscribe (RFC 9437 section 5). */
  readonly itrRlocs: readonly Ip[];
  /** `subscribe`: N, tell of changes from now on (RFC 9437 section 4). */
  readonly records: readonly { readonly eid: Eid; readonly subscribe: boolean }[];
  readonly xtr: Xtr | undefined;
}

/** RFC 9301 section 5.4. */
export interface MapReply {
  readonly type: typeof LISP.mapReply;
  readonly nonce: bigint;
  readonly isProbe: boolean;
  readonly records: readonly MappingRecord[];
}

/** What authenticates Map-Register, Map-Notify and Map-Notify-Ack. `macBytes`: length of the field. */
export interface Authentication {
  readonly keyId: number;
  readonly algorithm: number;
  readonly macBytes: number;
}

/** RFC 9301 section 5.6. */
export interface MapRegister extends Authentication {
  readonly type: typeof LISP.mapRegister;
  readonly nonce: bigint;
  /** P: the server answers Map-Requests for us. */
  readonly isProxyReply: boolean;
  /** T: the TTL of the records is how long the registration holds. */
  readonly usesTtl: boolean;
  /** M: a Map-Notify is wanted. */
  readonly wantsNotify: boolean;
  readonly records: readonly MappingRecord[];
  readonly xtr: Xtr | undefined;
}

/** RFC 9301 section 5.7. */
export interface MapNotify extends Authentication {
  readonly type: typeof LISP.mapNotify | typeof LISP.mapNotifyAck;
  readonly nonce: bigint;
  readonly records: readonly MappingRecord[];
}

export type LispMessage = MapRequest | MapReply | MapRegister | MapNotify;

const BIT = {
  // Map-Request
  hasReply: 1 << 26,
  probe: 1 << 25,
  solicit: 1 << 24,
  solicitInvoked: 1 << 22,
  requestXtr: 1 << 20,
  // Map-Reply
  replyProbe: 1 << 27,
  // Map-Register
  proxyReply: 1 << 27,
  registerXtr: 1 << 25,
  usesTtl: 1 << 11,
  wantsNotify: 1 << 8,
  // Map-Notify of other implementations: an xTR-ID follows, as in a Map-Register
  notifyXtr: 1 << 27,
} as const;

const SUBSCRIBE = 0x80;
const XTR_ID_BYTES = 16;
const SITE_ID_BYTES = 8;
/** Type word, nonce, key, algorithm and length come first in all three messages that have a MAC. */
export const MAC_AT = 16;

/** The type of a message: one of LISP, or any other of 0..15. */
export function lispType(bytes: Uint8Array): number {
  return (bytes[0] ?? 0) >>> 4;
}

/** A control message other than ECM (see ecm.ts), or the reason why there is none. Never throws. */
export function decodeLisp(bytes: Uint8Array): LispMessage | LispMalformed {
  if (bytes.length < 12) return 'truncated';
  const cursor = new Cursor(bytes);
  const word = cursor.u32();
  const nonce = cursor.u64();
  const type = word >>> 28;
  switch (type) {
    case LISP.mapRequest:
      return decodeRequest(cursor, word, nonce);
    case LISP.mapReply:
      return decodeReply(cursor, word, nonce);
    case LISP.mapRegister:
    case LISP.mapNotify:
    case LISP.mapNotifyAck:
      return decodeAuthenticated(cursor, type, word, nonce);
    default:
      return 'not-lisp-control';
  }
}

function decodeRequest(cursor: Cursor, word: number, nonce: bigint): MapRequest | LispMalformed {
  const source = readAddress(cursor);
  if (typeof source === 'string') return source;
  const itrRlocs: Ip[] = [];
  for (let left = ((word >>> 8) & 31) + 1; left > 0; left--) {
    const rloc = readAddress(cursor);
    if (typeof rloc === 'string') return rloc;
    if (rloc.kind === 'ip') itrRlocs.push(rloc.ip);
  }
  const records: MapRequest['records'][number][] = [];
  for (let left = word & 255; left > 0; left--) {
    const flags = cursor.u8();
    const length = cursor.u8();
    const address = readAddress(cursor);
    if (typeof address === 'string') return address;
    const eid = eidOf(address, length);
    if (eid === 'bad-mask-length') return eid;
    if (eid !== undefined) records.push({ eid, subscribe: (flags & SUBSCRIBE) !== 0 });
  }
  // The sender's own mapping: unauthenticated, so it is nothing we would use.
  const own = (word & BIT.hasReply) === 0 ? undefined : readRecord(cursor);
  if (typeof own === 'string') return own;
  const xtr = readXtr(cursor, (word & BIT.requestXtr) !== 0, true);
  if (typeof xtr === 'string') return xtr;
  return {
    type: LISP.mapRequest,
    nonce,
    isProbe: (word & BIT.probe) !== 0,
    isSolicit: (word & BIT.solicit) !== 0,
    isSolicitInvoked: (word & BIT.solicitInvoked) !== 0,
    sourceEid: source.kind === 'ip' ? { instance: source.instance, ip: source.ip } : undefined,
    itrRlocs,
    records,
    xtr,
  };
}

function decodeReply(cursor: Cursor, word: number, nonce: bigint): MapReply | LispMalformed {
  const records = readRecords(cursor, word & 255);
  if (typeof records === 'string') return records;
  return { type: LISP.mapReply, nonce, isProbe: (word & BIT.replyProbe) !== 0, records };
}

function decodeAuthenticated(
  cursor: Cursor,
  type: MapRegister['type'] | MapNotify['type'],
  word: number,
  nonce: bigint,
): MapRegister | MapNotify | LispMalformed {
  const authentication = readAuthentication(cursor);
  if (typeof authentication === 'string') return authentication;
  const records = readRecords(cursor, word & 255);
  if (typeof records === 'string') return records;
  const isRegister = type === LISP.mapRegister;
  const xtr = readXtr(cursor, (word & (isRegister ? BIT.registerXtr : BIT.notifyXtr)) !== 0, false);
  if (typeof xtr === 'string') return xtr;
  if (!isRegister) return { type, nonce, ...authentication, records };
  return {
    type,
    nonce,
    ...authentication,
    isProxyReply: (word & BIT.proxyReply) !== 0,
    usesTtl: (word & BIT.usesTtl) !== 0,
    wantsNotify: (word & BIT.wantsNotify) !== 0,
    records,
    xtr,
  };
}

function readAuthentication(cursor: Cursor): Authentication | LispMalformed {
  const keyId = cursor.u8();
  const algorithm = cursor.u8();
  const macBytes = cursor.u16();
  if (cursor.isShort || cursor.take(macBytes) === undefined) return 'truncated';
  if (!hasRightLength(algorithm, macBytes)) return 'bad-authentication-length';
  return { keyId, algorithm, macBytes };
}

/** SHA-256 as a whole, as implementations send it, or its first half, as RFC 4868 has it. */
function hasRightLength(algorithm: number, macBytes: number): boolean {
  if (algorithm === ALGORITHM.sha1) return macBytes === 20;
  if (algorithm === ALGORITHM.sha256) return macBytes === 16 || macBytes === 32;
  return true;
}

/** The end of a message. Some write a Map-Request without the Site-ID, so what is left says which it is. */
function readXtr(cursor: Cursor, isPresent: boolean, mayBeShort: boolean): Xtr | undefined | LispMalformed {
  if (!isPresent) return undefined;
  const { left } = cursor;
  const id = cursor.take(XTR_ID_BYTES);
  if (id === undefined) return 'truncated';
  if (mayBeShort && left === XTR_ID_BYTES) return { id: readIpv6(cursor.bytes, id), site: undefined };
  const site = cursor.u64();
  if (cursor.isShort) return 'truncated';
  return left === XTR_ID_BYTES + SITE_ID_BYTES ? { id: readIpv6(cursor.bytes, id), site } : 'bad-length';
}

/** The head of a message with a MAC: what is needed to check it before anything else is read. */
export function decodeAuthentication(bytes: Uint8Array): Authentication | LispMalformed {
  return readAuthentication(new Cursor(bytes, 12));
}

/** The MAC in a message. */
export function macOf(bytes: Uint8Array, { macBytes }: Authentication): Uint8Array {
  return bytes.subarray(MAC_AT, MAC_AT + macBytes);
}

/**
 * The bytes that a MAC covers: the whole message, the MAC as zeros. RFC 9301 section 5.6 ends it at the last record;
 * implementations cover xTR-ID and Site-ID too and accept nothing else.
 */
export function coveredBytes(bytes: Uint8Array, { macBytes }: Authentication): Uint8Array {
  // A copy, also of a Buffer, whose slice() is none.
  return Uint8Array.from(bytes).fill(0, MAC_AT, MAC_AT + macBytes);
}

/** Writes the MAC into its place, which `encodeLisp` left as zeros. */
export function writeMac(bytes: Uint8Array, mac: Uint8Array): void {
  bytes.set(mac, MAC_AT);
}

/** A control message as bytes. The MAC, where there is one, is zeros: see `coveredBytes` and `writeMac`. */
export function encodeLisp(message: LispMessage): Uint8Array {
  switch (message.type) {
    case LISP.mapRequest:
      return encodeRequest(message);
    case LISP.mapReply:
      return encodeReply(message);
    default:
      return encodeAuthenticated(message);
  }
}

const when = (condition: boolean, bit: number): number => (condition ? bit : 0);

function encodeRequest(message: MapRequest): Uint8Array {
  const { itrRlocs, records, xtr, sourceEid } = message;
  const writer = new Writer()
    .u32(
      (LISP.mapRequest << 28) |
        when(message.isProbe, BIT.probe) |
        when(message.isSolicit, BIT.solicit) |
        when(message.isSolicitInvoked, BIT.solicitInvoked) |
        when(xtr !== undefined, BIT.requestXtr) |
        (Math.max(itrRlocs.length - 1, 0) << 8) |
        records.length,
    )
    .u64(message.nonce);
  writeAddress(writer, sourceEid?.ip, sourceEid?.instance);
  for (const rloc of itrRlocs.length === 0 ? [undefined] : itrRlocs) writeAddress(writer, rloc);
  for (const { eid, subscribe } of records) {
    writer.u8(when(subscribe, SUBSCRIBE), eid.prefix.length);
    writeAddress(writer, eid.prefix.ip, eid.instance);
  }
  writeXtr(writer, xtr);
  return writer.done();
}

function encodeReply({ nonce, isProbe, records }: MapReply): Uint8Array {
  const writer = new Writer()
    .u32((LISP.mapReply << 28) | when(isProbe, BIT.replyProbe) | records.length)
    .u64(nonce);
  for (const record of records) writeRecord(writer, record);
  return writer.done();
}

function encodeAuthenticated(message: MapRegister | MapNotify): Uint8Array {
  const { type, nonce, keyId, algorithm, macBytes, records } = message;
  const isRegister = message.type === LISP.mapRegister;
  const xtr = isRegister ? message.xtr : undefined;
  const flags = isRegister
    ? when(message.isProxyReply, BIT.proxyReply) |
      when(message.usesTtl, BIT.usesTtl) |
      when(message.wantsNotify, BIT.wantsNotify) |
      when(xtr !== undefined, BIT.registerXtr)
    : 0;
  const writer = new Writer()
    .u32((type << 28) | flags | records.length)
    .u64(nonce)
    .u8(keyId, algorithm)
    .u16(macBytes)
    .bytes(new Uint8Array(macBytes));
  for (const record of records) writeRecord(writer, record);
  writeXtr(writer, xtr);
  return writer.done();
}

function writeXtr(writer: Writer, xtr: Xtr | undefined): void {
  if (xtr === undefined) return;
  for (const character of xtr.id) writer.u8(character.charCodeAt(0));
  if (xtr.site !== undefined) writer.u64(xtr.site);
}
