import { type Family, type Ip, type Mac, familyOf, isIpv4, isOfOneLink } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { learningRefusal } from '../admission/learning.js';
import type { Attachment, Cause, IfIndex, Link } from '../events.js';
import { abandonCandidate, lostWithRoute, probeNow, transition, withdraw } from '../host/coordinator.js';
import { askAgain, startProof, startProofUnlessSuppressed } from '../host/proving.js';
import { forgetOtherRouters, lookForOthers } from '../routers/other-routers.js';
import { discoverOn } from './discovery.js';
import { askAllElsewhere } from '../routers/late-standby.js';
import { reviewRoles } from '../routers/role-changes.js';
import type { Host } from '../host/host.js';
import { candidateOn } from '../host/machines/proof.js';

export function onLink(ctx: TrackerContext, link: Link): void {
  const { topology } = ctx;
  const old = topology.link(link.index);
  const wasUsable = topology.isUsable(link.index);
  const wasListening = topology.isListening(link.index);
  const spokeAs = speakersOf(ctx, old, link);
  topology.setLink(link);
  const renamed = old !== undefined && old.name !== link.name;
  if (wasUsable && (!topology.isUsable(link.index) || renamed)) {
    loseInterface(ctx, link.index, 'link-down', !link.up);
  } else if (hasIpv6(old) && !hasIpv6(link)) loseIpv6(ctx, link.index);
  if (renamed) for (const host of [...ctx.table.on(link.index)]) ctx.table.rename(host, link.name);
  const isBack = (renamed || !wasListening) && topology.isListening(link.index);
  if (isBack) lookAround(ctx, link);
  if (isBack) reprobeRemembered(ctx, link);
  else if (!hasIpv6(old) && hasIpv6(link) && topology.isListening(link.index))
    reprobeRemembered(ctx, link, (host) => !isIpv4(host.ip));
  for (const { lan, family, mac } of speakersOf(ctx, old, link))
    if (!isBack && !spokeAs.some((one) => one.lan === lan && one.family === family && one.mac === mac))
      refreshGatewayEntries(ctx, lan, family);
  if (old?.master !== undefined) onPort(ctx, link.index, old.master, link);
  if (runsIn(link, link.master) && !runsIn(old, link.master)) askGuests(ctx, link);
  if (old === undefined || renamed || old.addresses !== link.addresses) reviewHosts(ctx);
  reviewRoles(ctx);
}

export function onLinkGone(ctx: TrackerContext, iface: IfIndex): void {
  const old = ctx.topology.link(iface);
  if (ctx.topology.rule(iface) !== undefined) loseInterface(ctx, iface, 'link-gone', true);
  const lower = old?.lower;
  const spokeAs = FAMILIES.map((family) => lower && ctx.topology.familyMac(lower, family));
  ctx.topology.removeLink(iface);
  for (const [at, family] of FAMILIES.entries())
    if (lower !== undefined && spokeAs[at] !== ctx.topology.familyMac(lower, family))
      refreshGatewayEntries(ctx, lower, family);
  ctx.ports.delete(iface);
  ctx.neighbours.delete(iface);
  ctx.missed.forget(iface);
  ctx.roles.forget(iface);
  ctx.otherRouters.forgetInterface(iface);
  if (old?.master !== undefined) onPort(ctx, iface, old.master, undefined);
  if (old !== undefined && old.addresses.length > 0) reviewHosts(ctx);
  reviewRoles(ctx);
}

export function onCapture(ctx: TrackerContext, iface: IfIndex, open: boolean): void {
  const wasListening = ctx.topology.isListening(iface);
  ctx.topology.setCapturing(iface, open);
  // What came while it was closed, or before the reader died, was not heard.
  ctx.missed.note(iface, ctx.now);
  const link = ctx.topology.link(iface);
  if (link === undefined || wasListening || !ctx.topology.isListening(iface)) return;
  lookAround(ctx, link);
  reprobeRemembered(ctx, link);
}

/** MACs per bridge that are kept although no host of the table has them: the host's first ARP may come after the event. */
const MAX_UNKNOWN_MACS = 16_384;

/**
 * Where a bridge has a MAC. One that the bridge forgot is kept while a host has it, for when its port goes down: the hosts
 * are probed now, and may answer without being learned again.
 */
export function onFdb(ctx: TrackerContext, bridge: IfIndex, mac: Mac, port: IfIndex | undefined): void {
  let ports = ctx.ports.get(bridge);
  if (port !== undefined) {
    if (ports === undefined) {
      ports = new Map();
      ctx.ports.set(bridge, ports);
    }
    ports.set(mac, port);
    if (ports.size > MAX_UNKNOWN_MACS + ctx.table.size) forgetUnknownMacs(ctx, ports);
    return;
  }
  if (ctx.table.countWithMac(mac) === 0) ports?.delete(mac);
  for (const host of ctx.table.withMac(mac)) {
    if (host.claimed && host.attachment?.iface === bridge) probeNow(ctx, host);
  }
}

/** The older half of them. A MAC of a host that is learned later is then missing: its keepalive finds out instead. */
function forgetUnknownMacs(ctx: TrackerContext, ports: Map<Mac, IfIndex>): void {
  let left = MAX_UNKNOWN_MACS / 2;
  for (const mac of ports.keys()) {
    if (left === 0) return;
    if (ctx.table.countWithMac(mac) > 0) continue;
    ports.delete(mac);
    left--;
  }
}

/** All that we held on an interface is gone with it. `routesDeleted`: the kernel took the routes itself. */
function loseInterface(ctx: TrackerContext, iface: IfIndex, cause: Cause, routesDeleted: boolean): void {
  ctx.waiting.clear(iface);
  forgetOtherRouters(ctx, (router) => router.iface === iface);
  ctx.lanQueries.forgetInterface(iface);
  for (const host of [...ctx.table.on(iface)]) loseHost(ctx, host, iface, cause, routesDeleted);
}

function loseHost(
  ctx: TrackerContext,
  host: Host,
  iface: IfIndex,
  cause: Cause,
  routeDeleted: boolean,
): void {
  const candidate = candidateOn(host.proof, iface);
  if (candidate !== undefined) abandonCandidate(ctx, host, cause, candidate);
  if (!host.held) return;
  if (routeDeleted) lostWithRoute(ctx, host, cause);
  else withdraw(ctx, host, cause);
}

/** The kernel does no IPv6 there any more: it has deleted the routes and neighbours of that family, and tells of no link. */
function loseIpv6(ctx: TrackerContext, iface: IfIndex): void {
  for (const host of [...ctx.table.on(iface)])
    if (!isIpv4(host.ip)) loseHost(ctx, host, iface, 'ipv6-off', true);
}

function hasIpv6(link: Link | undefined): boolean {
  return link?.hasIpv6 !== false;
}

interface Speaker {
  readonly lan: IfIndex;
  readonly family: Family;
  readonly mac: Mac | undefined;
}

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** What we speak with on the LAN of an interface, and on that of the one below it. */
function speakersOf({ topology }: TrackerContext, old: Link | undefined, link: Link): Speaker[] {
  const lans = new Set([link.index, link.lower, old?.lower].filter((lan) => lan !== undefined));
  return [...lans].flatMap((lan) =>
    FAMILIES.map((family) => ({ lan, family, mac: topology.familyMac(lan, family) })),
  );
}

/** Our MAC changed: their entry for the gateway is stale until a question of ours repairs it (RFC 826). */
function refreshGatewayEntries(ctx: TrackerContext, lan: IfIndex, family: Family): void {
  const keepaliveMs = ctx.topology.rule(lan)?.keepaliveMs ?? 0;
  let order = 0;
  for (const host of ctx.table.on(lan)) {
    if (familyOf(host.ip) !== family) continue;
    if (host.claimed && host.attachment?.iface === lan) expediteKeepalive(ctx, host, keepaliveMs, order++);
  }
}

/** Asked soon, spread so that 100,000 do not speak at once. */
function expediteKeepalive(ctx: TrackerContext, host: Host, keepaliveMs: number, order: number): void {
  host.stepKeepalive({ input: 'expedite', at: ctx.now + Math.min(keepaliveMs, order / 10) }, ctx.now);
  ctx.touch(host);
}

/** A LAN is heard from now on. */
function lookAround(ctx: TrackerContext, { index }: Link): void {
  lookForOthers(ctx, index);
  discoverOn(ctx, index);
  askAllElsewhere(ctx);
}

/** The hosts of a link that is back, or of a family of it. */
function reprobeRemembered(ctx: TrackerContext, link: Link, isOf = (_: Host) => true): void {
  const hosts = [...ctx.table.onNamed(link.name)];
  const keepaliveMs = ctx.topology.rule(link.index)?.keepaliveMs ?? 0;
  let order = 0;
  for (const host of hosts) {
    if (!isOf(host)) continue;
    if (host.state === 'remembered') {
      host.stepRecovery({ input: 'link-up' }, ctx.now);
      ctx.touch(host);
    } else if (host.claimed && host.lastHeard < ctx.now) {
      // Adopted, or unheard while capture was closed.
      expediteKeepalive(ctx, host, keepaliveMs, order++);
    }
  }
}

/** The probes after a link-up that count as news of the host; the ones after them only matter if it answers. */
const LINK_UP_PROBES = 3;

/** The next probe of a host that was lost, or whose interface came back. */
export function reprobe(ctx: TrackerContext, host: Host): void {
  const { attachment, contest } = host;
  const { reprobing } = host.recovery;
  const link = host.interface === undefined ? undefined : ctx.topology.linkNamed(host.interface);
  const giveUp =
    link === undefined || attachment === undefined || ctx.topology.rule(link.index) === undefined;
  const { reprobeIntervalMs } = ctx.policy.timers;
  const afterMs = reprobeIntervalMs + jitterMs(host, reprobeIntervalMs);
  host.stepRecovery({ input: 'probed', giveUp, afterMs }, ctx.now);
  if (giveUp || reprobing === undefined || host.state !== 'remembered') return ctx.touch(host);
  const last = { iface: link.index, mac: attachment.mac };
  // A probe from before the link-up may have no try left.
  const isOutdated =
    reprobing.reason === 'link-up' && host.candidates.every(({ probe }) => probe.purpose === 'ask-again');
  if ((!host.asking || isOutdated) && ctx.topology.isListening(link.index, host.ip)) {
    if (reprobing.reason === 'link-up' && reprobing.count < LINK_UP_PROBES)
      return startProofUnlessSuppressed(ctx, host, last, 'link-up');
    // After a contest the challenger may be the one that is alive: the two are asked in turn.
    const challenger = contest.kind === 'none' ? undefined : contest.challenger;
    const at = challenger !== undefined && reprobing.count % 2 === 0 ? challenger : last;
    const mayAsk = ctx.fib.remote(host.ip) === undefined && ctx.topology.isListening(at.iface, host.ip);
    if (mayAsk && !isRefused(ctx, host.ip, at)) askAgain(ctx, host, at);
  }
  ctx.touch(host);
}

/** Up to a tenth of the interval, so that hosts that were lost together are not asked together for ever. */
function jitterMs(host: Host, intervalMs: number): number {
  if (intervalMs === Number.POSITIVE_INFINITY) return 0;
  const { mac } = host.attachment ?? { mac: 0 };
  return (((mac * 31 + Math.floor(host.since)) % 1000) / 10_000) * intervalMs;
}

/** Whether it is a port of this bridge that carries frames. */
function runsIn(link: Link | undefined, bridge: IfIndex | undefined): boolean {
  return bridge !== undefined && link?.up === true && link.carrier && link.master === bridge;
}

/** A port of a bridge changed: hosts behind it are gone when it is down or no port of that bridge any more. */
function onPort(ctx: TrackerContext, port: IfIndex, bridge: IfIndex, now: Link | undefined): void {
  if (runsIn(now, bridge)) return;
  const ports = ctx.ports.get(bridge);
  if (ports === undefined) return;
  for (const [mac, at] of ports) {
    if (at !== port) continue;
    // Where a host was is kept, for when its port is back.
    if (ctx.table.countWithMac(mac) === 0) ports.delete(mac);
    for (const host of [...ctx.table.withMac(mac)]) {
      if (host.held && host.attachment?.iface === bridge) withdraw(ctx, host, 'port-down');
    }
  }
}

/**
 * A port of a bridge runs again: the hosts that were lost with it are asked, and those of ports that are gone, since a
 * guest that is restarted has a new tap.
 */
function askGuests(ctx: TrackerContext, { index: port, master: bridge }: Link): void {
  if (bridge === undefined) return;
  const ports = ctx.ports.get(bridge);
  for (const host of ctx.table.on(bridge)) {
    if (host.state !== 'remembered' || host.cause !== 'port-down') continue;
    const last = host.attachment && ports?.get(host.attachment.mac);
    if (last !== undefined && last !== port && ctx.topology.link(last)?.master === bridge) continue;
    host.stepRecovery({ input: 'link-up' }, ctx.now);
    ctx.touch(host);
  }
}

/** Addresses or policy changed: what may no longer be held is withdrawn, and home is looked at anew. */
export function reviewHosts(ctx: TrackerContext): void {
  const { topology } = ctx;
  forgetOtherRouters(
    ctx,
    ({ iface, gateway }) =>
      topology.rule(iface) === undefined || !(topology.isGateway(gateway) || isOfOneLink(gateway)),
  );
  for (const host of [...ctx.table.all()]) {
    if (host.attachment === undefined) continue;
    if (!host.held) {
      readmit(ctx, host);
      continue;
    }
    const rule = topology.rule(host.attachment.iface);
    if (rule === undefined || isRefused(ctx, host.ip, host.attachment)) {
      withdraw(ctx, host, 'not-allowed');
      continue;
    }
    const atHome = rule.learn === 'foreign' && topology.subnets.isHome(host.attachment.iface, host.ip);
    if (host.state === 'home' && !atHome) {
      // Nobody has asked it lately, so it is proven before it is claimed.
      transition(ctx, host, { input: 'prove', cause: 'rule-changed' });
      startProof(ctx, host, host.attachment, 'rule-changed');
    } else reviewHomecoming(ctx, host, atHome);
    ctx.touch(host);
  }
}

function reviewHomecoming(ctx: TrackerContext, host: Host, homecoming: boolean): void {
  const { claim } = host;
  if (claim.state !== 'fresh' && claim.state !== 'settled') return;
  if (claim.homecoming === homecoming) return;
  const ageAt = claim.state === 'settled' ? ctx.now + ctx.policy.timers.settleMs : claim.ageAt;
  host.stepClaim({ input: 'home-changed', homecoming, ageAt }, ctx.now);
}

function isRefused(ctx: TrackerContext, ip: Ip, { iface, mac }: Attachment): boolean {
  return learningRefusal(ctx, iface, ip, mac) !== undefined;
}

/** It was withdrawn because it was not allowed, and is allowed again: it never went, so it is asked. */
function readmit(ctx: TrackerContext, host: Host): void {
  if (host.state !== 'remembered' || host.cause !== 'not-allowed' || host.recovery.reprobing !== undefined)
    return;
  const { attachment } = host;
  if (attachment === undefined || !ctx.topology.isListening(attachment.iface, host.ip)) return;
  if (isRefused(ctx, host.ip, attachment)) return;
  host.stepRecovery({ input: 'link-up' }, ctx.now);
  ctx.touch(host);
}
