import { type Cause, HOST_STATES, type HostState } from '../events.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type InputName = ClaimInput['input'];

/**
 * What we hold for an address: a claim (fresh or settled), a record of a host at home, or the memory of one. The
 * claim ages: fresh beats every routing protocol's route, settled loses to each of them, so the newest claim wins
 * everywhere (design.md 3.3).
 */
export const CLAIM_TABLE: readonly Row<HostState, InputName, ClaimOutcome>[] = [
  ...rows(['unknown', 'remembered'], 'prove', 'proving', 'entered'),
  {
    from: 'home',
    input: 'prove',
    to: 'proving',
    outcome: 'entered',
    note: 'it is to be claimed from now on',
  },
  ...rows(['unknown', 'proving', 'home', 'remembered'], 'found-at-home', 'home', 'entered'),
  ...rows(HOST_STATES, 'found', 'fresh', 'entered'),
  ...rows(HOST_STATES, 'reclaim', 'fresh', 'entered'),
  ...(['found', 'reclaim'] as const).map((input) => ({
    from: 'settled' as const,
    input,
    to: 'settled' as const,
    outcome: 'entered' as const,
    note: 'a challenger on another LAN of this router: its age stays',
  })),
  ...rows(HOST_STATES, 'adopt', 'settled', 'entered'),
  ...rows(['fresh', 'settled'], 'retry-fresh', 'fresh', 'entered'),

  ...rows(HOST_STATES, 'due'),
  { from: 'fresh', input: 'due', to: 'fresh', outcome: 'ages', note: 'its time as fresh is over' },
  { from: 'settled', input: 'due', to: 'settled', outcome: 'ages', note: 'settled for as long again' },
  { from: 'fresh', input: 'due', to: 'fresh', outcome: 'withdrawable', note: 'the 20 ms rule is over' },
  { from: 'settled', input: 'due', to: 'settled', outcome: 'withdrawable', note: 'the 20 ms rule is over' },
  { from: 'away', input: 'due', to: 'away', outcome: 'ends', note: 'the remote claim is gone for good' },
  { from: 'remembered', input: 'due', to: 'remembered', outcome: 'ends' },
  { from: 'fresh', input: 'age', to: 'settled', outcome: 'entered' },
  { from: 'settled', input: 'unopposed', to: 'settled', note: 'from now on the incumbent' },
  { from: 'settled', input: 'returned', to: 'home', outcome: 'entered' },
  ...rows(['fresh', 'settled'], 'age-later'),
  ...rows(['fresh', 'settled'], 'home-changed'),

  ...rows(['proving', 'home', 'fresh', 'settled', 'away'], 'lost', 'remembered', 'entered'),
  { from: 'fresh', input: 'lost-later', to: 'fresh', note: 'the 20 ms rule' },
  { from: 'settled', input: 'lost-later', to: 'settled', note: 'the 20 ms rule' },
  ...rows(['unknown', 'proving', 'home', 'fresh', 'settled', 'remembered'], 'elsewhere', 'away', 'entered'),
  { from: 'away', input: 'remote-vanished', to: 'away', note: 'it ends after `settle`' },
  ...rows(['unknown', 'proving', 'home', 'fresh', 'settled', 'remembered'], 'remote-vanished'),
  ...rows(HOST_STATES, 'remote-appeared'),
  ...rows(['unknown', 'remembered'], 'remember', 'remembered', 'entered'),
  ...rows(['proving', 'home', 'away', 'remembered'], 'forget', 'unknown', 'entered'),
];

/** The states in which an input is possible. */
const POSSIBLE: ReadonlyMap<InputName, ReadonlySet<HostState>> = new Map(
  CLAIM_TABLE.map(({ input }) => [
    input,
    new Set(CLAIM_TABLE.filter((row) => row.input === input).map((row) => row.from)),
  ]),
);

export type ClaimOutcome = 'entered' | 'ages' | 'withdrawable' | 'ends';

/** Who gives way when two living hosts use one address: the challenger, who came later (design.md 3.3). */
export type Role = 'challenger' | 'incumbent';

interface Past {
  readonly since: number;
  readonly cause: Cause;
  /** When a remote claim last appeared; it may be gone again. */
  readonly remoteAppearedAt: number | undefined;
  /** When our claim was last given up. */
  readonly releasedAt: number | undefined;
}

interface Held extends Past {
  readonly role: Role;
  /** From then on a challenger may claim fresh a second time; NEVER: it has, and gives way the next time. */
  readonly retryFrom: number;
}

interface Claimed extends Held {
  /** Claimed on its home LAN; dropped when no other router objects. */
  readonly homecoming: boolean;
  /** fresh: when it becomes settled. settled: when it counts as unopposed. */
  readonly ageAt: number;
  /** A withdrawal that waits for the 20 ms rule. */
  readonly withdrawal: { readonly cause: Cause; readonly at: number } | undefined;
  /** Another claim is hidden or replaced by this one: two may be in the network until one ages. */
  readonly overlapsRemote: boolean;
}

export type Claim =
  | (Past & { readonly state: 'unknown' | 'proving' })
  | (Held & { readonly state: 'home' })
  | (Claimed & { readonly state: 'fresh' | 'settled' })
  /** `endsAt`: when the loss of the remote claim counts. */
  | (Past & { readonly state: 'away'; readonly endsAt: number | undefined })
  /** `endsAt`: when it is forgotten. */
  | (Past & { readonly state: 'remembered'; readonly endsAt: number });

/** Times in ms on the monotonic clock. */
export type ClaimInput =
  | { readonly input: 'prove' | 'elsewhere' | 'forget' | 'found-at-home'; readonly cause: Cause }
  | {
      readonly input: 'found';
      readonly cause: Cause;
      readonly ageAt: number;
      readonly retryFrom: number;
      readonly homecoming: boolean;
      readonly overlapsRemote: boolean;
    }
  /** `role`: among the routers. */
  | {
      readonly input: 'reclaim';
      readonly cause: Cause;
      readonly ageAt: number;
      readonly homecoming: boolean;
      readonly role: Role;
    }
  | { readonly input: 'adopt'; readonly ageAt: number; readonly homecoming: boolean }
  | { readonly input: 'retry-fresh' | 'age' | 'age-later'; readonly ageAt: number }
  | { readonly input: 'home-changed'; readonly homecoming: boolean; readonly ageAt: number }
  | { readonly input: 'lost' | 'remember'; readonly cause: Cause; readonly endsAt: number }
  | { readonly input: 'lost-later'; readonly cause: Cause; readonly at: number }
  | { readonly input: 'remote-vanished'; readonly endsAt: number }
  | { readonly input: 'returned' | 'unopposed' | 'due' | 'remote-appeared' };

/**
 * A claim is not deleted earlier than this after a remote one appeared: zebra may then go on announcing a route that
 * no longer exists (seen in up to 4 of 20 tries below 1 ms, 0 of 60 from 20 ms on).
 */
export const EARLY_RELEASE_MS = 20;

export const UNKNOWN: Claim = {
  state: 'unknown',
  since: 0,
  cause: 'sighting',
  remoteAppearedAt: undefined,
  releasedAt: undefined,
};

export function isClaimed(claim: Claim): claim is Extract<Claim, Claimed> {
  return claim.state === 'fresh' || claim.state === 'settled';
}

export function isHeld(claim: Claim): claim is Extract<Claim, Held> {
  return isClaimed(claim) || claim.state === 'home';
}

/**
 * A claim that another router may still object to. It ages as if its host had not moved since: or a machine that is now
 * here, now there would keep it fresh for ever, and the objection hidden.
 */
export function isYoung(claim: Claim): claim is Extract<Claim, Claimed> {
  return isClaimed(claim) && claim.role === 'challenger';
}

/** @throws Error when the table has no such row: an invariant of ours is broken */
export function stepClaim(claim: Claim, input: ClaimInput, now: number): Step<Claim, ClaimOutcome> {
  if (POSSIBLE.get(input.input)?.has(claim.state) !== true) return broken(claim, input);
  switch (input.input) {
    case 'prove':
      return enter({ ...past(claim, input.cause, now), state: 'proving' });
    case 'found-at-home':
      return enter({ ...past(claim, input.cause, now), role: 'challenger', retryFrom: now, state: 'home' });
    case 'found': {
      const { ageAt, homecoming, overlapsRemote } = input;
      if (isYoung(claim)) {
        const moved = { ...claim, ...past(claim, input.cause, now) };
        return enter({ ...moved, homecoming, overlapsRemote, withdrawal: undefined });
      }
      // The router that had it is the incumbent, on whichever of its LANs.
      const role = isHeld(claim) ? 'incumbent' : 'challenger';
      const held = { ...past(claim, input.cause, now), role, retryFrom: input.retryFrom } as const;
      return enter({ ...held, state: 'fresh', ageAt, homecoming, overlapsRemote, withdrawal: undefined });
    }
    case 'reclaim': {
      const { ageAt, homecoming, role } = input;
      const again = { ...past(claim, input.cause, now), homecoming, withdrawal: undefined };
      if (role === 'challenger' && isYoung(claim)) return enter({ ...claim, ...again });
      const retryFrom = isHeld(claim) ? claim.retryFrom : now;
      return enter({ ...again, state: 'fresh', role, retryFrom, ageAt, overlapsRemote: true });
    }
    case 'adopt': {
      const { ageAt, homecoming } = input;
      const held = { ...past(claim, 'adopted', now), role: 'incumbent', retryFrom: now } as const;
      const overlapsRemote = isClaimed(claim) && claim.overlapsRemote;
      return enter({ ...held, state: 'settled', ageAt, homecoming, overlapsRemote, withdrawal: undefined });
    }
    case 'retry-fresh': {
      if (!isClaimed(claim)) return broken(claim, input);
      const { ageAt } = input;
      const again = { ...claim, ...past(claim, 'contested', now), retryFrom: NEVER, overlapsRemote: true };
      return enter({ ...again, state: 'fresh', ageAt, withdrawal: undefined });
    }
    case 'age': {
      if (claim.state !== 'fresh') return broken(claim, input);
      // A withdrawal that waits for the 20 ms rule goes on waiting.
      const aged = { ...claim, ...past(claim, 'aged', now), overlapsRemote: false };
      return enter({ ...aged, state: 'settled', ageAt: input.ageAt });
    }
    case 'returned': {
      if (claim.state !== 'settled') return broken(claim, input);
      const { role, retryFrom } = claim;
      return enter({ ...past(claim, 'returned', now), role, retryFrom, state: 'home' });
    }
    case 'lost':
    case 'remember':
      return enter({ ...past(claim, input.cause, now), state: 'remembered', endsAt: input.endsAt });
    case 'elsewhere':
      return enter({ ...past(claim, input.cause, now), state: 'away', endsAt: undefined });
    case 'forget':
      return enter({ ...past(claim, input.cause, now), state: 'unknown' });
    default:
      return stay(claim, input, now);
  }
}

/** Inputs that change no state. */
function stay(claim: Claim, input: ClaimInput, now: number): Step<Claim, ClaimOutcome> {
  switch (input.input) {
    case 'unopposed':
      return isClaimed(claim)
        ? [{ ...claim, role: 'incumbent', ageAt: NEVER }, undefined]
        : [claim, undefined];
    case 'age-later':
      return isClaimed(claim) ? [{ ...claim, ageAt: input.ageAt }, undefined] : [claim, undefined];
    case 'home-changed':
      if (!isClaimed(claim)) return [claim, undefined];
      return [{ ...claim, homecoming: input.homecoming, ageAt: input.ageAt }, undefined];
    case 'lost-later':
      if (!isClaimed(claim)) return broken(claim, input);
      return [{ ...claim, withdrawal: { cause: input.cause, at: input.at } }, undefined];
    case 'remote-appeared':
      if (claim.state === 'away') return [{ ...claim, remoteAppearedAt: now, endsAt: undefined }, undefined];
      return [{ ...claim, remoteAppearedAt: now }, undefined];
    case 'remote-vanished':
      return [claim.state === 'away' ? { ...claim, endsAt: input.endsAt } : claim, undefined];
    case 'due':
      return [claim, dueOutcome(claim, now)];
    default:
      return broken(claim, input);
  }
}

function dueOutcome(claim: Claim, now: number): ClaimOutcome | undefined {
  if (isClaimed(claim)) {
    if (claim.withdrawal !== undefined && claim.withdrawal.at <= now) return 'withdrawable';
    return claim.ageAt <= now ? 'ages' : undefined;
  }
  return endOf(claim) <= now ? 'ends' : undefined;
}

function enter(claim: Claim): Step<Claim, ClaimOutcome> {
  return [claim, 'entered'];
}

function past(claim: Claim, cause: Cause, now: number): Past {
  return {
    since: now,
    cause,
    remoteAppearedAt: claim.remoteAppearedAt,
    releasedAt: isClaimed(claim) ? now : claim.releasedAt,
  };
}

function broken(claim: Claim, { input }: ClaimInput): never {
  throw new Error(`claim: no transition from ${claim.state} by ${input}`);
}

function endOf(claim: Claim): number {
  return claim.state === 'away' || claim.state === 'remembered' ? (claim.endsAt ?? NEVER) : NEVER;
}

/** When the present state ends by itself; undefined for a state that does not. */
export function endsAt(claim: Claim): number | undefined {
  const at = isClaimed(claim) ? claim.ageAt : endOf(claim);
  return at === NEVER ? undefined : at;
}

export function claimDeadline(claim: Claim): number {
  return isClaimed(claim) ? Math.min(claim.ageAt, claim.withdrawal?.at ?? NEVER) : endOf(claim);
}
