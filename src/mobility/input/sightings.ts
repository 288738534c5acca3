import { endOf } from '../probe/probe.js';
import type { Ip, Mac } from '../../wire/addresses.js';
import { admit, admitWaiting } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import { frameRefusal } from './frame-checks.js';
import type { DropReason, EvidenceKind, IfIndex, Attachment } from '../events.js';
import type { Host } from '../host/host.js';
import { onControlAnswer, onLookupAnswer } from '../presence/address-lookup.js';
import { onPresence } from '../presence/presence.js';
import { onAcdProbe } from './address-check.js';
import { hasToWait, hearingRefusal, holdAnnouncements, isBeingAsked, onRefresh } from './heard-hosts.js';
import { candidateOn, isAsked } from '../host/machines/proof.js';
import { isSuppressed, startProof } from '../host/proving.js';
import { confirmOld, findProbe, onLateReply, onReply } from './answers.js';
import type { Sighting } from '../admission/queue.js';
import type { SightingMessage } from '../neighbour/message.js';
import { answer, noteOnLan } from '../neighbour/responder.js';
import { answerSolicitation } from '../nd/home-prefix.js';
import { hearRouter, notePeer } from '../routers/router-sightings.js';
import { hearGatewayAnswer, noteOtherAddress, suspect } from '../routers/other-routers.js';

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
      onPresence(ctx, iface, message);
      if (message.form === 'router-solicitation') answerSolicitation(ctx, iface, mac);
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

/** A frame that is not acted on may still tell of a machine that answers for every address, or of a router's own. */
function ignore(ctx: TrackerContext, iface: IfIndex, reason: DropReason, ip: Ip | undefined, mac: Mac): void {
  ctx.drop(reason, iface, ip, mac);
  if (ip === undefined) return;
  onControlAnswer(ctx, iface, ip, mac);
  if (reason === 'other-router') noteOtherAddress(ctx, iface, ip, mac);
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
  const { answeredTo } = message;
  const isOwner = message.form !== 'reply' || message.isOverride !== false;
  if (answeredTo !== undefined) {
    const probe = host && findProbe(host, iface, mac, answeredTo);
    if (host !== undefined && probe !== undefined) return onReply(ctx, host, probe, { iface, mac }, isOwner);
  }
  if (message.form === 'reply') {
    if (onLateReply(ctx, host, ip, { iface, mac }, message.answeredTo, isOwner)) return;
    if (onLookupAnswer(ctx, iface, ip, mac)) return;
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
  startProof(ctx, known ?? ctx.create(ip), place, 'sighting', { asked });
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
