import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const SUBSCRIBE_TIMEOUT_MS = 1000;

/** Resolves when the monitor is a member of its groups: what happens from now on, it will tell. */
export async function awaitSubscription(child: ChildProcess): Promise<void> {
  const deadline = performance.now() + SUBSCRIBE_TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      throw new Error('ip monitor ended');
    }
    // sk Eth Pid Groups ...: protocol 0 is NETLINK_ROUTE.
    for (const row of readFileSync('/proc/net/netlink', 'latin1').split('\n')) {
      const [, protocol, pid, groups] = row.split(/\s+/);
      if (protocol === '0' && Number(pid) === child.pid && groups !== '00000000') return;
    }
    await delay(1);
  }
}
