import type { IfIndex, Link } from '../mobility/events.js';
import type { SysctlChange, Sysctls } from './sysctl.js';

export interface SettingsCheckOptions {
  readonly settings: Sysctls;
  /** The mobility interfaces. */
  readonly links: () => readonly Link[];
  /** Somebody else changed a setting; `name` undefined: of the whole machine. */
  readonly onChanged: (name: string | undefined, message: string) => void;
}

/** Most settings change without an event: those of so many interfaces are looked at each second, in turn. */
const CHECK_MS = 1000;
const CHECKED_INTERFACES = 8;
/** After an event, so that somebody who sets a setting again and again does not keep us busy. */
const SOON_MS = 50;

/** Settings that were right and are not any more: mended in mode `apply`, and reported in any case. */
export class SettingsCheck {
  readonly #options: SettingsCheckOptions;
  /** Interfaces whose settings were applied. */
  readonly #known = new Set<IfIndex>();
  /** What is wrong and stays so: it is reported once. */
  readonly #wrong = new Set<string>();
  #isGlobalApplied = false;
  #turn = 0;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  readonly #due = new Set<IfIndex | 'all'>();

  constructor(options: SettingsCheckOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      const links = this.#options.links().filter(({ index }) => this.#known.has(index));
      if (this.#turn >= links.length) this.#turn = 0;
      this.#check(links.slice(this.#turn, this.#turn + CHECKED_INTERFACES));
      this.#turn += CHECKED_INTERFACES;
    }, CHECK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
  }

  /** Of the whole machine, at the start; returns what was, or has to be, changed. */
  applyGlobal(): SysctlChange[] {
    this.#isGlobalApplied = true;
    return this.#note(this.#options.settings.applyGlobal());
  }

  /** Returns what was, or has to be, changed on interfaces that are new; on others that is a change by somebody else. */
  apply(links: readonly Link[]): SysctlChange[] {
    const isKnown = ({ index }: Link) => this.#known.has(index);
    const added = links.filter((link) => !isKnown(link));
    if (added.length < links.length) this.#check(links.filter(isKnown));
    for (const { index } of added) this.#known.add(index);
    return this.#note(this.#options.settings.apply(...added));
  }

  /** It is no mobility interface any more, or gone. */
  forget(iface: IfIndex): void {
    this.#known.delete(iface);
  }

  /** A setting there was changed, perhaps by us. */
  soon(iface: IfIndex | 'all'): void {
    if (iface !== 'all' && !this.#known.has(iface)) return;
    this.#due.add(iface);
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#check(this.#options.links().filter(({ index }) => this.#due.has(index)));
      this.#due.clear();
    }, SOON_MS);
  }

  #check(links: readonly Link[]): void {
    const { settings, onChanged } = this.#options;
    const global = this.#isGlobalApplied ? settings.applyGlobal() : [];
    const changes = [...global, ...settings.apply(...links)];
    const names = new Set(['all', ...links.map(({ name }) => name)]);
    for (const { path, from, to, written } of changes) {
      const name = nameIn(path);
      // (What other interfaces get when `all` is lowered is none of theirs.)
      if (name !== undefined && !names.has(name)) continue;
      if (!written && this.#wrong.has(path)) continue;
      const key = path.replaceAll('/', '.');
      onChanged(
        name === 'all' ? undefined : name,
        `somebody else set ${key} to ${from}; it ${written ? `is ${to} again` : `should be ${to}`}`,
      );
    }
    for (const path of [...this.#wrong]) if (names.has(nameIn(path) ?? 'all')) this.#wrong.delete(path);
    this.#note(changes);
  }

  #note(changes: SysctlChange[]): SysctlChange[] {
    for (const { path, written } of changes) if (!written) this.#wrong.add(path);
    return changes;
  }
}

/** The interface in `net/ipv4/conf/lan0/forwarding`; `all` for a setting of the whole machine. */
function nameIn(path: string): string | undefined {
  return /^net\/ipv[46]\/conf\/(.+)\/\w+$/.exec(path)?.[1];
}
