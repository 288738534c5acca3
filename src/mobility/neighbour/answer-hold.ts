import type { Ip } from '../../wire/addresses.js';
import type { Attachment } from '../events.js';
import { NEVER, type Row, type Step } from '../host/machines/machine.js';

type Kind = AnswerHold['kind'];
type InputName = AnswerHoldInput['input'];
type Outcome = 'held' | 'answer';

/**
 * Answers that a host gets when its route is in the kernel. A host that asks for its gateway has packets waiting for
 * the answer, and what comes back for them before there is a route is lost (design.md 3.2).
 */
export const ANSWER_HOLD_TABLE: readonly Row<Kind, InputName, Outcome>[] = [
  { from: 'off', input: 'hold', to: 'holding', note: 'a host asks where it has no route, and is proven' },
  { from: 'holding', input: 'hold', to: 'holding', note: 'at the same place no longer than before' },
  { from: 'off', input: 'asked', to: 'off' },
  { from: 'holding', input: 'asked', to: 'holding', outcome: 'held' },
  { from: 'holding', input: 'asked', to: 'holding', note: 'from another place, or too many: not held back' },
  { from: 'off', input: 'installed', to: 'off' },
  { from: 'holding', input: 'installed', to: 'off', outcome: 'answer' },
  { from: 'holding', input: 'installed', to: 'holding', note: 'the route to another place' },
  { from: 'off', input: 'due', to: 'off' },
  { from: 'holding', input: 'due', to: 'off', outcome: 'answer', note: 'after 50 ms, whatever comes' },
  { from: 'holding', input: 'due', to: 'holding', note: 'not yet' },
  { from: 'off', input: 'refuse', to: 'off' },
  { from: 'holding', input: 'refuse', to: 'off', outcome: 'answer', note: 'there will be no route' },
];

export type AnswerHold =
  | { readonly kind: 'off' }
  | {
      readonly kind: 'holding';
      readonly at: Attachment;
      readonly until: number;
      /** What the host asked for. */
      readonly asked: readonly Ip[];
      /** Of that what it asked another MAC for, if anything: what it believes of it is wrong. */
      readonly astray?: readonly Ip[];
    };

export type AnswerHoldInput =
  | { readonly input: 'hold'; readonly at: Attachment }
  | {
      readonly input: 'asked';
      readonly at: Attachment;
      readonly target: Ip;
      /** At a MAC that is not ours. */
      readonly isAstray?: boolean;
    }
  /** The route to this place is in the kernel. */
  | { readonly input: 'installed'; readonly at: Attachment | undefined }
  | { readonly input: 'due' | 'refuse' };

/** The time of a proof's first question: then it is asked in the gateway's name (design.md 3.2). */
const HOLD_MS = 50;
/** A host that starts asks for its gateway, a resolver, a few neighbours. */
const MOST_ASKED = 4;

export const NO_ANSWER_HOLD: AnswerHold = { kind: 'off' };

export function stepAnswerHold(
  state: AnswerHold,
  input: AnswerHoldInput,
  now: number,
): Step<AnswerHold, Outcome> {
  if (input.input === 'hold') {
    if (isAt(state, input.at)) return [state, undefined];
    return [{ kind: 'holding', at: input.at, until: now + HOLD_MS, asked: [] }, undefined];
  }
  if (state.kind === 'off') return [state, undefined];
  switch (input.input) {
    case 'asked': {
      if (!isAt(state, input.at)) return [state, undefined];
      const isNew = !state.asked.includes(input.target);
      if (isNew && state.asked.length >= MOST_ASKED) return [state, undefined];
      const asked = isNew ? [...state.asked, input.target] : state.asked;
      const { astray = [] } = state;
      if (input.isAstray !== true || astray.includes(input.target)) return [{ ...state, asked }, 'held'];
      return [{ ...state, asked, astray: [...astray, input.target] }, 'held'];
    }
    case 'installed':
      return isAt(state, input.at) ? [NO_ANSWER_HOLD, 'answer'] : [state, undefined];
    case 'due':
      return state.until <= now ? [NO_ANSWER_HOLD, 'answer'] : [state, undefined];
    case 'refuse':
      return [NO_ANSWER_HOLD, 'answer'];
  }
}

function isAt(
  state: AnswerHold,
  at: Attachment | undefined,
): state is Extract<AnswerHold, { kind: 'holding' }> {
  return state.kind === 'holding' && state.at.iface === at?.iface && state.at.mac === at.mac;
}

export function answerHoldDeadline(state: AnswerHold): number {
  return state.kind === 'holding' ? state.until : NEVER;
}
