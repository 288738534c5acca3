import { sendAnnouncement } from './neighbour/send.js';
import { ask, sendTry } from './probe.js';
import { mayStillAsk } from './admission/admission.js';
import { arrive, considerUnlessBarred } from './host/arrival.js';
import type { TrackerContext } from './context.js';
import { detachOver } from './input/commands.js';
import { disputedUntil } from './host/contest.js';
import type { Host, Probe } from './host/host.js';
import { runInquiries } from './input/rarp-lookup.js';
import { wakeHost } from './input/links.js';
import { awayLost, checkDespiteRemote } from './input/remote-claims.js';
import { hearSilence } from './host/answers.js';

/** Hosts that are looked at in one go, some milliseconds of work: thousands may be due at once after a burst. */
const HOSTS_PER_TICK = 128;

/** Everything whose time has come, or the first part of it: then the next deadline is already past. */
export function tick(ctx: TrackerContext): void {
  for (const { ip, place } of runInquiries(ctx)) {
    if (ctx.topology.rule(place.iface) === undefined) continue;
    const host = ctx.table.get(ip) ?? ctx.create(ip);
    if (!(host.held && host.isAt(place.iface, place.mac))) arrive(ctx, host, place, 'rarp');
  }
  for (let left = HOSTS_PER_TICK; left > 0; left--) {
    const host = ctx.deadlines.takeDue(ctx.now);
    if (host === undefined) return;
    wakeUp(ctx, host);
  }
}

/** What one host waited for. Each step looks again: the one before may have changed the state. */
function wakeUp(ctx: TrackerContext, host: Host): void {
  const { now } = ctx;
  if (host.withdrawal !== undefined && host.withdrawal.at <= now) {
    ctx.withdraw(host, host.withdrawal.cause);
  }
  for (const question of [host.candidate?.question, host.check, host.previous]) {
    if (question !== undefined && question.nextAt <= now) advance(ctx, host, question);
  }
  if (host.ageAt <= now) age(ctx, host);
  if (host.ghostAt !== undefined && host.ghostAt <= now) {
    host.ghostAt = undefined;
    if (host.ghost === 'present') ctx.emit({ kind: 'stuck-route-repair', ip: host.ip, present: false });
    host.ghost = undefined;
  }
  if (host.keepaliveAt <= now) keepAlive(ctx, host);
  if (host.announce !== undefined && host.announce.at <= now) announce(ctx, host);
  if (host.wake !== undefined && host.wake.start + (host.wake.left[0] ?? 0) <= now) wakeHost(ctx, host);
  if (host.detached !== undefined && host.detached.until <= now) detachOver(ctx, host);
  if (host.hint !== undefined && host.hint.at <= now) followHint(ctx, host);
  if (host.state === 'remembered' && host.contest?.retryAt !== undefined && host.contest.retryAt <= now) {
    retryChallenge(ctx, host);
  }
  if (host.forgetAt !== undefined && host.forgetAt <= now) forget(ctx, host);
  if (host.state !== 'unknown' || host.hint !== undefined) ctx.touch(host);
}

function advance(ctx: TrackerContext, host: Host, question: Probe): void {
  const open = host.candidate?.question === question || host.check === question || host.previous === question;
  if (!open) return;
  if (question.sent >= question.tries.length) return hearSilence(ctx, host, question);
  sendTry(ctx, host.ip, question);
  if (question.sent > 1 && host.candidate?.question === question) ctx.unanswered.askAgain(host.candidate);
}

/** fresh becomes settled; settled for as long again, and unopposed, it is the incumbent, or dropped when at home. */
function age(ctx: TrackerContext, host: Host): void {
  const { now } = ctx;
  const remote = ctx.fib.remote(host.ip);
  if (host.state === 'fresh') {
    ctx.enter(host, 'settled', 'aged');
    host.displaced = false;
    if (host.check === undefined) ctx.scheduleKeepalive(host);
    if (remote !== undefined) checkDespiteRemote(ctx, host);
    return;
  }
  host.ageAt = Number.POSITIVE_INFINITY;
  if (host.state !== 'settled') return;
  if (remote !== undefined || host.check?.purpose === 'remote-claim') {
    host.ageAt = now + ctx.policy.timers.settleMs;
    return;
  }
  host.role = 'incumbent';
  if (!host.returning) return;
  const until = disputedUntil(host);
  if (now < until) host.ageAt = until;
  else ctx.enter(host, 'home', 'returned');
}

function keepAlive(ctx: TrackerContext, host: Host): void {
  const { now } = ctx;
  const { attachment } = host;
  const rule = attachment && ctx.topology.rule(attachment.iface);
  if (!host.claimed || attachment === undefined || rule === undefined || host.check !== undefined) {
    host.keepaliveAt = Number.POSITIVE_INFINITY;
    return;
  }
  if (now - host.lastHeard >= rule.holdMs && now >= (host.graceUntil ?? 0) && rule.holdMs > 0) {
    // The 20 ms rule may put the withdrawal off; nothing else is to be done for this host until then.
    host.keepaliveAt = Number.POSITIVE_INFINITY;
    ctx.withdraw(host, 'hold-expired');
    return;
  }
  if (host.lastHeard > host.keepaliveSetAt) {
    host.keepaliveAt = host.lastHeard + ctx.keepaliveMs(host);
    host.keepaliveSetAt = host.lastHeard;
    if (host.keepaliveAt > now) return;
  }
  host.keepaliveAt = Number.POSITIVE_INFINITY;
  if (!ctx.topology.isListening(attachment.iface)) {
    // Deaf: asking is in vain. The hold time still counts.
    host.keepaliveAt = Math.max(now + 100, Math.min(now + rule.keepaliveMs, host.lastHeard + rule.holdMs));
    return;
  }
  host.check = ask(
    ctx,
    host,
    host.state === 'fresh' && host.displaced ? 'displaced' : 'keepalive',
    attachment,
  );
  if (host.check === undefined) host.keepaliveAt = now + rule.keepaliveMs;
}

/** Broadcast gratuitous ARP request with our MAC on the home LAN, three times (RFC 5944 section 4.6). */
function announce(ctx: TrackerContext, host: Host): void {
  const { announce } = host;
  if (announce === undefined) return;
  const elsewhere = host.state === 'away' || (host.claimed && host.attachment?.iface !== announce.iface);
  if (!elsewhere || !ctx.topology.isUsable(announce.iface)) {
    host.announce = undefined;
    return;
  }
  if (host.hushUntil !== undefined && ctx.now < host.hushUntil) {
    announce.at = host.hushUntil;
    return;
  }
  sendAnnouncement(ctx, announce.iface, host.ip);
  announce.left--;
  announce.at = ctx.now + 1000;
  if (announce.left === 0) host.announce = undefined;
}

function followHint(ctx: TrackerContext, host: Host): void {
  const { hint } = host;
  host.hint = undefined;
  if (hint === undefined) return;
  if (host.held && host.isAt(hint.place.iface, hint.place.mac)) return;
  const { iface, mac } = hint.place;
  const newcomer = host.state === 'unknown';
  if (newcomer && !mayStillAsk(ctx, iface)) ctx.drop('newcomer-budget', iface, host.ip, mac);
  else if (ctx.topology.isListening(iface)) {
    return considerUnlessBarred(ctx, host, hint.place, 'probe-hint');
  }
  if (newcomer) ctx.discard(host);
}

function retryChallenge(ctx: TrackerContext, host: Host): void {
  if (host.contest !== undefined) host.contest.retryAt = undefined;
  if (host.attachment === undefined || host.candidate !== undefined) return;
  if (ctx.topology.isListening(host.attachment.iface))
    considerUnlessBarred(ctx, host, host.attachment, 'contested');
}

function forget(ctx: TrackerContext, host: Host): void {
  host.forgetAt = undefined;
  if (host.state === 'away') awayLost(ctx, host);
  else if (host.state === 'remembered') ctx.enter(host, 'unknown', 'forgotten');
}
