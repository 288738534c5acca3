import { type Family, type Ip, type Mac, isIpv4 } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex, SendPurpose } from '../events.js';
import { type Topology, servesFamilyOf } from '../network/topology.js';
import type { AnswerManner, FamilyDriver } from './driver.js';

/**
 * The address in whose name a question about `ip` is asked on an interface; undefined: it cannot be asked, because we
 * have no address that the question could come from, or no driver for its family.
 */
export function probeSource(ctx: TrackerContext, iface: IfIndex, ip: Ip): Ip | undefined {
  if (driverOn(ctx, iface, ip) === undefined) return undefined;
  const { topology } = ctx;
  let source = topology.probeSource(iface, ip);
  // In the name of a gateway that another router has there we would take its hosts away from it.
  if (source !== undefined && !topology.isLocalOn(source, iface) && ctx.isLeftToOther(iface, source))
    source = topology.addressOn(iface, source);
  return source === ip ? undefined : source;
}

/** undefined: nothing of this family is sent there. */
function driverOn({ families, topology }: TrackerContext, iface: IfIndex, ip: Ip): FamilyDriver | undefined {
  const link = topology.link(iface);
  return link === undefined || servesFamilyOf(link, ip) ? families.of(ip) : undefined;
}

/** Gateways of a host whose entries its proof leaves as they are: it is asked for once in the name of each. */
export function gatewaysToRepair(ctx: TrackerContext, iface: IfIndex, ip: Ip): readonly Ip[] {
  const { topology } = ctx;
  return topology
    .gatewaysToRepair(iface, ip)
    .filter((gateway) => topology.isLocalOn(gateway, iface) || !ctx.isLeftToOther(iface, gateway));
}

/** Asks, in the name of `source`, whether `target` is at `place`. */
export function sendProbe(ctx: TrackerContext, place: Attachment, source: Ip, target: Ip): void {
  const own = ctx.topology.speakingMac(place.iface, source);
  const driver = driverOn(ctx, place.iface, target);
  if (own && driver) send(ctx, place.iface, 'probe', driver.probe(own, place.mac, source, target));
}

/** The same, such that the answer tells the owner of `target` from somebody who speaks for it. */
export function sendOwnerProbe(ctx: TrackerContext, place: Attachment, source: Ip, target: Ip): void {
  const own = ctx.topology.speakingMac(place.iface, source);
  const driver = driverOn(ctx, place.iface, target);
  if (!own || driver === undefined) return;
  const bytes = (driver.askOwner ?? driver.probe)(own, place.mac, source, target);
  send(ctx, place.iface, 'probe', bytes);
}

/** Whether a MAC on this interface can be asked for the groups of its addresses (MLD, RFC 3810). */
export function mayQueryGroups(ctx: TrackerContext, iface: IfIndex): boolean {
  return ctx.topology.linkLocalsOn(iface).length > 0;
}

/** Asks a MAC for the groups of its addresses. */
export function sendGroupQuery(ctx: TrackerContext, { iface, mac }: Attachment, family: Family): void {
  // The source is link-local (RFC 3810 section 5.1.14).
  const [source] = ctx.topology.linkLocalsOn(iface);
  if (source === undefined) return;
  const own = ctx.topology.speakingMac(iface, source);
  for (const driver of ctx.families.all())
    if (own && driver.family === family && driver.inquire !== undefined)
      send(ctx, iface, 'probe', driver.inquire(own, mac, source));
}

/**
 * Answers `asker`, which is at `place`: `ip` is at our MAC. `isAstray`: it asked another MAC than ours, so what it
 * believes is wrong.
 */
export function sendAnswer(
  ctx: TrackerContext,
  place: Attachment,
  asker: Ip,
  ip: Ip,
  isAstray: boolean,
): void {
  const own = ctx.topology.speakingMac(place.iface, ip);
  const driver = driverOn(ctx, place.iface, ip);
  if (own && driver)
    send(
      ctx,
      place.iface,
      'answer',
      driver.answer(own, ip, place.mac, asker, mannerOf(ctx, place, ip, isAstray)),
    );
}

/**
 * A gateway is ours to speak for, wherever it is, and is a router. Of others we are the proxy (RFC 4861 section 7.2.8):
 * their own word is worth more than ours, whichever comes first.
 */
function mannerOf(
  { topology }: TrackerContext,
  { iface }: Attachment,
  ip: Ip,
  isAstray: boolean,
): AnswerManner {
  const isGateway = topology.isGateway(ip);
  return {
    linkLocal: isGateway ? undefined : ownLinkLocal(topology, iface, ip),
    isRouter: isGateway || topology.isLocal(ip) || topology.isLocalOn(ip, iface),
    isOverride: isGateway || isAstray,
  };
}

// A standby asks for itself, and tells nobody of others unasked; whom it answers is the answering rule's to say.

/** Tells all of a LAN that `ip` is at our MAC. */
export function sendAnnouncement(ctx: TrackerContext, iface: IfIndex, ip: Ip): void {
  if (!ctx.topology.roles.speaks(iface, ip)) return;
  const own = ctx.topology.speakingMac(iface, ip);
  const driver = driverOn(ctx, iface, ip);
  if (own && driver)
    send(ctx, iface, 'announce', driver.announce(own, ip, ownLinkLocal(ctx.topology, iface, ip)));
}

function ownLinkLocal(topology: Topology, iface: IfIndex, other: Ip): Ip | undefined {
  return isIpv4(other) ? undefined : topology.linkLocalsOn(iface)[0];
}

/** Tells `host`, which is at `place`, that its `neighbour` is at `neighbourMac`; when that is undefined, at our MAC. */
export function sendRepair(
  ctx: TrackerContext,
  place: Attachment,
  host: Ip,
  neighbour: Ip,
  neighbourMac: Mac | undefined,
): void {
  const { iface, mac } = place;
  if (!ctx.topology.roles.speaks(iface, host)) return;
  const own = ctx.topology.speakingMac(iface, neighbour);
  const driver = driverOn(ctx, iface, host);
  if (own && driver)
    send(ctx, iface, 'repair', driver.repair(own, mac, host, neighbour, neighbourMac ?? own));
}

function send(ctx: TrackerContext, iface: IfIndex, purpose: SendPurpose, bytes: Uint8Array): void {
  ctx.emit({ kind: 'send', iface, bytes, purpose });
}
