import { verdictMs } from './questions.js';
import type { Ip, Mac } from '../wire/addresses.js';
import type { ArpFrame } from '../wire/arp.js';
import { admit, admitWaiting } from './admission.js';
import { answer } from './answer.js';
import { cancelAnnouncement, consider, considerUnlessBarred } from './arrival.js';
import type { Brain } from './brain.js';
import { type Drop, classify, usable } from './classify.js';
import { barred } from './contest.js';
import type { DropReason, EvidenceKind, IfIndex, Place } from './events.js';
import type { Host } from './host.js';
import { hearControlAnswer, hearInquiryAnswer, openInquiry } from './inquiry.js';
import { closeCheck, hearAnswer, openQuestion } from './verdicts.js';
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
  const at = (open?.sent ? open.firstSentAt : brain.now) + verdictMs(host);
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
