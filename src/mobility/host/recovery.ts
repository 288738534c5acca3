import type { Mac } from '../../wire/addresses.js';
import type { Attachment, IfIndex } from '../events.js';
import { NEVER, type Row, type Step } from './machine.js';

type Kind = 'none' | 're-probing' | 'detached' | 'prepared';
type InputName = 'link-up' | 'probed' | 'detach' | 'detach-over' | 'prepare' | 'attach' | 'held' | 'clear';

/**
 * How a host that is not held may come back. Three things that are independent of one another: its link is back and
 * it is probed; a hypervisor detached it a moment ago; a hypervisor expects it. The table shows one at a time.
 */
export const RECOVERY_TABLE: readonly Row<Kind, InputName, never>[] = [
  {
    from: 'none',
    input: 'link-up',
    to: 're-probing',
    note: 'at 0, 1 and 3 s: a guest needs a moment to boot',
  },
  { from: 're-probing', input: 'link-up', to: 're-probing', note: 'from the start' },
  { from: 're-probing', input: 'probed', to: 're-probing', note: 'more to come' },
  { from: 're-probing', input: 'probed', to: 'none', note: 'the last probe, or its link is gone' },
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

export interface Recovery {
  /** Offsets of the probes still to send, ms after `start`. */
  readonly reprobing: { readonly left: readonly number[]; readonly start: number } | undefined;
  /** Frames of this MAC on this interface are stale until then. */
  readonly detached: { readonly iface: IfIndex; readonly mac: Mac; readonly until: number } | undefined;
  readonly prepared: Attachment | undefined;
}

export type RecoveryInput =
  | { readonly input: 'link-up' | 'attach' | 'held' | 'clear' | 'detach-over' }
  /** `give-up`: its link is gone again. */
  | { readonly input: 'probed'; readonly giveUp: boolean }
  | { readonly input: 'detach'; readonly from: Attachment }
  | { readonly input: 'prepare'; readonly at: Attachment };

const REPROBE_MS: readonly number[] = [0, 1000, 3000];
/** After `detach` the dying guest's frames are stale; then it is asked once, in case the migration was cancelled. */
const DETACHED_MS = 1000;

export const NO_RECOVERY: Recovery = { reprobing: undefined, detached: undefined, prepared: undefined };

export function stepRecovery(state: Recovery, input: RecoveryInput, now: number): Step<Recovery, never> {
  switch (input.input) {
    case 'link-up':
      return [{ ...state, reprobing: { left: REPROBE_MS, start: now } }, undefined];
    case 'probed': {
      const left = state.reprobing?.left.slice(1) ?? [];
      const over = input.giveUp || left.length === 0 || state.reprobing === undefined;
      return [{ ...state, reprobing: over ? undefined : { left, start: state.reprobing.start } }, undefined];
    }
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

/** When the next probe after a link-up is due. */
export function reprobeAt({ reprobing }: Recovery): number {
  return reprobing === undefined ? NEVER : reprobing.start + (reprobing.left[0] as number);
}

export function recoveryDeadline(state: Recovery): number {
  if (state === NO_RECOVERY) return NEVER;
  return Math.min(reprobeAt(state), state.detached?.until ?? NEVER);
}
