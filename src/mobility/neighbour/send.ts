import type { Ip, Mac } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex, SendPurpose } from '../events.js';

/**
 * The address in whose name a question about `ip` is asked on an interface; undefined: it cannot be asked, because we
 * have no address that the question could come from, or no driver for its family.
 */
export function probeSource(ctx: TrackerContext, iface: IfIndex, ip: Ip): Ip | undefined {
  if (ctx.families.of(ip) === undefined) return undefined;
  const { topology } = ctx;
  let source = topology.probeSource(iface, ip);
  // In the name of a gateway that another router has there we would take its hosts away from it.
  if (source !== undefined && !topology.isLocalOn(source, iface) && ctx.isLeftToOther(iface, source))
    source = topology.addressOn(iface, source);
  return source === ip ? undefined : source;
}

/** Asks, in the name of `source`, whether `target` is at `place`. */
export function sendProbe(ctx: TrackerContext, place: Attachment, source: Ip, target: Ip): void {
  const own = ctx.topology.speakingMac(place.iface, source);
  const driver = ctx.families.of(target);
  if (own && driver) send(ctx, place.iface, 'probe', driver.probe(own, place.mac, source, target));
}

/** Answers `asker`, which is at `place`: `ip` is at our MAC. */
export function sendAnswer(ctx: TrackerContext, place: Attachment, asker: Ip, ip: Ip): void {
  const own = ctx.topology.speakingMac(place.iface, ip);
  const driver = ctx.families.of(ip);
  if (own && driver)
    send(
      ctx,
      place.iface,
      'answer',
      driver.answer(own, ip, place.mac, asker, {
        linkLocal: undefined,
        isRouter: ctx.topology.isGateway(ip),
        isOverride: false,
      }),
    );
}

/** Tells all of a LAN that `ip` is at our MAC. */
export function sendAnnouncement(ctx: TrackerContext, iface: IfIndex, ip: Ip): void {
  const own = ctx.topology.speakingMac(iface);
  const driver = ctx.families.of(ip);
  if (own && driver) send(ctx, iface, 'announce', driver.announce(own, ip, undefined));
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
  const own = ctx.topology.speakingMac(iface);
  const driver = ctx.families.of(host);
  if (own && driver)
    send(ctx, iface, 'repair', driver.repair(own, mac, host, neighbour, neighbourMac ?? own));
}

/** A standby asks for itself, and tells nobody of others unasked; whom it answers is the answering rule's to say. */
function send(ctx: TrackerContext, iface: IfIndex, purpose: SendPurpose, bytes: Uint8Array): void {
  const isUnasked = purpose === 'announce' || purpose === 'repair';
  if (isUnasked && !ctx.topology.speaks(iface)) return;
  ctx.emit({ kind: 'send', iface, bytes, purpose });
}
