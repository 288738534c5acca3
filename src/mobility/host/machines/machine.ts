/**
 * A host is a few small state machines. Each is a discriminated union and a function
 * `step(state, input, now) -> [state, outcome]`; nobody else makes a state of it. Its table stands first in its file.
 * docs/state-machine.md shows the tables, and test/unit/machines.test.ts holds the code to them: every state with
 * every input gives a row of the table, and every row occurs.
 */
export interface Row<State extends string, Input extends string, Outcome extends string> {
  readonly from: State;
  readonly input: Input;
  readonly to: State;
  /** What the coordinator is to do about it; absent when nothing follows. */
  readonly outcome?: Outcome;
  readonly note?: string;
}

/** The same row for several states; without `to` the state stays. */
export function rows<State extends string, Input extends string, Outcome extends string = never>(
  states: readonly State[],
  input: Input,
  to?: State,
  outcome?: Outcome,
): Row<State, Input, Outcome>[] {
  return states.map((from) => ({ from, input, to: to ?? from, ...(outcome && { outcome }) }));
}

/** The next state of a machine, and what follows from the step for the other machines. */
export type Step<State, Outcome> = readonly [state: State, outcome: Outcome | undefined];

/** No deadline. */
export const NEVER = Number.POSITIVE_INFINITY;
