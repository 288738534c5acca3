import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkCapBuild } from '../capture/cap-build.js';
import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import type { MappingConfig } from '../config/mapping.js';
import type { Facts, Finding, Ipv6Facts, MappingFacts } from './finding.js';
import { isQuerier, readIcmpv6Counts } from '../kernel/icmpv6-counts.js';
import { inspect } from '../kernel/inspect.js';
import { measure } from '../kernel/tunnel/device.js';
import { readTables } from '../kernel/tables.js';
import { runInNamespaceOf } from '../kernel/namespace.js';

/** Looks at this machine. `pid` is the daemon's, when it runs. */
export async function gatherFacts(config: Config | undefined, pid: number | undefined): Promise<Facts> {
  const router = config?.router;
  const tables =
    router === undefined ? [254] : [router.freshTable, router.settledTable, ...router.watchTables];
  const facts = await inspect({
    families: config?.policy.families ?? ['ipv4'],
    protocol: router?.protocol ?? 44,
    tables: [...new Set(tables)],
    pid,
  });
  const ipv6 = config?.policy.families.includes('ipv6') === true ? readIpv6(facts.links) : new Map();
  const mapping = config?.mapping && (await readMapping(config.mapping));
  return { ...facts, ipv6, ...(mapping !== undefined && { mapping }), capBuild: checkCapBuild() };
}

const CONTROL_PORT = 4342;

async function readMapping(mapping: MappingConfig): Promise<MappingFacts> {
  const { keyFile, encapsulation, instance: vni, rlocs, servers } = mapping;
  const others = servers.filter((ip) => !rlocs.includes(ip));
  const tunnel = {
    ...mapping,
    vni,
    encapsulation: encapsulation === 'none' ? ('vxlan-gpe' as const) : encapsulation,
  };
  const { mtu: tunnelMtu, looped } = await measure(tunnel, others);
  const keyFileMode = statSync(keyFile, { throwIfNoEntry: false })?.mode;
  return {
    keyFileMode: keyFileMode === undefined ? undefined : keyFileMode & 0o777,
    controlPortTaken: ['/proc/net/udp', '/proc/net/udp6'].some((path) => hasPort(path, CONTROL_PORT)),
    tunnelMtu,
    looped,
  };
}

/** `sl local_address ...`: the port is in hexadecimal behind a colon. */
function hasPort(path: string, port: number): boolean {
  try {
    const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    return readFileSync(path, 'latin1')
      .split('\n')
      .some((line) => line.trim().split(/\s+/)[1]?.endsWith(suffix));
  } catch {
    return false;
  }
}

function readIpv6(links: readonly Link[]): Map<string, Ipv6Facts> {
  const found = new Map<string, Ipv6Facts>();
  for (const { name } of links) {
    const counts = readIcmpv6Counts(name);
    if (counts !== undefined) found.set(name, { ...counts, isQuerier: isQuerier(name) });
  }
  return found;
}

/** For `marpctl report`. */
export function machineTables(): ReturnType<typeof readTables> {
  return readTables();
}

const MARPCTL = fileURLToPath(new URL('../ctl.js', import.meta.url));

/**
 * What the doctor finds in the network namespace of a process: the settings, links and routes of ours say nothing about
 * a daemon in another one. A string says why it could not look there.
 */
export function findingsInNamespaceOf(pid: number, args: readonly string[]): Finding[] | string {
  const { status, stdout, stderr } = runInNamespaceOf(pid, MARPCTL, ['doctor', '--json', ...args]);
  try {
    return (JSON.parse(stdout) as { findings: Finding[] }).findings;
  } catch {
    return stderr.trim().split('\n')[0] || `nsenter ended with status ${status}`;
  }
}
