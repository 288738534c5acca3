import type { ClaimAge, IfIndex } from '../../mobility/events.js';
import type { Ip } from '../../wire/addresses.js';
import type { Outcomes, Refusal } from '../ip/executor.js';
import type { Queued } from './work-queue.js';
import { type Claim, STUCK_ROUTE_REPAIR, type Holding, type Occupant, type Step } from './plan.js';

/** What is wanted and what is there for one address, and where its work stands. */
export interface LedgerEntry extends Holding, Queued {
  /** A job is under way. */
  busy: boolean;
  /** The tracker waits for `installed` or `refused`. */
  awaitingAck: boolean;
  retries: number;
  /** The slot of the route is taken; a read-back will show by which protocol. */
  conflict: boolean;
  /** Deletions that we asked for and that the monitor has not reported yet. */
  pendingRouteDeletes: number;
  pendingNeighbourDeletes: number;
  /** Interfaces that it is listed under. */
  joined: readonly IfIndex[];
  /** The sender's `epoch` when anything was last wanted, sent, answered or deleted. */
  version: number;
  /** What the last read-back found, and its number. */
  seenBy: number;
  seenFresh: boolean;
  seenSettled: boolean;
  seenNeighbour: boolean;
}

export const AGES: readonly ClaimAge[] = ['fresh', 'settled'];

/** All addresses that we know something about, also by interface. */
export class Ledger {
  readonly #entries = new Map<Ip, LedgerEntry>();
  readonly #byIface = new Map<IfIndex, Set<LedgerEntry>>();

  get(ip: Ip): LedgerEntry | undefined {
    return this.#entries.get(ip);
  }

  all(): IterableIterator<LedgerEntry> {
    return this.#entries.values();
  }

  /** The entry of the address, a blank one if there is none. */
  take(ip: Ip): LedgerEntry {
    let entry = this.#entries.get(ip);
    if (entry === undefined) {
      entry = blankEntry(ip);
      this.#entries.set(ip, entry);
    }
    return entry;
  }

  /** Notes that the entry has, or wants, something on the interface. */
  join(entry: LedgerEntry, iface: IfIndex): void {
    const members = this.#byIface.get(iface);
    if (members === undefined) this.#byIface.set(iface, new Set([entry]));
    else members.add(entry);
    // Not pushed to: that would make room for 16 more, and hardly any address ever has a second one.
    if (entry.joined.length === 0) entry.joined = [iface];
    else if (!entry.joined.includes(iface)) entry.joined = [...entry.joined, iface];
  }

  /** The interface is gone; its index never comes back. */
  forget(iface: IfIndex): void {
    this.#byIface.delete(iface);
  }

  on(iface: IfIndex): LedgerEntry[] {
    return [...(this.#byIface.get(iface) ?? [])];
  }

  /** The kernel deleted what the entry had on the interface. Returns whether that was anything, as far as we know. */
  sweep(entry: LedgerEntry, iface: IfIndex): boolean {
    const ages = AGES.filter((age) => ifaceOf(entry[age]) === iface);
    const hadNeighbour = entry.neighbour?.iface === iface;
    for (const age of ages) entry[age] = undefined;
    if (hadNeighbour) entry.neighbour = undefined;
    entry.unverified = entry.unverified?.filter((claim) => claim.iface !== iface);
    if (entry.want?.iface !== iface) {
      this.#byIface.get(iface)?.delete(entry);
      entry.joined = entry.joined.filter((joined) => joined !== iface);
    }
    return ages.length > 0 || hadNeighbour;
  }

  /** Forgets an address about which there is nothing left to know. */
  removeIfIdle(entry: LedgerEntry): void {
    if (entry.want !== undefined || entry.stuckRouteRepair || entry.busy || entry.workClass !== undefined)
      return;
    if (entry.fresh !== undefined || entry.settled !== undefined || entry.neighbour !== undefined) return;
    if (entry.unverified !== undefined || entry.pendingRouteDeletes > 0 || entry.pendingNeighbourDeletes > 0)
      return;
    this.#entries.delete(entry.ip);
    for (const iface of entry.joined) this.#byIface.get(iface)?.delete(entry);
  }
}

const NOWHERE: readonly IfIndex[] = [];

function blankEntry(ip: Ip): LedgerEntry {
  return {
    ip,
    want: undefined,
    stuckRouteRepair: false,
    fresh: undefined,
    settled: undefined,
    neighbour: undefined,
    unverified: undefined,
    workClass: undefined,
    busy: false,
    awaitingAck: false,
    retries: 0,
    conflict: false,
    pendingRouteDeletes: 0,
    pendingNeighbourDeletes: 0,
    joined: NOWHERE,
    version: 0,
    seenBy: 0,
    seenFresh: false,
    seenSettled: false,
    seenNeighbour: false,
  };
}

export function ifaceOf(occupant: Occupant | undefined): IfIndex | undefined {
  return occupant === undefined || occupant === STUCK_ROUTE_REPAIR ? undefined : occupant.iface;
}

/** Records the outcomes of a job. Returns the refusal that stands in the way of what is wanted. */
export function noteOutcomes(
  entry: LedgerEntry,
  steps: readonly Step[],
  outcomes: Outcomes,
): Refusal | undefined {
  return outcomes.some((outcome) => outcome?.reason === 'lost')
    ? noteLoss(entry, steps, outcomes)
    : noteAnswers(entry, steps, outcomes);
}

/** The co-process has ended: the result of this job is unknown, except where an outcome shows it. */
function noteLoss(entry: LedgerEntry, steps: readonly Step[], outcomes: Outcomes): Refusal | undefined {
  const claims: Claim[] = [...(entry.unverified ?? [])];
  if (entry.neighbour !== undefined) claims.push(entry.neighbour);
  let refusal: Refusal | undefined;
  steps.forEach((step, at) => {
    const outcome = outcomes[at];
    // No notification may come for it, and the next deletion by somebody else would pass for it.
    if (outcome !== undefined) forgetPendingDelete(entry, step);
    if (step.op !== 'set-neighbour') return;
    claims.push(step.claim);
    if (outcome !== undefined && outcome.reason !== 'lost') refusal = outcome;
  });
  entry.fresh = undefined;
  entry.settled = undefined;
  entry.neighbour = undefined;
  // The co-process dies of setting an entry only where there is no such interface: then nothing is there.
  entry.unverified = refusal === undefined ? claims : [];
  return refusal;
}

function noteAnswers(entry: LedgerEntry, steps: readonly Step[], outcomes: Outcomes): Refusal | undefined {
  let refusal: Refusal | undefined;
  // What was unverified is known now: there was a step for it.
  if (entry.unverified !== undefined) {
    entry.unverified = undefined;
    entry.neighbour = undefined;
  }
  for (let at = 0; at < steps.length; at++) {
    const step = steps[at] as Step;
    const outcome = outcomes[at];
    if (outcome !== undefined) forgetPendingDelete(entry, step);
    switch (step.op) {
      case 'set-neighbour':
        if (outcome === undefined) entry.neighbour = step.claim;
        else refusal ??= outcome;
        break;
      case 'drop-neighbour':
        if (entry.neighbour?.iface === step.claim.iface) entry.neighbour = undefined;
        break;
      case 'drop-route':
        if (outcome === undefined || outcome.reason === 'absent') entry[step.age] = undefined;
        else refusal ??= outcome;
        break;
      default:
        if (outcome === undefined) entry[step.age] = step.occupant;
        else if (outcome.reason === 'exists') entry.conflict = true;
        else refusal ??= outcome;
    }
  }
  return refusal;
}

function forgetPendingDelete(entry: LedgerEntry, { op }: Step): void {
  if (op === 'drop-route') entry.pendingRouteDeletes = Math.max(0, entry.pendingRouteDeletes - 1);
  else if (op === 'drop-neighbour')
    entry.pendingNeighbourDeletes = Math.max(0, entry.pendingNeighbourDeletes - 1);
}
