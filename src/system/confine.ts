import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Capabilities that a child of the daemon may need. */
export type Capability = 'net_admin' | 'net_raw' | 'dac_read_search';

export interface Confinement {
  /** All other capabilities are dropped. */
  readonly keep?: Capability | undefined;
  /** Runs as user nobody where the daemon may change users. */
  readonly nobody?: boolean;
  /** Runs at the lowest real-time priority where that is allowed. */
  readonly realTime?: boolean;
}

export type Argv = readonly [string, ...string[]];

/** Built from scripts/confine.c by `npm run build`; the same file for the sources and for dist/. */
const CONFINE = fileURLToPath(new URL('../../dist/confine', import.meta.url));

/** The command that runs `argv` with these privileges; `argv` itself where scripts/confine.c is not built. */
export function confined(argv: Argv, { keep, nobody, realTime }: Confinement): Argv {
  if (!existsSync(CONFINE)) return argv;
  const options = [keep ?? 'none', nobody === true ? 'nobody' : '', realTime === true ? 'rr' : ''];
  const [program, ...args] = argv;
  return [CONFINE, options.filter(Boolean).join(','), locate(program), ...args];
}

/** As execvp(3) finds it for us. Somebody else might find another program of that name, further down PATH. */
function locate(program: string): string {
  if (program.includes('/')) return program;
  for (const directory of (process.env.PATH ?? '').split(':')) {
    try {
      const path = `${directory}/${program}`;
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not there
    }
  }
  return program;
}

/** The first of these confinements under which the files can be read, such as a checkout in a private home. */
export function firstThatReads(
  files: readonly string[],
  candidates: readonly Confinement[],
): Confinement | undefined {
  const test: Argv = ['test', ...files.flatMap((file, at) => (at === 0 ? ['-r', file] : ['-a', '-r', file]))];
  return candidates.find((candidate) => {
    const [program, ...args] = confined(test, candidate);
    return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
  });
}

/** What a process may do, by its /proc/PID/status. */
export interface Privileges {
  readonly uid: number;
  /** Permitted capabilities, such as `cap_net_raw`. */
  readonly capabilities: readonly string[];
}

/** undefined when there is no such process, or it may not be read. */
export function privilegesOf(pid: number): Privileges | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const permitted = BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
    return {
      uid: Number(/^Uid:\s*(\d+)/m.exec(status)?.[1]),
      capabilities: NAMES.filter((_, bit) => ((permitted >> BigInt(bit)) & 1n) === 1n),
    };
  } catch {
    return undefined;
  }
}

/** What these processes keep beyond what they need, in sentences. */
export function excessPrivileges(
  children: Iterable<{ readonly name: string; readonly pid: number; readonly keep: Capability | undefined }>,
): string[] {
  const messages = new Set<string>();
  const roots = new Set<string>();
  for (const { name, pid, keep } of children) {
    const has = privilegesOf(pid);
    if (has === undefined) continue;
    const excess = has.capabilities.filter((capability) => capability !== `cap_${keep}`);
    if (excess.length > 0) messages.add(`${name} has more privileges than it needs: ${excess.join(', ')}`);
    if (has.uid === 0) roots.add(name);
  }
  if (messages.size > 0 && !existsSync(CONFINE)) messages.add(`${CONFINE} is missing: run npm run build`);
  if (roots.size > 0) {
    messages.add(
      `${[...roots].join(', ')}: runs as root, without other capabilities than it needs; CAP_SETUID, CAP_SETGID and CAP_KILL would let marpd run it as nobody`,
    );
  }
  return [...messages];
}

/** By bit (linux/capability.h). */
const NAMES = `chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct
sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap
mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`
  .split(/\s/)
  .map((name) => `cap_${name}`);
