import type { Ip, Mac } from '../wire/addresses.js';
import type { TrackerContext } from './context.js';
import type { IfIndex } from './events.js';

/** What is remembered of other routers on our LANs: MACs that used a configured gateway address, with that address. */

const MOST_REMEMBERED = 1000;

/** Why the sender of a frame is taken for a router, which is never learned, or undefined. */
export function otherRouterReason(
  ctx: TrackerContext,
  ip: Ip | undefined,
  mac: Mac,
): 'sender-ip-gateway' | 'other-router' | undefined {
  if (ip !== undefined && ctx.topology.isGateway(ip)) return 'sender-ip-gateway';
  return ctx.otherRouters.has(mac) ? 'other-router' : undefined;
}

/** `mac` uses, or wants to use, a gateway address of the configuration. */
export function noteGatewayClaim(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  // Two mobility interfaces on one wire: the other one asks in the name of a gateway.
  if (ctx.topology.isMobilityMac(mac)) return;
  // One forged frame must not silence a host that has proven itself.
  const proven = [...ctx.table.withMac(mac)].some((host) => host.held);
  if (!proven && ctx.otherRouters.size < MOST_REMEMBERED) ctx.otherRouters.set(mac, ip);
  ctx.alarm('other-router', 'another machine uses a configured gateway address', {
    ip,
    place: { iface, mac },
  });
}

/** Whether another machine uses this gateway address, and answers for it. */
export function isUsedByOtherRouter(ctx: TrackerContext, gateway: Ip): boolean {
  for (const ip of ctx.otherRouters.values()) if (ip === gateway) return true;
  return false;
}
