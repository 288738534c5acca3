import { type Family, type Ip, type Mac, familyOf } from '../../wire/addresses.js';
import { OPEN_LOOKUPS } from '../admission/constants.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause, IfIndex } from '../events.js';
import type { FamilyDriver } from '../neighbour/driver.js';
import { mayQueryGroups, probeSource, sendGroupQuery, sendProbe } from '../neighbour/send.js';
import { policyRefusal } from '../policy.js';
import { PRESENCE_SCHEDULE } from '../probe/probe.js';
import { RemoteCandidates, addressesIn } from './candidates.js';

/**
 * A presence message of a MAC of which no address of a family is known: the newcomer itself is asked which it has.
 *
 * Where the protocol has a question for that (a general query of MLD, RFC 3810 section 5.1), the MAC is asked for the
 * groups of its addresses, and then for each address that may be in one. Where it has none, candidates are the addresses
 * that other routers claim and that are not known to belong to another MAC, most recently changed first.
 *
 * A machine that runs proxy ARP answers for all of them. So a control address that nobody owns is asked along with them,
 * and answers count only after a short wait for its answer.
 */
export interface AddressLookup {
  readonly place: Attachment;
  readonly family: Family;
  /** What its hosts are found by. */
  readonly cause: Extract<Cause, 'rarp' | 'presence'>;
  /** No address of the family was known of this MAC. */
  readonly isUnknown: boolean;
  /** With each try the MAC is asked for the groups of its addresses: it has named none since it was asked. */
  awaitsGroups: boolean;
  /** Addresses that are asked for, each with the address in whose name. */
  readonly candidates: Map<Ip, Ip>;
  /** The same of the control address, as soon as there is a candidate. */
  readonly controls: Map<Ip, Ip>;
  readonly answered: Set<Ip>;
  controlAnswered: boolean;
  tries: number;
  startedAt: number;
  /** Next try or timeout. */
  nextAt: number;
}

/**
 * After the first answer, so long for further addresses of the same host. The control address is asked first, so who
 * answers for it has answered by then: kernels that run proxy ARP answer unicast requests at once and in order.
 */
const SETTLE_MS = 3;

const FAMILIES = ['ipv4', 'ipv6'] as const;

/** The look-ups that are open: a share of each interface, so that RARP on one LAN leaves those of the others alone. */
export class AddressLookups {
  readonly #on = {
    ipv4: new Map<IfIndex, Map<Mac, AddressLookup>>(),
    ipv6: new Map<IfIndex, Map<Mac, AddressLookup>>(),
  };
  readonly remotes = new RemoteCandidates();

  snapshot() {
    return { lookups: [...this.all()], ...this.remotes.snapshot() };
  }

  restore({ lookups, ...remotes }: ReturnType<AddressLookups['snapshot']>): void {
    for (const lookup of lookups) this.open(lookup);
    this.remotes.restore(remotes);
  }

  at(family: Family, iface: IfIndex, mac: Mac): AddressLookup | undefined {
    return this.#on[family].get(iface)?.get(mac);
  }

  isFull(family: Family, iface: IfIndex): boolean {
    return (this.#on[family].get(iface)?.size ?? 0) >= OPEN_LOOKUPS;
  }

  open(lookup: AddressLookup): void {
    const { iface, mac } = lookup.place;
    const ofFamily = this.#on[lookup.family];
    const there = ofFamily.get(iface) ?? new Map<Mac, AddressLookup>();
    ofFamily.set(iface, there.set(mac, lookup));
  }

  close({ family, place: { iface, mac } }: AddressLookup): void {
    const there = this.#on[family].get(iface);
    if (there?.delete(mac) === true && there.size === 0) this.#on[family].delete(iface);
  }

  *all(): IterableIterator<AddressLookup> {
    for (const family of FAMILIES) for (const there of this.#on[family].values()) yield* there.values();
  }
}

/** What a presence message gives to look up. */
export interface LookupRequest {
  readonly place: Attachment;
  readonly cause: AddressLookup['cause'];
  /** Of its addresses, if the message names some. */
  readonly groups: readonly number[] | undefined;
  readonly isUnknown: boolean;
}

/**
 * Asks a MAC for its addresses of the driver's family; of a MAC of which some are known, only for what other routers claim
 * in its groups. `mayAsk`: whether this MAC may be asked again.
 */
export function lookUp(
  ctx: TrackerContext,
  { family, inquire }: FamilyDriver,
  { place, cause, groups, isUnknown }: LookupRequest,
  mayAsk: () => boolean,
): void {
  const { addressLookups } = ctx;
  const { iface, mac } = place;
  const open = addressLookups.at(family, iface, mac);
  if (open !== undefined) return groups === undefined ? undefined : takeGroups(ctx, open, groups);
  if (addressLookups.isFull(family, iface)) {
    if (isUnknown) ctx.drop('inquiry-limit', iface, undefined, mac);
    return;
  }
  const lookup: AddressLookup = {
    place,
    family,
    cause,
    isUnknown,
    awaitsGroups: isUnknown && inquire !== undefined && mayQueryGroups(ctx, iface),
    candidates: new Map(),
    controls: new Map(),
    answered: new Set(),
    controlAnswered: false,
    tries: 0,
    startedAt: ctx.now,
    nextAt: ctx.now,
  };
  const candidates =
    inquire === undefined
      ? addressLookups.remotes.of(ctx, family)
      : addressesIn(ctx, groups ?? [], mac, isUnknown);
  addCandidates(ctx, lookup, candidates);
  if (!lookup.awaitsGroups && lookup.candidates.size === 0) return;
  if (!mayAsk()) return ctx.drop('inquiry-limit', iface, undefined, mac);
  addressLookups.open(lookup);
  askAll(ctx, lookup);
}

/**
 * The MAC has named groups of its addresses: what is new among them is asked for now, and with the next tries. These begin
 * anew when it has named none before; later ones wait for their time, or each report would have all asked once more.
 */
function takeGroups(ctx: TrackerContext, lookup: AddressLookup, groups: readonly number[]): void {
  const { place, awaitsGroups, isUnknown, controls } = lookup;
  lookup.awaitsGroups = false;
  const known = new Set(controls.keys());
  const added = addCandidates(ctx, lookup, addressesIn(ctx, groups, place.mac, isUnknown));
  if (added.size === 0) return;
  for (const [ip, source] of controls) if (!known.has(ip)) sendProbe(ctx, place, source, ip);
  for (const [ip, source] of added) sendProbe(ctx, place, source, ip);
  if (!awaitsGroups) return;
  lookup.startedAt = ctx.now;
  lookup.tries = 1;
  awaitAnswers(lookup);
}

/** Adds those that may be learned here, up to the limit. Returns which are new. */
function addCandidates(ctx: TrackerContext, lookup: AddressLookup, ips: Iterable<Ip>): ReadonlyMap<Ip, Ip> {
  const { place, candidates, controls } = lookup;
  const added = new Map<Ip, Ip>();
  for (const ip of ips) {
    if (candidates.size >= ctx.policy.limits.rarpLookupCandidates) break;
    if (candidates.has(ip) || ctx.table.get(ip)?.held === true) continue;
    if (policyRefusal(ctx.policy, ctx.topology.subnets.defaultAllow, ip, place.mac) !== undefined) continue;
    const source = probeSource(ctx, place.iface, ip);
    const control = ctx.families.of(ip)?.controlAddress;
    if (source === undefined || control === undefined) continue;
    candidates.set(ip, source);
    added.set(ip, source);
    if (!controls.has(control)) controls.set(control, source);
  }
  return added;
}

function askAll(ctx: TrackerContext, lookup: AddressLookup): void {
  const { awaitsGroups, controls, candidates, place, answered } = lookup;
  if (awaitsGroups) sendGroupQuery(ctx, place, lookup.family);
  for (const [ip, source] of controls) sendProbe(ctx, place, source, ip);
  for (const [ip, source] of candidates) if (!answered.has(ip)) sendProbe(ctx, place, source, ip);
  lookup.tries++;
  awaitAnswers(lookup);
}

/** Sets the time of the next try, or of the time-out. */
function awaitAnswers(lookup: AddressLookup): void {
  const { answered } = lookup;
  const next = lookup.startedAt + (PRESENCE_SCHEDULE.tries[lookup.tries] ?? PRESENCE_SCHEDULE.timeoutMs);
  lookup.nextAt = answered.size > 0 ? Math.min(lookup.nextAt, next) : next;
}

/** Whether this reply answers an open look-up. */
export function onLookupAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  const lookup = ctx.addressLookups.at(familyOf(ip), iface, mac);
  if (lookup === undefined || !lookup.candidates.has(ip)) return false;
  if (lookup.answered.size === 0) lookup.nextAt = ctx.now + SETTLE_MS;
  lookup.answered.add(ip);
  return true;
}

/** The control address answered, which policy does not allow to be learned. */
export function onControlAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  const lookup = ctx.addressLookups.at(familyOf(ip), iface, mac);
  if (lookup?.controls.has(ip)) lookup.controlAnswered = true;
}

export function nextLookupDeadline(ctx: TrackerContext): number {
  let next = Number.POSITIVE_INFINITY;
  for (const lookup of ctx.addressLookups.all()) next = Math.min(next, lookup.nextAt);
  return next;
}

/** An address that proved to be at a place. */
export interface FoundAddress {
  readonly ip: Ip;
  readonly place: Attachment;
  readonly cause: AddressLookup['cause'];
}

/** Sends due tries and closes what is due. */
export function runLookups(ctx: TrackerContext): FoundAddress[] {
  const found: FoundAddress[] = [];
  for (const lookup of ctx.addressLookups.all()) {
    const { place, family, cause, answered, controlAnswered } = lookup;
    if (lookup.nextAt > ctx.now) continue;
    if (answered.size === 0 && lookup.tries < PRESENCE_SCHEDULE.tries.length) {
      askAll(ctx, lookup);
      continue;
    }
    ctx.addressLookups.close(lookup);
    if (controlAnswered || answered.size > ctx.policy.limits.addressesPerMac[family]) {
      ctx.alarm('proxy-arp', 'answers for addresses that it cannot all have: believed for none', { place });
    } else for (const ip of answered) found.push({ ip, place, cause });
  }
  return found;
}
