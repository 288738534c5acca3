import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/**
 * See nice(2): a router's control plane goes before whatever else its box does, and so does its reader, which must not
 * miss a burst. FRR's unit has -5. All of this needs CAP_SYS_NICE or RLIMIT_NICE; without, everybody is equal.
 */
const RAISED = -10;
/** For a reader of whose frames most are thrown away. */
const LOWERED = 10;

/** Unless we have CAP_SYS_ADMIN, the kernel takes one niceness of a session in 0.1 s, whosever it is: EAGAIN. */
const AGAIN_MS = 110;

/** For the daemon itself, when it starts. A niceness that somebody chose for it stays. */
export function raisePriority(): void {
  setNiceness(process.pid, getPriority() || RAISED);
}

/** For a reader that must not miss a burst. */
export function raiseReaderPriority(pid: number | undefined): void {
  setNiceness(pid, RAISED);
}

/**
 * For one that may miss what it likes, in a session of its own. A flooded LAN's reader as everybody else's equal made
 * newcomers elsewhere wait half as long again (`npm run bench -- storm --quick`).
 */
export function lowerReaderPriority(pid: number | undefined): void {
  setNiceness(pid, Math.max(LOWERED, getPriority()));
}

/**
 * For a tool that stays, in a session of its own, whose process has our niceness already. Where we do not lead our own
 * session that one has the niceness of a shell, and no tool of ours goes before us.
 */
export function inheritPriority(pid: number | undefined): void {
  const niceness = getPriority();
  if (pid !== undefined && niceness !== 0 && leadsSession(process.pid)) setSessionNiceness(pid, niceness);
}

function setNiceness(pid: number | undefined, niceness: number): void {
  if (pid === undefined) return;
  // With PRIO_PROCESS Linux means one thread, and those that collect garbage keep everybody waiting.
  for (const thread of [pid, ...threadsOf(pid)]) {
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
    return [];
  }
}

/**
 * With autogroups (sched(7), on in Debian's kernel) the niceness of a process counts within its session only, and each
 * session starts with that of everybody else. Only for who leads its session: a shell's is not ours. In a control group
 * with processor weights the kernel takes the number and makes nothing of it.
 */
function setSessionNiceness(pid: number, niceness: number): void {
  try {
    if (leadsSession(pid)) writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
    setTimeout(() => setSessionNiceness(pid, niceness), AGAIN_MS).unref();
  }
}

/** Field 6 of proc_pid_stat(5); the name before it may hold anything. @throws when there is no such process */
function leadsSession(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]) === pid;
}
