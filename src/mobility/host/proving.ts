import { type Ip, MAC_BROADCAST, type Mac, unspecifiedOf } from '../../wire/addresses.js';
import { hasCapacity, isNewcomer, noteProof, noteSilence } from '../admission/admission.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause, IfIndex } from '../events.js';
import { releaseAnswers } from '../neighbour/responder.js';
import { probeSource, sendRepair } from '../neighbour/send.js';
import type { AnsweredTo } from '../neighbour/message.js';
import { type Probe, answers, oldPlaceTimeoutMs, startProbe } from '../probe.js';
import { contestHere, heldDespiteRemote, reclaim, suppressionReason } from './contention.js';
import {
  abandonCandidate,
  announceDeparture,
  discard,
  freshUntil,
  goAway,
  probeHeld,
  probeNow,
  scheduleKeepalive,
  setCandidate,
  transition,
  withdraw,
} from './coordinator.js';
import type { Host } from './host.js';
import { type Candidate, wasHeard } from './proof.js';

/** Where a host is: a sighting starts a proof, its answers and time-outs bind the host to a place or do not. */

/** As `startProof`, but evidence from an attachment that lost a contest is dropped with its reason. */
export function startProofUnlessSuppressed(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
): void {
  const reason = suppressionReason(ctx, host, at);
  if (reason === undefined) startProof(ctx, host, at, cause);
  else ctx.drop(reason, at.iface, host.ip, at.mac);
}

/**
 * There is evidence of the host at an attachment where we do not hold it. It is asked there and, in parallel, at the
 * one where we do hold it. `asked`: the evidence is its question for this address.
 */
export function startProof(ctx: TrackerContext, host: Host, at: Attachment, cause: Cause, asked?: Ip): void {
  const rule = ctx.topology.rule(at.iface);
  if (rule === undefined) return discardUnknown(ctx, host);
  // Only a frame of the host itself is believed before, or without, a proof; our own ideas of where it may be are not.
  const spoke = wasHeard({ cause });
  const isAlive = spoke || cause === 'probe-hint' || cause === 'sibling';
  const { prepared } = host.recovery;
  if (isAlive && prepared?.iface === at.iface && prepared.mac === at.mac) {
    // Believed, and asked all the same: the probe repairs its gateway entry.
    host.stepKeepalive({ input: 'grace', until: ctx.now + rule.holdMs }, ctx.now);
    return bind(ctx, host, at, 'prepared', startProbe(ctx, host, 'prove', at));
  }
  const firstSourceIp = holdAnswers(ctx, host, at, asked);
  if (rule.prove === 'never' && spoke) return bind(ctx, host, at, cause);

  const probe = startProbe(ctx, host, 'prove', at, { firstSourceIp });
  if (probe === undefined) {
    ctx.drop('no-probe-source', at.iface, host.ip, at.mac);
    return discardUnknown(ctx, host);
  }
  // Two MACs that take turns in one address are as silent as one.
  if (host.candidate?.repeated === true) noteSilence(ctx, host.candidate);
  setCandidate(ctx, host, { attachment: at, cause, probe, incumbent: undefined, repeated: false });
  const { attachment } = host;
  if (host.held && attachment !== undefined && ctx.topology.isUsable(attachment.iface)) {
    probeHeld(ctx, host, 'old-place', attachment);
  }
  if (host.state === 'unknown' || host.state === 'remembered') {
    transition(ctx, host, { input: 'prove', cause });
    probeOld(ctx, host, homeOf(ctx, host, at));
  }
  if (rule.prove === 'after' && spoke) bind(ctx, host, at, cause, probe);
  else ctx.touch(host);
}

/**
 * A visitor that asks has packets waiting, and must not send them before there is a route back: its questions are
 * answered later, and when it asked for its gateway, its proof is asked in a name that tells it nothing. One that did
 * not ask may have a stale entry for its gateway, which the proof repairs at once. Returns the name; undefined: the
 * gateway's.
 */
function holdAnswers(ctx: TrackerContext, host: Host, at: Attachment, asked: Ip | undefined): Ip | undefined {
  if (asked === undefined || ctx.topology.isHome(at.iface, host.ip)) return undefined;
  const gateway = probeSource(ctx, at.iface, host.ip);
  if (gateway === undefined) return undefined;
  host.stepAnswerHold({ input: 'hold', at }, ctx.now);
  if (asked !== gateway) return undefined;
  return ctx.topology.outsideSource(at.iface, host.ip, gateway) ?? unspecifiedOf(host.ip);
}

/** A visitor that we know nothing of: its address may have an owner who is alive at home, on another LAN of ours. */
function homeOf(ctx: TrackerContext, host: Host, at: Attachment): Attachment | undefined {
  const home = ctx.topology.homeInterface(host.ip);
  if (home === undefined || home === at.iface || !ctx.topology.isUsable(home)) return undefined;
  return { iface: home, mac: ctx.neighbours.get(home)?.get(host.ip) ?? MAC_BROADCAST };
}

/** Opens the probe to a place where the host may be instead, or closes it. */
function probeOld(ctx: TrackerContext, host: Host, at: Attachment | undefined, isConfirmation = false): void {
  const probe = at && startProbe(ctx, host, 'old-place', at, { isConfirmation });
  host.stepProof(probe === undefined ? { input: 'old-closed' } : { input: 'ask-old', probe });
}

function discardUnknown(ctx: TrackerContext, host: Host): void {
  if (ctx.table.get(host.ip) !== host) return;
  if (host.state === 'unknown') discard(ctx, host);
  else if (host.state === 'proving' && host.candidate === undefined) abandonCandidate(ctx, host, 'no-answer');
  else ctx.touch(host);
}

/**
 * The host is at this attachment: recorded when that is its home and nobody else has it, claimed otherwise.
 * `unanswered` is the proof still to come when policy claims first and asks later.
 */
export function bind(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
  unanswered?: Probe,
): void {
  const { topology, now } = ctx;
  const rule = topology.rule(at.iface);
  if (rule === undefined) throw new Error('a host arrived on an interface that is no mobility interface');
  if (!hasCapacity(ctx, host, at.iface)) {
    // Many may be proving themselves at once; only so many are bound.
    ctx.drop('host-limit', at.iface, host.ip, at.mac);
    releaseAnswers(ctx, host, { input: 'refuse' });
    abandonCandidate(ctx, host, 'no-room');
    return discardUnknown(ctx, host);
  }
  const moved = host.held && !host.isAt(at.iface, at.mac);
  const { currentProbe } = host;
  const oldProbe = currentProbe?.purpose === 'old-place' ? currentProbe : undefined;
  const isHome = topology.isHome(at.iface, host.ip);
  const remote = ctx.fib.remote(host.ip);
  const homecoming = rule.learn === 'foreign' && isHome;
  setCandidate(ctx, host, undefined);
  if (homecoming && remote === undefined && !host.claimed && host.state !== 'away') {
    transition(ctx, host, { input: 'found-at-home', cause }, at);
  } else {
    const overlapsRemote = moved || remote !== undefined;
    const ageAt = freshUntil(ctx, host);
    transition(ctx, host, { input: 'found', cause, ageAt, homecoming, overlapsRemote }, at);
  }
  // Whoever was about to take the address is here: when it leaves again, its neighbours are told at once.
  if (isHome) host.stepAnnouncement({ input: 'arrived-home' }, now);
  host.heard(now);
  host.stepKeepalive(
    unanswered === undefined ? { input: 'close' } : { input: 'probe', probe: unanswered },
    now,
  );
  if (moved)
    host.stepProof(oldProbe === undefined ? { input: 'old-closed' } : { input: 'ask-old', probe: oldProbe });
  host.stepAnnouncement({ input: 'seen-on', iface: at.iface }, now);
  scheduleKeepalive(ctx, host);
  if (host.oldProbe === undefined) announceDeparture(ctx, host);
  notifyWaiting(ctx, host);
  ctx.touch(host);
  proveSameMac(ctx, host, at);
}

/** All addresses of a guest move together: one proven address gets the others asked at once. */
function proveSameMac(ctx: TrackerContext, host: Host, at: Attachment): void {
  if (ctx.table.countWithMac(at.mac) < 2) return;
  for (const other of [...ctx.table.withMac(at.mac)]) {
    if (other === host || other.isHeldAt(at.iface, at.mac)) continue;
    if (other.candidate !== undefined || other.recovery.detached !== undefined) continue;
    if (suppressionReason(ctx, other, at) === undefined) startProof(ctx, other, at, 'sibling');
  }
}

/** The neighbour was just heard where it is held: whoever waits for its MAC is told. */
export function notifyWaiting(ctx: TrackerContext, neighbour: Host): void {
  const waiting = ctx.lookups.get(neighbour.ip);
  if (waiting === undefined) return;
  ctx.lookups.delete(neighbour.ip);
  const { attachment } = neighbour;
  if (attachment === undefined || neighbour.claimed) return;
  for (const ip of waiting) {
    const host = ctx.table.get(ip);
    if (host?.held !== true || host.attachment?.iface !== attachment.iface) continue;
    sendRepair(ctx, host.attachment, ip, neighbour.ip, attachment.mac);
  }
}

// --- answers and time-outs -----------------------------------------------------------------------------------------

/** The open probe that a reply to `answeredTo` from there answers; undefined: nothing was asked there. */
export function findProbe(host: Host, iface: IfIndex, mac: Mac, answeredTo: AnsweredTo): Probe | undefined {
  const { candidate, currentProbe, oldProbe } = host;
  if (answers(candidate?.probe, iface, mac, answeredTo)) return candidate?.probe;
  if (answers(currentProbe, iface, mac, answeredTo)) return currentProbe;
  if (answers(oldProbe, iface, mac, answeredTo)) return oldProbe;
  return undefined;
}

/** The host answered: the strongest thing that a frame can say. */
export function onReply(ctx: TrackerContext, host: Host, probe: Probe, from: Attachment): void {
  if (probe.isUnverified) return confirmFromNobody(ctx, host, probe, from);
  const rttMs = ctx.now - probe.firstSentAt;
  // Whoever answers in its name elsewhere does not choose how long it may be silent.
  if (!host.held || host.isAt(from.iface, from.mac) || host.candidate?.incumbent === undefined) {
    if (probe.sent === 1) host.measured(rttMs);
    host.answeredAfter(rttMs);
  }
  ctx.note('answer', from.iface, from.mac, host.ip, rttMs);
  if (host.candidate?.probe === probe) return onCandidateReply(ctx, host, host.candidate, from);
  if (host.oldProbe === probe) return onOldReply(ctx, host, probe, from);
  if (probe.purpose === 'prove') noteProof(ctx, from.iface);
  host.heard(ctx.now);
  closeCurrent(ctx, host);
  if (host.candidate !== undefined) host.stepProof({ input: 'old-answered', at: from });
  else if (probe.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined) {
    heldDespiteRemote(ctx, host, from);
  }
}

/**
 * The same question once more, from no address: as in a conflict check (RFC 5227 section 2.1.1) the host itself answers,
 * and a router does not answer for it. One that has just answered is past its own conflict check, in which it would take
 * the question for a conflict.
 */
function confirmFromNobody(ctx: TrackerContext, host: Host, asked: Probe, from: Attachment): void {
  const probe = startProbe(ctx, host, asked.purpose, from, { fromNobody: true });
  if (probe === undefined) return;
  const { candidate } = host;
  if (candidate?.probe === asked) setCandidate(ctx, host, { ...candidate, attachment: from, probe });
  else if (host.oldProbe === asked) host.stepProof({ input: 'ask-old', probe });
  else host.stepKeepalive({ input: 'probe', probe }, ctx.now);
  ctx.touch(host);
}

function onCandidateReply(ctx: TrackerContext, host: Host, candidate: Candidate, from: Attachment): void {
  const { probe } = candidate;
  const incumbent = incumbentOf(ctx, host, candidate);
  if (probe.purpose === 'remote-claim') return heldDespiteRemote(ctx, host, from);
  if (isNewcomer(candidate)) noteProof(ctx, from.iface);
  if (incumbent !== undefined && incumbent.mac !== from.mac) return contestHere(ctx, host, incumbent, from);
  bind(ctx, host, from, host.held ? 'moved' : 'proven');
  if (incumbent !== undefined) reprobeOld(ctx, host, incumbent);
}

/** Where else the host answered, unless that interface was lost or that place forbidden since. */
function incumbentOf(ctx: TrackerContext, { ip }: Host, { incumbent }: Candidate): Attachment | undefined {
  if (incumbent === undefined || !ctx.topology.isUsable(incumbent.iface)) return undefined;
  const refusal = learningRefusal(ctx, incumbent.iface, ip, incumbent.mac);
  return refusal === undefined ? incumbent : undefined;
}

function onOldReply(ctx: TrackerContext, host: Host, probe: Probe, from: Attachment): void {
  host.stepProof({ input: 'old-closed' });
  const { attachment, currentProbe } = host;
  if (host.candidate !== undefined) host.stepProof({ input: 'old-answered', at: from });
  else if (currentProbe?.purpose === 'prove') revertToIncumbent(ctx, host, from, currentProbe);
  else if (attachment?.mac === from.mac && !probe.isConfirmation) reprobeOld(ctx, host, from);
  else if (attachment !== undefined) contestHere(ctx, host, from, attachment);
  ctx.touch(host);
}

/** A probe timed out. */
export function onTimeout(ctx: TrackerContext, host: Host, probe: Probe): void {
  const { candidate } = host;
  if (candidate?.probe === probe) return onCandidateTimeout(ctx, host, candidate);
  if (host.oldProbe === probe) {
    host.stepProof({ input: 'old-closed' });
    announceDeparture(ctx, host);
    return ctx.touch(host);
  }
  switch (host.stepKeepalive({ input: 'timeout' }, ctx.now)) {
    case 'old-place-silent':
      // Silent at the old place and not yet proven at the new one: asked again before it is given up.
      return host.claimed ? probeNow(ctx, host) : ctx.touch(host);
    case 'remote-claim-stands':
      return yieldToRemote(ctx, host, probe);
    case 'in-grace':
      scheduleKeepalive(ctx, host);
      return ctx.touch(host);
    case 'no-answer':
      withdraw(ctx, host, 'no-answer');
      return ctx.lateAnswers.expect(host.ip, probe);
    case 'lost':
      withdraw(ctx, host, 'keepalive-lost');
      return ctx.lateAnswers.expect(host.ip, probe);
    default:
  }
}

function onCandidateTimeout(ctx: TrackerContext, host: Host, candidate: Candidate): void {
  const { probe, cause } = candidate;
  const incumbent = incumbentOf(ctx, host, candidate);
  const proving = host.state === 'proving';
  if (proving && probe.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined) {
    setCandidate(ctx, host, undefined);
    return goAway(ctx, host, cause);
  }
  // Not where it was said to be, but it answered at home.
  if (proving && incumbent !== undefined) return bind(ctx, host, incumbent, 'proven');
  noteSilence(ctx, candidate);
  if (!host.held && probe.purpose !== 'remote-claim') ctx.lateAnswers.expect(host.ip, probe);
  abandonCandidate(ctx, host, 'no-answer');
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
): boolean {
  const probe = ctx.lateAnswers.take(ip, from.iface, from.mac, answeredTo, ctx.now);
  if (probe === undefined || ctx.topology.rule(from.iface) === undefined) return false;
  const remote = ctx.fib.remote(ip);
  if (remote !== undefined && remote.since > probe.firstSentAt) return false;
  if (known !== undefined) {
    const { candidate } = known;
    const at = candidate?.attachment;
    const elsewhere = at !== undefined && (at.mac !== from.mac || at.iface !== from.iface);
    if (known.held || known.state === 'away' || elsewhere) return false;
    if (known.recovery.detached !== undefined || suppressionReason(ctx, known, from) !== undefined)
      return false;
  }
  const host = known ?? ctx.create(ip);
  const afterMs = ctx.now - probe.firstSentAt;
  host.answeredAfter(afterMs);
  ctx.note('answer', from.iface, from.mac, ip, afterMs);
  bind(ctx, host, from, 'proven');
  return true;
}

/** Asks a host that was lost whether it is back at its last attachment. Its state stays until it answers. */
export function askAgain(ctx: TrackerContext, host: Host, at: Attachment): void {
  if (host.candidate !== undefined || suppressionReason(ctx, host, at) !== undefined) return;
  const probe = startProbe(ctx, host, 'ask-again', at);
  if (probe === undefined) return;
  setCandidate(ctx, host, { attachment: at, cause: 'link-up', probe, incumbent: undefined, repeated: false });
}

/** Another router has it. If it spoke here since it was asked, it may be back: that sighting needs a proof of its own. */
function yieldToRemote(ctx: TrackerContext, host: Host, probe: Probe): void {
  const { attachment } = host;
  const spoke = host.lastHeard > probe.firstSentAt;
  withdraw(ctx, host, 'remote-claim');
  if (spoke && attachment !== undefined && !host.claimed)
    startProofUnlessSuppressed(ctx, host, attachment, 'sighting');
}

/**
 * One MAC answered here and there. ARP answers carry no number, so the one from the old place may belong to a probe
 * from before the move: only if the place answers once more has the host really two places, or gone back.
 */
function reprobeOld(ctx: TrackerContext, host: Host, at: Attachment): void {
  probeOld(ctx, host, ctx.topology.isUsable(at.iface) ? at : undefined, true);
  ctx.touch(host);
}

/** It was claimed elsewhere on the word of a frame, and is alive where it was. The probe there stays open. */
function revertToIncumbent(ctx: TrackerContext, host: Host, incumbent: Attachment, probe: Probe): void {
  reclaim(ctx, host, incumbent);
  const { attachment, sent } = probe;
  setCandidate(ctx, host, { attachment, cause: 'sighting', probe, incumbent, repeated: sent > 1 });
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
    const ageAt = Math.max(claim.ageAt, ctx.now + ctx.policy.timers.settleMs);
    host.stepClaim({ input: 'age-later', ageAt }, ctx.now);
  }
  host.stepKeepalive({ input: 'close' }, ctx.now);
  notifyWaiting(ctx, host);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}
