import { type Ip, MAC_BROADCAST, type Mac, parseIp, writeMac } from '../../../src/wire/addresses.js';

/** Frames of Neighbor Discovery (RFC 4861), made without the codec: what the reader sees of them is tested with them. */

export const ANNOUNCED = parseIp('2001:db8:1::5') as Ip;
const ALL_NODES = parseIp('ff02::1') as Ip;

interface Advertisement {
  readonly target?: Ip;
  /** R, S and O from the left (section 4.4). Default: O. */
  readonly flags?: number;
  readonly hasMac?: boolean;
}

/** A neighbour advertisement to all nodes. */
export function advertisement(mac: Mac, form: Advertisement = {}): Uint8Array {
  const { target = ANNOUNCED, flags = 0x20, hasMac = true } = form;
  const bytes = message(mac, 136, target, ALL_NODES, hasMac ? 32 : 24);
  bytes[58] = flags;
  writeIp(bytes, 62, target);
  if (hasMac) writeOption(bytes, 2, mac);
  return bytes;
}

/** A neighbour solicitation; one from `::` is part of duplicate address detection and has no option. */
export function solicitation(mac: Mac, source: Ip, target: Ip): Uint8Array {
  const isProbe = source === parseIp('::');
  const bytes = message(mac, 135, source, target, isProbe ? 24 : 32);
  writeIp(bytes, 62, target);
  if (!isProbe) writeOption(bytes, 1, mac);
  return bytes;
}

function message(mac: Mac, type: number, source: Ip, destination: Ip, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(54 + payloadBytes);
  writeMac(bytes, 0, MAC_BROADCAST);
  writeMac(bytes, 6, mac);
  bytes.set([0x86, 0xdd, 0x60, 0, 0, 0, 0, payloadBytes, 58, 255], 12);
  writeIp(bytes, 22, source);
  writeIp(bytes, 38, destination);
  bytes[54] = type;
  return bytes;
}

function writeIp(bytes: Uint8Array, at: number, ip: Ip): void {
  for (let i = 0; i < 16; i++) bytes[at + i] = String(ip).charCodeAt(i);
}

function writeOption(bytes: Uint8Array, type: number, mac: Mac): void {
  bytes.set([type, 1], 78);
  writeMac(bytes, 80, mac);
}
