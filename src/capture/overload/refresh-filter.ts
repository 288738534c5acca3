import { senderOf } from '../family/families.js';
import { readUint16, readUint32 } from '../family/sender.js';

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

  /** `bytes` is an Ethernet frame of `length` bytes. Anything but a well-formed message of one host is unknown. */
  familiarity(iface: number, bytes: Uint8Array, length: number, clock: () => number): SenderClass {
    if (!this.#used) return 'unknown';
    const sender = senderOf(bytes, length);
    if (sender === undefined || sender.kind === 'acd-probe') return 'unknown';
    const { ip, macHigh, macLow } = sender;
    const at = this.#entryOf(iface, ip);
    if (!this.#is(at, iface, ip, macHigh, macLow)) return 'unknown';
    if (readUint16(bytes, 6) !== macHigh || readUint32(bytes, 8) !== macLow) return 'unknown';
    return sender.kind === 'announcement' && clock() < (this.#untils[at] as number) ? 'absorbed' : 'known';
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
