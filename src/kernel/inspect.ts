import { readFileSync, readdirSync } from 'node:fs';
import type { Link, Route } from '../mobility/events.js';
import { type Family, type Ip, hostLength } from '../wire/addresses.js';
import { dumpLinks, dumpProxyNeighbours, dumpRoutes } from './ip/dump.js';
import { iproute2Version } from './ip/exec.js';
import { LinkTable } from './watch/links.js';
import { toRoute } from './ip/parse-route.js';
import { AdvertisedUplinks } from './watch/advertised-uplinks.js';
import { INTERFACE_SYSCTLS, INTERFACE_SYSCTLS_IPV6, type InterfaceSysctl, SYSCTLS_OF } from './sysctl.js';

/** One look at this machine, for people who ask why it does not work. It only reads. */
export interface Inspection {
  /** By path below /proc/sys, such as `net/ipv4/conf/lan0/proxy_arp`; a setting that the kernel lacks is absent. */
  readonly sysctls: ReadonlyMap<string, number>;
  /** What those of a mobility interface must be. */
  readonly interfaceSysctls: readonly InterfaceSysctl[];
  /** The same for IPv6, below `net/ipv6/conf/`; none when it is not served. */
  readonly interfaceSysctlsIpv6: readonly InterfaceSysctl[];
  readonly links: readonly Link[];
  /** Host routes of everybody and all routes of our protocol number, in the tables asked for. */
  readonly routes: readonly Route[];
  /** Indices of the interfaces by which a route with a next hop leads, in these tables. */
  readonly uplinks: readonly number[];
  /** `ip neigh show proxy` */
  readonly proxyNeighbours: readonly { readonly ip: Ip; readonly dev: string }[];
  /** Names of the interfaces with a default route by router advertisement. */
  readonly advertisedUplinks: readonly string[];
  /** Effective capabilities of the process, such as `cap_net_raw`; undefined when there is no such process. */
  readonly capabilities: ReadonlySet<string> | undefined;
  /** Such as `6.1.0`; undefined when there is no `ip`. */
  readonly iproute2Version: string | undefined;
}

export interface InspectOptions {
  /** Of others nothing is looked at; IPv4 alone when left out. */
  readonly families?: readonly Family[];
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
  const families = options.families ?? ['ipv4'];
  const links = missing ? [] : await readLinks(families);
  const [{ routes, uplinks, advertisedUplinks }, proxyNeighbours] = missing
    ? [{ routes: [], uplinks: [], advertisedUplinks: [] }, []]
    : await Promise.all([
        readRoutes(options, families, links),
        dumpProxyNeighbours(families).catch(() => []),
      ]);
  return {
    sysctls: readSysctls('/proc/sys', families),
    interfaceSysctls: INTERFACE_SYSCTLS,
    interfaceSysctlsIpv6: families.includes('ipv6') ? INTERFACE_SYSCTLS_IPV6 : [],
    links,
    routes,
    uplinks,
    advertisedUplinks,
    proxyNeighbours,
    capabilities: options.pid === undefined ? undefined : readCapabilities(options.pid),
    iproute2Version: version,
  };
}

/** `root`: for tests. */
export function readSysctls(root = '/proc/sys', families: readonly Family[] = ['ipv4']): Map<string, number> {
  const values = new Map<string, number>();
  const read = (path: string) => {
    try {
      const value = Number(readFileSync(`${root}/${path}`, 'latin1'));
      if (Number.isInteger(value)) values.set(path, value);
    } catch {
      // reported as absent
    }
  };
  for (const family of families) {
    const { conf, forward, ofInterfaces } = SYSCTLS_OF[family];
    read(forward);
    let names: string[] = [];
    try {
      names = readdirSync(`${root}/${conf}`);
    } catch {
      continue;
    }
    for (const name of names) for (const { key } of ofInterfaces) read(`${conf}/${name}/${key}`);
  }
  return values;
}

async function readLinks(families: readonly Family[]): Promise<Link[]> {
  const table = new LinkTable(families);
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
  families: readonly Family[],
  links: readonly Link[],
): Promise<Pick<Inspection, 'routes' | 'uplinks' | 'advertisedUplinks'>> {
  const indices = new Map(links.map((link) => [link.name, link.index]));
  const advertised = new AdvertisedUplinks();
  const routes: Route[] = [];
  const uplinks = new Set<number>();
  for (const family of families) {
    for (const table of options.tables) {
      const read = dumpRoutes(family, table, (line) => {
        const { prefix, protocol, via, dev } = line;
        const iface = dev === undefined ? undefined : indices.get(dev);
        if (via !== undefined && iface !== undefined) uplinks.add(iface);
        const route = toRoute(line, iface, (name) => indices.get(name));
        advertised.note({ kind: 'route', change: 'add', route, initial: true });
        if (protocol === options.protocol || prefix.length === hostLength(prefix.ip)) routes.push(route);
      });
      // Of a dump that others disturbed, what was read counts.
      await read.catch(() => undefined);
    }
  }
  const isAdvertised = advertised.all();
  return {
    routes,
    uplinks: [...uplinks],
    advertisedUplinks: links.filter(({ index }) => isAdvertised.has(index)).map(({ name }) => name),
  };
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
