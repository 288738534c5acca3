import type { IfIndex } from '../../mobility/events.js';
import type { RouteLine } from '../ip/parse-route.js';

/** The kernel's own routes, of addresses: an interface without other routes needs no new dump. */
const PROTOCOL_KERNEL = 2;
/** The links of a box fail together, and an interface is set down just before its routes are deleted. */
const GATHER_MS = 20;
/** Pause between two dumps, as a multiple of what one takes. */
const PAUSE_RATIO = 4;

/** However little is said of it, a loss is noticed after this time, or a multiple of that of a dump. */
const SLOWLY_MS = 60_000;

/**
 * The kernel sends no notification for routes that are deleted
 *
 * - with a link: all of them when it is set down or removed, those over nexthop objects (FRR's) also when it loses its
 *   carrier,
 * - with an address: all of a link when its last one is removed, those with it as source address anywhere,
 * - with a nexthop object.
 *
 * Then the tables are read again, and slowly for ever, or the claim of a router that cannot be reached any more would be
 * believed for ever.
 */
export class UnnotifiedRouteLoss {
  /** Links that routes of others lead through; undefined stands for those of a multipath route. */
  readonly #used = new Set<IfIndex | undefined>();
  readonly #readAgain: () => void;
  #timer: NodeJS.Timeout | undefined;
  /** Before this the tables are not read again. */
  #notBefore = 0;

  readonly #slowly: NodeJS.Timeout;

  constructor(readAgain: () => void) {
    this.#readAgain = readAgain;
    this.#slowly = setInterval(() => this.again(0), SLOWLY_MS).unref();
  }

  /** `iface`: the index of `dev`. */
  noteRoute({ protocol, dev, via }: RouteLine, iface: IfIndex | undefined): void {
    if (protocol === PROTOCOL_KERNEL || (dev === undefined && via === undefined)) return;
    this.#used.add(iface);
  }

  linkLost(iface: IfIndex): void {
    if (this.#used.has(iface) || this.#used.has(undefined)) this.again(GATHER_MS);
  }

  /** An address or a nexthop object was removed: any route of others may be gone with it. */
  removed(): void {
    if (this.#used.size > 0) this.again(GATHER_MS);
  }

  again(afterMs: number): void {
    if (this.#timer !== undefined) return;
    const waitMs = Math.max(afterMs, this.#notBefore - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#readAgain();
    }, waitMs);
  }

  /** The tables were read in so long: large ones, on a box whose links flap, shall not be read all the time. */
  wereRead(tookMs: number): void {
    this.#notBefore = performance.now() + PAUSE_RATIO * tookMs;
  }

  stop(): void {
    clearInterval(this.#slowly);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
