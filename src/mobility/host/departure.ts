import { isIpv4 } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import type { Host } from './host.js';

/** Which LANs are told that a host has left them. */

/**
 * Tells the neighbours on the LANs of a host's subnet, but for the one that it is on, to send to us (RFC 5944 section
 * 4.6). `from`: the earliest time. `left`: the LAN where the host was.
 */
export function announceDeparture(
  ctx: TrackerContext,
  host: Host,
  from = ctx.now,
  left = host.attachment?.iface,
): void {
  const { topology } = ctx;
  const here = host.held ? host.attachment?.iface : undefined;
  const lans = new Set(topology.subnets.homeInterfaces(host.ip));
  if (left !== undefined && tellsEveryLan(host)) lans.add(left);
  const ifaces = [...lans].filter((iface) => iface !== here && topology.isUsable(iface));
  if (ifaces.length > 0) host.stepAnnouncement({ input: 'departed', ifaces, from }, ctx.now);
}

/**
 * Whether the neighbours on every LAN that the host leaves are told, not only those of its subnet: a router redirects
 * visitors of one LAN to one another (RFC 4861 section 8.2), and for IPv6 Linux has no switch for that.
 */
export function tellsEveryLan({ ip }: Host): boolean {
  return !isIpv4(ip);
}

/** Whether the neighbours of the host on this LAN have to send to us by now. */
export function hasLeft(ctx: TrackerContext, host: Host, iface: IfIndex): boolean {
  if (host.state === 'away') return true;
  const isElsewhere = host.attachment?.iface !== iface;
  if (!tellsEveryLan(host)) return host.claimed && isElsewhere;
  return host.held ? isElsewhere : host.cause === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined;
}

/** Whether an announcement of the host's departure may be due on this LAN, now or later. */
export function mayBeToldOf({ topology }: TrackerContext, host: Host, iface: IfIndex): boolean {
  if (topology.subnets.isHome(iface, host.ip)) return true;
  if (!tellsEveryLan(host)) return false;
  const { announcement } = host;
  const isTold = announcement.kind === 'sending' && announcement.lans.some((lan) => lan.iface === iface);
  return isTold || host.attachment?.iface === iface;
}
