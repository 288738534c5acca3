import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = 'none' | 'suspected' | 'repairing';
type InputName = 'released-early' | 'no-remote-claim' | 'held' | 'due' | 'discard';
type Outcome = 'add-route' | 'delete-route';

/**
 * A routing daemon may go on announcing a route whose deletion came too soon after a remote claim (a stuck or zombie
 * route). It cannot be seen in our kernel, so it is repaired blindly: a route is added for a moment and deleted.
 */
const ANY: readonly Kind[] = ['none', 'suspected', 'repairing'];
export const STUCK_ROUTE_TABLE: readonly Row<Kind, InputName, Outcome>[] = [
  { from: 'none', input: 'released-early', to: 'suspected', note: 'within 20 ms of a remote claim' },
  ...rows(['suspected'], 'released-early'),
  { from: 'repairing', input: 'released-early', to: 'repairing', note: 'for as long again' },
  { from: 'suspected', input: 'no-remote-claim', to: 'repairing', outcome: 'add-route' },
  ...rows(['none', 'repairing'], 'no-remote-claim'),
  ...rows(ANY, 'held', 'none'),
  { from: 'repairing', input: 'due', to: 'none', outcome: 'delete-route' },
  ...rows(ANY, 'due'),
  { from: 'repairing', input: 'discard', to: 'none', outcome: 'delete-route' },
  ...rows(['none', 'suspected'], 'discard', 'none'),
];

export type StuckRoute =
  | { readonly kind: 'none' }
  | { readonly kind: 'suspected' }
  | { readonly kind: 'repairing'; readonly until: number };

/**
 * A claim is not deleted earlier than this after a remote one appeared: zebra may then go on announcing a route that
 * no longer exists (seen in up to 4 of 20 tries below 1 ms, 0 of 60 from 20 ms on).
 */
export const EARLY_RELEASE_MS = 20;

/** How long the route of a repair stands: longer than zebra takes to notice it (measured, design.md 3.3). */
export const REPAIR_MS = 50;

export const NO_STUCK_ROUTE: StuckRoute = { kind: 'none' };
const SUSPECTED: StuckRoute = { kind: 'suspected' };

export function stepStuckRoute(state: StuckRoute, input: InputName, now: number): Step<StuckRoute, Outcome> {
  switch (input) {
    case 'released-early':
      // The added route stays until the remote claim is old enough for its deletion.
      return [
        state.kind === 'repairing' ? { kind: 'repairing', until: now + REPAIR_MS } : SUSPECTED,
        undefined,
      ];
    case 'no-remote-claim':
      if (state.kind !== 'suspected') return [state, undefined];
      return [{ kind: 'repairing', until: now + REPAIR_MS }, 'add-route'];
    case 'held':
      return [NO_STUCK_ROUTE, undefined];
    case 'due':
      if (state.kind === 'repairing' && state.until <= now) return [NO_STUCK_ROUTE, 'delete-route'];
      return [state, undefined];
    case 'discard':
      return [NO_STUCK_ROUTE, state.kind === 'repairing' ? 'delete-route' : undefined];
  }
}

export function stuckRouteDeadline(state: StuckRoute): number {
  return state.kind === 'repairing' ? state.until : NEVER;
}
