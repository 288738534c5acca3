import { type Engine, type EngineName, SETTLE, makeEngine, shippedConfig } from './engines.js';
import { type Moved, Replugger, RouteWatch } from './gauges.js';
import {
  type Announcement,
  Host,
  type HostOptions,
  Switch,
  arpRequest,
  gratuitousRequest,
} from '../kit/host.js';
import type { Family } from '../../../src/wire/addresses.js';
import { Marpd, type MarpdConfig, PROTOCOL } from '../kit/marpd.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { neighborAdvertisement } from '../kit/nd.js';
import { waitFor } from '../kit/program.js';
import {
  CROSS_LINKS,
  type FirstHop,
  HOST,
  type Place,
  PLACES,
  R3_ID,
  type Role,
  SHARED_GATEWAY,
  type Subnet,
  isMobile,
  prefixesOf,
  twinOf,
} from './places.js';
import { plainCables } from './cables.js';
import { addIpv6, prepareIpv6 } from './ipv6-addresses.js';
import { permit, rendered, type RouterFiles } from './router-files.js';

/** Routers, hosts and cables of test/lab/routed/places.ts, with their daemons. */

export interface RoutedSiteOptions {
  /** R1 and R2 by default, which are always there. */
  readonly firstHops?: readonly FirstHop[];
  /** Home subnets that no router has connected: known to every marpd, and let through by every FRR. */
  readonly orphans?: readonly Subnet[];
  /** Virtual Subnet (RFC 7814): R2 has the subnet of R1, with the same gateway, and all hosts have a claim. */
  readonly virtualSubnet?: boolean;
  /** One MAC for the gateway on R1 and R2. */
  readonly oneGatewayMac?: boolean;
  /** Merged over the default sections of every marpd. */
  readonly config?: MarpdConfig;
  /** IPv4 alone by default: then IPv6 is off everywhere. With both, every host is dual-stack. */
  readonly families?: readonly Family[];
  /** Links and addresses of all routers and of the remote host, instead of those of test/lab/routed/places.ts. */
  readonly cables?: (site: RoutedSite) => void;
  /** How a router differs from those of config/frr and config/bird. */
  readonly differs?: (role: Role) => RouterFiles;
}

export class RoutedSite {
  readonly network: Switch;
  readonly routers: Readonly<Record<'r1' | 'r2' | 'r3', Namespace> & Partial<Record<Role, Namespace>>>;
  readonly remote: Namespace;
  readonly firstHops: readonly FirstHop[];
  readonly families: readonly Family[];
  readonly marpds = new Map<FirstHop, Marpd>();
  readonly engines = new Map<Role, Engine>();
  #replugger: Promise<Replugger> | undefined;
  #watch: RouteWatch | undefined;

  constructor(
    readonly lab: Lab,
    readonly engineName: EngineName,
    private readonly options: RoutedSiteOptions = {},
  ) {
    this.firstHops = options.firstHops ?? ['r1', 'r2'];
    this.network = new Switch(lab, [...new Set(this.firstHops.map((role) => this.place(role).segment))]);
    const [r1, r2, r3, remote] = lab.create('r1', 'r2', 'r3', 'remote') as [
      Namespace,
      Namespace,
      Namespace,
      Namespace,
    ];
    const others = lab.create(...this.firstHops.filter((role) => role !== 'r1' && role !== 'r2'));
    this.routers = { r1, r2, r3, ...Object.fromEntries(others.map((router) => [router.role, router])) };
    this.remote = remote;
    this.families = options.families ?? ['ipv4'];
    if (this.hasIpv6) prepareIpv6(this);
    (options.cables ?? plainCables)(this);
    if (this.hasIpv6) addIpv6(this);
    const config = {
      interface: [{ name: 'lan0', ...(options.virtualSubnet === true ? { learn: 'all' } : {}) }],
      subnet: [...this.#subnets(), ...(options.orphans ?? [])],
      ...options.config,
      router: {
        settle: SETTLE[engineName],
        ...(this.hasIpv6 ? { families: [...this.families] } : {}),
        ...(options.config?.router as object | undefined),
      },
    };
    for (const role of this.firstHops) {
      const own = options.differs?.(role).marpd;
      this.marpds.set(role, new Marpd(this.router(role), { ...config, ...own }));
    }
    for (const role of this.roles) this.#addEngine(role, options.orphans ?? []);
  }

  place(role: FirstHop): Place {
    const place = this.#placeOf(role);
    if (role !== 'r2' || this.options.virtualSubnet !== true) return place;
    const mac = this.options.oneGatewayMac === true ? PLACES.r1.mac : place.mac;
    return { ...place, lan: PLACES.r1.lan, mac };
  }

  #placeOf(role: FirstHop): Place {
    return { ...PLACES[role], ...this.options.differs?.(role).place };
  }

  /** Home subnets of the site: that of each LAN, as if none were stretched. */
  #subnets(): Subnet[] {
    const gateways = new Set(
      this.firstHops.map((role) => this.#placeOf(role).lan.replace(/\.\d+\/24$/, '.1')),
    );
    const ipv4 = [...gateways].map((gateway) => ({ prefix: gateway.replace(/1$/, '0/24'), gateway }));
    if (!this.hasIpv6) return ipv4;
    const lans = this.firstHops.map((role) => this.addressOn(role));
    const ipv6 = prefixesOf(lans).map((prefix) => ({ prefix, gateway: SHARED_GATEWAY }));
    return [...(this.families.includes('ipv4') ? ipv4 : []), ...ipv6];
  }

  get hasIpv6(): boolean {
    return this.families.includes('ipv6');
  }

  /** Address of a router on its LAN. */
  addressOn(role: FirstHop): string {
    return this.place(role).lan;
  }

  get roles(): Role[] {
    return [...this.firstHops, 'r3'];
  }

  get crossLinks() {
    return CROSS_LINKS.filter(([one, , other]) =>
      [one, other].every((role) => this.firstHops.includes(role)),
    );
  }

  /** Leaves each first-hop router its link to R3 only. */
  cutCrossLinks(): void {
    for (const [one, , other] of this.crossLinks)
      for (const role of [one, other]) this.router(role).ip('link set core1 down');
  }

  #addEngine(role: Role, orphans: readonly Subnet[]): void {
    const config = this.options.differs?.(role).engine ?? this.#engineConfig(role);
    const permitted = role === 'r3' ? config : permit(config, orphans);
    this.engines.set(role, makeEngine(this.engineName, this.router(role), permitted, this.families));
  }

  // R4 and R5 are R2 with other addresses.
  #engineConfig(role: Role): string {
    if (role !== 'r4' && role !== 'r5') return shippedConfig(this.engineName, role);
    return rendered(shippedConfig(this.engineName, 'r2'), 'r2', role);
  }

  router(role: Role): Namespace {
    const router = this.routers[role];
    if (router === undefined) throw new Error(`there is no ${role} on this site`);
    return router;
  }

  marpd(role: FirstHop): Marpd {
    const marpd = this.marpds.get(role);
    if (marpd === undefined) throw new Error(`there is no marpd on ${role}`);
    return marpd;
  }

  engine(role: Role): Engine {
    const engine = this.engines.get(role);
    if (engine === undefined) throw new Error(`there is no routing daemon on ${role}`);
    return engine;
  }

  /** Starts the routing daemons and waits until everybody knows every subnet. */
  async startEngines(): Promise<this> {
    await Promise.all([...this.engines.values()].map((engine) => engine.start()));
    await this.converged();
    return this;
  }

  async startDaemons(): Promise<this> {
    await Promise.all([...this.marpds.values()].map((marpd) => marpd.start('lan0')));
    return this;
  }

  async start(): Promise<this> {
    await this.startEngines();
    return this.startDaemons();
  }

  async converged(timeoutMs = 30_000): Promise<void> {
    const peers = this.firstHops.length;
    for (const family of this.families) {
      await waitFor(
        () => this.engine('r3').neighbours(family) >= peers,
        timeoutMs,
        `${peers} neighbours of ${this.engineName} at R3 (${family})`,
        50,
      );
      const lans = this.firstHops.map((role) => this.addressOn(role));
      const wanted =
        family === 'ipv4'
          ? ['198.51.100.0/24', ...lans.map((lan) => lan.replace(/\.\d+\/24$/, '.0/24'))]
          : ['2001:db8:51::/64', ...prefixesOf(lans)];
      for (const role of this.roles) {
        await waitFor(
          () => {
            const known = this.#routes(role, family).map(({ dst }) => dst);
            return wanted.every((prefix) => known.includes(prefix));
          },
          timeoutMs,
          `the subnets of the site in the kernel of ${role}`,
          50,
        );
      }
    }
  }

  /** A host that is plugged in nowhere yet. Its home is net1; its address of IPv6, if any, is the twin of its other one. */
  host(role = 'host', options: Partial<HostOptions> = {}): Host {
    const { address = `${HOST}/24` } = options;
    const ipv6 = this.hasIpv6
      ? { ipv6: { addresses: [`${twinOf(address)}/64`], gateway: SHARED_GATEWAY } }
      : undefined;
    return new Host(this.network, role, { gateway: '10.1.1.1', ...ipv6, ...options, address });
  }

  /** Starts to note every change of host routes in the kernels of the routers. */
  async watchRoutes(): Promise<RouteWatch> {
    this.#watch ??= await RouteWatch.start(this.roles.map((role) => this.router(role)));
    return this.#watch;
  }

  /** Moves the cable of a host to the LAN of a router and lets it speak at once. */
  async move(
    host: Host,
    to: FirstHop,
    options: { readonly carrierDrop?: boolean; readonly says?: Announcement } = {},
  ): Promise<Moved> {
    this.#replugger ??= Replugger.start(this.network.namespace);
    const { carrierDrop = true, says = 'request' } = options;
    const replugger = await this.#replugger;
    const { segment } = this.place(to);
    return replugger.move(host.cable.port, segment, host.namespace, carrierDrop, this.#words(host, says));
  }

  #words(host: Host, says: Announcement): Uint8Array[] {
    if (says === 'reply') throw new Error('a moved host says request, arp-gateway or nothing');
    if (says === 'silent') return [];
    const all: readonly (readonly [Family, () => readonly Uint8Array[]])[] = [
      [
        'ipv4',
        () => [
          says === 'request'
            ? gratuitousRequest(host.ip, host.mac)
            : arpRequest(host.ip, host.mac, host.gateway),
        ],
      ],
      ['ipv6', () => host.ipv6.map((ip) => neighborAdvertisement(ip, host.mac))],
    ];
    return all.filter(([family]) => this.families.includes(family)).flatMap(([, frames]) => frames());
  }

  /** Pulls the cable of a host out. */
  async unplug(host: Host): Promise<Moved> {
    this.#replugger ??= Replugger.start(this.network.namespace);
    return (await this.#replugger).move(host.cable.port, undefined, host.namespace, true);
  }

  /** True when `from` gets one echo of `ip` within the time. */
  reaches(from: Namespace, ip: string, timeoutSeconds = 0.3): boolean {
    return from.status('ping', '-n', '-q', '-c', '1', '-W', String(timeoutSeconds), ip) === 0;
  }

  async reachable(from: Namespace, ip: string, timeoutMs = 3000): Promise<void> {
    await waitFor(() => this.reaches(from, ip), timeoutMs, `an echo of ${ip} at ${from.role}`);
  }

  /**
   * Compares all kernels and all tables of all routing daemons with where the hosts are.
   * @param truth hosts away from home with the router that has them; a host that is not named is at home or off
   * @returns what is wrong, one sentence each
   */
  stuckRoutes(truth: ReadonlyMap<string, FirstHop>): string[] {
    const problems: string[] = [];
    for (const role of this.roles) {
      const self = role === 'r3' ? R3_ID : PLACES[role].id;
      const routes = this.#hostRoutes(role);
      const routed = new Set(routes.map(({ dst }) => dst));
      for (const { dst, protocol, metric } of routes) {
        const at = truth.get(dst);
        const ours = protocol === PROTOCOL;
        if (at === undefined || ours !== (at === role)) {
          problems.push(
            `kernel of ${role}: ${dst} proto ${protocol} metric ${metric}, it is at ${at ?? 'home'}`,
          );
        }
      }
      for (const [ip, at] of truth) {
        if (!routed.has(ip)) problems.push(`kernel of ${role}: no route to ${ip}, which is at ${at}`);
      }
      for (const { table, ip, by } of this.engine(role).holdings()) {
        if (!isMobile(ip)) continue;
        const at = truth.get(ip);
        const right =
          at !== undefined &&
          (by === PLACES[at].id || (table === 'zebra' && (by === 'local') === (at === role)));
        if (!right)
          problems.push(
            `${table} of ${role}: ${ip} by ${by}${by === self ? ' (itself)' : ''}, it is at ${at ?? 'home'}`,
          );
      }
    }
    return problems;
  }

  /** Who announces each host route of the site, as a router's tables say; zebra's does not know. */
  announcers(at: Role): Map<string, FirstHop[]> {
    const found = new Map<string, FirstHop[]>();
    const known = this.engine(at).knownRouters();
    const dead = (id: string): boolean => known?.has(id) === false;
    for (const { table, ip, by } of this.engine(at).holdings()) {
      if (table === 'zebra' || !isMobile(ip) || dead(by)) continue;
      const role = this.firstHops.find((each) => PLACES[each].id === by);
      if (role === undefined) throw new Error(`${ip} is announced by ${by}`);
      found.set(ip, [...new Set([...(found.get(ip) ?? []), role])]);
    }
    return found;
  }

  /** Waits until nothing is wrong any more. */
  async clean(truth: ReadonlyMap<string, FirstHop>, timeoutMs = 5000): Promise<void> {
    let problems: string[] = [];
    try {
      await waitFor(
        () => {
          problems = this.stuckRoutes(truth);
          return problems.length === 0;
        },
        timeoutMs,
        'every table to agree with where the hosts are',
        100,
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${problems.slice(0, 20).join('\n')}`);
    }
  }

  #hostRoutes(role: Role): { dst: string; protocol: string; metric: number }[] {
    return this.families
      .flatMap((family) => this.#routes(role, family))
      .filter(({ dst }) => isMobile(dst) && !dst.includes('/'))
      .map(({ dst, protocol, metric }) => ({ dst, protocol, metric: metric ?? 0 }));
  }

  #routes(role: Role, family: Family): { dst: string; protocol: string; metric?: number }[] {
    return this.router(role).json(family === 'ipv4' ? '-4' : '-6', 'route', 'show');
  }
}
