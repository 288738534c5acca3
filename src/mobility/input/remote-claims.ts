import { startProbe } from '../probe/probe.js';
import { type Ip, MAC_BROADCAST } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { IfIndex, Route } from '../events.js';
import { answerOpenQuestions } from '../neighbour/responder.js';
import { holdsOf } from '../host/machines/announcement.js';
import {
  goAway,
  lost,
  probeHeld,
  remoteClaimAppeared,
  repairStuckRoute,
  scheduleKeepalive,
  setCandidate,
  transition,
  withdraw,
} from '../host/coordinator.js';
import { retryAtOf } from '../host/machines/contest.js';
import { standBy } from '../host/contention.js';
import { askAgain, candidateAt, startProof } from '../host/proving.js';
import { askElsewhere } from '../routers/late-standby.js';
import { reannounce, surfacesLate } from './reannouncement.js';
import type { Host } from '../host/host.js';

/** A route of somebody else came, changed or went. `initial` marks the dump at start: no storm of announcements. */
export function onRoute(ctx: TrackerContext, change: 'add' | 'delete', route: Route, initial: boolean): void {
  const what = ctx.fib.apply(change, route, ctx.now);
  if (what === 'appeared') {
    remoteAppeared(ctx, route.prefix.ip, initial);
    answerOpenQuestions(ctx, route.prefix.ip);
  } else if (what === 'vanished') remoteVanished(ctx, route.prefix.ip);
  else if (what === 'changed') remoteChanged(ctx, route.prefix.ip);
}

/** Another router says that it has the host. If it is ours, by claim or by home, it is asked here (design.md 3.3). */
export function remoteAppeared(ctx: TrackerContext, ip: Ip, initial: boolean): void {
  const host = ctx.table.get(ip);
  if (host !== undefined) remoteClaimAppeared(ctx, host);
  switch (host?.state) {
    case 'settled':
    case 'home':
      return checkDespiteRemote(ctx, host);
    case 'beneath':
      return standBy(ctx, host);
    case 'away':
      return ctx.touch(host);
    case undefined:
    case 'remembered':
      askAtHome(ctx, ip, host, initial);
      return askElsewhere(ctx, ip);
    default:
      // fresh: looked at when it ages. proving: whoever answers first is looked at then.
      return;
  }
}

/** Another router than before claims it: the host may have left the LAN that we share with that one. */
function remoteChanged(ctx: TrackerContext, ip: Ip): void {
  const host = ctx.table.get(ip);
  if (host?.state === 'beneath') checkDespiteRemote(ctx, host);
}

/** No claim hides ours any more, and other routers see it: it had better be true. */
function surface(ctx: TrackerContext, host: Host): void {
  const { attachment } = host;
  if (attachment !== undefined && surfacesLate(ctx, host)) return reannounce(ctx, host, attachment);
  transition(ctx, host, { input: 'surfaced', ageAt: ctx.now + ctx.policy.timers.settleMs });
  if (attachment === undefined) return;
  if (!ctx.topology.isUsable(attachment.iface, host.ip) || !probeHeld(ctx, host, 'took-over', attachment))
    scheduleKeepalive(ctx, host);
}

export function remoteVanished(ctx: TrackerContext, ip: Ip): void {
  const host = ctx.table.get(ip);
  if (host === undefined) return;
  // A routing daemon may delete and add in one change; after `settle` the loss is real.
  host.stepClaim({ input: 'remote-vanished', endsAt: ctx.now + ctx.policy.timers.settleMs }, ctx.now);
  repairStuckRoute(ctx, host);
  if (host.state === 'beneath') surface(ctx, host);
  else if (host.state === 'remembered') {
    askLastPlace(ctx, host);
    host.stepProof({ input: 'expedite-deferred', until: retryAtOf(host.contest), now: ctx.now });
    host.stepContest({ input: 'incumbent-gone' }, ctx.now);
  }
  ctx.touch(host);
}

/** The router that had it may be the other one of its LAN, and dead. */
function askLastPlace(ctx: TrackerContext, host: Host): void {
  const { attachment } = host;
  if (attachment === undefined || !ctx.topology.sharedLans().includes(attachment.iface)) return;
  if (
    !ctx.topology.isListening(attachment.iface, host.ip) ||
    learningRefusal(ctx, attachment.iface, host.ip, attachment.mac)
  )
    return;
  askAgain(ctx, host, attachment);
}

/** Asks the host whether it is still here; the check runs to its end whatever becomes of the remote claim. */
export function checkDespiteRemote(ctx: TrackerContext, host: Host): void {
  const { attachment } = host;
  if (attachment === undefined || host.currentProbe?.purpose === 'remote-claim') return;
  const usable = ctx.topology.isUsable(attachment.iface, host.ip);
  if (!usable || !probeHeld(ctx, host, 'remote-claim', attachment)) withdraw(ctx, host, 'remote-claim');
  else ctx.touch(host);
}

/**
 * A host of our home subnet that we do not hold is elsewhere, whether it was ever here or not (RFC 7814). It is asked
 * first at the MAC that it had or that the kernel knows. Where only visitors are learned, a silent host may be at home,
 * so all are asked; where all hosts are, one that nobody knows is none of ours.
 */
function askAtHome(ctx: TrackerContext, ip: Ip, known: Host | undefined, initial: boolean): void {
  const home = homeOf(ctx, ip, known);
  if (home === undefined) return;
  const isOnlyHome = ctx.topology.rule(home)?.learn === 'foreign';
  if (
    learningRefusal(ctx, home, ip, undefined) !== undefined ||
    (known === undefined && ctx.table.size >= ctx.policy.limits.hosts)
  ) {
    return;
  }
  const host = known ?? ctx.create(ip);
  if (host.asking) return;
  const mac =
    (host.attachment?.iface === home ? host.attachment.mac : undefined) ?? ctx.neighbours.get(home)?.get(ip);
  const cause = initial ? 'adopted' : 'remote-claim';
  if (mac === undefined && !isOnlyHome) return goAway(ctx, host, cause, host.attachment !== undefined);
  const place = { iface: home, mac: mac ?? MAC_BROADCAST };
  // After `detach` from there the hypervisor has answered the question already.
  const detached = host.recovery.detached !== undefined && host.attachment?.iface === home;
  const probe =
    !detached && ctx.topology.isUsable(home, ip) ? startProbe(ctx, host, 'remote-claim', place) : undefined;
  if (probe === undefined) {
    return goAway(ctx, host, cause);
  }
  setCandidate(ctx, host, candidateAt(ctx, place, cause, probe));
  transition(ctx, host, { input: 'prove', cause: 'remote-claim' });
}

/** The LAN of its subnet where the host was last, or the first of them. */
function homeOf(ctx: TrackerContext, ip: Ip, known: Host | undefined): IfIndex | undefined {
  const last = known?.attachment?.iface;
  if (last !== undefined && ctx.topology.subnets.homeInterfaces(ip).includes(last)) return last;
  return ctx.topology.subnets.homeInterface(ip);
}

/** A proof has failed. Another router may have claimed the host while it was asked: then its home is looked at now. */
export function proofEnded(ctx: TrackerContext, ip: Ip): void {
  const host = ctx.table.get(ip);
  if (ctx.fib.remote(ip) === undefined) return;
  if (host === undefined || host.state === 'remembered') askAtHome(ctx, ip, host, false);
  else if (host.state === 'home') checkDespiteRemote(ctx, host);
}

/** An away host whose remote claim is gone for good: it may be home again, silently. */
export function awayLost(ctx: TrackerContext, host: Host): void {
  if (host.attachment === undefined) {
    const { announcement } = host;
    const { deferred } = host.proof;
    transition(ctx, host, { input: 'forget', cause: 'remote-claim-lost' });
    if (deferred.length === 0) return;
    const again = ctx.create(host.ip);
    for (const one of deferred) again.stepProof({ input: 'defer', ...one });
    for (const hold of holdsOf(announcement))
      again.stepAnnouncement({ input: 'hold-back', ...hold }, ctx.now);
    return ctx.touch(again);
  }
  lost(ctx, host, 'remote-claim-lost');
  if (ctx.topology.isListening(host.attachment.iface, host.ip))
    startProof(ctx, host, host.attachment, 'remote-claim-lost');
}
