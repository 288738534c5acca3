import { ask } from '../probe.js';
import { type Ip, MAC_BROADCAST } from '../../wire/addresses.js';
import { type TrackerContext, GHOST_WINDOW_MS } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { Route } from '../events.js';
import { consider } from '../host/arrival.js';
import type { Host } from '../host/host.js';

/** A route of somebody else came, changed or went. `initial` marks the dump at start: no storm of announcements. */
export function hearRoute(
  ctx: TrackerContext,
  change: 'add' | 'delete',
  route: Route,
  initial: boolean,
): void {
  const what = ctx.fib.apply(change, route, ctx.now);
  if (what === 'appeared') remoteAppeared(ctx, route.prefix.ip, initial);
  else if (what === 'vanished') remoteVanished(ctx, route.prefix.ip);
}

/** Another router says that it has the host. If it is ours, by claim or by home, it is asked here (design.md 3.3). */
export function remoteAppeared(ctx: TrackerContext, ip: Ip, initial: boolean): void {
  const host = ctx.table.get(ip);
  if (host !== undefined) host.remoteAppearedAt = ctx.now;
  if (
    host !== undefined &&
    !host.claimed &&
    ctx.now < (host.releasedAt ?? Number.NEGATIVE_INFINITY) + GHOST_WINDOW_MS
  )
    host.ghost = 'waiting';
  switch (host?.state) {
    case 'settled':
    case 'home':
      return checkDespiteRemote(ctx, host);
    case 'away':
      host.forgetAt = undefined;
      return ctx.touch(host);
    case undefined:
    case 'remembered':
      return askAtHome(ctx, ip, host, initial);
    default:
      // fresh: looked at when it ages. proving: whoever answers first is looked at then.
      return;
  }
}

export function remoteVanished(ctx: TrackerContext, ip: Ip): void {
  const host = ctx.table.get(ip);
  if (host === undefined) return;
  if (host.state === 'away') {
    // A routing daemon may delete and add in one change; after `settle` the loss is real.
    host.forgetAt = ctx.now + ctx.policy.timers.settleMs;
  }
  if (host.ghost === 'waiting') ctx.suspectGhost(host);
  // The incumbent is gone: the challenger need not wait any longer.
  if (host.state === 'remembered' && host.contest?.retryAt !== undefined) host.contest.retryAt = ctx.now;
  ctx.touch(host);
}

/** Asks the host whether it is still here; the check runs to its verdict whatever the remote claim does. */
export function checkDespiteRemote(ctx: TrackerContext, host: Host): void {
  if (host.attachment === undefined || host.check?.purpose === 'remote-claim') return;
  const question = ctx.topology.isUsable(host.attachment.iface)
    ? ask(ctx, host, 'remote-claim', host.attachment)
    : undefined;
  if (question === undefined) return ctx.withdraw(host, 'remote-claim');
  host.check = question;
  ctx.touch(host);
}

/** A host of our home subnet that we do not hold: asked at the MAC that the kernel knows, else by broadcast. */
function askAtHome(ctx: TrackerContext, ip: Ip, known: Host | undefined, initial: boolean): void {
  const home = ctx.topology.homeInterface(ip);
  if (home === undefined || ctx.topology.rule(home)?.learn !== 'foreign') return;
  if (
    learningRefusal(ctx, ip, undefined) !== undefined ||
    (known === undefined && ctx.table.size >= ctx.policy.limits.hosts)
  ) {
    return;
  }
  const host = known ?? ctx.create(ip);
  if (host.candidate !== undefined) return;
  const mac =
    (host.attachment?.iface === home ? host.attachment.mac : undefined) ?? ctx.neighbours.get(home)?.get(ip);
  const place = { iface: home, mac: mac ?? MAC_BROADCAST };
  // After `detach` from there the hypervisor has answered the question already.
  const detached = host.detached !== undefined && host.attachment?.iface === home;
  const question =
    !detached && ctx.topology.isUsable(home) ? ask(ctx, host, 'remote-claim', place) : undefined;
  if (question === undefined) {
    return ctx.goAway(host, initial ? 'adopted' : 'remote-claim');
  }
  ctx.setCandidate(host, {
    attachment: place,
    cause: initial ? 'adopted' : 'remote-claim',
    question,
    incumbent: undefined,
    askedAgain: false,
  });
  ctx.enter(host, 'proving', 'remote-claim');
}

/** An away host whose remote claim is gone for good: it may be home again, silently. */
export function awayLost(ctx: TrackerContext, host: Host): void {
  if (host.attachment === undefined) {
    const { hint, hushUntil } = host;
    ctx.enter(host, 'unknown', 'remote-claim-lost');
    if (hint === undefined) return;
    const again = ctx.create(host.ip);
    again.hint = hint;
    again.hushUntil = hushUntil;
    return ctx.touch(again);
  }
  ctx.enter(host, 'remembered', 'remote-claim-lost');
  if (ctx.topology.isListening(host.attachment.iface))
    consider(ctx, host, host.attachment, 'remote-claim-lost');
}
