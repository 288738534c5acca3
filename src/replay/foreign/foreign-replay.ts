import type { Action, Event, IfIndex, Link, Route } from '../../mobility/events.js';
import type { Policy } from '../../mobility/policy.js';
import { HostTracker } from '../../mobility/tracker.js';
import { driversOf } from '../../mobility/families.js';
import { FamilyDrivers } from '../../mobility/neighbour/driver.js';
import { type Ip, type Mac, isGroupMac, isLinkLocal, isUnspecified } from '../../wire/addresses.js';
import { type CapturedPacket, LINK_TYPE_ETHERNET } from '../../wire/pcap/capture-file.js';
import { ETHER_TYPE_IPV6, decodeEthernet, etherTypeOf } from '../../wire/ethernet.js';
import { MLD_REPORT_CUT_BYTES } from '../../wire/icmpv6.js';
import type { Chapter } from '../story.js';

/** From a claim to the kernel's acknowledgement, as on a quiet router. */
const INSTALL_MS = 1;
/** Ethernet header and ARP packet. */
const ARP_BYTES = 42;
/** From a probe to an assumed answer. */
const ANSWER_MS = 0.3;
/** A frame of ours is looked for among what was predicted so long before it, and so long after. */
const LATE_MS = 500;
const EARLY_MS = 50;
/** The tracker's clock at the first packet. */
const START_MS = 1000;

export interface RouteChange {
  readonly timeNs: bigint;
  readonly change: 'add' | 'delete';
  readonly route: Route;
}

export interface ForeignOptions {
  readonly policy: Policy;
  readonly links: readonly Link[];
  /** Sorted by time. */
  readonly routes?: readonly RouteChange[];
  /** Every probe of a host that sent something is answered where it sent last. */
  readonly assumeAlive?: boolean;
}

interface Due {
  readonly at: number;
  readonly event: Event;
  readonly note: string | undefined;
  /** An answer that is in no capture. */
  readonly assumed?: Uint8Array;
}

/**
 * Captures of tcpdump and others through the tracker, in the time of their stamps. It is told of a router whose links
 * are up and captured, and of what others have in the routing table. It ends with the last packet: afterwards silence
 * says nothing about a host.
 */
export class ForeignReplay {
  private readonly tracker: HostTracker;
  private readonly drivers: FamilyDrivers;
  private readonly ifaces: ReadonlyMap<string, IfIndex>;
  private readonly due: Due[] = [];
  private routes: RouteChange[];
  private originNs: bigint | undefined;
  private readonly lastSeen = new Map<Ip, { readonly iface: IfIndex; readonly mac: Mac }>();
  private readonly watched = new Map<string, number>();
  private predictions: { readonly at: number; readonly key: string }[] = [];
  /** Frames of ours: foreseen, and not. */
  readonly own = { predicted: 0, others: 0 };
  readonly ignored = { otherInterface: new Map<string, number>(), notEthernet: 0 };

  constructor(private readonly options: ForeignOptions) {
    this.tracker = new HostTracker(options.policy);
    this.drivers = new FamilyDrivers(driversOf(options.policy.families));
    this.ifaces = new Map(options.links.map(({ name, index }) => [name, index]));
    this.routes = [...(options.routes ?? [])];
  }

  /** ms since 1970 at which the tracker's clock stood at 0. */
  get originMs(): number {
    return Number(this.originNs ?? 0n) / 1e6;
  }

  readonly nameOf = (iface: IfIndex): string | undefined => this.tracker.link(iface)?.name;

  /** The next packet of interface `name`; packets come in the order of time. */
  *packet(packet: CapturedPacket, name: string): Generator<Chapter> {
    if (this.originNs === undefined) this.begin(packet.timeNs);
    const now = this.msOf(packet.timeNs);
    yield* this.advance(now);
    const { bytes } = packet;
    const told = (note: string | undefined, actions: readonly Action[]): Chapter => ({
      timeNs: packet.timeNs,
      interface: name,
      packet,
      note,
      actions,
      differences: [],
    });
    const iface = this.ifaces.get(name);
    const ethernet = decodeEthernet(bytes);
    if (packet.interface.linkType !== LINK_TYPE_ETHERNET) this.ignored.notEthernet++;
    else if (iface === undefined)
      this.ignored.otherInterface.set(name, (this.ignored.otherInterface.get(name) ?? 0) + 1);
    else if (ethernet !== undefined) {
      const { source, destination } = ethernet;
      const message = this.drivers.decode(bytes);
      const isMessage = message !== 'not-arp' && message !== 'not-neighbour-discovery';
      const link = this.tracker.link(iface);
      // As the reader cuts it.
      const head = bytes.slice(0, MLD_REPORT_CUT_BYTES);
      if (source === link?.mac || packet.direction === 'out') {
        if (isMessage) return yield told(this.compare(iface, bytes, now), []);
      } else if (isMessage) {
        this.noteSender(iface, bytes);
        return yield told(undefined, this.handle({ kind: 'frame', iface, bytes: head }, now));
      } else if (destination !== link?.mac && this.isWatched(iface, source) && this.isPacket(bytes)) {
        const event: Event = { kind: 'misdirected-packet', iface, bytes: head };
        return yield told('misdirected', this.handle(event, now));
      }
    }
    yield told(undefined, []);
  }

  private begin(timeNs: bigint): void {
    this.originNs = timeNs - BigInt(START_MS * 1e6);
    const { links } = this.options;
    for (const link of links) this.handle({ kind: 'link', link }, 0);
    this.handle({ kind: 'routes-begin' }, 0);
    while (this.routes[0] !== undefined && this.routes[0].timeNs <= timeNs - BigInt(START_MS * 1e6)) {
      const { change, route } = this.routes.shift() as RouteChange;
      this.handle({ kind: 'route', change, route, initial: true }, 0);
    }
    this.handle({ kind: 'routes-end' }, 0);
    for (const { index } of links)
      if (this.tracker.isMobility(index)) this.handle({ kind: 'capture', iface: index, open: true }, 0);
    this.routes.reverse();
  }

  /** What is due before `until`: deadlines, acknowledgements, assumed answers, changes of routes. */
  private *advance(until: number): Generator<Chapter> {
    for (;;) {
      const deadline = this.tracker.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const queued = this.due[0]?.at ?? Number.POSITIVE_INFINITY;
      const change = this.routes.at(-1);
      const changeAt = change === undefined ? Number.POSITIVE_INFINITY : this.msOf(change.timeNs);
      const at = Math.min(deadline, queued, changeAt);
      if (at > until || at === Number.POSITIVE_INFINITY) return;
      let next: Due = { at, event: { kind: 'tick' }, note: undefined };
      if (change !== undefined && changeAt === at) {
        this.routes.pop();
        next = { at, event: { kind: 'route', ...change, initial: false }, note: `route ${change.change}` };
      } else if (queued === at) next = this.due.shift() as Due;
      const actions = this.handle(next.event, Math.max(at, 0));
      if (actions.length === 0 && next.assumed === undefined && next.event.kind !== 'route') continue;
      yield {
        timeNs: this.nsOf(at),
        interface: next.event.kind === 'frame' ? this.nameOf(next.event.iface) : undefined,
        packet: next.assumed && { bytes: next.assumed, length: next.assumed.length, direction: undefined },
        note: next.note,
        actions,
        differences: [],
      };
    }
  }

  private handle(event: Event, now: number): readonly Action[] {
    const actions = this.tracker.handle(event, now);
    for (const action of actions) {
      if (action.kind === 'claim') {
        const { ip, age } = action;
        this.enqueue({ at: now + INSTALL_MS, event: { kind: 'installed', ip, age }, note: undefined });
      } else if (action.kind === 'send') {
        this.predictions.push({ at: now, key: predictionKey(action.iface, action.bytes) });
        if (this.options.assumeAlive && action.purpose === 'probe')
          this.assumeAnswer(action.iface, action.bytes, now);
      } else if (action.kind === 'watch-misdirected') {
        const key = `${action.iface} ${action.mac}`;
        this.watched.set(key, (this.watched.get(key) ?? 0) + (action.watch ? 1 : -1));
      }
    }
    return actions;
  }

  private enqueue(due: Due): void {
    const at = this.due.findIndex((other) => other.at > due.at);
    if (at < 0) this.due.push(due);
    else this.due.splice(at, 0, due);
  }

  private isWatched(iface: IfIndex, mac: Mac): boolean {
    return (this.watched.get(`${iface} ${mac}`) ?? 0) > 0;
  }

  /** A packet to one host that a watch for misdirected packets would capture. */
  private isPacket(bytes: Uint8Array): boolean {
    const packet = this.drivers.decodePacket(bytes);
    return packet !== undefined && !isGroupMac(packet.destination) && !isLinkLocal(packet.destinationIp);
  }

  private noteSender(iface: IfIndex, bytes: Uint8Array): void {
    const message = this.drivers.decode(bytes);
    if (typeof message === 'string' || message.kind !== 'sighting' || isUnspecified(message.ip)) return;
    this.lastSeen.set(message.ip, { iface, mac: message.mac });
  }

  private assumeAnswer(iface: IfIndex, probe: Uint8Array, now: number): void {
    const question = this.drivers.decode(probe);
    if (typeof question === 'string') return;
    const { target, ip: asker, source, destination } = question;
    if (target === undefined || asker === undefined) return;
    const host = this.lastSeen.get(target);
    if (host?.iface !== iface) return;
    if (!isGroupMac(destination) && destination !== host.mac) return;
    const manner = { linkLocal: undefined, isRouter: false, isOverride: false };
    const bytes = this.drivers.of(target)?.answer(host.mac, target, source, asker, manner);
    if (bytes === undefined) return;
    const event: Event = { kind: 'frame', iface, bytes };
    this.enqueue({ at: now + ANSWER_MS, event, note: 'assumed answer', assumed: bytes });
  }

  /** Whether a frame that this machine sent is one that the tracker would have sent by then. */
  private compare(iface: IfIndex, bytes: Uint8Array, now: number): string {
    const key = predictionKey(iface, bytes);
    this.predictions = this.predictions.filter(({ at }) => now - at < LATE_MS + EARLY_MS);
    const at = this.predictions.findIndex((prediction) => prediction.key === key);
    const [found] = at < 0 ? [] : this.predictions.splice(at, 1);
    if (found === undefined) {
      this.own.others++;
      return "sent by this machine, not predicted: the kernel's own, or the captures do not show why";
    }
    this.own.predicted++;
    return `sent as predicted, ${(now - found.at).toFixed(1)} ms later`;
  }

  private msOf(timeNs: bigint): number {
    return Number(timeNs - (this.originNs as bigint)) / 1e6;
  }

  private nsOf(ms: number): bigint {
    return (this.originNs as bigint) + BigInt(Math.round(ms * 1e6));
  }
}

/** Without the padding of ARP, which a capture of a sent frame may lack. */
function predictionKey(iface: IfIndex, bytes: Uint8Array): string {
  const length = etherTypeOf(bytes) === ETHER_TYPE_IPV6 ? bytes.length : ARP_BYTES;
  return `${iface} ${bytes.subarray(0, length).join()}`;
}
