import type { TrackerContext } from '../context.js';
import { guardedUntil } from './machines/contest.js';
import type { Host } from './host.js';

/** How often a claimed host is asked whether it is still there. */

/** Five times a second while a fresh claim overlaps another (design.md 3.3). */
const OVERLAP_INTERVAL_MS = 200;
/** While an address is contested its host is asked this often, so that others are free to have it soon when it leaves. */
const CONTESTED_INTERVAL_MS = 500;

/** How long a claimed host may be quiet before it is asked, unless another address of its MAC is (siblings.ts). */
export function quietAloneMs(ctx: TrackerContext, host: Host): number {
  if (overlaps(host)) return OVERLAP_INTERVAL_MS;
  const rule = host.attachment && ctx.topology.rule(host.attachment.iface);
  const keepaliveMs = rule?.keepaliveMs ?? OVERLAP_INTERVAL_MS;
  return isGuarded(ctx, host) ? Math.min(CONTESTED_INTERVAL_MS, keepaliveMs) : keepaliveMs;
}

/** Contested lately: it moves only when its old place is silent. */
export function isGuarded({ now }: TrackerContext, { contest }: Host): boolean {
  return now < guardedUntil(contest);
}

/** Its fresh claim hides or replaces another one. */
export function overlaps({ claim }: Host): boolean {
  return claim.state === 'fresh' && claim.overlapsRemote;
}
