import { type Ip, MAC_BROADCAST, type Mac } from '../wire/addresses.js';
import type { ArpFrame } from '../wire/arp.js';
import { admit, admitWaiting, hasRoom, isNewcomer, noteProof, noteSilence } from './admission.js';
import { answer } from './answer.js';
import type { Brain } from './brain.js';
import { type Drop, classify, usable } from './classify.js';
import { barred, contestHere, heldDespiteRemote, reclaim } from './contest.js';
import type { Cause, DropReason, EvidenceKind, IfIndex, Place } from './events.js';
import type { Candidate, Host, Question } from './host.js';
import { hearControlAnswer, hearInquiryAnswer, openInquiry } from './inquiry.js';
import { tellSeekers } from './strays.js';
import type { Sighting } from './waiting.js';

/** PROBE_WAIT + PROBE_NUM x PROBE_MAX + ANNOUNCE_WAIT, at the most (RFC 5227 section 1.1). */
const PROBING_MS = 1000 + 3 * 2000 + 2000;
/** A host heard on its home LAN is proven there within this, or not. */
const HEARD_MS = 1000;
/** The word of a host is as good as new for this long. */
const BELIEVED_MS = 500;

/** A captured frame: evidence, a question to us, or a drop with its reason. */
export function hearFrame(brain: Brain, iface: IfIndex, bytes: Uint8Array): void {
  const seen = classify(brain, iface, bytes);
  switch (seen.kind) {
    case 'drop':
      return hearUnusable(brain, iface, seen);
    case 'rarp':
      return hearRarp(brain, iface, seen.mac);
    case 'probe':
      return hearProbe(brain, iface, seen.ip, seen.mac);
    default:
      hearSighting(brain, iface, seen.ip, seen.mac, seen.kind, seen.frame);
      answer(brain, iface, seen.frame);
  }
}

function hearUnusable(brain: Brain, iface: IfIndex, seen: Drop): void {
  brain.drop(seen.reason, iface, seen.ip, seen.mac);
  if (seen.ip !== undefined && seen.mac !== undefined) hearControlAnswer(brain, iface, seen.ip, seen.mac);
  if (seen.reason !== 'sender-ip-gateway' || seen.ip === undefined || seen.mac === undefined) return;
  // One forged frame must not silence a host that has proven itself.
  const { mac } = seen;
  const proven = [...brain.table.withMac(mac)].some((host) => host.held);
  if (!proven && brain.otherRouters.size < 1000) brain.otherRouters.set(mac, seen.ip);
  brain.alarm('other-router', 'another machine uses a configured gateway address', {
    ip: seen.ip,
    place: { iface, mac: seen.mac },
  });
}

/** RFC 5227 probe: never learned, never answered; the place is asked a moment later. */
function hearProbe(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): void {
  brain.note('probe', iface, mac, ip);
  let host = brain.table.get(ip);
  if (host !== undefined) {
    cancelAnnouncement(host, iface);
    if ((host.held && host.isAt(iface, mac)) || host.hint !== undefined) return brain.touch(host);
  } else {
    if (admit(brain, iface, ip, mac, 'probe') !== 'now') return;
    host = brain.create(ip);
  }
  if (brain.topology.isHome(iface, ip)) host.hushUntil = brain.now + PROBING_MS;
  host.hint = { place: { iface, mac }, at: brain.now + brain.policy.timers.probeHintMs };
  brain.touch(host);
}

/** RARP (RFC 903) names a MAC and no address: its last known addresses are asked there, or the MAC is asked. */
function hearRarp(brain: Brain, iface: IfIndex, mac: Mac): void {
  brain.note('rarp', iface, mac, undefined);
  const known = [...brain.table.withMac(mac)];
  for (const host of known) {
    if (host.held && host.isAt(iface, mac)) refresh(brain, host);
    else if (host.detached?.iface === iface) brain.drop('detached', iface, host.ip, mac);
    else if (host.candidate?.place.iface !== iface) considerUnlessBarred(brain, host, { iface, mac }, 'rarp');
  }
  if (known.length === 0) openInquiry(brain, iface, mac);
}

function hearSighting(
  brain: Brain,
  iface: IfIndex,
  ip: Ip,
  mac: Mac,
  kind: 'request' | 'reply' | 'gratuitous',
  frame: ArpFrame,
): void {
  const host = brain.table.get(ip);
  if (kind === 'reply') {
    const question = host && openQuestion(host, iface, mac, frame.targetIp);
    if (host !== undefined && question !== undefined)
      return hearAnswer(brain, host, question, { iface, mac });
    if (hearInquiryAnswer(brain, iface, ip, mac)) return;
  }
  if (host !== undefined) {
    if (host.held && host.isAt(iface, mac)) return refresh(brain, host);
    if (!isNews(brain, host, { iface, mac })) return;
  }
  if (admit(brain, iface, ip, mac, kind) === 'now') learn(brain, host, { iface, mac }, ip, kind);
}

/** A known host was heard at a place where we do not hold it. Returns whether that is to be looked into. */
function isNews(brain: Brain, host: Host, { iface, mac }: Place): boolean {
  const { candidate, detached } = host;
  if (detached?.iface === iface && detached.mac === mac) {
    brain.drop('detached', iface, host.ip, mac);
    return false;
  }
  cancelAnnouncement(host, iface);
  if (brain.topology.isHome(iface, host.ip))
    host.hushUntil = Math.max(host.hushUntil ?? 0, brain.now + HEARD_MS);
  if (candidate?.place.iface === iface && candidate.place.mac === mac) return false;
  const reason = barred(brain, host, { iface, mac });
  if (reason !== undefined) brain.drop(reason, iface, host.ip, mac);
  return reason === undefined && !mustWait(brain, host, { iface, mac });
}

function learn(brain: Brain, known: Host | undefined, place: Place, ip: Ip, kind: EvidenceKind): void {
  brain.note(kind, place.iface, place.mac, ip);
  consider(brain, known ?? brain.create(ip), place, 'sighting');
}

/** Newcomers for whose word there was no time: it is taken up now, unless something newer is known. */
export function hearWaiting(brain: Brain): void {
  for (const sighting of admitWaiting(brain)) {
    const { iface, ip, mac, evidence } = sighting;
    const host = brain.table.get(ip);
    const reason = whyTooLate(brain, sighting);
    if (reason !== undefined) brain.drop(reason, iface, ip, mac);
    else if (host === undefined) learn(brain, undefined, { iface, mac }, ip, evidence);
    else if (!(host.since > sighting.at || (host.held && host.lastHeard >= sighting.at)))
      if (isNews(brain, host, { iface, mac })) learn(brain, host, { iface, mac }, ip, evidence);
  }
}

/** Why a word that waited counts no more. Where words are believed without an answer, an old one is none. */
function whyTooLate(brain: Brain, { iface, ip, mac, at }: Sighting): DropReason | undefined {
  const believed = brain.topology.rule(iface)?.prove !== 'before';
  if (believed && brain.now - at > BELIEVED_MS) return 'newcomer-budget';
  return brain.otherRouters.has(mac) ? 'other-router' : usable(brain, ip, mac);
}

/**
 * While one place is being asked, another one waits for its turn: or two living hosts with one address, each answer
 * being a sighting of its own, would have us ask them in turn as fast as they answer.
 */
function mustWait(brain: Brain, host: Host, place: Place): boolean {
  const open = host.openProof;
  const at = (open?.sent ? open.firstSentAt : brain.now) + brain.verdictMs(host);
  if (open === undefined || brain.now >= at) return false;
  if (host.hint === undefined) {
    brain.note('probe', place.iface, place.mac, host.ip);
    host.hint = { place, at };
    brain.touch(host);
  }
  return true;
}

/** A frame of a host where we believe it to be. */
function refresh(brain: Brain, host: Host): void {
  const quietMs = brain.now - host.lastHeard;
  host.lastHeard = brain.now;
  brain.absorb(host, quietMs);
  const purpose = host.check?.purpose;
  if (purpose === 'keepalive' || purpose === 'displaced') closeCheck(brain, host);
}

function cancelAnnouncement(host: Host, iface: IfIndex): void {
  if (host.announce?.iface === iface) host.announce = undefined;
}

export function considerUnlessBarred(brain: Brain, host: Host, place: Place, cause: Cause): void {
  const reason = barred(brain, host, place);
  if (reason === undefined) consider(brain, host, place, cause);
  else brain.drop(reason, place.iface, host.ip, place.mac);
}

/**
 * There is evidence of the host at a place where we do not hold it. It is asked there and, in parallel, at the place
 * where we do hold it.
 */
export function consider(brain: Brain, host: Host, place: Place, cause: Cause): void {
  const rule = brain.topology.rule(place.iface);
  if (rule === undefined) return discardUnknown(brain, host);
  const { prepared } = host;
  if (prepared?.iface === place.iface && prepared.mac === place.mac) {
    // Believed, and asked all the same: the question repairs its gateway entry.
    host.graceUntil = brain.now + rule.holdMs;
    return arrive(brain, host, place, 'prepared', brain.ask(host, 'prove', place));
  }
  // Only a frame of the host itself is believed before, or without, a proof; our own ideas of where it may be are not.
  const spoke = cause === 'sighting' || cause === 'rarp';
  if (rule.prove === 'never' && spoke) return arrive(brain, host, place, cause);

  const question = brain.ask(host, 'prove', place);
  if (question === undefined) {
    brain.drop('no-probe-source', place.iface, host.ip, place.mac);
    return discardUnknown(brain, host);
  }
  // Two MACs that take turns in one address are as silent as one.
  if (host.candidate?.askedAgain === true) noteSilence(brain, host.candidate);
  brain.setCandidate(host, { place, cause, question, incumbent: undefined, askedAgain: false });
  if (host.held && host.place !== undefined && brain.topology.isUsable(host.place.iface)) {
    host.check = brain.ask(host, 'old-place', host.place);
  }
  if (host.state === 'unknown' || host.state === 'remembered') {
    brain.enter(host, 'proving', cause);
    host.previous = askOwner(brain, host, place);
  }
  if (rule.prove === 'after' && spoke) arrive(brain, host, place, cause, question);
  else brain.touch(host);
}

/** A visitor that we know nothing of: its address may have an owner who is alive at home, on another LAN of ours. */
function askOwner(brain: Brain, host: Host, place: Place): Question | undefined {
  const home = brain.topology.homeInterface(host.ip);
  if (home === undefined || home === place.iface || !brain.topology.isUsable(home)) return undefined;
  const mac = brain.neighbours.get(home)?.get(host.ip) ?? MAC_BROADCAST;
  return brain.ask(host, 'old-place', { iface: home, mac });
}

function discardUnknown(brain: Brain, host: Host): void {
  if (brain.table.get(host.ip) !== host) return;
  if (host.state === 'unknown') brain.discard(host);
  else brain.touch(host);
}

/**
 * The host is at `place`: recorded when that is its home and nobody else has it, claimed otherwise. `unanswered` is
 * the proof still to come when policy claims first and asks later.
 */
export function arrive(brain: Brain, host: Host, place: Place, cause: Cause, unanswered?: Question): void {
  const { topology, now } = brain;
  const rule = topology.rule(place.iface);
  if (rule === undefined) throw new Error('a host arrived on an interface that is no mobility interface');
  if (!hasRoom(brain, host, place.iface)) {
    // Many may be proving themselves at once; only so many arrive.
    brain.drop('host-limit', place.iface, host.ip, place.mac);
    brain.abandonCandidate(host, 'no-room');
    return discardUnknown(brain, host);
  }
  const moved = host.held && !host.isAt(place.iface, place.mac);
  const oldCheck = host.check?.purpose === 'old-place' ? host.check : undefined;
  const remote = brain.fib.remote(host.ip);
  const atHome = rule.learn === 'foreign' && topology.isHome(place.iface, host.ip);
  brain.setCandidate(host, undefined);
  if (atHome && remote === undefined && !host.claimed && host.state !== 'away') {
    brain.enter(host, 'home', cause, place);
  } else {
    brain.enter(host, 'fresh', cause, place);
    host.returning = atHome;
    host.displaced = moved || remote !== undefined;
  }
  // Who was about to take the address is here: when it leaves again, its neighbours are told at once.
  if (topology.isHome(place.iface, host.ip)) host.hushUntil = undefined;
  host.role = 'newcomer';
  host.insisted = false;
  host.lastHeard = now;
  host.check = unanswered;
  if (moved) host.previous = oldCheck;
  cancelAnnouncement(host, place.iface);
  brain.scheduleKeepalive(host);
  if (host.previous === undefined) brain.announceAway(host);
  tellSeekers(brain, host);
  brain.touch(host);
  probeSiblings(brain, host, place);
}

/** All addresses of a guest move together: one proven address gets the others asked at once. */
function probeSiblings(brain: Brain, host: Host, place: Place): void {
  if (brain.table.countWithMac(place.mac) < 2) return;
  for (const sibling of [...brain.table.withMac(place.mac)]) {
    const elsewhere = !(sibling.held && sibling.isAt(place.iface, place.mac));
    if (sibling === host || !elsewhere || sibling.candidate !== undefined || sibling.detached !== undefined)
      continue;
    if (barred(brain, sibling, place) === undefined) consider(brain, sibling, place, 'sibling');
  }
}

function openQuestion(host: Host, iface: IfIndex, mac: Mac, targetIp: Ip): Question | undefined {
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
function hearAnswer(brain: Brain, host: Host, question: Question, place: Place): void {
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

/**
 * One MAC answered here and there. ARP answers carry no number, so the one from the old place may belong to a question
 * from before the move: only if the place answers once more has the host really two places, or gone back.
 */
function askAgain(brain: Brain, host: Host, place: Place): void {
  const question = brain.topology.isUsable(place.iface) ? brain.ask(host, 'old-place', place) : undefined;
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

function closeCheck(brain: Brain, host: Host): void {
  const check = host.check;
  if (check?.purpose === 'displaced' && brain.now - check.firstSentAt > brain.verdictMs(host)) {
    // It was silent and is back: it may have been elsewhere meanwhile, so this is the newest claim again.
    host.ageAt = Math.max(host.ageAt, brain.now + brain.policy.timers.settleMs);
  }
  host.check = undefined;
  tellSeekers(brain, host);
  brain.scheduleKeepalive(host);
  brain.touch(host);
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
      return host.claimed ? brain.probeNow(host) : brain.touch(host);
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

/** Another router has it. But if it spoke here since it was asked, it may be back: that sighting needs a proof of its own. */
function yieldToRemote(brain: Brain, host: Host, question: Question): void {
  const { place } = host;
  const spoke = host.lastHeard > question.firstSentAt;
  brain.withdraw(host, 'remote-claim');
  if (spoke && place !== undefined && host.withdrawal === undefined)
    considerUnlessBarred(brain, host, place, 'sighting');
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
