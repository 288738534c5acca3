import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IfIndex } from '../mobility/events.js';

/**
 * The kernel settings of design.md 3.2, with the smallest footprint that makes the effective values right.
 *
 * The kernel combines `conf/all` with the interface's own value: by OR for proxy_arp, proxy_arp_pvlan and
 * send_redirects, by the larger one for arp_accept and arp_ignore (linux/inetdevice.h, IN_DEV_ORCONF and IN_DEV_MAXCONF); for 0 and 1 that
 * is the same. So `all` is touched only when it is above what an interface needs, and then the other interfaces get
 * its old value as their own and behave as before. `ip_forward` has no such way: writing it sets `forwarding` on
 * every interface.
 *
 * What was changed stands in a file until it is restored, so that a crash does not make our values the originals.
 */

/** A key below `net/ipv4/conf/`, and what it must be on a mobility interface. */
export interface InterfaceSysctl {
  readonly key: string;
  readonly wanted: 0 | 1;
  /** Whether the kernel combines it with `conf/all` (OR or maximum); otherwise the interface's own value counts. */
  readonly combined: boolean;
  /** What a wrong value does. */
  readonly consequence: string;
}

/**
 * The one table: these keys are set by `Sysctls`, read by `inspect` and judged by `marpctl doctor`. ARP answers of the
 * kernel would collide with ours (design.md 3.2). `proxy_arp_pvlan` is combined with `all` since Linux 5.11.
 */
export const INTERFACE_SYSCTLS: readonly InterfaceSysctl[] = [
  {
    key: 'forwarding',
    wanted: 1,
    combined: false,
    consequence: 'the kernel does not route what hosts there send',
  },
  {
    key: 'proxy_arp',
    wanted: 0,
    combined: true,
    consequence: "the kernel answers a returning host's own announcement, which takes it for a conflict",
  },
  {
    key: 'proxy_arp_pvlan',
    wanted: 0,
    combined: true,
    consequence: 'the kernel answers ARP for hosts on the LAN of the one who asks',
  },
  {
    key: 'arp_accept',
    wanted: 0,
    combined: true,
    consequence: 'one forged gratuitous ARP makes a neighbour entry',
  },
  {
    key: 'arp_ignore',
    wanted: 1,
    combined: true,
    consequence: 'the kernel answers for its addresses on other interfaces, past the rules of marpd',
  },
  {
    key: 'send_redirects',
    wanted: 0,
    combined: true,
    consequence: 'the kernel tells hosts to go around this router',
  },
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

export interface SysctlOptions {
  readonly mode: 'apply' | 'check';
  readonly stateFile: string;
  readonly onWarning: (message: string) => void;
  /** For tests. */
  readonly root?: string | undefined;
}

const FORWARD = 'net/ipv4/ip_forward';

export class Sysctls {
  readonly #options: SysctlOptions;
  readonly #root: string;
  readonly #saved = new Map<string, Saved>();

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
        if (now !== undefined && now !== original) this.#save({ path, original, ours: now, index: 0 });
      }
      this.#store();
    }
    return changes;
  }

  /**
   * Mobility interfaces; call again whenever one appears. Returns what was, or has to be, changed. Many at once cost the
   * file, which is written before this returns, only once.
   */
  apply(...links: readonly { readonly name: string; readonly index: IfIndex }[]): SysctlChange[] {
    const changes = links.flatMap((link) => this.#applyTo(link));
    if (changes.some(({ written }) => written)) this.#store();
    return changes;
  }

  #applyTo(link: { readonly name: string; readonly index: IfIndex }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const { key, wanted, combined } of INTERFACE_SYSCTLS) {
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
      changes.push(this.#change(path, all, 0, 'keeps what conf/all gave it'));
    }
    const note = 'interfaces created later follow conf/default alone';
    changes.push(this.#change(`net/ipv4/conf/all/${key}`, wanted, 0, note));
    return changes;
  }

  /** Puts everything back that is still as we left it. Forwarding stays while routes of ours do. */
  restore(options: { readonly keepForwarding: boolean }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    const isForwarding = (path: string) => path === FORWARD || path.endsWith('/forwarding');
    const saved = [...this.#saved.values()].filter(
      ({ path }) => !(options.keepForwarding && isForwarding(path)),
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
      for (const [path, value] of before) put(path, this.#read(path) ?? value, value, 'stays as it was');
    }
    // In reverse: `all` goes back up before the interfaces that it stood in for come down.
    for (const { path, ours, original } of saved.reverse()) {
      if (path !== FORWARD) put(path, ours, original);
      this.#saved.delete(path);
    }
    this.#store();
    return changes;
  }

  /**
   * One interface that is no mobility interface any more: what was changed on it alone goes back at once. What stands
   * in for a lowered `conf/all` stays until all is restored.
   */
  restoreInterface(link: { readonly name: string; readonly index: IfIndex }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const { path, ours, original, index } of [...this.#saved.values()].reverse()) {
      if (index !== link.index || !path.startsWith(`net/ipv4/conf/${link.name}/`)) continue;
      if (this.#read(path) === ours && ours !== original) {
        const failure = this.#write(path, original);
        const written = failure === undefined;
        changes.push({
          path,
          from: ours,
          to: original,
          written,
          note: failure ?? 'no mobility interface now',
        });
      }
      this.#saved.delete(path);
    }
    if (changes.length > 0) this.#store();
    return changes;
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
    this.#saved.set(saved.path, { ...saved, original });
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

  #load(): readonly Saved[] {
    let text: string;
    try {
      text = readFileSync(this.#options.stateFile, 'utf8');
    } catch {
      return [];
    }
    try {
      const state = JSON.parse(text) as { bootId?: unknown; saved?: readonly Saved[] };
      return state.bootId === bootId() && Array.isArray(state.saved) ? state.saved.filter(isSaved) : [];
    } catch {
      this.#options.onWarning(`${this.#options.stateFile} is damaged: original kernel settings are lost`);
      return [];
    }
  }

  #store(): void {
    const { stateFile, mode, onWarning } = this.#options;
    if (mode === 'check') return;
    try {
      if (this.#saved.size === 0) {
        rmSync(stateFile, { force: true });
        return;
      }
      mkdirSync(dirname(stateFile), { recursive: true });
      const state = { bootId: bootId(), saved: [...this.#saved.values()] };
      writeFileSync(`${stateFile}.new`, `${JSON.stringify(state, undefined, 1)}\n`);
      renameSync(`${stateFile}.new`, stateFile);
    } catch (error) {
      onWarning(`original kernel settings cannot be saved: ${(error as Error).message}`);
    }
  }
}

function isSaved(value: unknown): value is Saved {
  const { path, original, ours, index } = (value ?? {}) as Record<string, unknown>;
  return (
    typeof path === 'string' &&
    /^net\/ipv4\/(ip_forward|conf\/[^/]+\/[a-z_]+)$/.test(path) &&
    [original, ours, index].every(Number.isInteger)
  );
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
