import { parse } from 'smol-toml';
import type { Host, HostOptions } from '../kit/host.js';
import { type MarpdConfig, PROTOCOL } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import type { EngineName } from './engines.js';
import { type FirstHop, type Role, RoutedSite, type RouterFiles, type Subnet } from './routed-site.js';
import {
  addMacvlan,
  GATEWAY,
  hasGateway,
  Keepalived,
  redundantExample,
  untilActive,
  VIRTUAL_PORT,
  type Vrrp,
} from './virtual-router.js';

/**
 * The routed site with redundant first-hop routers, the site of config/redundant-routers:
 *
 *     net1 10.1.1.0/24 ─┬─ lan0 [R1] core0 ─ 192.0.2.0/30 ─ core0 [R3] srv0 ─ remote 198.51.100.2
 *       gateway .1      │  .2     │ core1 ─ 192.0.2.8/30       │ core2
 *                       └─ lan0 [R2] core0 ─ 192.0.2.4/30 ─ core1 │
 *                          .3                                  │
 *     net4 10.2.2.0/24 ─── lan0 [R4] core0 ─ 192.0.2.12/30 ────┘
 */

export const PAIR = ['r1', 'r2'] as const;
export type Twin = (typeof PAIR)[number];
export const otherOf = (role: Twin): Twin => (role === 'r1' ? 'r2' : 'r1');

/** What becomes of a router. */
export type Fault =
  /** Its cable of the LAN is out. */
  | 'lan'
  /** As before, and its card does not notice. */
  | 'silent-lan'
  /** Its link to the core is out. */
  | 'uplink'
  /** All its daemons are gone and all its cables out. */
  | 'power'
  /** As before, and nobody's card notices. */
  | 'silent-power';

export interface RedundantSiteOptions {
  /** Undefined: none, and R1 has the gateway's address on its interface. */
  readonly vrrp: Vrrp | undefined;
  /** Milliseconds; 100 as shipped. */
  readonly advertMs?: number;
  /** Seconds; 10 as shipped. 0 preempts at once. */
  readonly preemptDelayS?: number;
  /** R1 and R2 have no link with each other (core1). */
  readonly oneLink?: boolean;
  readonly orphans?: readonly Subnet[];
  /** Merged over the default sections of every marpd. */
  readonly config?: MarpdConfig;
  /** Merged over those of R1 and R2 only; `interface` and so their role is that of the shipped file. */
  readonly pairConfig?: MarpdConfig;
  /** So many packets of BFD, 50 ms apart, may be late before a neighbour counts as dead; 3 as shipped. FRR only. */
  readonly bfdPackets?: number;
}

/** How one router's keepalived differs from what we ship. */
export interface VrrpChanges {
  readonly priority?: number;
  /** False: it preempts after its preempt_delay. */
  readonly atOnce?: boolean;
  /** What it tracks; all of it as shipped. */
  readonly uplink?: boolean;
  readonly marpd?: boolean;
  readonly routing?: boolean;
}

const ENGINE_FILE: Readonly<Record<EngineName, string>> = {
  'frr-ospf': 'frr.conf',
  'frr-bgp': 'frr-bgp.conf',
  'bird-bgp': 'bird.conf',
  'bird-ospf': '',
};

export class RedundantSite {
  readonly routed: RoutedSite;
  readonly #keepaliveds = new Map<Twin, Keepalived>();
  #torn: readonly string[] = [];

  constructor(
    readonly lab: Lab,
    readonly engineName: EngineName,
    readonly options: RedundantSiteOptions,
  ) {
    if (ENGINE_FILE[engineName] === '') throw new Error(`no example of redundant routers with ${engineName}`);
    if (options.vrrp === 'frr' && engineName !== 'frr-ospf') throw new Error("vrrpd's example has OSPF");
    this.routed = new RoutedSite(lab, engineName, {
      third: true,
      orphans: options.orphans ?? [],
      config: options.config ?? {},
      redundant: (role) => this.#files(role),
    });
    for (const role of PAIR) {
      const router = this.router(role);
      if (options.vrrp === 'frr') addMacvlan(router);
      if (options.vrrp !== 'keepalived') continue;
      this.#keepaliveds.set(role, new Keepalived(router, this.keepalivedConf(role)));
    }
  }

  #files(role: Role): RouterFiles {
    if (role === 'r4') return {};
    if (role === 'r3') return { engine: this.#bfd(redundantExample(role, ENGINE_FILE[this.engineName])) };
    const { vrrp, advertMs = 100, pairConfig } = this.options;
    const engine =
      vrrp === 'frr'
        ? replaced(redundantExample(role, 'frr-vrrpd.conf'), 'advertisement-interval 100', advertMs)
        : this.#bfd(redundantExample(role, ENGINE_FILE[this.engineName]));
    const { interface: interfaces } = parse(redundantExample(role, 'marpd.toml')) as MarpdConfig;
    if (vrrp === undefined)
      return { engine, marpd: { ...pairConfig }, ...(role === 'r1' ? { lan: `${GATEWAY}/24` } : {}) };
    return { engine, marpd: { interface: interfaces, ...pairConfig } as MarpdConfig };
  }

  #bfd(engine: string): string {
    const { bfdPackets } = this.options;
    return bfdPackets === undefined ? engine : replaced(engine, 'detect-multiplier 3', bfdPackets);
  }

  /** What we ship, with the sockets of this lab. */
  keepalivedConf(role: Twin, changes: VrrpChanges = {}): string {
    const { advertMs = 100, preemptDelayS = 10 } = this.options;
    let shipped = redundantExample(role, 'keepalived.conf');
    if (changes.priority !== undefined)
      shipped = shipped.replace(/^  priority \d+/m, `  priority ${changes.priority}`);
    if (changes.uplink === false) shipped = shipped.replace(/  track_interface {[^}]*}\n/, '');
    if (changes.marpd === false) shipped = shipped.replace(/^    marpd\n/m, '');
    if (changes.routing === false) shipped = shipped.replace(/^    routing\n/m, '');
    if (changes.atOnce === true) shipped = shipped.replace(/^  preempt_delay .*\n/m, '');
    // A router of the lab has the shell of its own FRR only.
    const shell = this.routed.engine(role).commands[0]?.replace(/ -c .*/, '');
    const check = this.engineName.startsWith('frr')
      ? `${shell} -d ospfd -c 'show ip ospf'`
      : this.routed.engine(role).commands[0]?.replace('show route all', 'show status');
    return replaced(replaced(shipped, 'advert_int 0.1', advertMs / 1000), 'preempt_delay 10', preemptDelayS)
      .replace('/run/marpd/marpd.sock', this.routed.marpd(role).socket)
      .replace(/(script )".*vtysh.*"/, `$1"/usr/bin/env ${check}"`);
  }

  router(role: Role): Namespace {
    return this.routed.router(role);
  }

  get remote(): Namespace {
    return this.routed.remote;
  }

  /** Gives a running keepalived another configuration. */
  reconfigure(role: Twin, changes: VrrpChanges): void {
    const daemon = this.keepalived(role);
    daemon.configure(this.keepalivedConf(role, changes));
    if (daemon.running) daemon.reload();
  }

  keepalived(role: Twin): Keepalived {
    const daemon = this.#keepaliveds.get(role);
    if (daemon === undefined) throw new Error(`there is no keepalived on ${role}`);
    return daemon;
  }

  /** A visitor of the LAN by default: its home is R4's. */
  host(role: string, options: Partial<HostOptions> = {}): Host {
    return this.routed.host(role, { address: '10.2.2.5/24', gateway: '10.2.2.1', ...options });
  }

  /** Everything, with R1 active. */
  async start(): Promise<this> {
    await this.routed.start();
    await this.startVrrp();
    return this;
  }

  async startVrrp(): Promise<void> {
    if (this.options.vrrp === undefined) return;
    await Promise.all([...this.#keepaliveds.values()].map((daemon) => daemon.start()));
    if (this.options.vrrp === 'keepalived') return this.untilActive('r1', 30_000);
    // Without preemption it is whoever was there first.
    await waitFor(() => this.active() !== undefined, 30_000, 'one of them to have the gateway');
    if (this.active() === 'r2') await this.handBack('r1');
  }

  async untilActive(role: Twin, timeoutMs?: number): Promise<void> {
    await untilActive(this.router(role), this.router(otherOf(role)), timeoutMs);
  }

  /** Waits until it has the gateway, whatever the other one believes of itself. */
  async untilTaken(role: Twin, timeoutMs?: number): Promise<void> {
    await untilActive(this.router(role), undefined, timeoutMs);
  }

  /**
   * Waits until a router that has returned is active again. keepalived sees to it after its delay; vrrpd, which has none,
   * is configured to stay with the other one, so that has to step down for a moment.
   */
  async handBack(to: Twin): Promise<void> {
    const from = otherOf(to);
    if (this.options.vrrp === 'keepalived' && to === 'r1') return this.untilActive('r1', 30_000);
    await this.#canTakeOver(to);
    if (this.options.vrrp === 'frr') {
      const vrrp = (command: string): void => this.routed.engine(from).configure('interface lan0', command);
      vrrp('vrrp 7 shutdown');
      await this.untilTaken(to);
      vrrp('no vrrp 7 shutdown');
    } else {
      this.reconfigure(to, { priority: 200 });
    }
    await this.untilActive(to, 30_000);
  }

  // The same that keepalived waits for by its delay: the returned router knows every way that the other one knows, and its
  // marpd the hosts of the LAN. ospfd has the prefixes up to a second before the claims.
  async #canTakeOver(role: Twin): Promise<void> {
    await waitFor(
      () => {
        const known = waysOf(this.router(role));
        return [...waysOf(this.router(otherOf(role)))].every((way) => known.has(way));
      },
      30_000,
      `${role} to know the ways of ${otherOf(role)}`,
    );
  }

  /** Who has the gateway; undefined when nobody or both. */
  active(): Twin | undefined {
    const having = PAIR.filter((role) => hasGateway(this.router(role)));
    return having.length === 1 ? having[0] : undefined;
  }

  // --- faults --------------------------------------------------------------------------------------------------------

  async strike(role: Twin, fault: Fault): Promise<void> {
    const port = `${role}-lan0`;
    const router = this.router(role);
    if (fault === 'lan') this.routed.network.namespace.ip(`link set ${port} down`);
    if (fault === 'silent-lan') this.#silence(port, true);
    if (fault === 'uplink') this.router('r3').ip(`link set ${CORE_PORT[role]} down`);
    if (fault === 'power') {
      // In one process, the LAN last: nothing that a daemon still says gets out.
      router.ip(...this.#cards.map((card) => `link set ${card} down`));
      await this.#kill(role);
    }
    if (fault === 'silent-power') {
      // Without its daemons it says nothing on the core's links; it shall forward nothing either.
      const killed = this.#kill(role);
      router.sysctl({ 'ipv4.ip_forward': 0 });
      this.#silence(port, true);
      await killed;
    }
  }

  get #cards(): string[] {
    return [...(this.options.oneLink === true ? [] : ['core1']), 'core0', 'lan0'];
  }

  /**
   * Ends a fault; a router that was without power boots.
   * @param startMarpd how its marpd is started then
   */
  async mend(
    role: Twin,
    fault: Fault,
    startMarpd: () => Promise<unknown> = () => this.routed.marpd(role).start('lan0'),
  ): Promise<void> {
    const port = `${role}-lan0`;
    const router = this.router(role);
    if (fault === 'lan') this.routed.network.namespace.ip(`link set ${port} up`);
    if (fault === 'uplink') this.router('r3').ip(`link set ${CORE_PORT[role]} up`);
    if (fault === 'silent-lan') this.#silence(port, false);
    if (fault !== 'power' && fault !== 'silent-power') return;
    this.#forget(role);
    if (fault === 'power') router.ip(...this.#cards.map((card) => `link set ${card} up`));
    else {
      router.sysctl({ 'ipv4.ip_forward': 1 });
      this.#silence(port, false);
    }
    if (this.options.vrrp === 'frr') addMacvlan(router);
    await this.#boot(role, startMarpd);
  }

  // The switch drops what comes from the port and what goes to it; the card keeps its carrier.
  #silence(port: string, on: boolean): void {
    this.routed.network.namespace.exec('bridge', 'link', 'set', 'dev', port, 'state', on ? '0' : '3');
  }

  /** Whether VRRP's advertisements, which are multicast, pass the switch; all else does. */
  adverts(pass: boolean): void {
    const ports = PAIR.map(
      (role) => `link set dev ${role}-lan0 type bridge_slave mcast_flood ${pass ? 'on' : 'off'}`,
    );
    this.routed.network.namespace.ip(...ports);
  }

  /** Tears the LAN in two: these ports of the switch are on the other half. Nobody's carrier goes. None: it is whole. */
  tear(ports: readonly string[]): void {
    const { network } = this.routed;
    const { segment } = this.routed.place('r1');
    const half = `${segment}-half`;
    if (ports.length > 0 && this.#torn.length === 0) network.add(half);
    network.namespace.ip(
      ...this.#torn.map((port) => `link set ${port} master ${segment}`),
      ...ports.map((port) => `link set ${port} master ${half}`),
      ...(ports.length === 0 && this.#torn.length > 0 ? [`link del ${half}`] : []),
    );
    this.#torn = ports;
  }

  async #kill(role: Twin): Promise<void> {
    await Promise.all([
      this.#keepaliveds.get(role)?.crash(),
      this.routed.engine(role).crash(),
      this.routed.marpd(role).crash(),
    ]);
  }

  // What a kernel does not have when it starts.
  #forget(role: Twin): void {
    const router = this.router(role);
    router.ipQuietly(
      `link del ${VIRTUAL_PORT}`,
      'neigh flush dev lan0',
      'neigh flush dev lan0 nud permanent',
      'route flush proto 44',
      ...['ospf', 'bgp', 'bird', 'zebra'].map((protocol) => `route flush proto ${protocol}`),
    );
  }

  /** As the units of a booting machine start: keepalived after the others (keepalived-marpd.conf). */
  async #boot(role: Twin, startMarpd: () => Promise<unknown>): Promise<void> {
    await Promise.all([this.routed.engine(role).start(), startMarpd()]);
    await this.#keepaliveds.get(role)?.start();
  }

  // --- what is wrong -------------------------------------------------------------------------------------------------

  /**
   * Compares kernels, daemons and the core's tables: each of `here` has one announcer, R1 or R2, and the core sends there;
   * each host of `elsewhere` is announced by its router alone.
   * @returns what is wrong, one sentence each
   */
  disagreements(here: readonly string[], elsewhere: ReadonlyMap<string, FirstHop> = new Map()): string[] {
    const problems: string[] = [];
    const announced = this.routed.announcers('r3');
    const by = (ip: string): string => announced.get(ip)?.join(' and ') ?? 'nobody';
    for (const ip of here)
      if (by(ip) !== 'r1' && by(ip) !== 'r2') problems.push(`${ip} is announced by ${by(ip)}`);
    for (const [ip, at] of elsewhere)
      if (by(ip) !== at) problems.push(`${ip} is at ${at} and announced by ${by(ip)}`);
    for (const ip of announced.keys())
      if (!here.includes(ip) && !elsewhere.has(ip)) problems.push(`${ip} is announced by ${by(ip)}`);
    return problems;
  }

  async agrees(
    here: readonly string[],
    elsewhere: ReadonlyMap<string, FirstHop> = new Map(),
    timeoutMs = 10_000,
  ): Promise<void> {
    let problems: string[] = [];
    try {
      await waitFor(
        () => {
          problems = this.disagreements(here, elsewhere);
          return problems.length === 0;
        },
        timeoutMs,
        'one announcer for each host',
        50,
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${problems.slice(0, 20).join('\n')}`);
    }
  }

  /** Alarms of all marpds that run, `r1: message`. */
  async alarms(): Promise<string[]> {
    const found: string[] = [];
    for (const [role, marpd] of this.routed.marpds) {
      if (marpd.program?.running !== true) continue;
      found.push(...(await marpd.ctl.status()).alarms.map(({ message }) => `${role}: ${message}`));
    }
    return found;
  }
}

/** What a router has routes to, other routers excepted, and which hosts of its LAN its marpd has routes to. */
function waysOf(router: Namespace): Set<string> {
  const routes = router.json<{ dst: string; protocol?: string }>('route', 'show');
  const ways = routes.filter(({ dst }) => !dst.startsWith('192.0.2.'));
  return new Set(ways.flatMap(({ dst, protocol }) => (protocol === PROTOCOL ? [dst, `${dst} here`] : [dst])));
}

/** R3's interface to each of them. */
const CORE_PORT: Readonly<Record<Twin, string>> = { r1: 'core0', r2: 'core1' };

/** @throws when the file that we ship has no such line */
function replaced(text: string, setting: string, value: number): string {
  // (Only the one that preempts has a delay.)
  if (setting.startsWith('preempt_delay') && !text.includes('preempt_delay')) return text;
  if (!text.includes(setting)) throw new Error(`no "${setting}" in what we ship`);
  return text.replace(setting, `${setting.split(' ')[0]} ${value}`);
}
