import { type Family, type Ip, type Prefix, contains, familyOf } from '../../wire/addresses.js';
import type { Outcome } from '../ip/executor.js';
import {
  type Encapsulation,
  NEXTHOP_IDS,
  type Nexthop,
  firstNexthopId,
  nexthopCommands,
  nexthopFamily,
  routeCommand,
  sourceFor,
} from './encapsulation.js';

/** What the kernel shall hold of the mapping system, and what it holds: routes and their nexthop objects. Pure. */

/** Why a mapping has no route: its prefix covers an RLOC; we have no RLOC of that family. */
export type Unusable = 'loop' | 'no-rloc';

interface Route {
  readonly prefix: Prefix;
  want: Ip | undefined;
  /** What the kernel has acknowledged. */
  have: Ip | undefined;
  /** The process ended before it answered: only a dump says what there is. */
  isUnknown: boolean;
  inFlight: boolean;
  /** Refused since the last dump: not tried again before the next one. */
  isRefused: boolean;
  /** When a command for it was sent or answered: a dump that began before says nothing of it. */
  touchedAt: number;
}

interface KnownNexthop extends Nexthop {
  state: 'absent' | 'sent' | 'installed';
  touchedAt: number;
  /** Since the last dump no route of ours used it. */
  isIdle: boolean;
}

/** The commands of one flush, in their order, with the route or the nexthop that each is for. */
export interface Work {
  readonly commands: string[];
  readonly subjects: (Route | KnownNexthop)[];
}

/** A route of ours as a dump shows it. */
export interface DumpedRoute {
  readonly prefix: Prefix;
  /** undefined: not by a nexthop object. */
  readonly nexthopId: number | undefined;
}

export class Mappings {
  readonly #tunnel: Encapsulation;
  readonly #routes = new Map<string, Route>();
  readonly #dirty = new Set<Route>();
  readonly #nexthops = new Map<string, KnownNexthop>();
  /** Where the routes in flight will lead. */
  readonly #sent = new Map<Route, Ip | undefined>();
  /** Those of the nexthops and our own: no mapped prefix may cover one. */
  readonly #rlocs: Set<Ip>;
  /** Ids of others in our range. */
  #taken: ReadonlySet<number> = new Set();
  readonly #onUnusable: (prefix: Prefix, rloc: Ip, why: Unusable) => void;
  /** Events so far: the clock that dumps are compared by. */
  clock = 0;

  constructor(tunnel: Encapsulation, onUnusable: (prefix: Prefix, rloc: Ip, why: Unusable) => void) {
    this.#tunnel = tunnel;
    this.#rlocs = new Set(tunnel.rlocs);
    this.#onUnusable = onUnusable;
  }

  /** `rloc` undefined: no route. Our own RLOC: none either, for the prefix is here. */
  want(prefix: Prefix, rloc: Ip | undefined): void {
    const key = keyOf(prefix);
    let route = this.#routes.get(key);
    if (route === undefined) {
      if (rloc === undefined) return;
      route = newRoute(prefix);
      this.#routes.set(key, route);
    }
    if (route.want === rloc) return;
    route.want = rloc;
    route.isRefused = false;
    this.#dirty.add(route);
  }

  wantNothing(): void {
    for (const { prefix } of this.#routes.values()) this.want(prefix, undefined);
  }

  /** All mappings that are wanted. */
  *wanted(): Iterable<{ readonly prefix: Prefix; readonly rloc: Ip }> {
    for (const { prefix, want } of this.#routes.values())
      if (want !== undefined) yield { prefix, rloc: want };
  }

  /** RLOCs of others that have a nexthop object. */
  rlocs(): Ip[] {
    return [...this.#rlocs].filter((rloc) => !this.#tunnel.rlocs.includes(rloc));
  }

  stats(): { readonly wanted: number; readonly installed: number; readonly refused: number } {
    let [wanted, installed, refused] = [0, 0, 0];
    for (const { want, have, isRefused } of this.#routes.values()) {
      if (want !== undefined) wanted++;
      if (have !== undefined) installed++;
      if (isRefused) refused++;
    }
    return { wanted, installed, refused };
  }

  /** What is to be sent now. A route waits while a command for it, or for its nexthop by another process, is on its way. */
  takeWork(): Work {
    const work: Work = { commands: [], subjects: [] };
    const fresh = new Set<KnownNexthop>();
    for (const route of this.#dirty) {
      if (route.inFlight || route.isUnknown || route.isRefused) continue;
      const target = this.#usable(route);
      if (target === route.have && this.#isInstalled(route, target)) {
        this.#settle(route);
        continue;
      }
      let nexthop: KnownNexthop | undefined;
      if (target !== undefined) {
        nexthop = this.#nexthopFor(familyOf(route.prefix.ip), target);
        if (nexthop.state === 'sent' && !fresh.has(nexthop)) continue;
        if (nexthop.state === 'absent') {
          fresh.add(nexthop);
          this.#sendNexthop(nexthop, work);
        }
      }
      const verb = nexthop === undefined ? 'del' : route.have === undefined ? 'add' : 'replace';
      work.commands.push(routeCommand(verb, route.prefix, nexthop?.id, this.#tunnel));
      work.subjects.push(route);
      route.inFlight = true;
      route.touchedAt = ++this.clock;
      this.#sent.set(route, target);
    }
    return work;
  }

  #sendNexthop(nexthop: KnownNexthop, work: Work): void {
    nexthop.state = 'sent';
    nexthop.touchedAt = ++this.clock;
    for (const command of nexthopCommands(nexthop, this.#tunnel)) {
      work.commands.push(command);
      work.subjects.push(nexthop);
    }
  }

  /** Outcomes by position; returns the first refusal that a dump, or a person, has to explain. */
  note({ subjects }: Work, outcomes: readonly Outcome[]): Outcome {
    let unexplained: Outcome;
    subjects.forEach((subject, index) => {
      const outcome = outcomes[index];
      subject.touchedAt = ++this.clock;
      if ('rloc' in subject) {
        if (outcome !== undefined) subject.state = 'absent';
        else if (subject.state === 'sent') subject.state = 'installed';
        unexplained ??= outcome;
        return;
      }
      const target = this.#sent.get(subject);
      this.#sent.delete(subject);
      subject.inFlight = false;
      if (outcome === undefined || (outcome.reason === 'absent' && target === undefined)) {
        subject.have = target;
        this.#settle(subject);
        return;
      }
      unexplained ??= outcome;
      if (outcome.reason === 'lost') subject.isUnknown = true;
      else subject.isRefused = true;
    });
    return unexplained;
  }

  #settle(route: Route): void {
    if (route.want === undefined && route.have === undefined) {
      this.#dirty.delete(route);
      this.#routes.delete(keyOf(route.prefix));
    } else if (this.#usable(route, true) === route.have) this.#dirty.delete(route);
  }

  #isInstalled(route: Route, rloc: Ip | undefined): boolean {
    if (rloc === undefined) return true;
    return this.#nexthops.get(nexthopKey(familyOf(route.prefix.ip), rloc))?.state === 'installed';
  }

  /** Where the route shall lead; undefined: nowhere, for the mapping cannot be used. */
  #usable(route: Route, isQuiet = false): Ip | undefined {
    const { prefix, want } = route;
    if (want === undefined || this.#tunnel.rlocs.includes(want)) return undefined;
    const why: Unusable | undefined =
      sourceFor(want, this.#tunnel) === undefined
        ? 'no-rloc'
        : this.#covers(prefix, want)
          ? 'loop'
          : undefined;
    if (why === undefined) return want;
    if (!isQuiet) this.#onUnusable(prefix, want, why);
    return undefined;
  }

  /** Outer packets to such an RLOC would be encapsulated again, for ever. */
  #covers(prefix: Prefix, rloc: Ip): boolean {
    if (contains(prefix, rloc)) return true;
    for (const one of this.#rlocs) if (contains(prefix, one)) return true;
    return false;
  }

  #nexthopFor(eid: Family, rloc: Ip): KnownNexthop {
    const key = nexthopKey(eid, rloc);
    const known = this.#nexthops.get(key);
    if (known !== undefined) return known;
    const first = firstNexthopId(this.#tunnel.protocol);
    const used = new Set([...this.#nexthops.values()].map(({ id }) => id));
    let id = first + 1;
    while (used.has(id) || this.#taken.has(id)) id++;
    if (id >= first + NEXTHOP_IDS) throw new Error('no id is left for a nexthop');
    const nexthop: KnownNexthop = {
      id,
      rloc,
      family: nexthopFamily(eid, rloc),
      state: 'absent',
      touchedAt: ++this.clock,
      isIdle: false,
    };
    this.#nexthops.set(key, nexthop);
    this.#rlocs.add(rloc);
    // A prefix that covers this RLOC must not stay.
    for (const route of this.#routes.values())
      if (route.want !== undefined && contains(route.prefix, rloc)) this.#dirty.add(route);
    return nexthop;
  }

  /**
   * What a dump shows that was begun at `begunAt` of the clock. Routes that are new here are adopted when `adopt`, and
   * otherwise deleted: nobody wants them. Returns whether it
   * says something of all: not of what was sent meanwhile.
   */
  compare(
    begunAt: number,
    nexthops: readonly { readonly nexthop: Nexthop; readonly isAsWanted: boolean }[],
    routes: readonly DumpedRoute[],
    taken: ReadonlySet<number>,
    adopt: boolean,
  ): boolean {
    this.#taken = taken;
    const present = new Map(nexthops.map((one) => [one.nexthop.id, one]));
    for (const { nexthop } of nexthops) {
      const key = `${nexthop.family} ${nexthop.rloc}`;
      if (this.#nexthops.has(key)) continue;
      this.#nexthops.set(key, { ...nexthop, state: 'absent', touchedAt: 0, isIdle: false });
      this.#rlocs.add(nexthop.rloc);
    }
    for (const nexthop of this.#nexthops.values()) {
      if (nexthop.touchedAt > begunAt || nexthop.state === 'sent') continue;
      nexthop.state = present.get(nexthop.id)?.isAsWanted === true ? 'installed' : 'absent';
    }
    const seen = new Map(routes.map((one) => [keyOf(one.prefix), one]));
    for (const [key, { prefix, nexthopId }] of seen) {
      if (this.#routes.has(key)) continue;
      const route = newRoute(prefix);
      route.have = present.get(nexthopId ?? -1)?.nexthop.rloc ?? UNKNOWN_RLOC;
      if (adopt && route.have !== UNKNOWN_RLOC) route.want = route.have;
      this.#routes.set(key, route);
      this.#dirty.add(route);
    }
    let isComplete = true;
    for (const [key, route] of this.#routes) {
      if (route.inFlight || route.touchedAt > begunAt) {
        isComplete = false;
        continue;
      }
      const shown = seen.get(key);
      const nexthop = present.get(shown?.nexthopId ?? -1)?.nexthop;
      route.have = shown && (nexthop?.rloc ?? UNKNOWN_RLOC);
      route.isUnknown = false;
      route.isRefused = false;
      this.#dirty.add(route);
    }
    return isComplete;
  }

  /** The commands that delete nexthops which no route has used since the last time. Deleting one deletes its routes. */
  takeIdleNexthops(all = false): string[] {
    const used = new Set<string>();
    for (const route of this.#routes.values()) {
      for (const rloc of [route.want, route.have, this.#sent.get(route)])
        if (rloc !== undefined) used.add(nexthopKey(familyOf(route.prefix.ip), rloc));
    }
    const commands: string[] = [];
    for (const [key, nexthop] of this.#nexthops) {
      if (used.has(key) || nexthop.state === 'sent') nexthop.isIdle = false;
      else if (!nexthop.isIdle && !all) nexthop.isIdle = true;
      else {
        this.#nexthops.delete(key);
        if (nexthop.state === 'installed') commands.push(`nexthop del id ${nexthop.id}`);
      }
    }
    this.#rlocs.clear();
    for (const rloc of this.#tunnel.rlocs) this.#rlocs.add(rloc);
    for (const { rloc } of this.#nexthops.values()) this.#rlocs.add(rloc);
    return commands;
  }

  /** The device has vanished, and with it all nexthops and routes. */
  lost(): void {
    for (const nexthop of this.#nexthops.values()) nexthop.state = 'absent';
    for (const route of this.#routes.values()) {
      if (!route.inFlight) route.have = undefined;
      route.isRefused = false;
      this.#dirty.add(route);
    }
  }
}

/** Where a route of ours leads that has no nexthop of ours. */
const UNKNOWN_RLOC = '' as Ip;

function newRoute(prefix: Prefix): Route {
  return {
    prefix,
    want: undefined,
    have: undefined,
    isUnknown: false,
    inFlight: false,
    isRefused: false,
    touchedAt: 0,
  };
}

function keyOf({ ip, length }: Prefix): string {
  return `${length} ${ip}`;
}

function nexthopKey(eid: Family, rloc: Ip): string {
  return `${nexthopFamily(eid, rloc)} ${rloc}`;
}
