import { formatIp, formatMac, type Ip, type Mac, parseIp } from '../../../src/wire/addresses.js';
import type { DropReason } from '../../../src/mobility/events.js';
import type { Marpd, MarpdConfig } from '../kit/marpd.js';
import { CommandFailed, type Lab, type Namespace } from '../kit/namespace.js';
import { pause, waitFor } from '../kit/program.js';
import { PLACES } from '../routed/places.js';
import { RoutedSite } from '../routed/routed-site.js';
import { SOAK } from '../kit/lab-test.js';
import { LabHost } from './lab-host.js';
import { audit, claimsIn } from './audit.js';
import { EventLog } from './event-log.js';
import {
  addressOf,
  FIRST_HOP,
  LAN_PORT,
  lanOf,
  mustHave,
  nextHopOf,
  ORPHANS,
  placeOf,
  ROLE,
  ROUTER_NAMES,
} from './names.js';
import { type Known, prove, wipe } from './reset.js';
import { RealStream } from './stream.js';
import {
  type AlarmView,
  type Announce,
  type ArpIgnore,
  FIXTURES,
  type ClaimView,
  type ForgeOptions,
  type HostName,
  type HostSpec,
  type LanName,
  type Layout,
  type NodeName,
  type PlugOptions,
  type Role,
  ROUTERS,
  type RouterName,
  type Stream,
  type TransitionView,
  type Verdict,
  type World,
} from '../../scenario/world.js';

/**
 * How late a real machine may be: two cores with four routing daemons, and each look at them costs a process. A scenario
 * fails by more than that when something is wrong: the next thing that would help is a settle, a keepalive or the
 * routing protocol's dead interval.
 */
const SLACK_MS = 500;
const LOOK_EVERY_MS = 5;
const ECHO_TIMEOUT_S = 0.25;

/** The defaults in the long run; less in the short one, since scenarios wait for several of them again and again. */
const SETTLE_MS = SOAK ? 1000 : 600;
const KEEPALIVE_MS = SOAK ? 5000 : 600;

export const CONFIG: MarpdConfig = {
  router: { settle: `${SETTLE_MS}ms` },
  timers: { keepalive: `${KEEPALIVE_MS}ms` },
};

const BUILT: ReadonlySet<Layout> = new Set(['two', 'three', 'virtual-subnet']);

/** The world of namespaces, kernels, FRR with OSPF, and the daemon as it is built. */
export class RealWorld implements World {
  readonly settleMs: number = SETTLE_MS;
  readonly keepaliveMs = KEEPALIVE_MS;
  readonly #hosts = new Map<HostName, LabHost>();
  readonly #eventLogs = new Map<RouterName, EventLog>();
  readonly #cutOff = new Set<RouterName>();
  /** Routers whose daemon shall not run; any other that does not has died by itself. */
  protected readonly halted = new Set<RouterName>(ROUTER_NAMES);
  #strangers = 0;
  /** Of the present scenario; ms since 1970. */
  #began = Date.now();

  protected constructor(
    readonly layout: Layout,
    readonly site: RoutedSite,
  ) {}

  static async build(lab: Lab, layout: Layout): Promise<RealWorld> {
    if (!BUILT.has(layout)) throw new Error(`${layout} is not built: a real router has one LAN`);
    const site = new RoutedSite(lab, 'frr-ospf', {
      firstHops: (Object.keys(ROUTERS[layout]) as RouterName[]).map((name) => FIRST_HOP[name]),
      virtualSubnet: layout === 'virtual-subnet',
      orphans: ORPHANS,
      config: CONFIG,
    });
    const world = new RealWorld(layout, site);
    await world.open();
    return world;
  }

  protected async open(): Promise<void> {
    // In the scenarios' world the routers have one link each.
    this.site.cutCrossLinks();
    for (const name of this.routers) this.#eventLogs.set(name, new EventLog(name));
    await this.site.startEngines();
    for (const [name, spec] of Object.entries(FIXTURES) as [Role, HostSpec][]) {
      if (name === 'far') continue;
      const labHost = await LabHost.join(this.site, this.layout, name, spec);
      this.#hosts.set(name, labHost);
      await labHost.answersStreams();
    }
    await this.reset();
  }

  get routers(): readonly RouterName[] {
    return ROUTER_NAMES.filter((name) => this.site.firstHops.includes(FIRST_HOP[name]));
  }

  addresses(host: HostName): readonly Ip[] {
    const text = host === 'far' ? addressOf(FIXTURES.far) : this.labHost(host).says.ip;
    return [parseIp(text) as Ip];
  }

  gateways(host: HostName): readonly Ip[] {
    return [parseIp(this.labHost(host).says.gateway) as Ip];
  }

  // --- time --------------------------------------------------------------------------------------------------------

  now(): number {
    return performance.now();
  }

  advance(ms: number): Promise<void> {
    return pause(ms);
  }

  bound(ms: number): number {
    return ms + SLACK_MS;
  }

  async until(what: string, withinMs: number, condition: () => boolean | Promise<boolean>): Promise<number> {
    const start = this.now();
    for (;;) {
      const passed = this.now() - start;
      if (await condition()) return this.now() - start;
      if (passed > this.bound(withinMs)) {
        throw new Error(`not within ${withinMs} + ${this.bound(0)} ms: ${what}`);
      }
      await pause(LOOK_EVERY_MS);
    }
  }

  async always(what: string, forMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const start = this.now();
    do {
      const passed = this.now() - start;
      if (!(await condition())) throw new Error(`after ${passed.toFixed(0)} ms no more: ${what}`);
      await pause(LOOK_EVERY_MS);
    } while (this.now() - start < forMs);
  }

  // --- hosts -------------------------------------------------------------------------------------------------------

  async plug(host: HostName, lan: LanName, options: PlugOptions = {}): Promise<void> {
    await this.labHost(host).plug(lan, options.announce ?? 'gratuitous-request', options.carrierDrop ?? true);
  }

  unplug(host: HostName): Promise<void> {
    return this.labHost(host).unplug();
  }

  announce(host: HostName, how: Announce): Promise<void> {
    return this.labHost(host).announce(how);
  }

  async power(host: HostName, on: boolean): Promise<void> {
    this.labHost(host).power(on);
  }

  async arpIgnore(host: HostName, value: ArpIgnore): Promise<void> {
    this.labHost(host).arpIgnore(value);
  }

  async duplicate(host: HostName, lan: LanName, options?: PlugOptions): Promise<HostName> {
    const spec = FIXTURES[host as Role];
    if (spec === undefined) throw new Error(`only the cast is doubled in the real world, not ${host}`);
    const name = `${host}-${++this.#strangers}`;
    const mac = (0x02_dd_00_00_00_00 + this.#strangers) as Mac;
    this.#hosts.set(name, await LabHost.double(this.site, this.layout, name, { ...spec, mac }));
    await this.plug(name, lan, options);
    return name;
  }

  async forge(lan: LanName, options: ForgeOptions): Promise<HostName> {
    const name = `forger-${++this.#strangers}`;
    const own = formatMac((0x02_ee_00_00_00_00 + this.#strangers) as Mac);
    const forger = await LabHost.forger(
      this.site,
      this.layout,
      name,
      lan,
      own,
      FIXTURES[options.of as Role],
      options,
    );
    this.#hosts.set(name, forger);
    await forger.plug(lan, options.announce === 'request' ? 'arp-gateway' : options.announce, true);
    return name;
  }

  async crowd(): Promise<readonly HostName[]> {
    throw new Error('the real world has no crowd of single hosts: see test/lab/routed/evacuation.ts');
  }

  // --- routers -----------------------------------------------------------------------------------------------------

  async stop(router: RouterName, routes: 'withdraw' | 'keep' = 'withdraw'): Promise<void> {
    if (routes === 'keep')
      throw new Error('a daemon of the real world is configured to withdraw when it stops');
    this.halted.add(router);
    const status = await this.marpd(router).stop();
    if (status !== 0) throw new Error(`marpd of ${router} ended with ${status}`);
  }

  async kill(router: RouterName): Promise<void> {
    this.halted.add(router);
    await this.marpd(router).crash();
  }

  /** Returns when it is ready, as `systemctl start` does, and captures. */
  async start(router: RouterName): Promise<void> {
    const marpd = this.marpd(router);
    this.#eventLog(router).follow(marpd.launch());
    await marpd.answers();
    await marpd.captures(LAN_PORT);
    this.halted.delete(router);
  }

  async carrier(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    mustHave(this.layout, router, lan);
    const port = `${FIRST_HOP[router]}-${LAN_PORT}`;
    this.site.network.namespace.ip(`link set ${port} ${up ? 'up' : 'down'}`);
  }

  async admin(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    mustHave(this.layout, router, lan);
    this.node(router).ip(`link set ${LAN_PORT} ${up ? 'up' : 'down'}`);
  }

  /** A link that is up is one over which the routers have found each other again. */
  async coreLink(router: RouterName, up: boolean): Promise<void> {
    this.node('core').ip(`link set ${PLACES[FIRST_HOP[router]].corePort} ${up ? 'up' : 'down'}`);
    if (up) this.#cutOff.delete(router);
    else this.#cutOff.add(router);
    if (!up) return;
    const neighbours = this.routers.length - this.#cutOff.size;
    await waitFor(
      () => this.site.engine(ROLE.core).neighbours('ipv4') >= neighbours,
      10_000,
      `${neighbours} neighbours of the core`,
    );
  }

  async command(
    router: RouterName,
    name: 'prepare' | 'attach' | 'detach' | 'probe' | 'clear',
    subject: { readonly host: HostName; readonly lan: LanName },
  ): Promise<Verdict> {
    const { ip, mac } = this.labHost(subject.host).says;
    const body = name === 'probe' || name === 'clear' ? { ip } : { mac, ip: [ip], interface: LAN_PORT };
    const { status, body: answer } = await this.marpd(router).ctl.post(`/v1/${name}`, body);
    return { ok: status === 200, message: answer };
  }

  // --- what is seen ------------------------------------------------------------------------------------------------

  async route(node: NodeName, ip: Ip): Promise<string> {
    const [route] = this.#lookup(node, formatIp(ip));
    if (route === undefined) return 'nowhere';
    return node === 'core' ? nextHopOf(route.gateway) : placeOf(this.layout, node, route.dev);
  }

  async claims(router: RouterName): Promise<readonly ClaimView[]> {
    return claimsIn(this.site, this.layout, router);
  }

  async announcers(ip: Ip): Promise<readonly RouterName[]> {
    const holdings = this.site.engine(ROLE.core).holdings();
    const by = holdings.filter(({ table, ip: held }) => table === 'ospfd' && held === formatIp(ip));
    return this.routers.filter((name) => by.some((holding) => holding.by === PLACES[FIRST_HOP[name]].id));
  }

  async echo(from: HostName, to: HostName): Promise<boolean> {
    const target = FIXTURES[to as Role];
    if (target === undefined) throw new Error(`${to} answers no echo: it has the address of another`);
    return this.site.reaches(this.#namespace(from), addressOf(target), ECHO_TIMEOUT_S);
  }

  async stream(from: HostName, to: HostName): Promise<Stream> {
    return RealStream.start(this.#namespace(from), this.labHost(to));
  }

  async neighbour(host: HostName, ip: Ip): Promise<string | undefined> {
    const query = ['neigh', 'show', formatIp(ip), 'dev', 'eth0'];
    const [entry] = this.#namespace(host).json<{ lladdr?: string }>(...query);
    if (entry?.lladdr === undefined) return undefined;
    for (const [name, { says }] of this.#hosts) if (says.mac === entry.lladdr) return name;
    return this.routers.find((name) => PLACES[FIRST_HOP[name]].mac === entry.lladdr);
  }

  async conflicts(host: HostName): Promise<number> {
    return this.labHost(host).conflicts(this.#began);
  }

  async alarms(router: RouterName): Promise<readonly AlarmView[]> {
    await this.#caughtUp(router);
    return this.#eventLog(router).alarms;
  }

  async transitions(router: RouterName, ip: Ip): Promise<readonly TransitionView[]> {
    await this.#caughtUp(router);
    return this.#eventLog(router).transitions.filter((transition) => transition.ip === ip);
  }

  async drops(router: RouterName): Promise<ReadonlyMap<DropReason, number>> {
    const drops = await this.marpd(router).ctl.drops();
    return new Map(drops.map(({ reason, count }) => [reason, count]));
  }

  disagreements(): Promise<readonly string[]> {
    return audit(this.site);
  }

  // --- from scenario to scenario -----------------------------------------------------------------------------------------

  /** Undoes whatever a scenario did, and gives every router a daemon that knows nothing. @throws when something is left */
  async reset(): Promise<void> {
    const dead = this.routers.filter((name) => !this.halted.has(name) && !this.runs(name));
    if (dead.length > 0) throw new Error(`marpd of ${dead.join(' and ')} died by itself`);
    await this.reconnect();
    for (const [name, labHost] of this.#hosts) {
      if (name in FIXTURES) await labHost.backToStart();
      else await labHost.leave();
      if (!(name in FIXTURES)) this.#hosts.delete(name);
    }
    // Only a daemon takes its claims back; one that was killed gets a successor for that. The first has no past.
    const successors = this.routers.filter((name) => this.halted.has(name) && this.marpd(name).program);
    await Promise.all(successors.map((name) => this.start(name)));
    await Promise.all(this.routers.filter((name) => this.runs(name)).map((name) => this.stop(name)));
    await wipe(this.site);
    for (const { host } of this.#hosts.values()) host.namespace.ip('neigh flush dev eth0');
    this.site.remote.ip('neigh flush dev eth0');
    await this.labHost('neighbourA').plug('a', 'silent', true);
    await this.labHost('neighbourB').plug('b', 'silent', true);
    for (const log of this.#eventLogs.values()) log.clear();
    await Promise.all(this.routers.map((router) => this.start(router)));
    await prove(this.site, this.knownAtStart);
    this.#began = Date.now();
  }

  protected async reconnect(): Promise<void> {
    for (const name of this.routers) {
      await this.coreLink(name, true);
      await this.carrier(name, lanOf(this.layout, name), true);
      await this.admin(name, lanOf(this.layout, name), true);
    }
  }

  protected readonly knownAtStart: Known | undefined;

  /** Everything that was decided in this scenario, in order: what a failed one shows. */
  report(): string {
    const lines = [...this.#eventLogs.values()].flatMap(({ text }) => text);
    lines.sort((one, other) => one.at - other.at);
    return lines
      .slice(-60)
      .map(({ at, text }) => `  ${at.toFixed(0)} ${text}`)
      .join('\n');
  }

  // -----------------------------------------------------------------------------------------------------------------

  protected labHost(name: HostName): LabHost {
    const labHost = this.#hosts.get(name);
    if (labHost === undefined) throw new Error(`${name} has no cable in the real world`);
    return labHost;
  }

  #namespace(name: HostName): Namespace {
    return name === 'far' ? this.site.remote : this.labHost(name).host.namespace;
  }

  protected node(name: NodeName): Namespace {
    return this.site.router(ROLE[name]);
  }

  protected marpd(router: RouterName): Marpd {
    return this.site.marpd(FIRST_HOP[router]);
  }

  protected runs(router: RouterName): boolean {
    return this.marpd(router).program?.running === true;
  }

  #eventLog(router: RouterName): EventLog {
    return this.#eventLogs.get(router) as EventLog;
  }

  #lookup(node: NodeName, ip: string): { readonly dev: string; readonly gateway?: string }[] {
    try {
      return this.node(node).json('route', 'get', ip);
    } catch (error) {
      if (error instanceof CommandFailed && /unreachable/.test(error.message)) return [];
      throw error;
    }
  }

  /** Once a daemon that lives has answered, its log is read up to then. */
  async #caughtUp(router: RouterName): Promise<void> {
    if (this.runs(router)) await this.marpd(router).ctl.status();
  }
}
