import type { IfIndex } from '../mobility/events.js';
import { type Mac, formatMac } from '../wire/addresses.js';
import { PACKET_FILTER } from './family/families.js';
import { MISDIRECTED_ARGUMENT } from './reader-launch.js';
import { type ExcludedFlow, ExcludedFlows } from './overload/excluded-flows.js';
import { Capture, type CaptureOptions } from './capture.js';
import type { CaptureLink } from './captured-interface.js';

/** As many as an order to the child has room for; each costs the kernel a comparison per packet. */
const MACS_IN_FILTER = 48;
/** Arrivals and departures come in bursts, and each new filter opens the interface anew, up to 30 ms. */
const COLLECT_MS = 20;
/** After what has just been decided has left: routes go first. */
const FIRST_MS = 1;
const RING_BYTES = 256 << 10;
const WINDOW_MS = 250;
/** So long after the last visitor has gone the process ends: visitors who come and go are no reason to start one each time. */
const IDLE_MS = 60_000;

export interface StaleNeighbourOptions
  extends Pick<CaptureOptions, 'onFrame' | 'onBatchEnd' | 'onFatal' | 'onWarning'> {
  /** Milliseconds without a visitor after which the process ends. Default 60,000. */
  readonly idleMs?: number;
}

interface Visitors {
  link: CaptureLink;
  readonly macs: Map<Mac, number>;
  readonly mutes: ExcludedFlows;
}

/**
 * Packets of visitors to somebody else than us: they name stale neighbours (mobility/strays.ts). They are
 * captured in a child of their own, so that however many there are they never delay a frame of ARP. The kernel's
 * filter picks them: only these source MACs, no group address, not to us. The process costs some 45 MB, so it runs
 * only while there are visitors, and a little longer.
 *
 * One packet of each conversation is all that is wanted. So the child reads no more than it must (throttle.ts), and
 * who goes on all the same is left out of the filter for a while (mutes.ts).
 */
export class StaleNeighbourCapture {
  readonly #options: StaleNeighbourOptions;
  /** Undefined while there is nobody to watch. */
  #capture: Capture | undefined;
  readonly #visitors = new Map<IfIndex, Visitors>();
  readonly #changed = new Set<IfIndex>();
  #timer: NodeJS.Timeout | undefined;
  /** Runs while there is noise. */
  #window: NodeJS.Timeout | undefined;
  /** Runs while there is a process and no visitor. */
  #idle: NodeJS.Timeout | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(options: StaleNeighbourOptions) {
    this.#options = options;
  }

  /** A MAC may belong to several claimed addresses; it is watched until each was unwatched. */
  watch(link: CaptureLink, mac: Mac): void {
    let visitors = this.#visitors.get(link.index);
    if (visitors === undefined) {
      visitors = { link, macs: new Map(), mutes: new ExcludedFlows() };
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
    this.#capture?.close(iface);
    this.#endWhenIdle();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    clearTimeout(this.#window);
    this.#end();
    await this.#ended;
  }

  #start(): Capture {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    this.#capture ??= new Capture({
      ...this.#options,
      onFrame: (iface, bytes) => {
        this.#visitors.get(iface)?.mutes.count(bytes);
        this.#window ??= setTimeout(() => this.#judge(), WINDOW_MS);
        this.#options.onFrame(iface, bytes);
      },
      onState: () => undefined,
      bufferBytes: RING_BYTES,
      floodFramesPerSecond: Number.POSITIVE_INFINITY,
      childArgument: MISDIRECTED_ARGUMENT,
    });
    return this.#capture;
  }

  #endWhenIdle(): void {
    if (this.#visitors.size > 0 || this.#capture === undefined) return;
    this.#idle ??= setTimeout(() => this.#end(), this.#options.idleMs ?? IDLE_MS);
  }

  #end(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    const ending = this.#capture?.stop();
    this.#capture = undefined;
    this.#ended = Promise.all([this.#ended, ending]);
  }

  #judge(): void {
    this.#window = undefined;
    let quiet = true;
    for (const [iface, { mutes }] of this.#visitors) {
      if (mutes.judge(performance.now())) this.#change(iface);
      quiet &&= mutes.quiet;
    }
    if (!quiet) this.#window = setTimeout(() => this.#judge(), WINDOW_MS);
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
    const { link, macs, mutes } = visitors;
    const filter = misdirectedFilter(link.mac, macs, mutes.muted);
    if (filter === undefined) this.#capture?.close(iface);
    else this.#start().open({ ...link, filter });
    if (macs.size > 0) return;
    this.#visitors.delete(iface);
    this.#endWhenIdle();
  }
}

/** A pcap-filter(7) expression for what these MACs send to one host that is not us; undefined when nobody is left. */
export function misdirectedFilter(
  own: Mac,
  visitors: ReadonlyMap<Mac, unknown>,
  { pairs, sources }: ExcludedFlow = { pairs: [], sources: [] },
): string | undefined {
  const from = (mac: Mac) => `ether src ${formatMac(mac)}`;
  const to = (mac: Mac) => `ether dst ${formatMac(mac)}`;
  const parts = [`${PACKET_FILTER} and not ether multicast`, `not ${to(own)}`, `not ${from(own)}`];
  for (const { source, destination } of pairs) parts.push(`not (${from(source)} and ${to(destination)})`);
  if (visitors.size > MACS_IN_FILTER) {
    // More than can be muted, and many: this is done in the midst of their arrival.
    for (const source of sources) parts.push(`not ${from(source)}`);
  } else {
    const heard = [...visitors.keys()].filter((mac) => !sources.includes(mac));
    if (heard.length === 0) return undefined;
    parts.push(`(${heard.map(from).join(' or ')})`);
  }
  return parts.join(' and ');
}
