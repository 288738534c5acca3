import { familyOf, isIpv4 } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause } from '../events.js';
import type { Host } from './host.js';
import { keepaliveAt } from './machines/keepalive.js';
import { isGuarded, overlaps, quietAloneMs } from './keepalive-interval.js';

/**
 * A host has many IPv6 addresses: 16 and more are normal, and RFC 7934 wants no tight limit. Each is proven when it comes.
 * From then on one address of a MAC at a place, the first, is asked as often as a host that has one alone, and vouches for
 * the place of the others: they are asked rarely, to find out which the host has given up. One that is silent while the
 * first answers is withdrawn alone. When the first is silent, all are asked at once.
 *
 * Addresses of IPv4 vouch, and are not vouched for: a host has one or two, and each is asked as ever.
 */

/** What is vouched for is asked at every so many keepalives. */
const VOUCHED_INTERVALS = 12;

/** Of these causes the host said nothing: it may be the MAC that is gone, or the address alone. */
const SILENT: ReadonlySet<Cause> = new Set(['no-answer', 'keepalive-lost', 'hold-expired']);

/** How long a claimed host may be quiet before it is asked. */
export function quietMs(ctx: TrackerContext, host: Host): number {
  const aloneMs = quietAloneMs(ctx, host);
  return voucherOf(ctx, host) === undefined ? aloneMs : VOUCHED_INTERVALS * aloneMs;
}

/** The address that vouches for the place of this one, because it is asked there no less often than this one would be. */
export function voucherOf(ctx: TrackerContext, host: Host): Host | undefined {
  const { attachment } = host;
  if (isIpv4(host.ip) || attachment === undefined || isGuarded(ctx, host)) return undefined;
  const { iface, mac } = attachment;
  if (ctx.table.countWithMac(mac) < 2 || ctx.otherRouters.isRouterMac(iface, mac)) return undefined;
  const first = firstAt(ctx, attachment);
  if (first === undefined || first === host) return undefined;
  return quietAloneMs(ctx, first) <= quietAloneMs(ctx, host) ? first : undefined;
}

/**
 * What is known of a MAC and not held at this place, but of a family no more than the MAC may have there, last heard first:
 * it may have had any number of addresses one after the other, and one frame of it must not have all of them asked.
 */
export function likelyAt(ctx: TrackerContext, { iface, mac }: Attachment): readonly Host[] {
  const elsewhere = [...ctx.table.withMac(mac)].filter((host) => !host.isHeldAt(iface, mac));
  const { addressesPerMac } = ctx.policy.limits;
  if (elsewhere.length <= Math.min(addressesPerMac.ipv4, addressesPerMac.ipv6)) return elsewhere;
  const left = { ...addressesPerMac };
  return elsewhere.sort((a, b) => b.lastHeard - a.lastHeard).filter(({ ip }) => left[familyOf(ip)]-- > 0);
}

/** When there was a sign of life of the host, or of the address that vouches for it. */
export function lastSignOf(ctx: TrackerContext, host: Host): number {
  return Math.max(host.lastHeard, voucherOf(ctx, host)?.lastHeard ?? Number.NEGATIVE_INFINITY);
}

function firstAt({ table }: TrackerContext, { iface, mac }: Attachment): Host | undefined {
  for (const host of table.withMac(mac)) if (host.claimed && host.isAt(iface, mac)) return host;
  return undefined;
}

/** Whether it may vouch for others. */
export function isFirst(ctx: TrackerContext, host: Host): boolean {
  const { attachment } = host;
  if (!host.claimed || attachment === undefined || ctx.table.countWithMac(attachment.mac) < 2) return false;
  return firstAt(ctx, attachment) === host;
}

/** It vouches for others, so it has its turn in time: it may have been vouched for itself until now. */
export function ensureAsked(ctx: TrackerContext, first: Host): void {
  const at = ctx.now + quietAloneMs(ctx, first);
  if (first.keepalive.kind === 'probing' || keepaliveAt(first.keepalive) <= at) return;
  first.stepKeepalive({ input: 'expedite', at }, ctx.now);
  ctx.touch(first);
}

/** The first of this place is not there any more. */
export function firstLeft(ctx: TrackerContext, place: Attachment, cause: Cause): void {
  if (!ctx.topology.isUsable(place.iface)) return;
  const next = firstAt(ctx, place);
  if (next === undefined) return;
  if (!SILENT.has(cause)) return ensureAsked(ctx, next);
  for (const host of ctx.table.withMac(place.mac)) {
    if (isIpv4(host.ip) || !host.claimed || !host.isAt(place.iface, place.mac)) continue;
    host.stepKeepalive({ input: 'expedite', at: ctx.now }, ctx.now);
    ctx.touch(host);
  }
}

/**
 * A frame that names the MAC and no address says that the host is there: it is asked later, but no later than if another
 * address vouched for it. One at home is not asked at all.
 */
export function vouch(ctx: TrackerContext, host: Host): void {
  if (host.state === 'home' && !isIpv4(host.ip)) return host.heard(ctx.now);
  if (isIpv4(host.ip) || overlaps(host) || isGuarded(ctx, host) || voucherOf(ctx, host) !== undefined) return;
  const aloneMs = quietAloneMs(ctx, host);
  const until = Math.min(ctx.now + aloneMs, host.lastHeard + VOUCHED_INTERVALS * aloneMs);
  host.stepKeepalive({ input: 'vouched', until }, ctx.now);
  ctx.touch(host);
}
