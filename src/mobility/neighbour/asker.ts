import { type Ip, isGroupMac, isIpv4 } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import { subnetOf } from '../policy.js';
import type { PresenceMessage, RequestMessage } from './message.js';

/** How a question is answered that came from another address than the asker's, or went astray. */
export interface Reply {
  readonly to: Ip;
  readonly isAstray: boolean;
}

/** A question that was heard on a LAN. */
export interface HeardQuestion {
  /** Where it came from. */
  readonly at: Attachment;
  /** Who asks: the answering rule looks at this address. */
  readonly asker: Ip;
  /** Where the answer is sent to. */
  readonly replyTo: Ip;
  readonly target: Ip;
  /** It was sent to a MAC that is not ours and no router's: whoever asks believes that the target is there. */
  readonly isAstray: boolean;
}

export function questionOf(
  ctx: TrackerContext,
  iface: IfIndex,
  message: RequestMessage | PresenceMessage,
): HeardQuestion | undefined {
  const { ip: replyTo, target, mac, destination } = message;
  if (replyTo === undefined || target === undefined) return undefined;
  const at = { iface, mac };
  const asker = message.kind === 'presence' ? askerBehind(ctx, at, replyTo, target) : replyTo;
  const { topology, otherRouters } = ctx;
  // An ARP request that goes astray is answered by the proof of the host that sent it (RFC 826).
  const isAstray =
    !isIpv4(target) &&
    !isGroupMac(destination) &&
    !topology.isOwnMac(iface, destination) &&
    !otherRouters.isRouterMac(iface, destination);
  return { at, asker, replyTo, target, isAstray };
}

/**
 * Whether an entry is still right is asked from a link-local address (RFC 4861 section 7.3.3), which does not tell whether
 * a visitor asks. So it is one of the hosts that are held there: a visitor whose neighbour or gateway the target may be,
 * else any visitor, else any host. With none it is the link-local address itself.
 */
function askerBehind(ctx: TrackerContext, { iface, mac }: Attachment, linkLocal: Ip, target: Ip): Ip {
  let visitor: Ip | undefined;
  let atHome: Ip | undefined;
  for (const host of ctx.table.withMac(mac)) {
    const { ip } = host;
    if (isIpv4(ip) || ip === target || !host.isHeldAt(iface, mac)) continue;
    if (ctx.topology.subnets.isHome(iface, ip)) atHome ??= ip;
    else if (knows(ctx, ip, target)) return ip;
    else visitor ??= ip;
  }
  return visitor ?? atHome ?? linkLocal;
}

function knows({ policy, topology }: TrackerContext, ip: Ip, target: Ip): boolean {
  return (
    subnetOf(policy, ip)?.gateways.includes(target) === true || topology.subnets.areNeighbours(ip, target)
  );
}
