import { startProbe } from '../probe/probe.js';
import { type Ip, type Mac, isGroupMac } from '../../wire/addresses.js';
import { hasCapacity } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { Command, Token } from '../commands.js';
import type { Attachment, IfIndex, SavedHost } from '../events.js';
import {
  abandonCandidate,
  closeCandidates,
  discard,
  probeNow,
  scheduleKeepalive,
  transition,
  withdraw,
} from '../host/coordinator.js';
import { quietMs } from '../host/siblings.js';
import { standBy } from '../host/contention.js';
import { noteVisitor } from '../nd/home-prefix.js';
import { bind, startProof } from '../host/proving.js';
import type { Host } from '../host/host.js';
import { EARLY_RELEASE_MS } from '../host/machines/stuck-route.js';
import {
  notAHostMac,
  noAddresses,
  interfaceFull,
  ownMac,
  tableFull,
  noLastInterface,
  interfaceUnusable,
  unknownHost,
  unknownMac,
  unusableAddress,
} from './command-errors.js';
import { forgetOtherRouters } from '../routers/other-routers.js';
import { discover } from './discovery.js';
import { tellRole } from '../routers/role-changes.js';
import { remoteAppeared } from './remote-claims.js';

/** Carries out what an operator or a hypervisor says, and answers whether it was accepted. */
export function onCommand(ctx: TrackerContext, token: Token, command: Command): void {
  if (command.name === 'discover') {
    const { ok, message } = discover(ctx, command.prefix);
    return ctx.reply(token, ok, message);
  }
  if (command.name === 'role') {
    const refusal = tellRole(ctx, command.interface, command.state);
    return ctx.reply(token, refusal === undefined, refusal ?? 'ok');
  }
  const refusal =
    command.name === 'probe' || command.name === 'clear'
      ? onAddressCommand(ctx, command.name, command.ip)
      : onSignal(ctx, command);
  ctx.reply(token, refusal === undefined, refusal ?? 'ok');
}

function onAddressCommand(ctx: TrackerContext, name: 'probe' | 'clear', ip: Ip): string | undefined {
  const host = ctx.table.get(ip);
  const forgot = name === 'clear' && clearOtherRouters(ctx, ip, host?.attachment?.mac);
  if (host === undefined) return forgot ? undefined : unknownHost(ip);
  if (name === 'clear') {
    host.stepContest({ input: 'clear' }, ctx.now);
    host.stepRecovery({ input: 'clear' }, ctx.now);
    closeCandidates(ctx, host);
    if (host.held) withdraw(ctx, host, 'clear');
    else if (host.state !== 'unknown') transition(ctx, host, { input: 'forget', cause: 'clear' });
    if (host.state === 'remembered' && !host.claimed) probeLastPlace(ctx, host);
    // Nobody tells us again of a claim of another router that was there before.
    if (ctx.table.get(ip) === undefined && ctx.fib.remote(ip) !== undefined) {
      remoteAppeared(ctx, ip, false);
    }
    return undefined;
  }
  return probeLastPlace(ctx, host) ? undefined : noLastInterface(ip, host.interface);
}

/** The routers that use this gateway address, or that this host is; they are found again if they still say so. */
function clearOtherRouters(ctx: TrackerContext, ip: Ip, mac: Mac | undefined): boolean {
  return forgetOtherRouters(
    ctx,
    (router) => router.gateway === ip || router.otherAddress === ip || router.mac === mac,
  );
}

/** Asks the host where it is held, or where it was last. */
function probeLastPlace(ctx: TrackerContext, host: Host): boolean {
  const link = host.interface === undefined ? undefined : ctx.topology.linkNamed(host.interface);
  if (host.attachment === undefined || link === undefined || !ctx.topology.isListening(link.index, host.ip))
    return false;
  if (host.held) {
    probeNow(ctx, host);
  } else if (!host.asking) {
    startProof(ctx, host, { iface: link.index, mac: host.attachment.mac }, 'command');
  }
  ctx.touch(host);
  return true;
}

type Signal = Exclude<Command, { name: 'probe' | 'clear' | 'discover' | 'role' }>;

/** Checks all addresses before it changes anything: a signal is carried out whole or not at all. */
function onSignal(ctx: TrackerContext, signal: Signal): string | undefined {
  if (signal.mac !== undefined && (signal.mac === 0 || isGroupMac(signal.mac)))
    return notAHostMac(signal.mac);
  const ips = signal.ips.length > 0 ? signal.ips : addressesOf(ctx, signal.mac);
  if (ips.length === 0) return noAddresses(signal.mac);
  if (signal.name === 'detach') {
    for (const ip of ips) detach(ctx, ip, signal.interface, signal.mac);
    return undefined;
  }
  const link = ctx.topology.linkNamed(signal.interface);
  const unfit = interfaceUnusable(ctx, signal.interface, signal.name === 'attach');
  if (link === undefined || unfit !== undefined) return unfit;
  const places = new Map<Ip, Attachment>();
  for (const ip of ips) {
    const mac = signal.mac ?? ctx.table.get(ip)?.attachment?.mac;
    if (mac === undefined) return unknownMac(ip);
    if (ctx.topology.isOwnMac(link.index, mac)) return ownMac(mac);
    const reason = learningRefusal(ctx, link.index, ip, mac);
    if (reason !== undefined) return unusableAddress(ip, reason);
    if (!hasCapacity(ctx, ctx.table.get(ip), link.index)) return interfaceFull(ctx, link.index);
    places.set(ip, { iface: link.index, mac });
  }
  const unknown = ips.filter((ip) => ctx.table.get(ip) === undefined);
  if (ctx.table.size + unknown.length > ctx.policy.limits.hosts) return tableFull(ctx);
  for (const [ip, place] of places) {
    if (signal.name === 'prepare') prepare(ctx, ip, place, signal.interface);
    else attach(ctx, ip, place);
  }
  return undefined;
}

function addressesOf(ctx: TrackerContext, mac: Mac | undefined): Ip[] {
  return mac === undefined ? [] : [...ctx.table.withMac(mac)].map((host) => host.ip);
}

function prepare(ctx: TrackerContext, ip: Ip, place: Attachment, name: string): void {
  const host = ctx.table.get(ip) ?? ctx.create(ip);
  if (host.isHeldAt(place.iface, place.mac)) return;
  host.stepRecovery({ input: 'prepare', at: place }, ctx.now);
  // Known by its MAC, so that RARP finds it; an address held elsewhere keeps its place until the guest speaks here.
  if (host.state === 'unknown' || host.state === 'remembered') {
    ctx.table.place(host, place, name);
    const endsAt = ctx.now + ctx.policy.timers.rememberMs;
    transition(ctx, host, { input: 'remember', cause: 'command', endsAt });
  } else ctx.touch(host);
}

function attach(ctx: TrackerContext, ip: Ip, place: Attachment): void {
  const host = ctx.table.get(ip) ?? ctx.create(ip);
  host.stepRecovery({ input: 'attach' }, ctx.now);
  host.stepContest({ input: 'clear' }, ctx.now);
  const graceMs = ctx.topology.rule(place.iface)?.holdMs ?? 0;
  host.stepKeepalive({ input: 'grace', until: ctx.now + graceMs }, ctx.now);
  if (host.isHeldAt(place.iface, place.mac)) return ctx.touch(host);
  bind(ctx, host, place, 'attach', { unanswered: startProbe(ctx, host, 'prove', place) });
}

function detach(ctx: TrackerContext, ip: Ip, name: string, mac: Mac | undefined): void {
  const host = ctx.table.get(ip);
  if (host?.attachment === undefined || host.interface !== name) return;
  if (mac !== undefined && host.attachment.mac !== mac) return;
  const from = host.attachment;
  if (host.asking) abandonCandidate(ctx, host, 'detach');
  host.stepKeepalive({ input: 'grace', until: undefined }, ctx.now);
  if (host.held) withdrawDetached(ctx, host);
  host.stepRecovery({ input: 'detach', from }, ctx.now);
  // Another router may have claimed it already; then its home LAN is told at once.
  if (host.state === 'remembered' && ctx.fib.remote(ip) !== undefined) remoteAppeared(ctx, ip, false);
  ctx.touch(host);
}

/**
 * Who detaches a guest has it elsewhere, and the claim of the router there is on its way: it has 20 ms in which ours must
 * not be deleted (EARLY_RELEASE_MS), and waits no longer for one that does not come.
 */
function withdrawDetached(ctx: TrackerContext, host: Host): void {
  if (!host.claimed || ctx.fib.remote(host.ip) !== undefined) return withdraw(ctx, host, 'detach');
  host.stepClaim({ input: 'lost-later', cause: 'detach', at: ctx.now + EARLY_RELEASE_MS }, ctx.now);
}

/** The second after `detach` is over. */
export function detachOver(ctx: TrackerContext, host: Host): void {
  host.stepRecovery({ input: 'detach-over' }, ctx.now);
  if (host.state === 'remembered') probeLastPlace(ctx, host);
  ctx.touch(host);
}

function isHostMac({ topology }: TrackerContext, mac: Mac): boolean {
  return mac !== 0 && !isGroupMac(mac) && !topology.isMobilityMac(mac);
}

/** A claim of an earlier run, found in the kernel: kept as settled, and asked as soon as capture hears the answer. */
export function adopt(ctx: TrackerContext, ip: Ip, iface: IfIndex, mac: Mac | undefined): void {
  // A claim that is not taken over here is not wanted, and reconciliation deletes it.
  if (mac === undefined || !isHostMac(ctx, mac) || !ctx.topology.isUsable(iface, ip)) return;
  if (learningRefusal(ctx, iface, ip, mac) !== undefined) return;
  const host = ctx.table.get(ip) ?? ctx.create(ip);
  const homecoming =
    ctx.topology.rule(iface)?.learn === 'foreign' && ctx.topology.subnets.isHome(iface, host.ip);
  const ageAt = ctx.now + ctx.policy.timers.settleMs;
  transition(ctx, host, { input: 'adopt', ageAt, homecoming }, { iface, mac });
  host.heard(ctx.now);
  scheduleKeepalive(ctx, host);
  if (ctx.topology.isListening(iface, ip)) {
    // Capture was faster than the reading of our routes; spread, or 100,000 would speak at once.
    const afterMs = Math.min(quietMs(ctx, host), ctx.table.size / 10);
    host.stepKeepalive({ input: 'schedule', afterMs }, ctx.now);
  }
  if (ctx.fib.remote(ip) !== undefined) adoptBeneath(ctx, host, iface);
  noteVisitor(ctx, host);
  ctx.touch(host);
}

/** The claim that hides it may be that of the other router of its LAN. */
function adoptBeneath(ctx: TrackerContext, host: Host, iface: IfIndex): void {
  const { topology } = ctx;
  if (!topology.roles.contests(iface, host.ip)) standBy(ctx, host);
  else if (topology.isShared(iface)) standBy(ctx, host, ctx.now + ctx.policy.timers.settleMs);
}

/** Hosts of an earlier run; they are asked when their interface is heard. */
export function remember(ctx: TrackerContext, memories: readonly SavedHost[]): void {
  for (const { ip, mac, interface: name } of memories) {
    if (!isHostMac(ctx, mac) || ctx.table.get(ip) !== undefined) continue;
    if (ctx.table.size >= ctx.policy.limits.hosts) return;
    const link = ctx.topology.linkNamed(name);
    const host = ctx.create(ip);
    const iface = link?.index ?? 0;
    ctx.table.place(host, { iface, mac }, name);
    // Only now: what was a host before may have become a next hop.
    if (learningRefusal(ctx, iface, ip, mac) !== undefined) {
      discard(ctx, host);
      continue;
    }
    const endsAt = ctx.now + ctx.policy.timers.rememberMs;
    transition(ctx, host, { input: 'remember', cause: 'remembered', endsAt });
    if (link !== undefined && ctx.topology.isListening(link.index, ip)) {
      host.stepRecovery({ input: 'link-up' }, ctx.now);
      ctx.touch(host);
    }
  }
}
