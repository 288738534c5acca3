import { readFileSync, readdirSync } from 'node:fs';

/** Pids of a process and of all its descendants, the process first. */
export function descendants(pid: number): number[] {
  const found = [pid];
  for (const entry of threadsOf(pid)) {
    const children = readText(`/proc/${pid}/task/${entry}/children`).trim();
    for (const child of children === '' ? [] : children.split(' ')) found.push(...descendants(Number(child)));
  }
  return found;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // ended meanwhile
  }
}

/** Argument vector of a process as one line. */
export function commandLine(pid: number): string {
  return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}

/** A child of the process whose command line matches. */
export function childOf(pid: number, pattern: RegExp): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').match(/\d+/g) ?? [];
  return children.map(Number).find((child) => pattern.test(commandLine(child)));
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
