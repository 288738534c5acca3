import { type Cause, HOST_STATES, type HostState } from '../../events.js';
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
  ...(['away', 'beneath'] as const).map((from) => ({
    from,
    input: 'found-at-home' as const,
    to: 'home' as const,
    outcome: 'entered' as const,
    note: 'of a standby: the active router claims it until it is home everywhere',
  })),
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
  ...rows(HOST_STATES, 'stand-by', 'beneath', 'entered'),
  { from: 'beneath', input: 'surfaced', to: 'settled', outcome: 'entered' },
  ...rows(['fresh', 'settled'], 'retry-fresh', 'fresh', 'entered'),

  ...rows(HOST_STATES, 'due'),
  { from: 'fresh', input: 'due', to: 'fresh', outcome: 'ages', note: 'its time as fresh is over' },
  { from: 'settled', input: 'due', to: 'settled', outcome: 'ages', note: 'settled for as long again' },
  { from: 'home', input: 'due', to: 'home', outcome: 'ages', note: 'back for a minute' },
  { from: 'fresh', input: 'due', to: 'fresh', outcome: 'withdrawable', note: 'the 20 ms rule is over' },
  { from: 'settled', input: 'due', to: 'settled', outcome: 'withdrawable', note: 'the 20 ms rule is over' },
  { from: 'beneath', input: 'due', to: 'beneath', outcome: 'ages', note: 'nobody else claims it' },
  { from: 'beneath', input: 'due', to: 'beneath', outcome: 'withdrawable', note: 'the 20 ms rule is over' },
  { from: 'away', input: 'due', to: 'away', outcome: 'ends', note: 'the remote claim is gone for good' },
  { from: 'remembered', input: 'due', to: 'remembered', outcome: 'ends' },
  { from: 'fresh', input: 'age', to: 'settled', outcome: 'entered' },
  { from: 'settled', input: 'unopposed', to: 'settled', note: 'from now on the incumbent' },
  { from: 'settled', input: 'returned', to: 'home', outcome: 'entered' },
  { from: 'home', input: 'at-ease', to: 'home' },
  ...rows(['fresh', 'settled'], 'age-later'),
  ...rows(['fresh', 'settled'], 'home-changed'),

  ...rows(['proving', 'home', 'fresh', 'settled', 'beneath', 'away'], 'lost', 'remembered', 'entered'),
  { from: 'fresh', input: 'lost-later', to: 'fresh', note: 'the 20 ms rule' },
  { from: 'settled', input: 'lost-later', to: 'settled', note: 'the 20 ms rule' },
  { from: 'beneath', input: 'lost-later', to: 'beneath', note: 'the 20 ms rule' },
  ...rows(
    ['unknown', 'proving', 'home', 'fresh', 'settled', 'beneath', 'remembered'],
    'elsewhere',
    'away',
    'entered',
  ),
  { from: 'away', input: 'remote-vanished', to: 'away', note: 'it ends after `settle`' },
  ...rows(['unknown', 'proving', 'home', 'fresh', 'settled', 'beneath', 'remembered'], 'remote-vanished'),
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
export const ROLES = ['challenger', 'incumbent'] as const;
export type Role = (typeof ROLES)[number];

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
  /** When we claimed it anew, since it was alive here and another router claimed it; of a LAN with several routers. */
  readonly objectedAt?: number | undefined;
}

export type Claim =
  | (Past & { readonly state: 'unknown' | 'proving' })
  /** `staleUntil`: back from another LAN, it may take the router there for its neighbours. */
  | (Held & { readonly state: 'home'; readonly staleUntil: number | undefined })
  | (Claimed & { readonly state: 'fresh' | 'settled' })
  /**
   * `ageAt`: when we claim it, because nobody else does. `installed`: our route is in the kernel, where that of another
   * router hides it.
   */
  | (Claimed & { readonly state: 'beneath'; readonly installed: boolean })
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
      readonly objectedAt?: number;
    }
  | { readonly input: 'adopt'; readonly ageAt: number; readonly homecoming: boolean }
  | {
      readonly input: 'stand-by';
      readonly cause: Cause;
      readonly ageAt: number;
      readonly installed: boolean;
    }
  | { readonly input: 'surfaced'; readonly ageAt: number }
  | { readonly input: 'retry-fresh' | 'age' | 'age-later'; readonly ageAt: number }
  | { readonly input: 'home-changed'; readonly homecoming: boolean; readonly ageAt: number }
  | { readonly input: 'lost' | 'remember'; readonly cause: Cause; readonly endsAt: number }
  | { readonly input: 'lost-later'; readonly cause: Cause; readonly at: number }
  | { readonly input: 'remote-vanished'; readonly endsAt: number }
  | { readonly input: 'returned' | 'at-ease' | 'unopposed' | 'due' | 'remote-appeared' };

/**
 * How long a host that is back home is helped with its neighbour entries. Linux keeps one for 15 to 45 s and doubts it
 * 8 s after that.
 */
const STALE_NEIGHBOURS_MS = 60_000;

export const UNKNOWN: Claim = {
  state: 'unknown',
  since: 0,
  cause: 'sighting',
  remoteAppearedAt: undefined,
  releasedAt: undefined,
};

/** Ours to claim, now or when nobody else does. */
export function isClaimed(claim: Claim): claim is Extract<Claim, Claimed> {
  return isAnnounced(claim) || claim.state === 'beneath';
}

/** A claim that other routers may see. */
export function isAnnounced(claim: Claim): claim is Extract<Claim, { state: 'fresh' | 'settled' }> {
  return claim.state === 'fresh' || claim.state === 'settled';
}

/** Our route is in the kernel. */
export function hasRoute(claim: Claim): boolean {
  return isAnnounced(claim) || (claim.state === 'beneath' && claim.installed);
}

export function isHeld(claim: Claim): claim is Extract<Claim, Held> {
  return isClaimed(claim) || claim.state === 'home';
}

/**
 * A claim that another router may still object to. It ages as if its host had not moved since: or a machine that is now
 * here, now there would keep it fresh for ever, and the objection hidden.
 */
export function isYoung(claim: Claim): claim is Extract<Claim, { state: 'fresh' | 'settled' }> {
  return isAnnounced(claim) && claim.role === 'challenger';
}

/** @throws Error when the table has no such row: an invariant of ours is broken */
export function stepClaim(claim: Claim, input: ClaimInput, now: number): Step<Claim, ClaimOutcome> {
  if (POSSIBLE.get(input.input)?.has(claim.state) !== true) return broken(claim, input);
  switch (input.input) {
    case 'prove':
      return enter(unclaimed('proving', claim, input.cause, now));
    case 'forget':
      return enter(unclaimed('unknown', claim, input.cause, now));
    case 'found-at-home':
      return enter(home(claim, input.cause, now, { role: 'challenger', retryFrom: now }));
    case 'found': {
      const { homecoming, overlapsRemote, retryFrom } = input;
      if (isYoung(claim)) {
        const terms = { ageAt: claim.ageAt, homecoming, overlapsRemote };
        return enter(claimed(claim.state, claim, input.cause, now, claim, terms));
      }
      // The router that had it is the incumbent, on whichever of its LANs.
      const role = isHeld(claim) ? 'incumbent' : 'challenger';
      return enter(claimed('fresh', claim, input.cause, now, { role, retryFrom }, input));
    }
    case 'reclaim': {
      const { ageAt, homecoming, role } = input;
      if (role === 'challenger' && isYoung(claim)) {
        const { overlapsRemote } = claim;
        const terms = { ageAt: claim.ageAt, homecoming, overlapsRemote };
        return enter(claimed(claim.state, claim, input.cause, now, claim, terms));
      }
      const retryFrom = isHeld(claim) ? claim.retryFrom : now;
      const terms = { ageAt, homecoming, overlapsRemote: true };
      const again = claimed('fresh', claim, input.cause, now, { role, retryFrom }, terms);
      return enter(input.objectedAt === undefined ? again : { ...again, objectedAt: input.objectedAt });
    }
    case 'adopt': {
      const overlapsRemote = isClaimed(claim) && claim.overlapsRemote;
      const held = { role: 'incumbent', retryFrom: now } as const;
      return enter(claimed('settled', claim, 'adopted', now, held, { ...input, overlapsRemote }));
    }
    case 'stand-by': {
      const { ageAt, installed } = input;
      const held = { role: 'incumbent', retryFrom: now } as const;
      const terms = { ageAt, homecoming: false, overlapsRemote: false };
      const below = claimed('settled', claim, input.cause, now, held, terms);
      return enter({ ...below, state: 'beneath', installed });
    }
    case 'surfaced': {
      if (claim.state !== 'beneath') return broken(claim, input);
      const terms = { ageAt: input.ageAt, homecoming: false, overlapsRemote: false };
      return enter(
        claimed('settled', claim, 'surfaced', now, claim, { ...terms, withdrawal: claim.withdrawal }),
      );
    }
    case 'retry-fresh': {
      if (!isAnnounced(claim)) return broken(claim, input);
      const { role, homecoming } = claim;
      const terms = { ageAt: input.ageAt, homecoming, overlapsRemote: true };
      return enter(claimed('fresh', claim, 'contested', now, { role, retryFrom: NEVER }, terms));
    }
    case 'age': {
      if (claim.state !== 'fresh') return broken(claim, input);
      const { homecoming, withdrawal } = claim;
      // A withdrawal that waits for the 20 ms rule goes on waiting.
      const terms = { ageAt: input.ageAt, homecoming, overlapsRemote: false, withdrawal };
      const older = claimed('settled', claim, 'aged', now, claim, terms);
      const { objectedAt } = claim;
      return enter(objectedAt === undefined ? older : { ...older, objectedAt });
    }
    case 'returned':
      if (claim.state !== 'settled') return broken(claim, input);
      return enter(home(claim, 'returned', now, claim, now + STALE_NEIGHBOURS_MS));
    case 'lost':
    case 'remember':
      return enter({ ...past(claim, input.cause, now), state: 'remembered', endsAt: input.endsAt });
    case 'elsewhere':
      return enter({ ...past(claim, input.cause, now), state: 'away', endsAt: undefined });
    default:
      return stay(claim, input, now);
  }
}

/** Inputs that change no state. */
function stay(claim: Claim, input: ClaimInput, now: number): Step<Claim, ClaimOutcome> {
  switch (input.input) {
    case 'unopposed':
      return isAnnounced(claim)
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
    case 'at-ease':
      if (claim.state !== 'home') return broken(claim, input);
      return [{ ...claim, staleUntil: undefined }, undefined];
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
  if (claim.state === 'home') return (claim.staleUntil ?? NEVER) <= now ? 'ages' : undefined;
  return endOf(claim) <= now ? 'ends' : undefined;
}

type Standing = Pick<Held, 'role' | 'retryFrom'>;
type Terms = Pick<Claimed, 'ageAt' | 'homecoming' | 'overlapsRemote'> & Partial<Pick<Claimed, 'withdrawal'>>;

function enter(claim: Claim): Step<Claim, ClaimOutcome> {
  return [claim, 'entered'];
}

// The states of a burst are literals with every field. A literal that spreads several objects takes V8 five times as long,
// and 50,000 newcomers at once enter 150,000 states.

function unclaimed(state: 'unknown' | 'proving', before: Claim, cause: Cause, now: number): Claim {
  const { remoteAppearedAt } = before;
  return { state, since: now, cause, remoteAppearedAt, releasedAt: releasedAt(before, now) };
}

function home(
  before: Claim,
  cause: Cause,
  now: number,
  { role, retryFrom }: Standing,
  staleUntil?: number,
): Claim {
  const { remoteAppearedAt } = before;
  return {
    state: 'home',
    since: now,
    cause,
    remoteAppearedAt,
    releasedAt: releasedAt(before, now),
    role,
    retryFrom,
    staleUntil,
  };
}

function claimed(
  state: 'fresh' | 'settled',
  before: Claim,
  cause: Cause,
  now: number,
  { role, retryFrom }: Standing,
  { ageAt, homecoming, overlapsRemote, withdrawal }: Terms,
): Claimed & { readonly state: 'fresh' | 'settled' } {
  const { remoteAppearedAt } = before;
  return {
    state,
    since: now,
    cause,
    remoteAppearedAt,
    releasedAt: releasedAt(before, now),
    role,
    retryFrom,
    homecoming,
    ageAt,
    withdrawal,
    overlapsRemote,
  };
}

function past(before: Claim, cause: Cause, now: number): Past {
  const { remoteAppearedAt } = before;
  return { since: now, cause, remoteAppearedAt, releasedAt: releasedAt(before, now) };
}

function releasedAt(before: Claim, now: number): number | undefined {
  // What is hidden may have surfaced a moment ago, and its routing daemon knows it before we do.
  return hasRoute(before) ? now : before.releasedAt;
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
  if (isClaimed(claim)) return Math.min(claim.ageAt, claim.withdrawal?.at ?? NEVER);
  return claim.state === 'home' ? (claim.staleUntil ?? NEVER) : endOf(claim);
}
