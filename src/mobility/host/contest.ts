import type { Attachment, DropReason } from '../events.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = Contest['kind'];
type InputName = ContestInput['input'];

/** The contest over an address between two living hosts: how often, with whom, and what is suppressed meanwhile. */
const ANY: readonly Kind[] = ['none', 'open', 'frozen'];
export const CONTEST_TABLE: readonly Row<Kind, InputName, 'frozen'>[] = [
  ...rows(['none', 'open'], 'contested', 'open'),
  { from: 'open', input: 'contested', to: 'frozen', outcome: 'frozen', note: 'five within 180 s' },
  ...rows(['frozen'], 'contested'),
  { from: 'open', input: 'retry', to: 'open', note: 'the challenger is heard again' },
  ...rows(['none', 'frozen'], 'retry'),
  { from: 'open', input: 'incumbent-gone', to: 'open', note: 'the challenger need not wait any longer' },
  ...rows(['none', 'frozen'], 'incumbent-gone'),
  ...rows(ANY, 'clear', 'none'),
];

interface Contested {
  /** When contested moves happened, the last 180 s. */
  readonly times: readonly number[];
  /** Consecutive refusals of the challenger. */
  readonly refusals: number;
  /** Where the challenger is; undefined when it is behind another router. */
  readonly challenger: Attachment | undefined;
  /** The challenger is suppressed before this; undefined when its time has come. */
  readonly retryAt: number | undefined;
}

export type Contest =
  | { readonly kind: 'none' }
  | (Contested & { readonly kind: 'open' })
  /** The address stays with its incumbent until then. */
  | (Contested & { readonly kind: 'frozen'; readonly until: number });

export type ContestInput =
  | {
      readonly input: 'contested';
      readonly challenger: Attachment | undefined;
      /** Whether the challenger is ours to suppress. */
      readonly suppress: boolean;
      /** For how long a contest that was repeated too often is frozen; undefined: not by this one. */
      readonly freezeMs: number | undefined;
    }
  | { readonly input: 'retry' | 'incumbent-gone' | 'clear' };

/** RFC 7432 section 15.1: N = 5 moves within M = 180 s. */
const WINDOW_MS = 180_000;
const LIMIT = 5;
const RETRY_MS = 10_000;
const RETRY_MAX_MS = 540_000;

export const NO_CONTEST: Contest = { kind: 'none' };

export function stepContest(contest: Contest, input: ContestInput, now: number): Step<Contest, 'frozen'> {
  switch (input.input) {
    case 'contested':
      return contested(contest, input, now);
    case 'retry':
      return [contest.kind === 'none' ? contest : { ...contest, retryAt: undefined }, undefined];
    case 'incumbent-gone':
      if (contest.kind === 'none' || contest.retryAt === undefined) return [contest, undefined];
      return [{ ...contest, retryAt: now }, undefined];
    case 'clear':
      return [NO_CONTEST, undefined];
  }
}

function contested(
  old: Contest,
  { challenger, suppress, freezeMs }: Extract<ContestInput, { input: 'contested' }>,
  now: number,
): Step<Contest, 'frozen'> {
  const before = old.kind === 'none' ? [] : old.times;
  const times = before.filter((time) => now - time < WINDOW_MS);
  times.push(now);
  const last = before.at(-1);
  const refusals = old.kind !== 'none' && last !== undefined && now - last < RETRY_MAX_MS ? old.refusals : 0;
  const retryAt = suppress ? now + Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** refusals) : undefined;
  const open = { times, refusals: refusals + 1, challenger, retryAt };
  const frozenUntil = frozenUntilOf(old);
  if (now < frozenUntil) return [{ ...open, kind: 'frozen', until: frozenUntil }, undefined];
  if (times.length < LIMIT || freezeMs === undefined) return [{ ...open, kind: 'open' }, undefined];
  return [{ ...open, kind: 'frozen', until: now + freezeMs }, 'frozen'];
}

/** Until when the address is frozen, 0 when it is not. */
export function frozenUntilOf(contest: Contest): number {
  return contest.kind === 'frozen' ? contest.until : 0;
}

/**
 * Why evidence from this attachment is suppressed now. `holder`: the attachment where the host is held or was last.
 * `vacant`: nobody has the address, so that whoever is there may have it.
 */
export function suppressionOf(
  contest: Contest,
  at: Attachment,
  holder: Attachment | undefined,
  vacant: boolean,
  now: number,
): DropReason | undefined {
  if (contest.kind === 'none' || vacant) return undefined;
  if (now < frozenUntilOf(contest)) {
    return holder?.iface === at.iface && holder.mac === at.mac ? undefined : 'frozen';
  }
  if (contest.retryAt === undefined || now >= contest.retryAt) return undefined;
  const { challenger } = contest;
  return challenger?.iface === at.iface && challenger.mac === at.mac ? 'contested' : undefined;
}

/** Until when the last contested move is recent enough to keep a claim that would otherwise be dropped. */
export function contestedUntil(contest: Contest): number {
  const last = contest.kind === 'none' ? undefined : contest.times.at(-1);
  return last === undefined ? Number.NEGATIVE_INFINITY : last + WINDOW_MS;
}

/** Only a challenger that is not held waits for its turn. */
export function contestDeadline(contest: Contest): number {
  return contest.kind === 'none' ? NEVER : (contest.retryAt ?? NEVER);
}
