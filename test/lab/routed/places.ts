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

export const REMOTE = '198.51.100.2';
export const HOST = '10.1.1.5';
export const NEIGHBOUR = '10.1.1.9';

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
