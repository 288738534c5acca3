import type { Ip, Mac } from '../wire/addresses.js';
import { OutstandingProofs } from './admission/admission.js';
import { Deadlines } from './deadlines.js';
import type { Token } from './commands.js';
import type {
  Action,
  AlarmKind,
  DropReason,
  EvidenceKind,
  HostState,
  IfIndex,
  Attachment,
} from './events.js';
import { Fib } from './network/fib.js';
import type { Host } from './host/host.js';
import { Discovery } from './input/discovery.js';
import { LateStandby } from './routers/late-standby.js';
import { AddressLookups } from './presence/address-lookup.js';
import { Limits } from './admission/limits.js';
import { HomePrefixes } from './nd/home-prefix.js';
import { MulticastRouter } from './nd/multicast-router.js';
import { LateAnswers } from './probe/late-answers.js';
import { MissedFrames } from './missed-frames.js';
import type { Policy } from './policy.js';
import { OtherRouters } from './routers/other-routers.js';
import { LanQueries } from './neighbour/lan-queries.js';
import { OpenQuestions } from './neighbour/open-questions.js';
import type { FamilyDrivers } from './neighbour/driver.js';
import { Roles } from './routers/roles.js';
import { HostTable } from './table.js';
import { Topology } from './network/topology.js';
import { AdmissionQueue } from './admission/queue.js';

/** What the tracker knows, the time, and what it emits. It holds no rules. */
export class TrackerContext {
  readonly topology: Topology;
  readonly fib: Fib;
  readonly table = new HostTable();
  readonly deadlines = new Deadlines<Host>();
  readonly otherRouters = new OtherRouters();
  readonly lanQueries = new LanQueries();
  readonly openQuestions = new OpenQuestions();
  readonly discovery = new Discovery();
  readonly multicastRouter = new MulticastRouter();
  readonly homePrefixes = new HomePrefixes();
  readonly roles = new Roles();
  readonly lateStandby = new LateStandby();
  /** Behind which port of a bridge a MAC was last seen; kept when the entry ages out. */
  readonly ports = new Map<IfIndex, Map<Mac, IfIndex>>();
  /** What the kernel's neighbour table says of hosts that never spoke to us. */
  readonly neighbours = new Map<IfIndex, Map<Ip, Mac>>();
  readonly addressLookups = new AddressLookups();
  readonly counts: Record<HostState, number> = {
    unknown: 0,
    proving: 0,
    home: 0,
    fresh: 0,
    settled: 0,
    beneath: 0,
    away: 0,
    remembered: 0,
  };
  now = 0;
  /** Milliseconds that the present frame has waited before it was handed over; 0 of any other event. */
  queuedMs = 0;

  private actions: Action[] = [];
  /** Of a policy: made anew with it. */
  limits: Limits;
  readonly unanswered = new OutstandingProofs();
  readonly waiting = new AdmissionQueue();
  readonly lateAnswers = new LateAnswers();
  readonly missed = new MissedFrames();
  /** Hosts in the state `remembered`, oldest first: their number is bounded. */
  readonly remembered = new Set<Host>();
  /** Hosts that wait to be told of the MAC of a neighbour, by the neighbour's address. */
  readonly lookups = new Map<Ip, Set<Ip>>();

  constructor(
    public policy: Policy,
    readonly families: FamilyDrivers,
  ) {
    this.topology = new Topology(policy);
    this.fib = new Fib(policy.protocol, policy.watchTables, policy.remoteProtocols);
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

  /** A host that nothing is known of yet. It has no state until a rule gives it one. */
  create(ip: Ip): Host {
    this.counts.unknown++;
    return this.table.create(ip);
  }

  /** When another router's claim for the host last appeared, even if it is gone again. */
  remoteAppearedAt(host: Host): number {
    const appearedAt = host.claim.remoteAppearedAt ?? Number.NEGATIVE_INFINITY;
    return Math.max(appearedAt, this.fib.remote(host.ip)?.since ?? Number.NEGATIVE_INFINITY);
  }

  /**
   * Whether another machine has this gateway address on a LAN where no second first-hop router is expected. It is left
   * to that one. Where there are several, the active one has it, whatever others say.
   */
  isLeftToOther(iface: IfIndex, gateway: Ip): boolean {
    const isAlone = (this.topology.rule(iface)?.role ?? 'alone') === 'alone';
    return isAlone && this.otherRouters.isGatewayUsed(iface, gateway);
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

  /** Reports a trouble once a minute per kind, address and MAC; what concerns a whole LAN once per interface. */
  alarm(
    alarm: AlarmKind,
    message: string,
    what: { ip?: Ip; place?: Attachment | undefined; other?: Attachment | 'remote' | undefined },
  ): void {
    const { ip, place, other } = what;
    const isOfLan = alarm === 'newcomer-storm' || alarm === 'two-speakers';
    const about = isOfLan ? place?.iface : `${ip} ${place?.mac}`;
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
