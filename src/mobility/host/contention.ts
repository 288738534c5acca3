import { type Ip, familyOf } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause, DropReason, IfIndex } from '../events.js';
import { type Claim, type Role, isAnnounced, isClaimed } from './machines/claim.js';
import { dampedUntil, frozenUntilOf, retryAtOf } from './machines/contest.js';
import { closeCandidates, probeHeld, scheduleKeepalive, transition, withdraw } from './coordinator.js';
import { isGuarded } from './keepalive-interval.js';
import { announceDeparture } from './departure.js';
import type { Host } from './host.js';
import { NEVER } from './machines/machine.js';
import { EARLY_RELEASE_MS, REPAIR_MS } from './machines/stuck-route.js';

/** Two hosts with one address, or one host at two places: who keeps it (design.md 3.3, RFC 7432 section 15.1). */

/** Longer than the other router's propagation and time-out, and over before the incumbent's re-claim ages. */
const RETRY_FRESH_MS = 150;
/**
 * When a host has just come home and our claim is dropped, the router that it came from may repair a stuck route: a
 * claim of its own for a moment, there and on the way, which is no contest.
 */
const HOMECOMING_MS = 1000;
const REPAIR_OVER_MS = 2 * REPAIR_MS;
/** Until the kernel and the routing daemon show what a fresh claim has hidden. */
const JUST_AGED_MS = 50;
/** An address that another router claims, or claimed so lately, is frozen nowhere here. */
const REMOTE_LATELY_MS = 180_000;

/** A remote claim that is back this soon after we claimed a living host anew is no passing one. */
const CONTEST_MS = 10_000;
/** An active router that left a living host to the claim of another one claims it again. */
const REASSERT_MS = 30_000;

const FINAL: ReadonlySet<Cause> = new Set(['not-allowed', 'clear', 'detach']);

/** Why evidence from places where the host is not held has to wait, and until when. */
export function suppressionOf(
  ctx: TrackerContext,
  host: Host,
): { readonly reason: DropReason; readonly until: number } | undefined {
  const { contest } = host;
  if (contest.kind === 'none') return undefined;
  if (host.held) {
    const until = dampedUntil(contest);
    const reason = ctx.now < frozenUntilOf(contest) ? 'frozen' : 'contested';
    return isGuarded(ctx, host) && ctx.now < until ? { reason, until } : undefined;
  }
  const until = retryAtOf(contest);
  return ctx.now < until && ctx.fib.remote(host.ip) !== undefined
    ? { reason: 'contested', until }
    : undefined;
}

/**
 * Two places of this box where a host answers: the one where it was first keeps it. Places are compared, not MACs:
 * a clone has the MAC of its victim.
 */
export function contestHere(
  ctx: TrackerContext,
  host: Host,
  incumbent: Attachment,
  challenger: Attachment,
): void {
  const isRemote = ctx.now - ctx.remoteAppearedAt(host) < REMOTE_LATELY_MS;
  const mayFreeze = !isRemote && ctx.fib.remote(host.ip) === undefined;
  const freezeMs = mayFreeze ? ctx.policy.timers.freezeMs : undefined;
  const outcome = host.stepContest({ input: 'contested', challenger, freezeMs }, ctx.now);
  const what = { ip: host.ip, place: incumbent, other: challenger };
  ctx.alarm('duplicate', 'two living hosts use one address; the one that was first keeps it', what);
  if (outcome === 'frozen')
    ctx.alarm('frozen', 'the address was contested too often: frozen where it was', what);
  keepAt(ctx, host, incumbent, 'contested');
}

/** The host is at its old place after all: it went back at once, or a clone of it was elsewhere. */
export function returnTo(ctx: TrackerContext, host: Host, old: Attachment, challenger: Attachment): void {
  host.stepContest({ input: 'returned', challenger }, ctx.now);
  keepAt(ctx, host, old, 'moved');
}

function keepAt(ctx: TrackerContext, host: Host, incumbent: Attachment, cause: Cause): void {
  closeCandidates(ctx, host);
  host.heard(ctx.now);
  if (!host.isHeldAt(incumbent.iface, incumbent.mac)) return reclaim(ctx, host, incumbent, cause);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}

/**
 * Another router claims the host and yet it answers here. Whoever held it first keeps it: the incumbent re-claims
 * fresh, the challenger withdraws and tries again later.
 */
export function heldDespiteRemote(ctx: TrackerContext, host: Host, at: Attachment): void {
  const { claim } = host;
  const { remoteAppearedAt = Number.NEGATIVE_INFINITY, releasedAt = Number.NEGATIVE_INFINITY } = claim;
  const isClaim = claim.state === 'fresh' || claim.state === 'settled';
  const isFinal = isClaimed(claim) && claim.withdrawal !== undefined && FINAL.has(claim.withdrawal.cause);
  if (!isFinal && concedes(ctx, at.iface, host.ip)) return standBy(ctx, host);
  const repairOverMs = remoteAppearedAt + REPAIR_OVER_MS - ctx.now;
  const justHome = claim.state === 'home' && remoteAppearedAt - releasedAt < HOMECOMING_MS;
  // As long as our claim was fresh it hid a stuck route of a router that the host had left a moment before.
  const justAged = isClaim && claim.role === 'incumbent' && claim.state === 'settled' && hidRemote(claim);
  if ((justHome || justAged) && repairOverMs > 0) {
    // The claim that is still there then is meant.
    probeHeld(ctx, host, 'remote-claim', at, repairOverMs);
    return ctx.touch(host);
  }
  // What policy, an operator or a hypervisor has ended, an answer within the 20 ms does not bring back.
  if (isFinal) return ctx.touch(host);
  if (isClaim && claim.role === 'challenger') {
    if (claim.retryFrom === Number.POSITIVE_INFINITY) return yieldToIncumbent(ctx, host, at);
    if (ctx.now >= claim.retryFrom) return retryFresh(ctx, host);
    // Settled, it hides nothing. The other claim may be one that has not heard of ours while it was fresh.
    host.stepClaim({ input: 'age-later', ageAt: claim.retryFrom }, ctx.now);
    return ctx.touch(host);
  }
  if (ctx.topology.isShared(at.iface)) return objectOnSharedLan(ctx, host, at);
  host.stepContest({ input: 'contested', challenger: undefined, freezeMs: undefined }, ctx.now);
  alarmDuplicate(ctx, host, at, 'another router claims a host that is alive here');
  closeCandidates(ctx, host);
  reclaim(ctx, host, at, 'contested', { role: 'incumbent' });
}

/**
 * Whether a host that is alive here is left to the claim of another router all the same: on a LAN where that one is the
 * active router, or where a second router is that nobody has told us of. They cannot both be right, and both can reach it.
 */
export function concedes(ctx: TrackerContext, iface: IfIndex, ip: Ip): boolean {
  if (!ctx.topology.roles.contests(iface, ip)) return true;
  return !ctx.topology.isShared(iface) && ctx.otherRouters.hasPresent(iface, familyOf(ip));
}

/**
 * Another router of this LAN may have become active for a moment and claimed all that is here, so the first time is no
 * contest, and nobody hears of it. A challenger elsewhere gives way after that. A claim that is back soon is one of a
 * router that is active on this LAN, too: both reach the host, so one claim is as good as the other.
 */
function objectOnSharedLan(ctx: TrackerContext, host: Host, at: Attachment): void {
  const { claim } = host;
  const objectedAt = isClaimed(claim) ? claim.objectedAt : undefined;
  if (objectedAt === undefined || ctx.now - objectedAt > CONTEST_MS) {
    closeCandidates(ctx, host);
    return reclaim(ctx, host, at, 'contested', { role: 'incumbent', objectedAt: ctx.now });
  }
  ctx.alarm(
    'two-speakers',
    'this router is active, and another router goes on claiming hosts that are alive here; is it active on this LAN, too?',
    { ip: host.ip, place: at, other: 'remote' },
  );
  standBy(ctx, host, ctx.now + REASSERT_MS);
}

/** Ours goes beneath the claim of the other router, and surfaces when that one is gone. `ageAt`: claimed fresh then. */
export function standBy(ctx: TrackerContext, host: Host, ageAt = NEVER): void {
  const { claim } = host;
  // At home it needs no claim: the route of its subnet is there on all routers.
  if (isClaimed(claim) && claim.homecoming) {
    const isEarly = ctx.now - ctx.remoteAppearedAt(host) < EARLY_RELEASE_MS;
    if (isEarly && host.attachment !== undefined)
      probeHeld(ctx, host, 'remote-claim', host.attachment, EARLY_RELEASE_MS);
    else if (claim.state === 'settled') transition(ctx, host, { input: 'returned' });
  } else if (isClaimed(claim) && !(claim.state === 'beneath' && claim.installed))
    transition(ctx, host, { input: 'stand-by', cause: 'remote-claim', ageAt, installed: true });
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}

/** Whether the remote claim was there before ours aged. */
export function hidRemote({ state, cause, since, remoteAppearedAt }: Claim): boolean {
  if (state === 'fresh') return true;
  return state === 'settled' && cause === 'aged' && (remoteAppearedAt ?? 0) - since < JUST_AGED_MS;
}

/**
 * The other router may just be finding out that the host has left it, and two settled claims would hide each other in
 * turn meanwhile. So the challenger claims fresh once more, just long enough for that; only a claim that stays then is
 * a contest.
 */
function retryFresh(ctx: TrackerContext, host: Host): void {
  transition(ctx, host, { input: 'retry-fresh', ageAt: ctx.now + shortFreshMs(ctx) });
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}

/** How long a claim is fresh that only asks whether the other router still has the host. */
export function shortFreshMs(ctx: TrackerContext): number {
  return Math.min(RETRY_FRESH_MS, 0.6 * ctx.policy.timers.settleMs);
}

/** The incumbent stays: the challenger withdraws, and tries again later, whoever speaks here until then. */
function yieldToIncumbent(ctx: TrackerContext, host: Host, at: Attachment): void {
  host.stepContest({ input: 'refused', challenger: at }, ctx.now);
  alarmDuplicate(ctx, host, at, 'another router has this host and it is alive there');
  withdraw(ctx, host, 'duplicate');
  host.stepProof({ input: 'defer', attachment: at, at: retryAtOf(host.contest) });
  ctx.touch(host);
}

function alarmDuplicate(ctx: TrackerContext, host: Host, place: Attachment, message: string): void {
  ctx.alarm('duplicate', message, { ip: host.ip, place, other: 'remote' });
}

/**
 * Claims the host for the incumbent; also when it was only said, never proven, to be elsewhere. `role`: among the
 * routers; the home router is always the incumbent.
 */
export function reclaim(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
  { role, objectedAt }: { readonly role?: Role; readonly objectedAt?: number } = {},
): void {
  const rule = ctx.topology.rule(at.iface);
  if (rule === undefined) throw new Error('a host answered on an interface that is no mobility interface');
  // A subnet on several LANs (RFC 7814) has several home routers, so none of them has a right to its hosts.
  const isHome = rule.learn === 'foreign' && ctx.topology.subnets.isHome(at.iface, host.ip);
  if (!ctx.topology.roles.contests(at.iface, host.ip) && !isAnnounced(host.claim)) {
    recordStandby(ctx, host, at, cause, isHome);
    return;
  }
  const before = host.held && 'role' in host.claim && !isHome ? host.claim.role : 'incumbent';
  const reclaimed = {
    input: 'reclaim',
    cause,
    // The challenger must have seen it, aged and withdrawn before it ages.
    ageAt: ctx.now + (cause === 'contested' ? 2 : 1) * ctx.policy.timers.settleMs,
    homecoming: isHome,
    role: role ?? before,
    ...(objectedAt === undefined ? {} : { objectedAt }),
  } as const;
  transition(ctx, host, reclaimed, at);
  host.heard(ctx.now);
  host.stepKeepalive({ input: 'close' }, ctx.now);
  host.stepAnnouncement({ input: 'cancel' }, ctx.now);
  announceDeparture(ctx, host);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}

/** A route must not go so soon after a remote claim appeared (EARLY_RELEASE_MS): the host is asked there once more then. */
export function defersRelease(ctx: TrackerContext, host: Host, at: Attachment): boolean {
  const over = ctx.remoteAppearedAt(host) + EARLY_RELEASE_MS;
  if (!host.claimed || ctx.now >= over) return false;
  host.stepProof({ input: 'defer', attachment: at, at: over });
  ctx.touch(host);
  return true;
}

/** On a LAN where another router is active: it is here, and that one is to claim it, or has it at home as we do. */
export function recordStandby(
  ctx: TrackerContext,
  host: Host,
  at: Attachment,
  cause: Cause,
  isHome: boolean,
  heardAt = ctx.now,
): void {
  if (isHome && defersRelease(ctx, host, at)) return;
  const installed = ctx.fib.remote(host.ip) !== undefined;
  const ageAt = installed ? NEVER : ctx.now + ctx.policy.timers.settleMs;
  if (isHome) transition(ctx, host, { input: 'found-at-home', cause }, at, heardAt);
  else transition(ctx, host, { input: 'stand-by', cause, ageAt, installed }, at, heardAt);
  host.heard(ctx.now);
  host.stepKeepalive({ input: 'close' }, ctx.now);
  host.stepAnnouncement({ input: 'cancel' }, ctx.now);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}
