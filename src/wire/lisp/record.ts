import type { Ip } from '../addresses.js';
import {
  type Cursor,
  type Eid,
  type LispMalformed,
  type Writer,
  addressBytes,
  eidOf,
  readAddress,
  writeAddress,
} from './address.js';

/** What an ITR does with packets when a record has no locators (RFC 9301 section 5.4, ACT). */
export const ACTION = {
  none: 0,
  nativelyForward: 1,
  sendMapRequest: 2,
  drop: 3,
  dropPolicy: 4,
  dropAuthentication: 5,
} as const;

/** Where an EID is reached (RFC 9301 section 5.4). */
export interface Locator {
  readonly rloc: Ip;
  /** Lower is better; 255 is not to be used. */
  readonly priority: number;
  readonly weight: number;
  /** L: an address of who sends the record. */
  readonly isLocal: boolean;
  /** p: the address that a probe was sent to. */
  readonly isProbed: boolean;
  /** R */
  readonly isReachable: boolean;
}

/** A record of Map-Reply, Map-Register, Map-Notify and Map-Notify-Ack (RFC 9301 section 5.4). */
export interface MappingRecord {
  /** 0: forget it now. */
  readonly ttlMinutes: number;
  /** One of ACTION, 0..7. */
  readonly action: number;
  /** A: from the ETR itself. */
  readonly isAuthoritative: boolean;
  /** Map-Version, 12 bits; 0: none (RFC 9302 section 6). */
  readonly version: number;
  readonly eid: Eid;
  readonly locators: readonly Locator[];
}

const LOCAL = 4;
const PROBED = 2;
const REACHABLE = 1;
const AUTHORITATIVE = 0x1000;
const VERSION_MASK = 0xfff;

/** One record; undefined: it is about an EID of a kind that we do not know, and the next one begins behind it. */
export function readRecord(cursor: Cursor): MappingRecord | undefined | LispMalformed {
  const ttlMinutes = cursor.u32();
  const count = cursor.u8();
  const length = cursor.u8();
  const flags = cursor.u16();
  const version = cursor.u16() & VERSION_MASK;
  const address = readAddress(cursor);
  if (typeof address === 'string') return address;
  const eid = eidOf(address, length);
  if (eid === 'bad-mask-length') return eid;
  const locators: Locator[] = [];
  for (let i = 0; i < count; i++) {
    const locator = readLocator(cursor);
    if (typeof locator === 'string') return locator;
    if (locator !== undefined) locators.push(locator);
  }
  if (eid === undefined) return undefined;
  const isAuthoritative = (flags & AUTHORITATIVE) !== 0;
  return { ttlMinutes, action: flags >>> 13, isAuthoritative, version, eid, locators };
}

function readLocator(cursor: Cursor): Locator | undefined | LispMalformed {
  const priority = cursor.u8();
  const weight = cursor.u8();
  cursor.u16(); // multicast priority and weight
  const flags = cursor.u16();
  const address = readAddress(cursor);
  if (typeof address === 'string') return address;
  if (address.kind !== 'ip') return undefined;
  const [isLocal, isProbed, isReachable] = [LOCAL, PROBED, REACHABLE].map((bit) => (flags & bit) !== 0) as [
    boolean,
    boolean,
    boolean,
  ];
  return { rloc: address.ip, priority, weight, isLocal, isProbed, isReachable };
}

/** Records of one message. Those of unknown EIDs are left out. */
export function readRecords(cursor: Cursor, count: number): MappingRecord[] | LispMalformed {
  const records: MappingRecord[] = [];
  for (let i = 0; i < count; i++) {
    const record = readRecord(cursor);
    if (typeof record === 'string') return record;
    if (record !== undefined) records.push(record);
  }
  return records;
}

export function writeRecord(writer: Writer, record: MappingRecord): void {
  const { eid, locators } = record;
  const flags = (record.action << 13) | (record.isAuthoritative ? AUTHORITATIVE : 0);
  writer.u32(record.ttlMinutes).u8(locators.length, eid.prefix.length).u16(flags).u16(record.version);
  writeAddress(writer, eid.prefix.ip, eid.instance);
  for (const { rloc, priority, weight, isLocal, isProbed, isReachable } of locators) {
    writer.u8(priority, weight, 255, 0); // multicast priority 255: not for multicast
    writer.u16((isLocal ? LOCAL : 0) | (isProbed ? PROBED : 0) | (isReachable ? REACHABLE : 0));
    writeAddress(writer, rloc);
  }
}

/** Octets of a record on the wire. */
export function recordBytes({ eid, locators }: MappingRecord): number {
  const ofLocators = locators.map(({ rloc }) => 6 + addressBytes(rloc, 0));
  return ofLocators.reduce((sum, bytes) => sum + bytes, 10 + addressBytes(eid.prefix.ip, eid.instance));
}
