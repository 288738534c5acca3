import type { Attachment } from '../../events.js';
import { type Row, type Step, rows } from './machine.js';

type Kind = Contest['kind'];
type InputName = ContestInput['input'];

/**
 * The contest over an address between two living hosts: how often, with whom, and what it asks of the next move. A
 * contested address moves only when its old place is silent; between routers the challenger waits.
 */
const ANY: readonly Kind[] = ['none', 'open', 'frozen'];
export const CONTEST_TABLE: readonly Row<Kind, InputName, 'frozen'>[] = [
  ...rows(['none', 'open'], 'contested', 'open'),
  { from: 'open', input: 'contested', to: 'frozen', outcome: 'frozen', note: 'five within 180 s' },
  ...rows(['frozen'], 'contested'),
  ...rows(['none', 'open'], 'returned', 'open'),
  ...rows(['frozen'], 'returned'),
  ...(['outbid', 'vanished', 'refused'] as const).flatMap((input) => [
    ...rows(['none', 'open'] as const, input, 'open' as const),
    ...rows(['frozen'] as const, input),
  ]),
  { from: 'open', input: 'incumbent-gone', to: 'open', note: 'the challenger need not wait any longer' },
  ...rows(['none', 'frozen'], 'incumbent-gone'),
  ...rows(ANY, 'clear', 'none'),
];

interface Contested {
  /** When contested moves happened, the last five of the last 180 s. */
  readonly times: readonly number[];
  /** Until then the address moves only when its old place is silent. */
  readonly guardedUntil: number;
  /** Consecutive refusals of this router as the challenger of another one. */
  readonly refusals: number;
  /** Where the challenger is; undefined when it is behind another router. */
  readonly challenger: Attachment | undefined;
  /** While another router claims the address, it is not claimed here before this. */
  readonly retryAt: number | undefined;
}

export type Contest =
  | { readonly kind: 'none' }
  | (Contested & { readonly kind: 'open' })
  /** The address stays with its incumbent until then, as long as that one answers. */
  | (Contested & { readonly kind: 'frozen'; readonly until: number });

export type ContestInput =
  | {
      readonly input: 'contested';
      readonly challenger: Attachment | undefined;
      /** For how long a contest that was repeated too often is frozen; undefined: not by this one. */
      readonly freezeMs: number | undefined;
    }
  /** The host was elsewhere for a moment, or somebody pretended so. */
  | { readonly input: 'returned'; readonly challenger: Attachment }
  /** Another router has the host by now, and here it is silent. */
  | { readonly input: 'outbid'; readonly challenger: Attachment }
  /** It is silent here before our claim has aged, and another router may have it: it went back, or plays dead. */
  | { readonly input: 'vanished'; readonly challenger: Attachment }
  /** Another router has the host, and somebody answers here: we are the challenger and give way. */
  | { readonly input: 'refused'; readonly challenger: Attachment }
  | { readonly input: 'incumbent-gone' | 'clear' };

/** RFC 7432 section 15.1: N = 5 moves within M = 180 s. */
const WINDOW_MS = 180_000;
const LIMIT = 5;
/** Moves to and fro within M that are no contest. */
const RETURNS = 3;
const RETRY_MS = 10_000;
const RETRY_MAX_MS = 540_000;
/** After a contested move no other place is asked about the address for so long. */
const DAMPING_MS = 500;

export const NO_CONTEST: Contest = { kind: 'none' };

export function stepContest(contest: Contest, input: ContestInput, now: number): Step<Contest, 'frozen'> {
  switch (input.input) {
    case 'contested':
    case 'returned':
    case 'outbid':
    case 'vanished':
    case 'refused':
      return contested(contest, input, now);
    case 'incumbent-gone':
      if (contest.kind === 'none' || contest.retryAt === undefined) return [contest, undefined];
      return [{ ...contest, retryAt: Math.min(contest.retryAt, now) }, undefined];
    case 'clear':
      return [NO_CONTEST, undefined];
  }
}

function contested(
  old: Contest,
  input: Exclude<ContestInput, { input: 'incumbent-gone' | 'clear' }>,
  now: number,
): Step<Contest, 'frozen'> {
  const before = old.kind === 'none' ? { ...old, ...NEW } : old;
  const times = before.times.filter((time) => now - time < WINDOW_MS);
  // A few moves to and fro are no trouble: the host may have gone back at once.
  const returns = input.input === 'vanished' ? LIMIT - 1 : RETURNS;
  const isTrouble = input.input === 'contested' || times.length >= returns;
  const last = before.times.at(-1) ?? Number.NEGATIVE_INFINITY;
  const refusals = now - last < RETRY_MAX_MS ? before.refusals : 0;
  const isRefused =
    input.input === 'refused' ||
    ((input.input === 'outbid' || input.input === 'vanished') && (isTrouble || now < before.guardedUntil));
  const open = {
    times: [...times, now].slice(-LIMIT),
    guardedUntil: isTrouble ? now + WINDOW_MS : before.guardedUntil,
    refusals: isRefused ? refusals + 1 : refusals,
    challenger: input.challenger,
    retryAt: isRefused ? now + Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** refusals) : before.retryAt,
  };
  const frozenUntil = frozenUntilOf(old);
  if (now < frozenUntil) return [{ ...open, kind: 'frozen', until: frozenUntil }, undefined];
  const freezeMs = input.input === 'contested' ? input.freezeMs : undefined;
  if (open.times.length < LIMIT || freezeMs === undefined) return [{ ...open, kind: 'open' }, undefined];
  return [{ ...open, kind: 'frozen', until: now + freezeMs }, 'frozen'];
}

const NEW: Contested = {
  times: [],
  guardedUntil: Number.NEGATIVE_INFINITY,
  refusals: 0,
  challenger: undefined,
  retryAt: undefined,
};

/** Until when the address is frozen, 0 when it is not. */
export function frozenUntilOf(contest: Contest): number {
  return contest.kind === 'frozen' ? contest.until : 0;
}

/** Until when the address moves only when its old place is silent, and a claim at home is not dropped. */
export function guardedUntil(contest: Contest): number {
  if (contest.kind === 'none') return Number.NEGATIVE_INFINITY;
  return Math.max(contest.guardedUntil, frozenUntilOf(contest));
}

/** Until when no other place is asked about the address. */
export function dampedUntil(contest: Contest): number {
  const last = contest.kind === 'none' ? undefined : contest.times.at(-1);
  return last === undefined ? Number.NEGATIVE_INFINITY : last + DAMPING_MS;
}

/** Until when this router leaves the address to the other one that claims it. */
export function retryAtOf(contest: Contest): number {
  return contest.kind === 'none' ? 0 : (contest.retryAt ?? 0);
}

/** Whether two hosts have the address, or lately had. A host that went to and fro a few times is one. */
export function isContested(contest: Contest, now: number): boolean {
  return guardedUntil(contest) > now || isRefused(contest);
}

/** Whether this router gave way to another one lately: its next claim is a short one. */
export function isRefused(contest: Contest): boolean {
  return contest.kind !== 'none' && contest.refusals > 0;
}
