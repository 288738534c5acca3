import { parseConfig } from '../../../src/config/config.js';
import type { Action, IfIndex, Link, SendPurpose } from '../../../src/mobility/events.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { Policy, Subnet } from '../../../src/mobility/policy.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import {
  type Ip,
  MAC_BROADCAST,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';
import { ICMPV6, locateIcmpv6 } from '../../../src/wire/icmpv6.js';
import {
  type NeighbourAdvertisement,
  type NeighbourSolicitation,
  decodeNdAt,
  encodeSolicitation,
} from '../../../src/wire/nd.js';
import { HOST_MAC, LAN0, LAN1, link, macOf } from './small-router.js';

/**
 * A router with two LANs of both families, an uplink and default routes, as the tracker sees it. All routers of the site
 * have fe80::1 on each LAN, and hosts of the first LAN may have fe80::a1 for their gateway, too.
 */

export const WAN = 2;
export const ip6 = (text: string) => parseIp(text) as Extract<Ip, string>;
/** The link-local address of an interface that is its own. */
export const ownLinkLocal = (index: IfIndex) => `fe80::ff:fe00:${index}`;
export const SHARED = 'fe80::1';
export const OTHERS = 'fe80::a1';

export function subnet6(prefix: string, ...gateways: readonly string[]): Subnet {
  return { prefix: parsePrefix(prefix) as Prefix, gateways: gateways.map(ip6) };
}

export const SUBNETS6 = [subnet6('2001:db8:1::/64', SHARED, OTHERS), subnet6('2001:db8:2::/64', SHARED)];

/** `config` stands behind `[[interface]] name = "lan*"`. */
export function policy6(subnets: readonly Subnet[] = SUBNETS6, config = ''): Policy {
  const { policy } = parseConfig(`[[interface]]\nname = "lan*"\n${config}`);
  return { ...policy, families: ['ipv4', 'ipv6'], subnets: [...policy.subnets, ...subnets] };
}

export function lan6(index: IfIndex, change: Partial<Link> = {}, addresses?: readonly string[]): Link {
  const net = index - LAN0 + 1;
  const own = [`10.${net}.${net}.1/24`, `2001:db8:${net}::1/64`, `${ownLinkLocal(index)}/64`, `${SHARED}/64`];
  return link(index, `lan${index - LAN0}`, addresses ?? own, change);
}

export function makeRouter6(
  policy = policy6(),
  links: readonly Link[] = [lan6(LAN0), lan6(LAN1)],
): HostTracker {
  const tracker = new HostTracker(policy);
  for (const one of [link(WAN, 'wan', ['192.0.2.1/24', '2001:db8:ff::1/64', 'fe80::ff/64']), ...links])
    tracker.handle({ kind: 'link', link: one }, 0);
  for (const { index } of links) tracker.handle({ kind: 'capture', iface: index, open: true }, 0);
  for (const [to, via] of [
    ['0.0.0.0/0', '192.0.2.2'],
    ['::/0', 'fe80::fe'],
  ] as const)
    tracker.handle({ kind: 'route', change: 'add', route: route(to, 3, via), initial: true }, 0);
  return tracker;
}

export function route(to: string, protocol: number, via: string) {
  const prefix = parsePrefix(to) as Prefix;
  const next = parseIp(via);
  return { prefix, table: 254, protocol, metric: 20, type: 'unicast', iface: WAN, via: next } as const;
}

/** What follows from a solicitation of `source` for `target`, sent to a MAC or (undefined) to the group of the target. */
export function solicit(
  tracker: HostTracker,
  iface: IfIndex,
  source: string,
  target: string,
  { to, mac = HOST_MAC, now = 1000 }: { to?: Mac | undefined; mac?: Mac; now?: number } = {},
): readonly Action[] {
  const bytes =
    to === undefined
      ? ndDriver.probe(mac, MAC_BROADCAST, ip6(source), ip6(target))
      : encodeSolicitation({
          source: mac,
          destination: to,
          sourceIp: ip6(source),
          destinationIp: ip6(target),
          targetIp: ip6(target),
          linkLayerAddress: mac,
        });
  return tracker.handle({ kind: 'frame', iface, bytes }, now);
}

/** What follows from the answer of `target` to a question that came from `asker`. */
export function advertise(
  tracker: HostTracker,
  iface: IfIndex,
  target: string,
  asker: string,
  { mac = HOST_MAC, now = 1010, isRouter = false }: { mac?: Mac; now?: number; isRouter?: boolean } = {},
): readonly Action[] {
  const manner = { linkLocal: undefined, isRouter, isOverride: false };
  const bytes = ndDriver.answer(mac, ip6(target), macOf(iface), ip6(asker), manner);
  return tracker.handle({ kind: 'frame', iface, bytes }, now);
}

/** A visitor is heard on a LAN, asked, and answers; it is held there then. */
export function arrive(
  tracker: HostTracker,
  iface: IfIndex,
  host: string,
  { mac = HOST_MAC, now = 1000 }: { mac?: Mac; now?: number } = {},
): readonly Action[] {
  const asked = sent6(solicit(tracker, iface, host, `2001:db8:${iface - LAN0 + 1}::1`, { mac, now }));
  const question = asked.find((one) => one.purpose === 'probe' && one.iface === iface);
  if (question === undefined) throw new Error(`${host} is not asked`);
  const bytes = ndDriver.answer(mac, ip6(host), question.source, question.sourceIp, {
    linkLocal: undefined,
    isRouter: false,
    isOverride: false,
  });
  const actions = tracker.handle({ kind: 'frame', iface, bytes }, now + 1);
  const installed = tracker.handle({ kind: 'installed', ip: ip6(host), age: 'fresh' }, now + 2);
  return [...actions, ...installed];
}

type Sent = (NeighbourSolicitation | NeighbourAdvertisement) & { purpose: SendPurpose; iface: IfIndex };

/** The solicitations and advertisements among what was sent. */
export function sent6(actions: readonly Action[]): Sent[] {
  return actions.flatMap((action) => {
    const at = action.kind === 'send' ? locateIcmpv6(action.bytes) : 'none';
    if (typeof at === 'string' || action.kind !== 'send') return [];
    const frame = decodeNdAt(action.bytes, at);
    if (typeof frame === 'string') return [];
    if (frame.type !== ICMPV6.neighbourSolicitation && frame.type !== ICMPV6.neighbourAdvertisement)
      return [];
    return [{ ...frame, purpose: action.purpose, iface: action.iface }];
  });
}

/** Lets time pass. */
export function until6(tracker: HostTracker, now: number): Action[] {
  const actions: Action[] = [];
  for (;;) {
    const at = tracker.nextDeadline();
    if (at === undefined || at > now) return actions;
    actions.push(...tracker.handle({ kind: 'tick' }, Math.max(at, 0)));
  }
}
