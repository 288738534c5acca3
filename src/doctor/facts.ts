import { fileURLToPath } from 'node:url';
import { checkCapBuild } from '../capture/cap-build.js';
import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import type { Facts, Finding, Ipv6Facts } from './finding.js';
import { isQuerier, readIcmpv6Counts } from '../kernel/icmpv6-counts.js';
import { inspect } from '../kernel/inspect.js';
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
  return { ...facts, ipv6, capBuild: checkCapBuild() };
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
