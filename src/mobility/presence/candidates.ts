import {
  type Family,
  type Ip,
  type Ipv6,
  type Mac,
  type Prefix,
  familyOf,
  isIpv4,
  low24,
  withEui64,
  withLow24,
} from '../../wire/addresses.js';
import { CANDIDATES_MS, UNCHANGED_MS } from '../admission/constants.js';
import type { TrackerContext } from '../context.js';
import { policyRefusal } from '../policy.js';

/**
 * Which addresses a MAC may have that nobody knows. Where the protocol lets a host name its addresses, those in the groups
 * that it named; else all that other routers claim.
 */

/** Addresses that other routers claim, that may move here and of which no MAC is known, most recently changed first. */
export class RemoteCandidates {
  #candidates: readonly Ip[] = [];
  #candidatesAt = Number.NEGATIVE_INFINITY;
  #candidatesOf = Number.NaN;

  snapshot() {
    return {
      candidates: this.#candidates,
      candidatesAt: this.#candidatesAt,
      candidatesOf: this.#candidatesOf,
    };
  }

  restore({ candidates, candidatesAt, candidatesOf }: ReturnType<RemoteCandidates['snapshot']>): void {
    this.#candidates = candidates;
    this.#candidatesAt = candidatesAt;
    this.#candidatesOf = candidatesOf;
  }

  *of(ctx: TrackerContext, family: Family): Generator<Ip> {
    for (const ip of this.#all(ctx)) if (familyOf(ip) === family) yield ip;
  }

  /** Only of families whose hosts cannot be asked for their addresses. */
  #all(ctx: TrackerContext): readonly Ip[] {
    const ageMs = ctx.now - this.#candidatesAt;
    const changed = this.#candidatesOf !== ctx.fib.remoteChanges;
    if (ageMs < (changed ? CANDIDATES_MS : UNCHANGED_MS)) return this.#candidates;
    this.#candidatesAt = ctx.now;
    this.#candidatesOf = ctx.fib.remoteChanges;
    const { families, policy, topology } = ctx;
    const remotes = [...ctx.fib.allRemotes()].map(({ ip }) => ip).reverse();
    this.#candidates = remotes.filter(
      (ip) =>
        families.of(ip)?.inquire === undefined &&
        isNobodys(ctx, ip) &&
        policyRefusal(policy, topology.subnets.defaultAllow, ip, undefined) === undefined,
    );
    return this.#candidates;
  }
}

/** A MAC that is looked up is nobody's, so an address of which a MAC is known is not its. */
function isNobodys({ table }: TrackerContext, ip: Ip): boolean {
  return table.get(ip)?.attachment === undefined;
}

/**
 * Addresses in these groups that `mac` may have. What another router claims comes first. A group in which there is nothing
 * of the kind, of a MAC of which no address of the family is known (`isUnknown`), may be that of an address that people
 * give to a host by hand (prefix::1:5), or of one that is made of its MAC.
 */
export function addressesIn(
  ctx: TrackerContext,
  groups: readonly number[],
  mac: Mac,
  isUnknown: boolean,
): readonly Ip[] {
  const found = new Set<Ip>();
  const guessed = new Set<Ip>();
  for (const low of groups) {
    const remotes = ctx.fib.remotesIn(low).filter((ip) => isNobodys(ctx, ip));
    for (const ip of remotes) found.add(ip);
    if (remotes.length > 0 || !isUnknown) continue;
    for (const prefix of homePrefixes(ctx))
      for (const ip of guesses(prefix, low, mac)) if (isNobodys(ctx, ip)) guessed.add(ip);
  }
  return [...found, ...guessed];
}

function* guesses(prefix: Prefix, low: number, mac: Mac): Generator<Ipv6> {
  const eui64 = withEui64(prefix, mac);
  if (eui64 !== undefined && low24(eui64) === low) yield eui64;
  const byHand = withLow24(prefix, low);
  if (byHand !== undefined) yield byHand;
}

/** The subnets that hosts are at home in, here or behind another router. */
function homePrefixes({ policy, topology }: TrackerContext): readonly Prefix[] {
  const configured = policy.subnets.map(({ prefix }) => prefix);
  const prefixes = configured.some(({ ip }) => !isIpv4(ip)) ? configured : topology.subnets.defaultAllow;
  return prefixes.filter(({ ip }) => !isIpv4(ip));
}
