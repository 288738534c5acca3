import { type FirstHop, PLACES, REMOTE, type Role, type Subnet } from '../routed/places.js';
import { VIRTUAL_PORT } from '../routed/virtual-router.js';
import { formatIp } from '../../../src/wire/addresses.js';
import {
  FIXTURES,
  CROWD,
  type HostSpec,
  type LanName,
  type Layout,
  type LanSpec,
  type NodeName,
  ORPHAN,
  ROUTERS,
  type RouterName,
} from '../../scenario/world.js';

/**
 * The names of the scenarios and those of the lab's site (test/lab/routed/places.ts). Two things differ besides names:
 * lan c is 10.4.4.0/24 there, where nobody of the cast is at home; and `far` has the address of the site's remote host.
 */

export const ROLE: Readonly<Record<NodeName, Role>> = {
  r1: 'r1',
  r2: 'r2',
  r3: 'r4',
  r4: 'r5',
  core: 'r3',
};
export const FIRST_HOP: Readonly<Record<RouterName, FirstHop>> = { r1: 'r1', r2: 'r2', r3: 'r4', r4: 'r5' };
export const ROUTER_NAMES: readonly RouterName[] = ['r1', 'r2', 'r3', 'r4'];

/** The interfaces of every first-hop router. */
export const LAN_PORT = 'lan0';
export const UPLINK = 'core0';
export function routerOf(role: FirstHop): RouterName {
  return ROUTER_NAMES.find((name) => FIRST_HOP[name] === role) as RouterName;
}

/** Layouts with several routers on one LAN. */
export type SharedLayout = 'redundant' | 'redundant-pairs' | 'two-on-lan';
const SHARED: ReadonlySet<Layout> = new Set<SharedLayout>(['redundant', 'redundant-pairs', 'two-on-lan']);
export const isShared = (layout: Layout): layout is SharedLayout => SHARED.has(layout);

/** Each router has one LAN. */
export function lanOf(layout: Layout, router: RouterName): LanName {
  return ROUTERS[layout][router]?.[0] as LanName;
}

/** The first of those that have the LAN. */
export function routerAt(layout: Layout, lan: LanName): RouterName {
  return ROUTER_NAMES.find((name) => lanOf(layout, name) === lan) as RouterName;
}

/** @throws for a LAN of another router */
export function mustHave(layout: Layout, router: RouterName, lan: LanName): void {
  if (lanOf(layout, router) !== lan) throw new Error(`${router} has no lan ${lan}`);
}

/** `lan a`, as `World.route` says it, of a router's interface. */
export function placeOf(layout: Layout, router: RouterName, dev: string): string {
  if (dev === LAN_PORT || dev === VIRTUAL_PORT) return `lan ${lanOf(layout, router)}`;
  if (dev === UPLINK) return 'via core';
  throw new Error(`${router} has an interface ${dev} that no scenario knows`);
}

/** `via r2`, of a next hop of the core. */
export function nextHopOf(gateway: string | undefined): string {
  const router = ROUTER_NAMES.find((name) => PLACES[FIRST_HOP[name]].uplink === gateway);
  if (router === undefined) throw new Error(`the core sends to ${gateway}, which no scenario knows`);
  return `via ${router}`;
}

export function subnetOf(lan: LanSpec): Subnet {
  return { prefix: `${formatIp(lan.network)}/${lan.prefixLength}`, gateway: formatIp(lan.gateway) };
}

/** Home subnets that no router of the site has. */
export const ORPHANS: readonly Subnet[] = [ORPHAN, CROWD].map(subnetOf);

export function addressOf(spec: HostSpec): string {
  return spec === FIXTURES.far ? REMOTE : formatIp(spec.ip);
}
