import { readFileSync, readdirSync } from 'node:fs';
import type { Link, Route } from '../mobility/events.js';
import { type Ip, hostLength } from '../wire/addresses.js';
import { dumpLinks, dumpProxyNeighbours, dumpRoutes } from './ip/dump.js';
import { iproute2Version } from './ip/exec.js';
import { LinkTable } from './watch/links.js';
import { INTERFACE_SYSCTLS, type InterfaceSysctl } from './sysctl.js';

/** One look at this machine, for people who ask why it does not work. It only reads. */
export interface Inspection {
  /** By path below /proc/sys, such as `net/ipv4/conf/lan0/proxy_arp`; a setting that the kernel lacks is absent. */
  readonly sysctls: ReadonlyMap<string, number>;
  /** What those of a mobility interface must be. */
  readonly interfaceSysctls: readonly InterfaceSysctl[];
  readonly links: readonly Link[];
  /** Host routes of everybody and all routes of our protocol number, in the tables asked for. */
  readonly routes: readonly Route[];
  /** Indices of the interfaces by which a route with a next hop leads, in these tables. */
  readonly uplinks: readonly number[];
  /** `ip neigh show proxy` */
  readonly proxyNeighbours: readonly { readonly ip: Ip; readonly dev: string }[];
  /** Effective capabilities of the process, such as `cap_net_raw`; undefined when there is no such process. */
  readonly capabilities: ReadonlySet<string> | undefined;
  /** Such as `6.1.0`; undefined when there is no `ip`. */
  readonly iproute2Version: string | undefined;
}

export interface InspectOptions {
  readonly protocol: number;
  readonly tables: readonly number[];
  /** The process whose capabilities are read, if any. */
  readonly pid: number | undefined;
}

/** Bits of CapEff (linux/capability.h) that marpd has to do with. */
const CAPABILITIES: readonly (readonly [string, number])[] = [
  ['cap_net_admin', 12],
  ['cap_net_raw', 13],
];

/** Facts that cannot be had are absent; without `ip` all but the settings and capabilities are. */
export async function inspect(options: InspectOptions): Promise<Inspection> {
  const version = iproute2Version();
  const missing = version === undefined;
  const links = missing ? [] : await readLinks();
  const [{ routes, uplinks }, proxyNeighbours] = missing
    ? [{ routes: [], uplinks: [] }, []]
    : await Promise.all([readRoutes(options, links), dumpProxyNeighbours().catch(() => [])]);
  return {
    sysctls: readSysctls(),
    interfaceSysctls: INTERFACE_SYSCTLS,
    links,
    routes,
    uplinks,
    proxyNeighbours,
    capabilities: options.pid === undefined ? undefined : readCapabilities(options.pid),
    iproute2Version: version,
  };
}

/** `root`: for tests. */
export function readSysctls(root = '/proc/sys'): Map<string, number> {
  const values = new Map<string, number>();
  const read = (path: string) => {
    try {
      const value = Number(readFileSync(`${root}/${path}`, 'latin1'));
      if (Number.isInteger(value)) values.set(path, value);
    } catch {
      // reported as absent
    }
  };
  read('net/ipv4/ip_forward');
  let names: string[] = [];
  try {
    names = readdirSync(`${root}/net/ipv4/conf`);
  } catch {
    return values;
  }
  for (const name of names) for (const { key } of INTERFACE_SYSCTLS) read(`net/ipv4/conf/${name}/${key}`);
  return values;
}

async function readLinks(): Promise<Link[]> {
  const table = new LinkTable();
  try {
    const begunAt = performance.now();
    table.replace(await dumpLinks(), begunAt);
  } catch {
    return []; // reported as no interfaces
  }
  return [...table.all()];
}

async function readRoutes(
  options: InspectOptions,
  links: readonly Link[],
): Promise<Pick<Inspection, 'routes' | 'uplinks'>> {
  const indices = new Map(links.map((link) => [link.name, link.index]));
  const routes: Route[] = [];
  const uplinks = new Set<number>();
  for (const table of options.tables) {
    const read = dumpRoutes('-4', table, ({ prefix, protocol, metric, type, via, dev }) => {
      const iface = dev === undefined ? undefined : indices.get(dev);
      if (via !== undefined && iface !== undefined) uplinks.add(iface);
      if (protocol !== options.protocol && prefix.length !== hostLength(prefix.ip)) return;
      routes.push({ prefix, table, protocol, metric, type, iface, via });
    });
    // Of a dump that others disturbed, what was read counts.
    await read.catch(() => undefined);
  }
  return { routes, uplinks: [...uplinks] };
}

function readCapabilities(pid: number): Set<string> | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
    return new Set(
      CAPABILITIES.flatMap(([name, bit]) => (((effective >> BigInt(bit)) & 1n) === 1n ? [name] : [])),
    );
  } catch {
    return undefined;
  }
}
