import { type ChildProcess, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signalIfAlive } from './processes.js';

/**
 * Network namespaces for one run, and the promise that nothing of them survives it.
 *
 * A lab's name says who owns it: `marp-<pid>-<start time of that pid><number>`. It is removed by `remove()`, by a
 * signal, and at process exit; what a `kill -9` leaves behind is swept by the next lab, which finds the owner dead.
 * Every child is started in a session of its own, so that Ctrl-C at a terminal reaches this process only and the
 * order of the clean-up stays ours.
 */

const NETNS = '/run/netns';
/** Where the control groups of version 2 are: below those of version 1, or alone. */
const CGROUPS = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
const NAME = /^marp-([0-9a-z]+)-([0-9a-z]{3})\d+(?:-|$)/;
const alive = new Set<Lab>();

export class CommandFailed extends Error {}

/**
 * Runs a command to its end and returns its standard output.
 * @throws CommandFailed with what it printed, when it ends with another status than 0
 */
export function run(argv: readonly string[], input = '', timeoutMs = 20_000): string {
  const [command, ...args] = argv as [string, ...string[]];
  const options = {
    input,
    encoding: 'utf8',
    timeout: timeoutMs,
    maxBuffer: 1 << 28,
    detached: true,
  } as const;
  const result = spawnSync(command, args, options);
  if (result.status === 0) return result.stdout;
  const said = `${result.stderr ?? ''}${result.error?.message ?? ''}`.trim();
  const asked = input === '' ? '' : `\n--- with input\n${input.trimEnd()}`;
  throw new CommandFailed(`${argv.join(' ')}: status ${result.status ?? result.signal}: ${said}${asked}`);
}

/** One network namespace of a lab. */
export class Namespace {
  constructor(
    readonly lab: Lab,
    readonly role: string,
  ) {}

  /** Name for `ip netns`; unique on this machine. */
  get name(): string {
    return `${this.lab.name}-${this.role}`;
  }

  /** Argument vector that runs `argv` in this namespace. */
  argv(...argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name, ...argv];
  }

  /** Runs `ip` commands (without the leading `ip`) in one process; the first refusal throws. */
  ip(...lines: readonly string[]): void {
    run(['ip', '-n', this.name, '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /** As `ip`, but refusals are none of our business: the thing may be gone already. */
  ipQuietly(...lines: readonly string[]): void {
    const argv = ['-n', this.name, '-force', '-batch', '-'];
    const options = { input: `${lines.join('\n')}\n`, detached: true } as const;
    spawnSync('ip', argv, options);
  }

  /** `ip -j ...`, parsed. */
  json<T>(...args: readonly string[]): T[] {
    const text = run(['ip', '-n', this.name, '-j', '-N', ...args]).trim();
    return text === '' ? [] : (JSON.parse(text) as T[]);
  }

  /** Runs a command in the namespace to its end. @throws CommandFailed */
  exec(...argv: readonly string[]): string {
    return run(this.argv(...argv));
  }

  /** Exit status of a command in the namespace; 0 is success. */
  status(...argv: readonly string[]): number {
    const [command, ...args] = this.argv(...argv) as [string, ...string[]];
    const options = { stdio: 'ignore', detached: true } as const;
    return spawnSync(command, args, options).status ?? -1;
  }

  /** Sets `net.*` sysctls, names as `ipv4.conf.lan0.rp_filter`. */
  sysctl(settings: Readonly<Record<string, number>>): void {
    const lines = Object.entries(settings).map(([key, value]) => `echo ${value} > ${sysctlPath(key)}`);
    this.exec('sh', '-ec', lines.join('\n'));
  }

  /** Values of `net.*` sysctls, in the order asked. */
  readSysctl(...keys: readonly string[]): number[] {
    return this.exec('cat', ...keys.map(sysctlPath))
      .trim()
      .split(/\s+/)
      .map(Number);
  }

  /** Every process in this namespace. */
  pids(): number[] {
    return pidsIn([this.name]);
  }
}

// A dot separates, except inside an interface name, which no lab has.
function sysctlPath(key: string): string {
  return `/proc/sys/net/${key.replaceAll('.', '/')}`;
}

/** All namespaces, processes and files of one run. */
export class Lab {
  readonly name: string;
  /** Private files: configurations, sockets, captures. */
  readonly directory: string;
  readonly namespaces: Namespace[] = [];
  readonly #children = new Set<ChildProcess>();
  readonly #failureNotes: (() => string)[] = [];

  constructor() {
    if (process.getuid?.() !== 0) throw new Error('the lab makes network namespaces: run it as root (sudo)');
    watchForTheEnd();
    sweep();
    this.name = `marp-${process.pid.toString(36)}-${startTag(process.pid)}${labCount++}`;
    this.directory = join(tmpdir(), this.name);
    alive.add(this);
    mkdirSync(this.directory, { recursive: true, mode: 0o755 });
  }

  /**
   * Creates namespaces. Loopback is up and IPv6 off, so that no frame is sent that no test asked for; the other
   * network sysctls are the kernel's defaults, not the machine's.
   */
  create(...roles: readonly string[]): Namespace[] {
    const made = roles.map((role) => new Namespace(this, role));
    this.namespaces.push(...made);
    run(['ip', '-batch', '-'], made.map((namespace) => `netns add ${namespace.name}\n`).join(''));
    for (const namespace of made) {
      namespace.sysctl({
        'ipv6.conf.all.disable_ipv6': 1,
        'ipv6.conf.default.disable_ipv6': 1,
        'ipv4.conf.all.rp_filter': 0,
        'ipv4.conf.default.rp_filter': 0,
      });
      namespace.ip('link set lo up');
    }
    return made;
  }

  /** A cable between two namespaces; both ends are down until somebody sets them up. */
  link(a: Namespace, aName: string, b: Namespace, bName: string): void {
    run(
      ['ip', '-n', a.name, '-batch', '-'],
      `link add name ${aName} type veth peer name ${bName} netns ${b.name}\n`,
    );
  }

  /** A child that ends with the lab. */
  adopt(child: ChildProcess): void {
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
  }

  /** A control group, for a service manager that makes others in it. @returns its path below the root of them all */
  controlGroup(): string {
    const path = join(controlGroups(), this.name);
    mkdirSync(path, { recursive: true });
    return this.name;
  }

  /** Text that a failing test prints about this lab. */
  onFailure(note: () => string): void {
    this.#failureNotes.push(note);
  }

  failureReport(): string {
    return this.#failureNotes
      .map((note) => {
        try {
          return note();
        } catch (error) {
          return String(error);
        }
      })
      .filter((text) => text !== '')
      .join('\n');
  }

  /** Ends every process and removes every namespace and file. Synchronous: it also runs in an exit handler. */
  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    removeNamespaces(this.namespaces.map((namespace) => namespace.name));
    removeControlGroup(this.name);
    rmSync(this.directory, { recursive: true, force: true });
    alive.delete(this);
  }
}

let labCount = 0;
let watching = false;

// Exit handlers run after `process.exit` and after an uncaught exception; signals need their own.
function watchForTheEnd(): void {
  if (watching) return;
  watching = true;
  process.on('exit', removeAll);
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}

function removeAll(): void {
  for (const lab of [...alive]) {
    try {
      lab.remove();
    } catch (error) {
      console.error(`lab ${lab.name} could not be removed: ${String(error)}`);
    }
  }
}

/** Removes what killed runs left behind; returns the names. Labs with a living owner are left alone. */
export function sweep(): string[] {
  const orphans = (entries: readonly string[]) =>
    entries.filter((entry) => NAME.test(entry) && !ownerLives(entry));
  const namespaces = orphans(list(NETNS));
  removeNamespaces(namespaces);
  for (const group of CGROUPS.flatMap((path) => orphans(list(path)))) removeControlGroup(group);
  const directories = orphans(list(tmpdir()));
  for (const directory of directories) rmSync(join(tmpdir(), directory), { recursive: true, force: true });
  return [...namespaces, ...directories.map((directory) => join(tmpdir(), directory))];
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function ownerLives(name: string): boolean {
  const match = NAME.exec(name);
  if (match === null) return true;
  return startTag(Number.parseInt(match[1] as string, 36)) === match[2];
}

// The start time tells a living owner from a stranger that was given the same pid later.
function startTag(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const startTicks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    return (startTicks % 36 ** 3).toString(36).padStart(3, '0');
  } catch {
    return undefined;
  }
}

// Only processes inside our own namespaces: nothing else can be there but what the lab started.
function pidsIn(names: readonly string[]): number[] {
  const wanted = new Set<string>();
  for (const name of names) {
    try {
      wanted.add(`net:[${statSync(join(NETNS, name)).ino}]`);
    } catch {
      // never made, or gone already
    }
  }
  if (wanted.size === 0) return [];
  const found: number[] = [];
  for (const entry of list('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (wanted.has(readlinkSync(`/proc/${entry}/ns/net`))) found.push(Number(entry));
    } catch {
      // ended meanwhile
    }
  }
  return found;
}

function removeNamespaces(names: readonly string[]): void {
  for (let attempt = 0; attempt < 3; attempt++) {
    for (const pid of pidsIn(names)) {
      signalIfAlive(pid, 'SIGKILL');
    }
    const present = new Set(list(NETNS));
    const left = names.filter((name) => present.has(name));
    if (left.length === 0) return;
    const options = { input: left.map((name) => `netns del ${name}\n`).join(''), detached: true } as const;
    spawnSync('ip', ['-force', '-batch', '-'], options);
  }
}

function controlGroups(): string {
  const path = CGROUPS.find((each) => existsSync(join(each, 'cgroup.procs')));
  if (path === undefined) throw new Error(`no control groups of version 2 at ${CGROUPS.join(' or ')}`);
  return path;
}

// With what is in it. Processes that were killed take a moment to end, and stand in the way until then.
function removeControlGroup(name: string): void {
  const path = CGROUPS.map((each) => join(each, name)).find((each) => existsSync(each));
  if (path === undefined) return;
  writeFileSync(join(path, 'cgroup.kill'), '1');
  const options = { stdio: 'ignore', detached: true } as const;
  spawnSync('sh', ['-c', REMOVE_GROUP, 'sh', path], options);
}

const REMOVE_GROUP =
  'for attempt in $(seq 100); do find "$1" -depth -type d -delete 2>/dev/null && break; sleep 0.05; done';
