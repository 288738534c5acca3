import { fileURLToPath } from 'node:url';
import { checkCapBuild } from '../capture/cap-build.js';
import type { Config } from '../config/config.js';
import type { Facts, Finding } from './finding.js';
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
  return { ...facts, capBuild: checkCapBuild() };
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
