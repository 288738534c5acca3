import { type Mac, familyOf, isIpv4, low24 } from '../../wire/addresses.js';
import { admitLookup } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import { startProofUnlessSuppressed } from '../host/proving.js';
import { likelyAt, vouch } from '../host/siblings.js';
import { ADDRESS_CHECKS } from '../input/address-check.js';
import { hasToWait, holdAnnouncements, isBeingAsked, onRefresh } from '../input/heard-hosts.js';
import type { PresenceMessage } from '../neighbour/message.js';
import { lookUp } from './address-lookup.js';

/**
 * A frame that names a MAC and none of its addresses. All that is known of the MAC, in every family, is asked here; of a
 * family of which nothing is known the MAC is asked for its addresses (address-lookup.ts).
 */
export function onPresence(ctx: TrackerContext, iface: IfIndex, message: PresenceMessage): void {
  const { mac, form } = message;
  if (ctx.otherRouters.isPresent(iface, mac)) return ctx.drop('other-router', iface, undefined, mac);
  // A router would pass a question on, and its kernel look for whom it was about: a frame of its own that says the same.
  if (ctx.otherRouters.isPeer(iface, mac)) return ctx.drop('sender-ip-peer', iface, undefined, mac);
  const known = [...ctx.table.withMac(mac)];
  if (message.groups !== undefined) holdBack(ctx, iface, mac, known, message.groups);
  const isHere = known.some((host) => host.isHeldAt(iface, mac));
  // A host that asks for its neighbours from a link-local address does so all day long.
  if (form !== 'link-local-solicitation' || !isHere) ctx.note(form, iface, mac, undefined);
  let allowed: boolean | undefined;
  const mayAsk = () => {
    allowed ??= ctx.limits.mayLookUp(iface, mac, ctx.now);
    return allowed;
  };
  lookUpFamilies(ctx, iface, message, known, mayAsk);
  const likely = new Set(likelyAt(ctx, { iface, mac }));
  const toAsk = known.filter((host) => isToBeAsked(ctx, host, iface, message, isHere));
  const elsewhere = toAsk.filter((host) => likely.has(host));
  if (elsewhere.length === 0) return;
  if (!mayAsk() || !admitLookup(ctx, iface)) return ctx.drop('inquiry-limit', iface, undefined, mac);
  for (const host of elsewhere)
    if (!hasToWait(ctx, host, { iface, mac }))
      startProofUnlessSuppressed(ctx, host, { iface, mac }, causeOf(message));
}

function causeOf({ form }: PresenceMessage): 'rarp' | 'presence' {
  return form === 'rarp' ? 'rarp' : 'presence';
}

/**
 * What is known of a MAC and not held here is asked here. What is held elsewhere is so only as long as nothing of the MAC
 * is held here: a machine with one MAC on two LANs (VLAN interfaces) speaks on both all the time. RARP is sent by a
 * hypervisor that moves a guest, so it always counts.
 */
function isToBeAsked(
  ctx: TrackerContext,
  host: Host,
  iface: IfIndex,
  message: PresenceMessage,
  isHere: boolean,
): boolean {
  const { mac, form } = message;
  const place = { iface, mac };
  const { detached, prepared } = host.recovery;
  if (host.isHeldAt(iface, mac)) {
    if (form === 'rarp') onRefresh(ctx, host);
    else vouch(ctx, host);
    return false;
  }
  if (detached?.iface === iface) {
    ctx.drop('detached', iface, host.ip, mac);
    return false;
  }
  if (prepared?.iface === iface && prepared.mac === mac) {
    startProofUnlessSuppressed(ctx, host, place, causeOf(message));
    return false;
  }
  return !isBeingAsked(host, place) && (form === 'rarp' || !isHere || !host.held);
}

/**
 * A family of which nothing is known is looked up; of one that is known, only what the groups of the message add. Routers
 * are left alone.
 */
function lookUpFamilies(
  ctx: TrackerContext,
  iface: IfIndex,
  message: PresenceMessage,
  known: readonly Host[],
  mayAsk: () => boolean,
): void {
  const { mac, form, groups } = message;
  const place = { iface, mac };
  const cause = causeOf(message);
  // A router has addresses of its own and no host's, and would take the question for that of a querier.
  if (ctx.otherRouters.isRouterMac(iface, mac)) return;
  for (const driver of ctx.families.all()) {
    const ofFamily = known.filter(({ ip }) => familyOf(ip) === driver.family);
    const isUnknown = ofFamily.length === 0;
    // All that others claim is asked for only on the word of a hypervisor.
    if (driver.inquire === undefined && (form !== 'rarp' || !isUnknown)) continue;
    if (!isUnknown && groups === undefined) continue;
    const others = groups?.filter((low) => !ofFamily.some((host) => isIn(host, low)));
    if (!isUnknown && others?.length === 0) continue;
    lookUp(ctx, driver, { place, cause, groups: others, isUnknown }, mayAsk);
  }
}

/**
 * A host joins the group of an address before it checks that the address is free (RFC 4862 section 5.4.2): it may be about
 * to come back to this LAN, and would take the announcement of its departure for a conflict.
 */
function holdBack(
  ctx: TrackerContext,
  iface: IfIndex,
  mac: Mac,
  known: readonly Host[],
  groups: readonly number[],
): void {
  for (const host of known) {
    if (!groups.some((low) => isIn(host, low)) || host.isHeldAt(iface, mac)) continue;
    holdAnnouncements(ctx, host, { iface, mac }, ADDRESS_CHECKS[familyOf(host.ip)].lastsMs);
    ctx.touch(host);
  }
}

function isIn({ ip }: Host, low: number): boolean {
  return !isIpv4(ip) && low24(ip) === low;
}
