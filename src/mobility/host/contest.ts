import { ask } from '../probe.js';
import { type TrackerContext, GHOST_REPAIR_MS } from '../context.js';
import type { DropReason, Attachment } from '../events.js';
import type { Contest, Host } from './host.js';

/** RFC 7432 section 15.1: N = 5 moves within M = 180 s. */
const CONTEST_WINDOW_MS = 180_000;
const CONTEST_LIMIT = 5;
const RETRY_MS = 10_000;
/** Longer than the other router's propagation and verdict, and over before the incumbent's re-claim ages. */
const INSIST_MS = 150;
const RETRY_MAX_MS = 540_000;
/**
 * When a host has just come home and our claim is dropped, the router that it came from may repair a ghost blindly
 * (TrackerContext.suspectGhost): a claim of its own for a moment, there and on the way, which is no dispute.
 */
const HOMECOMING_MS = 1000;
const REPAIR_OVER_MS = 2 * GHOST_REPAIR_MS;

/** Why evidence from this place is not listened to now. */
export function suppressionReason(
  ctx: TrackerContext,
  host: Host,
  place: Attachment,
): DropReason | undefined {
  const { contest } = host;
  // Nobody has the address any more: whoever lives may have it.
  const vacant = !host.held && ctx.fib.remote(host.ip) === undefined;
  if (contest === undefined || vacant) return undefined;
  if (ctx.now < contest.frozenUntil) return host.isAt(place.iface, place.mac) ? undefined : 'frozen';
  if (contest.retryAt === undefined || ctx.now >= contest.retryAt) return undefined;
  const { challenger } = contest;
  return challenger?.iface === place.iface && challenger.mac === place.mac ? 'contested' : undefined;
}

/** Counts a contested move. Returns the dispute as it now stands. */
function dispute(ctx: TrackerContext, host: Host, challenger: Attachment | undefined): Contest {
  const old = host.contest;
  const times = (old?.times ?? []).filter((time) => ctx.now - time < CONTEST_WINDOW_MS);
  times.push(ctx.now);
  const last = old?.times.at(-1);
  const refusals = last !== undefined && ctx.now - last < RETRY_MAX_MS ? (old?.refusals ?? 0) : 0;
  const contest: Contest = {
    times,
    refusals: refusals + 1,
    challenger,
    retryAt: ctx.now + Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** refusals),
    frozenUntil: old?.frozenUntil ?? 0,
  };
  host.contest = contest;
  return contest;
}

function freezeIfRepeated(ctx: TrackerContext, host: Host, contest: Contest, incumbent: Attachment): void {
  if (contest.times.length < CONTEST_LIMIT || ctx.now < contest.frozenUntil) return;
  contest.frozenUntil = ctx.now + ctx.policy.timers.freezeMs;
  ctx.alarm('frozen', 'the address was contested too often: frozen where it was', {
    ip: host.ip,
    place: incumbent,
    other: contest.challenger ?? 'remote',
  });
}

/** Two interfaces of this box: the place that held the host keeps it, the other has to wait. */
export function contestHere(
  ctx: TrackerContext,
  host: Host,
  incumbent: Attachment,
  challenger: Attachment,
): void {
  if (incumbent.mac === challenger.mac) {
    // One host that was here and there within a round trip. Its last word counts; no dispute with itself.
    ctx.setCandidate(host, undefined);
    if (!(host.held && host.isAt(incumbent.iface, incumbent.mac))) reclaim(ctx, host, incumbent);
    return ctx.touch(host);
  }
  const contest = dispute(ctx, host, challenger);
  ctx.alarm('duplicate', 'two living hosts use one address; the one that was first keeps it', {
    ip: host.ip,
    place: incumbent,
    other: challenger,
  });
  freezeIfRepeated(ctx, host, contest, incumbent);
  ctx.setCandidate(host, undefined);
  host.lastHeard = ctx.now;
  if (!(host.held && host.isAt(incumbent.iface, incumbent.mac))) reclaim(ctx, host, incumbent);
  else if (ctx.now < contest.frozenUntil && host.claimed) reclaim(ctx, host, incumbent);
  else ctx.touch(host);
}

/**
 * Another router claims the host and yet it answers here. Whoever held it first keeps it: the incumbent re-claims
 * fresh, the newcomer withdraws and tries again later.
 */
export function heldDespiteRemote(ctx: TrackerContext, host: Host, place: Attachment): void {
  const { remoteAppearedAt = Number.NEGATIVE_INFINITY, releasedAt = Number.NEGATIVE_INFINITY } = host;
  const repairOverMs = remoteAppearedAt + REPAIR_OVER_MS - ctx.now;
  const justHome = host.state === 'home' && remoteAppearedAt - releasedAt < HOMECOMING_MS;
  if (justHome && repairOverMs > 0) {
    // The claim that is still there then is meant.
    host.check = ask(ctx, host, 'remote-claim', place, repairOverMs);
    return ctx.touch(host);
  }
  const yields = host.claimed && host.role === 'challenger';
  if (yields) return host.insisted ? giveWay(ctx, host, place) : insist(ctx, host);
  const contest = dispute(ctx, host, undefined);
  alarmDuplicate(ctx, host, place, 'another router claims a host that is alive here');
  contest.retryAt = undefined;
  freezeIfRepeated(ctx, host, contest, place);
  ctx.setCandidate(host, undefined);
  reclaim(ctx, host, place);
}

/**
 * The other router may just be finding out that the host has left it, and two settled claims would hide each other in
 * turn meanwhile. So the newcomer is claimed fresh once more, just long enough for that; only a claim that stays then
 * is a dispute.
 */
function insist(ctx: TrackerContext, host: Host): void {
  ctx.enter(host, 'fresh', 'contested');
  host.insisted = true;
  host.displaced = true;
  host.ageAt = ctx.now + Math.min(INSIST_MS, 0.6 * ctx.policy.timers.settleMs);
  ctx.scheduleKeepalive(host);
  ctx.touch(host);
}

/** The incumbent stays: the newcomer withdraws, and tries again later. */
function giveWay(ctx: TrackerContext, host: Host, place: Attachment): void {
  dispute(ctx, host, place);
  alarmDuplicate(ctx, host, place, 'another router has this host and it is alive there');
  ctx.withdraw(host, 'duplicate');
}

function alarmDuplicate(ctx: TrackerContext, host: Host, place: Attachment, message: string): void {
  ctx.alarm('duplicate', message, { ip: host.ip, place, other: 'remote' });
}

/** Claims the host fresh for the incumbent's place; also when it was only said, never proven, to be elsewhere. */
export function reclaim(ctx: TrackerContext, host: Host, place: Attachment): void {
  const rule = ctx.topology.rule(place.iface);
  if (rule === undefined) throw new Error('a host answered on an interface that is no mobility interface');
  ctx.enter(host, 'fresh', 'contested', place);
  host.role = 'incumbent';
  host.displaced = true;
  host.returning = rule.learn === 'foreign' && ctx.topology.isHome(place.iface, host.ip);
  host.lastHeard = ctx.now;
  host.check = undefined;
  host.previous = undefined;
  host.announce = undefined;
  ctx.announceAway(host);
  ctx.scheduleKeepalive(host);
  ctx.touch(host);
}

/** Whether a dispute is recent enough to keep a claim that would otherwise be dropped. */
export function disputedUntil(host: Host): number {
  const last = host.contest?.times.at(-1);
  return last === undefined ? Number.NEGATIVE_INFINITY : last + CONTEST_WINDOW_MS;
}
