import type { ClaimAge, IfIndex } from '../../mobility/events.js';
import type { Ip, Mac } from '../../wire/addresses.js';

/** Where and how a claim shall stand in the kernel. `mac` undefined: adopted without a neighbour entry. */
export interface Claim {
  readonly ip: Ip;
  readonly iface: IfIndex;
  readonly dev: string;
  readonly mac: Mac | undefined;
  readonly age: ClaimAge;
}

/** Table and metric of the claims of one age: with the address, the identity of a route. */
export interface Slot {
  readonly table: number;
  readonly metric: number;
}

export interface Slots {
  readonly protocol: number;
  readonly fresh: Slot;
  readonly settled: Slot;
}

/** A route that leads nowhere, made and deleted to remind a routing daemon that there is none (design.md 3.3). */
export const STUCK_ROUTE_REPAIR = 'stuck-route-repair';

/** What the kernel has in a slot. */
export type Occupant = Claim | typeof STUCK_ROUTE_REPAIR;

/** What the kernel shall have for an address, and what it has as far as we know. */
export interface Holding {
  readonly ip: Ip;
  want: Claim | undefined;
  /** Only while nothing is wanted. */
  stuckRouteRepair: boolean;
  fresh: Occupant | undefined;
  settled: Occupant | undefined;
  /** The claim whose neighbour entry there is. */
  neighbour: Claim | undefined;
  /**
   * After the end of the co-process: claims whose neighbour entries may or may not be there. While it is defined the
   * slots are as unverified.
   */
  unverified: Claim[] | undefined;
}

export type Step =
  | { readonly op: 'set-neighbour'; readonly claim: Claim & { readonly mac: Mac } }
  | { readonly op: 'drop-neighbour'; readonly claim: Claim }
  | { readonly op: 'add-route' | 'replace-route'; readonly age: ClaimAge; readonly occupant: Occupant }
  | { readonly op: 'drop-route'; readonly age: ClaimAge };

/** A device by the name that it has, or had, and by the index that is its own for ever. */
export interface Device {
  readonly dev: string;
  readonly iface: IfIndex;
}

/** Steps that belong to no claim. */
export type LooseStep =
  /** The kernel forgets the MAC of a host on an interface that it left. */
  | { readonly op: 'forget-neighbour'; readonly device: Device }
  /** A route of ours in no slot of ours. */
  | { readonly op: 'drop-orphaned-route'; readonly slot: Slot };

/**
 * The steps from what there is to what is wanted: neighbour first, then the route, so that the first packet finds its
 * way; the new route before the old one goes (make before break); the old neighbour entry last.
 *
 * `foreign`: whether somebody else made a permanent neighbour entry there; it is left alone.
 */
export function planSteps(
  holding: Holding,
  foreign: (ip: Ip, dev: string) => boolean = () => false,
): readonly Step[] {
  const { want, neighbour, unverified } = holding;
  const steps: Step[] = [];
  const target: Occupant | undefined = want ?? (holding.stuckRouteRepair ? STUCK_ROUTE_REPAIR : undefined);
  const age = want?.age ?? 'settled';
  const other = age === 'fresh' ? 'settled' : 'fresh';
  const touches = (claim: Claim) => !foreign(holding.ip, claim.dev);

  if (want !== undefined && hasMac(want) && touches(want)) {
    if (neighbour === undefined || !sameNeighbour(neighbour, want)) {
      steps.push({ op: 'set-neighbour', claim: want });
    }
  }
  if (target === undefined) {
    if (holding[age] !== undefined || unverified !== undefined) steps.push({ op: 'drop-route', age });
  } else if (unverified !== undefined || holding[age] === undefined) {
    steps.push({ op: 'add-route', age, occupant: target });
  } else if (!sameOccupant(holding[age], target)) {
    steps.push({ op: 'replace-route', age, occupant: target });
  }
  if (holding[other] !== undefined || unverified !== undefined) steps.push({ op: 'drop-route', age: other });

  if (neighbour !== undefined && !(want !== undefined && samePlace(neighbour, want)) && touches(neighbour)) {
    steps.push({ op: 'drop-neighbour', claim: neighbour });
  }
  for (const claim of unverified ?? []) {
    if ((want !== undefined && samePlace(claim, want)) || !hasMac(claim) || !touches(claim)) continue;
    // Deleting an entry that is not there would end the process: make sure that it is.
    steps.push({ op: 'set-neighbour', claim }, { op: 'drop-neighbour', claim });
  }
  return steps;
}

function hasMac(claim: Claim): claim is Claim & { readonly mac: Mac } {
  return claim.mac !== undefined;
}

export function samePlace(a: Claim, b: Claim): boolean {
  return a.iface === b.iface && a.dev === b.dev;
}

export function sameNeighbour(a: Claim, b: Claim): boolean {
  return samePlace(a, b) && a.mac === b.mac;
}

function sameOccupant(a: Occupant | undefined, b: Occupant): boolean {
  if (a === STUCK_ROUTE_REPAIR || b === STUCK_ROUTE_REPAIR || a === undefined) return a === b;
  return samePlace(a, b);
}
