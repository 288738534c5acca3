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
