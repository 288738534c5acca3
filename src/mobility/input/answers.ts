import { type Ip, MAC_BROADCAST, type Mac } from '../../wire/addresses.js';
import { isNewcomer, noteLateProof, noteProof, noteSilence } from '../admission/admission.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, IfIndex } from '../events.js';
import { isYoung } from '../host/machines/claim.js';
import {
  concedes,
  contestHere,
  heldDespiteRemote,
  hidRemote,
  reclaim,
  returnTo,
  suppressionOf,
} from '../host/contention.js';
import {
  abandonCandidate,
  closeCandidates,
  goAway,
  probeNow,
  scheduleKeepalive,
  setCandidate,
  withdraw,
} from '../host/coordinator.js';
import { isGuarded, overlaps } from '../host/keepalive-interval.js';
import type { Host } from '../host/host.js';
import { NEVER } from '../host/machines/machine.js';
import { type Candidate, candidateOn, isSame, MOST_OLD_PLACES, wasHeard } from '../host/machines/proof.js';
import {
  bind,
  candidateAt,
  isSuppressed,
  notifyWaiting,
  probeOld,
  startProof,
  startProofUnlessSuppressed,
  waitForOwner,
} from '../host/proving.js';
import type { AnsweredTo } from '../neighbour/message.js';
import { type Probe, answers, endOf, oldPlaceTimeoutMs, postpone, startProbe } from '../probe/probe.js';

/** What follows from the answer to a probe, and from its silence. */

/** An answer proves nothing any more after this. */
const ANSWER_LASTS_MS = 1000;
/** The silence of an old place is noticed no later than this after its time. */
const LATE_TIMER_MS = 100;

/** The open probe that a reply to `answeredTo` from there answers; undefined: nothing was asked there. */
export function findProbe(host: Host, iface: IfIndex, mac: Mac, answeredTo: AnsweredTo): Probe | undefined {
  const open = [candidateOn(host.proof, iface)?.probe, host.currentProbe, ...host.oldProbes];
  return open.find((probe) => answers(probe, iface, mac, answeredTo));
}

/**
 * The host answered: the strongest thing that a frame can say. `isOwner`: false if the protocol tells that somebody else
 * answered for it.
 */
export function onReply(
  ctx: TrackerContext,
  host: Host,
  probe: Probe,
  from: Attachment,
  isOwner: boolean,
): void {
  if (probe.asksOwner && !isOwner) return ctx.drop('other-router', from.iface, host.ip, from.mac);
  if (probe.isUnverified) return askOwner(ctx, host, probe, from);
  const rttMs = ctx.now - probe.firstSentAt;
  const candidate = host.candidates.find((one) => one.probe === probe);
  // Whoever answers in its name elsewhere does not choose how long it may be silent.
  if (!host.held || host.isAt(from.iface, from.mac)) measure(ctx, host, probe, rttMs);
  ctx.note('answer', from.iface, from.mac, host.ip, rttMs);
  if (candidate !== undefined) return onCandidateReply(ctx, host, candidate, from);
  if (host.oldProbes.includes(probe)) return onOldReply(ctx, host, probe, from);
  if (probe.purpose === 'prove') noteProof(ctx, from.iface);
  host.heard(ctx.now);
  closeCurrent(ctx, host);
  const challenger = answered(host);
  if (challenger !== undefined) contestHere(ctx, host, from, challenger);
  else if (host.asking) host.stepProof({ input: 'old-answered', at: from });
  if (probe.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined)
    heldDespiteRemote(ctx, host, from);
}

/** How long the host takes to answer. What passed while we stood still is not its own. */
function measure(ctx: TrackerContext, host: Host, { sent, firstSentAt }: Probe, rttMs: number): void {
  if (ctx.missed.everywhereAt >= firstSentAt) return;
  if (sent === 1) host.measured(rttMs);
  host.answeredAfter(rttMs);
}

/**
 * The same question once more, such that the host itself answers. In ARP it comes from no address, as in a conflict check
 * (RFC 5227 section 2.1.1), and a router does not answer that for it; one that has just answered is past its own conflict
 * check, in which it would take the question for a conflict. In Neighbor Discovery that would be duplicate address
 * detection, whose answer goes to all; there an owner overrides, and a proxy does not (RFC 4861 section 7.2.8).
 */
function askOwner(ctx: TrackerContext, host: Host, asked: Probe, from: Attachment): void {
  const probe = startProbe(ctx, host, asked.purpose, from, { asksOwner: true });
  if (probe === undefined) return;
  const candidate = host.candidates.find((one) => one.probe === asked);
  if (candidate !== undefined) setCandidate(ctx, host, { ...candidate, attachment: from, probe });
  else if (host.oldProbes.includes(asked)) host.stepProof({ input: 'ask-old', probe });
  else host.stepKeepalive({ input: 'probe', probe }, ctx.now);
  ctx.touch(host);
}

/** Where the host has answered, while its old place is asked; the MAC that it had goes first. */
function answered({ candidates, attachment }: Host): Attachment | undefined {
  const places = candidates.flatMap(({ attachment: { iface }, answered: answer }) =>
    answer === undefined ? [] : [{ iface, mac: answer.by }],
  );
  return places.find(({ mac }) => mac === attachment?.mac) ?? places[0];
}

function onCandidateReply(ctx: TrackerContext, host: Host, candidate: Candidate, from: Attachment): void {
  const { probe } = candidate;
  const incumbent = incumbentOf(ctx, host, candidate);
  if (probe.purpose === 'remote-claim') {
    // Where a subnet has several routers, the other one was first with a host that was never held here.
    const isIncumbent = host.attachment !== undefined || ctx.topology.rule(from.iface)?.learn !== 'all';
    const isConceded = concedes(ctx, from.iface, host.ip);
    if (isIncumbent && !isConceded) return heldDespiteRemote(ctx, host, from);
    return bind(ctx, host, from, 'proven', { standsBy: isConceded });
  }
  // Asked before this router gave way to another one.
  if (!host.held && isSuppressed(ctx, host, from)) return closeCandidates(ctx, host, candidate);
  if (isNewcomer(candidate)) noteProof(ctx, from.iface);
  const isMove = host.held && !host.isAt(from.iface, from.mac);
  const guarded = isMove && isGuarded(ctx, host);
  const isOwner = isMove && !guarded && ownerOf(host)?.mac === from.mac;
  if (incumbent !== undefined && !isOwner && (guarded || incumbent.mac !== from.mac)) {
    // Two that came at a time: among the routers this one has held the host for no longer.
    if (!host.held) bind(ctx, host, incumbent, 'proven');
    if (host.held) contestHere(ctx, host, incumbent, from);
    return;
  }
  const { currentProbe, attachment } = host;
  const purpose = currentProbe?.purpose;
  if (guarded && currentProbe !== undefined && (purpose === 'old-place' || purpose === 'remote-claim')) {
    postpone(probe, endOf(currentProbe) + LATE_TIMER_MS);
    if (candidate.answered === undefined || from.mac === attachment?.mac)
      host.stepProof({ input: 'answered', candidate, by: from.mac, at: ctx.now });
    return ctx.touch(host);
  }
  const owner = host.oldProbes[MOST_OLD_PLACES - 1] === undefined ? undefined : host.oldProbes[0];
  if (isMove && owner !== undefined) {
    closeCandidates(ctx, host, candidate);
    return waitForOwner(ctx, host, owner, from);
  }
  bind(ctx, host, from, host.held ? 'moved' : 'proven');
  if (incumbent === undefined || !host.isHeldAt(from.iface, from.mac)) return;
  if (incumbent.mac === from.mac) confirmOld(ctx, host, incumbent);
  else contestHere(ctx, host, from, incumbent);
}

/** Where the host was before it was, for a moment, where it is held: its MAC tells it from others. */
function ownerOf({ oldProbes, attachment }: Host): Attachment | undefined {
  const owner = oldProbes[0]?.attachment;
  return owner?.mac === attachment?.mac ? undefined : owner;
}

/** Where else the host answered, unless that interface was lost or that place forbidden since. */
function incumbentOf(ctx: TrackerContext, { ip }: Host, { incumbent }: Candidate): Attachment | undefined {
  if (incumbent === undefined || !ctx.topology.isUsable(incumbent.iface)) return undefined;
  const refusal = learningRefusal(ctx, incumbent.iface, ip, incumbent.mac);
  return refusal === undefined ? incumbent : undefined;
}

function onOldReply(ctx: TrackerContext, host: Host, probe: Probe, from: Attachment): void {
  const owner = host.oldProbes[0]?.attachment;
  host.stepProof({ input: 'old-closed', probe });
  const { attachment, currentProbe } = host;
  if (attachment === undefined || !host.held) return onOwnerReply(ctx, host, from);
  if (host.isAt(from.iface, from.mac)) return ctx.touch(host);
  if (currentProbe?.purpose === 'prove') revertToIncumbent(ctx, host, from, currentProbe);
  else if (attachment.mac === from.mac && !probe.isConfirmation) confirmOld(ctx, host, from);
  else if (attachment.mac === from.mac) returnTo(ctx, host, from, attachment);
  else if (owner?.mac === attachment.mac) {
    // The owner has moved on, and whoever was there for a moment is not the owner.
    contestHere(ctx, host, attachment, from);
  } else contestHere(ctx, host, from, attachment);
  ctx.touch(host);
}

/** It answers where it was, or at home, although it is held nowhere. */
function onOwnerReply(ctx: TrackerContext, host: Host, from: Attachment): void {
  if (host.state === 'proving') host.stepProof({ input: 'old-answered', at: from });
  // It is slow to object, or has just come back: no contest yet.
  else if (ctx.fib.remote(host.ip) !== undefined)
    return reclaim(ctx, host, from, 'proven', { role: 'incumbent' });
  else if (learningRefusal(ctx, from.iface, host.ip, from.mac) === undefined)
    return bind(ctx, host, from, 'proven');
  ctx.touch(host);
}

/** A probe timed out. */
export function onTimeout(ctx: TrackerContext, host: Host, probe: Probe): void {
  const candidate = host.candidates.find((one) => one.probe === probe);
  if (candidate !== undefined) return onCandidateTimeout(ctx, host, candidate);
  if (host.oldProbes.includes(probe)) {
    host.stepProof({ input: 'old-silent', probe });
    return ctx.touch(host);
  }
  const missedAt = ctx.missed.lastOn(probe.attachment.iface);
  switch (host.stepKeepalive({ input: 'timeout', missedAt }, ctx.now)) {
    case 'old-place-silent':
      return onOldPlaceSilent(ctx, host);
    case 'remote-claim-stands':
      return yieldToRemote(ctx, host, probe);
    case 'in-grace':
    case 'missed':
      scheduleKeepalive(ctx, host);
      return ctx.touch(host);
    case 'no-answer':
      withdraw(ctx, host, 'no-answer');
      return ctx.lateAnswers.expect(host.ip, probe);
    case 'lost':
      if (overlaps(host)) noteOutbid(ctx, host, 'vanished');
      withdraw(ctx, host, 'keepalive-lost');
      return ctx.lateAnswers.expect(host.ip, probe);
    default:
  }
}

/** Silent where it is held. A contested address is free then, for whoever answered elsewhere. */
function onOldPlaceSilent(ctx: TrackerContext, host: Host): void {
  const at = answered(host);
  if (at !== undefined) return moveContested(ctx, host, at);
  // Not yet proven at the new place: asked again before it is given up.
  if (host.claimed) probeNow(ctx, host);
  else ctx.touch(host);
}

function moveContested(ctx: TrackerContext, host: Host, at: Attachment): void {
  const answeredAt = candidateOn(host.proof, at.iface)?.answered?.at ?? Number.NEGATIVE_INFINITY;
  const isProven = ctx.now - answeredAt <= ANSWER_LASTS_MS;
  if (isProven) bind(ctx, host, at, 'moved');
  host.stepContest({ input: 'clear' }, ctx.now);
  if (!isProven) startProof(ctx, host, at, 'contested');
}

function onCandidateTimeout(ctx: TrackerContext, host: Host, candidate: Candidate): void {
  const { probe, cause, answered, attachment } = candidate;
  const incumbent = incumbentOf(ctx, host, candidate);
  const proving = host.state === 'proving';
  if (answered !== undefined) {
    // It waited for the silence of an old place that is not asked any more.
    closeCandidates(ctx, host, candidate);
    if (host.held) return ctx.touch(host);
    return startProof(ctx, host, { iface: attachment.iface, mac: answered.by }, 'contested');
  }
  if (proving && probe.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined) {
    closeCandidates(ctx, host);
    goAway(ctx, host, cause);
    return keepAskingOld(ctx, host, attachment);
  }
  // Not where it was said to be, but it answered at home.
  if (proving && incumbent !== undefined) return bind(ctx, host, incumbent, 'proven');
  noteSilence(ctx, candidate);
  if (
    wasHeard(candidate) &&
    !ctx.topology.roles.speaks(attachment.iface, host.ip) &&
    attachment.mac !== MAC_BROADCAST
  )
    ctx.roles.noteUnanswered(host.ip, { ...attachment, at: ctx.now });
  if (!host.held && probe.purpose !== 'remote-claim' && attachment.mac !== MAC_BROADCAST)
    ctx.lateAnswers.expect(host.ip, probe);
  abandonCandidate(ctx, host, 'no-answer', candidate);
}

/** Another router has it by now. An owner that is slow to answer may still object. */
function keepAskingOld(ctx: TrackerContext, host: Host, at: Attachment): void {
  if (host.held) return;
  probeOld(ctx, host, at);
  ctx.touch(host);
}

/**
 * A reply to a probe of ours that had timed out: the host is slow, not silent. It restores what was given up, if
 * nothing newer is known. Returns whether it did.
 */
export function onLateReply(
  ctx: TrackerContext,
  known: Host | undefined,
  ip: Ip,
  from: Attachment,
  answeredTo: AnsweredTo,
  isOwner: boolean,
): boolean {
  const probe = ctx.lateAnswers.take(ip, from.iface, from.mac, answeredTo, ctx.now);
  if (probe === undefined || ctx.topology.rule(from.iface) === undefined) return false;
  if (probe.asksOwner && !isOwner) return false;
  // It would have been asked once more, and is if this is a sighting.
  if (probe.isUnverified || ctx.otherRouters.isRouterMac(from.iface, from.mac)) return false;
  const remote = ctx.fib.remote(ip);
  if (remote !== undefined && remote.since > probe.firstSentAt) return false;
  if (known !== undefined) {
    const elsewhere = known.candidates.some(({ attachment }) => !isSame(attachment, from));
    if (known.held || known.state === 'away' || elsewhere) return false;
    if (known.recovery.detached !== undefined || suppressionOf(ctx, known) !== undefined) return false;
  }
  if (probe.purpose === 'prove') noteLateProof(ctx, from.iface);
  const host = known ?? ctx.create(ip);
  const afterMs = ctx.now - probe.firstSentAt;
  if (ctx.missed.everywhereAt < probe.firstSentAt) host.answeredAfter(afterMs);
  ctx.note('answer', from.iface, from.mac, ip, afterMs);
  bind(ctx, host, from, 'proven');
  return true;
}

/** A claim that hid another router's is lost: whoever answered for it, once, has had traffic of that one's host. */
function noteOutbid({ now }: TrackerContext, host: Host, input: 'outbid' | 'vanished'): void {
  const { attachment, claim } = host;
  if (attachment !== undefined && isYoung(claim) && hidRemote(claim))
    host.stepContest({ input, challenger: attachment }, now);
}

/** Another router has it. If it spoke here since it was asked, it may be back: that sighting needs a proof of its own. */
function yieldToRemote(ctx: TrackerContext, host: Host, probe: Probe): void {
  const { attachment } = host;
  const spoke = host.lastHeard > probe.firstSentAt;
  const wasYoung = isYoung(host.claim);
  noteOutbid(ctx, host, 'outbid');
  withdraw(ctx, host, 'remote-claim');
  if (attachment === undefined || host.claimed) return;
  if (spoke) startProofUnlessSuppressed(ctx, host, attachment, 'sighting');
  // Only the incumbent may still object.
  if (!wasYoung) keepAskingOld(ctx, host, attachment);
}

/**
 * One MAC answered here and there. ARP answers carry no number, so the one from the old place may belong to a probe
 * from before the move: only if the place answers once more has the host really two places, or gone back.
 */
export function confirmOld(ctx: TrackerContext, host: Host, at: Attachment): void {
  probeOld(ctx, host, at, true);
  ctx.touch(host);
}

/** It was claimed elsewhere on the word of a frame, and is alive where it was. The probe there stays open. */
function revertToIncumbent(ctx: TrackerContext, host: Host, incumbent: Attachment, probe: Probe): void {
  reclaim(ctx, host, incumbent, 'contested');
  const { attachment, sent } = probe;
  const candidate = candidateAt(ctx, attachment, 'sighting', probe);
  setCandidate(ctx, host, { ...candidate, incumbent, repeated: sent > 1 });
}

/** The probe to where the host is held is answered, by an answer or by any frame of the host. */
export function closeCurrent(ctx: TrackerContext, host: Host): void {
  const { claim, currentProbe } = host;
  if (
    currentProbe?.purpose === 'overlap' &&
    ctx.now - currentProbe.firstSentAt > oldPlaceTimeoutMs(host) &&
    (claim.state === 'fresh' || claim.state === 'settled')
  ) {
    // It was silent and is back: it may have been elsewhere meanwhile, so this is the newest claim again.
    // A challenger's is so once: it might be silent to every question and speak after each.
    const { settleMs } = ctx.policy.timers;
    const isLast = isYoung(claim) && claim.retryFrom === NEVER;
    const most = isYoung(claim) ? claim.retryFrom + settleMs : NEVER;
    const ageAt = isLast ? claim.ageAt : Math.max(claim.ageAt, Math.min(most, ctx.now + settleMs));
    host.stepClaim({ input: 'age-later', ageAt }, ctx.now);
  }
  host.stepKeepalive({ input: 'close' }, ctx.now);
  notifyWaiting(ctx, host);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}
