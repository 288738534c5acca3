import type { Ip, Mac } from '../../wire/addresses.js';
import type { Due } from '../deadlines.js';
import type { IfIndex } from '../events.js';
import { NEVER, type Row, type Step } from '../host/machines/machine.js';

type Kind = OtherRouterState['kind'];
type InputName = OtherRouterInput['input'];

/**
 * Does this MAC use a gateway address of the configuration on this LAN? A frame that says so is a suspicion only: the MAC
 * is asked, and it is another router for as long as it answers.
 */
export const OTHER_ROUTER_TABLE: readonly Row<Kind, InputName, OtherRouterOutcome>[] = [
  { from: 'idle', input: 'claimed', to: 'verifying' },
  { from: 'verifying', input: 'claimed', to: 'verifying' },
  { from: 'present', input: 'claimed', to: 'present' },
  { from: 'idle', input: 'due', to: 'idle' },
  { from: 'verifying', input: 'due', to: 'verifying', outcome: 'ask' },
  { from: 'verifying', input: 'due', to: 'verifying', note: 'not yet, or its answer would not be heard' },
  { from: 'verifying', input: 'due', to: 'idle', outcome: 'nobody' },
  { from: 'present', input: 'due', to: 'present', outcome: 'ask', note: 'every 10 s' },
  { from: 'present', input: 'due', to: 'present', note: 'not yet, or an answer could not be heard' },
  { from: 'present', input: 'due', to: 'idle', outcome: 'gone', note: 'it is silent' },
  { from: 'idle', input: 'answered', to: 'idle' },
  { from: 'verifying', input: 'answered', to: 'present', outcome: 'appeared' },
  { from: 'verifying', input: 'answered', to: 'verifying', note: 'it was not asked yet' },
  { from: 'present', input: 'answered', to: 'present' },
  { from: 'idle', input: 'other-address', to: 'idle' },
  { from: 'verifying', input: 'other-address', to: 'verifying' },
  {
    from: 'present',
    input: 'other-address',
    to: 'present',
    note: 'asked soon: it may have changed its address',
  },
];

/** The question is asked at 0, 250, 500 and 1000 ms; 2000 ms without an answer end it. Silence costs nobody anything. */
const TRIES = 4;
const GAPS_MS = [250, 250, 500, 1000] as const;
const AGAIN_MS = 10_000;
const SOON_MS = 1000;
/** From the first try to the time-out. */
export const ASKING_MS = 2000;
/** When nothing can be heard on the interface, or not everything, silence means nothing: it is asked anew. */
const DEAF_MS = 1000;

interface Question {
  /** Tries of the open question; 0: none is open. */
  readonly sent: number;
  /** The next try, or the time-out. */
  readonly nextAt: number;
}

export type OtherRouterState =
  | { readonly kind: 'idle' }
  | (Question & { readonly kind: 'verifying' })
  | (Question & { readonly kind: 'present'; readonly since: number });

export type OtherRouterInput =
  | { readonly input: 'claimed' | 'answered' | 'other-address' }
  /** `listening`: an answer would be heard. `missed`: one may have been missed since it was asked. */
  | { readonly input: 'due'; readonly listening: boolean; readonly missed: boolean };

export type OtherRouterOutcome = 'ask' | 'appeared' | 'gone' | 'nobody';

export const OTHER_ROUTER_IDLE: OtherRouterState = { kind: 'idle' };

export function stepOtherRouter(
  state: OtherRouterState,
  input: OtherRouterInput,
  now: number,
): Step<OtherRouterState, OtherRouterOutcome> {
  if (state.kind === 'idle') {
    if (input.input !== 'claimed') return [state, undefined];
    return [{ kind: 'verifying', sent: 0, nextAt: now }, undefined];
  }
  switch (input.input) {
    case 'claimed':
      return [state, undefined];
    case 'answered': {
      if (state.sent === 0) return [state, undefined];
      const since = state.kind === 'present' ? state.since : now;
      const outcome = state.kind === 'present' ? undefined : 'appeared';
      return [{ kind: 'present', since, sent: 0, nextAt: now + AGAIN_MS }, outcome];
    }
    case 'other-address':
      if (state.kind === 'verifying' || state.sent > 0) return [state, undefined];
      return [{ ...state, nextAt: Math.min(state.nextAt, now + SOON_MS) }, undefined];
    case 'due':
      if (now < state.nextAt) return [state, undefined];
      if (!input.listening || (input.missed && state.kind === 'present' && state.sent === TRIES))
        return [{ ...state, sent: 0, nextAt: now + DEAF_MS }, undefined];
      if (state.sent === TRIES) return [OTHER_ROUTER_IDLE, state.kind === 'present' ? 'gone' : 'nobody'];
      return [{ ...state, sent: state.sent + 1, nextAt: now + (GAPS_MS[state.sent] as number) }, 'ask'];
  }
}

/** A MAC that used a gateway address on an interface. */
export class OtherRouter implements Due {
  due = NEVER;
  #state = OTHER_ROUTER_IDLE;
  /** When it used the address last, unasked: a host that forwards answers for its own one like a router. */
  claimedAt = Number.NEGATIVE_INFINITY;
  /** The last address that it used besides: it may be a host by the time it is no router any more. */
  otherAddress: Ip | undefined;

  constructor(
    readonly iface: IfIndex,
    readonly mac: Mac,
    readonly gateway: Ip,
  ) {}

  get state(): OtherRouterState {
    return this.#state;
  }

  snapshot() {
    const { iface, mac, gateway, claimedAt, otherAddress, due } = this;
    return { iface, mac, gateway, claimedAt, otherAddress, due, state: this.#state };
  }

  restore({ state, claimedAt, otherAddress, due }: ReturnType<OtherRouter['snapshot']>): void {
    this.#state = state;
    this.claimedAt = claimedAt;
    this.otherAddress = otherAddress;
    this.due = due;
  }

  step(input: OtherRouterInput, now: number): OtherRouterOutcome | undefined {
    const [state, outcome] = stepOtherRouter(this.#state, input, now);
    this.#state = state;
    return outcome;
  }
}
