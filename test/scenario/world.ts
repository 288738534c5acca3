import { type Ip, type Ipv4, type Ipv6, type Mac, parseIp, parseMac } from '../../src/wire/addresses.js';
import type { Alarm, ClaimAge, DropReason, Transition } from '../../src/mobility/events.js';

/**
 * The world a roaming scenario is told in. A scenario runs in two of them: the simulator in virtual time, and real
 * namespaces with the real daemon. Everything is asked for and observed as a person with a shell could; what only one
 * of the worlds can do is not in here. Times are ms on the world's own clock.
 */

export type LanName = 'a' | 'b' | 'c';
export type RouterName = 'r1' | 'r2' | 'r3' | 'r4';
/** Where the remote host `far` lives; it runs the routing engine and no marpd. */
export type NodeName = RouterName | 'core';

/**
 * `one`: r1 has lans a and b. `two`: r1 has a, r2 has b. `three`: r1 a, r2 b, r3 c. In all of them the routers have one
 * link each to the core, with `far` behind it. `mixed`, simulated only: r1 has a and b, r2 has c. `virtual-subnet`: as
 * `three`, but lan b has the subnet of lan a, with the same gateway, and all routers learn all hosts (RFC 7814).
 *
 * Several routers on one LAN: `redundant`: r1 and r2 have lan a, r3 has b. `redundant-pairs`: r1 and r2 have a, r3 and
 * r4 have b. On each such LAN one virtual router (VRRP, RFC 9568) has the gateway address, with the same VRID everywhere,
 * and the first of the routers has the highest priority. `two-on-lan`: as `redundant`, but without VRRP and with
 * `role = "alone"`: r1 has the gateway address of lan a, r2 only an address of its own.
 */
export type Layout =
  | 'one'
  | 'two'
  | 'three'
  | 'mixed'
  | 'virtual-subnet'
  | 'redundant'
  | 'redundant-pairs'
  | 'two-on-lan';

export const ROUTERS: Readonly<Record<Layout, Readonly<Partial<Record<RouterName, readonly LanName[]>>>>> = {
  one: { r1: ['a', 'b'] },
  two: { r1: ['a'], r2: ['b'] },
  three: { r1: ['a'], r2: ['b'], r3: ['c'] },
  mixed: { r1: ['a', 'b'], r2: ['c'] },
  'virtual-subnet': { r1: ['a'], r2: ['b'], r3: ['c'] },
  redundant: { r1: ['a'], r2: ['a'], r3: ['b'] },
  'redundant-pairs': { r1: ['a'], r2: ['a'], r3: ['b'], r4: ['b'] },
  'two-on-lan': { r1: ['a'], r2: ['a'], r3: ['b'] },
};

/** LANs whose gateway address belongs to a virtual router. */
export const VIRTUAL_ROUTERS: Readonly<Partial<Record<Layout, readonly LanName[]>>> = {
  redundant: ['a'],
  'redundant-pairs': ['a', 'b'],
};
/** Virtual router identifier, on every LAN of the site. */
export const VRID = 51;

export interface LanSpec {
  readonly network: Ipv4;
  readonly gateway: Ipv4;
  readonly prefixLength: number;
  readonly ipv6: {
    readonly network: Ipv6;
    /** The global address of the router; where all routers share fe80::1, hosts use that. */
    readonly gateway: Ipv6;
    readonly prefixLength: number;
  };
}

function ipv4(text: string): Ipv4 {
  return parseIp(text) as Ipv4;
}

function lanSpec(network: string, gateway: string, prefixLength: number, prefix: string): LanSpec {
  const ipv6 = { network: parseIp(prefix) as Ipv6, gateway: parseIp(`${prefix}1`) as Ipv6, prefixLength: 64 };
  return { network: ipv4(network), gateway: ipv4(gateway), prefixLength, ipv6 };
}

export const LANS: Readonly<Record<LanName, LanSpec>> = {
  a: lanSpec('10.1.1.0', '10.1.1.1', 24, '2001:db8:1::'),
  b: lanSpec('10.2.2.0', '10.2.2.1', 24, '2001:db8:2::'),
  c: lanSpec('10.3.3.0', '10.3.3.1', 24, '2001:db8:3::'),
};
/** The subnet of a LAN. */
export function subnetOn(layout: Layout, lan: LanName): LanSpec {
  return layout === 'virtual-subnet' && lan === 'b' ? LANS.a : LANS[lan];
}

/** A home subnet of the site that no router in the world has connected. */
export const ORPHAN = lanSpec('10.9.9.0', '10.9.9.1', 24, '2001:db8:9::');

/** Home of the crowd: as many hosts as a scenario wants, at home nowhere. */
export const CROWD = lanSpec('10.8.0.0', '10.8.0.1', 16, '2001:db8:8::');

/** Where the remote host is. */
export const FAR = lanSpec('10.99.0.0', '10.99.0.1', 24, '2001:db8:63::');

/** The link-local address of every router of a site that is as marpd recommends it. */
export const SHARED_GATEWAY = parseIp('fe80::1') as Ipv6;

export interface HostSpec {
  readonly ip: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  readonly prefixLength: number;
  readonly ipv6: {
    readonly ips: readonly Ipv6[];
    readonly gateway: Ipv6;
    readonly prefixLength: number;
    /** Its default route came by a router advertisement. */
    readonly isGatewayAdvertised?: boolean;
  };
}

/** Its IPv6 address has the host number of its IPv4 address. */
export function hostSpec(ip: string, mac: string, lan: LanSpec): HostSpec {
  const number = ipv4(ip) & 0xff;
  return {
    ip: ipv4(ip),
    mac: parseMac(mac) as Mac,
    gateway: lan.gateway,
    prefixLength: lan.prefixLength,
    ipv6: { ips: [ipv6In(lan, number)], gateway: SHARED_GATEWAY, prefixLength: lan.ipv6.prefixLength },
  };
}

/** The IPv6 address of this number (below 2^16) on a LAN. */
export function ipv6In({ ipv6 }: LanSpec, number: number): Ipv6 {
  return (ipv6.network.slice(0, 14) + String.fromCharCode(number >>> 8, number & 0xff)) as Ipv6;
}

/** The cast. `far` and the neighbours are in their places from the beginning; the others are plugged by the scenario. */
export const FIXTURES = {
  /** At home on lan a; the one who moves. */
  h: hostSpec('10.1.1.5', '02:00:0a:01:01:05', LANS.a),
  /** At home on lan b. */
  g: hostSpec('10.2.2.5', '02:00:0a:02:02:05', LANS.b),
  /** Of the subnet of lan a, for where that is on two LANs. */
  k: hostSpec('10.1.1.7', '02:00:0a:01:01:07', LANS.a),
  /** Its home is nowhere. */
  v: hostSpec('10.9.9.5', '02:00:0a:09:09:05', ORPHAN),
  neighbourA: hostSpec('10.1.1.9', '02:00:0a:01:01:09', LANS.a),
  neighbourB: hostSpec('10.2.2.9', '02:00:0a:02:02:09', LANS.b),
  far: hostSpec('10.99.0.9', '02:00:0a:63:00:09', FAR),
} as const;
export type Role = keyof typeof FIXTURES;
/** A role of the cast, or a name that the world gave: duplicates, forgers, members of a crowd. */
export type HostName = Role | (string & {});

export type Announce =
  | 'gratuitous-request'
  | 'gratuitous-reply'
  /** Forgets its gateway and asks for it. */
  | 'arp-gateway'
  /** Address conflict detection, RFC 5227 section 2.1: probes, then announcements. */
  | 'probe'
  /** One RFC 5227 probe, then the address is used without a word. */
  | 'probe-once'
  /** The hypervisor's five RARP frames after a migration. */
  | 'rarp'
  | 'silent';

/**
 * Whose questions a host answers. 0: everybody's; 2: those from its own subnet, and those of nobody or from a link-local
 * address, as the kernels of BSD do for IPv6.
 */
export type ArpIgnore = 0 | 2;

export interface PlugOptions {
  /** Default `gratuitous-request`. */
  readonly announce?: Announce;
  /** Whether the host notices that its cable moved; a live-migrated guest does not. Default true. */
  readonly carrierDrop?: boolean;
}

export interface ForgeOptions {
  /** Whose addresses it claims to have. */
  readonly of: HostName;
  readonly announce: 'gratuitous-request' | 'gratuitous-reply' | 'request' | 'probe';
  /** The forger also answers questions for them from then on. */
  readonly answers: boolean;
  /** Forged sender MAC; default a MAC of the forger's own. */
  readonly mac?: Mac;
}

export interface ClaimView {
  readonly ip: Ip;
  readonly lan: LanName;
  readonly age: ClaimAge;
}

/** What a daemon tells of an alarm, and of a host that changed its state. */
export type AlarmView = Pick<
  Alarm,
  'alarm' | 'ip' | 'mac' | 'interface' | 'otherMac' | 'otherInterface' | 'at'
>;
export type TransitionView = Pick<Transition, 'ip' | 'from' | 'to' | 'cause' | 'interface' | 'mac' | 'at'>;

/** A stream of one echo per ms between two hosts; an echo counts when it and its answer would arrive. */
export interface Stream {
  stop(): Promise<{ readonly sent: number; readonly lost: number; readonly longestOutageMs: number }>;
}

export interface Verdict {
  readonly ok: boolean;
  readonly message: string;
}

export interface World {
  readonly layout: Layout;
  readonly settleMs: number;
  readonly keepaliveMs: number;

  /** All addresses of a host, of every family that the world has. */
  addresses(host: HostName): readonly Ip[];
  /** The gateways that a host is configured with, one per family. */
  gateways(host: HostName): readonly Ip[];

  now(): number;
  advance(ms: number): Promise<void>;
  /**
   * What a bound in a scenario means here. Scenarios say those of an idle box and a perfect clock; the simulator takes
   * them at their word, a world on a real machine adds what the machine may be late. `until` does it by itself.
   */
  bound(ms: number): number;
  /**
   * Lets the world go on until the condition holds and returns how long that took; fails after `bound(withinMs)`,
   * but never without a look that began later than that.
   */
  until(what: string, withinMs: number, condition: () => boolean | Promise<boolean>): Promise<number>;
  /** Fails as soon as the condition does not hold within the next `forMs`. */
  always(what: string, forMs: number, condition: () => boolean | Promise<boolean>): Promise<void>;

  /** Plugs a host in, out of where it was. */
  plug(host: HostName, lan: LanName, options?: PlugOptions): Promise<void>;
  unplug(host: HostName): Promise<void>;
  announce(host: HostName, how: Announce): Promise<void>;
  /** Off: the host is silent and deaf while its port stays up. */
  power(host: HostName, on: boolean): Promise<void>;
  /** Linux's setting of that name, on the host's interface, and what BSD does; 0 at the beginning of a scenario. */
  arpIgnore(host: HostName, value: ArpIgnore): Promise<void>;
  /** Another machine with the same address and its own MAC. */
  duplicate(host: HostName, lan: LanName, options?: PlugOptions): Promise<HostName>;
  forge(lan: LanName, options: ForgeOptions): Promise<HostName>;
  /** Hosts 10.8.1.0 (2001:db8:8::100) and up, at home nowhere; not plugged in yet. */
  crowd(count: number): Promise<readonly HostName[]>;

  /** Planned stop of marpd: it withdraws (default) or keeps its routes, and writes its memory. */
  stop(router: RouterName, routes?: 'withdraw' | 'keep'): Promise<void>;
  /** kill -9 of marpd. Kernel and routing engine live on. */
  kill(router: RouterName): Promise<void>;
  start(router: RouterName): Promise<void>;
  /** The router's interface on a LAN: the cable, or the administrator. */
  carrier(router: RouterName, lan: LanName, up: boolean): Promise<void>;
  admin(router: RouterName, lan: LanName, up: boolean): Promise<void>;
  coreLink(router: RouterName, up: boolean): Promise<void>;
  command(
    router: RouterName,
    name: 'prepare' | 'attach' | 'detach' | 'probe' | 'clear',
    subject: { readonly host: HostName; readonly lan: LanName },
  ): Promise<Verdict>;

  /** Where the kernel of a node would send a packet for `ip`: `lan a`, `via core`, or `nowhere`. */
  route(node: NodeName, ip: Ip): Promise<string>;
  claims(router: RouterName): Promise<readonly ClaimView[]>;
  /** Routers that the routing engine believes to have `ip`, as the engine's database says, stuck routes included. */
  announcers(ip: Ip): Promise<readonly RouterName[]>;
  /** Whether an echo from one host to another is answered now; what is missing in a neighbour table gets asked for. */
  echo(from: HostName, to: HostName): Promise<boolean>;
  stream(from: HostName, to: HostName): Promise<Stream>;
  /** Who a host's neighbour table names for an address: a host, a router, or undefined. */
  neighbour(host: HostName, ip: Ip): Promise<string | undefined>;
  conflicts(host: HostName): Promise<number>;
  alarms(router: RouterName): Promise<readonly AlarmView[]>;
  transitions(router: RouterName, ip: Ip): Promise<readonly TransitionView[]>;
  drops(router: RouterName): Promise<ReadonlyMap<DropReason, number>>;
  /**
   * What does not agree after everything went quiet: stuck routes, two announcers, claims that daemon and kernel do not
   * share, neighbour entries left behind. Empty when all is well.
   */
  disagreements(): Promise<readonly string[]>;
}

/** What the marpd of a router says of its role on a LAN (design.md 3.5). */
export interface RoleView {
  readonly role: 'alone' | 'gateway' | 'told' | 'first' | 'second';
  readonly state: 'active' | 'standby';
  /** Whether it insists on a host that another router claims and that answers here. */
  readonly contests: boolean;
  /** Why it is in this state, for people. */
  readonly reason: string;
}

/** What a virtual router watches besides its LAN: without one of them a router is not active. */
export interface Tracking {
  /** The link to the core. Tracked at the beginning of a scenario. */
  readonly uplink?: boolean;
  /** marpd. Not tracked at the beginning. */
  readonly marpd?: boolean;
}

/**
 * A world with several routers on one LAN. `neighbour` names the MAC of a virtual router `vrrp`; `claims` has the routes
 * of both routers, also one that a remote claim hides; `announcers` names only who is announced. `carrier` is one
 * router's cable; the LAN and its hosts stay.
 */
export interface RedundantWorld extends World {
  /** Interval of VRRP advertisements. */
  readonly advertMs: number;
  /** Without an advertisement for so long a router becomes active, at the latest: skew and timers counted in. */
  readonly activeDownMs: number;
  /** A router of a higher priority waits so long, once it could be active, before it takes over from a living one. */
  readonly preemptDelayMs: number;
  /** Without a sign of life for so long a router is dead to the routing engine. */
  readonly routerDeadMs: number;

  /** What its marpd says; undefined while that does not run. */
  role(router: RouterName, lan: LanName): Promise<RoleView | undefined>;
  /** Routers that have the gateway address of the LAN on an operational interface. */
  active(lan: LanName): Promise<readonly RouterName[]>;

  /**
   * Power loss of a router: LAN, link to the core, kernel, routing engine, VRRP and marpd are gone at one moment.
   * `carrier`: whoever is connected to it sees the carrier go; `silent`: nobody sees anything.
   */
  fail(router: RouterName, how: 'carrier' | 'silent'): Promise<void>;
  /** The router boots: nothing of before is left in its kernel. Returns when its marpd runs. */
  boot(router: RouterName): Promise<void>;
  /** Planned switch: this router gets the highest priority, at once. */
  prefer(router: RouterName, lan: LanName): Promise<void>;
  /** Whether VRRP advertisements pass on the LAN; everything else always does. */
  adverts(lan: LanName, pass: boolean): Promise<void>;
  track(lan: LanName, what: Tracking): Promise<void>;
  /** The LAN is torn: these routers and hosts are on the other half, and nobody's carrier goes. None: it is whole. */
  tear(lan: LanName, otherHalf: readonly (RouterName | HostName)[]): Promise<void>;
}
