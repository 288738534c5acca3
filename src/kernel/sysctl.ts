import { appendFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { IfIndex } from '../mobility/events.js';
import { replaceFile } from '../system/state-file.js';

/**
 * The kernel settings of design.md 3.2, with the smallest footprint that makes the effective values right.
 *
 * The kernel combines `conf/all` with the interface's own value: by OR for proxy_arp, proxy_arp_pvlan and
 * send_redirects, by the larger one for arp_accept, arp_ignore and arp_announce (linux/inetdevice.h, IN_DEV_ORCONF and IN_DEV_MAXCONF); for 0 and 1 that
 * is the same. So `all` is touched only when it is above what an interface needs, and then the other interfaces get
 * its old value as their own and behave as before. `ip_forward` has no such way: writing it sets `forwarding` on
 * every interface.
 *
 * What was changed stands in a file until it is restored, so that a crash does not make our values the originals.
 */

/** A key below `net/ipv4/conf/`, and what it must be on a mobility interface. */
export interface InterfaceSysctl {
  readonly key: string;
  readonly wanted: 0 | 1 | 2;
  /** What a wrong value does. */
  readonly consequence: string;
  /** Whether the kernel combines it with `conf/all` (OR or maximum); otherwise the interface's own value counts. */
  readonly combined: boolean;
  /** Only on a LAN that has a macvlan, and on the macvlan. */
  readonly withMacvlan: boolean;
}

const sysctl = (
  key: string,
  wanted: 0 | 1 | 2,
  consequence: string,
  { combined = true, withMacvlan = false } = {},
): InterfaceSysctl => ({ key, wanted, consequence, combined, withMacvlan });

/**
 * The one table: these keys are set by `Sysctls`, read by `inspect` and checked by `marpctl doctor`. ARP answers of the
 * kernel would collide with ours (design.md 3.2). `proxy_arp_pvlan` is combined with `all` since Linux 5.11.
 */
export const INTERFACE_SYSCTLS: readonly InterfaceSysctl[] = [
  sysctl('forwarding', 1, 'the kernel does not route what hosts there send', { combined: false }),
  sysctl(
    'proxy_arp',
    0,
    "the kernel answers a returning host's own announcement, which takes it for a conflict",
  ),
  sysctl('proxy_arp_pvlan', 0, "the kernel answers ARP for hosts on the asker's own LAN"),
  sysctl('arp_accept', 0, 'one forged gratuitous ARP makes a neighbour entry'),
  sysctl(
    'arp_ignore',
    1,
    'the kernel answers for its addresses on other interfaces, past the rules of marpd',
  ),
  sysctl('send_redirects', 0, 'the kernel tells hosts to go around this router'),
  sysctl(
    'arp_announce',
    2,
    'the kernel asks for hosts in the name of the gateway with another MAC than the virtual one, and all of them learn it',
    { withMacvlan: true },
  ),
];

export interface SysctlChange {
  /** Below /proc/sys, such as `net/ipv4/conf/lan0/arp_ignore`. */
  readonly path: string;
  readonly from: number;
  readonly to: number;
  /** False in mode `check`, and when the kernel refused. */
  readonly written: boolean;
  /** What the change does beyond its own interface, or why it failed. */
  readonly note: string | undefined;
}

interface Saved {
  readonly path: string;
  readonly original: number;
  readonly ours: number;
  /** Interface index, 0 for what belongs to none: another interface of that name starts with its own values. */
  readonly index: IfIndex;
}

/** A line of the state file: a saved value, or that there is none any more. The first line is the boot id. */
type Line = Saved | { readonly path: string; readonly forgotten: true };

export interface SysctlOptions {
  readonly mode: 'apply' | 'check';
  readonly stateFile: string;
  /** The index of an interface by its present name. */
  readonly indexOf: (name: string) => IfIndex | undefined;
  readonly onWarning: (message: string) => void;
  /** Whether it is a macvlan on a mobility interface, or has one. */
  readonly hasMacvlan?: (iface: IfIndex) => boolean;
  /** For tests. */
  readonly root?: string | undefined;
}

const FORWARD = 'net/ipv4/ip_forward';
/** A virtual router needs these as well, and sets some of them itself; it may go on when we end. */
const VIRTUAL_ROUTER_KEYS = /\/(arp_ignore|arp_announce)$/;
/** The state file is written anew when it has this many lines more than twice what is saved; a shorter one at each loss. */
const SPARE_LINES = 100;

export class Sysctls {
  readonly #options: SysctlOptions;
  readonly #root: string;
  readonly #saved = new Map<string, Saved>();
  /** Paths whose saved value is not in the state file as it is now. */
  readonly #unstored = new Set<string>();
  /** Lines in the state file; undefined until this run has written it. */
  #lines: number | undefined;

  constructor(options: SysctlOptions) {
    this.#options = options;
    this.#root = options.root ?? '/proc/sys';
  }

  /**
   * Takes over what a run that crashed since the last boot had changed. Not before it is sure that no other daemon
   * runs on the same file: restore() would undo its settings.
   */
  takeOver(): void {
    for (const saved of this.#load()) {
      // Somebody else has set it since: theirs is the original now.
      if (this.#read(saved.path) === saved.ours) this.#saved.set(saved.path, saved);
      this.#unstored.add(saved.path);
    }
  }

  /** `ip_forward`; returns what was, or has to be, changed. */
  applyGlobal(): SysctlChange[] {
    if (this.#read(FORWARD) !== 0) return [];
    const before = this.#forwarding();
    const changes = [this.#change(FORWARD, 1, 0, 'sets forwarding on every interface')];
    if (changes[0]?.written === true) {
      // The kernel wrote these; ip_forward=0 alone would not bring their originals back where they were 1.
      for (const [path, original] of before) {
        const now = this.#read(path);
        if (now === undefined || now === original) continue;
        this.#save({ path, original, ours: now, index: this.#indexIn(path) });
      }
      this.#store();
    }
    return changes;
  }

  /**
   * Mobility interfaces; call again whenever one appears. Returns what was, or has to be, changed. The originals are in
   * the state file before this returns.
   */
  apply(...links: readonly { readonly name: string; readonly index: IfIndex }[]): SysctlChange[] {
    const changes = links.flatMap((link) => this.#applyTo(link));
    if (changes.some(({ written }) => written)) this.#store();
    return changes;
  }

  #applyTo(link: { readonly name: string; readonly index: IfIndex }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const { key, wanted, combined, withMacvlan } of INTERFACE_SYSCTLS) {
      if (withMacvlan && !this.#hasMacvlan(link.index)) continue;
      const path = `net/ipv4/conf/${link.name}/${key}`;
      const value = this.#read(path);
      const all = combined ? (this.#read(`net/ipv4/conf/all/${key}`) ?? 0) : 0;
      if (value === undefined || Math.max(all, value) === wanted) continue;
      if (all > wanted) changes.push(...this.#lowerAll(key, all, wanted, link.name));
      if (value > wanted || (value < wanted && all < wanted)) {
        changes.push(this.#change(path, wanted, link.index));
      }
    }
    return changes;
  }

  /** The others keep their effective value: it becomes their own before `all` goes down. */
  #lowerAll(key: string, all: number, wanted: number, except: string): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const name of this.#interfaces()) {
      const path = `net/ipv4/conf/${name}/${key}`;
      const value = this.#read(path);
      if (name === except || name === 'default' || value === undefined || value >= all) continue;
      changes.push(this.#change(path, all, this.#indexIn(path), 'keeps what conf/all gave it'));
    }
    const note = 'interfaces created later follow conf/default alone';
    changes.push(this.#change(`net/ipv4/conf/all/${key}`, wanted, 0, note));
    return changes;
  }

  #hasMacvlan(iface: IfIndex): boolean {
    return this.#options.hasMacvlan?.(iface) === true;
  }

  /** Whether a virtual router on a macvlan there needs it. */
  #isInUse({ path, index }: Saved): boolean {
    return VIRTUAL_ROUTER_KEYS.test(path) && this.#hasMacvlan(index);
  }

  /**
   * Puts everything back that is still as we left it. Forwarding stays while routes of ours do, and what a virtual router
   * needs while it has a macvlan.
   */
  restore(options: { readonly keepForwarding: boolean }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    const isForwarding = (path: string) => path === FORWARD || path.endsWith('/forwarding');
    const saved = [...this.#saved.values()].filter(
      (one) => !(options.keepForwarding && isForwarding(one.path)) && !this.#isInUse(one),
    );
    const put = (path: string, from: number, to: number, note?: string) => {
      if (this.#read(path) !== from || from === to) return;
      const failure = this.#write(path, to);
      changes.push({ path, from, to, written: failure === undefined, note: failure ?? note });
    };
    const forward = saved.find(({ path }) => path === FORWARD);
    if (forward !== undefined) {
      // It pulls every interface down with it; those that others had forwarding, or set so since, go back up.
      const before = this.#forwarding();
      put(FORWARD, forward.ours, forward.original);
      for (const [path, value] of before)
        put(path, this.#read(path) ?? value, value, 'ip_forward had cleared it');
    }
    // In reverse: `all` goes back up before the interfaces that it stood in for come down.
    for (const { path, ours, original } of saved.reverse()) {
      if (path !== FORWARD) put(path, ours, original);
      this.#forget(path);
    }
    this.#store();
    return changes;
  }

  /** One that is no mobility interface any more. What stands in for a lowered `conf/all` stays. */
  restoreInterface(link: { readonly name: string; readonly index: IfIndex }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const saved of [...this.#saved.values()].reverse()) {
      const { path, ours, original, index } = saved;
      if (index !== link.index || !path.startsWith(`net/ipv4/conf/${link.name}/`)) continue;
      if (this.#isInUse(saved)) continue;
      const to = Math.max(original, this.#takenFromAll(path.slice(path.lastIndexOf('/') + 1)));
      if (this.#read(path) === ours && ours !== to) {
        const failure = this.#write(path, to);
        const note = failure ?? 'no mobility interface now';
        changes.push({ path, from: ours, to, written: failure === undefined, note });
      }
      if (to === original) this.#forget(path);
      else if (ours !== to) this.#set({ ...saved, ours: to });
    }
    this.#store();
    return changes;
  }

  /** An interface has vanished, and its values with it. */
  interfaceGone(iface: IfIndex): void {
    for (const { path, index } of [...this.#saved.values()]) if (index === iface) this.#forget(path);
    this.#store();
  }

  /** The value that an interface had, or has, from a global setting that we changed. */
  #takenFromAll(key: string): number {
    const global = this.#saved.get(key === 'forwarding' ? FORWARD : `net/ipv4/conf/all/${key}`);
    return (key === 'forwarding' ? global?.ours : global?.original) ?? 0;
  }

  #change(path: string, to: number, index: IfIndex, note?: string): SysctlChange {
    const from = this.#read(path) ?? 0;
    if (this.#options.mode === 'check') return { path, from, to, written: false, note };
    const failure = this.#write(path, to);
    if (failure === undefined) this.#save({ path, original: from, ours: to, index });
    return { path, from, to, written: failure === undefined, note: failure ?? note };
  }

  /** The first original counts, unless it was that of another interface of the same name. */
  #save(saved: Saved): void {
    const known = this.#saved.get(saved.path);
    const original = known !== undefined && known.index === saved.index ? known.original : saved.original;
    this.#set({ ...saved, original });
  }

  #set(saved: Saved): void {
    this.#saved.set(saved.path, saved);
    this.#unstored.add(saved.path);
  }

  #forget(path: string): void {
    if (this.#saved.delete(path)) this.#unstored.add(path);
  }

  /** Of the interface in the path; 0 for `all` and `default`. */
  #indexIn(path: string): IfIndex {
    return this.#options.indexOf(path.split('/')[3] ?? '') ?? 0;
  }

  #interfaces(): string[] {
    try {
      return readdirSync(`${this.#root}/net/ipv4/conf`).filter((name) => name !== 'all');
    } catch {
      return [];
    }
  }

  #forwarding(): Map<string, number> {
    const values = new Map<string, number>();
    for (const name of this.#interfaces()) {
      const path = `net/ipv4/conf/${name}/forwarding`;
      const value = this.#read(path);
      if (value !== undefined) values.set(path, value);
    }
    return values;
  }

  /** undefined for an interface that is gone. */
  #read(path: string): number | undefined {
    try {
      return Number(readFileSync(`${this.#root}/${path}`, 'latin1'));
    } catch {
      return undefined;
    }
  }

  /** Returns why it failed. */
  #write(path: string, value: number): string | undefined {
    try {
      writeFileSync(`${this.#root}/${path}`, `${value}\n`);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  #load(): Iterable<Saved> {
    let lines: string[];
    try {
      lines = readFileSync(this.#options.stateFile, 'utf8').split('\n');
    } catch {
      return [];
    }
    if (lines[0] !== bootId()) return [];
    const saved = new Map<string, Saved>();
    for (const text of lines.slice(1)) {
      if (text === '') continue;
      const line = parseLine(text);
      if (line === undefined) {
        this.#options.onWarning(`${this.#options.stateFile}: an original kernel setting is lost: ${text}`);
      } else if ('forgotten' in line) saved.delete(line.path);
      else saved.set(line.path, line);
    }
    return saved.values();
  }

  /** Appends what has changed. Taps come and go by the hundred, and each would cost the whole file otherwise. */
  #store(): void {
    const { stateFile, onWarning } = this.#options;
    if (this.#unstored.size === 0) return;
    const lines = [...this.#unstored].map((path): Line => this.#saved.get(path) ?? { path, forgotten: true });
    this.#unstored.clear();
    try {
      if (this.#saved.size === 0) {
        rmSync(stateFile, { force: true });
        this.#lines = undefined;
      } else if (
        this.#lines === undefined ||
        (this.#saved.size < SPARE_LINES && lines.some((line) => 'forgotten' in line)) ||
        this.#lines + lines.length > 2 * this.#saved.size + SPARE_LINES
      ) {
        replaceFile(stateFile, `${bootId()}\n${toText([...this.#saved.values()])}`);
        this.#lines = this.#saved.size;
      } else {
        appendFileSync(stateFile, toText(lines));
        this.#lines += lines.length;
      }
    } catch (error) {
      this.#lines = undefined;
      onWarning(`original kernel settings cannot be saved: ${(error as Error).message}`);
    }
  }
}

function toText(lines: readonly Line[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** undefined for what is damaged, or names a file that is none of ours. */
function parseLine(text: string): Line | undefined {
  try {
    const line: unknown = JSON.parse(text);
    const { path, forgotten, original, ours, index } = (line ?? {}) as Record<string, unknown>;
    if (typeof path !== 'string' || !isOurs(path)) return undefined;
    if (forgotten === true) return { path, forgotten };
    return isInt32(original) && isInt32(ours) && isInt32(index) ? { path, original, ours, index } : undefined;
  } catch {
    return undefined;
  }
}

/** A setting that we change. An interface has no name that leads to another directory. */
function isOurs(path: string): boolean {
  if (path === FORWARD) return true;
  const [, name, key] = /^net\/ipv4\/conf\/([^/]+)\/([a-z_]+)$/.exec(path) ?? [];
  return name !== '.' && name !== '..' && INTERFACE_SYSCTLS.some((sysctl) => sysctl.key === key);
}

function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
