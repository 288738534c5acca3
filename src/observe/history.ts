import { CAUSE_MEANINGS, DROP_MEANINGS, type HistoryEvent, describe, formatRtt } from './descriptions.js';
import type { AlarmView, DropView, WhyView } from '../control/schemas.js';
import {
  type Action,
  type Cause,
  DROP_REASONS,
  type DropReason,
  type HostState,
  type IfIndex,
} from '../mobility/events.js';
import { type Ip, familyOf, formatIp, formatMac } from '../wire/addresses.js';

/**
 * The last things that happened to each address, for `marpctl why`, the drops of each reason and the recent alarms.
 *
 * It keeps what the actions say and makes words of it only when asked, so that a record costs some hundred
 * nanoseconds. Addresses that were never proven are kept apart and few: a storm of forged senders must not push out
 * what is known of real hosts.
 */
export interface HistoryOptions {
  /** Name of an interface, if it still exists. */
  readonly nameOf: (iface: IfIndex) => string | undefined;
  readonly recordsPerAddress?: number;
  /** Records kept of hosts that were proven once, some 50 bytes each. */
  readonly hostRecords?: number;
  /** Records kept of all other addresses. */
  readonly unprovenRecords?: number;
}

type Drop = Extract<HistoryEvent, { kind: 'drop' }>;
type Alarm = Extract<HistoryEvent, { kind: 'alarm' }>;
type Transition = Extract<HistoryEvent, { kind: 'transition' }>;

/** In one of these states a host has once been proven. */
const PROVEN: ReadonlySet<HostState> = new Set(['home', 'fresh', 'settled', 'beneath', 'away']);
const NEW_UNPROVEN_PER_SECOND = 5000;
const MAX_ALARMS = 64;
const MAX_DROP_PLACES = 4096;
const OTHER_PLACES: IfIndex = 0;

interface DropCount {
  count: number;
  last: Drop;
}

/** What is known of one address; times are ages. */
type HostStory = Pick<WhyView, 'ip' | 'conclusion'> & {
  readonly records: readonly Omit<WhyView['records'][number], 'time'>[];
};

export class HostHistory {
  readonly #nameOf: (iface: IfIndex) => string | undefined;
  readonly #hosts: Rings;
  readonly #unproven: Rings;
  /** By reason and interface. */
  readonly #drops = new Map<DropReason, Map<IfIndex, DropCount>>();
  /** By kind and interface, oldest first. */
  readonly #alarms = new Map<string, { count: number; last: Alarm }>();
  #secondStart = 0;
  #newUnproven = 0;

  constructor(options: HistoryOptions) {
    this.#nameOf = options.nameOf;
    const length = options.recordsPerAddress ?? 32;
    this.#hosts = new Rings(length, options.hostRecords ?? 150_000);
    this.#unproven = new Rings(length, options.unprovenRecords ?? 20_000);
  }

  /** Takes every action; those that are no news are ignored. */
  record(action: Action): void {
    switch (action.kind) {
      case 'drop': {
        this.#countDrop(action);
        if (action.ip !== undefined) this.#note(action.ip, action);
        return;
      }
      case 'alarm':
        this.#raise(action);
        if (action.ip !== undefined) this.#note(action.ip, action);
        return;
      case 'transition':
        if (PROVEN.has(action.to)) this.#unproven.moveTo(this.#hosts, action.ip);
        this.#note(action.ip, action);
        return;
      case 'evidence':
        if (action.ip !== undefined) this.#note(action.ip, action);
        return;
      case 'answered':
        this.#note(action.asker, action);
        return;
      default:
        return;
    }
  }

  why(ip: Ip, now: number): HostStory {
    const entries = this.#hosts.get(ip) ?? this.#unproven.get(ip) ?? [];
    const records = entries.map(({ last, times }) => ({
      agoMs: now - last.at,
      kind: last.kind,
      times,
      text: describe(last, this.#placeOf(last)),
    }));
    return { ip: formatIp(ip), conclusion: conclude(ip, entries), records };
  }

  /** Reasons that occurred, the most frequent first; with the name of an interface, only what was ignored on it. */
  drops(now: number, place?: string): Omit<DropView, 'time'>[] {
    const summaries: Omit<DropView, 'time'>[] = [];
    for (const reason of DROP_REASONS) {
      const drops = [...(this.#drops.get(reason)?.values() ?? [])].filter(
        ({ last }) => place === undefined || this.#nameOf(last.iface) === place,
      );
      const [first] = drops;
      if (first === undefined) continue;
      const count = drops.reduce((sum, each) => sum + each.count, 0);
      const { last } = drops.reduce((latest, each) => (each.last.at > latest.last.at ? each : latest), first);
      summaries.push({
        reason,
        count,
        agoMs: now - last.at,
        ip: last.ip === undefined ? null : formatIp(last.ip),
        mac: last.mac === undefined ? null : formatMac(last.mac),
        interface: this.#nameOf(last.iface) ?? null,
        meaning: DROP_MEANINGS[reason],
      });
    }
    return summaries.sort((a, b) => b.count - a.count);
  }

  /** Most recent first; alarms of one kind on one interface are counted, and the last of them is shown. */
  alarms(now: number): Omit<AlarmView, 'time'>[] {
    return [...this.#alarms.values()].reverse().map(({ count, last }) => ({
      alarm: last.alarm,
      agoMs: now - last.at,
      count,
      ip: last.ip === undefined ? null : formatIp(last.ip),
      mac: last.mac === undefined ? null : formatMac(last.mac),
      interface: last.interface ?? null,
      otherMac: last.otherMac === undefined ? null : formatMac(last.otherMac),
      otherInterface: last.otherInterface ?? null,
      message: last.message,
    }));
  }

  #countDrop(drop: Drop): void {
    let places = this.#drops.get(drop.reason);
    if (places === undefined) {
      places = new Map<IfIndex, DropCount>();
      this.#drops.set(drop.reason, places);
    }
    // Taps come and go under ever new numbers: what is beyond the bound is counted together.
    const place = places.size < MAX_DROP_PLACES || places.has(drop.iface) ? drop.iface : OTHER_PLACES;
    const known = places.get(place);
    if (known === undefined) places.set(place, { count: 1, last: drop });
    else {
      known.count++;
      known.last = drop;
    }
  }

  #note(ip: Ip, action: HistoryEvent): void {
    if (this.#hosts.append(ip, action) || this.#unproven.append(ip, action)) return;
    if (action.kind === 'transition' && PROVEN.has(action.to)) {
      this.#hosts.open(ip, action);
      return;
    }
    if (action.at - this.#secondStart >= 1000) {
      this.#secondStart = action.at;
      this.#newUnproven = 0;
    }
    if (this.#newUnproven++ < NEW_UNPROVEN_PER_SECOND) this.#unproven.open(ip, action);
  }

  #raise(alarm: Alarm): void {
    const key = `${alarm.alarm} ${alarm.interface}`;
    const count = (this.#alarms.get(key)?.count ?? 0) + 1;
    this.#alarms.delete(key);
    this.#alarms.set(key, { count, last: alarm });
    if (this.#alarms.size <= MAX_ALARMS) return;
    // The newest of each kind stays.
    const newest = new Map([...this.#alarms].map(([key, { last }]) => [last.alarm, key]));
    const kept = new Set(newest.values());
    for (const key of this.#alarms.keys()) if (!kept.has(key)) return void this.#alarms.delete(key);
  }

  #placeOf(action: HistoryEvent): string {
    if (action.kind !== 'drop') return '';
    return this.#nameOf(action.iface) ?? `interface ${action.iface} (gone)`;
  }
}

/** The same thing, so many times in a row; `last` is the last of them. */
interface HistoryEntry {
  last: HistoryEvent;
  times: number;
}

/** What is kept of one address, from the oldest to the newest. */
interface AddressHistory {
  readonly entries: HistoryEntry[];
  /** When it took its place in the order of eviction, whole ms. */
  placedAt: number;
}

/** To put an address behind all others costs more than to note something; the order of eviction is exact to this. */
const ORDER_MS = 1000;

/** A short list per address. When all lists are too long together, the address that was silent longest goes first. */
class Rings {
  readonly #byAddress = new Map<Ip, AddressHistory>();
  readonly #perAddress: number;
  readonly #total: number;
  /** Made when it is needed: it would keep every table alive that the map outgrows meanwhile. */
  #oldest: MapIterator<[Ip, AddressHistory]> | undefined;
  #size = 0;

  constructor(perAddress: number, total: number) {
    this.#perAddress = perAddress;
    this.#total = total;
  }

  /** Oldest first; undefined when nothing is known of the address. */
  get(ip: Ip): readonly HistoryEntry[] | undefined {
    return this.#byAddress.get(ip)?.entries;
  }

  /** False when nothing is known of the address. */
  append(ip: Ip, action: HistoryEvent): boolean {
    const history = this.#byAddress.get(ip);
    if (history === undefined) return false;
    if (action.at - history.placedAt >= ORDER_MS) {
      history.placedAt = Math.floor(action.at);
      this.#byAddress.delete(ip);
      this.#byAddress.set(ip, history);
    }
    const { entries } = history;
    const newest = entries.at(-1);
    if (newest !== undefined && isRepeat(newest.last, action)) {
      newest.last = action;
      newest.times++;
      return true;
    }
    entries.push({ last: action, times: 1 });
    if (entries.length > this.#perAddress) entries.shift();
    else this.#size++;
    this.#evict();
    return true;
  }

  open(ip: Ip, action: HistoryEvent): void {
    this.#byAddress.set(ip, { entries: [{ last: action, times: 1 }], placedAt: Math.floor(action.at) });
    this.#size++;
    this.#evict();
  }

  moveTo(other: Rings, ip: Ip): void {
    const history = this.#byAddress.get(ip);
    if (history === undefined) return;
    this.#byAddress.delete(ip);
    this.#size -= history.entries.length;
    other.#byAddress.set(ip, history);
    other.#size += history.entries.length;
  }

  /** The iterator stays: a new one would have to pass the gaps of all that are gone. What it has passed is gone. */
  #evict(): void {
    while (this.#size > this.#total) {
      this.#oldest ??= this.#byAddress.entries();
      const oldest = this.#oldest.next();
      if (oldest.done === true) {
        if (this.#byAddress.size === 0) throw new Error('history: records are counted that no address has');
        this.#oldest = undefined;
        continue;
      }
      const [ip, { entries }] = oldest.value;
      this.#byAddress.delete(ip);
      this.#size -= entries.length;
    }
  }
}

/** The second says no more than the first. A transition always says something new. */
function isRepeat(one: HistoryEvent, other: HistoryEvent): boolean {
  switch (one.kind) {
    case 'evidence':
      return (
        other.kind === 'evidence' &&
        one.evidence === other.evidence &&
        one.iface === other.iface &&
        one.mac === other.mac
      );
    case 'drop':
      return (
        other.kind === 'drop' &&
        one.reason === other.reason &&
        one.iface === other.iface &&
        one.mac === other.mac
      );
    case 'answered':
      return other.kind === 'answered' && one.target === other.target && one.interface === other.interface;
    default:
      return false;
  }
}

/** The one sentence that answers "why was this host (not) learned". */
function conclude(ip: Ip, entries: readonly HistoryEntry[]): string {
  const actions = entries.map((entry) => entry.last);
  const at = actions.findLastIndex((action) => action.kind === 'transition');
  const transition = actions[at] as Transition | undefined;
  const drop = entries.slice(at + 1).findLast((entry) => entry.last.kind === 'drop');
  const dropped = drop === undefined ? undefined : (drop.last as Drop);
  if (transition === undefined) {
    if (dropped !== undefined) return `not learned: ${DROP_MEANINGS[dropped.reason]}`;
    if (actions.length > 0) return 'heard, but not decided yet';
    return `never heard: no ${familyOf(ip) === 'ipv4' ? 'ARP' : 'Neighbor Discovery'} from ${formatIp(ip)} was received on a mobility interface, or too long ago to be remembered`;
  }
  const decision = decisionOf(transition, actions.slice(0, at));
  if (dropped === undefined || drop === undefined) return decision;
  const frames = drop.times === 1 ? 'a frame was' : `${drop.times} frames were`;
  return `${decision}; after that ${frames} ignored: ${DROP_MEANINGS[dropped.reason]}`;
}

function decisionOf(transition: Transition, before: readonly HistoryEvent[]): string {
  const place = transition.interface === undefined ? '' : ` on ${transition.interface}`;
  const cause = CAUSE_MEANINGS[transition.cause];
  switch (transition.to) {
    case 'fresh':
    case 'settled':
      return `learned: ${learnedBecause(originOf(transition, before), before)}${transition.to === 'settled' ? ' (settled)' : ''}`;
    case 'beneath':
      return `standby${place}: the claim of another router of this LAN counts, ours is beneath it; ${learnedBecause(originOf(transition, before), before)}`;
    case 'home':
      return `at home${place}: only recorded, the route of its subnet is used; ${learnedBecause(transition, before)}`;
    case 'away':
      return `away: ${cause}`;
    case 'proving':
      return `not learned yet: probing${place}, because ${cause}`;
    case 'remembered':
      return `gone: ${cause}`;
    case 'unknown':
      return `not learned: ${cause}`;
  }
}

/**
 * The transition by which a claimed host came to where it is: the last one that was a proof or a new place. A claim that
 * aged, and one that was claimed again because of another router, are as they were otherwise.
 */
function originOf(transition: Transition, before: readonly HistoryEvent[]): Transition {
  const transitions = [...before, transition].filter((action) => action.kind === 'transition');
  const isClaim = (state: HostState) => state === 'fresh' || state === 'settled' || state === 'beneath';
  for (let at = transitions.length - 1; at >= 0; at--) {
    const one = transitions[at] as Transition;
    const previous = transitions[at - 1];
    // A claim that is made anew at a promotion is withdrawn for a moment.
    const anew = one.from === 'remembered' && one.cause === 'took-over';
    if (!isClaim(one.from) && !anew) return one;
    const moved =
      previous !== undefined && (previous.interface !== one.interface || previous.mac !== one.mac);
    if (moved || !SAME_PLACE.has(one.cause)) return one;
  }
  return transition;
}

/** Another kind of claim at the same place. */
const SAME_PLACE: ReadonlySet<Cause> = new Set([
  'aged',
  'contested',
  'took-over',
  'surfaced',
  'unannounced',
  'remote-claim',
]);

function learnedBecause(transition: Transition, before: readonly HistoryEvent[]): string {
  const place = transition.interface === undefined ? '' : ` on ${transition.interface}`;
  const answer = before.findLast(
    (action) =>
      action.kind === 'evidence' &&
      action.evidence === 'answer' &&
      action.at <= transition.at &&
      action.interface === transition.interface &&
      action.mac === transition.mac,
  );
  const rttMs = answer?.kind === 'evidence' ? answer.rttMs : undefined;
  if (transition.cause !== 'proven' && transition.cause !== 'moved') {
    // At home the place is said before.
    return `${CAUSE_MEANINGS[transition.cause]}${transition.to === 'home' ? '' : place}`;
  }
  const after = rttMs === undefined ? '' : ` after ${formatRtt(rttMs)}`;
  const novelty = transition.cause === 'moved' ? ', a new location' : '';
  return `answered the probe${place}${after}${novelty}`;
}
