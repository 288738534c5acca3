import { endOf } from '../probe.js';
import type { Ip, Mac } from '../../wire/addresses.js';
import { admit, admitLookup, admitWaiting } from '../admission/admission.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import { frameRefusal } from './frame-checks.js';
import { suppressRefreshes } from '../host/coordinator.js';
import { mayBeToldOf } from '../host/departure.js';
import type { DropReason, EvidenceKind, IfIndex, Attachment } from '../events.js';
import type { Host } from '../host/host.js';
import { onControlAnswer, onRarpLookupAnswer, openRarpLookup } from './rarp-lookup.js';
import { candidateOn, isAsked, MOST_OLD_PLACES, wasHeard } from '../host/proof.js';
import { isSuppressed, startProof, startProofUnlessSuppressed, waitForOwner } from '../host/proving.js';
import { closeCurrent, confirmOld, findProbe, onLateReply, onReply } from './answers.js';
import type { Sighting } from '../admission/queue.js';
import type { AcdProbeMessage, SightingMessage } from '../neighbour/message.js';
import { answer, noteOnLan } from '../neighbour/responder.js';
import { hearRouter, notePeer } from './routers.js';
import { hearGatewayAnswer, noteOtherAddress, suspect } from '../other-routers.js';

/** PROBE_WAIT + PROBE_NUM x PROBE_MAX + ANNOUNCE_WAIT, at the most (RFC 5227 section 1.1). */
const PROBING_MS = 1000 + 3 * 2000 + 2000;
/** A host heard on its home LAN is proven there within this, or not. */
const HEARD_MS = 1000;
/** A host that speaks at its old place is asked there at once, but no more often than this. */
const ASK_OLD_MS = 20;
/** The word of a host is as good as new for this long. */
const BELIEVED_MS = 500;

/** As the log, the API and the metrics name the form of a sighting. */
const EVIDENCE = { request: 'request', reply: 'reply', announcement: 'gratuitous' } as const;

/** A captured frame: evidence, a question to us, or a drop with its reason. Never throws, whatever the bytes. */
export function onFrame(ctx: TrackerContext, iface: IfIndex, bytes: Uint8Array): void {
  const message = ctx.families.decode(bytes);
  if (typeof message === 'string') return ctx.drop(message, iface, undefined, undefined);
  const { ip, mac } = message;
  const refusal = frameRefusal(ctx.topology, iface, message);
  if (refusal !== undefined) return ignore(ctx, iface, refusal, ip, mac);
  switch (message.kind) {
    case 'presence':
      if (hearRouter(ctx, iface, message)) return;
      onPresence(ctx, iface, mac);
      return answer(ctx, iface, message);
    case 'router':
      hearRouter(ctx, iface, message);
      return;
    case 'acd-probe':
      return onAcdProbe(ctx, iface, message);
    case 'sighting':
      if (!ctx.otherRouters.isPresent(iface, mac)) noteOnLan(ctx, iface, message.ip);
      onSighting(ctx, iface, message);
      answer(ctx, iface, message);
  }
}

/**
 * Why a sighting is not heard. What we hold is always heard, whatever else has become true of it. Another router is not:
 * it may answer for addresses that are elsewhere (proxy ARP), so its answers prove nothing. (That of a host that we hold
 * at its MAC proves something if the question came from nobody: `mayBeRouters` in probe.ts.)
 */
function hearingRefusal(
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

/** A frame that is not acted on may still tell of a machine that answers for every address, or of a router's own. */
function ignore(ctx: TrackerContext, iface: IfIndex, reason: DropReason, ip: Ip | undefined, mac: Mac): void {
  ctx.drop(reason, iface, ip, mac);
  if (ip === undefined) return;
  onControlAnswer(ctx, iface, ip, mac);
  if (reason === 'other-router') noteOtherAddress(ctx, iface, ip, mac);
}

/** RFC 5227 probe: claims nothing. It is never learned, never answered; the place is asked a moment later. */
function onAcdProbe(ctx: TrackerContext, iface: IfIndex, { target: ip, mac }: AcdProbeMessage): void {
  const refusal = hearingRefusal(ctx, undefined, iface, { ip, mac });
  if (refusal !== undefined) {
    if (refusal === 'other-router') noteOtherAddress(ctx, iface, ip, mac);
    return ctx.drop(refusal, iface, ip, mac);
  }
  ctx.note('probe', iface, mac, ip);
  let host = ctx.table.get(ip);
  if (host !== undefined) {
    holdAnnouncements(ctx, host, { iface, mac }, PROBING_MS);
    if (host.isHeldAt(iface, mac)) return ctx.touch(host);
  } else {
    if (admit(ctx, iface, ip, mac, 'probe') !== 'now') return;
    host = ctx.create(ip);
  }
  const at = ctx.now + ctx.policy.timers.acdProbeWaitMs;
  host.stepProof({ input: 'defer', attachment: { iface, mac }, at });
  ctx.touch(host);
}

/**
 * The host itself may be about to be back at home, and would take an announcement of its departure for a conflict. Where
 * its MAC is known, any other one has to prove itself first.
 */
function holdAnnouncements(ctx: TrackerContext, host: Host, { iface, mac }: Attachment, forMs: number): void {
  if (!mayBeToldOf(ctx, host, iface)) return;
  const known = host.attachment?.mac ?? ctx.neighbours.get(iface)?.get(host.ip);
  if (known === undefined || mac === known)
    host.stepAnnouncement({ input: 'hold-back', iface, until: ctx.now + forMs }, ctx.now);
}

/** RARP (RFC 903) names a MAC and no address: its last known addresses are asked there, or the MAC is asked. */
function onPresence(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  if (ctx.otherRouters.isPresent(iface, mac)) return ctx.drop('other-router', iface, undefined, mac);
  ctx.note('rarp', iface, mac, undefined);
  const known = [...ctx.table.withMac(mac)];
  if (known.length === 0) return openRarpLookup(ctx, iface, mac);
  const elsewhere: Host[] = [];
  for (const host of known) {
    const { detached, prepared } = host.recovery;
    if (host.isHeldAt(iface, mac)) onRefresh(ctx, host);
    else if (detached?.iface === iface) ctx.drop('detached', iface, host.ip, mac);
    else if (prepared?.iface === iface && prepared.mac === mac)
      startProofUnlessSuppressed(ctx, host, { iface, mac }, 'rarp');
    else if (!isBeingAsked(host, { iface, mac })) elsewhere.push(host);
  }
  if (elsewhere.length === 0) return;
  if (!ctx.limits.mayLookUp(iface, mac, ctx.now) || !admitLookup(ctx, iface))
    return ctx.drop('inquiry-limit', iface, undefined, mac);
  for (const host of elsewhere)
    if (!hasToWait(ctx, host, { iface, mac })) startProofUnlessSuppressed(ctx, host, { iface, mac }, 'rarp');
}

function onSighting(ctx: TrackerContext, iface: IfIndex, message: SightingMessage): void {
  const { ip, mac } = message;
  const host = ctx.table.get(ip);
  const refusal = hearingRefusal(ctx, host, iface, message);
  if (refusal !== undefined) {
    const named = refusal === 'sender-ip-unspecified' ? undefined : ip;
    ignore(ctx, iface, refusal, named, mac);
    if (refusal === 'sender-ip-gateway') onGatewayClaim(ctx, iface, message);
    if (refusal === 'sender-ip-link-local') hearGatewayAnswer(ctx, iface, message);
    if (refusal === 'sender-ip-peer') notePeer(ctx, iface, ip, mac);
    return;
  }
  if (message.answeredTo !== undefined) {
    const probe = host && findProbe(host, iface, mac, message);
    if (host !== undefined && probe !== undefined) return onReply(ctx, host, probe, { iface, mac }, message);
  }
  if (message.form === 'reply') {
    if (onLateReply(ctx, host, ip, { iface, mac }, message)) return;
    if (onRarpLookupAnswer(ctx, iface, ip, mac)) return;
  }
  if (host !== undefined) {
    // What a router says of others is no sign of life of them; it may be a host itself, so it is asked.
    if (host.isHeldAt(iface, mac))
      return ctx.otherRouters.isRouterMac(iface, mac) ? undefined : onRefresh(ctx, host);
    if (!isActionable(ctx, host, { iface, mac })) return;
  }
  const evidence = EVIDENCE[message.form];
  if (admit(ctx, iface, ip, mac, evidence) === 'now')
    startLearning(ctx, host, { iface, mac }, ip, evidence, message.target);
}

function onGatewayClaim(ctx: TrackerContext, iface: IfIndex, message: SightingMessage): void {
  hearGatewayAnswer(ctx, iface, message);
  suspect(ctx, iface, message.ip, message.mac);
}

/** A known host was heard at a place where we do not hold it. Returns whether that is to be looked into. */
function isActionable(ctx: TrackerContext, host: Host, place: Attachment): boolean {
  const { iface, mac } = place;
  const { detached, prepared } = host.recovery;
  // Its claim is withdrawn for a moment, in which routing daemons are to notice; a proof would end it sooner.
  if (ctx.roles.isReannounced(host.ip, place)) return false;
  if (detached?.iface === iface && detached.mac === mac) {
    ctx.drop('detached', iface, host.ip, mac);
    return false;
  }
  holdAnnouncements(ctx, host, place, HEARD_MS);
  if (prepared?.iface === iface && prepared.mac === mac) return !isSuppressed(ctx, host, place);
  if (isBeingAsked(host, place)) {
    askOnceMore(ctx, host, place);
    return false;
  }
  const old = host.oldProbes.find((one) => isAsked(one, place));
  if (old !== undefined) {
    if (ctx.now - old.firstSentAt >= ASK_OLD_MS) confirmOld(ctx, host, place);
    return false;
  }
  return !isSuppressed(ctx, host, place) && !hasToWait(ctx, host, place);
}

/**
 * Whether a frame of the host from there is no news, since the open probe was sent because of another one. A probe that
 * we sent by ourselves may have been sent before the host was there: no try may be left that it could answer.
 */
function isBeingAsked(host: Host, place: Attachment): boolean {
  const candidate = candidateOn(host.proof, place.iface);
  return candidate !== undefined && wasHeard(candidate) && isAsked(candidate, place);
}

/** The last try has gone, maybe to nobody, and the host may say no more than this: it is asked again after the probe. */
function askOnceMore(ctx: TrackerContext, host: Host, place: Attachment): void {
  const probe = candidateOn(host.proof, place.iface)?.probe;
  if (probe === undefined || probe.sent < probe.tries.length) return;
  host.stepProof({ input: 'defer', attachment: place, at: endOf(probe) + 1 });
  ctx.touch(host);
}

function startLearning(
  ctx: TrackerContext,
  known: Host | undefined,
  place: Attachment,
  ip: Ip,
  kind: EvidenceKind,
  asked?: Ip,
): void {
  ctx.note(kind, place.iface, place.mac, ip);
  startProof(ctx, known ?? ctx.create(ip), place, 'sighting', asked);
}

/** Newcomers for whose word there was no time: it is taken up now, unless something newer is known. */
export function onQueued(ctx: TrackerContext): void {
  for (const sighting of admitWaiting(ctx)) {
    const { iface, ip, mac, evidence } = sighting;
    const host = ctx.table.get(ip);
    const reason = whyTooLate(ctx, sighting);
    if (reason !== undefined) ctx.drop(reason, iface, ip, mac);
    else if (host === undefined) startLearning(ctx, undefined, { iface, mac }, ip, evidence);
    else if (!(host.since > sighting.at || (host.held && host.lastHeard >= sighting.at)))
      if (isActionable(ctx, host, { iface, mac })) startLearning(ctx, host, { iface, mac }, ip, evidence);
  }
}

/** Why a word that waited counts no more. Where words are believed without an answer, an old one is none. */
function whyTooLate(ctx: TrackerContext, { iface, ip, mac, at }: Sighting): DropReason | undefined {
  const believed = ctx.topology.rule(iface)?.prove !== 'before';
  if (believed && ctx.now - at > BELIEVED_MS) return 'newcomer-budget';
  return hearingRefusal(ctx, undefined, iface, { ip, mac });
}

/** What was said of an address while its sender was another router is taken up now that it is none any more. */
export function learnLate(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  const host = ctx.table.get(ip);
  if (host?.isHeldAt(iface, mac) || !ctx.topology.isListening(iface)) return;
  const reason = hearingRefusal(ctx, host, iface, { ip, mac });
  if (reason !== undefined) return ctx.drop(reason, iface, ip, mac);
  if (host !== undefined && !isActionable(ctx, host, { iface, mac })) return;
  if (admit(ctx, iface, ip, mac, 'request') === 'now')
    startLearning(ctx, host, { iface, mac }, ip, 'request');
}

/**
 * While two old places may still object, a third move waits, and so does another MAC while its LAN is asked about the
 * claim of another router, or a MAC there once more.
 */
function hasToWait(ctx: TrackerContext, host: Host, place: Attachment): boolean {
  const { currentProbe } = host;
  const check = candidateOn(host.proof, place.iface)?.probe;
  let open = host.oldProbes[MOST_OLD_PLACES - 1] && host.oldProbes[0];
  if (check?.purpose === 'remote-claim' || check?.isVerification === true) open = check;
  // Claimed on the word of a frame: it has its chance to answer.
  else if (currentProbe?.purpose === 'prove') open = currentProbe;
  if (open === undefined || ctx.now > endOf(open)) return false;
  ctx.note('probe', place.iface, place.mac, host.ip);
  waitForOwner(ctx, host, open, place);
  return true;
}

/** A frame of a host where we believe it to be. */
function onRefresh(ctx: TrackerContext, host: Host): void {
  const quietMs = ctx.now - host.lastHeard;
  host.heard(ctx.now);
  suppressRefreshes(ctx, host, quietMs);
  const purpose = host.currentProbe?.purpose;
  if (purpose === 'keepalive' || purpose === 'overlap') closeCurrent(ctx, host);
}
