import { type Ip, MAC_BROADCAST, type Mac } from '../wire/addresses.js';
import { OutstandingProofs } from './admission/admission.js';
import { Deadlines } from './deadlines.js';
import type {
  Action,
  AlarmKind,
  Cause,
  DropReason,
  EvidenceKind,
  HostState,
  IfIndex,
  Attachment,
  Token,
} from './events.js';
import { Fib } from './fib.js';
import type { Candidate, Host } from './host/host.js';
import type { RarpLookup } from './input/rarp-lookup.js';
import { Limits } from './admission/limits.js';
import type { Policy } from './policy.js';
import type { FamilyDrivers } from './neighbour/driver.js';
import { HostTable } from './table.js';
import { Topology } from './topology.js';
import { AdmissionQueue } from './admission/queue.js';

/** A claim is not deleted earlier than this after a remote one appeared: FRR may then keep a ghost (design.md 3.3). */
export const GHOST_WINDOW_MS = 20;
export const GHOST_REPAIR_MS = 50;
/** Five times a second while a displacing claim is fresh (design.md 3.3). */
const DISPLACED_INTERVAL_MS = 200;
/** A host is heard of at least so often, and four times per keepalive, however much of it is absorbed. */
const ABSORB_MS = 1000;

/** What the tracker knows, and the verbs in which its rules are written. The rules themselves are in the files beside. */
export class TrackerContext {
  readonly topology: Topology;
  readonly fib: Fib;
  readonly table = new HostTable();
  readonly deadlines = new Deadlines<Host>();
  /** MACs that claimed a gateway address, with that address: never learned as hosts. */
  readonly otherRouters = new Map<Mac, Ip>();
  /** Behind which port of a bridge a MAC was last seen; kept when the entry ages out. */
  readonly ports = new Map<IfIndex, Map<Mac, IfIndex>>();
  /** What the kernel's neighbour table says of hosts that never spoke to us. */
  readonly neighbours = new Map<IfIndex, Map<Ip, Mac>>();
  inquiries: RarpLookup[] = [];
  readonly counts: Record<HostState, number> = {
    unknown: 0,
    proving: 0,
    home: 0,
    fresh: 0,
    settled: 0,
    away: 0,
    remembered: 0,
  };
  now = 0;

  private actions: Action[] = [];
  /** Of a policy: made anew with it. */
  limits: Limits;
  readonly unanswered = new OutstandingProofs();
  readonly waiting = new AdmissionQueue();
  private readonly remembered = new Set<Host>();

  constructor(
    public policy: Policy,
    readonly families: FamilyDrivers,
  ) {
    this.topology = new Topology(policy);
    this.fib = new Fib(policy.protocol, policy.watchTables);
    this.limits = new Limits(policy.limits);
  }

  setPolicy(policy: Policy): void {
    this.policy = policy;
    this.topology.setPolicy(policy);
    this.limits = new Limits(policy.limits);
  }

  /** Hands over what was decided since the last call. */
  takeActions(): Action[] {
    const actions = this.actions;
    this.actions = [];
    return actions;
  }

  emit(action: Action): void {
    this.actions.push(action);
  }

  /** Sets the host's one deadline from all that it waits for. */
  touch(host: Host): void {
    this.deadlines.schedule(host, host.nextDeadline());
  }

  // --- transitions -------------------------------------------------------------------------------------------------

  /** Moves a host to a state (and a place). Claims and releases follow from here and from nowhere else. */
  enter(host: Host, state: HostState, cause: Cause, place?: Attachment): void {
    const oldPlace = host.attachment;
    if (oldPlace !== undefined) this.heed(host, oldPlace);
    if (place !== undefined) this.table.place(host, place, this.topology.nameOf(place.iface));
    const { settleMs, rememberMs } = this.policy.timers;
    const timing =
      state === 'fresh'
        ? { ageAt: this.freshUntil(host, cause) }
        : state === 'settled'
          ? { ageAt: this.now + settleMs }
          : state === 'remembered'
            ? { forgetAt: this.now + rememberMs }
            : {};
    const wasClaimed = host.claimed;
    const oldClaim = wasClaimed ? oldPlace : undefined;
    const from = host.enter(state, cause, this.now, timing);
    this.counts[from]--;
    this.counts[state]++;
    if (state === 'fresh' || state === 'settled') this.emitClaim(host, state);
    else if (wasClaimed) {
      host.releasedAt = this.now;
      this.emit({ kind: 'release', ip: host.ip });
    }
    if (from === 'home' && oldPlace !== undefined && host.attachment?.iface !== oldPlace.iface) {
      const dev = this.topology.nameOf(oldPlace.iface);
      if (dev !== undefined) this.emit({ kind: 'forget-neighbour', ip: host.ip, dev });
    }
    this.watchStrays(oldClaim, host.claimed ? host.attachment : undefined);
    this.emit({
      kind: 'transition',
      ip: host.ip,
      from,
      to: state,
      cause,
      iface: host.attachment?.iface,
      interface: host.interface,
      mac: host.attachment?.mac,
      deadline: host.endsAt,
      at: this.now,
    });
    if (state === 'remembered') this.boundMemory(host);
    else this.remembered.delete(host);
    if (state === 'unknown') {
      this.discard(host);
    } else this.touch(host);
  }

  /** A host that nothing is known of yet. It has no state until a rule gives it one. */
  create(ip: Ip): Host {
    this.counts.unknown++;
    return this.table.create(ip);
  }

  /** Takes a host away that never got beyond `unknown`. */
  discard(host: Host): void {
    this.setCandidate(host, undefined);
    if (host.ghost === 'present') this.emit({ kind: 'stuck-route-repair', ip: host.ip, present: false });
    host.waitForNothing();
    this.counts.unknown--;
    this.table.remove(host);
  }

  /**
   * Withdraws what we hold for a host, and remembers it, or knows it `away` when another router proved right. The
   * 20 ms rule outranks every "at once": then the withdrawal waits, and the state with it.
   */
  withdraw(host: Host, cause: Cause): void {
    const remote = this.fib.remote(host.ip);
    const appearedAt = this.remoteAppearedAt(host);
    const tooSoon = host.claimed && this.now - appearedAt < GHOST_WINDOW_MS;
    if (tooSoon) {
      host.withdrawal = { cause, at: appearedAt + GHOST_WINDOW_MS };
      this.touch(host);
      return;
    }
    const home = this.topology.homeInterface(host.ip);
    if (cause === 'remote-claim' && remote !== undefined && home !== undefined) this.goAway(host, cause);
    else this.enter(host, 'remembered', cause);
  }

  /** When another router's claim for the host last appeared, even if it is gone again. */
  remoteAppearedAt(host: Host): number {
    const appearedAt = host.remoteAppearedAt ?? Number.NEGATIVE_INFINITY;
    return Math.max(appearedAt, this.fib.remote(host.ip)?.since ?? Number.NEGATIVE_INFINITY);
  }

  /** A routing daemon may still announce a route that is gone: repaired blindly when no remote claim is in the way. */
  suspectGhost(host: Host): void {
    if (this.fib.remote(host.ip) !== undefined) {
      host.ghost = 'waiting';
      return;
    }
    host.ghost = 'present';
    host.ghostAt = this.now + GHOST_REPAIR_MS;
    this.emit({ kind: 'stuck-route-repair', ip: host.ip, present: true });
    this.touch(host);
  }

  /** A home host is proven to be behind another router. `adopted`: it was so before this run, the LAN was told. */
  goAway(host: Host, cause: Cause): void {
    this.enter(host, 'away', cause);
    if (cause !== 'adopted') this.announceAway(host);
    this.touch(host);
  }

  private freshUntil(host: Host, cause: Cause): number {
    const frozenUntil = host.contest?.frozenUntil ?? 0;
    // The challenger must have seen our claim, aged and withdrawn before we age: twice its time.
    const settleMs = this.policy.timers.settleMs * (cause === 'contested' ? 2 : 1);
    return Math.max(this.now + settleMs, frozenUntil);
  }

  private emitClaim(host: Host, age: 'fresh' | 'settled'): void {
    const place = host.attachment;
    if (place === undefined || host.interface === undefined) throw new Error('a claim without a place');
    if (place.mac === MAC_BROADCAST) throw new Error('a claim without a MAC');
    this.emit({ kind: 'claim', ip: host.ip, iface: place.iface, dev: host.interface, mac: place.mac, age });
  }

  private watchStrays(before: Attachment | undefined, now: Attachment | undefined): void {
    if (before?.iface === now?.iface && before?.mac === now?.mac) return;
    if (before !== undefined) this.emit({ kind: 'watch-misdirected', ...before, watch: false });
    if (now !== undefined) this.emit({ kind: 'watch-misdirected', ...now, watch: true });
  }

  private boundMemory(host: Host): void {
    this.remembered.delete(host);
    this.remembered.add(host);
    if (this.remembered.size <= this.policy.limits.remembered) return;
    for (const oldest of this.remembered) {
      this.remembered.delete(oldest);
      this.enter(oldest, 'unknown', 'forgotten');
      return;
    }
  }

  /** When the host is asked next, if it stays quiet. */
  scheduleKeepalive(host: Host): void {
    if (!host.claimed || host.attachment === undefined) {
      host.keepaliveAt = Number.POSITIVE_INFINITY;
      return;
    }
    host.keepaliveAt = this.now + this.keepaliveMs(host);
    host.keepaliveSetAt = this.now;
  }

  /** How long a claimed host may be quiet before it is asked. */
  keepaliveMs(host: Host): number {
    if (host.state === 'fresh' && host.displaced) return DISPLACED_INTERVAL_MS;
    const rule = host.attachment && this.topology.rule(host.attachment.iface);
    return rule?.keepaliveMs ?? DISPLACED_INTERVAL_MS;
  }

  /**
   * A host that is where we believe it to be speaks again after `quietMs`: when it does so often, its announcements
   * need not come up to us for a while.
   */
  absorb(host: Host, quietMs: number): void {
    const { attachment } = host;
    if (attachment === undefined || (host.state !== 'settled' && host.state !== 'home')) return;
    const forMs = Math.floor(Math.min(ABSORB_MS, this.keepaliveMs(host) / 4));
    if (this.now < (host.absorbedUntil ?? 0) || quietMs > forMs || forMs < 1) return;
    host.absorbedUntil = this.now + forMs;
    this.emit({
      kind: 'suppress-refreshes',
      iface: attachment.iface,
      ip: host.ip,
      mac: attachment.mac,
      forMs,
    });
  }

  /** From here on every frame of the host counts. */
  private heed(host: Host, place: Attachment): void {
    if (host.absorbedUntil === undefined) return;
    host.absorbedUntil = undefined;
    this.emit({ kind: 'suppress-refreshes', iface: place.iface, ip: host.ip, mac: place.mac, forMs: 0 });
  }

  /** Tells the neighbours on the home LAN of a host that is elsewhere to send to us (RFC 5944 section 4.6). */
  announceAway(host: Host): void {
    const home = this.topology.homeInterface(host.ip);
    if (home === undefined || !this.topology.isUsable(home)) return;
    if (host.held && host.attachment?.iface === home) return;
    // Whoever is about to take the address there would take our announcement for a conflict: later, if nobody does.
    host.announce = { iface: home, left: 3, at: Math.max(this.now, host.hushUntil ?? 0) };
  }

  // --- the question to a new place ---------------------------------------------------------------------------------

  /** Opens, replaces or closes the question to a new place of a host. */
  setCandidate(host: Host, candidate: Candidate | undefined): void {
    if (host.candidate !== undefined) this.unanswered.close(host.candidate);
    host.candidate = candidate;
    if (candidate !== undefined) this.unanswered.open(candidate);
  }

  /** Gives up the question to a new place, and with it the state that consists of nothing else. */
  abandonCandidate(host: Host, cause: Cause): void {
    this.setCandidate(host, undefined);
    if (host.state === 'proving')
      this.enter(host, host.attachment === undefined ? 'unknown' : 'remembered', cause);
    else this.touch(host);
  }

  // --- reports -------------------------------------------------------------------------------------------------

  /** Whether a host may be told (again) where this neighbour of it is. */
  mayRepair(host: Ip, neighbour: Ip): boolean {
    return this.limits.mayRepair(`${host} ${neighbour}`, this.now);
  }

  drop(reason: DropReason, iface: IfIndex, ip: Ip | undefined, mac: Mac | undefined): void {
    this.emit({ kind: 'drop', reason, iface, ip, mac, at: this.now });
  }

  note(evidence: EvidenceKind, iface: IfIndex, mac: Mac, ip: Ip | undefined, rttMs?: number): void {
    const name = this.topology.nameOf(iface) ?? '';
    this.emit({ kind: 'evidence', evidence, ip, mac, iface, interface: name, rttMs, at: this.now });
  }

  /** Reports a trouble once a minute per kind, address and MAC; a storm once per interface, whatever its senders. */
  alarm(
    alarm: AlarmKind,
    message: string,
    what: { ip?: Ip; place?: Attachment | undefined; other?: Attachment | 'remote' | undefined },
  ): void {
    const { ip, place, other } = what;
    const about = alarm === 'newcomer-storm' ? place?.iface : `${ip} ${place?.mac}`;
    if (!this.limits.isNews(`${alarm} ${about}`, this.now)) return;
    const otherPlace = other === 'remote' ? undefined : other;
    this.emit({
      kind: 'alarm',
      alarm,
      message,
      ip,
      mac: place?.mac,
      interface: place && this.topology.nameOf(place.iface),
      otherMac: otherPlace?.mac,
      otherInterface: other === 'remote' ? 'remote' : otherPlace && this.topology.nameOf(otherPlace.iface),
      at: this.now,
    });
  }

  reply(token: Token, ok: boolean, message: string): void {
    this.emit({ kind: 'reply', token, ok, message });
  }
}
