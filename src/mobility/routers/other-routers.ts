import {
  type Family,
  type Ip,
  MAC_BROADCAST,
  type Mac,
  familyOf,
  isIpv4,
  isVirtualRouterMac,
  unspecifiedOf,
} from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { Deadlines } from '../deadlines.js';
import type { Attachment, IfIndex } from '../events.js';
import type { Topology } from '../network/topology.js';
import { probeNow } from '../host/coordinator.js';
import { NEVER } from '../host/machines/machine.js';
import type { SightingMessage } from '../neighbour/message.js';
import { sendProbe } from '../neighbour/send.js';
import { ASKING_MS, OtherRouter, type OtherRouterOutcome } from './other-router.js';

const LOOK_MS = 60_000;
/** Twice the longest time between two router advertisements of a router (RFC 4861 section 6.2.1). */
const ADVERTISED_MS = 3_600_000;
/** Of an interface. More are not looked into: who invents MACs does not answer, and its entries are free again soon. */
const MOST_ON_INTERFACE = 16;

/** The other routers on our LANs, and who is suspected to be one. */
export class OtherRouters {
  readonly #on = new Map<IfIndex, OtherRouter[]>();
  readonly #deadlines = new Deadlines<OtherRouter>();
  #isChanged = false;
  readonly #lookedAt = new Map<IfIndex, number>();
  /** Interfaces on which any was present when `takeLeft` asked last. */
  readonly #occupied = new Set<IfIndex>();
  /** MACs of the routers that the configuration names, by their address. */
  readonly #peers = new Map<IfIndex, Map<Ip, Mac>>();

  snapshot() {
    const numbers = new Map([...this.all()].map((router, number) => [router, number]));
    return {
      routers: [...numbers.keys()].map((router) => router.snapshot()),
      peers: [...this.#peers],
      lookedAt: [...this.#lookedAt],
      deadlines: this.#deadlines.snapshot((router) => numbers.get(router)),
    };
  }

  restore({ routers, peers, lookedAt, deadlines }: ReturnType<OtherRouters['snapshot']>): void {
    for (const [iface, known] of peers) this.#peers.set(iface, known);
    for (const [iface, at] of lookedAt) this.#lookedAt.set(iface, at);
    for (const state of routers) this.add(state.iface, state.mac, state.gateway)?.restore(state);
    const all = [...this.all()];
    for (const { iface, state } of all) if (state.kind === 'present') this.#occupied.add(iface);
    const gone = new OtherRouter(0, 0 as Mac, 0 as Ip);
    this.#deadlines.restore(deadlines, (number) => (number === null ? gone : (all[number] ?? gone)));
  }

  /** A frame or the kernel names the MAC of another first-hop router that the configuration names. Returns whether it is news. */
  notePeer(iface: IfIndex, ip: Ip, mac: Mac): boolean {
    const peers = this.#peers.get(iface) ?? new Map<Ip, Mac>();
    if (peers.get(ip) === mac) return false;
    this.#peers.set(iface, peers.set(ip, mac));
    return true;
  }

  /** The configuration may name others now. */
  forgetPeers(isOver: (iface: IfIndex, ip: Ip) => boolean): void {
    for (const [iface, peers] of this.#peers) {
      for (const ip of peers.keys()) if (isOver(iface, ip)) peers.delete(ip);
      if (peers.size === 0) this.#peers.delete(iface);
    }
  }

  forgetInterface(iface: IfIndex): void {
    this.#peers.delete(iface);
    this.#lookedAt.delete(iface);
  }

  /** Whether a LAN may be asked for others: once a minute. */
  mayLook(iface: IfIndex, now: number): boolean {
    if (now - (this.#lookedAt.get(iface) ?? Number.NEGATIVE_INFINITY) < LOOK_MS) return false;
    this.#lookedAt.set(iface, now);
    return true;
  }

  isPeer(iface: IfIndex, mac: Mac): boolean {
    for (const peer of this.#peers.get(iface)?.values() ?? []) if (peer === mac) return true;
    return false;
  }

  /** Whether this MAC answers for a gateway address on this interface. */
  isPresent(iface: IfIndex, mac: Mac): boolean {
    return this.on(iface).some((router) => router.mac === mac && router.state.kind === 'present');
  }

  /**
   * Whether this MAC is a router's there: another one's, or a virtual router's. What it answers may be proxy ARP, and what
   * it says need not be its own word.
   */
  isRouterMac(iface: IfIndex, mac: Mac): boolean {
    return isVirtualRouterMac(mac) || this.isPresent(iface, mac) || this.isPeer(iface, mac);
  }

  /** Whether another machine on this interface answers for this gateway address. */
  isGatewayUsed(iface: IfIndex, gateway: Ip): boolean {
    return this.on(iface).some((router) => router.gateway === gateway && router.state.kind === 'present');
  }

  /** Whether another machine on this interface answers for any of them, or for any of one family. */
  hasPresent(iface: IfIndex, family?: Family): boolean {
    return this.on(iface).some(
      ({ state, gateway }) =>
        state.kind === 'present' && (family === undefined || familyOf(gateway) === family),
    );
  }

  on(iface: IfIndex): readonly OtherRouter[] {
    return this.#on.get(iface) ?? NONE;
  }

  *all(): IterableIterator<OtherRouter> {
    for (const routers of this.#on.values()) yield* routers;
  }

  /** Whether another machine has the gateway address of a LAN itself, which we have not. */
  isGatewayOfLan(iface: IfIndex, family: Family, topology: Pick<Topology, 'subnets' | 'isLocalOn'>): boolean {
    return this.on(iface).some(
      ({ gateway, state }) =>
        state.kind === 'present' &&
        familyOf(gateway) === family &&
        topology.subnets.isGatewayOn(iface, gateway) &&
        !topology.isLocalOn(gateway, iface),
    );
  }

  /** Whether the last one on this interface has gone since this was asked last. */
  takeLeft(iface: IfIndex): boolean {
    if (this.hasPresent(iface)) {
      this.#occupied.add(iface);
      return false;
    }
    return this.#occupied.delete(iface);
  }

  /** Whether any came or went since this was asked last. */
  takeChange(): boolean {
    const isChanged = this.#isChanged;
    this.#isChanged = false;
    return isChanged;
  }

  noteChange(): void {
    this.#isChanged = true;
  }

  /** undefined when there are too many on the interface. */
  add(iface: IfIndex, mac: Mac, gateway: Ip): OtherRouter | undefined {
    const routers = this.#on.get(iface) ?? [];
    if (routers.length >= MOST_ON_INTERFACE) return undefined;
    const router = new OtherRouter(iface, mac, gateway);
    routers.push(router);
    this.#on.set(iface, routers);
    return router;
  }

  remove(router: OtherRouter): void {
    this.#isChanged = true;
    const left = this.on(router.iface).filter((other) => other !== router);
    if (left.length > 0) this.#on.set(router.iface, left);
    else this.#on.delete(router.iface);
    this.#deadlines.schedule(router, NEVER);
  }

  touch(router: OtherRouter): void {
    this.#deadlines.schedule(router, router.state.kind === 'idle' ? NEVER : router.state.nextAt);
  }

  nextDeadline(): number {
    return this.#deadlines.next() ?? NEVER;
  }

  takeDue(now: number): OtherRouter | undefined {
    return this.#deadlines.takeDue(now);
  }
}

const NONE: readonly OtherRouter[] = [];

/** A frame with a gateway address as its sender: the MAC is asked whether it answers for it. */
export function suspect(ctx: TrackerContext, iface: IfIndex, gateway: Ip, mac: Mac): void {
  const known = ctx.otherRouters.on(iface).filter((router) => router.mac === mac);
  for (const router of known) if (router.gateway === gateway) router.claimedAt = ctx.now;
  // One suspicion of a MAC at a time.
  if (known.some((router) => router.gateway === gateway || router.state.kind === 'verifying')) return;
  const router = ctx.otherRouters.add(iface, mac, gateway);
  if (router === undefined) return;
  router.claimedAt = ctx.now;
  router.step({ input: 'claimed' }, ctx.now);
  advance(ctx, router);
}

/**
 * A second first-hop router on a LAN that nobody has told us of need not be heard: a switch keeps its questions from us.
 * So the gateway of the LAN is asked for, where it is not ours.
 */
export function lookForOthers(ctx: TrackerContext, iface: IfIndex): void {
  const { topology, otherRouters, now } = ctx;
  if (topology.isShared(iface) || !otherRouters.mayLook(iface, now)) return;
  for (const gateway of ctx.policy.subnets.flatMap(({ gateways }) => gateways)) {
    if (!topology.subnets.isGatewayOn(iface, gateway)) continue;
    const own = topology.addressOn(iface, gateway);
    if (own !== undefined && !topology.isLocalOn(gateway, iface))
      sendProbe(ctx, { iface, mac: MAC_BROADCAST }, own, gateway);
  }
}

/** A frame of a MAC that is another router here names another address of it. */
export function noteOtherAddress(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): void {
  for (const router of ctx.otherRouters.on(iface)) {
    if (router.mac !== mac || router.otherAddress === ip) continue;
    router.otherAddress = ip;
    router.step({ input: 'other-address' }, ctx.now);
    ctx.otherRouters.touch(router);
  }
}

/** A reply in the name of a gateway address: the answer to our question, perhaps. */
export function hearGatewayAnswer(ctx: TrackerContext, iface: IfIndex, message: SightingMessage): void {
  const { form, ip, mac, answeredTo } = message;
  // An announcement in the form of a reply answers nobody.
  if (form !== 'reply') return;
  const router = ctx.otherRouters.on(iface).find((other) => other.mac === mac && other.gateway === ip);
  if (router === undefined) return;
  if (answeredTo !== 'anybody' && answeredTo !== ctx.topology.addressOn(iface, ip)) return;
  // Every host answers for its own address, and anybody may have advertised a router there in its name.
  if (message.isRouter === false && !ctx.topology.isGateway(ip)) return;
  const appeared = router.step({ input: 'answered' }, ctx.now) === 'appeared';
  ctx.otherRouters.touch(router);
  if (!appeared) return;
  ctx.otherRouters.noteChange();
  alarmOtherRouter(ctx, ip, { iface, mac });
  // What was believed of it before may have been proxy ARP.
  for (const host of [...ctx.table.withMac(mac)]) if (host.isHeldAt(iface, mac)) probeNow(ctx, host);
}

/** A standby expects it; the active router does not. */
function alarmOtherRouter(ctx: TrackerContext, ip: Ip, place: Attachment): void {
  const { role } = ctx.topology.rule(place.iface) ?? { role: 'alone' };
  if (!ctx.topology.isGateway(ip))
    return ctx.alarm(
      'other-router',
      'another machine sends router advertisements, and who hears them may take it for the default router',
      { ip, place },
    );
  if (role === 'alone')
    return ctx.alarm(
      'other-router',
      'another machine uses a configured gateway address; if it is a second first-hop router of this LAN, set `role` on both',
      { ip, place },
    );
  if (ctx.topology.roles.speaks(place.iface, ip))
    ctx.alarm('two-speakers', 'this router is active, and another machine uses the gateway address', {
      ip,
      place,
    });
}

/**
 * Does what is due. Yields those that were other routers and are not any more: what they said of other addresses was
 * not heard meanwhile.
 */
export function* runOtherRouters(ctx: TrackerContext): IterableIterator<OtherRouter> {
  for (;;) {
    const router = ctx.otherRouters.takeDue(ctx.now);
    if (router === undefined) return;
    if (advance(ctx, router) === 'gone') yield router;
  }
}

function advance(ctx: TrackerContext, router: OtherRouter): OtherRouterOutcome | undefined {
  const { iface, mac, gateway } = router;
  // Nobody repeats what somebody has once advertised in the name of a host.
  if (!ctx.topology.isGateway(gateway) && ctx.now - router.claimedAt > ADVERTISED_MS) {
    ctx.otherRouters.remove(router);
    return 'gone';
  }
  const missed = ctx.now - ctx.missed.lastOn(iface) <= ASKING_MS;
  const outcome = router.step({ input: 'due', listening: ctx.topology.isListening(iface), missed }, ctx.now);
  if (router.state.kind === 'idle') {
    ctx.otherRouters.remove(router);
    return outcome;
  }
  const source = outcome === 'ask' ? sourceOf(ctx, router) : undefined;
  if (source !== undefined) sendProbe(ctx, { iface, mac }, source, gateway);
  ctx.otherRouters.touch(router);
  return outcome;
}

/**
 * Asked from our own address there. Where we have none, and every second time, as a conflict is looked for: from no
 * address (RFC 5227 section 2.1.1), which a host answers that has no route to ours. Here the conflict is real. In IPv6
 * the answer to that would go to all, and turn their entries for the gateway (RFC 4861 section 7.2.4).
 */
function sourceOf(ctx: TrackerContext, { iface, gateway, state }: OtherRouter): Ip | undefined {
  const own = ctx.topology.addressOn(iface, gateway);
  if (!isIpv4(gateway)) return own;
  const isSecond = state.kind !== 'idle' && state.sent % 2 === 0;
  return own === undefined || isSecond ? unspecifiedOf(gateway) : own;
}

/** Forgets all of which this is true. Returns whether there were any. */
export function forgetOtherRouters(ctx: TrackerContext, isOver: (router: OtherRouter) => boolean): boolean {
  const over = [...ctx.otherRouters.all()].filter(isOver);
  for (const router of over) ctx.otherRouters.remove(router);
  return over.length > 0;
}
