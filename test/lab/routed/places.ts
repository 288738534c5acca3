/**
 * Several first-hop routers around a core, the site of config/frr and config/bird:
 *
 *     net1 10.1.1.0/24 lan0 [R1] core0 ─ 192.0.2.0/30 ─ core0 [R3] srv0 ─ remote 198.51.100.2
 *                            │ core1 ─ 192.0.2.8/30
 *     net2 10.2.2.0/24 lan0 [R2] core0 ─ 192.0.2.4/30 ─ core1 [R3]
 *     net4 10.4.4.0/24 lan0 [R4] core0 ─ 192.0.2.12/30 ─ core2 [R3]      only on request
 *                            │ core1 ─ 192.0.2.20/30
 *     net5 10.5.5.0/24 lan0 [R5] core0 ─ 192.0.2.16/30 ─ core3 [R3]      redundant-site.ts has it
 *
 * With IPv6, the LAN 10.N.N.0/24 is 2001:db8:N::/64 and fe80::1 the gateway on all of them. Router N is 2001:db8:c0::N; on its core
 * links it has fe80::c:N and, for eBGP, 2001:db8:c0:XY::N, where X and Y are the two routers.
 *
 * The mobile host's home is net1; `neighbour` lives there and stays.
 */

export type FirstHop = 'r1' | 'r2' | 'r4' | 'r5';
export type Role = FirstHop | 'r3';

export interface Place {
  readonly segment: string;
  readonly lan: string;
  readonly mac: string;
  readonly id: string;
  /** Its address as R3 sees it, and that of R3 as it sees it. */
  readonly uplink: string;
  readonly core: string;
  /** R3's interface to it. */
  readonly corePort: string;
}

/** Number of a router: `r1` is 1. */
export const numberOf = (role: Role): number => Number(role.slice(1));

/** The subnet in IPv6 of the LAN on which a router has this address. */
const prefixOf = (lan: string): string => twinOf(lan).replace(/::.*/, '::/64');
/** Those of several, each once. */
export const prefixesOf = (lans: readonly string[]): string[] => [...new Set(lans.map(prefixOf))];
/** Gateway on every LAN: all routers have it (docs/routing.md). */
export const SHARED_GATEWAY = 'fe80::1';
/** Address of a router by which the others know it in IPv6. */
export const loopbackOf = (role: Role): string => `2001:db8:c0::${numberOf(role)}`;
/** Its address on the link to another router, with the length of the prefix. */
export function coreAddress(role: Role, other: Role): string {
  const [one, two] = [role, other].sort(
    (a, b) => Number(a === 'r3') - Number(b === 'r3') || (a < b ? -1 : 1),
  );
  return `2001:db8:c0:${numberOf(one as Role)}${numberOf(two as Role)}::${numberOf(role)}/64`;
}
/** True for an address of a home subnet, of which host routes are claims. */
export const isMobile = (ip: string): boolean => /^(10\.|2001:db8:[1245]::)/.test(ip);
/** The router that has this address, a next hop in either family or on the overlay of config/clean-core; undefined for anything else. */
export function routerAt(address: string): Role | undefined {
  const number = /^(?:fe80::c:|2001:db8:c0::|2001:db8:c0:\d\d::|100\.64\.0\.)(\d)$/.exec(address)?.[1];
  if (number !== undefined) return `r${number}` as Role;
  const found = Object.entries(PLACES).find(([, { id, uplink }]) => id === address || uplink === address);
  if (found !== undefined) return found[0] as FirstHop;
  for (const [one, oneIp, other, otherIp] of CROSS_LINKS) {
    if (oneIp.startsWith(`${address}/`)) return one;
    if (otherIp.startsWith(`${address}/`)) return other;
  }
  return undefined;
}

export const PLACES: Readonly<Record<FirstHop, Place>> = {
  r1: {
    segment: 'net1',
    lan: '10.1.1.1/24',
    mac: '02:aa:00:00:00:01',
    id: '192.0.2.251',
    uplink: '192.0.2.1',
    core: '192.0.2.2',
    corePort: 'core0',
  },
  r2: {
    segment: 'net2',
    lan: '10.2.2.1/24',
    mac: '02:aa:00:00:00:02',
    id: '192.0.2.252',
    uplink: '192.0.2.5',
    core: '192.0.2.6',
    corePort: 'core1',
  },
  r4: {
    segment: 'net4',
    lan: '10.4.4.1/24',
    mac: '02:aa:00:00:00:04',
    id: '192.0.2.254',
    uplink: '192.0.2.13',
    core: '192.0.2.14',
    corePort: 'core2',
  },
  r5: {
    segment: 'net5',
    lan: '10.5.5.1/24',
    mac: '02:aa:00:00:00:05',
    id: '192.0.2.250',
    uplink: '192.0.2.17',
    core: '192.0.2.18',
    corePort: 'core3',
  },
};
/** Those of core1, between two first-hop routers. */
export const CROSS_LINKS: readonly (readonly [FirstHop, string, FirstHop, string])[] = [
  ['r1', '192.0.2.9/30', 'r2', '192.0.2.10/30'],
  ['r4', '192.0.2.21/30', 'r5', '192.0.2.22/30'],
];
export const THREE: readonly FirstHop[] = ['r1', 'r2', 'r4'];
export const R3_ID = '192.0.2.253';
export const ROUTER_IDS: Readonly<Record<Role, string>> = {
  r1: PLACES.r1.id,
  r2: PLACES.r2.id,
  r3: R3_ID,
  r4: PLACES.r4.id,
  r5: PLACES.r5.id,
};

export const REMOTE = '198.51.100.2';
export const HOST = '10.1.1.5';
export const NEIGHBOUR = '10.1.1.9';

/** The same in IPv6. */
export const REMOTE_IPV6 = '2001:db8:51::2';
export const HOST_IPV6 = '2001:db8:1::5';
export const NEIGHBOUR_IPV6 = '2001:db8:1::9';

/** The address in IPv6 of the host that has this one: that of 10.N.N.9 is 2001:db8:N::9. */
export function twinOf(address: string): string {
  const [, home, , number] = (address.split('/')[0] as string).split('.').map(Number);
  return `2001:db8:${home}::${(number as number).toString(16)}`;
}

/** A home subnet of mobile hosts. */
export type Subnet = { readonly prefix: string; readonly gateway: string };

/** A LAN with two routers. */
export interface PairedLan {
  readonly segment: string;
  readonly gateway: string;
  /** The first has the higher priority. */
  readonly routers: readonly [FirstHop, FirstHop];
}
export const NET1: PairedLan = { segment: 'net1', gateway: '10.1.1.1', routers: ['r1', 'r2'] };
export const NET4: PairedLan = { segment: 'net4', gateway: '10.2.2.1', routers: ['r4', 'r5'] };
export const PAIR = NET1.routers;
