import { senderOf } from '../family/families.js';
import { type AddressWords, readUint16, readUint32 } from '../family/sender.js';
import { SUPPRESSED_HOSTS } from './constants.js';

/**
 * Announcements that only repeat what the daemon knows are kept back here, next to the wire, for as long as the daemon
 * allows it: 50,000 of them a second cost the daemon nothing, and newcomers do not queue behind them.
 *
 * An entry never outlives its time by itself: the first frame after it is passed on, so that the daemon sees a
 * host as often as it needs to. It revokes an entry when it no longer believes the host to be there. The size is
 * fixed (2.3 MB), and an entry that was overwritten by another costs a frame more. Whole addresses are compared, so
 * whoever finds two IPv6 addresses that share an entry gains nothing else.
 */
export class RefreshFilter {
  readonly #mask: number;
  readonly #ifaces: Uint32Array;
  /** Four words of each. */
  readonly #ips: Uint32Array;
  readonly #macHighs: Uint16Array;
  readonly #macLows: Uint32Array;
  readonly #untils: Float64Array;
  /** There may be entries. A burst of newcomers at the start of a daemon shall not pay for there being none. */
  #used = false;

  /** `entries` is a power of two. */
  constructor(entries = SUPPRESSED_HOSTS) {
    this.#mask = entries - 1;
    this.#ifaces = new Uint32Array(entries);
    this.#ips = new Uint32Array(4 * entries);
    this.#macHighs = new Uint16Array(entries);
    this.#macLows = new Uint32Array(entries);
    this.#untils = new Float64Array(entries);
  }

  /**
   * Suppresses announcements of `ip` from this MAC (its first two bytes and the other four) on the interface until
   * `until`, on the clock of isRedundant().
   */
  suppress(iface: number, ip: AddressWords, macHigh: number, macLow: number, until: number): void {
    this.#used = true;
    const at = this.#entryOf(iface, ip);
    this.#ifaces[at] = iface;
    this.#ips.set(ip, 4 * at);
    this.#macHighs[at] = macHigh;
    this.#macLows[at] = macLow;
    this.#untils[at] = until;
  }

  /** Forgets the host, if it is known with this MAC. */
  revoke(iface: number, ip: AddressWords, macHigh: number, macLow: number): void {
    const at = this.#entryOf(iface, ip);
    if (this.#is(at, iface, ip, macHigh, macLow)) this.#ifaces[at] = 0;
  }

  /**
   * Whether a frame of `length` bytes is an announcement of a host that is suppressed now, by its own MAC in Ethernet
   * header and message. `clock` is read only for such a host.
   */
  isRedundant(iface: number, bytes: Uint8Array, length: number, clock: () => number): boolean {
    if (!this.#used) return false;
    const sender = senderOf(bytes, length);
    if (sender?.kind !== 'announcement') return false;
    const { ip, macHigh, macLow } = sender;
    const at = this.#entryOf(iface, ip);
    if (!this.#is(at, iface, ip, macHigh, macLow)) return false;
    if (readUint16(bytes, 6) !== macHigh || readUint32(bytes, 8) !== macLow) return false;
    return clock() < (this.#untils[at] as number);
  }

  #entryOf(iface: number, ip: AddressWords): number {
    let mixed = Math.imul(iface, 0x9e37_79b1);
    // The last word makes most of the difference; neighbouring hosts seldom share an entry.
    for (let i = 0; i < 3; i++) {
      mixed = Math.imul(mixed ^ (ip[i] as number), 0xc2b2_ae35);
      mixed ^= mixed >>> 15;
    }
    mixed = Math.imul(mixed ^ (ip[3] as number), 0x85eb_ca6b);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }

  #is(at: number, iface: number, ip: AddressWords, macHigh: number, macLow: number): boolean {
    return (
      this.#ifaces[at] === iface &&
      this.#macLows[at] === macLow &&
      this.#macHighs[at] === macHigh &&
      this.#hasAddress(4 * at, ip)
    );
  }
  #hasAddress(from: number, ip: AddressWords): boolean {
    for (let i = 0; i < 4; i++) if (this.#ips[from + i] !== ip[i]) return false;
    return true;
  }
}
