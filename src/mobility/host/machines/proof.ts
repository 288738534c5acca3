import { MAC_BROADCAST, type Mac } from '../../../wire/addresses.js';
import type { Attachment, Cause, IfIndex } from '../../events.js';
import type { Probe } from '../../probe/probe.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = Proof['kind'];
type InputName = ProofInput['input'];

/**
 * Where is the host? On each interface where it was heard one probe to the attachment there (`candidates`), probes to
 * places where it may be instead (`old`), and sightings that wait for their turn (`deferred`), one an interface.
 */
const ANY: readonly Kind[] = ['idle', 'asking', 'confirming'];
export const PROOF_TABLE: readonly Row<Kind, InputName, never>[] = [
  ...rows(['idle', 'confirming'], 'ask', 'asking'),
  { from: 'asking', input: 'ask', to: 'asking', note: 'it replaces the candidate of its interface' },
  ...rows(['idle', 'confirming'], 'ask-old', 'confirming'),
  ...rows(['asking'], 'ask-old'),
  ...rows(['idle', 'confirming'], 'old-closed', 'idle'),
  { from: 'confirming', input: 'old-closed', to: 'confirming', note: 'an older place is asked' },
  ...rows(['asking'], 'old-closed'),
  { from: 'confirming', input: 'old-silent', to: 'idle' },
  { from: 'confirming', input: 'old-silent', to: 'confirming', note: 'another place is asked' },
  ...rows(['idle', 'asking'], 'old-silent'),
  {
    from: 'asking',
    input: 'old-answered',
    to: 'asking',
    note: 'if a candidate answers too, the move is contested',
  },
  ...rows(['idle', 'confirming'], 'old-answered'),
  { from: 'asking', input: 'answered', to: 'asking', note: 'it waits for the silence of the old place' },
  { from: 'asking', input: 'repeated', to: 'asking', note: 'the second try was sent' },
  ...(['answered', 'repeated'] as const).flatMap((input) => rows(['idle', 'confirming'], input)),
  ...rows(['asking'], 'close', 'idle'),
  ...rows(['asking'], 'close', 'confirming'),
  { from: 'asking', input: 'close', to: 'asking', note: 'other interfaces have candidates' },
  ...rows(['idle', 'confirming'], 'close'),
  ...(['defer', 'take-deferred', 'expedite-deferred', 'held-at'] as const).flatMap((input) =>
    rows(ANY, input),
  ),
];

/** A place where the host may be, and the probe that tells. */
export interface Candidate {
  /** With MAC_BROADCAST when several MACs of the LAN have named the address: whoever has it may answer. */
  readonly attachment: Attachment;
  readonly cause: Cause;
  readonly probe: Probe;
  /** When the evidence came that led to it. */
  readonly since: number;
  /** Where else the host answered meanwhile. Only if the candidate answers, too, are there two of them. */
  readonly incumbent: Attachment | undefined;
  /** Who answered, and when; it moves when the old place stays silent. */
  readonly answered: { readonly by: Mac; readonly at: number } | undefined;
  /** The second try was sent. */
  readonly repeated: boolean;
}

/** Asked because of a frame of the host itself; otherwise because of an idea of ours where it may be. */
export function wasHeard({ cause }: Pick<Candidate, 'cause'>): boolean {
  return cause === 'sighting' || cause === 'rarp' || cause === 'presence';
}

/** Evidence that waits until `at`. */
export interface DeferredSighting {
  readonly attachment: Attachment;
  readonly at: number;
}

interface Parts {
  readonly candidates: readonly Candidate[];
  /** The first is where the host was longest. */
  readonly old: readonly Probe[];
  readonly deferred: readonly DeferredSighting[];
}

export type Proof = Parts & { readonly kind: 'idle' | 'asking' | 'confirming' };

export type ProofInput =
  | { readonly input: 'ask'; readonly candidate: Candidate }
  | { readonly input: 'repeated'; readonly candidate: Candidate }
  | { readonly input: 'answered'; readonly candidate: Candidate; readonly by: Mac; readonly at: number }
  /** Without a candidate: all. */
  | { readonly input: 'close'; readonly candidate: Candidate | undefined }
  | { readonly input: 'ask-old'; readonly probe: Probe }
  /** This one and those after it; undefined: all. */
  | { readonly input: 'old-closed'; readonly probe: Probe | undefined }
  | { readonly input: 'old-silent'; readonly probe: Probe }
  | { readonly input: 'old-answered'; readonly at: Attachment }
  | { readonly input: 'defer'; readonly attachment: Attachment; readonly at: number }
  /** Those that are due by then. */
  | { readonly input: 'take-deferred'; readonly due: number }
  /** Those that wait until then are due now. */
  | { readonly input: 'expedite-deferred'; readonly until: number; readonly now: number }
  /** The host is held at this attachment now: evidence of that place is no news. */
  | { readonly input: 'held-at'; readonly attachment: Attachment };

const NONE = [] as const;
export const PROOF_IDLE: Proof = { kind: 'idle', candidates: NONE, old: NONE, deferred: NONE };
/** Old places that are asked at a time: where the host was, and where it has been for a moment since. */
export const MOST_OLD_PLACES = 2;

export function stepProof(state: Proof, input: ProofInput): Step<Proof, never> {
  return [proof(state, next(state, input)), undefined];
}

function next({ candidates, old, deferred }: Proof, input: ProofInput): Partial<Parts> {
  switch (input.input) {
    case 'ask': {
      const { iface } = input.candidate.attachment;
      return { candidates: [...candidates.filter((one) => one.attachment.iface !== iface), input.candidate] };
    }
    case 'repeated':
      return replace(candidates, input.candidate, { repeated: true });
    case 'answered':
      return replace(candidates, input.candidate, { answered: { by: input.by, at: input.at } });
    case 'close':
      return {
        candidates:
          input.candidate === undefined ? NONE : candidates.filter((one) => one !== input.candidate),
      };
    case 'ask-old':
      return { old: askOld(old, input.probe) };
    case 'old-closed': {
      const from = input.probe === undefined ? 0 : old.indexOf(input.probe);
      return { old: from === -1 ? old : old.slice(0, from) };
    }
    case 'old-silent':
      return { old: old.filter((probe) => probe !== input.probe) };
    case 'old-answered':
      return { candidates: candidates.map((one) => ({ ...one, incumbent: input.at })) };
    case 'defer':
      return { deferred: defer(deferred, input) };
    case 'take-deferred':
      return { deferred: deferred.filter(({ at }) => at > input.due) };
    case 'expedite-deferred':
      return { deferred: deferred.map((one) => (one.at === input.until ? { ...one, at: input.now } : one)) };
    case 'held-at':
      return { deferred: deferred.filter(({ attachment }) => !isSame(attachment, input.attachment)) };
  }
}

/** Asked anew, a place keeps its turn. */
function askOld(old: readonly Probe[], probe: Probe): readonly Probe[] {
  const isSamePlace = (one: Probe) => isAsked(one, probe.attachment);
  if (old.some(isSamePlace)) return old.map((one) => (isSamePlace(one) ? probe : one));
  return [...old.slice(0, MOST_OLD_PLACES - 1), probe];
}

function replace(
  candidates: readonly Candidate[],
  candidate: Candidate,
  change: Partial<Candidate>,
): Partial<Parts> {
  return { candidates: candidates.map((one) => (one === candidate ? { ...one, ...change } : one)) };
}

/** Several MACs of one LAN share its turn: then the LAN is asked, not one of them. */
function defer(
  deferred: readonly DeferredSighting[],
  { attachment, at }: { attachment: Attachment; at: number },
): readonly DeferredSighting[] {
  const { iface } = attachment;
  const before = deferred.find((one) => one.attachment.iface === iface);
  if (before === undefined) return [...deferred, { attachment, at }];
  if (before.attachment.mac === attachment.mac || before.attachment.mac === MAC_BROADCAST) return deferred;
  const shared = { attachment: { iface, mac: MAC_BROADCAST }, at: before.at };
  return deferred.map((one) => (one === before ? shared : one));
}

export function isSame(one: Attachment, other: Attachment): boolean {
  return one.iface === other.iface && one.mac === other.mac;
}

function proof(before: Proof, change: Partial<Parts>): Proof {
  const { candidates, old, deferred } = { ...before, ...change };
  if (candidates.length > 0) return { kind: 'asking', candidates, old, deferred };
  if (old.length > 0) return { kind: 'confirming', candidates, old, deferred };
  return deferred.length === 0 ? PROOF_IDLE : { kind: 'idle', candidates, old, deferred };
}

/** The probe to where the host was heard on this interface. */
export function candidateOn({ candidates }: Proof, iface: IfIndex): Candidate | undefined {
  return candidates.find(({ attachment }) => attachment.iface === iface);
}

/** Whether this place is asked already, alone or with its whole LAN. */
export function isAsked({ attachment: { iface, mac } }: { attachment: Attachment }, at: Attachment): boolean {
  return iface === at.iface && (mac === at.mac || mac === MAC_BROADCAST);
}

export function proofDeadline(state: Proof): number {
  if (state === PROOF_IDLE) return NEVER;
  let at = NEVER;
  for (const { probe } of state.candidates) at = Math.min(at, probe.nextAt);
  for (const probe of state.old) at = Math.min(at, probe.nextAt);
  for (const one of state.deferred) at = Math.min(at, one.at);
  return at;
}
