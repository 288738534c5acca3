import type { Attachment, Cause } from '../events.js';
import type { Probe } from '../probe.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = Proof['kind'];
type InputName = ProofInput['input'];

/**
 * Where is the host? A probe to the attachment where it was heard (`candidate`), one to a place where it may be
 * instead (`old`), and one sighting that waits until those are answered (`deferred`).
 */
const ANY: readonly Kind[] = ['idle', 'asking', 'confirming'];
export const PROOF_TABLE: readonly Row<Kind, InputName, never>[] = [
  ...rows(['idle', 'confirming'], 'ask', 'asking'),
  { from: 'asking', input: 'ask', to: 'asking', note: 'the new candidate replaces the one before' },
  ...rows(['idle', 'confirming'], 'ask-old', 'confirming'),
  ...rows(['asking'], 'ask-old'),
  ...rows(['idle', 'confirming'], 'old-closed', 'idle'),
  ...rows(['asking'], 'old-closed'),
  {
    from: 'asking',
    input: 'old-answered',
    to: 'asking',
    note: 'if the candidate answers too, the move is contested',
  },
  ...rows(['idle', 'confirming'], 'old-answered'),
  { from: 'asking', input: 'repeated', to: 'asking', note: 'the second try was sent' },
  ...rows(['idle', 'confirming'], 'repeated'),
  ...rows(['asking'], 'close', 'idle'),
  ...rows(['asking'], 'close', 'confirming'),
  ...rows(['idle', 'confirming'], 'close'),
  ...(['defer', 'take-deferred', 'held-at'] as const).flatMap((input) => rows(ANY, input)),
];

/** A place where the host may be, and the probe that tells. */
export interface Candidate {
  readonly attachment: Attachment;
  readonly cause: Cause;
  readonly probe: Probe;
  /** Where else the host answered meanwhile. Only if the candidate answers, too, are there two of them. */
  readonly incumbent: Attachment | undefined;
  /** The second try was sent. */
  readonly repeated: boolean;
}

/** Asked because of a frame of the host itself; otherwise because of an idea of ours where it may be. */
export function wasHeard({ cause }: Pick<Candidate, 'cause'>): boolean {
  return cause === 'sighting' || cause === 'rarp';
}

/** Evidence that waits: an RFC 5227 probe, or another place while a probe to this one is open. */
export interface DeferredSighting {
  readonly attachment: Attachment;
  readonly at: number;
}

export type Proof =
  | { readonly kind: 'idle'; readonly deferred: DeferredSighting | undefined }
  | {
      readonly kind: 'asking';
      readonly candidate: Candidate;
      readonly old: Probe | undefined;
      readonly deferred: DeferredSighting | undefined;
    }
  | { readonly kind: 'confirming'; readonly old: Probe; readonly deferred: DeferredSighting | undefined };

export type ProofInput =
  | { readonly input: 'ask'; readonly candidate: Candidate }
  | { readonly input: 'ask-old'; readonly probe: Probe }
  | { readonly input: 'old-answered'; readonly at: Attachment }
  | { readonly input: 'defer'; readonly attachment: Attachment; readonly at: number }
  /** The host is held at this attachment now: evidence of that place is no news. */
  | { readonly input: 'held-at'; readonly attachment: Attachment }
  | { readonly input: 'old-closed' | 'close' | 'repeated' | 'take-deferred' };

export const PROOF_IDLE: Proof = { kind: 'idle', deferred: undefined };

export function stepProof(state: Proof, input: ProofInput): Step<Proof, never> {
  const { deferred } = state;
  const old = state.kind === 'idle' ? undefined : state.old;
  const candidate = state.kind === 'asking' ? state.candidate : undefined;
  switch (input.input) {
    case 'ask':
      return [{ kind: 'asking', candidate: input.candidate, old, deferred }, undefined];
    case 'close':
      return [proof(undefined, old, deferred), undefined];
    case 'ask-old':
      return [proof(candidate, input.probe, deferred), undefined];
    case 'old-closed':
      return [old === undefined ? state : proof(candidate, undefined, deferred), undefined];
    case 'old-answered':
      if (candidate === undefined) return [state, undefined];
      return [proof({ ...candidate, incumbent: input.at }, old, deferred), undefined];
    case 'repeated':
      if (candidate === undefined) return [state, undefined];
      return [proof({ ...candidate, repeated: true }, old, deferred), undefined];
    case 'defer':
      return [{ ...state, deferred: { attachment: input.attachment, at: input.at } }, undefined];
    case 'take-deferred':
      return [deferred === undefined ? state : proof(candidate, old, undefined), undefined];
    case 'held-at': {
      const { iface, mac } = input.attachment;
      const same = deferred?.attachment.iface === iface && deferred.attachment.mac === mac;
      return [same ? proof(candidate, old, undefined) : state, undefined];
    }
  }
}

function proof(
  candidate: Candidate | undefined,
  old: Probe | undefined,
  deferred: DeferredSighting | undefined,
): Proof {
  if (candidate !== undefined) return { kind: 'asking', candidate, old, deferred };
  if (old !== undefined) return { kind: 'confirming', old, deferred };
  return deferred === undefined ? PROOF_IDLE : { kind: 'idle', deferred };
}

export function proofDeadline(state: Proof): number {
  if (state === PROOF_IDLE) return NEVER;
  let at = state.deferred?.at ?? NEVER;
  if (state.kind === 'asking') at = Math.min(at, state.candidate.probe.nextAt);
  if (state.kind !== 'idle' && state.old !== undefined) at = Math.min(at, state.old.nextAt);
  return at;
}
