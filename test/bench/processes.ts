import { readFileSync } from 'node:fs';

/** What a daemon and all its processes take from the machine, as /proc tells it. */
export interface Footprint {
  readonly processes: number;
  /** Sum of the resident sets: pages that several of them share count several times. */
  readonly rssMb: number;
  /** The same with shared pages divided among those who share them. */
  readonly pssMb: number;
}

const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** A process and all its descendants. */
export function treeOf(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    const children = read(`/proc/${found[i]}/task/${found[i]}/children`);
    for (const child of children.split(' ')) if (child !== '') found.push(Number(child));
  }
  return found;
}

/** Resident megabytes of the whole tree; cheap enough to be asked during a burst. */
export function residentMb(pid: number): number {
  let pages = 0;
  for (const each of treeOf(pid)) pages += Number(read(`/proc/${each}/statm`).split(' ')[1] ?? 0);
  return (pages * PAGE_BYTES) / 1e6;
}

export function footprint(pid: number): Footprint {
  const pids = treeOf(pid);
  let pssKb = 0;
  for (const each of pids)
    pssKb += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${each}/smaps_rollup`))?.[1] ?? 0);
  return { processes: pids.length, rssMb: residentMb(pid), pssMb: (pssKb * 1024) / 1e6 };
}

/** Seconds of processor time that the tree has used; children that ended are included. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const each of treeOf(pid)) {
    const stat = read(`/proc/${each}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5), of which two are cut off
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Follows the resident memory of a tree until `stop`. */
export class MemoryWatch {
  readonly #timer: NodeJS.Timeout;
  peakMb: number;

  constructor(
    readonly pid: number,
    intervalMs = 50,
  ) {
    this.peakMb = residentMb(pid);
    this.#timer = setInterval(() => {
      this.peakMb = Math.max(this.peakMb, residentMb(pid));
    }, intervalMs);
  }

  stop(): number {
    clearInterval(this.#timer);
    return Math.max(this.peakMb, residentMb(this.pid));
  }
}

/** The same with shared pages divided, and therefore less often: the kernel counts them page by page. */
export class GrowthWatch {
  readonly #timer: NodeJS.Timeout;
  #peak: Footprint;

  constructor(readonly pid: number) {
    this.#peak = footprint(pid);
    this.#timer = setInterval(() => this.#look(), 250);
  }

  stop(): Footprint {
    clearInterval(this.#timer);
    this.#look();
    return this.#peak;
  }

  #look(): void {
    const { rssMb, pssMb, processes } = footprint(this.pid);
    this.#peak = {
      processes: Math.max(this.#peak.processes, processes),
      rssMb: Math.max(this.#peak.rssMb, rssMb),
      pssMb: Math.max(this.#peak.pssMb, pssMb),
    };
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // ended meanwhile
  }
}
