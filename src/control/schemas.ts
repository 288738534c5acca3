import * as z from 'zod';
import { ROUTER_ROLES } from '../mobility/events.js';
import { ROLE_KINDS, ROLE_REASONS } from '../mobility/events.js';
import { ALARMS, CAUSES, DROP_REASONS, HOST_STATES } from '../mobility/events.js';
import { MAPPING_DROPS } from '../mapping/actions.js';
import { SERVER_STATES } from '../mapping/client/client.js';
import { REGISTRATION_STATES } from '../mapping/client/registration.js';

/**
 * Answers of the control API. Addresses are text, times are milliseconds, what is not known is null: the shape of an
 * answer does not depend on its content.
 */

const ms = z.number();
const ipAddress = z.string();
const macAddress = z.string();
const count = z.int().min(0);
const hostState = z.enum(HOST_STATES);
const cause = z.enum(CAUSES);
const dropReason = z.enum(DROP_REASONS);

const foreignRoute = z.object({
  table: z.int(),
  protocol: z.int(),
  metric: z.int(),
  via: ipAddress.nullable(),
  interface: z.string().nullable(),
});
export type ForeignRouteView = z.infer<typeof foreignRoute>;

export const hostView = z.object({
  ip: ipAddress,
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  state: hostState,
  /** Why it entered this state. */
  cause: cause.nullable(),
  /** Time in this state. */
  sinceMs: ms,
  /** Time since its last frame. */
  lastHeardMs: ms.nullable(),
  /** Smoothed round trip of our questions. */
  rttMs: ms.nullable(),
  /** Time until this state ends by itself. */
  deadlineMs: ms.nullable(),
  /** Time until a lost host is asked again where it was last. */
  nextProbeMs: ms.nullable(),
  /** Another router's route for the host. */
  remote: z
    .object({
      table: z.int(),
      protocol: z.int(),
      metric: z.int(),
      via: ipAddress.nullable(),
      interface: z.string().nullable(),
      sinceMs: ms,
    })
    .nullable(),
  /** A host route of somebody else that is no router's claim: an administrator's, an agent's. */
  foreignRoute: foreignRoute.nullable(),
  /** Two places claim the host; `mac` and `interface` are the incumbent's. */
  contest: z
    .object({
      /** Contested moves within the last 180 s (RFC 7432 section 15.1). */
      count,
      frozenForMs: ms.nullable(),
      mac: macAddress.nullable(),
      interface: z.string().nullable(),
      otherMac: macAddress.nullable(),
      /** An interface name, or `remote` for another router. */
      otherInterface: z.string().nullable(),
    })
    .nullable(),
});
export type HostView = z.infer<typeof hostView>;

export const hostsPage = z.object({
  /** Hosts that match, on all pages. */
  total: count,
  hosts: z.array(hostView),
  /** Value of `after` for the next page. */
  next: z.string().nullable(),
});
export type HostsPage = z.infer<typeof hostsPage>;

/** A machine: all addresses that are known of one MAC, of both families. */
export const macView = z.object({
  mac: macAddress,
  /** IPv4 before IPv6. */
  hosts: z.array(hostView),
});
export type MacView = z.infer<typeof macView>;

export const macsPage = z.object({
  /** MACs that match, on all pages. */
  total: count,
  macs: z.array(macView),
  /** Value of `after` for the next page. */
  next: z.string().nullable(),
});
export type MacsPage = z.infer<typeof macsPage>;

/** What this router is on a LAN that may have several first-hop routers. */
export const roleView = z.object({
  interface: z.string(),
  /** As configured. */
  role: z.enum(ROUTER_ROLES),
  /** active: it answers, announces and repairs. */
  state: z.enum(ROLE_KINDS),
  /** Whether a host that is alive here is claimed whatever other routers claim. */
  contests: z.boolean(),
  reason: z.enum(ROLE_REASONS),
  /** The reason, for people. */
  why: z.string(),
  /** Time in this state. */
  sinceMs: ms,
});
export type RoleView = z.infer<typeof roleView>;

export const interfaceView = z.object({
  name: z.string(),
  /** The configured name or glob that matches it. */
  pattern: z.string(),
  /** False for a configured name that the kernel does not know; the rest is then empty. */
  present: z.boolean(),
  index: z.int().nullable(),
  mac: macAddress.nullable(),
  type: z.string().nullable(),
  up: z.boolean(),
  carrier: z.boolean(),
  /** Bridge or bond it is enslaved to; then it is no mobility interface. */
  master: z.string().nullable(),
  addresses: z.array(z.string()),
  rpFilter: z.int().nullable(),
  capturing: z.boolean(),
  /** Why it is not captured. */
  reason: z.string().nullable(),
  learn: z.enum(['foreign', 'all']),
  prove: z.enum(['before', 'after', 'never']),
  keepaliveMs: ms,
  holdMs: ms,
  hosts: count,
  maxHosts: count,
  role: z.enum(ROUTER_ROLES),
  /** null while it is no mobility interface. */
  roleState: z.enum(ROLE_KINDS).nullable(),
  /** Addresses of the other first-hop routers of the LAN. */
  peers: z.array(ipAddress),
  frames: count,
});
export type InterfaceView = z.infer<typeof interfaceView>;

/** ISO 8601 with microseconds: the router's clock, to be laid beside tcpdump's. */
const time = z.string();

export const alarmView = z.object({
  alarm: z.enum(ALARMS),
  /** When it was raised last. */
  time,
  agoMs: ms,
  count,
  ip: ipAddress.nullable(),
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  otherMac: macAddress.nullable(),
  otherInterface: z.string().nullable(),
  message: z.string(),
});
export type AlarmView = z.infer<typeof alarmView>;

export const statusView = z.object({
  /** The router's host name. */
  hostname: z.string(),
  version: z.string(),
  pid: z.int(),
  /** ISO 8601. */
  startedAt: z.string(),
  uptimeMs: ms,
  /** Absolute path of the configuration file, null with `--interface`. */
  configPath: z.string().nullable(),
  /** Inode of the network namespace that it runs in (namespaces(7)). */
  networkNamespace: z.string().nullable(),
  /** Whose hosts are served. */
  families: z.array(z.enum(['ipv4', 'ipv6'])),
  lastReload: z.object({ agoMs: ms, ok: z.boolean(), message: z.string() }).nullable(),
  protocol: z.int(),
  freshTable: z.int(),
  settledTable: z.int(),
  watchTables: z.array(z.int()),
  freshMetric: z.int(),
  settledMetric: z.int(),
  hosts: z.record(hostState, count),
  interfaces: z.object({ present: count, capturing: count }),
  capture: z.object({
    children: z.array(z.object({ pid: z.int(), interfaces: count, rssBytes: count.nullable() })),
    restarts: count,
    frames: count,
  }),
  kernel: z.object({ pending: count, commands: count, refused: count, restarts: count }),
  eventLoopLagMs: ms,
  rssBytes: count,
  /** Most recent first; one entry per kind, address and place. */
  alarms: z.array(alarmView),
  /** What this router is on each LAN, and since when and why. */
  roles: z.array(roleView),
  /** Other machines that answer for a gateway address of the configuration now; `interface` is where. */
  otherRouters: z.array(
    z.object({ interface: z.string().nullable(), ip: ipAddress, mac: macAddress, sinceMs: ms }),
  ),
});
export type StatusView = z.infer<typeof statusView>;

export const whyView = z.object({
  ip: ipAddress,
  /** One sentence for a person. */
  conclusion: z.string(),
  host: hostView.nullable(),
  foreignRoute: foreignRoute.nullable(),
  /** Of the LAN where the host is or was last. */
  role: roleView.nullable(),
  /** Oldest first. */
  records: z.array(
    z.object({
      time,
      agoMs: ms,
      kind: z.enum(['evidence', 'transition', 'drop', 'alarm', 'answered']),
      /** How often in a row. */
      times: count,
      text: z.string(),
    }),
  ),
});
export type WhyView = z.infer<typeof whyView>;

export const dropView = z.object({
  reason: dropReason,
  count,
  /** When the last one came. */
  time: time.nullable(),
  agoMs: ms.nullable(),
  /** Of the last one. */
  ip: ipAddress.nullable(),
  mac: macAddress.nullable(),
  interface: z.string().nullable(),
  meaning: z.string(),
});
export type DropView = z.infer<typeof dropView>;

/** Alarms, and what each kind means. */
export const alarmsAnswer = z.object({
  alarms: z.array(alarmView),
  kinds: z.array(z.object({ alarm: z.enum(ALARMS), meaning: z.string(), remedy: z.string() })),
});
export type AlarmsAnswer = z.infer<typeof alarmsAnswer>;

export const configView = z.object({
  /** Absolute path of the file, null with `--interface`. */
  path: z.string().nullable(),
  /** The keys that are set, in the shape and spelling of the file. */
  values: z.record(z.string(), z.unknown()),
  /** Keys of a reloaded file that take effect only after a restart. */
  needsRestart: z.array(z.string()),
});
export type ConfigView = z.infer<typeof configView>;

/** The mapping system. */
export const mappingView = z.object({
  /** None until the clock is right. */
  servers: z.array(
    z.object({
      server: ipAddress,
      state: z.enum(SERVER_STATES),
      /** Ours at this map-server, by state. One that is gone is not counted. */
      registrations: z.record(z.enum(REGISTRATION_STATES).exclude(['gone']), count),
    }),
  ),
  /** Where hosts and home prefixes of other routers are. */
  mappings: z.array(z.object({ prefix: z.string(), rloc: ipAddress, state: z.enum(['published', 'stale']) })),
  /** Messages that were not acted on; reasons without any are left out. */
  drops: z.array(z.object({ reason: z.enum(MAPPING_DROPS), count })),
  /** The map-server of this router. */
  mapServer: z
    .object({
      mappings: count,
      /** Publications that a router has not acknowledged yet. */
      unacknowledged: count,
    })
    .nullable(),
  /** Null with encapsulation = "none". */
  tunnel: z
    .object({
      wanted: count,
      installed: count,
      /** Routes that the kernel refused since the last comparison. */
      refused: count,
      /** Bytes of a packet in the tunnel. */
      mtu: count,
      /** Times that the device had to be made again. */
      recreated: count,
    })
    .nullable(),
});
export type MappingView = z.infer<typeof mappingView>;

export const interfacesAnswer = z.object({ interfaces: z.array(interfaceView) });
export const dropsAnswer = z.object({ drops: z.array(dropView) });

export interface CommandResult {
  readonly ok: boolean;
  /** For people: what was done, or why not. */
  readonly message: string;
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string };
}
