import { type Ip, MAC_BROADCAST, type Mac, isGroupMac, isIpv4, isOfOneLink } from '../../wire/addresses.js';
import { admitLookup } from '../admission/admission.js';
import { answeringRow } from '../neighbour/answering-rule.js';
import { askLan } from '../neighbour/responder.js';
import { gatewaysToRepair, probeSource, sendRepair } from '../neighbour/send.js';
import { probeNow } from '../host/coordinator.js';
import { startProofUnlessSuppressed } from '../host/proving.js';
import type { TrackerContext } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { IfIndex } from '../events.js';
import type { Host } from '../host/host.js';

/**
 * A packet of a visitor to a MAC that is not ours: it still believes in a neighbour of the LAN that it left, and a
 * live-migrated guest, whose carrier never dropped, may do so for half a minute. It is told once that the destination
 * is at our MAC, by a unicast ARP request in the destination's name: RFC 826 lets the request overwrite its entry.
 *
 * A host that has come to a LAN of its subnet is in the same trouble: it believes that its neighbours there are where the
 * router of its last LAN was. They are not at our MAC, but on its own LAN. So the neighbour is asked where it is, and the host is told
 * what it answered: a request that is from us on the wire, with the neighbour's own pair in it. Nothing is said that
 * the neighbour has not just said itself, nobody hears it but the host, and what it thereby learns is STALE to it, to
 * be verified on use. Its answer goes to the neighbour and tells that one in turn where the host is.
 *
 * In IPv6 the same is done by solicitation (RFC 4861 section 7.2.3), and only in the name of who can be a neighbour of the
 * host: what it sends to others goes to the MAC that it has for a gateway, so the gateways are repaired.
 */
export function onMisdirectedPacket(ctx: TrackerContext, iface: IfIndex, bytes: Uint8Array): void {
  const packet = ctx.families.decodePacket(bytes);
  if (packet === undefined) return;
  const { source, destination, sourceIp, destinationIp } = packet;
  if (isGroupMac(destination) || ctx.topology.isOwnMac(iface, destination)) return;
  const host = ctx.table.get(sourceIp);
  if (host?.attachment === undefined || !host.mayHaveStaleNeighbours || !host.isAt(iface, source)) return;
  if (isOfOneLink(destinationIp)) return;
  if (!isIpv4(sourceIp) && !ctx.topology.subnets.areNeighbours(sourceIp, destinationIp))
    return repairGateways(ctx, host, iface, destination);
  switch (answeringRow(ctx, iface, sourceIp, destinationIp).answer) {
    case 'answer':
      if (ctx.mayRepair(sourceIp, destinationIp))
        sendRepair(ctx, host.attachment, sourceIp, destinationIp, undefined);
      return;
    case 'ask first':
      if (ctx.mayRepair(sourceIp, destinationIp))
        askLan(ctx, destinationIp, { at: host.attachment, ip: sourceIp, wants: 'repair' });
      return;
    case 'silence':
      resolveFor(ctx, host, destinationIp, destination);
  }
}

/** `wrong`: the MAC that the host has for one of its gateways. That of a router which is here is not wrong. */
function repairGateways(ctx: TrackerContext, { ip, attachment }: Host, iface: IfIndex, wrong: Mac): void {
  const source = probeSource(ctx, iface, ip);
  if (attachment === undefined || source === undefined || ctx.otherRouters.isRouterMac(iface, wrong)) return;
  for (const gateway of [source, ...gatewaysToRepair(ctx, iface, ip)])
    if (ctx.topology.isGateway(gateway) && ctx.mayRepair(ip, gateway))
      sendRepair(ctx, attachment, ip, gateway, undefined);
}

/**
 * Another router claims it, the kernel sends there already, and here it is being asked: who sends to it is told to send
 * to us. Nobody else hears that, so a host that is alive here takes it for no conflict.
 */
function isLeaving(ctx: TrackerContext, host: Host): boolean {
  const isHidden = host.state === 'settled' || host.state === 'home';
  const isAsked = host.currentProbe?.purpose === 'remote-claim';
  return isHidden && isAsked && ctx.fib.remote(host.ip) !== undefined;
}

/** `sender` sends to `wrong`, the MAC that it has for `ip`, which is beside it on its LAN. */
function resolveFor(ctx: TrackerContext, sender: Host, ip: Ip, wrong: Mac): void {
  const { attachment } = sender;
  if (attachment === undefined || ip === sender.ip) return;
  const { iface } = attachment;
  const known = ctx.table.get(ip);
  const here = known?.held === true && known.attachment?.iface === iface;
  if (here && isLeaving(ctx, known)) {
    if (ctx.mayRepair(sender.ip, ip)) sendRepair(ctx, attachment, sender.ip, ip, undefined);
    return;
  }
  if (here && known.attachment?.mac === wrong) return;
  if (!here && !(ctx.topology.subnets.isHome(iface, sender.ip) && ctx.topology.subnets.isHome(iface, ip)))
    return;
  const refusal = learningRefusal(ctx, attachment.iface, ip, undefined);
  if (refusal !== undefined || !ctx.mayRepair(sender.ip, ip)) return;
  if (known === undefined && !admitLookup(ctx, attachment.iface)) return;
  const neighbour = known ?? ctx.create(ip);
  const waiting = ctx.lookups.get(ip) ?? new Set();
  ctx.lookups.set(ip, waiting.add(sender.ip));
  if (here) return probeNow(ctx, neighbour);
  if (neighbour.asking) return;
  const mac = neighbour.attachment?.iface === attachment.iface ? neighbour.attachment.mac : undefined;
  const kernels = ctx.neighbours.get(attachment.iface)?.get(ip);
  startProofUnlessSuppressed(
    ctx,
    neighbour,
    { iface: attachment.iface, mac: mac ?? kernels ?? MAC_BROADCAST },
    'sought',
  );
}
