import type { IfIndex } from '../mobility/events.js';
import type { Child } from '../system/child-watch.js';
import { type Family, type Mac, formatMac } from '../wire/addresses.js';
import { packetFilter } from './family/families.js';
import {
  MISDIRECTED_BURST_FRAMES,
  MISDIRECTED_FRAMES_PER_SECOND,
  MISDIRECTED_IDLE_MS,
  MISDIRECTED_RING_BYTES,
} from './overload/constants.js';
import { Capture, type CaptureOptions } from './capture.js';
import type { CaptureLink } from './captured-interface.js';

/** As many as a command to the reader has room for; each costs the kernel a comparison per packet. */
const MACS_IN_FILTER = 48;
/** Arrivals and departures come in bursts, and each new filter opens the interface anew, up to 30 ms. */
const COLLECT_MS = 20;
/** After what has just been decided has left: routes go first. */
const FIRST_MS = 1;

export interface StaleNeighbourOptions
  extends Pick<CaptureOptions, 'families' | 'onFrame' | 'onBatchEnd' | 'onFatal' | 'onWarning'> {
  /** Milliseconds without a visitor after which the process ends. Default 60,000. */
  readonly idleMs?: number;
}

interface Visitors {
  link: CaptureLink;
  /** Ours on that LAN besides that of the interface: those of macvlans. */
  otherOwn: readonly Mac[];
  /** All hosts there are watched, so the filter names none: it need not change when one comes or goes. */
  everybody: boolean;
  readonly macs: Map<Mac, number>;
}

/**
 * Packets of visitors to another MAC than ours: each names a stale neighbour (mobility/input/stale-neighbours.ts). They are
 * captured in a reader of their own, so that however many there are they never delay a frame of ARP. The kernel's filter
 * selects them: only these source MACs, no group address, not to us. The process costs 45 MB, so it runs only while there
 * are visitors, and a little longer.
 *
 * One packet of each conversation is enough, so few are read. A visitor that sends tens of thousands of packets a second
 * to a stale neighbour hides those of other visitors on its LAN for that time.
 */
export class StaleNeighbourCapture {
  readonly #options: StaleNeighbourOptions;
  /** Undefined while there is nobody to watch. */
  #capture: Capture | undefined;
  readonly #visitors = new Map<IfIndex, Visitors>();
  readonly #changed = new Set<IfIndex>();
  #timer: NodeJS.Timeout | undefined;
  /** Runs while there is a process and no visitor. */
  #idle: NodeJS.Timeout | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(options: StaleNeighbourOptions) {
    this.#options = options;
  }

  get children(): Child[] {
    return this.#capture?.children ?? [];
  }

  /** A MAC may belong to several claimed addresses; it is watched until each was unwatched. */
  watch(link: CaptureLink, mac: Mac, otherOwn: readonly Mac[] = [], everybody = false): void {
    let visitors = this.#visitors.get(link.index);
    if (visitors === undefined) {
      visitors = { link, otherOwn, everybody, macs: new Map() };
      this.#visitors.set(link.index, visitors);
    }
    visitors.link = link;
    visitors.otherOwn = otherOwn;
    visitors.everybody = everybody;
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

  /** Macvlans of the LAN came or went: what is sent to them is sent to us. */
  setOtherOwn(iface: IfIndex, otherOwn: readonly Mac[]): void {
    const visitors = this.#visitors.get(iface);
    if (visitors === undefined || visitors.otherOwn.join() === otherOwn.join()) return;
    visitors.otherOwn = otherOwn;
    this.#change(iface);
  }

  /** See Capture.reopen. */
  reopen(iface: IfIndex): void {
    this.#capture?.reopen(iface);
  }

  /** The interface went down or away; a capture that saw it down is deaf. */
  close(iface: IfIndex): void {
    this.#visitors.delete(iface);
    this.#capture?.close(iface);
    this.#endWhenIdle();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#end();
    await this.#ended;
  }

  #start(): Capture {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#capture ??= new Capture({
      ...this.#options,
      onState: () => undefined,
      bufferBytes: MISDIRECTED_RING_BYTES,
      burstFrames: MISDIRECTED_BURST_FRAMES,
      floodFramesPerSecond: MISDIRECTED_FRAMES_PER_SECOND,
      task: 'misdirected',
    });
    return this.#capture;
  }

  #endWhenIdle(): void {
    if (this.#visitors.size > 0 || this.#capture === undefined) return;
    this.#idle ??= setTimeout(() => this.#end(), this.#options.idleMs ?? MISDIRECTED_IDLE_MS);
  }

  #end(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    const ending = this.#capture?.stop();
    this.#capture = undefined;
    this.#ended = Promise.all([this.#ended, ending]);
  }

  /** The first change counts at once, and whatever follows it in a burst together. */
  #change(iface: IfIndex): void {
    this.#changed.add(iface);
    this.#timer ??= setTimeout(() => this.#applyChanges(), FIRST_MS);
  }

  #applyChanges(): void {
    for (const iface of this.#changed) this.#apply(iface);
    const wereSome = this.#changed.size > 0;
    this.#changed.clear();
    this.#timer = wereSome ? setTimeout(() => this.#applyChanges(), COLLECT_MS) : undefined;
  }

  #apply(iface: IfIndex): void {
    const visitors = this.#visitors.get(iface);
    if (visitors === undefined) return;
    const { link, otherOwn, everybody, macs } = visitors;
    const filter = misdirectedFilter(this.#options.families, [link.mac, ...otherOwn], macs, everybody);
    if (filter === undefined) this.#capture?.close(iface);
    else this.#start().open({ ...link, filter });
    if (macs.size > 0) return;
    this.#visitors.delete(iface);
    this.#endWhenIdle();
  }
}

/** A pcap-filter(7) expression for what these MACs send to one host that is not us; undefined when there are none. */
export function misdirectedFilter(
  families: readonly Family[],
  own: readonly Mac[],
  visitors: ReadonlyMap<Mac, unknown>,
  everybody = false,
): string | undefined {
  if (visitors.size === 0) return undefined;
  const from = (mac: Mac) => `ether src ${formatMac(mac)}`;
  const parts = [
    `${packetFilter(families)} and not ether multicast`,
    ...own.flatMap((mac) => [`not ether dst ${formatMac(mac)}`, `not ${from(mac)}`]),
  ];
  // Too many for a filter: then those of all senders are read.
  if (!everybody && visitors.size <= MACS_IN_FILTER)
    parts.push(`(${[...visitors.keys()].map(from).join(' or ')})`);
  return parts.join(' and ');
}
