import type { IfIndex } from '../../events.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = 'off' | 'held-back' | 'sending';
type InputName = 'departed' | 'hold-back' | 'seen-on' | 'arrived-home' | 'cancel' | 'due';

/** Gratuitous ARP or NA on the LANs that the host left, so that its neighbours there send to us (RFC 5944 section 4.6). */
const ANY: readonly Kind[] = ['off', 'held-back', 'sending'];
export const ANNOUNCEMENT_TABLE: readonly Row<Kind, InputName, 'send'>[] = [
  ...rows(ANY, 'departed', 'sending'),
  ...rows(['off', 'held-back'], 'hold-back', 'held-back'),
  {
    from: 'sending',
    input: 'hold-back',
    to: 'sending',
    note: 'once on each LAN, and once more for a check by DAD',
  },
  ...rows(['off', 'held-back'], 'arrived-home', 'off'),
  { from: 'sending', input: 'arrived-home', to: 'sending', note: 'the hold ends' },
  ...rows(ANY, 'seen-on'),
  { from: 'sending', input: 'seen-on', to: 'off', note: 'on the only LAN of the announcement' },
  { from: 'sending', input: 'seen-on', to: 'held-back', note: 'there, while it was held back' },
  ...rows(['off', 'held-back'], 'cancel'),
  { from: 'sending', input: 'cancel', to: 'off' },
  { from: 'sending', input: 'cancel', to: 'held-back', note: 'while it was held back' },
  ...rows(ANY, 'due'),
  { from: 'sending', input: 'due', to: 'sending', outcome: 'send', note: 'more to come' },
  { from: 'sending', input: 'due', to: 'off', outcome: 'send', note: 'the last one' },
  { from: 'sending', input: 'due', to: 'held-back', outcome: 'send', note: 'the last one, after a hold' },
  { from: 'sending', input: 'due', to: 'off', note: 'the host is back' },
  { from: 'sending', input: 'due', to: 'held-back', note: 'the same, while it was held back' },
];

/** Somebody may be about to take the address on this LAN, and would take an announcement for a conflict. */
interface Hold {
  readonly iface: IfIndex;
  readonly until: number;
  /** It has begun to check the address. What came before, a report of its group for one, may have been long before. */
  readonly isCheck?: boolean;
}

/** A LAN that is told: how often still, and when next. */
interface LanTurn {
  readonly iface: IfIndex;
  readonly left: number;
  readonly at: number;
}

export type Announcement =
  | { readonly kind: 'off' }
  | { readonly kind: 'held-back'; readonly holds: readonly Hold[] }
  | { readonly kind: 'sending'; readonly lans: readonly LanTurn[]; readonly holds: readonly Hold[] };

export type AnnouncementInput =
  /** `from`: the earliest time. */
  | { readonly input: 'departed'; readonly ifaces: readonly IfIndex[]; readonly from: number }
  | ({ readonly input: 'hold-back' } & Hold)
  /** The host is proven to be on this interface. */
  | { readonly input: 'seen-on'; readonly iface: IfIndex }
  | { readonly input: 'arrived-home' | 'cancel' }
  /** `wanted`: the host is elsewhere. */
  | { readonly input: 'due'; readonly wanted: boolean };

/** RFC 5944 section 4.6 leaves number and interval open: now, after one second, after two. */
const ANNOUNCEMENTS = 3;
const INTERVAL_MS = 1000;

export const ANNOUNCEMENT_OFF: Announcement = { kind: 'off' };
const NO_HOLDS: readonly Hold[] = [];

export function stepAnnouncement(
  state: Announcement,
  input: AnnouncementInput,
  now: number,
): Step<Announcement, 'send'> {
  const holds = holdsOf(state);
  switch (input.input) {
    case 'departed': {
      // A hold that is over does not count: nothing had to be held back.
      const active = holds.filter(({ until }) => now < until);
      const lans = input.ifaces.map((iface) => {
        const at = Math.max(input.from, heldUntil(active, iface) ?? 0);
        return { iface, left: ANNOUNCEMENTS, at };
      });
      // It may have left another LAN just before, which is still to be told.
      const others = lansOf(state).filter(({ iface }) => !input.ifaces.includes(iface));
      return [{ kind: 'sending', lans: [...others, ...lans], holds: active }, undefined];
    }
    case 'hold-back': {
      const { iface, until, isCheck } = input;
      const before = holds.find((hold) => hold.iface === iface);
      const counts = before !== undefined && (state.kind === 'sending' || now < before.until);
      if (counts && (isCheck !== true || before.isCheck === true)) return [state, undefined];
      const others = holds.filter((hold) => hold.iface !== iface);
      const kind = state.kind === 'sending' ? state : ({ kind: 'held-back' } as const);
      const hold = isCheck === true ? { iface, until, isCheck } : { iface, until };
      return [{ ...kind, holds: [...others, hold] }, undefined];
    }
    case 'arrived-home':
      return [state.kind === 'sending' ? { ...state, holds: NO_HOLDS } : ANNOUNCEMENT_OFF, undefined];
    case 'seen-on': {
      if (state.kind !== 'sending') return [state, undefined];
      const lans = state.lans.filter(({ iface }) => iface !== input.iface);
      return [lans.length === 0 ? stopped(holds) : { ...state, lans }, undefined];
    }
    case 'cancel':
      return state.kind === 'sending' ? [stopped(holds), undefined] : [state, undefined];
    case 'due':
      return state.kind === 'sending' ? due(state, input.wanted, now) : [state, undefined];
  }
}

function due(
  state: Extract<Announcement, { kind: 'sending' }>,
  wanted: boolean,
  now: number,
): Step<Announcement, 'send'> {
  const { holds } = state;
  if (!wanted) return [stopped(holds), undefined];
  const told = lansToTell(state, now);
  const lans = state.lans.flatMap((lan): LanTurn[] => {
    if (lan.at > now) return [lan];
    if (!told.includes(lan.iface)) return [{ ...lan, at: heldUntil(holds, lan.iface) ?? now }];
    return lan.left === 1 ? [] : [{ ...lan, left: lan.left - 1, at: now + INTERVAL_MS }];
  });
  const next = lans.length === 0 ? stopped(holds) : { ...state, lans };
  return [next, told.length > 0 ? 'send' : undefined];
}

/** The LANs whose turn it is now. */
export function lansToTell(state: Announcement, now: number): readonly IfIndex[] {
  const isHeld = (iface: IfIndex) => now < (heldUntil(holdsOf(state), iface) ?? 0);
  return lansOf(state)
    .filter(({ iface, at }) => at <= now && !isHeld(iface))
    .map(({ iface }) => iface);
}

/** What is held back, for an announcement that begins anew. */
export function holdsOf(state: Announcement): readonly Hold[] {
  return state.kind === 'off' ? NO_HOLDS : state.holds;
}

function lansOf(state: Announcement): readonly LanTurn[] {
  return state.kind === 'sending' ? state.lans : [];
}

function heldUntil(holds: readonly Hold[], lan: IfIndex): number | undefined {
  return holds.find(({ iface }) => iface === lan)?.until;
}

function stopped(holds: readonly Hold[]): Announcement {
  return holds.length === 0 ? ANNOUNCEMENT_OFF : { kind: 'held-back', holds };
}

export function announcementDeadline(state: Announcement): number {
  return state.kind === 'sending' ? Math.min(...state.lans.map(({ at }) => at)) : NEVER;
}
