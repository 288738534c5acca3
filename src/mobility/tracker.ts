import type { Ip, Mac } from '../wire/addresses.js';
import { hasRunnable } from './admission/admission.js';
import { STALL_MS } from './admission/constants.js';
import { type FamilyDriver, FamilyDrivers } from './neighbour/driver.js';
import { driversOf } from './families.js';
import { TrackerContext } from './context.js';
import { EARLY_RELEASE_MS } from './host/machines/stuck-route.js';
import { lost } from './host/coordinator.js';
import { adopt, onCommand, remember } from './input/commands.js';
import type { Action, Event, HostState, IfIndex, Link, Route, SavedHost } from './events.js';
import { notePeer, reviewPeers } from './routers/router-sightings.js';
import { onFrame, onQueued } from './input/sightings.js';
import type { RemoteClaim } from './network/fib.js';
import { NO_ANSWER_HOLD } from './neighbour/answer-hold.js';
import { releaseAnswers } from './neighbour/responder.js';
import type { Host } from './host/host.js';
import { nextLookupDeadline } from './presence/address-lookup.js';
import { onCapture, onFdb, onLink, onLinkGone, reviewHosts } from './input/links.js';
import { type InterfaceRule, type Policy, ruleFor } from './policy.js';
import type { RouterRole } from './events.js';
import type { RoleKind, RoleReason } from './events.js';
import { describeRole, takeoverDeadline, reviewRoles } from './routers/role-changes.js';
import { noteArrivals, reviewHomePrefixes } from './nd/home-prefix.js';
import { reviewMulticastRouter } from './nd/multicast-router.js';
import { onRoute, remoteVanished } from './input/remote-claims.js';
import { onMisdirectedPacket } from './input/stale-neighbours.js';
import { type Snapshot, restore, seedEvents, snapshot } from './seed.js';
import { runDueTimers } from './timers.js';

export interface RoleView {
  readonly role: RouterRole;
  readonly state: RoleKind;
  readonly contests: boolean;
  readonly reason: RoleReason;
  /** For people. */
  readonly why: string;
  readonly since: number;
}

/**
 * The tracker's interface: one event in, the actions that follow from it out. Deterministic; no clock, no I/O. Between events
 * it waits for nothing but `nextDeadline`, at which a `tick` is due.
 */
export class HostTracker {
  private readonly ctx: TrackerContext;
  /** The deadline that was given last. */
  private awaitedAt = Number.POSITIVE_INFINITY;

  /** A host of a family without a driver cannot be asked, so it is never learned. */
  constructor(policy: Policy, drivers: readonly FamilyDriver[] = driversOf(policy.families)) {
    this.ctx = new TrackerContext(policy, new FamilyDrivers(drivers));
  }

  /** Takes in one event. `now` in ms on a monotonic clock, never less than at the call before. */
  handle(event: Event, now: number): readonly Action[] {
    const { ctx } = this;
    ctx.now = now;
    ctx.queuedMs = event.kind === 'frame' ? (event.queuedMs ?? 0) : 0;
    // Stopped by a signal, frozen, starved: what came meanwhile may still be on its way to us.
    if (now - this.awaitedAt > STALL_MS) ctx.missed.note(undefined, now);
    switch (event.kind) {
      case 'frame':
        onFrame(ctx, event.iface, event.bytes);
        break;
      case 'misdirected-packet':
        onMisdirectedPacket(ctx, event.iface, event.bytes);
        break;
      case 'tick':
        runDueTimers(ctx);
        if (!ctx.waiting.isEmpty) onQueued(ctx);
        break;
      case 'route':
        onRoute(ctx, event.change, event.route, event.initial);
        break;
      case 'routes-begin':
        ctx.fib.beginDump();
        break;
      case 'routes-end':
        for (const ip of ctx.fib.endDump(now)) remoteVanished(ctx, ip);
        break;
      case 'link':
        onLink(ctx, event.link);
        reviewMulticastRouter(ctx, event.link.index);
        break;
      case 'link-gone':
        onLinkGone(ctx, event.iface);
        reviewMulticastRouter(ctx, event.iface);
        break;
      case 'capture':
        onCapture(ctx, event.iface, event.open);
        break;
      case 'missed':
        ctx.missed.note(event.iface, now);
        break;
      case 'neighbour':
        this.noteNeighbour(event.iface, event.ip, event.mac);
        break;
      case 'fdb':
        onFdb(ctx, event.bridge, event.mac, event.port);
        break;
      case 'adopt':
        adopt(ctx, event.ip, event.iface, event.mac);
        break;
      case 'remember':
        remember(ctx, event.memories);
        break;
      case 'installed':
        this.installed(event.ip);
        break;
      case 'refused':
        this.refused(event.ip);
        break;
      case 'command':
        onCommand(ctx, event.token, event.command);
        break;
    }
    return this.takeActions();
  }

  /**
   * To ask for the next deadline discards what is stale in the heaps, which decides in which order equal deadlines come.
   * It is asked here after every event, so that nothing depends on when the daemon asks.
   */
  private takeActions(): readonly Action[] {
    if (this.ctx.otherRouters.takeChange()) reviewRoles(this.ctx);
    const actions = this.ctx.takeActions();
    noteArrivals(this.ctx, actions);
    this.nextDeadline();
    return actions;
  }

  /** When the next `tick` is due, ms on the same clock; undefined when nothing waits. */
  nextDeadline(): number | undefined {
    const next = this.earliestDeadline();
    this.awaitedAt = next;
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  private earliestDeadline(): number {
    if (hasRunnable(this.ctx)) return this.ctx.now;
    return Math.min(
      this.ctx.deadlines.next() ?? Number.POSITIVE_INFINITY,
      nextLookupDeadline(this.ctx),
      this.ctx.otherRouters.nextDeadline(),
      this.ctx.lanQueries.nextDeadline(),
      this.ctx.discovery.nextAt,
      this.ctx.multicastRouter.nextDeadline(),
      this.ctx.homePrefixes.nextDeadline(),
      this.ctx.lateStandby.nextAt,
      takeoverDeadline(this.ctx),
    );
  }

  /** Replaces the policy: what it no longer allows is withdrawn. */
  setPolicy(policy: Policy, now: number): readonly Action[] {
    this.ctx.now = now;
    this.ctx.setPolicy(policy);
    reviewPeers(this.ctx);
    reviewRoles(this.ctx);
    for (const { index } of this.links()) reviewMulticastRouter(this.ctx, index);
    reviewHosts(this.ctx);
    reviewHomePrefixes(this.ctx);
    return this.takeActions();
  }

  // --- views -------------------------------------------------------------------------------------------------------

  get counts(): Readonly<Record<HostState, number>> {
    return this.ctx.counts;
  }

  /** Machines that answer for a gateway address of the configuration now. */
  *otherRouters(): IterableIterator<{ iface: IfIndex; gateway: Ip; mac: Mac; since: number }> {
    for (const { iface, gateway, mac, state } of this.ctx.otherRouters.all())
      if (state.kind === 'present' && !this.ctx.topology.isShared(iface))
        yield { iface, gateway, mac, since: state.since };
  }

  host(ip: Ip): Readonly<Host> | undefined {
    return this.ctx.table.get(ip);
  }

  hosts(): IterableIterator<[Ip, Readonly<Host>]> {
    return this.ctx.table.entries();
  }

  /** The rule that an interface of this name has, or would have if it were not enslaved. */
  ruleFor(name: string): InterfaceRule | undefined {
    return ruleFor(this.ctx.policy, name);
  }

  /** Hosts held or remembered on an interface. */
  countOn(iface: IfIndex): number {
    return this.ctx.table.countOn(iface);
  }

  links(): IterableIterator<Link> {
    return this.ctx.topology.allLinks();
  }

  link(iface: IfIndex): Link | undefined {
    return this.ctx.topology.link(iface);
  }

  /** A host route for this address that is neither ours nor another router's claim. */
  foreignRoute(ip: Ip): Route | undefined {
    return this.ctx.fib.foreignRoute(ip);
  }

  remote(ip: Ip): RemoteClaim | undefined {
    return this.ctx.fib.remote(ip);
  }

  /** The mobility interface whose LAN a macvlan is part of; any other interface itself. */
  lanOf(iface: IfIndex): IfIndex {
    return this.ctx.topology.lanOf(iface);
  }

  /** What this router is on a LAN, in the first of its families, and why; undefined: no mobility interface. */
  roleOn(iface: IfIndex, family = this.ctx.policy.families[0] ?? 'ipv4'): RoleView | undefined {
    const { roles, topology } = this.ctx;
    const rule = topology.rule(iface);
    const state = roles.on(iface, family);
    if (rule === undefined || state === undefined) return undefined;
    const { kind, since, reason } = state;
    const why = describeRole(this.ctx, iface) ?? '';
    return {
      role: rule.role,
      state: kind,
      contests: topology.roles.isContesting(iface, family),
      reason,
      why,
      since,
    };
  }

  /** MACs of ours on a LAN besides that of the mobility interface. */
  macvlanMacs(iface: IfIndex): readonly Mac[] {
    return this.ctx.topology.macvlansOn(iface).map(({ mac }) => mac);
  }

  isMobility(iface: IfIndex): boolean {
    return this.ctx.topology.rule(iface) !== undefined;
  }

  /** From when on all claims and repairs may be withdrawn at once under the 20 ms rule, ms on the monotonic clock. */
  withdrawableAt(): number {
    let at = Number.NEGATIVE_INFINITY;
    for (const host of this.ctx.table.all()) {
      if (host.claimed || host.stuckRoute.kind === 'repairing')
        at = Math.max(at, this.ctx.remoteAppearedAt(host) + EARLY_RELEASE_MS);
    }
    return at;
  }

  /** What to write down at the stop: hosts held now and hosts remembered. */
  memories(): SavedHost[] {
    const memories: SavedHost[] = [];
    for (const host of this.ctx.table.all()) {
      if (host.attachment === undefined || host.interface === undefined) continue;
      if (host.held || host.state === 'remembered') {
        memories.push({
          ip: host.ip,
          mac: host.attachment.mac,
          interface: host.interface,
          reason: host.cause,
        });
      }
    }
    return memories;
  }

  /** What a recording that begins now has to begin with. */
  seed(): { readonly events: readonly Event[]; readonly known: Snapshot } {
    return { events: [...seedEvents(this.ctx)], known: snapshot(this.ctx, this.awaitedAt) };
  }

  /** Goes on where another tracker was, whose links it has been told. */
  restore(known: Snapshot): void {
    restore(this.ctx, known);
    this.awaitedAt = known.awaitedAt;
  }

  private noteNeighbour(iface: IfIndex, ip: Ip, mac: Mac | undefined): void {
    const { neighbours, topology } = this.ctx;
    if (topology.rule(iface) === undefined) return;
    if (mac !== undefined && topology.isPeer(iface, ip)) notePeer(this.ctx, iface, ip, mac);
    let known = neighbours.get(iface);
    if (known === undefined) {
      known = new Map();
      neighbours.set(iface, known);
    }
    if (mac === undefined) known.delete(ip);
    else known.set(ip, mac);
  }

  private installed(ip: Ip): void {
    const host = this.ctx.table.get(ip);
    if (host === undefined || host.answerHold === NO_ANSWER_HOLD) return;
    const at = host.claimed ? host.attachment : undefined;
    releaseAnswers(this.ctx, host, { input: 'installed', at });
    this.ctx.touch(host);
  }

  private refused(ip: Ip): void {
    const host = this.ctx.table.get(ip);
    if (host?.claimed === true) lost(this.ctx, host, 'kernel-refused');
  }
}
