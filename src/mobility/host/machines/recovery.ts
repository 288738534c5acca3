import type { Mac } from '../../../wire/addresses.js';
import type { Attachment, IfIndex } from '../../events.js';
import { NEVER, type Row, type Step } from './machine.js';

type Kind = 'none' | 're-probing' | 'detached' | 'prepared';
type InputName =
  | 'link-up'
  | 'lost'
  | 'probed'
  | 'detach'
  | 'detach-over'
  | 'prepare'
  | 'attach'
  | 'held'
  | 'clear';

/**
 * How a host that is not held may come back. Three things that are independent of one another: it is probed where it
 * was last, ever more rarely; a hypervisor detached it a moment ago; a hypervisor expects it. The table shows one at
 * a time.
 */
export const RECOVERY_TABLE: readonly Row<Kind, InputName, never>[] = [
  {
    from: 'none',
    input: 'link-up',
    to: 're-probing',
    note: 'at 0, 1 and 3 s: a guest needs a moment to boot',
  },
  { from: 'none', input: 'lost', to: 're-probing', note: 'silence is not the end' },
  { from: 're-probing', input: 'lost', to: 're-probing', note: 'the schedule goes on' },
  { from: 're-probing', input: 'link-up', to: 're-probing', note: 'from the start' },
  { from: 're-probing', input: 'probed', to: 're-probing', note: 'more to come' },
  { from: 're-probing', input: 'probed', to: 'none', note: 'its link is gone' },
  { from: 'none', input: 'detach', to: 'detached', note: 'frames of the dying guest are stale for 1 s' },
  { from: 'detached', input: 'detach', to: 'detached' },
  { from: 'detached', input: 'detach-over', to: 'none', note: 'asked once: the migration may be cancelled' },
  { from: 'detached', input: 'attach', to: 'none' },
  { from: 'detached', input: 'clear', to: 'none' },
  { from: 'none', input: 'prepare', to: 'prepared', note: 'its first frame counts as proof' },
  { from: 'prepared', input: 'prepare', to: 'prepared' },
  { from: 're-probing', input: 'held', to: 'none' },
  { from: 'prepared', input: 'held', to: 'none' },
  { from: 'detached', input: 'held', to: 'detached' },
];

export type ReprobeReason = 'link-up' | 'lost';

export interface Recovery {
  /** Probes at the last attachment: how many there were, and when the next one is due. */
  readonly reprobing:
    | {
        readonly reason: ReprobeReason;
        readonly start: number;
        readonly count: number;
        readonly at: number;
      }
    | undefined;
  /** Frames of this MAC on this interface are stale until then. */
  readonly detached: { readonly iface: IfIndex; readonly mac: Mac; readonly until: number } | undefined;
  readonly prepared: Attachment | undefined;
}

export type RecoveryInput =
  | { readonly input: 'link-up' | 'lost' | 'attach' | 'held' | 'clear' | 'detach-over' }
  /** `giveUp`: its link is gone again. `afterMs`: the gap when the schedule is used up; NEVER: no more. */
  | { readonly input: 'probed'; readonly giveUp: boolean; readonly afterMs: number }
  | { readonly input: 'detach'; readonly from: Attachment }
  | { readonly input: 'prepare'; readonly at: Attachment };

/**
 * Offsets of the first probes, ms; later ones come at an interval of the policy. After a link-up a guest needs a
 * moment to boot, and a port under spanning tree forwards nothing for 30 s (IEEE 802.1D). A host that was lost may only have paused (a backup freezes it, spanning tree blocks its port): for
 * ten seconds the gaps are short enough that it is back within two seconds, then they grow.
 */
const SCHEDULE: Readonly<Record<ReprobeReason, readonly number[]>> = {
  'link-up': [0, 1000, 3000, 8000, 15_000, 32_000],
  lost: [1000, 2000, 3500, 5000, 6500, 8000, 9500, 15_000, 25_000, 55_000],
};
/** After `detach` the dying guest's frames are stale; then it is asked once, in case the migration was cancelled. */
const DETACHED_MS = 1000;

export const NO_RECOVERY: Recovery = { reprobing: undefined, detached: undefined, prepared: undefined };

export function stepRecovery(state: Recovery, input: RecoveryInput, now: number): Step<Recovery, never> {
  switch (input.input) {
    case 'link-up':
      return [{ ...state, reprobing: reprobing('link-up', now, 0) }, undefined];
    case 'lost':
      return [
        state.reprobing === undefined ? { ...state, reprobing: reprobing('lost', now, 0) } : state,
        undefined,
      ];
    case 'probed':
      return [{ ...state, reprobing: probed(state, input, now) }, undefined];
    case 'detach':
      return [{ ...state, detached: { ...input.from, until: now + DETACHED_MS } }, undefined];
    case 'prepare':
      return [{ ...state, prepared: input.at }, undefined];
    case 'detach-over':
    case 'attach':
    case 'clear':
      return [state.detached === undefined ? state : { ...state, detached: undefined }, undefined];
    case 'held':
      if (state.reprobing === undefined && state.prepared === undefined) return [state, undefined];
      return [{ ...NO_RECOVERY, detached: state.detached }, undefined];
  }
}

function reprobing(reason: ReprobeReason, start: number, count: number): NonNullable<Recovery['reprobing']> {
  return { reason, start, count, at: start + (SCHEDULE[reason][count] as number) };
}

function probed(
  { reprobing: before }: Recovery,
  { giveUp, afterMs }: Extract<RecoveryInput, { input: 'probed' }>,
  now: number,
): Recovery['reprobing'] {
  if (before === undefined || giveUp) return undefined;
  const { reason, start } = before;
  const count = before.count + 1;
  if (count < SCHEDULE[reason].length) return reprobing(reason, start, count);
  return afterMs === NEVER ? undefined : { reason, start, count, at: now + afterMs };
}

/** When the next probe at the last attachment is due. */
export function reprobeAt({ reprobing: open }: Recovery): number {
  return open?.at ?? NEVER;
}

export function recoveryDeadline(state: Recovery): number {
  if (state === NO_RECOVERY) return NEVER;
  return Math.min(reprobeAt(state), state.detached?.until ?? NEVER);
}
