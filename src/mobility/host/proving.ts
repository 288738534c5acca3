import { type Ip, MAC_BROADCAST, familyOf, unspecifiedOf } from '../../wire/addresses.js';
import { alarmMacLimit, hasCapacity, isMacFull, isNewcomer, noteSilence } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause, IfIndex } from '../events.js';
import { answerOpenQuestions, releaseAnswers } from '../neighbour/responder.js';
import { gatewaysToRepair, probeSource, sendRepair } from '../neighbour/send.js';
import {
  PRESENCE_SCHEDULE,
  type Probe,
  type ProbeSchedule,
  endOf,
  oldPlaceTimeoutMs,
  startProbe,
} from '../probe/probe.js';
import { isAnnounced, isYoung } from './machines/claim.js';
import { defersRelease, shortFreshMs, suppressionOf } from './contention.js';
import { isRefused } from './machines/contest.js';
import {
  abandonCandidate,
  closeCandidates,
  discard,
  probeHeld,
  scheduleKeepalive,
  setCandidate,
  transition,
} from './coordinator.js';
import { isGuarded } from './keepalive-interval.js';
import { announceDeparture } from './departure.js';
import type { Host } from './host.js';
import { NEVER } from './machines/machine.js';
import { likelyAt } from './siblings.js';
import { type Candidate, candidateOn, isSame, wasHeard } from './machines/proof.js';

/** Where a host is: a sighting starts a proof, and its outcome (input/answers.ts) binds the host to a place. */

/** Of `settle`: how long a claim is fresh that has no other route to beat. */
const UNOPPOSED = 0.25;

/** As `startProof`, but evidence for an address that was contested has to wait, and is dropped with its reason. */
export function startProofUnlessSuppressed(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
): void {
  if (!isSuppressed(ctx, host, at)) startProof(ctx, host, at, cause);
}

/** Two old places are being asked: another move waits until the first of them is silent. */
export function waitForOwner(ctx: TrackerContext, host: Host, owner: Probe, at: Attachment): void {
  host.stepProof({ input: 'defer', attachment: at, at: endOf(owner) + 1 });
  ctx.touch(host);
}

/** Whether evidence from this place has to wait. Then its interface has a turn when that is over. */
export function isSuppressed(ctx: TrackerContext, host: Host, at: Attachment): boolean {
  const suppression = suppressionOf(ctx, host);
  if (suppression === undefined) return false;
  ctx.drop(suppression.reason, at.iface, host.ip, at.mac);
  host.stepProof({ input: 'defer', attachment: at, at: suppression.until });
  ctx.touch(host);
  return true;
}

interface ProofOptions {
  /** The evidence is its question for this address. */
  readonly asked?: Ip | undefined;
  /** When it is asked, if not as usual. */
  readonly schedule?: ProbeSchedule | undefined;
}

/** What says that a MAC is there is said again and again, for about so long. */
function scheduleOf(cause: Cause): ProbeSchedule | undefined {
  return cause === 'rarp' || cause === 'presence' ? PRESENCE_SCHEDULE : undefined;
}

/**
 * There is evidence of the host at an attachment where we do not hold it. It is asked there and, in parallel, at the
 * one where we do hold it.
 */
export function startProof(
  ctx: TrackerContext,
  host: Host,
  heardAt: Attachment,
  cause: Cause,
  { asked, schedule = scheduleOf(cause) }: ProofOptions = {},
): void {
  const before = candidateOn(host.proof, heardAt.iface);
  const rule = ctx.topology.rule(heardAt.iface);
  if (rule === undefined) return discardUnknown(ctx, host);
  // Only a frame of the host itself is believed before, or without, a proof; our own ideas of where it may be are not.
  const spoke = wasHeard({ cause });
  const isAlive = spoke || cause === 'probe-hint' || cause === 'sibling';
  const { prepared } = host.recovery;
  if (isAlive && prepared !== undefined && isSame(prepared, heardAt)) {
    // Believed, and asked all the same: the probe repairs its gateway entry.
    host.stepKeepalive({ input: 'grace', until: ctx.now + rule.holdMs }, ctx.now);
    return bind(ctx, host, heardAt, 'prepared', { unanswered: startProbe(ctx, host, 'prove', heardAt) });
  }
  const at = rule.prove === 'before' ? placeToAsk(host, before, heardAt) : heardAt;
  const heldSource = holdAnswers(ctx, host, at, asked);
  const firstSourceIp = cause === 'link-up' ? ctx.topology.kernelSource(at.iface, host.ip) : heldSource;
  if (rule.prove === 'never' && spoke) return bind(ctx, host, at, cause);

  const probe = startProbe(ctx, host, 'prove', at, { firstSourceIp, schedule });
  if (probe === undefined) {
    ctx.drop('no-probe-source', at.iface, host.ip, at.mac);
    return discardUnknown(ctx, host);
  }
  // Two MACs that take turns in one address are as silent as one.
  if (before?.repeated === true && before.probe.sent > 1) noteSilence(ctx, before);
  // The first question to an address that is tentative is not expected to be answered.
  const repeated = cause === 'probe-hint' && schedule !== undefined;
  setCandidate(ctx, host, { ...candidateAt(ctx, at, cause, probe), repeated });
  if (host.held) probeHeldPlace(ctx, host);
  if (host.state === 'unknown' || host.state === 'remembered') {
    transition(ctx, host, { input: 'prove', cause });
    const home = homeOf(ctx, host, at);
    if (home !== undefined) probeOld(ctx, host, home);
  }
  if (rule.prove === 'after' && spoke) bind(ctx, host, at, cause, { unanswered: probe });
  else ctx.touch(host);
}

/**
 * Several MACs on one LAN that name one address share one question, which goes to the whole LAN: else forged ones would
 * replace the real one as fast as they come. The MAC that the host had is asked first.
 */
function placeToAsk(host: Host, before: Candidate | undefined, at: Attachment): Attachment {
  const isKnown = host.attachment?.mac === at.mac;
  if (before === undefined || isKnown || !isNewcomer(before) || before.attachment.mac === at.mac) return at;
  return { iface: at.iface, mac: MAC_BROADCAST };
}

/** Asks the place where the host is held, if that is not being done. */
function probeHeldPlace(ctx: TrackerContext, host: Host): void {
  const { attachment, currentProbe } = host;
  if (attachment === undefined || !ctx.topology.isUsable(attachment.iface)) return;
  const asks = currentProbe?.purpose;
  if (asks !== 'old-place' && asks !== 'remote-claim') probeHeld(ctx, host, 'old-place', attachment);
}

/**
 * A visitor that asks has packets waiting, and must not send them before there is a route back: its questions are
 * answered later, and when it asked for its gateway, its proof is asked in a name that tells it nothing. One that did
 * not ask may have a stale entry for its gateway, which the proof repairs at once. Returns the name; undefined: the
 * gateway's.
 */
function holdAnswers(ctx: TrackerContext, host: Host, at: Attachment, asked: Ip | undefined): Ip | undefined {
  if (asked === undefined || ctx.topology.subnets.isHome(at.iface, host.ip)) return undefined;
  if (!ctx.topology.roles.speaks(at.iface, host.ip) || ctx.topology.roles.defers(at.iface, host.ip))
    return undefined;
  const gateway = probeSource(ctx, at.iface, host.ip);
  if (gateway === undefined) return undefined;
  host.stepAnswerHold({ input: 'hold', at }, ctx.now);
  // In the name of each of several gateways it would be asked along with this one.
  if (asked !== gateway && !gatewaysToRepair(ctx, at.iface, host.ip).includes(asked)) return undefined;
  return ctx.topology.outsideSource(at.iface, host.ip, gateway) ?? unspecifiedOf(host.ip);
}

/** A visitor that we know nothing of: its address may have an owner who is alive at home, on another LAN of ours. */
function homeOf(ctx: TrackerContext, host: Host, at: Attachment): Attachment | undefined {
  const home = ctx.topology.subnets.homeInterface(host.ip);
  if (home === undefined || home === at.iface || !ctx.topology.isUsable(home)) return undefined;
  return { iface: home, mac: ctx.neighbours.get(home)?.get(host.ip) ?? MAC_BROADCAST };
}

/** Opens a probe to a place where the host may be instead. */
export function probeOld(ctx: TrackerContext, host: Host, at: Attachment, isConfirmation = false): void {
  const usable = ctx.topology.isUsable(at.iface);
  const probe = usable ? startProbe(ctx, host, 'old-place', at, { isConfirmation }) : undefined;
  if (probe !== undefined) host.stepProof({ input: 'ask-old', probe });
}

export function candidateAt(
  { now }: TrackerContext,
  attachment: Attachment,
  cause: Cause,
  probe: Probe,
): Candidate {
  return {
    attachment,
    cause,
    probe,
    since: now,
    incumbent: undefined,
    answered: undefined,
    repeated: false,
  };
}

function discardUnknown(ctx: TrackerContext, host: Host): void {
  if (ctx.table.get(host.ip) !== host) return;
  if (host.state === 'unknown') discard(ctx, host);
  else if (host.state === 'proving' && !host.asking) abandonCandidate(ctx, host, 'no-answer');
  else ctx.touch(host);
}

interface BindOptions {
  /** The proof still to come when policy claims first and asks later. */
  readonly unanswered?: Probe | undefined;
  /** Another router is to claim it. */
  readonly standsBy?: boolean;
}

/**
 * The host is at this attachment: recorded when that is its home and nobody else has it, claimed otherwise.
 * On a LAN where another router is active it is left to that one.
 */
export function bind(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
  { unanswered, standsBy = isStandby(ctx, host, at.iface) }: BindOptions = {},
): void {
  const { topology, now } = ctx;
  const rule = topology.rule(at.iface);
  if (rule === undefined) throw new Error('a host arrived on an interface that is no mobility interface');
  // Many may be proving themselves at once; only so many are bound.
  if (!hasCapacity(ctx, host, at.iface)) return refuseFull(ctx, host, at, 'host-limit');
  if (isMacFull(ctx, host.ip, at)) return refuseFull(ctx, host, at, 'mac-limit');
  const moved = host.held && !host.isAt(at.iface, at.mac);
  const old = moved ? oldPlaceOf(ctx, host) : undefined;
  const left = host.attachment?.iface;
  const isHome = topology.subnets.isHome(at.iface, host.ip);
  const remote = ctx.fib.remote(host.ip);
  const homecoming = rule.learn === 'foreign' && isHome;
  const since = candidateOn(host.proof, at.iface)?.since ?? now;
  // The address was free: whatever was said of it before counts no more.
  if (!host.held && remote === undefined && isGuarded(ctx, host) && !host.isAt(at.iface, at.mac))
    host.stepContest({ input: 'clear' }, now);
  // A host keeps its MAC when it moves. Another one each time is not news, but a way to look new.
  if (moved && isYoung(host.claim) && host.attachment?.mac !== at.mac)
    host.stepContest({ input: 'contested', challenger: at, freezeMs: undefined }, now);
  closeCandidates(ctx, host);
  const isRecord =
    homecoming &&
    (standsBy ? !isAnnounced(host.claim) : remote === undefined && !host.claimed && host.state !== 'away');
  if (isRecord && defersRelease(ctx, host, at)) return;
  if (isRecord) {
    transition(ctx, host, { input: 'found-at-home', cause }, at, since);
  } else if (standsBy && !homecoming) {
    const installed = remote !== undefined;
    const ageAt = installed ? NEVER : now + ctx.policy.timers.settleMs;
    transition(ctx, host, { input: 'stand-by', cause, ageAt, installed }, at, since);
  } else {
    const overlapsRemote = moved || remote !== undefined;
    const ages = agesOf(ctx, host, at.iface, overlapsRemote);
    transition(ctx, host, { input: 'found', cause, ...ages, homecoming, overlapsRemote }, at, since);
  }
  // Whoever was about to take the address is here: when it leaves again, its neighbours are told at once.
  if (isHome) host.stepAnnouncement({ input: 'arrived-home' }, now);
  host.heard(now);
  host.stepKeepalive(
    unanswered === undefined ? { input: 'close' } : { input: 'probe', probe: unanswered },
    now,
  );
  if (old !== undefined) host.stepProof({ input: 'ask-old', probe: old });
  host.stepAnnouncement({ input: 'seen-on', iface: at.iface }, now);
  scheduleKeepalive(ctx, host);
  announceDeparture(ctx, host, silentAt(host), left);
  if (unanswered === undefined) notifyWaiting(ctx, host);
  answerOpenQuestions(ctx, host.ip);
  ctx.touch(host);
  proveSameMac(ctx, host, at);
}

/** Whether another router is to claim what is found here. What we claim already, and nobody else, stays ours. */
function isStandby(ctx: TrackerContext, host: Host, iface: IfIndex): boolean {
  if (ctx.topology.roles.contests(iface, host.ip)) return false;
  return (
    !isAnnounced(host.claim) || (ctx.fib.remote(host.ip) !== undefined && host.attachment?.iface === iface)
  );
}

/** Too many of them: it is not bound. */
function refuseFull(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  reason: 'host-limit' | 'mac-limit',
): void {
  ctx.drop(reason, at.iface, host.ip, at.mac);
  if (reason === 'mac-limit') alarmMacLimit(ctx, at);
  releaseAnswers(ctx, host, { input: 'refuse' });
  abandonCandidate(ctx, host, 'no-room');
  discardUnknown(ctx, host);
}

/** The probe to the place that the host leaves: it goes on, or is made. */
function oldPlaceOf(ctx: TrackerContext, host: Host): Probe | undefined {
  const { attachment, currentProbe } = host;
  if (currentProbe?.purpose === 'old-place') return currentProbe;
  // It was silent there already.
  if (isGuarded(ctx, host) || attachment === undefined || !ctx.topology.isUsable(attachment.iface))
    return undefined;
  return startProbe(ctx, host, 'old-place', attachment);
}

/** From then on the host is taken to have left its old place: its neighbours there may be told. */
function silentAt(host: Host): number | undefined {
  const probe = host.oldProbes[0];
  return probe && endOf(probe) - probe.timeoutMs + oldPlaceTimeoutMs(host);
}

/**
 * How a new claim ages. Where no other router had the host, there is no route that it must beat: it is settled soon, so
 * that an owner behind another router, who objects, is seen soon. After a refusal it is but a short question.
 */
function agesOf(
  ctx: TrackerContext,
  host: Host,
  iface: IfIndex,
  overlaps: boolean,
): { readonly ageAt: number; readonly retryFrom: number } {
  const { now } = ctx;
  const { settleMs } = ctx.policy.timers;
  if (ctx.fib.remote(host.ip) !== undefined && isRefused(host.contest))
    return { ageAt: now + shortFreshMs(ctx), retryFrom: NEVER };
  const ageAt = now + (overlaps ? settleMs : UNOPPOSED * settleMs);
  return { ageAt: Math.max(ageAt, hiddenUntil(ctx, iface, host.ip)), retryFrom: now + settleMs };
}

/** After a promotion the claims of a router that has died hide settled ones, until the routing daemons know of its death. */
function hiddenUntil({ policy, roles, topology, now }: TrackerContext, iface: IfIndex, ip: Ip): number {
  const hiddenMs = 2 * policy.timers.settleMs;
  if (!topology.isShared(iface)) return 0;
  return (roles.promotedAt(iface, familyOf(ip), hiddenMs, now) ?? Number.NEGATIVE_INFINITY) + hiddenMs;
}

/** All addresses of a guest move together: one proven address gets the others asked at once. */
function proveSameMac(ctx: TrackerContext, host: Host, at: Attachment): void {
  if (ctx.table.countWithMac(at.mac) < 2) return;
  for (const other of likelyAt(ctx, at)) {
    if (other === host || other.asking || other.recovery.detached !== undefined) continue;
    if (suppressionOf(ctx, other) === undefined) startProof(ctx, other, at, 'sibling');
  }
}

/** The neighbour was just heard where it is held: whoever waits for its MAC is told. */
export function notifyWaiting(ctx: TrackerContext, neighbour: Host): void {
  const waiting = ctx.lookups.get(neighbour.ip);
  if (waiting === undefined) return;
  ctx.lookups.delete(neighbour.ip);
  const { attachment } = neighbour;
  if (attachment === undefined || !neighbour.held) return;
  for (const ip of waiting) {
    const host = ctx.table.get(ip);
    if (host?.held !== true || host.attachment?.iface !== attachment.iface) continue;
    sendRepair(ctx, host.attachment, ip, neighbour.ip, attachment.mac);
  }
}

/** Asks a host that was lost whether it is back at its last attachment. Its state stays until it answers. */
export function askAgain(ctx: TrackerContext, host: Host, at: Attachment): void {
  if (host.asking || suppressionOf(ctx, host) !== undefined) return;
  const probe = startProbe(ctx, host, 'ask-again', at);
  if (probe !== undefined) setCandidate(ctx, host, candidateAt(ctx, at, 'link-up', probe));
}
