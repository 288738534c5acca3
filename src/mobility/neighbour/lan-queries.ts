import type { Ip } from '../../wire/addresses.js';
import { TokenBucket } from '../../rate/token-bucket.js';
import { Deadlines, type Due } from '../deadlines.js';
import type { Attachment, IfIndex } from '../events.js';
import type { Reply } from './asker.js';
import { NEVER, type Row, type Step } from '../host/machines/machine.js';

type Kind = LanQueryState['kind'];
type InputName = LanQueryInput['input'];

/** Does somebody on this LAN have this address? Asked by broadcast when nothing is known of it, and remembered. */
export const LAN_QUERY_TABLE: readonly Row<Kind, InputName, LanQueryOutcome>[] = [
  { from: 'idle', input: 'wanted', to: 'asking', outcome: 'ask' },
  { from: 'asking', input: 'wanted', to: 'asking', note: 'several askers share one question' },
  { from: 'taken', input: 'wanted', to: 'taken' },
  { from: 'free', input: 'wanted', to: 'free' },
  { from: 'idle', input: 'heard', to: 'idle' },
  { from: 'asking', input: 'heard', to: 'taken' },
  { from: 'taken', input: 'heard', to: 'taken' },
  { from: 'free', input: 'heard', to: 'idle', note: 'somebody came: the next asker has it asked again' },
  { from: 'idle', input: 'due', to: 'idle' },
  { from: 'asking', input: 'due', to: 'asking', outcome: 'ask', note: 'once more, after 50 ms' },
  { from: 'asking', input: 'due', to: 'free', outcome: 'nobody', note: 'after 100 ms' },
  { from: 'asking', input: 'due', to: 'idle', note: 'an answer would not be heard' },
  { from: 'asking', input: 'due', to: 'asking', note: 'not yet' },
  { from: 'taken', input: 'due', to: 'idle', note: 'after a minute' },
  { from: 'taken', input: 'due', to: 'taken', note: 'not yet' },
  { from: 'free', input: 'due', to: 'idle', note: 'after a minute' },
  { from: 'free', input: 'due', to: 'free', note: 'not yet' },
];

const TRIES = 2;
const TRY_MS = 50;
const REMEMBERED_MS = 60_000;
const MOST_REMEMBERED = 16_384;
/** Questions of one interface: a scan of a subnet by one host must not become a broadcast storm. */
const QUESTIONS_PER_SECOND = 20;
const QUESTIONS_BURST = 50;
const MOST_ASKERS = 8;

/** `at`: when the state ends by itself, or the next try is due. */
export type LanQueryState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'asking'; readonly sent: number; readonly at: number }
  | { readonly kind: 'taken' | 'free'; readonly at: number };

export type LanQueryInput =
  | { readonly input: 'wanted' | 'heard' }
  /** `listening`: an answer would have been heard. */
  | { readonly input: 'due'; readonly listening: boolean };

export type LanQueryOutcome = 'ask' | 'nobody';

export const LAN_QUERY_IDLE: LanQueryState = { kind: 'idle' };

export function stepLanQuery(
  state: LanQueryState,
  input: LanQueryInput,
  now: number,
): Step<LanQueryState, LanQueryOutcome> {
  switch (input.input) {
    case 'wanted':
      if (state.kind !== 'idle') return [state, undefined];
      return [{ kind: 'asking', sent: 1, at: now + TRY_MS }, 'ask'];
    case 'heard':
      if (state.kind === 'asking') return [{ kind: 'taken', at: now + REMEMBERED_MS }, undefined];
      return [state.kind === 'free' ? LAN_QUERY_IDLE : state, undefined];
    case 'due':
      if (state.kind === 'idle' || now < state.at) return [state, undefined];
      if (state.kind !== 'asking' || !input.listening) return [LAN_QUERY_IDLE, undefined];
      if (state.sent < TRIES) return [{ kind: 'asking', sent: state.sent + 1, at: now + TRY_MS }, 'ask'];
      return [{ kind: 'free', at: now + REMEMBERED_MS }, 'nobody'];
  }
}

/** Who waits for the outcome: a host that asked, or one that sends packets to a MAC that is not ours. */
export interface Asker {
  readonly at: Attachment;
  readonly ip: Ip;
  readonly wants: 'answer' | 'repair';
  readonly reply?: Reply | undefined;
}

export class LanQuery implements Due {
  due = NEVER;
  #state = LAN_QUERY_IDLE;
  #askers: readonly Asker[] = [];

  constructor(
    readonly iface: IfIndex,
    readonly target: Ip,
  ) {}

  get state(): LanQueryState {
    return this.#state;
  }

  snapshot() {
    const { iface, target, due } = this;
    return { iface, target, due, state: this.#state, askers: this.#askers };
  }

  restore({ state, askers, due }: ReturnType<LanQuery['snapshot']>): void {
    this.#state = state;
    this.#askers = askers;
    this.due = due;
  }

  step(input: LanQueryInput, now: number): LanQueryOutcome | undefined {
    const [state, outcome] = stepLanQuery(this.#state, input, now);
    this.#state = state;
    return outcome;
  }

  wait(asker: Asker): void {
    const known = this.#askers.some(({ ip, wants }) => ip === asker.ip && wants === asker.wants);
    if (!known && this.#askers.length < MOST_ASKERS) this.#askers = [...this.#askers, asker];
  }

  takeAskers(): readonly Asker[] {
    const askers = this.#askers;
    this.#askers = [];
    return askers;
  }
}

/** Questions to LANs, and what came of those of the last minute. */
export class LanQueries {
  readonly #on = new Map<IfIndex, Map<Ip, LanQuery>>();
  readonly #budgets = new Map<IfIndex, TokenBucket>();
  readonly #deadlines = new Deadlines<LanQuery>();
  #size = 0;

  snapshot() {
    const queries = [...this.#on.values()].flatMap((there) => [...there.values()]);
    const numbers = new Map(queries.map((query, number) => [query, number]));
    return {
      queries: queries.map((query) => query.snapshot()),
      budgets: new Map([...this.#budgets].map(([iface, budget]) => [iface, budget.snapshot()])),
      deadlines: this.#deadlines.snapshot((query) => numbers.get(query)),
    };
  }

  restore(state: ReturnType<LanQueries['snapshot']>): void {
    const queries = state.queries.map((saved) => {
      const query = this.#add(saved.iface, saved.target);
      query.restore(saved);
      return query;
    });
    for (const [iface, fullAt] of state.budgets) this.#budgetOf(iface).restore(fullAt);
    const gone = new LanQuery(0, 0 as Ip);
    this.#deadlines.restore(state.deadlines, (number) =>
      number === null ? gone : (queries[number] ?? gone),
    );
  }

  /** What is known: `asking` is not yet. */
  stateOf(iface: IfIndex, target: Ip): LanQueryState['kind'] {
    return this.get(iface, target)?.state.kind ?? 'idle';
  }

  get(iface: IfIndex, target: Ip): LanQuery | undefined {
    return this.#on.get(iface)?.get(target);
  }

  /** A new one; undefined when the interface has asked too much of late. */
  open(iface: IfIndex, target: Ip, now: number): LanQuery | undefined {
    const budget = this.#budgetOf(iface);
    if (this.#size >= MOST_REMEMBERED || !budget.take(now)) return undefined;
    return this.#add(iface, target);
  }

  #budgetOf(iface: IfIndex): TokenBucket {
    let budget = this.#budgets.get(iface);
    if (budget === undefined) {
      budget = new TokenBucket(QUESTIONS_BURST, QUESTIONS_PER_SECOND);
      this.#budgets.set(iface, budget);
    }
    return budget;
  }

  #add(iface: IfIndex, target: Ip): LanQuery {
    const query = new LanQuery(iface, target);
    const there = this.#on.get(iface) ?? new Map<Ip, LanQuery>();
    this.#on.set(iface, there.set(target, query));
    this.#size++;
    return query;
  }

  /** The interface is gone, or its cable: another LAN may be there next. */
  forgetInterface(iface: IfIndex): void {
    for (const query of this.#on.get(iface)?.values() ?? []) this.#deadlines.schedule(query, NEVER);
    this.#size -= this.#on.get(iface)?.size ?? 0;
    this.#on.delete(iface);
    this.#budgets.delete(iface);
  }

  /** Sets its deadline, or forgets it when nothing is known any more. */
  touch(query: LanQuery): void {
    const { state, iface, target } = query;
    if (state.kind !== 'idle') return this.#deadlines.schedule(query, state.at);
    this.#deadlines.schedule(query, NEVER);
    const there = this.#on.get(iface);
    if (there?.delete(target)) this.#size--;
    if (there?.size === 0) this.#on.delete(iface);
  }

  nextDeadline(): number {
    return this.#deadlines.next() ?? NEVER;
  }

  takeDue(now: number): LanQuery | undefined {
    return this.#deadlines.takeDue(now);
  }
}
