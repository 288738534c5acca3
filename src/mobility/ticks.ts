import { ask, sendAnnouncement, sendTry } from './questions.js';
import { mayStillAsk } from './admission.js';
import { arrive, considerUnlessBarred } from './arrival.js';
import type { Brain } from './brain.js';
import { detachOver } from './commands.js';
import { disputedUntil } from './contest.js';
import type { Host, Question } from './host.js';
import { runInquiries } from './inquiry.js';
import { wakeHost } from './links.js';
import { awayLost, checkDespiteRemote } from './remote.js';
import { hearSilence } from './verdicts.js';

/** Hosts that are looked at in one go, some milliseconds of work: thousands may be due at once after a burst. */
const HOSTS_PER_TICK = 128;

/** Everything whose time has come, or the first part of it: then the next deadline is already past. */
export function tick(brain: Brain): void {
  for (const { ip, place } of runInquiries(brain)) {
    if (brain.topology.rule(place.iface) === undefined) continue;
    const host = brain.table.get(ip) ?? brain.create(ip);
    if (!(host.held && host.isAt(place.iface, place.mac))) arrive(brain, host, place, 'rarp');
  }
  for (let left = HOSTS_PER_TICK; left > 0; left--) {
    const host = brain.deadlines.takeDue(brain.now);
    if (host === undefined) return;
    wakeUp(brain, host);
  }
}

/** What one host waited for. Each step looks again: the one before may have changed the state. */
function wakeUp(brain: Brain, host: Host): void {
  const { now } = brain;
  if (host.withdrawal !== undefined && host.withdrawal.at <= now) {
    brain.withdraw(host, host.withdrawal.cause);
  }
  for (const question of [host.candidate?.question, host.check, host.previous]) {
    if (question !== undefined && question.nextAt <= now) advance(brain, host, question);
  }
  if (host.ageAt <= now) age(brain, host);
  if (host.ghostAt !== undefined && host.ghostAt <= now) {
    host.ghostAt = undefined;
    if (host.ghost === 'present') brain.emit({ kind: 'ghost', ip: host.ip, present: false });
    host.ghost = undefined;
  }
  if (host.keepaliveAt <= now) keepAlive(brain, host);
  if (host.announce !== undefined && host.announce.at <= now) announce(brain, host);
  if (host.wake !== undefined && host.wake.start + (host.wake.left[0] ?? 0) <= now) wakeHost(brain, host);
  if (host.detached !== undefined && host.detached.until <= now) detachOver(brain, host);
  if (host.hint !== undefined && host.hint.at <= now) followHint(brain, host);
  if (host.state === 'remembered' && host.contest?.retryAt !== undefined && host.contest.retryAt <= now) {
    retryChallenge(brain, host);
  }
  if (host.forgetAt !== undefined && host.forgetAt <= now) forget(brain, host);
  if (host.state !== 'unknown' || host.hint !== undefined) brain.touch(host);
}

function advance(brain: Brain, host: Host, question: Question): void {
  const open = host.candidate?.question === question || host.check === question || host.previous === question;
  if (!open) return;
  if (question.sent >= question.tries.length) return hearSilence(brain, host, question);
  sendTry(brain, host.ip, question);
  if (question.sent > 1 && host.candidate?.question === question) brain.unanswered.askAgain(host.candidate);
}

/** fresh becomes settled; settled for as long again, and unopposed, it is the incumbent, or dropped when at home. */
function age(brain: Brain, host: Host): void {
  const { now } = brain;
  const remote = brain.fib.remote(host.ip);
  if (host.state === 'fresh') {
    brain.enter(host, 'settled', 'aged');
    host.displaced = false;
    if (host.check === undefined) brain.scheduleKeepalive(host);
    if (remote !== undefined) checkDespiteRemote(brain, host);
    return;
  }
  host.ageAt = Number.POSITIVE_INFINITY;
  if (host.state !== 'settled') return;
  if (remote !== undefined || host.check?.purpose === 'remote-claim') {
    host.ageAt = now + brain.policy.timers.settleMs;
    return;
  }
  host.role = 'incumbent';
  if (!host.returning) return;
  const until = disputedUntil(host);
  if (now < until) host.ageAt = until;
  else brain.enter(host, 'home', 'returned');
}

function keepAlive(brain: Brain, host: Host): void {
  const { now } = brain;
  const { place } = host;
  const rule = place && brain.topology.rule(place.iface);
  if (!host.claimed || place === undefined || rule === undefined || host.check !== undefined) {
    host.keepaliveAt = Number.POSITIVE_INFINITY;
    return;
  }
  if (now - host.lastHeard >= rule.holdMs && now >= (host.graceUntil ?? 0) && rule.holdMs > 0) {
    // The 20 ms rule may put the withdrawal off; nothing else is to be done for this host until then.
    host.keepaliveAt = Number.POSITIVE_INFINITY;
    brain.withdraw(host, 'hold-expired');
    return;
  }
  if (host.lastHeard > host.keepaliveSetAt) {
    host.keepaliveAt = host.lastHeard + brain.keepaliveMs(host);
    host.keepaliveSetAt = host.lastHeard;
    if (host.keepaliveAt > now) return;
  }
  host.keepaliveAt = Number.POSITIVE_INFINITY;
  if (!brain.topology.isListening(place.iface)) {
    // Deaf: asking is in vain. The hold time still counts.
    host.keepaliveAt = Math.max(now + 100, Math.min(now + rule.keepaliveMs, host.lastHeard + rule.holdMs));
    return;
  }
  host.check = ask(brain, host, host.state === 'fresh' && host.displaced ? 'displaced' : 'keepalive', place);
  if (host.check === undefined) host.keepaliveAt = now + rule.keepaliveMs;
}

/** Broadcast gratuitous ARP request with our MAC on the home LAN, three times (RFC 5944 section 4.6). */
function announce(brain: Brain, host: Host): void {
  const { announce } = host;
  if (announce === undefined) return;
  const elsewhere = host.state === 'away' || (host.claimed && host.place?.iface !== announce.iface);
  if (!elsewhere || !brain.topology.isUsable(announce.iface)) {
    host.announce = undefined;
    return;
  }
  if (host.hushUntil !== undefined && brain.now < host.hushUntil) {
    announce.at = host.hushUntil;
    return;
  }
  sendAnnouncement(brain, announce.iface, host.ip);
  announce.left--;
  announce.at = brain.now + 1000;
  if (announce.left === 0) host.announce = undefined;
}

function followHint(brain: Brain, host: Host): void {
  const { hint } = host;
  host.hint = undefined;
  if (hint === undefined) return;
  if (host.held && host.isAt(hint.place.iface, hint.place.mac)) return;
  const { iface, mac } = hint.place;
  const newcomer = host.state === 'unknown';
  if (newcomer && !mayStillAsk(brain, iface)) brain.drop('newcomer-budget', iface, host.ip, mac);
  else if (brain.topology.isListening(iface)) {
    return considerUnlessBarred(brain, host, hint.place, 'probe-hint');
  }
  if (newcomer) brain.discard(host);
}

function retryChallenge(brain: Brain, host: Host): void {
  if (host.contest !== undefined) host.contest.retryAt = undefined;
  if (host.place === undefined || host.candidate !== undefined) return;
  if (brain.topology.isListening(host.place.iface))
    considerUnlessBarred(brain, host, host.place, 'contested');
}

function forget(brain: Brain, host: Host): void {
  host.forgetAt = undefined;
  if (host.state === 'away') awayLost(brain, host);
  else if (host.state === 'remembered') brain.enter(host, 'unknown', 'forgotten');
}
