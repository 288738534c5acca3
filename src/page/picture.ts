import type { EventRecord } from '../control/records.js';
import type { AlarmView, HostView, InterfaceView, StatusView } from '../control/schemas.js';
import { orderOf } from './order.js';

/**
 * What the page knows: hosts by router and LAN, moves, events of all routers in one column of time. Pure, so that the live
 * page and the replay of a file are the same. Times are milliseconds since 1970, with a fraction.
 */

/** What `marpctl explain --json` tells beside the events. */
type Recorded = 'frame' | 'send' | 'route' | 'note' | 'difference';

/** A record of one router's /v1/events, or of a recorded file. */
export interface RoutedRecord {
  readonly router: string;
  readonly event: EventRecord['event'] | Recorded;
  readonly time?: string;
  readonly ip?: string | null;
  readonly [key: string]: unknown;
}

export type HostState = HostView['state'];

export interface Host {
  readonly ip: string;
  readonly router: string;
  /** Sorts by the address. */
  readonly order: string;
  /** The interface, or ELSEWHERE. */
  lan: string;
  state: HostState;
  mac: string | null;
  frozen: boolean;
}

export interface Place {
  readonly router: string;
  readonly lan: string;
}

export interface Move {
  readonly ip: string;
  readonly from: Place;
  readonly to: Place;
  readonly at: number;
  /** From the first frame at the new place to the route in its kernel. */
  installMs?: number;
  /** From the claim at the new router to the end of the old router's; needs clocks that agree. */
  withdrawnMs?: number;
}

/** A router held the address until then. */
interface Release {
  readonly router: string;
  readonly at: number;
}

export interface Entry {
  readonly at: number;
  readonly router: string;
  readonly ip: string;
  readonly kind: string;
  readonly text: string;
}

export interface Router {
  readonly name: string;
  readonly hosts: Map<string, Host>;
  /** The same, in rows. */
  readonly lans: Map<string, Map<string, Host>>;
  readonly interfaces: Map<string, InterfaceView>;
  status: StatusView | undefined;
  /** Why nothing is heard of it. */
  problem: string | undefined;
}

/** The row of hosts that are known and not here: away, or remembered. */
export const ELSEWHERE = '';
const HELD: ReadonlySet<string> = new Set(['home', 'fresh', 'settled', 'beneath']);
const HERE: ReadonlySet<string> = new Set(['proving', 'home', 'fresh', 'settled', 'beneath']);
const KEPT_ENTRIES = 2000;
const KEPT_MOVES = 5000;
const KEPT_ALARMS = 200;
/** What belongs to a move comes within this time of it. */
const OF_A_MOVE_MS = 30_000;
/** Upper bounds in ms; what is above the last one counts there too. */
export const BUCKETS_MS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000] as const;

/** Date.parse stops at milliseconds; the records have microseconds. */
export function timeOf(iso: string | undefined): number {
  if (iso === undefined) return Number.NaN;
  const micros = /\.\d{3}(\d{3})Z$/.exec(iso)?.[1];
  return Date.parse(iso) + Number(micros ?? 0) / 1000;
}

export class Picture {
  readonly routers = new Map<string, Router>();
  /** Where an address was last held. */
  readonly places = new Map<string, Place>();
  readonly moves: Move[] = [];
  /** Install latencies of hosts that came from nowhere. */
  readonly newcomersMs: number[] = [];
  /** Oldest first. */
  readonly entries: Entry[] = [];
  readonly alarms: (Entry & { readonly message: string })[] = [];
  records = 0;
  /** Time of the newest record. */
  now = Number.NaN;
  /** Rows that look different since `takeChanged`. */
  #changed = new Set<Map<string, Host>>();
  /** Moves since `takeMoves`. */
  #fresh: Move[] = [];
  readonly #lastMove = new Map<string, Move>();
  readonly #releases = new Map<string, Release>();
  /** The interface of the last evidence, by router and address: a host that is asked is in no place yet. */
  readonly #heardOn = new Map<string, string>();
  /** By router and address. */
  readonly #provingSince = new Map<string, number>();

  router(name: string): Router {
    let router = this.routers.get(name);
    if (router === undefined) {
      router = {
        name,
        hosts: new Map(),
        lans: new Map(),
        interfaces: new Map(),
        status: undefined,
        problem: undefined,
      };
      this.routers.set(name, router);
    }
    return router;
  }

  /** The whole table of a router, in place of what was known of it. */
  setHosts(router: string, views: readonly HostView[]): void {
    const { hosts, lans } = this.router(router);
    hosts.clear();
    for (const row of lans.values()) {
      row.clear();
      this.#changed.add(row);
    }
    for (const { ip, interface: name, state, mac, contest } of views) {
      const lan = HERE.has(state) ? (name ?? ELSEWHERE) : ELSEWHERE;
      this.#put({ ip, router, order: orderOf(ip), lan, state, mac, frozen: contest?.frozenForMs != null });
      if (HELD.has(state) && lan !== ELSEWHERE) this.places.set(ip, { router, lan });
    }
  }

  setInterfaces(name: string, views: readonly InterfaceView[]): void {
    const router = this.router(name);
    router.interfaces.clear();
    for (const view of views) {
      if (view.master !== null) continue;
      router.interfaces.set(view.name, view);
      this.#row(name, view.name);
    }
  }

  /** What a router says of its alarms takes the place of what was seen of them. */
  setStatus(name: string, status: StatusView): void {
    this.router(name).status = status;
    const others = this.alarms.filter((alarm) => alarm.router !== name);
    const own = status.alarms.map((alarm) => alarmEntry(name, timeOf(alarm.time), alarm));
    this.alarms.splice(0, this.alarms.length, ...[...others, ...own].sort((a, b) => a.at - b.at));
  }

  apply(record: RoutedRecord): void {
    this.records++;
    const at = timeOf(record.time);
    if (at > this.now || Number.isNaN(this.now)) this.now = at;
    switch (record.event) {
      case 'transition':
        this.#transition(record, at);
        break;
      case 'installed':
        this.#installed(record, at, record.latencyMs);
        break;
      case 'route': {
        // In a recorded file nothing says when the kernel had it: the decision counts.
        const since = this.#provingSince.get(`${record.router} ${record.ip}`);
        if (record.change === 'add' && since !== undefined) this.#installed(record, at, at - since);
        break;
      }
      case 'evidence':
        if (typeof record.interface === 'string')
          this.#heardOn.set(`${record.router} ${record.ip}`, record.interface);
        break;
      case 'alarm':
        this.alarms.push(alarmEntry(record.router, at, record as unknown as AlarmView));
        if (this.alarms.length > KEPT_ALARMS) this.alarms.shift();
        if (record.alarm === 'frozen') this.#freeze(record);
        break;
    }
    const { router, event: kind } = record;
    this.#note({ at, router, ip: record.ip ?? '', kind, text: textOf(record) });
  }

  takeChanged(): ReadonlySet<Map<string, Host>> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  takeMoves(): readonly Move[] {
    return this.#fresh.splice(0);
  }

  #row(router: string, lan: string): Map<string, Host> {
    const { lans } = this.router(router);
    let row = lans.get(lan);
    if (row === undefined) {
      row = new Map();
      lans.set(lan, row);
    }
    this.#changed.add(row);
    return row;
  }

  #put(host: Host): void {
    this.router(host.router).hosts.set(host.ip, host);
    this.#row(host.router, host.lan).set(host.ip, host);
  }

  #transition(record: RoutedRecord, at: number): void {
    const { router, ip } = record;
    const to = String(record.to);
    const from = String(record.from);
    if (typeof ip !== 'string') return;
    const { hosts } = this.router(router);
    const before = hosts.get(ip);
    const place = typeof record.interface === 'string' ? record.interface : undefined;
    const lan = HERE.has(to) ? (place ?? this.#heardOn.get(`${router} ${ip}`) ?? ELSEWHERE) : ELSEWHERE;
    if (to === 'unknown') this.#heardOn.delete(`${router} ${ip}`);
    if (to === 'proving') this.#provingSince.set(`${router} ${ip}`, at);
    else if (!HELD.has(to)) this.#provingSince.delete(`${router} ${ip}`);
    if (before !== undefined) this.#row(router, before.lan).delete(ip);
    if (to === 'unknown') hosts.delete(ip);
    else {
      const mac = typeof record.mac === 'string' ? record.mac : (before?.mac ?? null);
      const frozen = before?.frozen ?? false;
      const order = before?.order ?? orderOf(ip);
      this.#put({ ip, router, order, lan, state: to as HostState, mac, frozen });
    }
    if ((to === 'fresh' || to === 'home') && lan !== ELSEWHERE) this.#arrived(ip, { router, lan }, at);
    if (HELD.has(from) && !HERE.has(to)) {
      const release = { router, at };
      this.#releases.set(ip, release);
      const move = this.#lastMove.get(ip);
      if (move !== undefined) endMove(move, release);
    }
  }

  #arrived(ip: string, to: Place, at: number): void {
    const from = this.places.get(ip);
    this.places.set(ip, to);
    if (from === undefined || (from.router === to.router && from.lan === to.lan)) return;
    const move: Move = { ip, from, to, at };
    this.#lastMove.set(ip, move);
    const release = this.#releases.get(ip);
    if (release !== undefined) endMove(move, release);
    this.moves.push(move);
    this.#fresh.push(move);
    if (this.moves.length > KEPT_MOVES) this.moves.shift();
    if (this.#fresh.length > KEPT_MOVES) this.#fresh.shift();
  }

  #installed(record: RoutedRecord, at: number, latencyMs: unknown): void {
    const { ip, router, age } = record;
    if (age !== 'fresh' || typeof ip !== 'string' || typeof latencyMs !== 'number') return;
    const move = this.#lastMove.get(ip);
    const recent = move !== undefined && move.installMs === undefined && at - move.at < OF_A_MOVE_MS;
    if (recent && move.to.router === router && move.to.lan === record.interface) move.installMs = latencyMs;
    else {
      this.newcomersMs.push(latencyMs);
      if (this.newcomersMs.length > KEPT_MOVES) this.newcomersMs.shift();
    }
  }

  #freeze({ router, ip }: RoutedRecord): void {
    const host = typeof ip === 'string' ? this.router(router).hosts.get(ip) : undefined;
    if (host === undefined) return;
    host.frozen = true;
    this.#row(router, host.lan);
  }

  /** Streams of several routers arrive a little out of order. */
  #note(entry: Entry): void {
    const { entries } = this;
    let at = entries.length;
    while (at > 0 && (entries[at - 1] as Entry).at > entry.at) at--;
    entries.splice(at, 0, entry);
    if (entries.length > KEPT_ENTRIES) entries.splice(0, entries.length - KEPT_ENTRIES);
  }
}

/** The two routers' records come in any order. */
function endMove(move: Move, { router, at }: Release): void {
  const { from, to } = move;
  if (move.withdrawnMs !== undefined || from.router !== router || to.router === router) return;
  if (Math.abs(at - move.at) < OF_A_MOVE_MS) move.withdrawnMs = Math.max(0, at - move.at);
}

function alarmEntry(router: string, at: number, alarm: AlarmView) {
  const { ip, message, alarm: text } = alarm;
  const parties = [alarm.mac, alarm.interface, alarm.otherMac, alarm.otherInterface];
  const who = parties.filter((party) => party !== null && party !== undefined).join(', ');
  return {
    at,
    router,
    ip: ip ?? '',
    kind: 'alarm',
    text,
    message: who === '' ? message : `${message} (${who})`,
  };
}

function textOf(record: RoutedRecord): string {
  const where = typeof record.interface === 'string' ? ` on ${record.interface}` : '';
  switch (record.event) {
    case 'transition':
      return `${record.from} → ${record.to}${where} (${record.cause})`;
    case 'installed': {
      const took = typeof record.latencyMs === 'number' ? `, ${record.latencyMs.toFixed(2)} ms` : '';
      return `${record.age} route in the kernel${where}${took}`;
    }
    case 'alarm':
      return `ALARM ${record.alarm}: ${record.message}`;
    case 'evidence': {
      const took = typeof record.rttMs === 'number' ? ` after ${record.rttMs.toFixed(2)} ms` : '';
      return `${record.evidence} seen${where}${took}`;
    }
    case 'role':
      return `${record.state}${where} (${record.reason})`;
    case 'answered':
      return `asked for ${record.target}${where}: answered`;
    case 'drop':
      return `frame ignored${where}: ${record.reason}`;
    case 'frame':
      return `${record.direction === 'out' ? 'sent' : 'seen'}${where}: ${record.frame}`;
    case 'send':
      return `sends${where} (${record.purpose}): ${record.frame}`;
    case 'route':
      return record.change === 'add' ? `${record.age} route${where}` : 'route withdrawn';
    case 'note':
      return String(record.note);
    case 'difference':
      return `DIFFERENCE ${record.difference}`;
    case 'lost':
      return `${record.lost} records lost: the page was too slow`;
    default:
      return String(record.event);
  }
}

/** How many of the values are in each bucket. */
export function countBuckets(values: readonly number[]): number[] {
  const counts = BUCKETS_MS.map(() => 0);
  for (const value of values) {
    const at = BUCKETS_MS.findIndex((bound) => value <= bound);
    const bucket = at < 0 ? BUCKETS_MS.length - 1 : at;
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  return counts;
}

/** Of sorted or unsorted values; undefined of none. */
export function quantile(values: readonly number[], q: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
