import { type Family, familyOf } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { Attachment, IfIndex } from '../events.js';
import { lost, probeHeld, scheduleKeepalive, transition } from '../host/coordinator.js';
import type { Host } from '../host/host.js';

/**
 * ospfd takes up a new claim at once, but one that was there before it noticed that a router has died hides behind those
 * of the dead for a second more. A claim that surfaces around a promotion may be such a one, so it is made anew.
 */

const HOSTS_PER_TICK = 128;

/** A claim that surfaced so near to a promotion may be older to a routing daemon than the death of the other router. */
const SURFACED_LATELY_MS = 2000;
/** Until a routing daemon has told others that a claim is gone. Sooner it may tell them nothing at all. */
const REANNOUNCE_MS = 25;

/** At a promotion: what surfaced just before it. */
export function reannounceAll(ctx: TrackerContext, iface: IfIndex, family: Family): void {
  const since = ctx.now - SURFACED_LATELY_MS;
  const hosts = [...ctx.table.on(iface)].filter(
    ({ ip, claim, attachment }) =>
      familyOf(ip) === family &&
      claim.state === 'settled' &&
      claim.cause === 'surfaced' &&
      claim.since >= since &&
      claim.withdrawal === undefined &&
      attachment?.iface === iface,
  );
  hosts.sort((one, other) => other.lastHeard - one.lastHeard);
  for (const host of hosts)
    if (host.attachment !== undefined && ctx.fib.remote(host.ip) === undefined)
      reannounce(ctx, host, host.attachment);
}

/** Of a claim that is about to surface: whether it does so just after a promotion. */
export function surfacesLate(
  { roles, topology, now }: TrackerContext,
  { ip, claim, attachment }: Host,
): boolean {
  if (attachment === undefined || claim.state !== 'beneath' || claim.withdrawal !== undefined) return false;
  const { iface } = attachment;
  const role = roles.on(iface, familyOf(ip));
  return (
    role?.kind === 'active' && role.since >= now - SURFACED_LATELY_MS && topology.roles.contests(iface, ip)
  );
}

/** Withdrawn now, and claimed fresh when the routing daemon has noticed. */
export function reannounce(ctx: TrackerContext, host: Host, { iface, mac }: Attachment): void {
  const at = ctx.now + REANNOUNCE_MS;
  lost(ctx, host, 'took-over');
  ctx.roles.reannounceAt(host.ip, { iface, mac, at });
}

/** What is due. It was alive here a moment ago, and nobody else claims it: no time is lost by asking first. */
export function runReannouncement(ctx: TrackerContext): void {
  const { roles, table, topology } = ctx;
  const due = roles.takeReannounced(ctx.now, HOSTS_PER_TICK);
  for (const [ip, { iface, mac }] of due) {
    const host = table.get(ip);
    if (host?.state !== 'remembered' || host.asking || ctx.fib.remote(ip) !== undefined) continue;
    if (!topology.isUsable(iface, ip) || learningRefusal(ctx, iface, ip, mac) !== undefined) continue;
    claimFresh(ctx, host, 'took-over', { iface, mac });
    probeHeld(ctx, host, 'took-over', { iface, mac });
    ctx.touch(host);
  }
}

/** Nobody else claims it, or does no more: we do. */
export function claimFresh(
  ctx: TrackerContext,
  host: Host,
  cause: 'took-over' | 'unannounced',
  at?: Attachment,
): void {
  const { settleMs } = ctx.policy.timers;
  // Until the routing daemons know that a router is dead, its claims hide settled ones.
  const freshMs = cause === 'took-over' ? 2 * settleMs : settleMs;
  const ages = { ageAt: ctx.now + freshMs, retryFrom: ctx.now + settleMs };
  transition(ctx, host, { input: 'found', cause, ...ages, homecoming: false, overlapsRemote: false }, at);
  scheduleKeepalive(ctx, host);
}
