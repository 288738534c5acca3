import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { launchReader } from '../ip/exec.js';

/**
 * Our own routes and neighbour entries come back from the kernel as news, two lines for each newcomer. A daemon that
 * is busy with a burst does not read them in time, the monitor's socket overruns, and everything has to be read again
 * (three times during a burst of 50,000): so a process of its own takes them out, and what others change gets through.
 *
 * Deletions are kept: they may be somebody else's doing.
 */
export function filterOwn(lines: Readable, protocol: number): ChildProcess {
  const neighbour = `^[^D].* extern_learn PERMANENT proto ${protocol} `;
  const route = `^[^D].* table [0-9]+ proto ${protocol} `;
  const args = ['--text', '--line-buffered', '--invert-match', '-E', '-e', neighbour, '-e', route];
  const filter = launchReader('grep', args, [lines, 'pipe', 'ignore']);
  // Ours is one end too many: when the filter dies, the monitor must notice.
  lines.destroy();
  return filter;
}

/**
 * Whether a line that has our protocol number is our own entry coming back. An administrator who makes a neighbour
 * entry of ours his own leaves our protocol number in it, but not extern_learn.
 */
export function isOwnNotification(line: string): boolean {
  if (line.startsWith('Deleted ')) return false;
  return !line.includes(' PERMANENT ') || line.includes(' extern_learn ');
}
