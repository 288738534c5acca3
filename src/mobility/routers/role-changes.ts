import { type Family, type Ip, familyOf, formatIp } from '../../wire/addresses.js';
import { learningRefusal } from '../admission/learning.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex, Link } from '../events.js';
import { probeHeld } from '../host/coordinator.js';
import type { Host } from '../host/host.js';
import { NEVER } from '../host/machines/machine.js';
import { startProof } from '../host/proving.js';
import { answerOpenQuestions } from '../neighbour/responder.js';
import { sendAnnouncement } from '../neighbour/send.js';
import type { InterfaceRule } from '../policy.js';
import { type RoleInput, mayContest } from './roles.js';
import type { RoleKind } from '../events.js';
import { checkDespiteRemote } from '../input/remote-claims.js';
import { askAllElsewhere } from './late-standby.js';
import { claimFresh, reannounceAll, runReannouncement } from '../input/reannouncement.js';

/** Several first-hop routers on one LAN (design.md 3.5): who is active, and what follows from a change. */

/** Taken over in one go: thousands may be beneath the claims of a router that died. */
const HOSTS_PER_TICK = 128;

/** Links, addresses or the policy changed. */
export function reviewRoles(ctx: TrackerContext): void {
  for (const link of ctx.topology.allLinks()) {
    const rule = ctx.topology.rule(link.index);
    if (rule === undefined) ctx.roles.forget(link.index);
    else reviewLan(ctx, link, rule);
  }
}

function reviewLan(ctx: TrackerContext, link: Link, rule: InterfaceRule): void {
  // What was left to a machine that used a gateway, whose ever, is ours again when it is gone.
  const left = ctx.otherRouters.takeLeft(link.index) && rule.role === 'alone';
  for (const family of ctx.policy.families) review(ctx, link, rule, family, left);
}

/** What the API says of an interface with `role = "told"`. Returns why not. */
export function tellRole(ctx: TrackerContext, name: string, kind: RoleKind): string | undefined {
  const link = ctx.topology.linkNamed(name);
  const rule = link && ctx.topology.rule(link.index);
  if (link === undefined || rule === undefined) return `${name} is no mobility interface`;
  if (rule.role !== 'told')
    return `${name} has role = "${rule.role}": only an interface with role = "told" is told`;
  ctx.roles.tell(name, kind);
  reviewLan(ctx, link, rule);
  return undefined;
}

function review(ctx: TrackerContext, link: Link, rule: InterfaceRule, family: Family, left: boolean): void {
  const { index: iface, name } = link;
  const { roles, topology, now } = ctx;
  const before = roles.on(iface, family);
  const outcome = roles.step(iface, family, wanted(ctx, link, rule, family), now);
  const state = roles.on(iface, family);
  if (state === undefined) return;
  topology.roles.setSilent(iface, family, state.kind === 'standby');
  const deferred = topology.roles.isDeferring(iface, family);
  const defers = rule.role === 'alone' && ctx.otherRouters.isGatewayOfLan(iface, family, topology);
  topology.roles.setDeferring(iface, family, defers);
  topology.roles.setContests(iface, family, mayContest(rule.role, state.kind) && !defers);
  if (left || (deferred && !defers)) takeOverAll(ctx, iface, family);
  if (before?.kind === state.kind && before.reason === state.reason) return;
  if (rule.role !== 'alone' || outcome !== undefined) {
    const { kind, reason } = state;
    const what = { iface, interface: name, family, role: rule.role, state: kind, reason, at: now };
    ctx.emit({ kind: 'role', ...what });
  }
  if (outcome === 'promoted') promote(ctx, iface, family);
  if (outcome === 'demoted') endTakeover(ctx, iface, family);
  if (outcome !== undefined) askAllElsewhere(ctx);
}

function wanted(
  ctx: TrackerContext,
  { index, name }: Link,
  { role }: InterfaceRule,
  family: Family,
): RoleInput {
  switch (role) {
    case 'alone':
      return { input: 'activate', reason: 'alone' };
    case 'first':
    case 'second':
      return { input: 'activate', reason: 'anycast' };
    case 'gateway':
      return ctx.topology.gatewayHolder(index, family) !== undefined
        ? { input: 'activate', reason: 'gateway-here' }
        : { input: 'deactivate', reason: 'gateway-not-here' };
    case 'told': {
      const told = ctx.roles.toldOf(name);
      if (told === undefined) return { input: 'deactivate', reason: 'not-told' };
      return { input: told === 'active' ? 'activate' : 'deactivate', reason: 'told' };
    }
  }
}

/**
 * The router that was active may be dead. What is beneath its claims is claimed fresh, whoever was heard last first,
 * and asked: it may have gone since. What it was asked in the last second is answered.
 */
function promote(ctx: TrackerContext, iface: IfIndex, family: Family): void {
  const { roles, openQuestions, now } = ctx;
  reannounceAll(ctx, iface, family);
  takeOverAll(ctx, iface, family);
  const heard = roles.takeHeard(iface, family, now - ctx.policy.timers.rememberMs);
  roles.askedByGateway = [...roles.askedByGateway, ...heard];
  // Those heard last at once: on a busy machine a tick may come after the routing daemon has removed the other claim.
  runTakeover(ctx);
  for (const target of openQuestions.targets()) answerOpenQuestions(ctx, target);
  if (!ctx.topology.hasVirtualMac(iface, family)) announceAway(ctx, iface, family);
}

function takeOverAll(ctx: TrackerContext, iface: IfIndex, family: Family): void {
  const hosts = [...ctx.table.on(iface)].filter(
    (host) => familyOf(host.ip) === family && isToTakeOver(host, iface),
  );
  hosts.sort((one, other) => other.lastHeard - one.lastHeard);
  ctx.roles.takeover = [...ctx.roles.takeover, ...hosts];
}

function isToTakeOver({ state, attachment }: Host, iface: IfIndex): boolean {
  return attachment?.iface === iface && (state === 'beneath' || state === 'home');
}

function endTakeover(ctx: TrackerContext, iface: IfIndex, family: Family): void {
  const { roles } = ctx;
  const isOver = (ip: Ip, on: IfIndex | undefined) => on === iface && familyOf(ip) === family;
  roles.takeover = roles.takeover.filter(({ ip, attachment }) => !isOver(ip, attachment?.iface));
  roles.askedByGateway = roles.askedByGateway.filter(([ip, heard]) => !isOver(ip, heard.iface));
}

/** The part of a promotion that is due. */
export function runTakeover(ctx: TrackerContext): void {
  const { roles } = ctx;
  if (roles.takeover.length > 0) {
    const [now, later] = [roles.takeover.slice(0, HOSTS_PER_TICK), roles.takeover.slice(HOSTS_PER_TICK)];
    roles.takeover = later;
    for (const host of now) takeOver(ctx, host);
    return;
  }
  const [now, later] = [
    roles.askedByGateway.slice(0, HOSTS_PER_TICK),
    roles.askedByGateway.slice(HOSTS_PER_TICK),
  ];
  roles.askedByGateway = later;
  runReannouncement(ctx);
  for (const [ip, { iface, mac }] of now) {
    const host = ctx.table.get(ip);
    if (host?.held === true || host?.asking === true || !ctx.topology.isListening(iface, ip)) continue;
    // They were admitted when they were heard; policy may be another one, and the table full by now.
    if (learningRefusal(ctx, iface, ip, mac) !== undefined) continue;
    if (host === undefined && ctx.table.size >= ctx.policy.limits.hosts) continue;
    startProof(ctx, host ?? ctx.create(ip), { iface, mac }, 'took-over');
  }
}

/** When there is more of a promotion to do. */
export function takeoverDeadline({ roles, now }: TrackerContext): number {
  if (roles.takeover.length > 0 || roles.askedByGateway.length > 0) return now;
  return roles.reannouncementDue ?? NEVER;
}

/** It is beneath the claim of another router, and we are active: claimed fresh, and asked. */
export function takeOver(ctx: TrackerContext, host: Host): void {
  const { attachment } = host;
  if (ctx.table.get(host.ip) !== host || attachment === undefined) return;
  if (host.state === 'home') {
    if (ctx.fib.remote(host.ip) !== undefined) checkDespiteRemote(ctx, host);
    return;
  }
  if (host.state !== 'beneath' || host.claim.state !== 'beneath') return;
  // What policy or a hypervisor has ended waits for the 20 ms rule only.
  if (host.claim.withdrawal !== undefined) return;
  claimFresh(ctx, host, 'took-over');
  probeHeld(ctx, host, 'took-over', attachment);
  ctx.touch(host);
}

/**
 * Without a virtual MAC the neighbours of the hosts that are away send to the router that was active. One that this LAN
 * is still to be asked for may be at home.
 */
function announceAway(ctx: TrackerContext, iface: IfIndex, family: Family): void {
  for (const { state, ip } of ctx.table.all())
    if (
      state === 'away' &&
      familyOf(ip) === family &&
      ctx.topology.subnets.isHome(iface, ip) &&
      !ctx.lateStandby.has(ip)
    )
      sendAnnouncement(ctx, iface, ip);
}

/** For people: `10.1.1.1 is on vrrp4-1`. Where it is something else for the second family, that of both. */
export function describeRole(ctx: TrackerContext, iface: IfIndex): string | undefined {
  const [first = 'ipv4', second] = ctx.policy.families;
  const why = describeRoleOf(ctx, iface, first);
  const other = second && ctx.roles.on(iface, second);
  if (second === undefined || other === undefined) return why;
  const isSame =
    other.kind === ctx.roles.on(iface, first)?.kind &&
    ctx.topology.roles.isDeferring(iface, first) === ctx.topology.roles.isDeferring(iface, second);
  const name = second === 'ipv6' ? 'IPv6' : 'IPv4';
  return isSame ? why : `${why}; ${name} is ${other.kind}: ${describeRoleOf(ctx, iface, second)}`;
}

function describeRoleOf(ctx: TrackerContext, iface: IfIndex, family: Family): string | undefined {
  const state = ctx.roles.on(iface, family);
  const holder = ctx.topology.gatewayHolder(iface, family);
  switch (state?.reason) {
    case undefined:
      return undefined;
    case 'alone':
      return ctx.topology.roles.isDeferring(iface, family)
        ? 'no other first-hop router is configured on this LAN, but another machine has its gateway: visitors are left to it'
        : 'no other first-hop router is configured on this LAN';
    case 'anycast':
      return 'all routers of this LAN are active';
    case 'gateway-here':
      return `the gateway address ${gatewayText(holder?.gateway)}is on ${holder?.link.name ?? 'this LAN'}`;
    case 'gateway-not-here':
      return 'no gateway address is on an operational interface of this LAN';
    case 'told':
      return `told to be ${state.kind}`;
    case 'not-told':
      return 'not told yet: marpctl role, POST /v1/role';
  }
}

function gatewayText(gateway: Ip | undefined): string {
  return gateway === undefined ? '' : `${formatIp(gateway)} `;
}
