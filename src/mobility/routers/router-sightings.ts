import type { Ip, Mac } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import { probeNow } from '../host/coordinator.js';
import type { PresenceMessage, RouterMessage } from '../neighbour/message.js';
import { suspect } from './other-routers.js';

/** What says that its sender is a router: its address, or a router advertisement. Its MAC is never learned. */

/**
 * Whether the sender's link-local address, or what it says, makes it no host. An advertisement from an address that the
 * configuration does not name is a router's all the same (RFC 4861 section 6.1.2), unless several are expected there.
 */
export function hearRouter(
  ctx: TrackerContext,
  iface: IfIndex,
  { kind, ip, mac }: PresenceMessage | RouterMessage,
): boolean {
  if (ip === undefined) return false;
  const { topology } = ctx;
  if (topology.isGateway(ip)) {
    ctx.drop('sender-ip-gateway', iface, ip, mac);
    suspect(ctx, iface, ip, mac);
    return true;
  }
  if (topology.isLocalOn(ip, iface)) {
    ctx.drop('sender-ip-local', iface, ip, mac);
    return true;
  }
  if (topology.isPeer(iface, ip)) {
    ctx.drop('sender-ip-peer', iface, ip, mac);
    notePeer(ctx, iface, ip, mac);
    return true;
  }
  if (kind !== 'router') return false;
  ctx.drop('other-router', iface, ip, mac);
  if (!topology.isShared(iface)) suspect(ctx, iface, ip, mac);
  return true;
}

/** The MAC of another first-hop router: what was believed of it before may have been proxy ARP. */
export function notePeer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  if (!ctx.otherRouters.notePeer(iface, ip, mac)) return;
  for (const host of [...ctx.table.withMac(mac)]) if (host.isHeldAt(iface, mac)) probeNow(ctx, host);
}

/** The configuration may name others than before. The kernel may know the MACs of those that are new. */
export function reviewPeers(ctx: TrackerContext): void {
  const { neighbours, otherRouters, topology } = ctx;
  otherRouters.forgetPeers((iface, ip) => !topology.isPeer(iface, ip));
  for (const [iface, known] of neighbours)
    for (const peer of topology.rule(iface)?.peers ?? []) {
      const mac = known.get(peer);
      if (mac !== undefined) notePeer(ctx, iface, peer, mac);
    }
}
