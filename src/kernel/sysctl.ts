import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import type { IfIndex } from '../mobility/events.js';
import type { Family } from '../wire/addresses.js';
import { type SavedSetting, SavedSettings } from './sysctl-state.js';

/**
 * The kernel settings of design.md 3.2, with the smallest footprint that makes the effective values right.
 *
 * The kernel combines `conf/all` with the interface's own value: by OR for proxy_arp, proxy_arp_pvlan and
 * send_redirects, by the larger one for arp_accept, arp_ignore and arp_announce (linux/inetdevice.h, IN_DEV_ORCONF and IN_DEV_MAXCONF); for 0 and 1 that
 * is the same. So `all` is touched only when it is above what an interface needs, and then the other interfaces get
 * its old value as their own and behave as before. `ip_forward` has no such way: writing it sets `forwarding` on
 * every interface. For IPv6 `conf/all/forwarding` does the same, every other setting is the interface's own, and what
 * makes it hard is that the kernel takes a machine for a router or for a host: see `#keepUplinks`.
 *
 * What was changed stands in a file until it is restored, so that a crash does not make our values the originals.
 */

/** A key below `net/ipv4/conf/` or `net/ipv6/conf/`, and what it must be on a mobility interface. */
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

/**
 * The same for IPv6, below `net/ipv6/conf/`. `proxy_ndp` of `all` is left alone: it answers for entries only that somebody
 * made (`ip neigh show proxy`). Kernels before 5.19 lack `accept_untracked_na`.
 */
export const INTERFACE_SYSCTLS_IPV6: readonly InterfaceSysctl[] = [
  sysctl(
    'forwarding',
    1,
    'the kernel says in its neighbor advertisements that it is no router, and hosts delete their default route',
    { combined: false },
  ),
  sysctl('accept_ra', 0, 'a router advertisement of anybody there changes the routes of this router', {
    combined: false,
  }),
  sysctl('accept_redirects', 0, 'a redirect of anybody there changes where this router sends', {
    combined: false,
  }),
  sysctl(
    'proxy_ndp',
    0,
    'the kernel answers for the addresses of `ip neigh show proxy`, past the rules of marpd',
    {
      combined: false,
    },
  ),
  sysctl('accept_untracked_na', 0, 'one forged neighbor advertisement makes a neighbour entry', {
    combined: false,
  }),
];

interface FamilySysctls {
  /** The directory of the interfaces, below /proc/sys. */
  readonly conf: string;
  /** Whether the kernel forwards at all. */
  readonly forward: string;
  readonly ofInterfaces: readonly InterfaceSysctl[];
}

export const SYSCTLS_OF: Readonly<Record<Family, FamilySysctls>> = {
  ipv4: { conf: 'net/ipv4/conf', forward: 'net/ipv4/ip_forward', ofInterfaces: INTERFACE_SYSCTLS },
  ipv6: {
    conf: 'net/ipv6/conf',
    forward: 'net/ipv6/conf/all/forwarding',
    ofInterfaces: INTERFACE_SYSCTLS_IPV6,
  },
};

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

export interface SysctlOptions {
  readonly mode: 'apply' | 'check';
  /** Settings of these are looked at and changed; IPv4 alone when left out. */
  readonly families?: readonly Family[];
  readonly stateFile: string;
  /** The index of an interface by its present name. */
  readonly indexOf: (name: string) => IfIndex | undefined;
  readonly onWarning: (message: string) => void;
  /** Whether it is a macvlan on a mobility interface, or has one. */
  readonly hasMacvlan?: (iface: IfIndex) => boolean;
  /** Names of the interfaces that are no mobility interfaces and have a default route by router advertisement. */
  readonly advertisedUplinks?: () => readonly string[];
  /** For tests. */
  readonly root?: string | undefined;
}

/** A virtual router needs these as well, and sets some of them itself; it may go on when we end. */
const VIRTUAL_ROUTER_KEYS = /\/(arp_ignore|arp_announce)$/;
const FAMILIES = Object.values(SYSCTLS_OF);

export class Sysctls {
  readonly #options: SysctlOptions;
  readonly #root: string;
  readonly #families: readonly FamilySysctls[];
  readonly #saved: SavedSettings;

  constructor(options: SysctlOptions) {
    this.#options = options;
    this.#root = options.root ?? '/proc/sys';
    this.#families = (options.families ?? ['ipv4']).map((family) => SYSCTLS_OF[family]);
    this.#saved = new SavedSettings({ ...options, isOurs });
  }

  /**
   * Takes over what a run that crashed since the last boot had changed. Not before it is sure that no other daemon
   * runs on the same file: restore() would undo its settings.
   */
  takeOver(): void {
    // If somebody else has set it since, theirs is the original now.
    this.#saved.takeOver(({ path, ours }) => this.#read(path) === ours);
  }

  /** `ip_forward`, `conf/all/forwarding` of IPv6; returns what was, or has to be, changed. */
  applyGlobal(): SysctlChange[] {
    return this.#families.flatMap((family) => this.#startForwarding(family));
  }

  #startForwarding(family: FamilySysctls): SysctlChange[] {
    const { forward } = family;
    if (this.#read(forward) !== 0) return [];
    const uplinks = this.#keepUplinks(family);
    const before = this.#forwarding(family);
    const change = this.#change(forward, 1, 0, 'sets forwarding on every interface');
    if (change.written) {
      // The kernel wrote these; 0 alone would not bring their originals back where they were 1.
      for (const [path, original] of before) {
        const now = this.#read(path);
        if (now === undefined || now === original) continue;
        this.#save({ path, original, ours: now, index: this.#indexIn(path) });
      }
      this.#saved.store();
    }
    return [...uplinks, change];
  }

  /**
   * Before `forwarding` becomes 1 anywhere: the kernel deletes at once what it has learned by router advertisement on all
   * interfaces whose `accept_ra` is not 2, and takes no other one there (net/ipv6/route.c, rt6_purge_dflt_routers).
   * With 0 the routes are those of a daemon that reads the advertisements itself; they stay.
   */
  #keepUplinks({ conf }: FamilySysctls): SysctlChange[] {
    if (conf !== SYSCTLS_OF.ipv6.conf) return [];
    const changes: SysctlChange[] = [];
    for (const name of this.#options.advertisedUplinks?.() ?? []) {
      const path = `${conf}/${name}/accept_ra`;
      if (this.#read(path) !== 1) continue;
      const note = 'or this router loses its default route by router advertisement as soon as it forwards';
      changes.push(this.#change(path, 2, this.#indexIn(path), note));
    }
    this.#saved.store();
    return changes;
  }

  /**
   * Mobility interfaces; call again whenever one appears. Returns what was, or has to be, changed. The originals are in
   * the state file before this returns.
   */
  apply(...links: readonly { readonly name: string; readonly index: IfIndex }[]): SysctlChange[] {
    const changes = links.flatMap((link) => this.#families.flatMap((family) => this.#applyTo(link, family)));
    if (changes.some(({ written }) => written)) this.#saved.store();
    return changes;
  }

  #applyTo(link: { readonly name: string; readonly index: IfIndex }, family: FamilySysctls): SysctlChange[] {
    const { conf, ofInterfaces } = family;
    const changes: SysctlChange[] = [];
    for (const { key, wanted, combined, withMacvlan } of ofInterfaces) {
      if (withMacvlan && !this.#hasMacvlan(link.index)) continue;
      const path = `${conf}/${link.name}/${key}`;
      const value = this.#read(path);
      const all = combined ? (this.#read(`${conf}/all/${key}`) ?? 0) : 0;
      if (value === undefined || Math.max(all, value) === wanted) continue;
      if (all > wanted) changes.push(...this.#lowerAll(conf, key, all, wanted, link.name));
      if (key === 'forwarding' && this.#options.mode === 'apply') changes.push(...this.#keepUplinks(family));
      if (value > wanted || (value < wanted && all < wanted)) {
        changes.push(this.#change(path, wanted, link.index));
      }
    }
    return changes;
  }

  /** The others keep their effective value: it becomes their own before `all` goes down. */
  #lowerAll(conf: string, key: string, all: number, wanted: number, except: string): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const name of this.#interfaces(conf)) {
      const path = `${conf}/${name}/${key}`;
      const value = this.#read(path);
      if (name === except || name === 'default' || value === undefined || value >= all) continue;
      changes.push(this.#change(path, all, this.#indexIn(path), 'keeps what conf/all gave it'));
    }
    const note = 'interfaces created later follow conf/default alone';
    changes.push(this.#change(`${conf}/all/${key}`, wanted, 0, note));
    return changes;
  }

  #hasMacvlan(iface: IfIndex): boolean {
    return this.#options.hasMacvlan?.(iface) === true;
  }

  /** Whether a virtual router on a macvlan there needs it. */
  #isInUse({ path, index }: SavedSetting): boolean {
    return VIRTUAL_ROUTER_KEYS.test(path) && this.#hasMacvlan(index);
  }

  /**
   * Puts everything back that is still as we left it. Forwarding stays while routes of ours do, and what a virtual router
   * needs while it has a macvlan.
   */
  restore(options: { readonly keepForwarding: boolean }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    const isForwarding = (one: SavedSetting) =>
      /\/(ip_forward|forwarding)$/.test(one.path) || isOfUplink(one);
    const saved = this.#saved
      .all()
      .filter((one) => !(options.keepForwarding && isForwarding(one)) && !this.#isInUse(one));
    const put = (path: string, from: number, to: number, note?: string) => {
      if (this.#read(path) !== from || from === to) return;
      const failure = this.#write(path, to);
      changes.push({ path, from, to, written: failure === undefined, note: failure ?? note });
    };
    for (const family of FAMILIES) {
      const forward = saved.find(({ path }) => path === family.forward);
      if (forward === undefined) continue;
      // It pulls every interface down with it; those that others had forwarding, or set so since, go back up.
      const before = this.#forwarding(family);
      put(family.forward, forward.ours, forward.original);
      for (const [path, value] of before)
        put(path, this.#read(path) ?? value, value, `${nameOf(family.forward)} had cleared it`);
    }
    // In reverse: `all` goes back up before the interfaces that it stood in for come down, and the uplinks, which were
    // the first, are the last: an interface that forwards costs them their default route.
    for (const { path, ours, original } of saved.reverse()) {
      if (!FAMILIES.some(({ forward }) => forward === path)) put(path, ours, original);
      this.#saved.forget(path);
    }
    this.#saved.store();
    return changes;
  }

  /** One that is no mobility interface any more. What stands in for a lowered `conf/all` stays, and so does an uplink's. */
  restoreInterface(link: { readonly name: string; readonly index: IfIndex }): SysctlChange[] {
    const changes: SysctlChange[] = [];
    for (const saved of this.#saved.all().reverse()) {
      const { path, ours, original, index } = saved;
      const family = FAMILIES.find(({ conf }) => path.startsWith(`${conf}/${link.name}/`));
      if (index !== link.index || family === undefined) continue;
      if (this.#isInUse(saved) || isOfUplink(saved)) continue;
      const to = Math.max(original, this.#takenFromAll(family, path.slice(path.lastIndexOf('/') + 1)));
      if (this.#read(path) === ours && ours !== to) {
        const failure = this.#write(path, to);
        const note = failure ?? 'no mobility interface now';
        changes.push({ path, from: ours, to, written: failure === undefined, note });
      }
      if (to === original) this.#saved.forget(path);
      else if (ours !== to) this.#saved.set({ ...saved, ours: to });
    }
    this.#saved.store();
    return changes;
  }

  /** An interface has vanished, and its values with it. */
  interfaceGone(iface: IfIndex): void {
    this.#forgetWhere(({ index }) => index === iface);
  }

  /** The kernel does no IPv6 there now. With a small MTU it has removed the values, and makes others when it does again. */
  ipv6Gone(iface: IfIndex): void {
    const { conf } = SYSCTLS_OF.ipv6;
    this.#forgetWhere(
      ({ path, index }) => index === iface && path.startsWith(`${conf}/`) && this.#read(path) === undefined,
    );
  }

  #forgetWhere(isGone: (saved: SavedSetting) => boolean): void {
    for (const saved of this.#saved.all()) if (isGone(saved)) this.#saved.forget(saved.path);
    this.#saved.store();
  }

  /** The value that an interface had, or has, from a global setting that we changed. */
  #takenFromAll({ conf, forward }: FamilySysctls, key: string): number {
    if (key === 'forwarding') return this.#saved.get(forward)?.ours ?? 0;
    return this.#saved.get(`${conf}/all/${key}`)?.original ?? 0;
  }

  #change(path: string, to: number, index: IfIndex, note?: string): SysctlChange {
    const from = this.#read(path) ?? 0;
    if (this.#options.mode === 'check') return { path, from, to, written: false, note };
    const failure = this.#write(path, to);
    if (failure === undefined) this.#save({ path, original: from, ours: to, index });
    return { path, from, to, written: failure === undefined, note: failure ?? note };
  }

  /** The first original counts, unless it was that of another interface of the same name. */
  #save(saved: SavedSetting): void {
    const known = this.#saved.get(saved.path);
    const original = known !== undefined && known.index === saved.index ? known.original : saved.original;
    this.#saved.set({ ...saved, original });
  }

  /** Of the interface in the path; 0 for `all` and `default`. */
  #indexIn(path: string): IfIndex {
    return this.#options.indexOf(path.split('/')[3] ?? '') ?? 0;
  }

  #interfaces(conf: string): string[] {
    try {
      return readdirSync(`${this.#root}/${conf}`).filter((name) => name !== 'all');
    } catch {
      return [];
    }
  }

  #forwarding({ conf }: FamilySysctls): Map<string, number> {
    const values = new Map<string, number>();
    for (const name of this.#interfaces(conf)) {
      const path = `${conf}/${name}/forwarding`;
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
}

/** `ip_forward`, `conf/all/forwarding`. */
function nameOf(forward: string): string {
  return forward.replace(/^net\/ipv[46]\//, '');
}

/** A setting that we change. An interface has no name that leads to another directory. */
function isOurs(path: string): boolean {
  return Object.values(SYSCTLS_OF).some(({ conf, forward, ofInterfaces }) => {
    if (path === forward) return true;
    if (!path.startsWith(`${conf}/`)) return false;
    const [name, key, ...more] = path.slice(conf.length + 1).split('/');
    if (name === '' || name === '.' || name === '..' || more.length > 0) return false;
    return ofInterfaces.some((sysctl) => sysctl.key === key);
  });
}

/** `accept_ra` = 2 is ours on interfaces that are no mobility interfaces alone. */
function isOfUplink({ path, ours }: SavedSetting): boolean {
  return path.endsWith('/accept_ra') && ours === 2;
}
