import { readFileSync } from 'node:fs';

/** The command line of a process, its arguments separated by NUL; empty when it has ended. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** A child of the process whose command line matches. */
export function childOf(pid: number, pattern: RegExp): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? [];
  return children.map(Number).find((child) => pattern.test(commandOf(child)));
}

/** Sends a signal to a process that may have ended meanwhile; true if it was still there. */
export function signalIfAlive(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
