import type { Ip } from '../wire/addresses.js';
import { releaseAnswers } from './neighbour/responder.js';
import { probeSource, sendAnnouncement } from './neighbour/send.js';
import { mayStillAsk } from './admission/admission.js';
import { MOST_WAIT_MS } from './admission/constants.js';
import { learningRefusal } from './admission/learning.js';
import type { TrackerContext } from './context.js';
import { announcementDeadline, lansToTell } from './host/machines/announcement.js';
import { isClaimed } from './host/machines/claim.js';
import { guardedUntil } from './host/machines/contest.js';
import {
  atEase,
  discard,
  probeHeld,
  scheduleKeepalive,
  stuckRouteDue,
  transition,
  withdraw,
} from './host/coordinator.js';
import { overlaps } from './host/keepalive-interval.js';
import { lastSignOf, quietMs } from './host/siblings.js';
import { hasLeft } from './host/departure.js';
import type { Host } from './host/host.js';
import { PROOF_IDLE } from './host/machines/proof.js';
import { bind, isSuppressed, startProofUnlessSuppressed } from './host/proving.js';
import { onTimeout } from './input/answers.js';
import { reprobeAt } from './host/machines/recovery.js';
import { detachOver } from './input/commands.js';
import { runDiscovery } from './input/discovery.js';
import { runHomePrefixes } from './nd/home-prefix.js';
import { runMulticastRouter } from './nd/multicast-router.js';
import { runLateStandby } from './routers/late-standby.js';
import { claimFresh } from './input/reannouncement.js';
import { runTakeover, takeOver } from './routers/role-changes.js';
import { reprobe } from './input/links.js';
import { runLookups } from './presence/address-lookup.js';
import { learnLate } from './input/sightings.js';
import { awayLost, checkDespiteRemote, proofEnded } from './input/remote-claims.js';
import { runLanQueries } from './neighbour/responder.js';
import { runOtherRouters } from './routers/other-routers.js';
import { type Probe, restart, sendTry } from './probe/probe.js';
import type { IfIndex } from './events.js';

/** Hosts that are looked at in one go, some milliseconds of work: thousands may be due at once after a burst. */
const HOSTS_PER_TICK = 128;

/** Everything that is due, or the first part of it: then the next deadline is already past. */
export function runDueTimers(ctx: TrackerContext): void {
  for (const { ip, place, cause } of runLookups(ctx)) {
    if (ctx.topology.rule(place.iface) === undefined) continue;
    if (learningRefusal(ctx, place.iface, ip, place.mac) !== undefined) continue;
    const host = ctx.table.get(ip) ?? ctx.create(ip);
    if (host.isHeldAt(place.iface, place.mac)) continue;
    // Found elsewhere while it was looked up: that place is asked as well.
    if (host.held) startProofUnlessSuppressed(ctx, host, place, cause);
    else if (!isSuppressed(ctx, host, place)) bind(ctx, host, place, cause);
  }
  runLanQueries(ctx);
  runDiscovery(ctx);
  runMulticastRouter(ctx);
  runHomePrefixes(ctx);
  runLateStandby(ctx);
  runTakeover(ctx);
  for (const { iface, mac, otherAddress } of runOtherRouters(ctx))
    if (otherAddress !== undefined) learnLate(ctx, iface, otherAddress, mac);
  for (let left = HOSTS_PER_TICK; left > 0; left--) {
    const host = ctx.deadlines.takeDue(ctx.now);
    if (host === undefined) return;
    runDue(ctx, host);
  }
}

/** What of one host is due. Each step looks again: the one before may have changed the state. */
function runDue(ctx: TrackerContext, host: Host): void {
  const { now } = ctx;
  if (host.stepClaim({ input: 'due' }, now) === 'withdrawable') withdrawPending(ctx, host);
  releaseAnswers(ctx, host, { input: 'due' });
  for (const probe of openProbes(host)) if (probe.nextAt <= now) advanceProbe(ctx, host, probe);
  if (host.stepClaim({ input: 'due' }, now) === 'ages') age(ctx, host);
  stuckRouteDue(ctx, host);
  if (keepaliveIsDue(host, now)) keepAlive(ctx, host);
  announce(ctx, host);
  if (reprobeAt(host.recovery) <= now) reprobe(ctx, host);
  if (host.recovery.detached !== undefined && host.recovery.detached.until <= now) detachOver(ctx, host);
  followDeferred(ctx, host);
  if (host.stepClaim({ input: 'due' }, now) === 'ends') endState(ctx, host);
  if (host.state !== 'unknown' || host.proof.deferred.length > 0) ctx.touch(host);
}

function openProbes({ candidates, currentProbe, oldProbes }: Host): Probe[] {
  const open = candidates.map(({ probe }) => probe);
  if (currentProbe !== undefined) open.push(currentProbe);
  return [...open, ...oldProbes];
}

function withdrawPending(ctx: TrackerContext, host: Host): void {
  const { claim } = host;
  if (isClaimed(claim)) withdraw(ctx, host, claim.withdrawal?.cause ?? claim.cause);
}

function advanceProbe(ctx: TrackerContext, host: Host, probe: Probe): void {
  if (!openProbes(host).includes(probe)) return;
  const candidate = host.candidates.find((one) => one.probe === probe);
  if (probe.sent >= probe.tries.length) {
    if (mayHaveAnswered(ctx, host, probe)) return restart(ctx, host.ip, probe);
    onTimeout(ctx, host, probe);
    return candidate === undefined ? undefined : proofEnded(ctx, host.ip);
  }
  sendTry(ctx, host.ip, probe);
  if (probe.sent > 1 && candidate?.repeated === false) {
    ctx.unanswered.repeated(candidate);
    host.stepProof({ input: 'repeated', candidate });
  }
}

/** A known host was asked and may have answered while we stood still. Newcomers without number are not asked again. */
function mayHaveAnswered({ missed }: TrackerContext, host: Host, probe: Probe): boolean {
  return host.attachment !== undefined && missed.everywhereAt >= probe.firstSentAt;
}

/** fresh becomes settled; settled for as long again, and unopposed, it is the incumbent, or dropped when at home. */
function age(ctx: TrackerContext, host: Host): void {
  const { claim } = host;
  if (claim.state === 'home') return atEase(ctx, host);
  const remote = ctx.fib.remote(host.ip);
  if (claim.state === 'beneath')
    return remote === undefined ? claimFresh(ctx, host, 'unannounced') : takeOver(ctx, host);
  const ageAt = ctx.now + ctx.policy.timers.settleMs;
  if (claim.state === 'fresh') {
    transition(ctx, host, { input: 'age', ageAt });
    if (host.currentProbe === undefined) scheduleKeepalive(ctx, host);
    if (remote !== undefined) checkDespiteRemote(ctx, host);
    return;
  }
  if (claim.state !== 'settled') return;
  if (remote !== undefined || host.currentProbe?.purpose === 'remote-claim') {
    host.stepClaim({ input: 'age-later', ageAt }, ctx.now);
    if (remote !== undefined && claim.role === 'challenger') checkDespiteRemote(ctx, host);
    return;
  }
  host.stepClaim({ input: 'unopposed' }, ctx.now);
  if (!claim.homecoming) return;
  const until = guardedUntil(host.contest);
  if (ctx.now < until) host.stepClaim({ input: 'age-later', ageAt: until }, ctx.now);
  else transition(ctx, host, { input: 'returned' });
}

function keepaliveIsDue({ keepalive }: Host, now: number): boolean {
  return keepalive.kind !== 'off' && keepalive.at <= now;
}

function keepAlive(ctx: TrackerContext, host: Host): void {
  const { attachment } = host;
  const rule = attachment && ctx.topology.rule(attachment.iface);
  const outcome = host.stepKeepalive(
    {
      input: 'due',
      claimed: host.claimed && rule !== undefined,
      lastHeard: host.lastHeard,
      vouchedAt: lastSignOf(ctx, host),
      quietMs: quietMs(ctx, host),
      keepaliveMs: rule?.keepaliveMs ?? 0,
      holdMs: rule?.holdMs ?? 0,
      missedAt: attachment === undefined ? 0 : ctx.missed.lastOn(attachment.iface),
      listening: attachment !== undefined && canAsk(ctx, attachment.iface, host.ip),
    },
    ctx.now,
  );
  if (outcome === 'hold-expired') return withdraw(ctx, host, 'hold-expired');
  if (outcome !== 'ask' || attachment === undefined || rule === undefined) return;
  if (probeHeld(ctx, host, overlaps(host) ? 'overlap' : 'keepalive', attachment)) return;
  host.stepKeepalive({ input: 'schedule', afterMs: MOST_WAIT_MS }, ctx.now);
}

/** Whether an answer would be heard, and there is an address to ask from. */
function canAsk(ctx: TrackerContext, iface: IfIndex, ip: Ip): boolean {
  return ctx.topology.isListening(iface) && probeSource(ctx, iface, ip) !== undefined;
}

/** Tells the LANs that the host left that it is at our MAC (RFC 5944 section 4.6). */
function announce(ctx: TrackerContext, host: Host): void {
  const { announcement } = host;
  if (announcementDeadline(announcement) > ctx.now || announcement.kind !== 'sending') return;
  const isTold = (iface: IfIndex) => hasLeft(ctx, host, iface) && ctx.topology.isUsable(iface);
  const due = lansToTell(announcement, ctx.now);
  const wanted = announcement.lans.some(({ iface }) => isTold(iface));
  if (host.stepAnnouncement({ input: 'due', wanted }, ctx.now) !== 'send') return;
  for (const iface of due) if (isTold(iface)) sendAnnouncement(ctx, iface, host.ip);
}

/** Places whose turn has come. */
function followDeferred(ctx: TrackerContext, host: Host): void {
  const due = host.proof.deferred.filter(({ at }) => at <= ctx.now);
  if (due.length > 0) host.stepProof({ input: 'take-deferred', due: ctx.now });
  for (const { attachment } of due) {
    if (host.isHeldAt(attachment.iface, attachment.mac)) continue;
    const { iface, mac } = attachment;
    const newcomer = host.state === 'unknown';
    if (newcomer && !mayStillAsk(ctx, iface)) ctx.drop('newcomer-budget', iface, host.ip, mac);
    else if (ctx.topology.isListening(iface)) {
      startProofUnlessSuppressed(ctx, host, attachment, 'probe-hint');
      continue;
    }
    if (newcomer && host.proof === PROOF_IDLE) return discard(ctx, host);
  }
}

function endState(ctx: TrackerContext, host: Host): void {
  if (host.state === 'away') awayLost(ctx, host);
  else transition(ctx, host, { input: 'forget', cause: 'forgotten' });
}
