import type { Probe } from '../../probe/probe.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = Keepalive['kind'];
type InputName = KeepaliveInput['input'];

/**
 * Is a held host still there? It owns the one probe to where the host is held, whatever that probe is for, and the
 * time of the next one.
 */
const ANY: readonly Kind[] = ['off', 'waiting', 'probing'];
const SILENT = [
  'lost',
  'no-answer',
  'in-grace',
  'missed',
  'old-place-silent',
  'remote-claim-stands',
] as const;
export const KEEPALIVE_TABLE: readonly Row<Kind, InputName, KeepaliveOutcome>[] = [
  ...rows(['off', 'waiting'], 'schedule', 'waiting'),
  ...rows(['off', 'waiting'], 'unschedule', 'off'),
  ...rows(['off', 'waiting'], 'expedite', 'waiting'),
  ...rows(['off', 'waiting'], 'vouched'),
  ...(['schedule', 'unschedule', 'expedite', 'vouched'] as const).flatMap((input) =>
    rows(['probing'], input),
  ),
  ...rows(ANY, 'probe', 'probing'),
  ...rows(['off', 'waiting'], 'close'),
  { from: 'probing', input: 'close', to: 'off' },
  { from: 'probing', input: 'close', to: 'waiting', note: 'the next one was scheduled' },
  ...rows(ANY, 'not-held', 'off'),
  { from: 'waiting', input: 'due', to: 'off', outcome: 'ask' },
  {
    from: 'waiting',
    input: 'due',
    to: 'off',
    outcome: 'hold-expired',
    note: 'silent for `hold`, and not heard',
  },
  { from: 'waiting', input: 'due', to: 'waiting', note: 'heard since, or the interface is not heard now' },
  { from: 'waiting', input: 'due', to: 'off', note: 'not claimed' },
  ...rows(['off', 'probing'], 'due'),
  ...rows(['off', 'waiting'], 'timeout'),
  ...SILENT.flatMap((outcome) => rows(['probing'], 'timeout', 'off', outcome)),
  ...SILENT.flatMap((outcome) => rows(['probing'], 'timeout', 'waiting', outcome)),
  ...rows(ANY, 'grace'),
];

export type KeepaliveOutcome =
  | 'ask'
  | 'hold-expired'
  | 'lost'
  | 'no-answer'
  | 'in-grace'
  | 'missed'
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
  /** A host that is silent this long and cannot be asked is gone; 0: it is not. */
  readonly holdMs: number;
  /** When another address of it, which vouches for it, was heard. */
  readonly vouchedAt: number;
  /** When a frame of it may last have been missed. */
  readonly missedAt: number;
  /** Whether its answer would be heard. */
  readonly listening: boolean;
}

export type KeepaliveInput =
  | { readonly input: 'schedule'; readonly afterMs: number }
  | { readonly input: 'expedite'; readonly at: number }
  /** A sign of life of its MAC: it is asked no sooner than this. */
  | { readonly input: 'vouched'; readonly until: number }
  | { readonly input: 'probe'; readonly probe: Probe }
  | { readonly input: 'unschedule' | 'close' | 'not-held' }
  | { readonly input: 'timeout'; readonly missedAt: number }
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
    case 'vouched':
      return [
        state.kind === 'waiting' ? { ...state, at: Math.max(state.at, input.until) } : state,
        undefined,
      ];
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
      return state.kind === 'probing'
        ? [closed(state), silence(state, input.missedAt, now)]
        : [state, undefined];
    case 'due':
      return due(state, input, now);
  }
}

function due(state: Keepalive, facts: KeepaliveFacts, now: number): Step<Keepalive, KeepaliveOutcome> {
  if (state.kind === 'off') return [state, undefined];
  const off = scheduled(state, NEVER, state.setAt);
  if (state.kind === 'probing' || !facts.claimed) return [off, undefined];
  const { lastHeard, quietMs, keepaliveMs, holdMs, vouchedAt } = facts;
  let { setAt } = state;
  if (lastHeard > setAt) {
    const at = lastHeard + quietMs;
    setAt = lastHeard;
    if (at > now) return [scheduled(state, at, setAt), undefined];
  }
  if (facts.listening) return [off, 'ask'];
  // To ask is in vain. The hold time counts, from when a frame may last have been missed although we listened.
  const expiresAt = Math.max(lastHeard, vouchedAt, facts.missedAt) + holdMs;
  if (now >= expiresAt && now >= (state.graceUntil ?? 0) && holdMs > 0) return [off, 'hold-expired'];
  const at = Math.max(now + DEAF_MS, Math.min(now + keepaliveMs, expiresAt));
  return [scheduled(state, at, setAt), undefined];
}

/** What it means that the open probe got no answer. */
function silence(
  { probe, graceUntil }: Extract<Keepalive, { kind: 'probing' }>,
  missedAt: number,
  now: number,
): KeepaliveOutcome {
  if (probe.purpose === 'old-place') return 'old-place-silent';
  if (probe.purpose === 'remote-claim') return 'remote-claim-stands';
  if (now < (graceUntil ?? 0)) return 'in-grace';
  if (missedAt >= probe.firstSentAt) return 'missed';
  return probe.purpose === 'prove' || probe.purpose === 'took-over' ? 'no-answer' : 'lost';
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
