import type { Host, HostOptions } from '../kit/host.js';
import { PROTOCOL } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import type { EngineName } from './engines.js';
import { addFirstHopIpv6 } from './ipv6-addresses.js';
import { type FirstHop, NET1, type PairedLan, PLACES, type Role, SHARED_GATEWAY, twinOf } from './places.js';
import { RedundantFiles, type RedundantSiteOptions, type VrrpChanges } from './redundant-files.js';
import { RoutedSite } from './routed-site.js';
import {
  addMacvlan,
  addMacvlanIpv6,
  hasGateway,
  Keepalived,
  untilActive,
  VIRTUAL_PORT,
  VIRTUAL_PORT_IPV6,
} from './virtual-router.js';

/**
 * The routed site with redundant first-hop routers, the site of config/redundant-routers:
 *
 *     net1 10.1.1.0/24 ─┬─ lan0 [R1] core0 ─ 192.0.2.0/30 ─ core0 [R3] srv0 ─ remote 198.51.100.2
 *       gateway .1      │  .2     │ core1 ─ 192.0.2.8/30       │ core2
 *                       └─ lan0 [R2] core0 ─ 192.0.2.4/30 ─ core1 │
 *                          .3                                  │
 *     net4 10.2.2.0/24 ─── lan0 [R4] core0 ─ 192.0.2.12/30 ────┘
 *
 * On request net4 has two routers as well, with the same VRID:
 *
 *     net4 10.2.2.0/24 ─┬─ lan0 [R4] core0 ─ 192.0.2.12/30 ─ core2 [R3]
 *       gateway .1      │  .2     │ core1 ─ 192.0.2.20/30
 *                       └─ lan0 [R5] core0 ─ 192.0.2.16/30 ─ core3 [R3]
 *                          .3
 */

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

/** Protocols of routes that a router has from its daemons. */
const LEARNED = [PROTOCOL, 'ospf', 'bgp', 'bird', 'zebra'];
/** RTPROT_KERNEL. */
const BY_KERNEL = '2';

export class RedundantSite {
  readonly routed: RoutedSite;
  readonly #files: RedundantFiles;
  readonly #keepaliveds = new Map<FirstHop, Keepalived>();
  /** Ports of the switch on the other half of a LAN. */
  readonly #torn = new Map<PairedLan, readonly string[]>();

  constructor(
    readonly lab: Lab,
    readonly engineName: EngineName,
    readonly options: RedundantSiteOptions,
  ) {
    this.#files = new RedundantFiles(engineName, options);
    this.routed = new RoutedSite(lab, engineName, {
      firstHops: this.#files.firstHops,
      orphans: options.orphans ?? [],
      families: options.families ?? ['ipv4'],
      config: { ...(this.#files.hasIpv6 ? this.#files.subnets : {}), ...options.config },
      differs: (role) => this.#files.of(role),
    });
    for (const role of this.pairedRouters) {
      if (options.vrrp === 'frr') this.#addMacvlans(role);
      if (options.vrrp !== 'keepalived') continue;
      const config = this.#files.keepalivedConf(role, this.routed);
      this.#keepaliveds.set(role, new Keepalived(this.router(role), config));
    }
  }

  get paired(): readonly PairedLan[] {
    return this.#files.paired;
  }

  /** All that share their LAN with another one. */
  get pairedRouters(): readonly FirstHop[] {
    return this.#files.pairedRouters;
  }

  /** @throws for a router that is alone on its LAN */
  lanOf(role: FirstHop): PairedLan {
    return this.#files.lanOf(role);
  }

  /** The gateway's addresses on a LAN, of all families. */
  gatewaysOf({ gateway }: PairedLan): readonly string[] {
    return this.#files.hasIpv6 ? [gateway, SHARED_GATEWAY, twinOf(gateway)] : [gateway];
  }

  otherOf(role: FirstHop): FirstHop {
    return this.lanOf(role).routers.find((other) => other !== role) as FirstHop;
  }

  router(role: Role): Namespace {
    return this.routed.router(role);
  }

  get remote(): Namespace {
    return this.routed.remote;
  }

  /** Gives a running keepalived another configuration. */
  reconfigure(role: FirstHop, changes: VrrpChanges): void {
    const daemon = this.keepalived(role);
    daemon.configure(this.#files.keepalivedConf(role, this.routed, changes));
    if (daemon.running) daemon.reload();
  }

  keepalived(role: FirstHop): Keepalived {
    const daemon = this.#keepaliveds.get(role);
    if (daemon === undefined) throw new Error(`there is no keepalived on ${role}`);
    return daemon;
  }

  /** A visitor of the LAN by default: its home is R4's. */
  host(role: string, options: Partial<HostOptions> = {}): Host {
    return this.routed.host(role, { address: '10.2.2.5/24', gateway: '10.2.2.1', ...options });
  }

  /** Everything, with the first router of each pair active. */
  async start(): Promise<this> {
    await this.routed.start();
    await this.startVrrp();
    return this;
  }

  async startVrrp(): Promise<void> {
    if (this.options.vrrp === undefined) return;
    await Promise.all([...this.#keepaliveds.values()].map((daemon) => daemon.start()));
    for (const lan of this.paired) await this.#firstActive(lan);
  }

  async #firstActive(lan: PairedLan): Promise<void> {
    const [first, second] = lan.routers;
    if (this.options.vrrp === 'keepalived') return this.untilActive(first, 30_000);
    // Without preemption it is whoever was there first.
    await waitFor(() => this.active(lan) !== undefined, 30_000, 'one of them to have the gateway');
    if (this.active(lan) === second) await this.handBack(first);
  }

  async untilActive(role: FirstHop, timeoutMs?: number): Promise<void> {
    const gateways = this.gatewaysOf(this.lanOf(role));
    await untilActive(gateways, this.router(role), this.router(this.otherOf(role)), timeoutMs);
  }

  /** Waits until it has the gateway, whatever the other one believes of itself. */
  async untilTaken(role: FirstHop, timeoutMs?: number): Promise<void> {
    await untilActive(this.gatewaysOf(this.lanOf(role)), this.router(role), undefined, timeoutMs);
  }

  /**
   * Waits until a router that has returned is active again. keepalived sees to it after its delay; vrrpd, which has none,
   * is configured to stay with the other one, so that has to step down for a moment.
   */
  async handBack(to: FirstHop): Promise<void> {
    const from = this.otherOf(to);
    const preempts = this.options.vrrp === 'keepalived' && to === this.lanOf(to).routers[0];
    if (preempts) return this.untilActive(to, 30_000);
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
  async #canTakeOver(role: FirstHop): Promise<void> {
    await waitFor(
      () => {
        const known = waysOf(this.router(role));
        return [...waysOf(this.router(this.otherOf(role)))].every((way) => known.has(way));
      },
      30_000,
      `${role} to know the ways of ${this.otherOf(role)}`,
    );
  }

  /** Who has the gateway, in all families; undefined when nobody or both. */
  active(lan: PairedLan = NET1): FirstHop | undefined {
    const having = this.gatewaysOf(lan).map((gateway) =>
      lan.routers.filter((role) => hasGateway(this.router(role), gateway)).join(),
    );
    const [first] = having;
    return having.every((roles) => roles === first) ? lan.routers.find((role) => role === first) : undefined;
  }

  // --- faults --------------------------------------------------------------------------------------------------------

  async strike(role: FirstHop, fault: Fault): Promise<void> {
    const port = `${role}-lan0`;
    const router = this.router(role);
    if (fault === 'lan') this.routed.network.namespace.ip(`link set ${port} down`);
    if (fault === 'silent-lan') this.#silence(port, true);
    if (fault === 'uplink') this.router('r3').ip(`link set ${PLACES[role].corePort} down`);
    if (fault === 'power') {
      // In one process, the LAN last: nothing that a daemon still says gets out.
      router.ip(...this.#cards.map((card) => `link set ${card} down`));
      await this.#kill(role);
    }
    if (fault === 'silent-power') {
      // Without its daemons it says nothing on the core's links; it shall forward nothing either.
      const killed = this.#kill(role);
      this.#forwarding(router, false);
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
    role: FirstHop,
    fault: Fault,
    startMarpd: () => Promise<unknown> = () => this.routed.marpd(role).start('lan0'),
  ): Promise<void> {
    const port = `${role}-lan0`;
    const router = this.router(role);
    if (fault === 'lan') this.routed.network.namespace.ip(`link set ${port} up`);
    if (fault === 'uplink') this.router('r3').ip(`link set ${PLACES[role].corePort} up`);
    if (fault === 'silent-lan') this.#silence(port, false);
    if (fault !== 'power' && fault !== 'silent-power') return;
    this.#forget(role);
    if (fault === 'power') router.ip(...this.#cards.map((card) => `link set ${card} up`));
    else {
      this.#forwarding(router, true);
      this.#silence(port, false);
    }
    if (this.#files.hasIpv6) addFirstHopIpv6(this.routed, role);
    if (this.options.vrrp === 'frr') this.#addMacvlans(role);
    await this.#boot(role, startMarpd);
  }

  #forwarding(router: Namespace, on: boolean): void {
    router.sysctl({
      'ipv4.ip_forward': Number(on),
      ...(this.#files.hasIpv6 ? { 'ipv6.conf.all.forwarding': Number(on) } : {}),
    });
  }

  #addMacvlans(role: FirstHop): void {
    const lan = this.lanOf(role);
    addMacvlan(this.router(role), lan.gateway);
    if (this.#files.hasIpv6) addMacvlanIpv6(this.router(role), this.gatewaysOf(lan).slice(1));
  }

  // The switch drops what comes from the port and what goes to it; the card keeps its carrier.
  #silence(port: string, on: boolean): void {
    this.routed.network.namespace.exec('bridge', 'link', 'set', 'dev', port, 'state', on ? '0' : '3');
  }

  /** Whether VRRP's advertisements, which are multicast, pass the switch; all else does. */
  adverts({ routers }: PairedLan, pass: boolean): void {
    const ports = routers.map(
      (role) => `link set dev ${role}-lan0 type bridge_slave mcast_flood ${pass ? 'on' : 'off'}`,
    );
    this.routed.network.namespace.ip(...ports);
  }

  /** Tears a LAN in two: these ports of the switch are on the other half. Nobody's carrier goes. None: it is whole. */
  tear(lan: PairedLan, ports: readonly string[]): void {
    const { network } = this.routed;
    const { segment } = lan;
    const half = `${segment}-half`;
    const torn = this.#torn.get(lan) ?? [];
    if (ports.length > 0 && torn.length === 0) network.add(half);
    network.namespace.ip(
      ...torn.map((port) => `link set ${port} master ${segment}`),
      ...ports.map((port) => `link set ${port} master ${half}`),
      ...(ports.length === 0 && torn.length > 0 ? [`link del ${half}`] : []),
    );
    this.#torn.set(lan, ports);
  }

  async #kill(role: FirstHop): Promise<void> {
    await Promise.all([
      this.#keepaliveds.get(role)?.crash(),
      this.routed.engine(role).crash(),
      this.routed.marpd(role).crash(),
    ]);
  }

  // What a kernel does not have when it starts.
  #forget(role: FirstHop): void {
    const router = this.router(role);
    router.ipQuietly(
      `link del ${VIRTUAL_PORT}`,
      `link del ${VIRTUAL_PORT_IPV6}`,
      'neigh flush dev lan0',
      'neigh flush dev lan0 nud permanent',
      ...LEARNED.map((protocol) => `route flush proto ${protocol}`),
    );
    if (!this.#files.hasIpv6) return;
    for (const protocol of LEARNED) router.status('ip', '-6', 'route', 'flush', 'proto', protocol);
  }

  /** As the units of a booting machine start: keepalived after the others (keepalived-marpd.conf). */
  async #boot(role: FirstHop, startMarpd: () => Promise<unknown>): Promise<void> {
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
  const show = (family: string) => router.json<{ dst: string; protocol?: string }>(family, 'route', 'show');
  const ways = [
    ...show('-4').filter(({ dst }) => !dst.startsWith('192.0.2.')),
    // The kernel has each address of its own there, too.
    ...show('-6').filter(({ protocol }) => protocol !== BY_KERNEL),
  ];
  return new Set(ways.flatMap(({ dst, protocol }) => (protocol === PROTOCOL ? [dst, `${dst} here`] : [dst])));
}
