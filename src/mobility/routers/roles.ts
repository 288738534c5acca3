import { type Family, type Ip, type Mac, familyOf } from '../../wire/addresses.js';
import type { Attachment, IfIndex, RoleKind, RoleReason, RouterRole } from '../events.js';
import type { Row, Step } from '../host/machines/machine.js';
import type { Host } from '../host/host.js';

type InputName = RoleInput['input'];

/**
 * Whether this router is active on a LAN that has several first-hop routers (RFC 9568 section 6.4 says Active and
 * Backup of the virtual router; here it is what follows for Mobile ARP). The active one speaks: it answers, announces
 * and repairs. A standby proves for itself, as itself, and keeps what it proves beneath the active one's claims.
 */
export const ROLE_TABLE: readonly Row<RoleKind, InputName, RoleOutcome>[] = [
  { from: 'standby', input: 'activate', to: 'active', outcome: 'promoted' },
  { from: 'active', input: 'activate', to: 'active', note: 'the reason may be another one' },
  { from: 'active', input: 'deactivate', to: 'standby', outcome: 'demoted' },
  { from: 'standby', input: 'deactivate', to: 'standby', note: 'the reason may be another one' },
];

export type RoleOutcome = 'promoted' | 'demoted';

export interface RoleState {
  readonly kind: RoleKind;
  readonly reason: RoleReason;
  /** When it entered this state, ms on the monotonic clock. */
  readonly since: number;
}

export interface RoleInput {
  readonly input: 'activate' | 'deactivate';
  readonly reason: RoleReason;
}

export function stepRole(
  state: RoleState,
  { input, reason }: RoleInput,
  now: number,
): Step<RoleState, RoleOutcome> {
  const kind = input === 'activate' ? 'active' : 'standby';
  if (state.kind === kind) return [state.reason === reason ? state : { ...state, reason }, undefined];
  return [{ kind, reason, since: now }, kind === 'active' ? 'promoted' : 'demoted'];
}

/** A host that a standby heard and that did not answer it: it may answer its gateway. */
export interface HeardHost {
  readonly iface: IfIndex;
  readonly mac: Mac;
  readonly at: number;
}

const MOST_HEARD = 16_384;
const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** The role on each LAN, in each family, and what a promotion has to do. */
export class Roles {
  readonly #states: Readonly<Record<Family, Map<IfIndex, RoleState>>> = { ipv4: new Map(), ipv6: new Map() };
  /** What was said through the API, by interface name: an interface that is made anew has a new index. */
  readonly #told = new Map<string, RoleKind>();
  readonly #heard = new Map<Ip, HeardHost>();
  /** Hosts of a promotion that are still to be taken over, last heard first. */
  takeover: readonly Host[] = [];
  /** Hosts that only the gateway can ask, in the same order. */
  askedByGateway: readonly (readonly [Ip, HeardHost])[] = [];
  /** Withdrawn at a promotion, to be claimed anew: `at` is when they are asked. In the order of that. */
  readonly #reannounced = new Map<Ip, HeardHost>();

  snapshot() {
    return {
      states: { ipv4: [...this.#states.ipv4], ipv6: [...this.#states.ipv6] },
      told: [...this.#told],
      heard: [...this.#heard],
      takeover: this.takeover.map(({ ip }) => ip),
      askedByGateway: this.askedByGateway,
      reannounced: [...this.#reannounced],
    };
  }

  restore(state: ReturnType<Roles['snapshot']>, hostOf: (ip: Ip) => Host | undefined): void {
    for (const family of FAMILIES)
      for (const [iface, role] of state.states[family]) this.#states[family].set(iface, role);
    for (const [name, kind] of state.told) this.#told.set(name, kind);
    for (const [ip, heard] of state.heard) this.#heard.set(ip, heard);
    this.takeover = state.takeover.flatMap((ip) => hostOf(ip) ?? []);
    this.askedByGateway = state.askedByGateway;
    for (const [ip, heard] of state.reannounced) this.#reannounced.set(ip, heard);
  }

  reannounceAt(ip: Ip, heard: HeardHost): void {
    this.#reannounced.delete(ip);
    this.#reannounced.set(ip, heard);
  }

  /** undefined: none is to be claimed anew. */
  get reannouncementDue(): number | undefined {
    return this.#reannounced.values().next().value?.at;
  }

  /** Those that are due, at most so many. */
  takeReannounced(now: number, most: number): readonly (readonly [Ip, HeardHost])[] {
    const due: (readonly [Ip, HeardHost])[] = [];
    for (const entry of this.#reannounced) {
      if (entry[1].at > now || due.length === most) break;
      due.push(entry);
    }
    for (const [ip] of due) this.#reannounced.delete(ip);
    return due;
  }

  /** Whether it is to be claimed anew at this place in a moment. */
  isReannounced(ip: Ip, { iface, mac }: Attachment): boolean {
    const heard = this.#reannounced.get(ip);
    return heard?.iface === iface && heard.mac === mac;
  }

  /** undefined: the role is as it was for so long. */
  promotedAt(iface: IfIndex, family: Family, withinMs: number, now: number): number | undefined {
    const state = this.#states[family].get(iface);
    return state?.kind === 'active' && state.since > now - withinMs ? state.since : undefined;
  }

  /** undefined: no mobility interface. */
  on(iface: IfIndex, family: Family): RoleState | undefined {
    return this.#states[family].get(iface);
  }

  /** A LAN that was not known has no past: nothing follows from its first state. */
  step(iface: IfIndex, family: Family, input: RoleInput, now: number): RoleOutcome | undefined {
    const states = this.#states[family];
    const before = states.get(iface);
    if (before === undefined) {
      const kind = input.input === 'activate' ? 'active' : 'standby';
      states.set(iface, { kind, reason: input.reason, since: now });
      return undefined;
    }
    const [state, outcome] = stepRole(before, input, now);
    states.set(iface, state);
    return outcome;
  }

  forget(iface: IfIndex): void {
    for (const family of FAMILIES) this.#states[family].delete(iface);
  }

  tell(name: string, kind: RoleKind): void {
    this.#told.set(name, kind);
  }

  toldOf(name: string): RoleKind | undefined {
    return this.#told.get(name);
  }

  get size(): number {
    return this.#heard.size;
  }

  noteUnanswered(ip: Ip, heard: HeardHost): void {
    this.#heard.delete(ip);
    this.#heard.set(ip, heard);
    if (this.#heard.size > MOST_HEARD) this.#heard.delete(this.#heard.keys().next().value as Ip);
  }

  /** Those of a LAN and family, last heard first; they are forgotten here. */
  takeHeard(iface: IfIndex, family: Family, notBefore: number): (readonly [Ip, HeardHost])[] {
    const there = [...this.#heard].filter(([ip, heard]) => heard.iface === iface && familyOf(ip) === family);
    for (const [ip] of there) this.#heard.delete(ip);
    return there.filter(([, { at }]) => at >= notBefore).reverse();
  }
}

/** Whether a host that is alive here is ours in this role, whoever else claims it. */
export function mayContest(role: RouterRole, kind: RoleKind): boolean {
  return kind === 'active' && role !== 'second';
}
