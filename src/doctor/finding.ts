import type { AlarmView, InterfaceView, StatusView } from '../control/schemas.js';
import type { Link, Route } from '../mobility/events.js';
import type { Ip } from '../wire/addresses.js';

/** What the checks look at, and what they find. */

interface InterfaceSysctl {
  readonly key: string;
  readonly wanted: 0 | 1 | 2;
  /** Whether the larger of `all` and the interface's own value counts, not the own value alone. */
  readonly combined: boolean;
  /** Only on a LAN that has a macvlan, and on the macvlan. */
  readonly withMacvlan: boolean;
  /** What a wrong value does. */
  readonly consequence: string;
}

/** ICMPv6 on an interface, as the kernel counts it. */
export interface Ipv6Facts {
  readonly queriesIn: number;
  readonly advertisementsIn: number;
  readonly advertisementsOut: number;
  readonly redirectsOut: number;
  /** It is a bridge that is the MLD querier of its LAN. */
  readonly isQuerier: boolean;
}

/** Of a machine with a mapping system. */
export interface MappingFacts {
  /** Permission bits; undefined: there is no such file, or we may not look. */
  readonly keyFileMode: number | undefined;
  /** Somebody has UDP port 4342. */
  readonly controlPortTaken: boolean;
  /** Bytes of an inner packet that the underlay leaves. */
  readonly tunnelMtu: number;
  /** Map servers that are reached through the tunnel alone. */
  readonly looped: readonly Ip[];
}

export interface Facts {
  /** undefined: there is no [mapping]. */
  readonly mapping?: MappingFacts;
  /** By path below /proc/sys, such as `net/ipv4/conf/lan0/proxy_arp`; a setting that the kernel lacks is absent. */
  readonly sysctls: ReadonlyMap<string, number>;
  /** What those of a mobility interface must be: the table that marpd sets them by. */
  readonly interfaceSysctls: readonly InterfaceSysctl[];
  /** The same for IPv6. */
  readonly interfaceSysctlsIpv6?: readonly InterfaceSysctl[];
  /** By name of the interface; only while IPv6 is served. */
  readonly ipv6?: ReadonlyMap<string, Ipv6Facts>;
  /** Names of the interfaces with a default route by router advertisement. */
  readonly advertisedUplinks?: readonly string[];
  readonly links: readonly Link[];
  /** Host routes of everybody and all routes of our protocol number, in the tables that the configuration names. */
  readonly routes: readonly Route[];
  /** Interfaces by which a route with a next hop leads; undefined: not looked at. */
  readonly uplinks?: readonly number[];
  /** `ip neigh show proxy` */
  readonly proxyNeighbours: readonly { readonly ip: Ip; readonly dev: string }[];
  /** Effective capabilities of the daemon, such as `cap_net_raw`; undefined when it is not running. */
  readonly capabilities: ReadonlySet<string> | undefined;
  /** Such as `6.1.0`; undefined when there is no `ip`. */
  readonly iproute2Version: string | undefined;
  readonly capBuild: { readonly ok: boolean; readonly reason?: string | undefined };
}

/** The running daemon, as its API shows it. */
export interface DaemonView {
  readonly pid: number;
  readonly configPath: string | null;
  readonly families: StatusView['families'];
  readonly networkNamespace: string | null;
  readonly otherRouters: StatusView['otherRouters'];
  readonly roles: readonly Pick<StatusView['roles'][number], 'interface' | 'state'>[];
  readonly alarms: readonly Pick<AlarmView, 'alarm' | 'ip' | 'mac' | 'interface' | 'message'>[];
  readonly interfaces: readonly Pick<
    InterfaceView,
    'name' | 'pattern' | 'present' | 'up' | 'master' | 'capturing' | 'reason'
  >[];
}

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** What was looked at. */
  readonly check: string;
  readonly message: string;
  /** A command, or the change to make. */
  readonly fix: string | undefined;
}

export const ok = (check: string, message: string): Finding => ({
  level: 'ok',
  check,
  message,
  fix: undefined,
});
export const warning = (check: string, message: string, fix: string): Finding => ({
  level: 'warning',
  check,
  message,
  fix,
});
export const error = (check: string, message: string, fix: string): Finding => ({
  level: 'error',
  check,
  message,
  fix,
});
