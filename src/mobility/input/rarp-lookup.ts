import { probeSource, sendProbe } from '../neighbour/send.js';
import type { Ip, Mac } from '../../wire/addresses.js';
import { CANDIDATES_MS, OPEN_LOOKUPS, UNCHANGED_MS } from '../admission/constants.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex, Attachment } from '../events.js';
import { policyRefusal } from '../policy.js';
import { PRESENCE_SCHEDULE } from '../probe.js';

/**
 * A presence message (RARP) of a MAC that nobody knows: the newcomer itself is asked which address it has.
 *
 * Candidates are the addresses that other routers claim and that are not known to belong to another MAC, most
 * recently changed first. A machine that runs proxy ARP answers for all of them. So a control address that nobody
 * owns is asked along with them, and answers count only after a short wait for its answer.
 */
export interface RarpLookup {
  readonly place: Attachment;
  /** Addresses that are asked for, each with the address in whose name. */
  readonly candidates: ReadonlyMap<Ip, Ip>;
  /** The same of the control address of each family among them. */
  readonly controls: ReadonlyMap<Ip, Ip>;
  readonly answered: Set<Ip>;
  controlAnswered: boolean;
  tries: number;
  readonly startedAt: number;
  /** Next try or timeout. */
  nextAt: number;
}

/**
 * After the first answer, so long for further addresses of the same host. The control address is asked first, so who
 * answers for it has answered by then: kernels that run proxy ARP answer unicast requests at once and in order.
 */
const SETTLE_MS = 3;

/** The look-ups that are open: a share of each interface, so that RARP on one LAN leaves those of the others alone. */
export class RarpLookups {
  readonly #on = new Map<IfIndex, Map<Mac, RarpLookup>>();
  #candidates: readonly Ip[] = [];
  #candidatesAt = Number.NEGATIVE_INFINITY;
  #candidatesOf = Number.NaN;

  snapshot() {
    return {
      lookups: [...this.all()],
      candidates: this.#candidates,
      candidatesAt: this.#candidatesAt,
      candidatesOf: this.#candidatesOf,
    };
  }

  restore({ lookups, candidates, candidatesAt, candidatesOf }: ReturnType<RarpLookups['snapshot']>): void {
    for (const lookup of lookups) this.open(lookup);
    this.#candidates = candidates;
    this.#candidatesAt = candidatesAt;
    this.#candidatesOf = candidatesOf;
  }

  at(iface: IfIndex, mac: Mac): RarpLookup | undefined {
    return this.#on.get(iface)?.get(mac);
  }

  isFull(iface: IfIndex): boolean {
    return (this.#on.get(iface)?.size ?? 0) >= OPEN_LOOKUPS;
  }

  open(lookup: RarpLookup): void {
    const { iface, mac } = lookup.place;
    const there = this.#on.get(iface) ?? new Map<Mac, RarpLookup>();
    this.#on.set(iface, there.set(mac, lookup));
  }

  close({ place: { iface, mac } }: RarpLookup): void {
    const there = this.#on.get(iface);
    if (there?.delete(mac) === true && there.size === 0) this.#on.delete(iface);
  }

  *all(): IterableIterator<RarpLookup> {
    for (const there of this.#on.values()) yield* there.values();
  }

  /**
   * Addresses that other routers claim, that may move here and of which no MAC is known, most recently changed first: a MAC
   * that is looked up is nobody's.
   */
  candidates(ctx: TrackerContext): readonly Ip[] {
    const ageMs = ctx.now - this.#candidatesAt;
    const changed = this.#candidatesOf !== ctx.fib.remoteChanges;
    if (ageMs < (changed ? CANDIDATES_MS : UNCHANGED_MS)) return this.#candidates;
    this.#candidatesAt = ctx.now;
    this.#candidatesOf = ctx.fib.remoteChanges;
    const { policy, table, topology } = ctx;
    const remotes = [...ctx.fib.allRemotes()].map(({ ip }) => ip).reverse();
    this.#candidates = remotes.filter(
      (ip) =>
        table.get(ip)?.attachment === undefined &&
        policyRefusal(policy, topology.defaultAllow, ip, undefined) === undefined,
    );
    return this.#candidates;
  }
}

/** Asks `mac` for the addresses that are missing elsewhere. */
export function openRarpLookup(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  const { rarpLookups } = ctx;
  if (rarpLookups.at(iface, mac) !== undefined) return;
  if (rarpLookups.isFull(iface)) return ctx.drop('inquiry-limit', iface, undefined, mac);
  const candidates = new Map<Ip, Ip>();
  const controls = new Map<Ip, Ip>();
  for (const ip of rarpLookups.candidates(ctx)) {
    if (candidates.size >= ctx.policy.limits.rarpLookupCandidates) break;
    if (ctx.table.get(ip)?.held === true) continue;
    if (policyRefusal(ctx.policy, ctx.topology.defaultAllow, ip, mac) !== undefined) continue;
    const source = probeSource(ctx, iface, ip);
    const control = ctx.families.of(ip)?.controlAddress;
    if (source === undefined || control === undefined) continue;
    candidates.set(ip, source);
    if (!controls.has(control)) controls.set(control, source);
  }
  if (candidates.size === 0) return;
  if (!ctx.limits.mayLookUp(iface, mac, ctx.now)) return ctx.drop('inquiry-limit', iface, undefined, mac);
  const lookup: RarpLookup = {
    place: { iface, mac },
    candidates,
    controls,
    answered: new Set(),
    controlAnswered: false,
    tries: 0,
    startedAt: ctx.now,
    nextAt: ctx.now,
  };
  rarpLookups.open(lookup);
  askAll(ctx, lookup);
}

function askAll(ctx: TrackerContext, lookup: RarpLookup): void {
  for (const [ip, source] of lookup.controls) sendProbe(ctx, lookup.place, source, ip);
  for (const [ip, source] of lookup.candidates) sendProbe(ctx, lookup.place, source, ip);
  lookup.tries++;
  lookup.nextAt = lookup.startedAt + (PRESENCE_SCHEDULE.tries[lookup.tries] ?? PRESENCE_SCHEDULE.timeoutMs);
}

/** Whether this reply answers an open look-up. */
export function onRarpLookupAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  const lookup = ctx.rarpLookups.at(iface, mac);
  if (lookup === undefined || !lookup.candidates.has(ip)) return false;
  if (lookup.answered.size === 0) lookup.nextAt = ctx.now + SETTLE_MS;
  lookup.answered.add(ip);
  return true;
}

/** The control address answered, which policy does not allow to be learned. */
export function onControlAnswer(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  const lookup = ctx.rarpLookups.at(iface, mac);
  if (lookup?.controls.has(ip)) lookup.controlAnswered = true;
}

export function nextRarpLookupDeadline(ctx: TrackerContext): number {
  let next = Number.POSITIVE_INFINITY;
  for (const lookup of ctx.rarpLookups.all()) next = Math.min(next, lookup.nextAt);
  return next;
}

/** Sends due tries and closes what is due. Returns the addresses that proved to be at a place. */
export function runRarpLookups(ctx: TrackerContext): { ip: Ip; place: Attachment }[] {
  const proven: { ip: Ip; place: Attachment }[] = [];
  for (const lookup of ctx.rarpLookups.all()) {
    if (lookup.nextAt > ctx.now) continue;
    if (lookup.answered.size === 0 && lookup.tries < PRESENCE_SCHEDULE.tries.length) {
      askAll(ctx, lookup);
      continue;
    }
    ctx.rarpLookups.close(lookup);
    if (lookup.controlAnswered || lookup.answered.size > ctx.policy.limits.addressesPerMac.ipv4) {
      ctx.alarm('proxy-arp', 'answers for addresses that it cannot all have: believed for none', {
        place: lookup.place,
      });
    } else {
      for (const ip of lookup.answered) proven.push({ ip, place: lookup.place });
    }
  }
  return proven;
}
