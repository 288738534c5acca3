import { type HostFilter, type HostQuery, type MacQuery, compareIps, pageOf } from './paging.js';
import { ipOrNull, macOrNull } from './records.js';
import type {
  ForeignRouteView,
  HostView,
  InterfaceView,
  MacView,
  MappingView,
  RoleView,
  StatusView,
} from './schemas.js';
import type { MappingStatus } from '../mapping/mapping.js';
import type { RegistrationState } from '../mapping/client/registration.js';
import type { Role } from '../mobility/host/machines/claim.js';
import type { Host } from '../mobility/host/host.js';
import type { InterfaceRule, Policy } from '../mobility/policy.js';
import type { HostTracker } from '../mobility/tracker.js';
import {
  type Family,
  type Ip,
  type Mac,
  contains,
  familyOf,
  formatIp,
  formatMac,
  formatPrefix,
} from '../wire/addresses.js';

/** The tracker as the control API shows it: text and milliseconds, no references into its state. */

export function viewHost(router: HostTracker, host: Readonly<Host>, now: number): HostView {
  const remote = router.remote(host.ip);
  const nameOf = (iface: number | undefined) =>
    (iface === undefined ? undefined : router.link(iface)?.name) ?? null;
  return {
    ip: formatIp(host.ip),
    mac: macOrNull(host.attachment?.mac ?? host.candidates[0]?.attachment.mac),
    interface: host.interface ?? nameOf(host.candidates[0]?.attachment.iface),
    state: host.state,
    cause: host.cause,
    sinceMs: now - host.since,
    lastHeardMs: Number.isFinite(host.lastHeard) ? now - host.lastHeard : null,
    rttMs: host.rttMs ?? null,
    deadlineMs: host.endsAt === undefined ? null : Math.max(0, host.endsAt - now),
    nextProbeMs: nextProbeMs(host, now),
    remote:
      remote === undefined
        ? null
        : {
            table: remote.route.table,
            protocol: remote.route.protocol,
            metric: remote.route.metric,
            via: ipOrNull(remote.route.via),
            interface: nameOf(remote.route.iface),
            sinceMs: now - remote.since,
          },
    foreignRoute: viewForeignRoute(router, host.ip),
    contest: viewContest(router, host, now),
  };
}

/** When a lost host is asked again where it was last. */
function nextProbeMs({ recovery, state }: Readonly<Host>, now: number): number | null {
  if (recovery.reprobing === undefined || state !== 'remembered') return null;
  return Math.max(0, recovery.reprobing.at - now);
}

export function viewForeignRoute(router: HostTracker, ip: Ip): ForeignRouteView | null {
  const route = router.foreignRoute(ip);
  if (route === undefined) return null;
  const { table, protocol, metric, via, iface } = route;
  const name = iface === undefined ? undefined : router.link(iface)?.name;
  return { table, protocol, metric, via: ipOrNull(via), interface: name ?? null };
}

export function viewRole(router: HostTracker, iface: number, now: number): RoleView | undefined {
  const view = router.roleOn(iface);
  const name = router.link(iface)?.name;
  if (view === undefined || name === undefined) return undefined;
  const { since, ...rest } = view;
  return { interface: name, ...rest, sinceMs: now - since };
}

export function viewRoles(router: HostTracker, now: number): RoleView[] {
  return [...router.links()].flatMap(({ index }) => viewRole(router, index, now) ?? []);
}

/** The incumbent's side and the other's; behind another router only the interface `remote` is known of it. */
function viewContest(router: HostTracker, host: Readonly<Host>, now: number): HostView['contest'] {
  const { contest, attachment } = host;
  if (contest.kind === 'none' || !host.isContested(now)) return null;
  const nameOf = (iface: number) => router.link(iface)?.name ?? null;
  const { challenger } = contest;
  const here = { mac: macOrNull(attachment?.mac), interface: host.interface ?? null };
  const there =
    challenger === undefined
      ? { mac: null, interface: 'remote' }
      : { mac: formatMac(challenger.mac), interface: nameOf(challenger.iface) };
  const remote = { mac: null, interface: 'remote' };
  const [incumbent, other] = host.held ? [here, there] : [remote, here];
  return {
    count: contest.times.length,
    frozenForMs: contest.kind === 'frozen' && contest.until > now ? contest.until - now : null,
    mac: incumbent.mac,
    interface: incumbent.interface,
    otherMac: other.mac,
    otherInterface: other.interface,
  };
}

export function countRoles(router: HostTracker): Record<Role, number> {
  const claims = { challenger: 0, incumbent: 0 };
  for (const [, { claim }] of router.hosts())
    if (claim.state === 'fresh' || claim.state === 'settled') claims[claim.role]++;
  return claims;
}

export function countFamilies(
  router: HostTracker,
  families: readonly Family[],
): { readonly family: Family; readonly hosts: number }[] {
  const counts = { ipv4: 0, ipv6: 0 };
  for (const [ip] of router.hosts()) counts[familyOf(ip)]++;
  return families.map((family) => ({ family, hosts: counts[family] }));
}

export function countFrozen(router: HostTracker, now: number): number {
  let count = 0;
  for (const [, { contest }] of router.hosts()) if (contest.kind === 'frozen' && contest.until > now) count++;
  return count;
}

export function pageHosts(
  router: HostTracker,
  query: HostQuery,
  now: number,
): { hosts: HostView[]; next: Ip | undefined; total: number } {
  const { items, next, total } = pageOf(router.hosts(), accepting(query), query, compareIps);
  return { hosts: items.map((host) => viewHost(router, host, now)), next, total };
}

function accepting({ state, prefix, mac, interface: name }: HostFilter): (host: Readonly<Host>) => boolean {
  return (host) =>
    (state === undefined || state.has(host.state)) &&
    (prefix === undefined || contains(prefix, host.ip)) &&
    (name === undefined || host.interface === name) &&
    (mac === undefined || host.attachment?.mac === mac);
}

/** The machines that have an address which the query matches, each with all its addresses, of both families. */
export function pageMacs(
  router: HostTracker,
  query: MacQuery,
  now: number,
): { macs: MacView[]; next: Mac | undefined; total: number } {
  const machines = new Map<Mac, Machine>();
  for (const [, host] of router.hosts()) {
    const mac = host.attachment?.mac;
    if (mac === undefined) continue;
    const machine = machines.get(mac);
    if (machine === undefined) machines.set(mac, { mac, hosts: [host] });
    else machine.hosts.push(host);
  }
  const accepts = accepting(query);
  const matches = ({ hosts }: Machine) => hosts.some(accepts);
  const { items, next, total } = pageOf(machines, matches, query, (a, b) => a - b);
  const macs = items.map((machine) => viewMac(router, machine, now));
  return { macs, next, total };
}

interface Machine {
  readonly mac: Mac;
  readonly hosts: Readonly<Host>[];
}

function viewMac(router: HostTracker, { mac, hosts }: Machine, now: number): MacView {
  const sorted = hosts.sort((a, b) => compareIps(a.ip, b.ip));
  return { mac: formatMac(mac), hosts: sorted.map((host) => viewHost(router, host, now)) };
}

/** What the capture knows of one interface. */
export interface CaptureView {
  readonly capturing: boolean;
  readonly reason: string | undefined;
  readonly frames: number;
}

/** Interfaces that a rule names, enslaved ones included, and configured names that do not exist. */
export function viewInterfaces(
  router: HostTracker,
  policy: Policy,
  captureOf: (iface: number) => CaptureView,
): InterfaceView[] {
  const views: InterfaceView[] = [];
  for (const link of router.links()) {
    const rule = router.ruleFor(link.name);
    if (rule === undefined) continue;
    const { capturing, reason, frames } = captureOf(link.index);
    views.push({
      name: link.name,
      ...viewRule(rule),
      present: true,
      index: link.index,
      mac: formatMac(link.mac),
      type: link.type ?? null,
      up: link.up,
      carrier: link.carrier,
      master: link.master === undefined ? null : (router.link(link.master)?.name ?? String(link.master)),
      addresses: link.addresses.map(formatPrefix),
      rpFilter: link.rpFilter,
      capturing,
      reason: reason ?? null,
      hosts: router.countOn(link.index),
      roleState: router.roleOn(link.index)?.state ?? null,
      frames,
    });
  }
  for (const rule of policy.interfaces) {
    const glob = /[*?]/.test(rule.pattern);
    if (glob || views.some((view) => view.pattern === rule.pattern)) continue;
    views.push({
      name: rule.pattern,
      ...viewRule(rule),
      present: false,
      index: null,
      mac: null,
      type: null,
      up: false,
      carrier: false,
      master: null,
      addresses: [],
      rpFilter: null,
      capturing: false,
      reason: 'no such interface',
      hosts: 0,
      roleState: null,
      frames: 0,
    });
  }
  return views.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function viewRule(rule: InterfaceRule) {
  const { pattern, learn, prove, keepaliveMs, holdMs, maxHosts, role, peers } = rule;
  return { pattern, learn, prove, keepaliveMs, holdMs, maxHosts, role, peers: peers.map(formatIp) };
}

type ChildView = StatusView['capture']['children'][number];

/** A process whose memory cannot be read has just ended. */
export function viewChildren(
  children: readonly (Omit<ChildView, 'rssBytes'> & { readonly rssBytes: number | undefined })[],
): ChildView[] {
  return children.map(({ pid, interfaces, rssBytes }) => ({
    pid,
    interfaces,
    rssBytes: rssBytes ?? null,
  }));
}

/** `status` undefined: it is being started. */
export function viewMapping(
  status: MappingStatus | undefined,
  tunnel: MappingView['tunnel'] | undefined,
): MappingView {
  const cache = [...(status?.cache ?? [])].sort(
    (a, b) => compareIps(a.prefix.ip, b.prefix.ip) || a.prefix.length - b.prefix.length,
  );
  return {
    servers: (status?.servers ?? []).map(({ server, state }, at) => {
      const counts = status?.registrations[at];
      const of = (name: RegistrationState) => counts?.get(name) ?? 0;
      const registrations = {
        unsent: of('unsent'),
        asking: of('asking'),
        held: of('held'),
        refused: of('refused'),
        lost: of('lost'),
        withdrawing: of('withdrawing'),
      };
      return { server, state, registrations };
    }),
    mappings: cache.map(({ prefix, rloc, state }) => ({
      prefix: formatPrefix(prefix),
      rloc: formatIp(rloc),
      state,
    })),
    drops: [...(status?.drops ?? [])].map(([reason, count]) => ({ reason, count })),
    mapServer: status?.server ?? null,
    tunnel: tunnel ?? null,
  };
}
