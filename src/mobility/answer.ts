import { sendReply } from './questions.js';
import type { Ip } from '../wire/addresses.js';
import { ARP_REQUEST, type ArpFrame } from '../wire/arp.js';
import type { Brain } from './brain.js';
import type { IfIndex } from './events.js';

/** Answers an ARP request in the name of somebody behind us, if the answering rule allows it. */
export function answer(brain: Brain, iface: IfIndex, frame: ArpFrame): void {
  if (frame.opcode !== ARP_REQUEST || !answersFor(brain, iface, frame.senderIp, frame.targetIp)) return;
  sendReply(brain, iface, frame.targetIp, frame.senderMac, frame.senderIp);
  const name = brain.topology.nameOf(iface) ?? '';
  brain.emit({
    kind: 'answered',
    asker: frame.senderIp,
    target: frame.targetIp,
    interface: name,
    at: brain.now,
  });
}

/**
 * The answering rule (DESIGN 3.2). The answer says "send it to me", so it is given only where that is true and where
 * nobody else will say it: not for a probe or an announcement (a conflict, RFC 5227 section 2.1.1), not for a target
 * that is on that LAN itself, and not where the kernel answers.
 */
export function answersFor(brain: Brain, iface: IfIndex, asker: Ip, target: Ip): boolean {
  const { topology, table } = brain;
  if (asker === target) return false;
  const visitor = !topology.isHome(iface, asker);
  if (topology.isLocalOn(target, iface)) return visitor && !passesReversePath(brain, iface, asker);
  if (topology.isLocal(target)) return true;
  if (topology.isGateway(target)) return ![...brain.otherRouters.values()].includes(target);

  const host = table.get(target);
  const here = host?.held === true && host.place?.iface === iface;
  if (here) return false;
  const elsewhere = host !== undefined && (host.claimed || host.state === 'away');
  if (topology.isHome(iface, target)) return elsewhere;
  if (!visitor) return false;
  if (host?.claimed === true) return true;
  const route = brain.fib.bestRoute(target);
  return route !== undefined && route.type === 'unicast' && route.iface !== iface;
}

/** Whether the kernel hears a visitor's ARP on this interface: `rp_filter` applies to ARP as well. */
function passesReversePath(brain: Brain, iface: IfIndex, asker: Ip): boolean {
  const mode = brain.topology.link(iface)?.rpFilter ?? 0;
  if (mode === 0) return true;
  const host = brain.table.get(asker);
  if (host?.claimed === true) return mode === 2 || host.place?.iface === iface;
  const route = brain.fib.bestRoute(asker);
  return route !== undefined && (mode === 2 || route.iface === iface);
}
