import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = 'none' | 'suspected' | 'repairing' | 'repaired';
type InputName = 'released-early' | 'remote-appeared' | 'no-remote-claim' | 'held' | 'due' | 'discard';
type Outcome = 'add-route' | 'delete-route';

/**
 * A routing daemon may go on announcing a route whose deletion came too soon after a remote claim (a stuck or zombie
 * route). It cannot be seen in our kernel, so it is repaired blindly: a route is added for a moment and deleted. That
 * deletion may leave a stuck route like any other, so it is held to the same 20 ms.
 */
const ANY: readonly Kind[] = ['none', 'suspected', 'repairing', 'repaired'];
export const STUCK_ROUTE_TABLE: readonly Row<Kind, InputName, Outcome>[] = [
  { from: 'none', input: 'released-early', to: 'suspected', note: 'within 20 ms of a remote claim' },
  { from: 'repaired', input: 'released-early', to: 'suspected' },
  ...rows(['suspected'], 'released-early'),
  { from: 'repairing', input: 'released-early', to: 'repairing', note: 'for as long again' },
  { from: 'repairing', input: 'remote-appeared', to: 'repairing', note: 'for 20 ms at least' },
  {
    from: 'repaired',
    input: 'remote-appeared',
    to: 'suspected',
    note: 'within 20 ms of the end of the repair',
  },
  { from: 'repaired', input: 'remote-appeared', to: 'none', note: 'later' },
  { from: 'suspected', input: 'remote-appeared', to: 'suspected', note: 'not repaired before it is gone' },
  ...rows(['none'], 'remote-appeared'),
  { from: 'suspected', input: 'no-remote-claim', to: 'repairing', outcome: 'add-route' },
  { from: 'suspected', input: 'no-remote-claim', to: 'suspected', note: 'after a repair: in 25 ms' },
  { from: 'suspected', input: 'due', to: 'repairing', outcome: 'add-route', note: 'after a repair' },
  ...rows(['none', 'repairing', 'repaired'], 'no-remote-claim'),
  ...rows(ANY, 'held', 'none'),
  { from: 'repairing', input: 'due', to: 'repaired', outcome: 'delete-route' },
  ...rows(ANY, 'due'),
  { from: 'repairing', input: 'discard', to: 'none', outcome: 'delete-route' },
  ...rows(['none', 'suspected', 'repaired'], 'discard', 'none'),
];

export type StuckRoute =
  | { readonly kind: 'none' }
  /** `again`: after a repair. `repairAt`: unless a remote claim appears before. */
  | { readonly kind: 'suspected'; readonly again: boolean; readonly repairAt: number | undefined }
  | { readonly kind: 'repairing'; readonly until: number }
  /** `at`: when the route of the repair was deleted. */
  | { readonly kind: 'repaired'; readonly at: number };

/**
 * A claim is not deleted earlier than this after a remote one appeared: zebra may then go on announcing a route that
 * no longer exists (seen in up to 4 of 20 tries below 1 ms, 0 of 60 from 20 ms on).
 */
export const EARLY_RELEASE_MS = 20;

/**
 * How long no other router claims it before it is repaired once more. Longer than EARLY_RELEASE_MS: the end of a repair
 * brings the claim of another router to light, which may be a repair as well, and each would lead to the next.
 */
const REMOTE_GONE_MS = 25;

/** How long the route of a repair stands: longer than zebra takes to notice it (measured, design.md 3.3). */
export const REPAIR_MS = 50;

export const NO_STUCK_ROUTE: StuckRoute = { kind: 'none' };
const SUSPECTED: StuckRoute = { kind: 'suspected', again: false, repairAt: undefined };
const SUSPECTED_AGAIN: StuckRoute = { kind: 'suspected', again: true, repairAt: undefined };

export function stepStuckRoute(state: StuckRoute, input: InputName, now: number): Step<StuckRoute, Outcome> {
  switch (input) {
    case 'released-early':
      // The added route stays until the remote claim is old enough for its deletion.
      return [
        state.kind === 'repairing' ? { kind: 'repairing', until: now + REPAIR_MS } : SUSPECTED,
        undefined,
      ];
    case 'remote-appeared':
      return [remoteAppeared(state, now), undefined];
    case 'no-remote-claim':
      if (state.kind !== 'suspected') return [state, undefined];
      if (!state.again) return [{ kind: 'repairing', until: now + REPAIR_MS }, 'add-route'];
      return [{ ...state, repairAt: state.repairAt ?? now + REMOTE_GONE_MS }, undefined];
    case 'held':
      return [NO_STUCK_ROUTE, undefined];
    case 'due':
      if (stuckRouteDeadline(state) > now) return [state, undefined];
      if (state.kind === 'suspected') return [{ kind: 'repairing', until: now + REPAIR_MS }, 'add-route'];
      return [{ kind: 'repaired', at: now }, 'delete-route'];
    case 'discard':
      return [NO_STUCK_ROUTE, state.kind === 'repairing' ? 'delete-route' : undefined];
  }
}

function remoteAppeared(state: StuckRoute, now: number): StuckRoute {
  switch (state.kind) {
    case 'none':
      return state;
    case 'suspected':
      return { ...state, repairAt: undefined };
    case 'repairing':
      return { kind: 'repairing', until: Math.max(state.until, now + EARLY_RELEASE_MS) };
    case 'repaired':
      // The routing daemon may have had the remote claim before it heard of the deletion.
      return now < state.at + EARLY_RELEASE_MS ? SUSPECTED_AGAIN : NO_STUCK_ROUTE;
  }
}

export function stuckRouteDeadline(state: StuckRoute): number {
  if (state.kind === 'suspected') return state.repairAt ?? NEVER;
  return state.kind === 'repairing' ? state.until : NEVER;
}
