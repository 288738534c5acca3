import { readFileSync, readdirSync } from 'node:fs';
import { footprint, treeOf } from '../../bench/processes.js';
import { pause, waitFor } from '../kit/program.js';
import { CALM_MS } from './duration.js';

/** What the processes of a daemon use, and whether that grows. */

/**
 * The heap of a young daemon still grows by up to 40 MB. The bound is made for the long run, where 110 KB per second
 * are above it; in the short run only a leak of 3 MB per second is.
 */
const MEMORY_BOUND_MB = 64;
const DESCRIPTOR_BOUND = 4;

export interface Account {
  readonly processes: number;
  readonly descriptors: number;
  readonly daemonDescriptors: number;
  readonly pssMb: number;
  readonly zombies: number;
}

/** What differs for the worse, one sentence each. */
export function leaks(before: Account, after: Account): string[] {
  const found: string[] = [];
  const grew = (what: keyof Account, bound: number) => {
    if (after[what] > before[what] + bound)
      found.push(`${what}: ${before[what].toFixed(0)} before, ${after[what].toFixed(0)} after`);
  };
  grew('processes', 0);
  grew('descriptors', DESCRIPTOR_BOUND);
  grew('daemonDescriptors', DESCRIPTOR_BOUND);
  grew('pssMb', MEMORY_BOUND_MB);
  if (after.zombies > 0) found.push(`${after.zombies} zombies`);
  return found;
}

export function accountOf(pid: number): Account {
  const pids = treeOf(pid);
  const descriptors = pids.map((each) => entries(`/proc/${each}/fd`));
  return {
    processes: pids.length,
    descriptors: descriptors.reduce((sum, count) => sum + count, 0),
    daemonDescriptors: descriptors[0] ?? 0,
    pssMb: footprint(pid).pssMb,
    zombies: pids.filter(isZombie).length,
  };
}

function entries(directory: string): number {
  try {
    return readdirSync(directory).length;
  } catch {
    return 0; // ended meanwhile
  }
}

function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** The account of a daemon that came to rest: no process began or ended for a second. */
export async function atRest(pid: number): Promise<Account> {
  let pids = '';
  let since = performance.now();
  const unchanged = () => {
    const now = treeOf(pid).join(' ');
    if (now !== pids) since = performance.now();
    pids = now;
    return performance.now() - since > 1000;
  };
  await waitFor(unchanged, CALM_MS, 'the processes of the daemon to come to rest', 50);
  return accountOf(pid);
}

/** The account when nothing leaks any more compared with `before`, or the last one before the time was over. */
export async function settled(pid: number, before: Account): Promise<Account> {
  const deadline = performance.now() + CALM_MS;
  for (;;) {
    const account = accountOf(pid);
    if (leaks(before, account).length === 0 || performance.now() > deadline) return account;
    await pause(500);
  }
}
