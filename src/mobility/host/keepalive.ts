import type { Probe } from '../probe.js';
import { NEVER, type Row, type Step } from './machine.js';

type Kind = Keepalive['kind'];
type InputName = KeepaliveInput['input'];

/**
 * Is a held host still there? It owns the one probe to where the host is held, whatever that probe is for, and the
 * time of the next one.
 */
export const KEEPALIVE_TABLE: readonly Row<Kind, InputName, KeepaliveOutcome>[] = [
  { from: 'off', input: 'schedule', to: 'waiting' },
  { from: 'waiting', input: 'schedule', to: 'waiting' },
  { from: 'probing', input: 'schedule', to: 'probing' },
  { from: 'off', input: 'unschedule', to: 'off' },
  { from: 'waiting', input: 'unschedule', to: 'off' },
  { from: 'probing', input: 'unschedule', to: 'probing' },
  { from: 'off', input: 'expedite', to: 'waiting' },
  { from: 'waiting', input: 'expedite', to: 'waiting' },
  { from: 'probing', input: 'expedite', to: 'probing' },
  { from: 'off', input: 'probe', to: 'probing' },
  { from: 'waiting', input: 'probe', to: 'probing' },
  { from: 'probing', input: 'probe', to: 'probing', note: 'the new probe replaces the old one' },
  { from: 'off', input: 'close', to: 'off' },
  { from: 'waiting', input: 'close', to: 'waiting' },
  { from: 'probing', input: 'close', to: 'off' },
  { from: 'probing', input: 'close', to: 'waiting' },
  { from: 'off', input: 'not-held', to: 'off' },
  { from: 'waiting', input: 'not-held', to: 'off' },
  { from: 'probing', input: 'not-held', to: 'off' },
  { from: 'off', input: 'due', to: 'off' },
  { from: 'waiting', input: 'due', to: 'off', outcome: 'ask' },
  { from: 'waiting', input: 'due', to: 'off', outcome: 'hold-expired', note: 'silent for `hold`' },
  { from: 'waiting', input: 'due', to: 'waiting', note: 'heard since, or the interface is not heard now' },
  { from: 'waiting', input: 'due', to: 'off', note: 'not claimed' },
  { from: 'probing', input: 'due', to: 'probing' },
  { from: 'off', input: 'timeout', to: 'off' },
  { from: 'waiting', input: 'timeout', to: 'waiting' },
  { from: 'probing', input: 'timeout', to: 'waiting', outcome: 'lost' },
  { from: 'probing', input: 'timeout', to: 'off', outcome: 'lost' },
  {
    from: 'probing',
    input: 'timeout',
    to: 'off',
    outcome: 'no-answer',
    note: 'claimed before it was proven',
  },
  { from: 'probing', input: 'timeout', to: 'waiting', outcome: 'no-answer' },
  { from: 'probing', input: 'timeout', to: 'off', outcome: 'in-grace', note: 'attached a moment ago' },
  { from: 'probing', input: 'timeout', to: 'waiting', outcome: 'in-grace' },
  { from: 'probing', input: 'timeout', to: 'off', outcome: 'old-place-silent' },
  { from: 'probing', input: 'timeout', to: 'waiting', outcome: 'old-place-silent' },
  { from: 'probing', input: 'timeout', to: 'off', outcome: 'remote-claim-stands' },
  { from: 'probing', input: 'timeout', to: 'waiting', outcome: 'remote-claim-stands' },
  { from: 'off', input: 'grace', to: 'off' },
  { from: 'waiting', input: 'grace', to: 'waiting' },
  { from: 'probing', input: 'grace', to: 'probing' },
];

export type KeepaliveOutcome =
  | 'ask'
  | 'hold-expired'
  | 'lost'
  | 'no-answer'
  | 'in-grace'
  | 'old-place-silent'
  | 'remote-claim-stands';

interface Schedule {
  /** When the host is asked next, if it stays quiet; NEVER when it is not. */
  readonly at: number;
  /** When that was decided: a frame heard since then puts it off, without a deadline of its own. */
  readonly setAt: number;
  /** Attached on a hypervisor's word: silence before this does not withdraw the claim. */
  readonly graceUntil: number | undefined;
}

export type Keepalive =
  | { readonly kind: 'off'; readonly graceUntil: number | undefined }
  | (Schedule & { readonly kind: 'waiting' })
  | (Schedule & { readonly kind: 'probing'; readonly probe: Probe });

/** What a due keepalive is decided by; durations in ms. */
export interface KeepaliveFacts {
  readonly claimed: boolean;
  readonly lastHeard: number;
  /** How long the host may be quiet before it is asked. */
  readonly quietMs: number;
  readonly keepaliveMs: number;
  /** A host that is silent this long is gone, asked or not; 0: it is not. */
  readonly holdMs: number;
  /** Whether its answer would be heard. */
  readonly listening: boolean;
}

export type KeepaliveInput =
  | { readonly input: 'schedule'; readonly afterMs: number }
  | { readonly input: 'expedite'; readonly at: number }
  | { readonly input: 'probe'; readonly probe: Probe }
  | { readonly input: 'unschedule' | 'close' | 'not-held' | 'timeout' }
  | { readonly input: 'grace'; readonly until: number | undefined }
  | ({ readonly input: 'due' } & KeepaliveFacts);

/** An interface that is not heard is looked at again no sooner than this. */
const DEAF_MS = 100;

export const KEEPALIVE_OFF: Keepalive = { kind: 'off', graceUntil: undefined };

export function stepKeepalive(
  state: Keepalive,
  input: KeepaliveInput,
  now: number,
): Step<Keepalive, KeepaliveOutcome> {
  const { graceUntil } = state;
  switch (input.input) {
    case 'schedule':
      return [scheduled(state, now + input.afterMs, now), undefined];
    case 'unschedule':
      return [scheduled(state, NEVER, now), undefined];
    case 'expedite':
      return [scheduled(state, Math.min(atOf(state), input.at), now), undefined];
    case 'probe': {
      const setAt = state.kind === 'off' ? now : state.setAt;
      return [{ kind: 'probing', probe: input.probe, at: atOf(state), setAt, graceUntil }, undefined];
    }
    case 'close':
      return [closed(state), undefined];
    case 'not-held':
      return [graceUntil === undefined ? KEEPALIVE_OFF : { kind: 'off', graceUntil }, undefined];
    case 'grace':
      return [{ ...state, graceUntil: input.until }, undefined];
    case 'timeout':
      return state.kind === 'probing' ? [closed(state), silence(state, now)] : [state, undefined];
    case 'due':
      return due(state, input, now);
  }
}

function due(state: Keepalive, facts: KeepaliveFacts, now: number): Step<Keepalive, KeepaliveOutcome> {
  if (state.kind === 'off') return [state, undefined];
  const off = scheduled(state, NEVER, state.setAt);
  if (state.kind === 'probing' || !facts.claimed) return [off, undefined];
  const { lastHeard, quietMs, keepaliveMs, holdMs } = facts;
  if (now - lastHeard >= holdMs && now >= (state.graceUntil ?? 0) && holdMs > 0) return [off, 'hold-expired'];
  let { setAt } = state;
  if (lastHeard > setAt) {
    const at = lastHeard + quietMs;
    setAt = lastHeard;
    if (at > now) return [scheduled(state, at, setAt), undefined];
  }
  if (facts.listening) return [off, 'ask'];
  // To ask is in vain. The hold time still counts.
  const at = Math.max(now + DEAF_MS, Math.min(now + keepaliveMs, lastHeard + holdMs));
  return [scheduled(state, at, setAt), undefined];
}

/** What it means that the open probe got no answer. */
function silence(
  { probe, graceUntil }: Extract<Keepalive, { kind: 'probing' }>,
  now: number,
): KeepaliveOutcome {
  if (probe.purpose === 'old-place') return 'old-place-silent';
  if (probe.purpose === 'remote-claim') return 'remote-claim-stands';
  if (now < (graceUntil ?? 0)) return 'in-grace';
  return probe.purpose === 'prove' ? 'no-answer' : 'lost';
}

function atOf(state: Keepalive): number {
  return state.kind === 'off' ? NEVER : state.at;
}

function scheduled(state: Keepalive, at: number, setAt: number): Keepalive {
  if (state.kind === 'probing') return { ...state, at, setAt };
  const { graceUntil } = state;
  if (at === NEVER) return graceUntil === undefined ? KEEPALIVE_OFF : { kind: 'off', graceUntil };
  return { kind: 'waiting', at, setAt, graceUntil };
}

function closed(state: Keepalive): Keepalive {
  if (state.kind !== 'probing') return state;
  const { at, setAt, graceUntil } = state;
  if (at === NEVER) return graceUntil === undefined ? KEEPALIVE_OFF : { kind: 'off', graceUntil };
  return { kind: 'waiting', at, setAt, graceUntil };
}

/** When the next keepalive is due, whether or not a probe is open. */
export function keepaliveAt(state: Keepalive): number {
  return atOf(state);
}

export function keepaliveDeadline(state: Keepalive): number {
  return state.kind === 'probing' ? Math.min(state.at, state.probe.nextAt) : atOf(state);
}
