import { ask, probeNow, verdictMs } from './questions.js';
import { type Ip, MAC_BROADCAST, type Mac } from '../wire/addresses.js';
import { isNewcomer, noteProof, noteSilence } from './admission.js';
import { arrive, considerUnlessBarred, tellSeekers } from './arrival.js';
import type { Brain } from './brain.js';
import { contestHere, heldDespiteRemote, reclaim } from './contest.js';
import type { IfIndex, Place } from './events.js';
import type { Candidate, Host, Question } from './host.js';

/** The question that a reply to `targetIp` from this place answers; undefined: we asked nothing there. */
export function openQuestion(host: Host, iface: IfIndex, mac: Mac, targetIp: Ip): Question | undefined {
  const matches = (question: Question | undefined) =>
    question !== undefined &&
    question.sent > 0 &&
    question.sourceIp === targetIp &&
    question.place.iface === iface &&
    (question.place.mac === mac || question.place.mac === MAC_BROADCAST);
  if (matches(host.candidate?.question)) return host.candidate?.question;
  if (matches(host.check)) return host.check;
  if (matches(host.previous)) return host.previous;
  return undefined;
}

/** The host answered: the strongest thing a frame can say. */
export function hearAnswer(brain: Brain, host: Host, question: Question, place: Place): void {
  const rttMs = brain.now - question.firstSentAt;
  if (question.sent === 1)
    host.rttMs = host.rttMs === undefined ? rttMs : host.rttMs + (rttMs - host.rttMs) / 8;
  brain.note('answer', place.iface, place.mac, host.ip, rttMs);

  const candidate = host.candidate;
  if (candidate?.question === question) {
    if (question.purpose === 'remote-claim') return heldDespiteRemote(brain, host, place);
    if (isNewcomer(candidate)) noteProof(brain, place.iface, rttMs);
    const { incumbent } = candidate;
    if (incumbent !== undefined && incumbent.mac !== place.mac)
      return contestHere(brain, host, incumbent, place);
    arrive(brain, host, place, host.held ? 'moved' : 'proven');
    if (incumbent !== undefined) askAgain(brain, host, incumbent);
    return;
  }
  if (host.previous === question) {
    host.previous = undefined;
    if (candidate !== undefined) candidate.incumbent = place;
    else if (host.check?.purpose === 'prove') takeBack(brain, host, place, host.check);
    else if (host.place?.mac === place.mac && !question.again) askAgain(brain, host, place);
    else if (host.place !== undefined) contestHere(brain, host, place, host.place);
    return brain.touch(host);
  }
  if (question.purpose === 'prove') noteProof(brain, place.iface, rttMs);
  host.lastHeard = brain.now;
  closeCheck(brain, host);
  if (candidate !== undefined) candidate.incumbent = place;
  else if (question.purpose === 'remote-claim' && brain.fib.remote(host.ip) !== undefined) {
    heldDespiteRemote(brain, host, place);
  }
}

/** A question's verdict came without an answer. */
export function hearSilence(brain: Brain, host: Host, question: Question): void {
  const candidate = host.candidate;
  if (candidate?.question === question) {
    return candidateSilent(brain, host, candidate);
  }
  if (host.previous === question) {
    host.previous = undefined;
    brain.announceAway(host);
    return brain.touch(host);
  }
  host.check = undefined;
  switch (question.purpose) {
    case 'old-place':
      // Silent at the old place and not yet proven at the new one: asked again before it is given up.
      return host.claimed ? probeNow(brain, host) : brain.touch(host);
    case 'remote-claim':
      return yieldToRemote(brain, host, question);
    default:
      if (brain.now < (host.graceUntil ?? 0)) {
        brain.scheduleKeepalive(host);
        return brain.touch(host);
      }
      return brain.withdraw(host, question.purpose === 'prove' ? 'no-answer' : 'keepalive-lost');
  }
}

function candidateSilent(brain: Brain, host: Host, candidate: Candidate): void {
  const proving = host.state === 'proving';
  if (proving && candidate.question.purpose === 'remote-claim' && brain.fib.remote(host.ip) !== undefined) {
    brain.setCandidate(host, undefined);
    return brain.goAway(host, candidate.cause);
  }
  if (proving && candidate.incumbent !== undefined) {
    // Not where it was said to be, but it answered at home.
    return arrive(brain, host, candidate.incumbent, 'proven');
  }
  noteSilence(brain, candidate);
  brain.abandonCandidate(host, 'no-answer');
}

/** Another router has it. But if it spoke here since it was asked, it may be back: that sighting needs a proof of its own. */
function yieldToRemote(brain: Brain, host: Host, question: Question): void {
  const { place } = host;
  const spoke = host.lastHeard > question.firstSentAt;
  brain.withdraw(host, 'remote-claim');
  if (spoke && place !== undefined && host.withdrawal === undefined)
    considerUnlessBarred(brain, host, place, 'sighting');
}

/**
 * One MAC answered here and there. ARP answers carry no number, so the one from the old place may belong to a question
 * from before the move: only if the place answers once more has the host really two places, or gone back.
 */
function askAgain(brain: Brain, host: Host, place: Place): void {
  const question = brain.topology.isUsable(place.iface) ? ask(brain, host, 'old-place', place) : undefined;
  if (question !== undefined) question.again = true;
  host.previous = question;
  brain.touch(host);
}

/** It was claimed elsewhere on the word of a frame, and is alive where it was. The question there stays open. */
function takeBack(brain: Brain, host: Host, incumbent: Place, question: Question): void {
  reclaim(brain, host, incumbent);
  brain.setCandidate(host, {
    place: question.place,
    cause: 'sighting',
    question,
    incumbent,
    askedAgain: question.sent > 1,
  });
}

export function closeCheck(brain: Brain, host: Host): void {
  const check = host.check;
  if (check?.purpose === 'displaced' && brain.now - check.firstSentAt > verdictMs(host)) {
    // It was silent and is back: it may have been elsewhere meanwhile, so this is the newest claim again.
    host.ageAt = Math.max(host.ageAt, brain.now + brain.policy.timers.settleMs);
  }
  host.check = undefined;
  tellSeekers(brain, host);
  brain.scheduleKeepalive(host);
  brain.touch(host);
}
