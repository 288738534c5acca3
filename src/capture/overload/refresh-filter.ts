import type { HostAddresses } from '../protocol.js';

/** Two hosts that share an entry take turns in it, which costs frames and nothing else. */
const ENTRIES = 1 << 16;

/** What the daemon knows about the sender of a frame. */
export type SenderClass =
  /** Nothing: a newcomer, a move, or a host that is seldom heard. */
  | 'unknown'
  /** It is where the daemon believes it to be. */
  | 'known'
  /** That, and the frame says nothing else: it need not be passed on. */
  | 'absorbed';

/**
 * Announcements that only repeat what the daemon knows are kept back here, next to the wire, for as long as the daemon
 * allows it: 50,000 of them a second cost the daemon nothing, and newcomers do not queue behind them.
 *
 * An entry never outlives its time by itself: the first frame after it is passed on, so that the daemon hears of a
 * living host as often as it needs to. It revokes an entry when it no longer believes the host to be there. The size is
 * fixed (1.5 MB), and an entry that was overwritten by another costs a frame more.
 */
export class RefreshFilter {
  readonly #mask: number;
  readonly #ifaces: Uint32Array;
  readonly #ips: Uint32Array;
  readonly #macHighs: Uint16Array;
  readonly #macLows: Uint32Array;
  readonly #untils: Float64Array;
  /** There may be entries. A burst of newcomers at the start of a daemon shall not pay for there being none. */
  #used = false;

  /** `entries` is a power of two. */
  constructor(entries = ENTRIES) {
    this.#mask = entries - 1;
    this.#ifaces = new Uint32Array(entries);
    this.#ips = new Uint32Array(entries);
    this.#macHighs = new Uint16Array(entries);
    this.#macLows = new Uint32Array(entries);
    this.#untils = new Float64Array(entries);
  }

  /**
   * Absorbs announcements of `ip` from this MAC (its first two bytes and the other four) on the interface until
   * `until`, on the clock of familiarity().
   */
  absorb(iface: number, ip: number, macHigh: number, macLow: number, until: number): void {
    this.#used = true;
    const at = this.#entryOf(iface, ip);
    this.#ifaces[at] = iface;
    this.#ips[at] = ip;
    this.#macHighs[at] = macHigh;
    this.#macLows[at] = macLow;
    this.#untils[at] = until;
  }

  /** Forgets the host, if it is known with this MAC. */
  revoke(iface: number, ip: number, macHigh: number, macLow: number): void {
    const at = this.#entryOf(iface, ip);
    if (this.#is(at, iface, ip, macHigh, macLow)) this.#ifaces[at] = 0;
  }

  /** `bytes` is an Ethernet frame of `length` bytes. Anything but a well-formed ARP packet of one host is unknown. */
  familiarity(iface: number, bytes: Uint8Array, length: number, clock: () => number): SenderClass {
    if (!this.#used || length < 42 || !isArp(bytes)) return 'unknown';
    const ip = readUint32(bytes, 28);
    const at = this.#entryOf(iface, ip);
    const macHigh = readUint16(bytes, 6);
    const macLow = readUint32(bytes, 8);
    if (!this.#is(at, iface, ip, macHigh, macLow)) return 'unknown';
    if (readUint16(bytes, 22) !== macHigh || readUint32(bytes, 24) !== macLow) return 'unknown';
    return ip === readUint32(bytes, 38) && clock() < (this.#untils[at] as number) ? 'absorbed' : 'known';
  }

  #entryOf(iface: number, ip: number): number {
    const mixed = Math.imul(ip ^ Math.imul(iface, 0x9e37_79b1), 0x85eb_ca6b);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }

  #is(at: number, iface: number, ip: number, macHigh: number, macLow: number): boolean {
    return (
      this.#ips[at] === ip &&
      this.#ifaces[at] === iface &&
      this.#macLows[at] === macLow &&
      this.#macHighs[at] === macHigh
    );
  }
}

/** Who speaks in a frame: the sender of an ARP packet, or who would like to be the target of a probe (RFC 5227). */
export function senderOf(bytes: Uint8Array, length: number): HostAddresses | undefined {
  if (length < 42 || !isArp(bytes)) return undefined;
  const ip = readUint32(bytes, 28) || readUint32(bytes, 38);
  return { ip, macHigh: readUint16(bytes, 22), macLow: readUint32(bytes, 24) };
}

/** RFC 826 for Ethernet and IPv4, request or reply. */
function isArp(bytes: Uint8Array): boolean {
  return (
    readUint32(bytes, 12) === 0x0806_0001 &&
    readUint32(bytes, 16) === 0x0800_0604 &&
    bytes[20] === 0 &&
    (bytes[21] === 1 || bytes[21] === 2)
  );
}

function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((readUint16(bytes, at) << 16) | readUint16(bytes, at + 2)) >>> 0;
}
