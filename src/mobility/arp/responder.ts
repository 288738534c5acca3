import { sendReply } from '../probe.js';
import type { Ip } from '../../wire/addresses.js';
import { ARP_REQUEST, type ArpFrame } from '../../wire/arp.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';

/** Answers an ARP request in the name of somebody behind us, if the answering rule allows it. */
export function answer(ctx: TrackerContext, iface: IfIndex, frame: ArpFrame): void {
  if (frame.opcode !== ARP_REQUEST || !answersFor(ctx, iface, frame.senderIp, frame.targetIp)) return;
  sendReply(ctx, iface, frame.targetIp, frame.senderMac, frame.senderIp);
  const name = ctx.topology.nameOf(iface) ?? '';
  ctx.emit({
    kind: 'answered',
    asker: frame.senderIp,
    target: frame.targetIp,
    interface: name,
    at: ctx.now,
  });
}

/**
 * The answering rule (design.md 3.2). The answer says "send it to me", so it is given only where that is true and where
 * nobody else will say it: not for a probe or an announcement (a conflict, RFC 5227 section 2.1.1), not for a target
 * that is on that LAN itself, and not where the kernel answers.
 */
export function answersFor(ctx: TrackerContext, iface: IfIndex, asker: Ip, target: Ip): boolean {
  const { topology, table } = ctx;
  if (asker === target) return false;
  const visitor = !topology.isHome(iface, asker);
  if (topology.isLocalOn(target, iface)) return visitor && !passesReversePath(ctx, iface, asker);
  if (topology.isLocal(target)) return true;
  if (topology.isGateway(target)) return ![...ctx.otherRouters.values()].includes(target);

  const host = table.get(target);
  const here = host?.held === true && host.attachment?.iface === iface;
  if (here) return false;
  const elsewhere = host !== undefined && (host.claimed || host.state === 'away');
  if (topology.isHome(iface, target)) return elsewhere;
  if (!visitor) return false;
  if (host?.claimed === true) return true;
  const route = ctx.fib.bestRoute(target);
  return route !== undefined && route.type === 'unicast' && route.iface !== iface;
}

/** Whether the kernel hears a visitor's ARP on this interface: `rp_filter` applies to ARP as well. */
function passesReversePath(ctx: TrackerContext, iface: IfIndex, asker: Ip): boolean {
  const mode = ctx.topology.link(iface)?.rpFilter ?? 0;
  if (mode === 0) return true;
  const host = ctx.table.get(asker);
  if (host?.claimed === true) return mode === 2 || host.attachment?.iface === iface;
  const route = ctx.fib.bestRoute(asker);
  return route !== undefined && (mode === 2 || route.iface === iface);
}
