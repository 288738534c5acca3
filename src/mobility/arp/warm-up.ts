import { type Ipv4, MAC_BROADCAST, MAC_ZERO, type Mac } from '../../wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame, decodeArp, encodeArp } from '../../wire/arp.js';
import type { Action, Event, IfIndex, Link } from '../events.js';
import type { Policy } from '../policy.js';
import { HostTracker } from '../tracker.js';

/** The LANs of a router that does not exist. */
export const WARM_UP_INTERFACES = ['lan1', 'lan2'];

const HOME = 1;
const OTHER = 2;
const ROUTER_MAC = 0x020000000001 as Mac;
const HOST_MAC = 0x020000000002 as Mac;
/** 10.0.1.5, at home on the first LAN. */
const HOST = 0x0a000105 as Ipv4;
const ROUND_TRIP_MS = 1;
/** A claim has settled by then. */
const STAY_MS = 1000;

/**
 * Leads a host through a router with a tracker of its own: it appears at home, moves to the other LAN and back, and goes
 * to another router. V8 compiles a function when it is called first, and this way no real host waits for that, and no
 * round trip is measured too long because of it. `policy` has WARM_UP_INTERFACES. Returns the host's states in order.
 */
export function warmUp(policy: Policy): readonly string[] {
  const tracker = new HostTracker(policy);
  const states: string[] = [];
  let now = 0;
  let lan: IfIndex | undefined;

  const handle = (event: Event): void => {
    const actions = tracker.handle(event, now);
    for (const action of actions) if (action.kind === 'transition') states.push(action.to);
    for (const action of actions) {
      const answer = answerTo(action, lan);
      if (answer === undefined) continue;
      now += ROUND_TRIP_MS;
      handle(answer);
    }
  };
  const stay = (): void => {
    const end = now + STAY_MS;
    for (;;) {
      const next = tracker.nextDeadline();
      if (next === undefined || next > end) break;
      now = Math.max(now, next);
      handle({ kind: 'tick' });
    }
    now = end;
  };
  const arriveOn = (iface: IfIndex): void => {
    lan = iface;
    handle(frame(iface, { opcode: ARP_REQUEST, targetMac: MAC_ZERO, targetIp: HOST }));
    stay();
  };

  for (const index of [HOME, OTHER]) {
    handle({ kind: 'link', link: linkOf(index) });
    handle({ kind: 'capture', iface: index, open: true });
  }
  arriveOn(HOME);
  arriveOn(OTHER);
  arriveOn(HOME);
  lan = undefined;
  handle({ kind: 'route', change: 'add', route: routeVia(policy, OTHER), initial: false });
  stay();
  return states;
}

function gatewayOf(index: IfIndex): Ipv4 {
  return (0x0a000001 + (index << 8)) as Ipv4;
}

function linkOf(index: IfIndex): Link {
  return {
    index,
    name: WARM_UP_INTERFACES[index - 1] as string,
    mac: ROUTER_MAC,
    up: true,
    carrier: true,
    master: undefined,
    type: undefined,
    addresses: [{ ip: gatewayOf(index), length: 24 }],
    rpFilter: 0,
  };
}

/** Another router has claimed the host. */
function routeVia({ watchTables, remoteProtocols }: Policy, iface: IfIndex) {
  return {
    prefix: { ip: HOST, length: 32 },
    table: watchTables[0] as number,
    protocol: remoteProtocols[0] as number,
    metric: 20,
    type: 'unicast',
    iface,
    via: (gatewayOf(iface) + 1) as Ipv4,
  } as const;
}

/** The host's reply, when it was asked on the LAN that it is on. */
function answerTo(action: Action, lan: IfIndex | undefined): Event | undefined {
  if (action.kind !== 'send' || action.iface !== lan || action.purpose !== 'probe') return undefined;
  const probe = decodeArp(action.bytes);
  if (typeof probe === 'string') return undefined;
  return frame(action.iface, { opcode: ARP_REPLY, targetMac: probe.senderMac, targetIp: probe.senderIp });
}

function frame(iface: IfIndex, packet: Pick<ArpFrame, 'opcode' | 'targetMac' | 'targetIp'>): Event {
  const destination = packet.opcode === ARP_REQUEST ? MAC_BROADCAST : packet.targetMac;
  const sender = { source: HOST_MAC, senderMac: HOST_MAC, senderIp: HOST };
  return { kind: 'frame', iface, bytes: encodeArp({ destination, ...sender, ...packet }) };
}
