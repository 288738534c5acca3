import { spawnSync } from 'node:child_process';
import type { Finished } from './ip/exec.js';

/** Runs a script of ours in the network namespace of a process, which takes CAP_SYS_ADMIN. Blocks; never throws. */
export function runInNamespaceOf(pid: number, script: string, args: readonly string[]): Finished {
  const argv = [`--net=/proc/${pid}/ns/net`, process.execPath, script, ...args];
  const { status, stdout, stderr, error } = spawnSync('nsenter', argv, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return { status: status ?? undefined, stdout: stdout ?? '', stderr: error?.message ?? stderr ?? '' };
}
