import { ask, probeNow, verdictMs } from '../probe.js';
import { type Ip, MAC_BROADCAST, type Mac } from '../../wire/addresses.js';
import { isNewcomer, noteProof, noteSilence } from '../admission/admission.js';
import { arrive, considerUnlessBarred, tellSeekers } from './arrival.js';
import type { TrackerContext } from '../context.js';
import { contestHere, heldDespiteRemote, reclaim } from './contest.js';
import type { IfIndex, Attachment } from '../events.js';
import type { Candidate, Host, Probe } from './host.js';

/** The question that a reply to `targetIp` from this place answers; undefined: we asked nothing there. */
export function openQuestion(host: Host, iface: IfIndex, mac: Mac, targetIp: Ip): Probe | undefined {
  const matches = (question: Probe | undefined) =>
    question !== undefined &&
    question.sent > 0 &&
    question.sourceIp === targetIp &&
    question.attachment.iface === iface &&
    (question.attachment.mac === mac || question.attachment.mac === MAC_BROADCAST);
  if (matches(host.candidate?.question)) return host.candidate?.question;
  if (matches(host.check)) return host.check;
  if (matches(host.previous)) return host.previous;
  return undefined;
}

/** The host answered: the strongest thing a frame can say. */
export function hearAnswer(ctx: TrackerContext, host: Host, question: Probe, place: Attachment): void {
  const rttMs = ctx.now - question.firstSentAt;
  if (question.sent === 1)
    host.rttMs = host.rttMs === undefined ? rttMs : host.rttMs + (rttMs - host.rttMs) / 8;
  ctx.note('answer', place.iface, place.mac, host.ip, rttMs);

  const candidate = host.candidate;
  if (candidate?.question === question) {
    if (question.purpose === 'remote-claim') return heldDespiteRemote(ctx, host, place);
    if (isNewcomer(candidate)) noteProof(ctx, place.iface, rttMs);
    const { incumbent } = candidate;
    if (incumbent !== undefined && incumbent.mac !== place.mac)
      return contestHere(ctx, host, incumbent, place);
    arrive(ctx, host, place, host.held ? 'moved' : 'proven');
    if (incumbent !== undefined) askAgain(ctx, host, incumbent);
    return;
  }
  if (host.previous === question) {
    host.previous = undefined;
    if (candidate !== undefined) candidate.incumbent = place;
    else if (host.check?.purpose === 'prove') takeBack(ctx, host, place, host.check);
    else if (host.attachment?.mac === place.mac && !question.isConfirmation) askAgain(ctx, host, place);
    else if (host.attachment !== undefined) contestHere(ctx, host, place, host.attachment);
    return ctx.touch(host);
  }
  if (question.purpose === 'prove') noteProof(ctx, place.iface, rttMs);
  host.lastHeard = ctx.now;
  closeCheck(ctx, host);
  if (candidate !== undefined) candidate.incumbent = place;
  else if (question.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined) {
    heldDespiteRemote(ctx, host, place);
  }
}

/** A question's verdict came without an answer. */
export function hearSilence(ctx: TrackerContext, host: Host, question: Probe): void {
  const candidate = host.candidate;
  if (candidate?.question === question) {
    return candidateSilent(ctx, host, candidate);
  }
  if (host.previous === question) {
    host.previous = undefined;
    ctx.announceAway(host);
    return ctx.touch(host);
  }
  host.check = undefined;
  switch (question.purpose) {
    case 'old-place':
      // Silent at the old place and not yet proven at the new one: asked again before it is given up.
      return host.claimed ? probeNow(ctx, host) : ctx.touch(host);
    case 'remote-claim':
      return yieldToRemote(ctx, host, question);
    default:
      if (ctx.now < (host.graceUntil ?? 0)) {
        ctx.scheduleKeepalive(host);
        return ctx.touch(host);
      }
      return ctx.withdraw(host, question.purpose === 'prove' ? 'no-answer' : 'keepalive-lost');
  }
}

function candidateSilent(ctx: TrackerContext, host: Host, candidate: Candidate): void {
  const proving = host.state === 'proving';
  if (proving && candidate.question.purpose === 'remote-claim' && ctx.fib.remote(host.ip) !== undefined) {
    ctx.setCandidate(host, undefined);
    return ctx.goAway(host, candidate.cause);
  }
  if (proving && candidate.incumbent !== undefined) {
    // Not where it was said to be, but it answered at home.
    return arrive(ctx, host, candidate.incumbent, 'proven');
  }
  noteSilence(ctx, candidate);
  ctx.abandonCandidate(host, 'no-answer');
}

/** Another router has it. But if it spoke here since it was asked, it may be back: that sighting needs a proof of its own. */
function yieldToRemote(ctx: TrackerContext, host: Host, question: Probe): void {
  const { attachment } = host;
  const spoke = host.lastHeard > question.firstSentAt;
  ctx.withdraw(host, 'remote-claim');
  if (spoke && attachment !== undefined && host.withdrawal === undefined)
    considerUnlessBarred(ctx, host, attachment, 'sighting');
}

/**
 * One MAC answered here and there. ARP answers carry no number, so the one from the old place may belong to a question
 * from before the move: only if the place answers once more has the host really two places, or gone back.
 */
function askAgain(ctx: TrackerContext, host: Host, place: Attachment): void {
  const question = ctx.topology.isUsable(place.iface) ? ask(ctx, host, 'old-place', place) : undefined;
  if (question !== undefined) question.isConfirmation = true;
  host.previous = question;
  ctx.touch(host);
}

/** It was claimed elsewhere on the word of a frame, and is alive where it was. The question there stays open. */
function takeBack(ctx: TrackerContext, host: Host, incumbent: Attachment, question: Probe): void {
  reclaim(ctx, host, incumbent);
  ctx.setCandidate(host, {
    attachment: question.attachment,
    cause: 'sighting',
    question,
    incumbent,
    askedAgain: question.sent > 1,
  });
}

export function closeCheck(ctx: TrackerContext, host: Host): void {
  const check = host.check;
  if (check?.purpose === 'displaced' && ctx.now - check.firstSentAt > verdictMs(host)) {
    // It was silent and is back: it may have been elsewhere meanwhile, so this is the newest claim again.
    host.ageAt = Math.max(host.ageAt, ctx.now + ctx.policy.timers.settleMs);
  }
  host.check = undefined;
  tellSeekers(ctx, host);
  ctx.scheduleKeepalive(host);
  ctx.touch(host);
}
