import { join } from 'node:path';
import type { Action, ClaimAge, Event, IfIndex, Link } from '../mobility/events.js';
import type { Child } from '../system/child-watch.js';
import type { Family, Ip } from '../wire/addresses.js';
import { AdvertisedUplinks } from './watch/advertised-uplinks.js';
import { KernelWatch } from './watch/kernel-watch.js';
import { type AdoptedClaim, Claims } from './claims/claims.js';
import { Rules } from './ip/rules.js';
import { SettingsCheck } from './settings-check.js';
import { type SysctlChange, Sysctls } from './sysctl.js';

export interface KernelOptions {
  /** Of other families nothing is read or changed. */
  readonly families: readonly Family[];
  /** Our own route protocol number. */
  readonly protocol: number;
  readonly freshTable: number;
  readonly settledTable: number;
  readonly watchTables: readonly number[];
  readonly freshMetric: number;
  readonly settledMetric: number;
  /** Where original kernel settings are kept until they are restored. */
  readonly stateDirectory: string;
  readonly settings: 'apply' | 'check';
  /** Asked after the link's own event was handled. */
  readonly isMobility: (iface: IfIndex) => boolean;
  /** The mobility interface whose LAN a macvlan is part of; any other interface itself. */
  readonly lanOf: (iface: IfIndex) => IfIndex;
  readonly onEvent: (event: Event) => void;
  readonly onInstalled: (ip: Ip, age: ClaimAge, dev: string) => void;
  /** An interface was set down and up again without an event: what is bound to it receives nothing more. */
  readonly onFlap: (iface: IfIndex) => void;
  /** Somebody else changed a setting; `name` undefined: of the whole machine. */
  readonly onSettingChanged: (name: string | undefined, message: string) => void;
  readonly onWarning: (message: string) => void;
  readonly onInfo: (message: string) => void;
  /** The daemon cannot do its work; the message says what it lacks. */
  readonly onFatal: (message: string) => void;
}

/** What the tracker may ask of the kernel. */
export type KernelAction = Extract<
  Action,
  { readonly kind: 'claim' | 'release' | 'forget-neighbour' | 'stuck-route-repair' }
>;

export interface KernelStats {
  /** Commands that the kernel has not acknowledged, and addresses that wait to be sent. */
  readonly pending: number;
  readonly commands: number;
  readonly refused: number;
  /** Processes of `ip` that died and were replaced. */
  readonly restarts: number;
}

/** Reconcile "slowly for ever" (design.md 5.6), and soon after an interface swept its routes away. */
const RECONCILE_MS = 60_000;
const SOON_MS = 200;

/** The way in: passes link events to claims and sysctls before and after the tracker, in one order. */
export class Kernel {
  readonly #options: KernelOptions;
  readonly #watch: KernelWatch;
  readonly #claims: Claims;
  readonly #rules: Rules;
  readonly #settings: Sysctls;
  #slowly: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  /** Interfaces whose settings are to be applied at the end of this turn. */
  readonly #unset = new Map<IfIndex, Link>();
  /** Macvlans on mobility interfaces whose settings were applied. */
  readonly #virtual = new Set<IfIndex>();
  readonly #settingsCheck: SettingsCheck;
  readonly #advertised = new AdvertisedUplinks();
  /** Interfaces on which the kernel does no IPv6 at present. */
  readonly #withoutIpv6 = new Set<IfIndex>();
  /** Before the routes were read it is not known which uplinks need care. */
  #mayForward: boolean;

  /** @throws Error when the tables cannot be asked in the order fresh, remote, settled */
  constructor(options: KernelOptions) {
    this.#options = options;
    const { families, protocol, watchTables, onEvent, onWarning, onFatal } = options;
    this.#mayForward = !families.includes('ipv6');
    this.#rules = new Rules(options, onWarning);
    this.#settings = new Sysctls({
      mode: options.settings,
      families,
      advertisedUplinks: () => this.#advertisedUplinks(),
      stateFile: join(options.stateDirectory, 'sysctl.state'),
      indexOf: (name) => this.#watch.links.indexOf(name),
      hasMacvlan: (iface) => this.#hasMacvlan(iface),
      onWarning,
    });
    this.#watch = new KernelWatch({
      families,
      protocol,
      watchTables,
      onEvent: (event) => this.#onEvent(event),
      onBatchEnd: () => this.#claims.flush(),
      onOwnRouteDeleted: (route) => this.#claims.routeDeleted(route.prefix.ip, route),
      onOwnNeighbourDeleted: (ip, iface) => this.#claims.neighbourDeleted(ip, iface),
      onResync: (reason) => this.#reconcileSoon(reason),
      onFlap: options.onFlap,
      onSetting: (iface) => this.#settingsCheck.soon(iface),
      onWarning,
    });
    this.#settingsCheck = new SettingsCheck({
      settings: this.#settings,
      links: () => [...this.#watch.links.all()].filter(({ index }) => this.#isOnLan(index)),
      onChanged: options.onSettingChanged,
    });
    this.#claims = new Claims({
      families,
      protocol,
      fresh: { table: options.freshTable, metric: options.freshMetric },
      settled: { table: options.settledTable, metric: options.settledMetric },
      onEvent,
      onInstalled: options.onInstalled,
      onWarning,
      onDenied: (refusal) =>
        onFatal(`the kernel refuses to change routes (${refusal}): marpd needs CAP_NET_ADMIN`),
      indexOf: (dev) => this.#watch.links.indexOf(dev),
      foreignNeighbour: (ip, dev) => {
        const iface = this.#watch.links.indexOf(dev);
        return iface !== undefined && this.#watch.foreign.has(ip, iface);
      },
      foreignMac: (ip, iface) => this.#watch.foreign.macOf(ip, iface),
      look: (iface) => this.#watch.look(iface),
    });
  }

  /** Resolves when the complete state of links, neighbours and routes was reported. Rejects when `ip` does not work. */
  async start(): Promise<void> {
    this.#settings.takeOver();
    this.#rules.apply();
    await this.#watch.start();
    this.#report(this.#settingsCheck.applyGlobal());
    if (!this.#mayForward) {
      this.#mayForward = true;
      this.#settle();
    }
    this.#settingsCheck.start();
    this.#slowly = setInterval(() => void this.reconcile('periodic'), RECONCILE_MS);
    this.#slowly.unref();
  }

  /** The claims of an earlier run; call once, after start(). */
  adopt(): Promise<AdoptedClaim[]> {
    return this.#claims.adopt();
  }

  /** Compares what is wanted with what is installed and repairs the difference. */
  reconcile(reason: string): Promise<void> {
    return this.#claims.reconcile(reason);
  }

  carryOut(action: KernelAction): void {
    switch (action.kind) {
      case 'claim':
        return this.#claims.want(action);
      case 'release':
        return this.#claims.release(action.ip);
      case 'forget-neighbour':
        return this.#claims.forgetNeighbour(action.ip, action.dev);
      case 'stuck-route-repair':
        return this.#claims.repairStuckRoute(action.ip, action.present);
    }
  }

  /** Sends what was asked for since the last time. */
  flush(): void {
    this.#claims.flush();
  }

  get children(): Child[] {
    return [...this.#watch.children, ...this.#claims.batch.children];
  }

  stats(): KernelStats {
    const { commands, pending, refused } = this.#claims;
    const restarts = this.#claims.batch.deaths + this.#watch.deaths;
    return { pending, commands, refused, restarts };
  }

  /** Withdraws or keeps our routes, restores the kernel's settings, and leaves nothing running. */
  async stop(onExit: 'withdraw' | 'keep'): Promise<void> {
    clearInterval(this.#slowly);
    clearTimeout(this.#soon);
    this.#settingsCheck.stop();
    this.#unset.clear();
    this.#watch.stop();
    await this.#claims.stop(onExit);
    if (onExit === 'withdraw') this.#rules.remove();
    this.#report(this.#settings.restore({ keepForwarding: onExit === 'keep' }));
  }

  #onEvent(event: Event): void {
    this.#advertised.note(event);
    if (event.kind === 'link') {
      this.#noteIpv6(event.link);
      if (this.#claims.linkChanged(event.link)) this.#reconcileSoon('an interface changed');
    } else if (event.kind === 'link-gone') {
      this.#claims.linkGone(event.iface);
    }
    this.#options.onEvent(event);
    if (event.kind === 'link') this.applySettings(event.link);
    else if (event.kind === 'link-gone') {
      this.#unset.delete(event.iface);
      this.#virtual.delete(event.iface);
      this.#withoutIpv6.delete(event.iface);
      this.#settings.interfaceGone(event.iface);
      this.#settingsCheck.forget(event.iface);
    }
  }

  /** With IPv6 its settings come back, as those of a new interface. */
  #noteIpv6({ index, hasIpv6 }: Link): void {
    if (hasIpv6 === false) {
      this.#withoutIpv6.add(index);
      this.#settings.ipv6Gone(index);
    } else if (this.#withoutIpv6.delete(index)) this.#settingsCheck.forget(index);
  }

  #advertisedUplinks(): string[] {
    const uplinks = [...this.#advertised.all()].filter((iface) => !this.#isOnLan(iface));
    return uplinks.flatMap((iface) => this.#watch.links.get(iface)?.name ?? []);
  }

  /**
   * Also after a reload: an interface that became a mobility interface, or is none any more. Done at the end of the
   * turn: taps come by the hundred, and each makes several events.
   */
  applySettings(link: Link): void {
    if (!this.#isOnLan(link.index)) {
      this.#unset.delete(link.index);
      this.#settingsCheck.forget(link.index);
      return this.#report(this.#settings.restoreInterface(link));
    }
    if (this.#unset.size === 0) setImmediate(() => this.#settle());
    this.#unset.set(link.index, link);
    this.#applyToMacvlans(this.#options.lanOf(link.index));
  }

  /** With a macvlan a LAN needs more. */
  #applyToMacvlans(lan: IfIndex): void {
    const lower = this.#watch.links.get(lan);
    if (lower === undefined) return;
    for (const link of this.#watch.links.all()) {
      const { index } = link;
      if (index === lan || this.#options.lanOf(index) !== lan || this.#virtual.has(index)) continue;
      this.#virtual.add(index);
      this.#settingsCheck.forget(lan);
      this.#unset.set(index, link).set(lan, lower);
    }
  }

  /** A mobility interface, or a macvlan on one: what comes in by it is from the same hosts. */
  #isOnLan(iface: IfIndex): boolean {
    return this.#options.isMobility(this.#options.lanOf(iface));
  }

  /** Whether it is such a macvlan, or has one. */
  #hasMacvlan(iface: IfIndex): boolean {
    const { lanOf } = this.#options;
    const lan = lanOf(iface);
    return [...this.#watch.links.all()].some(({ index }) => index !== lan && lanOf(index) === lan);
  }

  #settle(): void {
    if (!this.#mayForward) return;
    const links = [...this.#unset.values()];
    this.#unset.clear();
    this.#report(this.#settingsCheck.apply(links));
  }

  #reconcileSoon(reason: string): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.reconcile(reason);
    }, SOON_MS);
  }

  #report(changes: readonly SysctlChange[]): void {
    for (const { path, from, to, written, note } of changes) {
      const key = path.replaceAll('/', '.');
      const rest = note === undefined ? '' : ` (${note})`;
      if (written) this.#options.onInfo(`${key} = ${to}, was ${from}${rest}`);
      else this.#options.onWarning(`${key} is ${from}, should be ${to}${rest}`);
    }
  }
}
