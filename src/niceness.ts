import { getPriority, setPriority } from 'node:os';

/** That of its reader: without it newcomers wait three times as long when another LAN is flooded. */
const NICENESS = -10;

/**
 * A router's control plane goes before whatever else its box does, and the tools that it starts with it; FRR's unit has
 * it so, too, with -5. A niceness that somebody chose for the daemon stays. Needs CAP_SYS_NICE or RLIMIT_NICE.
 */
export function hurry(): void {
  try {
    if (getPriority() === 0) setPriority(NICENESS);
  } catch {
    // Not permitted: everybody is equal.
  }
}
