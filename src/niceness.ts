import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/**
 * See nice(2): a router's control plane goes before whatever else its box does, and so does its reader, which must not
 * miss a burst. FRR's unit has -5. All of this needs CAP_SYS_NICE or RLIMIT_NICE; without, everybody is equal.
 */
const HURRIED = -10;
/** For a reader of whose frames most are thrown away. */
const PATIENT = 10;

/** Unless we have CAP_SYS_ADMIN, the kernel takes one niceness of a session in 0.1 s, whoever's it is: EAGAIN. */
const AGAIN_MS = 110;
const TRIES = 30;

/** For the daemon itself, when it starts. A niceness that somebody chose for it stays. */
export function hurry(): void {
  setNiceness(process.pid, getPriority() || HURRIED);
}

/** For a reader that must not miss a burst. */
export function hurryReader(pid: number | undefined): void {
  setNiceness(pid, HURRIED);
}

/** For one that may miss what it likes. */
export function slowReader(pid: number | undefined): void {
  setNiceness(pid, PATIENT);
}

/** For a tool in a session of its own, whose process has our niceness already. */
export function takeAlong(pid: number | undefined): void {
  if (pid !== undefined) setSessionNiceness(pid, getPriority());
}

function setNiceness(pid: number | undefined, niceness: number): void {
  if (pid === undefined) return;
  // With PRIO_PROCESS Linux means one thread, and those that collect garbage keep everybody waiting.
  for (const thread of threadsOf(pid)) {
    try {
      setPriority(thread, niceness);
    } catch {
      // It has ended, or we may not.
    }
  }
  setSessionNiceness(pid, niceness);
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [pid];
  }
}

/**
 * With autogroups (sched(7), on in Debian's kernel) the niceness of a process counts within its session only, and each
 * session starts with that of everybody else. Only for who leads its session: a shell's is not ours.
 */
function setSessionNiceness(pid: number, niceness: number, tries = TRIES): void {
  try {
    if (sessionOf(pid) === pid) writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || tries === 0) return;
    setTimeout(() => setSessionNiceness(pid, niceness, tries - 1), AGAIN_MS).unref();
  }
}

/** Field 6 of proc_pid_stat(5); the name before it may hold anything. */
function sessionOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
}
