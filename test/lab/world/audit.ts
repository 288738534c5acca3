import type { HostsPage } from '../../../src/control/schemas.js';
import { type Ip, parseIp } from '../../../src/wire/addresses.js';
import type { KernelRoute, Marpd } from '../kit/marpd.js';
import { type FirstHop, PLACES } from '../routed/places.js';
import type { RoutedSite } from '../routed/routed-site.js';
import { FIRST_HOP, lanOf, placeOf, routerOf } from './names.js';
import type { ClaimView, Layout, RouterName } from '../../scenario/world.js';

const FRESH_METRIC = 1;

export function ageOf(route: KernelRoute): ClaimView['age'] {
  return route.metric === FRESH_METRIC ? 'fresh' : 'settled';
}

/** Routes of ours in the kernel. */
export function claimsIn(site: RoutedSite, layout: Layout, router: RouterName): ClaimView[] {
  const claims: ClaimView[] = [];
  for (const route of site.marpd(FIRST_HOP[router]).routes()) {
    const lan = lanOf(layout, router);
    if (placeOf(layout, router, route.dev) !== `lan ${lan}`) continue;
    claims.push({ ip: parseIp(route.dst) as Ip, lan, age: ageOf(route) });
  }
  return claims;
}

/** What daemons, kernels and routing daemons do not agree on, and what was left behind (`World.disagreements`). */
export async function audit(site: RoutedSite): Promise<string[]> {
  const found: string[] = [];
  const holders = new Map<string, FirstHop[]>();
  for (const role of site.firstHops) {
    const marpd = site.marpd(role);
    const routes = marpd.routes();
    const problems = claimProblems(routes, marpd);
    if (marpd.program?.running === true) problems.push(...(await daemonProblems(marpd, routes)));
    found.push(...problems.map((problem) => `${routerOf(role)}: ${problem}`));
    for (const { dst } of routes) holders.set(dst, [...(holders.get(dst) ?? []), role]);
  }
  const truth = new Map<string, FirstHop>();
  for (const [ip, roles] of holders) {
    if (roles.length > 1) found.push(`${ip}: claimed by ${roles.map(routerOf).join(' and ')}`);
    truth.set(ip, roles[0] as FirstHop);
  }
  return [...found, ...site.stuckRoutes(truth)];
}

/**
 * As `audit`, where two routers on one LAN may both have a route for a host: one of them is announced, and the core sends
 * there. `dead`: routers without power.
 */
export async function auditPair(site: RoutedSite, dead: readonly FirstHop[]): Promise<string[]> {
  const found: string[] = [];
  const claimed = new Map<string, FirstHop[]>();
  for (const role of site.firstHops) {
    if (dead.includes(role)) continue;
    const marpd = site.marpd(role);
    const routes = marpd.routes();
    const problems = claimProblems(routes, marpd);
    if (marpd.program?.running === true) problems.push(...(await daemonProblems(marpd, routes)));
    found.push(...problems.map((problem) => `${routerOf(role)}: ${problem}`));
    for (const { dst } of routes) claimed.set(dst, [...(claimed.get(dst) ?? []), role]);
  }
  const announced = site.announcers('r3');
  for (const ip of new Set([...claimed.keys(), ...announced.keys()])) {
    const by = announced.get(ip) ?? [];
    const having = claimed.get(ip) ?? [];
    if (by.length !== 1 || !having.includes(by[0] as FirstHop))
      found.push(`${ip}: claimed by ${having.join(' and ')}, announced by ${by.join(' and ')}`);
    const via = site.router('r3').json<{ gateway?: string }>('route', 'get', ip)[0]?.gateway;
    if (by.length === 1 && via !== PLACES[by[0] as FirstHop].uplink)
      found.push(`${ip}: announced by ${by[0]}, and the core sends to ${via}`);
    const lans = new Set(having.map((role) => site.place(role).segment));
    if (lans.size > 1) found.push(`${ip}: claimed on two LANs, by ${having.join(' and ')}`);
  }
  return found;
}

function claimProblems(routes: readonly KernelRoute[], marpd: Marpd): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const route of routes) {
    if (seen.has(route.dst)) problems.push(`two claims for ${route.dst} in the kernel`);
    seen.add(route.dst);
    if (ageOf(route) === 'fresh') problems.push(`the claim for ${route.dst} is still fresh`);
  }
  for (const { dst, state } of marpd.neighbours()) {
    if (state.includes('PERMANENT') && !seen.has(dst)) problems.push(`neighbour ${dst} left behind`);
  }
  return problems;
}

async function daemonProblems(marpd: Marpd, routes: readonly KernelRoute[]): Promise<string[]> {
  const problems = await marpd.disagreements();
  const page = await marpd.ctl.get<HostsPage>('/v1/hosts?limit=10000');
  const states = new Map(page?.hosts.map(({ ip, state }) => [ip, state]));
  for (const route of routes) {
    const state = states.get(route.dst);
    if (state === 'beneath' && ageOf(route) === 'settled') continue;
    if (state !== ageOf(route))
      problems.push(`${route.dst} is ${ageOf(route)} in the kernel and ${state} to the daemon`);
  }
  return problems;
}
