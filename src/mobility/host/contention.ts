import type { TrackerContext } from '../context.js';
import type { Attachment, Cause, DropReason } from '../events.js';
import { frozenUntilOf, suppressionOf } from './contest.js';
import {
  announceDeparture,
  freshUntil,
  probeHeld,
  scheduleKeepalive,
  setCandidate,
  transition,
  withdraw,
} from './coordinator.js';
import type { Host } from './host.js';
import { REPAIR_MS } from './stuck-route.js';

/** Two hosts with one address, or one host at two places: who keeps it (design.md 3.3, RFC 7432 section 15.1). */

/** Longer than the other router's propagation and time-out, and over before the incumbent's re-claim ages. */
const RETRY_FRESH_MS = 150;
/**
 * When a host has just come home and our claim is dropped, the router that it came from may repair a stuck route: a
 * claim of its own for a moment, there and on the way, which is no contest.
 */
const HOMECOMING_MS = 1000;
const REPAIR_OVER_MS = 2 * REPAIR_MS;

const FINAL: ReadonlySet<Cause> = new Set(['not-allowed', 'clear', 'detach']);

/** Why evidence from this attachment is suppressed now. */
export function suppressionReason(ctx: TrackerContext, host: Host, at: Attachment): DropReason | undefined {
  // Nobody has the address any more: whoever is there may have it.
  const vacant = !host.held && ctx.fib.remote(host.ip) === undefined;
  return suppressionOf(host.contest, at, host.attachment, vacant, ctx.now);
}

/** Counts a contested move. */
function recordContest(
  ctx: TrackerContext,
  host: Host,
  challenger: Attachment | undefined,
  { suppress, mayFreeze }: { suppress: boolean; mayFreeze: boolean },
): 'frozen' | undefined {
  const freezeMs = mayFreeze ? ctx.policy.timers.freezeMs : undefined;
  return host.stepContest({ input: 'contested', challenger, suppress, freezeMs }, ctx.now);
}

function alarmFrozen(
  ctx: TrackerContext,
  host: Host,
  incumbent: Attachment,
  other: Attachment | 'remote',
): void {
  const what = { ip: host.ip, place: incumbent, other };
  ctx.alarm('frozen', 'the address was contested too often: frozen where it was', what);
}

/** Two interfaces of this box: the attachment that held the host keeps it, the other has to wait. */
export function contestHere(
  ctx: TrackerContext,
  host: Host,
  incumbent: Attachment,
  challenger: Attachment,
): void {
  const heldByIncumbent = host.isHeldAt(incumbent.iface, incumbent.mac);
  if (incumbent.mac === challenger.mac) {
    // One host that was here and there within a round trip. Its last frame counts; no contest with itself.
    setCandidate(ctx, host, undefined);
    if (!heldByIncumbent) reclaim(ctx, host, incumbent);
    return ctx.touch(host);
  }
  const outcome = recordContest(ctx, host, challenger, { suppress: true, mayFreeze: true });
  ctx.alarm('duplicate', 'two living hosts use one address; the one that was first keeps it', {
    ip: host.ip,
    place: incumbent,
    other: challenger,
  });
  if (outcome === 'frozen') alarmFrozen(ctx, host, incumbent, challenger);
  setCandidate(ctx, host, undefined);
  host.heard(ctx.now);
  const frozen = ctx.now < frozenUntilOf(host.contest);
  if (!heldByIncumbent || (frozen && host.claimed)) reclaim(ctx, host, incumbent);
  else ctx.touch(host);
}

/**
 * Another router claims the host and yet it answers here. Whoever held it first keeps it: the incumbent re-claims
 * fresh, the challenger withdraws and tries again later.
 */
export function heldDespiteRemote(ctx: TrackerContext, host: Host, at: Attachment): void {
  const { claim } = host;
  const { remoteAppearedAt = Number.NEGATIVE_INFINITY, releasedAt = Number.NEGATIVE_INFINITY } = claim;
  const repairOverMs = remoteAppearedAt + REPAIR_OVER_MS - ctx.now;
  const justHome = claim.state === 'home' && remoteAppearedAt - releasedAt < HOMECOMING_MS;
  if (justHome && repairOverMs > 0) {
    // The claim that is still there then is meant.
    probeHeld(ctx, host, 'remote-claim', at, repairOverMs);
    return ctx.touch(host);
  }
  const isClaim = claim.state === 'fresh' || claim.state === 'settled';
  // What policy, an operator or a hypervisor has ended, an answer within the 20 ms does not bring back.
  if (isClaim && claim.withdrawal !== undefined && FINAL.has(claim.withdrawal.cause)) return ctx.touch(host);
  if (isClaim && claim.role === 'challenger') {
    return claim.retryUsed ? yieldToIncumbent(ctx, host, at) : retryFresh(ctx, host);
  }
  const outcome = recordContest(ctx, host, undefined, { suppress: false, mayFreeze: true });
  alarmDuplicate(ctx, host, at, 'another router claims a host that is alive here');
  if (outcome === 'frozen') alarmFrozen(ctx, host, at, 'remote');
  setCandidate(ctx, host, undefined);
  reclaim(ctx, host, at);
}

/**
 * The other router may just be finding out that the host has left it, and two settled claims would hide each other in
 * turn meanwhile. So the challenger claims fresh once more, just long enough for that; only a claim that stays then is
 * a contest.
 */
function retryFresh(ctx: TrackerContext, host: Host): void {
  const ageAt = ctx.now + Math.min(RETRY_FRESH_MS, 0.6 * ctx.policy.timers.settleMs);
  transition(ctx, host, { input: 'retry-fresh', ageAt });
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}

/** The incumbent stays: the challenger withdraws, and tries again later. */
function yieldToIncumbent(ctx: TrackerContext, host: Host, at: Attachment): void {
  recordContest(ctx, host, at, { suppress: true, mayFreeze: false });
  alarmDuplicate(ctx, host, at, 'another router has this host and it is alive there');
  withdraw(ctx, host, 'duplicate');
}

function alarmDuplicate(ctx: TrackerContext, host: Host, place: Attachment, message: string): void {
  ctx.alarm('duplicate', message, { ip: host.ip, place, other: 'remote' });
}

/** Claims the host fresh for the incumbent; also when it was only said, never proven, to be elsewhere. */
export function reclaim(ctx: TrackerContext, host: Host, at: Attachment): void {
  const rule = ctx.topology.rule(at.iface);
  if (rule === undefined) throw new Error('a host answered on an interface that is no mobility interface');
  const homecoming = rule.learn === 'foreign' && ctx.topology.isHome(at.iface, host.ip);
  transition(ctx, host, { input: 'reclaim', ageAt: freshUntil(ctx, host, true), homecoming }, at);
  host.heard(ctx.now);
  host.stepKeepalive({ input: 'close' }, ctx.now);
  host.stepProof({ input: 'old-closed' });
  host.stepAnnouncement({ input: 'cancel' }, ctx.now);
  announceDeparture(ctx, host);
  scheduleKeepalive(ctx, host);
  ctx.touch(host);
}
