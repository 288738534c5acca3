import { readlinkSync } from 'node:fs';

/** Inode number of a process's network namespace; undefined when there is no such process, or it may not be read. */
export function networkNamespaceOf(pid: number | 'self'): string | undefined {
  try {
    return /^net:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[1];
  } catch {
    return undefined;
  }
}
