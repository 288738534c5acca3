import type { ClaimAge, IfIndex } from '../../mobility/events.js';
import { type Ip, type Mac, formatIp, formatMac, hostLength, isIpv4 } from '../../wire/addresses.js';

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
export const STUCK_ROUTE_REPAIR = 'ghost';

/** What the kernel has in a slot. */
export type Occupant = Claim | typeof STUCK_ROUTE_REPAIR;

/** What the kernel shall have for an address, and what it has as far as we know. */
export interface Holding {
  readonly ip: Ip;
  want: Claim | undefined;
  /** Only while nothing is wanted. */
  ghost: boolean;
  fresh: Occupant | undefined;
  settled: Occupant | undefined;
  /** The claim whose neighbour entry there is. */
  neighbour: Claim | undefined;
  /**
   * After the end of the co-process: claims whose neighbour entries may or may not be there. While it is defined the
   * slots are as doubtful.
   */
  doubtful: Claim[] | undefined;
}

export type Step =
  | { readonly op: 'set-neighbour'; readonly claim: Claim & { readonly mac: Mac } }
  | { readonly op: 'drop-neighbour'; readonly claim: Claim }
  | { readonly op: 'add-route' | 'replace-route'; readonly age: ClaimAge; readonly occupant: Occupant }
  | { readonly op: 'drop-route'; readonly age: ClaimAge };

/**
 * The steps from what there is to what is wanted: neighbour first, then the route, so that the first packet finds its
 * way; the new route before the old one goes (make before break); the old neighbour entry last.
 *
 * `foreign` tells whether somebody else made a permanent neighbour entry there: it is left alone.
 */
export function planSteps(
  holding: Holding,
  foreign: (ip: Ip, dev: string) => boolean = () => false,
): readonly Step[] {
  const { want, neighbour, doubtful } = holding;
  const steps: Step[] = [];
  const target: Occupant | undefined = want ?? (holding.ghost ? STUCK_ROUTE_REPAIR : undefined);
  const age = want?.age ?? 'settled';
  const other = age === 'fresh' ? 'settled' : 'fresh';
  const touches = (claim: Claim) => !foreign(holding.ip, claim.dev);

  if (want !== undefined && hasMac(want) && touches(want)) {
    if (neighbour === undefined || !sameNeighbour(neighbour, want)) {
      steps.push({ op: 'set-neighbour', claim: want });
    }
  }
  if (target === undefined) {
    if (holding[age] !== undefined || doubtful !== undefined) steps.push({ op: 'drop-route', age });
  } else if (doubtful !== undefined || holding[age] === undefined) {
    steps.push({ op: 'add-route', age, occupant: target });
  } else if (!sameOccupant(holding[age], target)) {
    steps.push({ op: 'replace-route', age, occupant: target });
  }
  if (holding[other] !== undefined || doubtful !== undefined) steps.push({ op: 'drop-route', age: other });

  if (neighbour !== undefined && !(want !== undefined && samePlace(neighbour, want)) && touches(neighbour)) {
    steps.push({ op: 'drop-neighbour', claim: neighbour });
  }
  for (const claim of doubtful ?? []) {
    if ((want !== undefined && samePlace(claim, want)) || !hasMac(claim) || !touches(claim)) continue;
    // Deleting an entry that is not there would end the co-process: make sure that it is.
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

/**
 * The line for `ip -batch` that carries out a step.
 *
 * The neighbour entry is permanent and extern_learn: a forged ARP cannot overwrite it, it does not age and does not
 * count against the kernel's limit. With our protocol number it can be told from those of others.
 * @throws Error for a device name that could break the line; the kernel allows such names, marpd does not
 */
export function commandFor(step: Step, ip: Ip, slots: Slots): string {
  const family = isIpv4(ip) ? '' : '-6 ';
  switch (step.op) {
    case 'set-neighbour': {
      const { dev, mac } = step.claim;
      return `${family}neigh replace ${formatIp(ip)} lladdr ${formatMac(mac)} dev ${deviceWord(dev)} nud permanent extern_learn protocol ${slots.protocol}`;
    }
    case 'drop-neighbour':
      return `${family}neigh del ${formatIp(ip)} dev ${deviceWord(step.claim.dev)}`;
    case 'add-route':
    case 'replace-route': {
      const verb = step.op === 'add-route' ? 'add' : 'replace';
      const where =
        step.occupant === STUCK_ROUTE_REPAIR
          ? ''
          : ` dev ${deviceWord(step.occupant.dev)}${isIpv4(ip) ? ' scope link' : ''}`;
      const type = step.occupant === STUCK_ROUTE_REPAIR ? 'blackhole ' : '';
      return `${family}route ${verb} ${type}${hostRoute(ip)}${where}${routeIdentity(slots.protocol, slots[step.age])}`;
    }
    case 'drop-route':
      return dropRouteCommand(ip, slots.protocol, slots[step.age]);
  }
}

/** Protocol, metric and table are enough: no device, which may be gone or have another name. */
export function dropRouteCommand(ip: Ip, protocol: number, slot: Slot): string {
  return `${isIpv4(ip) ? '' : '-6 '}route del ${hostRoute(ip)}${routeIdentity(protocol, slot)}`;
}

/**
 * Makes the kernel forget the MAC of a host. Not `neigh del`, which ends the co-process when there is no such entry;
 * a failed entry is resolved anew by the next packet.
 */
export function forgetCommand(ip: Ip, dev: string): string {
  return `${isIpv4(ip) ? '' : '-6 '}neigh replace ${formatIp(ip)} dev ${deviceWord(dev)} nud failed`;
}

function hostRoute(ip: Ip): string {
  return `${formatIp(ip)}/${hostLength(ip)}`;
}

function routeIdentity(protocol: number, slot: Slot): string {
  return ` proto ${protocol} metric ${slot.metric} table ${slot.table}`;
}

/** Printable, and nothing that `ip -batch` treats as quote, comment, escape or blank. */
export function isPlainDeviceName(dev: string): boolean {
  return /^[\x21-\x7e]{1,15}$/.test(dev) && !/["'#\\/]/.test(dev);
}

function deviceWord(dev: string): string {
  if (!isPlainDeviceName(dev))
    throw new Error(`device name ${JSON.stringify(dev)} cannot be given to ip -batch`);
  return dev;
}
