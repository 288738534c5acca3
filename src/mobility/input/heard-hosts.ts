import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, DropReason, IfIndex } from '../events.js';
import { suppressRefreshes } from '../host/coordinator.js';
import { mayBeToldOf } from '../host/departure.js';
import type { Host } from '../host/host.js';
import { candidateOn, isAsked, MOST_OLD_PLACES, wasHeard } from '../host/machines/proof.js';
import { waitForOwner } from '../host/proving.js';
import type { SightingMessage } from '../neighbour/message.js';
import { endOf } from '../probe/probe.js';
import { closeCurrent } from './answers.js';

/** What is asked of every frame that tells of a host, whatever kind of message it is. */

/**
 * Why a sighting is not heard. What we hold is always heard, whatever else has become true of it. Another router is not:
 * it may answer for addresses that are elsewhere (proxy ARP), so its answers prove nothing. (That of a host that we hold
 * at its MAC proves something if the question came from nobody: `mayBeRouters` in probe.ts.)
 */
export function hearingRefusal(
  ctx: TrackerContext,
  host: Host | undefined,
  iface: IfIndex,
  { ip, mac }: Pick<SightingMessage, 'ip' | 'mac'>,
): DropReason | undefined {
  if (host?.isHeldAt(iface, mac)) return undefined;
  const refusal = learningRefusal(ctx, iface, ip, mac);
  if (refusal !== undefined) return refusal;
  return ctx.otherRouters.isPresent(iface, mac) ? 'other-router' : undefined;
}

/**
 * The host itself may be about to be back at home, and would take an announcement of its departure for a conflict. Where
 * its MAC is known, any other one has to prove itself first.
 */
export function holdAnnouncements(
  ctx: TrackerContext,
  host: Host,
  { iface, mac }: Attachment,
  forMs: number,
  isCheck = false,
): void {
  if (!mayBeToldOf(ctx, host, iface)) return;
  const known = host.attachment?.mac ?? ctx.neighbours.get(iface)?.get(host.ip);
  if (known === undefined || mac === known)
    host.stepAnnouncement({ input: 'hold-back', iface, until: ctx.now + forMs, isCheck }, ctx.now);
}

/**
 * Whether a frame of the host from there is no news, since the open probe was sent because of another one. A probe that
 * we sent by ourselves may have been sent before the host was there: no try may be left that it could answer.
 */
export function isBeingAsked(host: Host, place: Attachment): boolean {
  const candidate = candidateOn(host.proof, place.iface);
  return candidate !== undefined && wasHeard(candidate) && isAsked(candidate, place);
}

/**
 * While two old places may still object, a third move waits, and so does another MAC while its LAN is asked about the
 * claim of another router, or a MAC there once more.
 */
export function hasToWait(ctx: TrackerContext, host: Host, place: Attachment): boolean {
  const { currentProbe } = host;
  const check = candidateOn(host.proof, place.iface)?.probe;
  let open = host.oldProbes[MOST_OLD_PLACES - 1] && host.oldProbes[0];
  if (check?.purpose === 'remote-claim' || check?.asksOwner === true) open = check;
  // Claimed on the word of a frame: it has its chance to answer.
  else if (currentProbe?.purpose === 'prove') open = currentProbe;
  if (open === undefined || ctx.now > endOf(open)) return false;
  ctx.note('probe', place.iface, place.mac, host.ip);
  waitForOwner(ctx, host, open, place);
  return true;
}

/** A frame of a host where we believe it to be. */
export function onRefresh(ctx: TrackerContext, host: Host): void {
  const quietMs = ctx.now - host.lastHeard;
  host.heard(ctx.now);
  suppressRefreshes(ctx, host, quietMs);
  const purpose = host.currentProbe?.purpose;
  if (purpose === 'keepalive' || purpose === 'overlap') closeCurrent(ctx, host);
}
