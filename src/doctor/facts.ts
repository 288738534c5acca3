import { checkCapBuild } from '../capture/cap-build.js';
import type { Config } from '../config/config.js';
import type { Facts } from './checks.js';
import { inspect } from '../kernel/inspect.js';

/** Looks at this machine for `marpctl doctor`, which also has to help while the daemon, who knows better, is down. */
export async function gatherFacts(config: Config | undefined, pid: number | undefined): Promise<Facts> {
  const router = config?.router;
  const tables =
    router === undefined ? [254] : [router.freshTable, router.settledTable, ...router.watchTables];
  const facts = await inspect({ protocol: router?.protocol ?? 44, tables: [...new Set(tables)], pid });
  return { ...facts, capBuild: checkCapBuild() };
}
