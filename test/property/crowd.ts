import { parseConfig } from '../../src/config/config.js';
import type { Action, Event } from '../../src/mobility/events.js';
import type { Policy } from '../../src/mobility/policy.js';
import { HostTracker } from '../../src/mobility/tracker.js';
import { type Ipv4, MAC_ZERO, type Mac, parseIp } from '../../src/wire/addresses.js';
import { ARP_REPLY, decodeArp, encodeArp } from '../../src/wire/arp.js';
import { LAN0, LAN1, OUR_MAC, frameOf, link } from './driver.js';

const HOME = '[[interface]]\nname = "lan*"\n[[subnet]]\nprefix = "10.64.0.0/10"\ngateway = "10.64.0.1"\n';
export const FIRST = parseIp('10.64.1.0') as Ipv4;

type Send = Extract<Action, { kind: 'send' }>;

export interface Question {
  readonly ip: Ipv4;
  readonly source: Ipv4;
  readonly iface: number;
  readonly mac: Mac;
  readonly at: number;
}

/** Hosts without number, each of which answers in its time, or never. */
export class Crowd {
  now = 1000;
  readonly policy: Policy;
  readonly router: HostTracker;
  readonly drops = new Map<string, number>();
  /** Storms that were reported. */
  storms = 0;
  /** Questions that are on their way to a host, in order. */
  readonly asked: Question[] = [];
  /** How long the host of a question takes to answer, ms; undefined: only as `advance` says. Infinity: it is not there. */
  delayOf: ((question: Question) => number) | undefined;
  /** Answers on their way, by the millisecond in which they arrive. */
  private readonly coming = new Map<number, Question[]>();
  private lookedAt = 0;

  constructor(limits = '', interfaces = '') {
    // The first [[interface]] that fits counts.
    this.policy = parseConfig(`${interfaces}${HOME}${limits}`).policy;
    this.router = new HostTracker(this.policy);
    for (const index of [LAN0, LAN1]) this.take({ kind: 'link', link: link(index) });
    for (const iface of [LAN0, LAN1]) this.take({ kind: 'capture', iface, open: true });
  }

  static ip(n: number): Ipv4 {
    return (FIRST + n) as Ipv4;
  }

  static mac(n: number): Mac {
    return (0x020000000000 + n) as Mac;
  }

  says(n: number, iface = LAN0, mac = Crowd.mac(n), queuedMs = 0): void {
    const bytes = frameOf('gratuitous', mac, Crowd.ip(n));
    this.take({ kind: 'frame', iface, bytes, queuedMs });
  }

  probes(n: number): void {
    const bytes = frameOf('probe', Crowd.mac(n), Crowd.ip(n));
    this.take({ kind: 'frame', iface: LAN0, bytes });
  }

  captures(open: boolean): void {
    this.take({ kind: 'capture', iface: LAN0, open });
  }

  answers(ip: Ipv4, source: Ipv4, iface = LAN0, mac = Crowd.mac(ip - FIRST)): void {
    const addresses = {
      destination: OUR_MAC[iface] as Mac,
      source: mac,
      senderMac: mac,
      targetMac: MAC_ZERO,
    };
    const bytes = encodeArp({ ...addresses, opcode: ARP_REPLY, senderIp: ip, targetIp: source });
    this.take({ kind: 'frame', iface, bytes });
  }

  /** Lets time go on, tick by tick; hosts answer each question `answerMs` after it. */
  advance(ms: number, answerMs = Number.POSITIVE_INFINITY): void {
    const end = this.now + ms;
    for (;;) {
      const answer = (this.asked[0]?.at ?? Number.POSITIVE_INFINITY) + answerMs;
      const tick = this.router.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const arrival = this.nextArrival(Math.min(answer, tick, end));
      const next = Math.min(answer, tick, arrival);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (arrival <= answer && arrival <= tick) {
        const arrived = this.coming.get(arrival) as Question[];
        this.coming.delete(arrival);
        for (const { ip, source, iface } of arrived) this.answers(ip, source, iface);
      } else if (answer <= tick) {
        const { ip, source } = this.asked.shift() as Crowd['asked'][number];
        this.answers(ip, source);
      } else this.take({ kind: 'tick' });
    }
    this.now = end;
  }

  dropped(reason: string): number {
    return this.drops.get(reason) ?? 0;
  }

  get claimed(): number {
    return this.router.counts.fresh + this.router.counts.settled;
  }

  take(event: Event): void {
    for (const action of this.router.handle(event, this.now)) {
      if (action.kind === 'drop') this.drops.set(action.reason, this.dropped(action.reason) + 1);
      else if (action.kind === 'alarm' && action.alarm === 'newcomer-storm') this.storms++;
      else if (action.kind === 'send' && action.purpose === 'probe') this.note(action);
    }
  }

  /** The first millisecond with an answer, up to `end`. */
  private nextArrival(end: number): number {
    if (this.coming.size === 0) return Number.POSITIVE_INFINITY;
    for (let ms = this.lookedAt; ms <= end; ms++) {
      this.lookedAt = ms;
      if (this.coming.has(ms)) return ms;
    }
    return Number.POSITIVE_INFINITY;
  }

  private note({ bytes, iface }: Send): void {
    const frame = decodeArp(bytes);
    if (typeof frame === 'string') throw new Error(frame);
    const { targetIp, senderIp, destination: mac } = frame;
    const question = { ip: targetIp as Ipv4, source: senderIp as Ipv4, iface, mac, at: this.now };
    if (this.delayOf === undefined) return void this.asked.push(question);
    const delayMs = this.delayOf(question);
    if (delayMs === Number.POSITIVE_INFINITY) return;
    const ms = Math.ceil(this.now + delayMs);
    const there = this.coming.get(ms);
    if (there === undefined) this.coming.set(ms, [question]);
    else there.push(question);
    this.lookedAt = Math.min(this.lookedAt, ms);
  }
}
