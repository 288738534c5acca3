import { existsSync } from 'node:fs';
import { type Config, ConfigError, configForInterfaces, loadConfig } from '../config/config.js';
import { type ControlClient, Unreachable } from '../control/client.js';
import { diagnose, diagnoseFromOutside } from '../doctor/checks.js';
import type { DaemonView, Finding } from '../doctor/finding.js';
import { findingsInNamespaceOf, gatherFacts } from '../doctor/facts.js';
import { networkNamespaceOf } from '../system/network-namespace.js';

const DEFAULT_CONFIG = '/etc/marpd/marpd.toml';

/** What `marpctl doctor` finds. `configPath` undefined: the configuration of the daemon, or the usual file. */
export async function examine(client: ControlClient, configPath: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  let unreachableReason: string | undefined;
  let daemon: DaemonView | undefined;
  try {
    daemon = { ...(await client.status()), interfaces: await client.interfaces() };
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    unreachableReason = error.message;
  }
  if (daemon !== undefined && isElsewhere(daemon)) {
    const { pid, networkNamespace } = daemon;
    const args = ['--socket', client.place, ...(configPath === undefined ? [] : ['--config', configPath])];
    // Seen from another PID namespace the number may be somebody else's.
    const found =
      networkNamespaceOf(pid) === networkNamespace
        ? findingsInNamespaceOf(pid, args)
        : `process ${pid} is not visible from here, or not readable`;
    return typeof found === 'string' ? diagnoseFromOutside(daemon, found) : found;
  }
  let config: Config | undefined;
  try {
    config = readConfig(configPath, daemon);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const message of error.problems) {
      const fix = 'correct the file; marpd --config FILE --check verifies it';
      findings.push({ level: 'error', check: 'config', message, fix });
    }
  }
  findings.push(...diagnose(await gatherFacts(config, daemon?.pid), config, daemon, unreachableReason));
  return findings;
}

function isElsewhere({ networkNamespace }: DaemonView): boolean {
  const own = networkNamespaceOf('self');
  return networkNamespace !== null && own !== undefined && own !== networkNamespace;
}

/** The named file, else the daemon's configuration, else the usual file. @throws ConfigError */
function readConfig(path: string | undefined, daemon: DaemonView | undefined): Config | undefined {
  if (path !== undefined) return loadConfig(path);
  if (daemon?.configPath === null) {
    const patterns = new Set(daemon.interfaces.map((view) => view.pattern));
    return configForInterfaces([...patterns], daemon.families);
  }
  if (daemon !== undefined) return loadConfig(daemon.configPath);
  return existsSync(DEFAULT_CONFIG) ? loadConfig(DEFAULT_CONFIG) : undefined;
}
