import { type Family, type Ip, type Mac, type Prefix, hostLength, parseIp } from '../wire/addresses.js';
import type { Action, Event, IfIndex, Link } from './events.js';
import { driversOf } from './families.js';
import type { FamilyDriver } from './neighbour/driver.js';
import type { Policy } from './policy.js';
import { HostTracker } from './tracker.js';

/** The LANs of a router that does not exist. */
export const WARM_UP_INTERFACES = ['lan1', 'lan2'];

const HOME = 1;
const OTHER = 2;
const ROUTER_MAC = 0x020000000001 as Mac;
const HOST_MAC = 0x020000000002 as Mac;
const ROUND_TRIP_MS = 1;
/** A claim has settled by then. */
const STAY_MS = 1000;

interface Site {
  /** At home on the first LAN. */
  readonly host: Ip;
  /** Of the router on the LAN with this number. */
  addresses(index: IfIndex): readonly Prefix[];
  /** The next hop to another router by the LAN with this number. */
  nextHop(index: IfIndex): Ip;
}

const SITES: Readonly<Record<Family, Site>> = {
  ipv4: {
    host: ip('10.0.1.5'),
    addresses: (index) => [{ ip: ip(`10.0.${index}.1`), length: 24 }],
    nextHop: (index) => ip(`10.0.${index}.2`),
  },
  ipv6: {
    host: ip('2001:db8:1::5'),
    addresses: (index) => [
      { ip: ip('fe80::1'), length: 64 },
      { ip: ip(`2001:db8:${index}::1`), length: 64 },
    ],
    nextHop: () => ip('fe80::2'),
  },
};

/**
 * Leads a host of each family that is served through a router with a tracker of its own: it appears at home, moves to the
 * other LAN and back, and goes to another router. V8 compiles a function when it is called first, and this way no real
 * host waits for that, and no round trip is measured too long because of it. `policy` has WARM_UP_INTERFACES. Returns
 * each host's states in order.
 */
export function warmUp(policy: Policy): readonly (readonly string[])[] {
  return driversOf(policy.families).map((driver) => leadThrough(policy, driver));
}

function leadThrough(policy: Policy, driver: FamilyDriver): readonly string[] {
  const site = SITES[driver.family];
  const tracker = new HostTracker(policy);
  const states: string[] = [];
  let now = 0;
  let lan: IfIndex | undefined;

  const handle = (event: Event): void => {
    const actions = tracker.handle(event, now);
    for (const action of actions) if (action.kind === 'transition') states.push(action.to);
    for (const action of actions) {
      const answer = answerTo(driver, site.host, action, lan);
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
    handle({ kind: 'frame', iface, bytes: driver.announce(HOST_MAC, site.host, undefined) });
    stay();
  };

  for (const index of [HOME, OTHER]) {
    handle({ kind: 'link', link: linkOf(site, index) });
    handle({ kind: 'capture', iface: index, open: true });
  }
  arriveOn(HOME);
  arriveOn(OTHER);
  arriveOn(HOME);
  lan = undefined;
  handle({ kind: 'route', change: 'add', route: routeVia(policy, site, OTHER), initial: false });
  stay();
  return states;
}

function linkOf(site: Site, index: IfIndex): Link {
  return {
    index,
    name: WARM_UP_INTERFACES[index - 1] as string,
    mac: ROUTER_MAC,
    up: true,
    carrier: true,
    master: undefined,
    type: undefined,
    addresses: site.addresses(index),
    rpFilter: 0,
  };
}

/** Another router has claimed the host. */
function routeVia({ watchTables, remoteProtocols }: Policy, { host, nextHop }: Site, iface: IfIndex) {
  return {
    prefix: { ip: host, length: hostLength(host) },
    table: watchTables[0] as number,
    protocol: remoteProtocols[0] as number,
    metric: 20,
    type: 'unicast',
    iface,
    via: nextHop(iface),
  } as const;
}

/** The host's reply, when it was asked on the LAN that it is on. */
function answerTo(
  driver: FamilyDriver,
  host: Ip,
  action: Action,
  lan: IfIndex | undefined,
): Event | undefined {
  if (action.kind !== 'send' || action.iface !== lan || action.purpose !== 'probe') return undefined;
  const probe = driver.decode(action.bytes);
  if (typeof probe === 'string' || probe.target !== host || probe.ip === undefined) return undefined;
  const manner = { linkLocal: undefined, isRouter: false, isOverride: false };
  const bytes = driver.answer(HOST_MAC, host, probe.mac, probe.ip, manner);
  return { kind: 'frame', iface: action.iface, bytes };
}

function ip(text: string): Ip {
  return parseIp(text) as Ip;
}
