import { parseConfig } from '../../src/config/config.js';
import {
  formatIp,
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../src/wire/addresses.js';
import {
  ARP_REPLY,
  ARP_REQUEST,
  type ArpFrame,
  decodeArp,
  encodeArp,
  encodeArpBody,
} from '../../src/wire/arp.js';
import { ETHER_TYPE_RARP } from '../../src/wire/ethernet.js';
import type { Action, Event, IfIndex, Link, Route } from '../../src/mobility/events.js';
import type { InterfaceRule, Policy } from '../../src/mobility/policy.js';
import { HostTracker } from '../../src/mobility/tracker.js';
import { Invariants } from '../scenario/invariants.js';

export const LAN0 = 10;
export const LAN1 = 11;
export const WAN = 2;
export const OUR_MAC = { [LAN0]: 0x0200fe000000 as Mac, [LAN1]: 0x0200fe000001 as Mac } as Record<
  number,
  Mac
>;

export const IPS = ['10.1.1.5', '10.1.1.6', '10.2.2.5', '10.2.2.6', '10.9.9.5', '10.9.9.6'].map(
  (text) => parseIp(text) as Ipv4,
);
export const MACS = [0x020000000001, 0x020000000002, 0x020000000003, 0x020000000004] as Mac[];
export const GATEWAY = parseIp('10.9.9.1') as Ipv4;

const ANSWER_MS = 0.4;
const MAX_DUE_AT_ONCE = 200_000;

export function testPolicy(
  rule: Partial<InterfaceRule> = {},
  change: (policy: Policy) => Policy = (same) => same,
): Policy {
  const { policy } = parseConfig(
    `[[interface]]\nname = "lan*"\n${['10.1.1', '10.2.2', '10.9.9']
      .map((net) => `[[subnet]]\nprefix = "${net}.0/24"\ngateway = "${net}.1"\n`)
      .join('')}`,
  );
  return change({ ...policy, interfaces: policy.interfaces.map((one) => ({ ...one, ...rule })) });
}

export function link(index: IfIndex, change: Partial<Link> = {}): Link {
  const addresses: Record<number, string> = {
    [LAN0]: '10.1.1.1/24',
    [LAN1]: '10.2.2.1/24',
    [WAN]: '10.255.0.1/30',
  };
  return {
    index,
    name: index === WAN ? 'wan' : `lan${index - LAN0}`,
    mac: OUR_MAC[index] ?? (0x0200ff000000 as Mac),
    up: true,
    carrier: true,
    master: undefined,
    type: 'veth',
    addresses: [parsePrefix(addresses[index] as string) as Prefix],
    rpFilter: 1,
    ...change,
  };
}

export function hostRoute(ip: Ip, change: Partial<Route> = {}): Route {
  return {
    prefix: { ip, length: 32 },
    table: 254,
    protocol: 188,
    metric: 20,
    type: 'unicast',
    iface: WAN,
    via: parseIp('10.255.0.2') as Ip,
    ...change,
  };
}

export type FrameKind = 'gratuitous' | 'gratuitous-reply' | 'request' | 'reply' | 'probe' | 'rarp';

export function frameOf(kind: FrameKind, mac: Mac, ip: Ipv4): Uint8Array {
  if (kind === 'rarp') {
    const nobody = 0 as Ipv4;
    const body = { opcode: 3, senderMac: mac, senderIp: nobody, targetMac: mac, targetIp: nobody };
    return encodeArpBody(MAC_BROADCAST, mac, ETHER_TYPE_RARP, body);
  }
  const frame: ArpFrame = {
    destination: MAC_BROADCAST,
    source: mac,
    opcode: kind === 'gratuitous-reply' || kind === 'reply' ? ARP_REPLY : ARP_REQUEST,
    senderMac: mac,
    senderIp: kind === 'probe' ? (0 as Ipv4) : ip,
    targetMac: MAC_ZERO,
    targetIp: kind === 'request' || kind === 'reply' ? (parseIp('10.9.9.77') as Ipv4) : ip,
  };
  return encodeArp(frame);
}

/** An ARP request of `asker` for `target`, sent to everybody. */
export function questionOf(mac: Mac, asker: Ipv4, target: Ipv4): Uint8Array {
  return encodeArp({
    destination: MAC_BROADCAST,
    source: mac,
    opcode: ARP_REQUEST,
    senderMac: mac,
    senderIp: asker,
    targetMac: MAC_ZERO,
    targetIp: target,
  });
}

/** A tick that never ends cannot be interrupted from outside: let it trip over its own heap. */
function watchTicks(router: HostTracker): void {
  const { deadlines } = (router as unknown as { ctx: { deadlines: { takeDue(now: number): unknown } } }).ctx;
  const takeDue = deadlines.takeDue.bind(deadlines);
  let at = Number.NaN;
  let taken = 0;
  deadlines.takeDue = (now) => {
    taken = now === at ? taken + 1 : 0;
    at = now;
    if (taken > MAX_DUE_AT_ONCE) throw new Error(`a tick at ${now} that never ends`);
    return takeDue(now);
  };
}

/** Drives one tracker by events, lets living hosts answer its questions, and looks at every action it gives. */
export class Driver {
  now = 1000;
  readonly router: HostTracker;
  readonly invariants: Invariants;
  /** Who answers: `ip mac iface`. */
  readonly alive = new Set<string>();
  /** How long a MAC takes to answer, when that is longer than ANSWER_MS. */
  readonly delays = new Map<Mac, number>();
  readonly trace: string[] = [];
  private pending: { readonly at: number; readonly iface: IfIndex; readonly bytes: Uint8Array }[] = [];

  /** @param checked false: neither invariants nor trace, which keep more than the tracker does */
  constructor(
    readonly policy: Policy,
    private readonly checked = true,
  ) {
    this.router = new HostTracker(policy);
    watchTicks(this.router);
    this.invariants = new Invariants('tracker', policy);
  }

  boot(): void {
    for (const index of [WAN, LAN0, LAN1]) this.handle({ kind: 'link', link: link(index) });
    this.handle({ kind: 'routes-begin' });
    this.handle({ kind: 'routes-end' });
    for (const index of [LAN0, LAN1]) this.handle({ kind: 'capture', iface: index, open: true });
  }

  setPolicy(policy: Policy): readonly Action[] {
    const actions = this.router.setPolicy(policy, this.now);
    this.invariants.reload(policy);
    if (this.checked) this.invariants.after({ kind: 'tick' }, actions, undefined, this.now);
    for (const action of actions) if (action.kind === 'send') this.sent(action.iface, action.bytes);
    return actions;
  }

  handle(event: Event): readonly Action[] {
    if (this.checked) this.invariants.before(event, this.now);
    const actions = this.router.handle(event, this.now);
    if (this.checked) {
      this.note(event, actions);
      this.invariants.after(event, actions, this.router.nextDeadline(), this.now);
    }
    for (const action of actions) if (action.kind === 'send') this.sent(action.iface, action.bytes);
    return actions;
  }

  setAnswering(ip: Ip, mac: Mac, iface: IfIndex, alive: boolean): void {
    const key = `${ip} ${mac} ${iface}`;
    if (alive) this.alive.add(key);
    else this.alive.delete(key);
  }

  /** Lets time go on, tick by tick. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let events = 0; ; events++) {
      if (events > 10_000 + 2 * ms) throw new Error(`${events} events in ${ms} ms: it never comes to rest`);
      const answer = this.pending[0];
      const deadline = this.router.nextDeadline() ?? Number.POSITIVE_INFINITY;
      const next = Math.min(answer?.at ?? Number.POSITIVE_INFINITY, deadline);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (answer !== undefined && answer.at <= deadline) {
        this.pending.shift();
        this.handle({ kind: 'frame', iface: answer.iface, bytes: answer.bytes });
      } else this.handle({ kind: 'tick' });
    }
    this.now = end;
  }

  /** Claims of the tracker's table, counted anew. */
  claims(): number {
    let count = 0;
    for (const [, host] of this.router.hosts()) if (host.claimed) count++;
    return count;
  }

  private sent(iface: IfIndex, bytes: Uint8Array): void {
    const asked = decodeArp(bytes);
    if (typeof asked === 'string' || asked.opcode !== ARP_REQUEST || asked.senderIp === asked.targetIp)
      return;
    for (const mac of MACS) {
      if (asked.destination !== mac && asked.destination !== MAC_BROADCAST) continue;
      if (!this.alive.has(`${asked.targetIp} ${mac} ${iface}`)) continue;
      const reply = encodeArp({
        destination: asked.senderMac,
        source: mac,
        opcode: ARP_REPLY,
        senderMac: mac,
        senderIp: asked.targetIp,
        targetMac: asked.senderMac,
        targetIp: asked.senderIp,
      });
      this.pending.push({ at: this.now + (this.delays.get(mac) ?? ANSWER_MS), iface, bytes: reply });
      this.pending.sort((one, other) => one.at - other.at);
    }
  }

  private note(event: Event, actions: readonly Action[]): void {
    if (event.kind !== 'tick' || actions.length > 0)
      this.trace.push(`${this.now.toFixed(1)} < ${text(event)}`);
    for (const action of actions) {
      if (action.kind === 'transition') {
        const { ip, from, to, cause, interface: dev } = action;
        this.trace.push(
          `${this.now.toFixed(1)}   > ${formatIp(ip)} ${from} -> ${to} (${cause}) ${dev ?? ''}`,
        );
      } else if (action.kind === 'drop') this.trace.push(`${this.now.toFixed(1)}   > drop ${action.reason}`);
      else this.trace.push(`${this.now.toFixed(1)}   > ${action.kind}`);
    }
  }
}

function text(event: Event): string {
  switch (event.kind) {
    case 'frame': {
      const frame = decodeArp(event.bytes);
      if (typeof frame === 'string') return `frame ${event.iface} ${frame}`;
      return `frame ${event.iface} ${frame.senderMac.toString(16)} op ${frame.opcode} ${formatIp(frame.senderIp)} -> ${formatIp(frame.targetIp)}`;
    }
    case 'route':
      return `route ${event.change} ${formatIp(event.route.prefix.ip)}`;
    case 'link':
      return `link ${event.link.name} up ${event.link.up} carrier ${event.link.carrier}`;
    case 'command':
      return `command ${event.command.name}`;
    case 'capture':
      return `capture ${event.iface} ${event.open}`;
    default:
      return event.kind;
  }
}
