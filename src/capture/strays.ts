import type { IfIndex } from '../mobility/events.js';
import { type Mac, formatMac } from '../wire/addresses.js';
import { Capture, type CaptureOptions } from './port.js';
import type { CaptureStats } from './stats.js';
import type { CaptureLink } from './watched.js';

/** As many as an order to the child has room for; each costs the kernel a comparison per packet. */
const MACS_IN_FILTER = 48;
/** Arrivals and departures come in bursts, and each new filter opens the interface anew, some 10 ms. */
const COLLECT_MS = 20;
const RING_BYTES = 256 << 10;

/**
 * IPv4 packets of visitors to somebody else than us: they name stale neighbours (mobility/strays.ts). They are
 * captured in a child of their own, which is started for the first visitor, so that however many there are they never
 * delay a frame of ARP. The kernel's filter picks them: only these source MACs, no group address, not to us.
 */
export class Strays {
  readonly #capture: Capture;
  readonly #visitors = new Map<IfIndex, { link: CaptureLink; macs: Map<Mac, number> }>();
  readonly #changed = new Set<IfIndex>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Pick<CaptureOptions, 'onFrame' | 'onBatchEnd' | 'onFatal' | 'onWarning'>) {
    this.#capture = new Capture({
      ...options,
      onState: () => undefined,
      bufferBytes: RING_BYTES,
      floodFramesPerSecond: Number.POSITIVE_INFINITY,
    });
  }

  /** A MAC may belong to several claimed addresses; it is watched until each was unwatched. */
  watch(link: CaptureLink, mac: Mac): void {
    let visitors = this.#visitors.get(link.index);
    if (visitors === undefined) {
      visitors = { link, macs: new Map() };
      this.#visitors.set(link.index, visitors);
    }
    visitors.link = link;
    visitors.macs.set(mac, (visitors.macs.get(mac) ?? 0) + 1);
    this.#change(link.index);
  }

  unwatch(iface: IfIndex, mac: Mac): void {
    const macs = this.#visitors.get(iface)?.macs;
    const count = macs?.get(mac);
    if (macs === undefined || count === undefined) return;
    if (count > 1) macs.set(mac, count - 1);
    else macs.delete(mac);
    this.#change(iface);
  }

  /** The interface went down or away; a capture that saw it down is deaf. */
  close(iface: IfIndex): void {
    this.#visitors.delete(iface);
    this.#capture.close(iface);
  }

  stats(): CaptureStats {
    return this.#capture.stats();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#capture.stop();
  }

  #change(iface: IfIndex): void {
    this.#changed.add(iface);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const changed of this.#changed) this.#apply(changed);
      this.#changed.clear();
    }, COLLECT_MS);
  }

  #apply(iface: IfIndex): void {
    const visitors = this.#visitors.get(iface);
    if (visitors === undefined) return;
    if (visitors.macs.size > 0) {
      this.#capture.open({ ...visitors.link, filter: strayFilter(visitors.link.mac, visitors.macs) });
    } else {
      this.#visitors.delete(iface);
      this.#capture.close(iface);
    }
  }
}

/** A pcap-filter(7) expression for what these MACs send to one host that is not us. */
export function strayFilter(own: Mac, visitors: ReadonlyMap<Mac, unknown>): string {
  const others = `ip and not ether multicast and not ether dst ${formatMac(own)} and not ether src ${formatMac(own)}`;
  if (visitors.size > MACS_IN_FILTER) return others;
  return `${others} and (${[...visitors.keys()].map((mac) => `ether src ${formatMac(mac)}`).join(' or ')})`;
}
