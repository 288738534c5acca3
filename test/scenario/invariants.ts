import {
  formatIp,
  hostLength,
  type Ip,
  isGroupMac,
  type Mac,
  type Prefix,
} from '../../src/wire/addresses.js';
import { ARP_REPLY, type ArpFrame, decodeArp } from '../../src/wire/arp.js';
import { ETHER_TYPE_IPV6, etherTypeOf } from '../../src/wire/ethernet.js';
import { ICMPV6 } from '../../src/wire/icmpv6.js';
import { decodeNd } from '../../src/wire/nd.js';
import type { Action, Event, HostState, IfIndex, Transition } from '../../src/mobility/events.js';
import { type Policy, ruleFor } from '../../src/mobility/policy.js';

import { NdInvariants } from './nd-invariants.js';

/** design.md 3.3: a claim is not deleted earlier than this after the remote one appeared. */
const GHOST_WINDOW_MS = 20;
/** More calls of the tracker than this without time going on are a busy loop. */
const MAX_TICKS_AT_ONCE = 1000;
/** More questions about one address in one second are a storm. */
const MAX_PROBES_PER_SECOND = 300;
/** An answer older than this proves nothing. */
const PROOF_LASTS_MS = 1000;
/** A proof that waits for that of another place is sent so long after the frame that led to it. */
const SPOKE_MS = 3000;

/** A tick does a part of what is due; so many parts are more than any test has hosts, or a tracker that turns in circles. */
const MAX_LATE_TICKS = 100;

/**
 * What must hold for every tracker, whatever happens to it: looked at from outside, by its events and actions alone.
 * Throws at the first action that breaks a rule.
 */
export class Invariants {
  private lateTicks = 0;
  private readonly states = new Map<Ip, HostState>();
  private readonly claims = new Map<Ip, { readonly iface: IfIndex; readonly mac: Mac }>();
  private readonly standby = new Map<Ip, { readonly iface: IfIndex; readonly mac: Mac }>();
  private readonly remoteSince = new Map<Ip, number>();
  /** When this MAC last answered for this address on this interface. */
  private readonly proofs = new Map<string, number>();
  /** When this MAC last said that it has this address on this interface. */
  private readonly said = new Map<string, number>();
  private readonly trusted = new Set<Ip>();
  private readonly downSince = new Map<IfIndex, number>();
  private readonly names = new Map<IfIndex, string>();
  private readonly probes = new Map<Ip, { second: number; count: number }>();
  private repeated: Set<Ip> | undefined;
  private ticksAt = { time: -1, count: 0 };
  private readonly connected = new Map<IfIndex, readonly Prefix[]>();
  private readonly nd: NdInvariants;
  /** Whether `claim` needs an answer first: prove = "before" on every interface. */
  private readonly proofFirst: boolean;

  constructor(
    private readonly who: string,
    private policy: Policy,
  ) {
    this.nd = new NdInvariants(
      () => this.policy.subnets.flatMap(({ gateways }) => gateways),
      () => [...this.policy.subnets.map(({ prefix }) => prefix), ...[...this.connected.values()].flat()],
      (what) => this.broken(what),
    );
    this.proofFirst = policy.interfaces.every((rule) => rule.prove === 'before');
  }

  /** The rules of `policy` count from now on; how `prove` was at the start stays. */
  reload(policy: Policy): void {
    this.policy = policy;
  }

  restart(): void {
    this.states.clear();
    this.claims.clear();
    this.standby.clear();
    this.remoteSince.clear();
    this.proofs.clear();
    this.trusted.clear();
    this.downSince.clear();
  }

  get claimCount(): number {
    return this.claims.size;
  }

  before(event: Event, now: number): void {
    switch (event.kind) {
      case 'frame':
        this.noteAnswer(event.iface, event.bytes, now);
        return;
      case 'route':
        this.noteRemote(event, now);
        return;
      case 'routes-begin':
        this.repeated = new Set();
        return;
      case 'routes-end':
        for (const ip of [...this.remoteSince.keys()])
          if (!this.repeated?.has(ip)) this.remoteSince.delete(ip);
        return;
      case 'link':
        this.names.set(event.link.index, event.link.name);
        this.connected.set(event.link.index, event.link.addresses);
        if (event.link.up && event.link.carrier) this.downSince.delete(event.link.index);
        else this.downSince.set(event.link.index, now);
        return;
      case 'link-gone':
        this.downSince.set(event.iface, now);
        return;
      case 'adopt':
        this.trusted.add(event.ip);
        this.claims.set(event.ip, { iface: event.iface, mac: event.mac ?? (0 as Mac) });
        return;
      case 'command':
        if (event.command.name === 'attach' || event.command.name === 'prepare') {
          for (const ip of event.command.ips) this.trusted.add(ip);
        }
        return;
      case 'tick':
        if (this.ticksAt.time !== now) this.ticksAt = { time: now, count: 0 };
        if (++this.ticksAt.count > MAX_TICKS_AT_ONCE) this.broken('busy loop: ticks without time going on');
        return;
      default:
        return;
    }
  }

  after(event: Event, actions: readonly Action[], deadline: number | undefined, now: number): void {
    const changed = new Set<Ip>();
    for (const action of actions) {
      if (action.kind !== 'transition') continue;
      changed.add(action.ip);
      const known = this.states.get(action.ip) ?? 'unknown';
      if (action.to === 'beneath') this.stoodBy(action, now);
      else if (action.to === 'remembered' && action.cause === 'took-over') this.reannounced(action.ip);
      else if (action.to !== 'fresh' && action.to !== 'settled') this.standby.delete(action.ip);
      if (known !== action.from) {
        this.broken(
          `${formatIp(action.ip)}: transition from ${action.from} to ${action.to}, but it was ${known}`,
        );
      }
      if (action.to === 'unknown') this.states.delete(action.ip);
      else this.states.set(action.ip, action.to);
      if (action.at !== now) this.broken('a transition at another time than now');
    }
    for (const action of actions) {
      if (action.kind === 'claim') this.claimed(action, changed, event, now);
      else if (action.kind === 'release') this.released(action.ip, changed, event, now);
      else if (action.kind === 'stuck-route-repair' && !action.present) this.repaired(action.ip, now);
      else if (action.kind === 'send') this.sent(action, now);
    }
    // What is not taken over at the start is nobody's; the kernel room deletes it.
    if (event.kind === 'adopt' && !changed.has(event.ip)) this.claims.delete(event.ip);
    for (const ip of changed) {
      const state = this.states.get(ip);
      const claimed = state === 'fresh' || state === 'settled';
      // What is beneath another router's claim may be installed or not.
      if (state !== 'beneath' && claimed !== this.claims.has(ip)) {
        this.broken(`${formatIp(ip)}: ${state ?? 'unknown'} and ${claimed ? 'no claim' : 'a claim'}`);
      }
    }
    if (deadline === undefined || deadline > now) this.lateTicks = 0;
    else if (event.kind === 'tick' && ++this.lateTicks > MAX_LATE_TICKS) {
      this.broken(`after ${this.lateTicks} ticks, the last at ${now}, the next one is due at ${deadline}`);
    } else if (Number.isNaN(deadline)) this.broken('the next deadline is no number');
  }

  private claimed(
    action: Extract<Action, { kind: 'claim' }>,
    changed: Set<Ip>,
    event: Event,
    now: number,
  ): void {
    const { ip, iface, mac } = action;
    if (!changed.has(ip)) this.broken(`${formatIp(ip)}: a claim without a transition`);
    if (this.names.get(iface) !== action.dev)
      this.broken(`${formatIp(ip)}: dev ${action.dev} is not interface ${iface}`);
    const old = this.claims.get(ip);
    const isAt = (place: { readonly iface: IfIndex; readonly mac: Mac } | undefined) =>
      place?.iface === iface && place.mac === mac;
    const moved = !isAt(old) && !isAt(this.standby.get(ip));
    const provenAt = this.proofs.get(`${ip} ${mac} ${iface}`) ?? Number.NEGATIVE_INFINITY;
    if (moved && this.proofFirst && !this.trusted.has(ip) && now - provenAt > PROOF_LASTS_MS) {
      this.broken(
        `${formatIp(ip)}: claimed on ${event.kind} without an answer from that MAC on that interface`,
      );
    }
    if (ruleFor(this.policy, action.dev) === undefined) this.broken(`${action.dev} is no mobility interface`);
    this.claims.set(ip, { iface, mac });
  }

  /** Kept beneath the claim of another router: proven as a claim is, and claimed when that one is gone. */
  private stoodBy({ ip, iface, mac }: Transition, now: number): void {
    if (iface === undefined || mac === undefined) return this.broken(`${formatIp(ip)}: stands by nowhere`);
    const before = this.standby.get(ip) ?? this.claims.get(ip);
    const provenAt = this.proofs.get(`${ip} ${mac} ${iface}`) ?? Number.NEGATIVE_INFINITY;
    const isNew = before?.iface !== iface || before.mac !== mac;
    if (isNew && this.proofFirst && !this.trusted.has(ip) && now - provenAt > PROOF_LASTS_MS)
      this.broken(`${formatIp(ip)}: stands by without an answer from that MAC on that interface`);
    this.standby.set(ip, { iface, mac });
  }

  /** Withdrawn around a promotion, to be claimed fresh at the same place without another proof (design.md 3.5). */
  private reannounced(ip: Ip): void {
    const claim = this.claims.get(ip);
    if (claim !== undefined) this.standby.set(ip, claim);
  }

  private released(ip: Ip, changed: Set<Ip>, event: Event, now: number): void {
    if (!changed.has(ip) && event.kind !== 'adopt')
      this.broken(`${formatIp(ip)}: a release without a transition`);
    const claim = this.claims.get(ip);
    const since = this.remoteSince.get(ip);
    // A route that the kernel itself deleted with its interface is repaired blindly instead; a refused one never was.
    const kernelWas = event.kind === 'refused' || (claim !== undefined && this.downSince.has(claim.iface));
    if (since !== undefined && now - since < GHOST_WINDOW_MS && !kernelWas) {
      this.broken(`${formatIp(ip)}: withdrawn ${(now - since).toFixed(2)} ms after a remote claim appeared`);
    }
    this.claims.delete(ip);
  }

  /** The route of a repair is deleted: that may leave a stuck route as the release of a claim may. */
  private repaired(ip: Ip, now: number): void {
    const since = this.remoteSince.get(ip);
    if (since !== undefined && now - since < GHOST_WINDOW_MS)
      this.broken(
        `${formatIp(ip)}: a repair that ended ${(now - since).toFixed(2)} ms after a remote claim appeared`,
      );
  }

  private sent(action: Extract<Action, { kind: 'send' }>, now: number): void {
    if (etherTypeOf(action.bytes) === ETHER_TYPE_IPV6) return this.sentNd(action, now);
    const frame = decodeArp(action.bytes);
    if (typeof frame === 'string') return this.broken(`sent a frame that is no ARP: ${frame}`);
    const isConflictCheck = this.policy.subnets.some(({ gateways }) => gateways.includes(frame.targetIp));
    if (frame.senderIp === 0 && !isConflictCheck && !this.hasSpoken(action.iface, frame, now))
      this.broken(
        'sent a probe with sender 0.0.0.0 to a host that may be probing: Windows reports a conflict',
      );
    if (frame.senderMac !== frame.source) this.toldOf(action, frame, now);
    if (action.purpose === 'probe') this.probed(frame.targetIp, now);
  }

  private sentNd(action: Extract<Action, { kind: 'send' }>, now: number): void {
    const { iface, bytes, purpose } = action;
    this.nd.sent(iface, bytes, purpose, now);
    const frame = decodeNd(bytes);
    if (typeof frame === 'string') return;
    const { source, destination, linkLayerAddress: mac = source } = frame;
    const isQuestion = frame.type === ICMPV6.neighbourSolicitation;
    const told = { senderIp: frame.sourceIp, senderMac: mac, destination };
    if (mac !== source) this.toldOf(action, told, now);
    if (purpose === 'probe' && isQuestion) this.probed(frame.targetIp, now);
  }

  private probed(ip: Ip, now: number): void {
    const second = Math.floor(now / 1000);
    const probes = this.probes.get(ip);
    if (probes?.second !== second) this.probes.set(ip, { second, count: 1 });
    else if (++probes.count > MAX_PROBES_PER_SECOND) this.broken(`${formatIp(ip)}: a storm of probes`);
  }

  /** Whether the one that is asked has just used that address: it is past its own conflict check. */
  private hasSpoken(iface: IfIndex, { targetIp, destination }: ArpFrame, now: number): boolean {
    return now - (this.said.get(`${targetIp} ${destination} ${iface}`) ?? -Infinity) < SPOKE_MS;
  }

  /** A frame of ours about somebody else: to one host, and no more than that one has just said itself on this LAN. */
  private toldOf(
    action: Extract<Action, { kind: 'send' }>,
    frame: { readonly senderIp: Ip; readonly senderMac: Mac; readonly destination: Mac },
    now: number,
  ): void {
    const said = this.said.get(`${frame.senderIp} ${frame.senderMac} ${action.iface}`) ?? -Infinity;
    const fresh = now - said < PROOF_LASTS_MS;
    if (action.purpose !== 'repair' || isGroupMac(frame.destination) || !fresh)
      this.broken('sent a frame whose sender MAC is not its source');
  }

  private noteAnswer(iface: IfIndex, bytes: Uint8Array, now: number): void {
    if (etherTypeOf(bytes) === ETHER_TYPE_IPV6) return this.noteNd(iface, bytes, now);
    const frame = decodeArp(bytes);
    if (typeof frame === 'string' || frame.source !== frame.senderMac) return;
    this.said.set(`${frame.senderIp} ${frame.senderMac} ${iface}`, now);
    const answer = frame.opcode === ARP_REPLY;
    if (answer) this.proofs.set(`${frame.senderIp} ${frame.senderMac} ${iface}`, now);
  }

  private noteNd(iface: IfIndex, bytes: Uint8Array, now: number): void {
    this.nd.heard(iface, bytes, now);
    const frame = decodeNd(bytes);
    if (typeof frame === 'string' || (frame.linkLayerAddress ?? frame.source) !== frame.source) return;
    const isAnswer = frame.type === ICMPV6.neighbourAdvertisement;
    const key = `${isAnswer ? frame.targetIp : frame.sourceIp} ${frame.source} ${iface}`;
    this.said.set(key, now);
    if (isAnswer && frame.isSolicited) this.proofs.set(key, now);
  }

  private noteRemote(event: Extract<Event, { kind: 'route' }>, now: number): void {
    const { route, change } = event;
    if (
      route.protocol === this.policy.protocol ||
      route.protocol < 5 ||
      route.prefix.length !== hostLength(route.prefix.ip)
    )
      return;
    this.repeated?.add(route.prefix.ip);
    if (change === 'delete') this.remoteSince.delete(route.prefix.ip);
    else if (!this.remoteSince.has(route.prefix.ip)) this.remoteSince.set(route.prefix.ip, now);
  }

  private broken(what: string): never {
    throw new Error(`${this.who}: ${what}`);
  }
}
