import type { IfIndex } from '../events.js';
import { NEVER, type Row, type Step, rows } from './machine.js';

type Kind = 'off' | 'held-back' | 'sending';
type InputName = 'departed' | 'hold-back' | 'seen-on' | 'arrived-home' | 'cancel' | 'due';

/** Gratuitous ARP or NA on the LANs that the host left, so that its neighbours there send to us (RFC 5944 section 4.6). */
const ANY: readonly Kind[] = ['off', 'held-back', 'sending'];
export const ANNOUNCEMENT_TABLE: readonly Row<Kind, InputName, 'send'>[] = [
  ...rows(ANY, 'departed', 'sending'),
  ...rows(['off', 'held-back'], 'hold-back', 'held-back'),
  { from: 'sending', input: 'hold-back', to: 'sending', note: 'once; it does not begin anew' },
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
  { from: 'sending', input: 'due', to: 'off', note: 'the host is back' },
  { from: 'sending', input: 'due', to: 'held-back', note: 'the same, while it was held back' },
];

/** `heldUntil`: somebody may be about to take the address there, and would take an announcement for a conflict. */
export type Announcement =
  | { readonly kind: 'off' }
  | { readonly kind: 'held-back'; readonly heldUntil: number }
  | {
      readonly kind: 'sending';
      readonly ifaces: readonly IfIndex[];
      readonly left: number;
      readonly at: number;
      readonly heldUntil: number | undefined;
    };

export type AnnouncementInput =
  /** `from`: the earliest time. */
  | { readonly input: 'departed'; readonly ifaces: readonly IfIndex[]; readonly from: number }
  | { readonly input: 'hold-back'; readonly until: number }
  /** The host is proven to be on this interface. */
  | { readonly input: 'seen-on'; readonly iface: IfIndex }
  | { readonly input: 'arrived-home' | 'cancel' }
  /** `wanted`: the host is elsewhere. */
  | { readonly input: 'due'; readonly wanted: boolean };

/** RFC 5944 section 4.6 leaves number and interval open: now, after one second, after two. */
const ANNOUNCEMENTS = 3;
const INTERVAL_MS = 1000;

export const ANNOUNCEMENT_OFF: Announcement = { kind: 'off' };

export function stepAnnouncement(
  state: Announcement,
  input: AnnouncementInput,
  now: number,
): Step<Announcement, 'send'> {
  const heldUntil = state.kind === 'off' ? undefined : state.heldUntil;
  switch (input.input) {
    case 'departed': {
      // A hold that is over does not count: nothing had to be held back.
      const hold = heldUntil !== undefined && now < heldUntil ? heldUntil : undefined;
      const at = Math.max(input.from, hold ?? 0);
      return [{ kind: 'sending', ifaces: input.ifaces, left: ANNOUNCEMENTS, at, heldUntil: hold }, undefined];
    }
    case 'hold-back': {
      const { until } = input;
      if (state.kind === 'sending')
        return [heldUntil === undefined ? { ...state, heldUntil: until } : state, undefined];
      if (heldUntil !== undefined && now < heldUntil) return [state, undefined];
      return [{ kind: 'held-back', heldUntil: until }, undefined];
    }
    case 'arrived-home':
      return [state.kind === 'sending' ? { ...state, heldUntil: undefined } : ANNOUNCEMENT_OFF, undefined];
    case 'seen-on': {
      if (state.kind !== 'sending' || !state.ifaces.includes(input.iface)) return [state, undefined];
      const ifaces = state.ifaces.filter((iface) => iface !== input.iface);
      return [ifaces.length === 0 ? stopped(heldUntil) : { ...state, ifaces }, undefined];
    }
    case 'cancel':
      return state.kind === 'sending' ? [stopped(heldUntil), undefined] : [state, undefined];
    case 'due':
      return state.kind === 'sending' ? due(state, input.wanted, now) : [state, undefined];
  }
}

function due(
  state: Extract<Announcement, { kind: 'sending' }>,
  wanted: boolean,
  now: number,
): Step<Announcement, 'send'> {
  const { heldUntil, left } = state;
  if (!wanted) return [stopped(heldUntil), undefined];
  if (heldUntil !== undefined && now < heldUntil) return [{ ...state, at: heldUntil }, undefined];
  if (left === 1) return [stopped(heldUntil), 'send'];
  return [{ ...state, left: left - 1, at: now + INTERVAL_MS }, 'send'];
}

function stopped(heldUntil: number | undefined): Announcement {
  return heldUntil === undefined ? ANNOUNCEMENT_OFF : { kind: 'held-back', heldUntil };
}

export function announcementDeadline(state: Announcement): number {
  return state.kind === 'sending' ? state.at : NEVER;
}
