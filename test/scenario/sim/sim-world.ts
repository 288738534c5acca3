import assert from 'node:assert/strict';
import { formatIp, type Ip, type Ipv4, isIpv4, type Mac } from '../../../src/wire/addresses.js';
import type { Alarm, DropReason, Transition } from '../../../src/mobility/events.js';
import { audit, claimsIn } from './audit.js';
import type { Clock } from './clock.js';
import type { Segment } from './segment.js';
import { inWords } from './transcript.js';
import { SimHost } from './stack/host.js';
import type { SimKernel } from './kernel.js';
import type { SimRouter } from './router.js';
import {
  indexOf,
  mac,
  macvlanOf,
  ROUTER_DEAD_MS,
  type SimOptions,
  Site,
  VIRTUAL_MAC,
  VRRP_TIMES,
  WAN,
} from './site.js';
import {
  type Announce,
  type ArpIgnore,
  FIXTURES,
  type ClaimView,
  CROWD,
  ipv6In,
  SHARED_GATEWAY,
  type ForgeOptions,
  type HostName,
  type HostSpec,
  type LanName,
  LANS,
  ORPHAN,
  type Layout,
  type NodeName,
  type PlugOptions,
  type RouterName,
  type Stream,
  type Verdict,
  type RedundantWorld,
  type RoleView,
  type Tracking,
} from '../world.js';

/** The simulated world: everything in virtual time, the trackers of the routers real. */
/** A condition is looked at this often, at most. */
const LOOK_EVERY_MS = 0.05;

export class SimWorld implements RedundantWorld {
  readonly clock: Clock;
  readonly settleMs: number;
  readonly keepaliveMs: number;
  readonly advertMs = VRRP_TIMES.advertMs;
  readonly activeDownMs = 4 * VRRP_TIMES.advertMs + 5;
  readonly preemptDelayMs = VRRP_TIMES.preemptDelayMs;
  readonly routerDeadMs = ROUTER_DEAD_MS;
  readonly hosts = new Map<HostName, SimHost>();
  private readonly site: Site;
  private strangers = 0;

  constructor(
    readonly layout: Layout,
    options: SimOptions = {},
  ) {
    this.site = new Site(layout, options);
    this.clock = this.site.clock;
    this.settleMs = this.site.policy.timers.settleMs;
    this.keepaliveMs = this.site.policy.interfaces[0]?.keepaliveMs ?? 0;
    for (const [name, spec] of Object.entries(FIXTURES)) this.addHost(name, spec);
    this.host('far').plug(this.site.far, true);
    this.host('neighbourA').plug(this.segment('a'), true);
    this.host('neighbourB').plug(this.segment('b'), true);
    this.clock.runUntil(1000);
    for (const router of this.routers.values()) router.start();
    this.clock.runUntil(2000);
  }

  get routers(): ReadonlyMap<RouterName, SimRouter> {
    return this.site.routers;
  }

  addresses(host: HostName): readonly Ip[] {
    return this.host(host).addresses;
  }

  gateways(host: HostName): readonly Ip[] {
    return this.host(host).gateways;
  }

  // --- time --------------------------------------------------------------------------------------------------------

  now(): number {
    return this.clock.now();
  }

  async advance(ms: number): Promise<void> {
    this.clock.runUntil(this.now() + ms);
  }

  bound(ms: number): number {
    return ms;
  }

  async until(what: string, withinMs: number, condition: () => boolean | Promise<boolean>): Promise<number> {
    const start = this.now();
    for (;;) {
      if (await condition()) return this.now() - start;
      const lookedAt = this.now();
      if (!this.clock.step(start + withinMs)) break;
      // What a look sends is more to happen: looked at each time, it would never end.
      this.clock.runWithin(Math.min(start + withinMs, lookedAt + LOOK_EVERY_MS));
    }
    this.clock.runUntil(start + withinMs);
    if (await condition()) return withinMs;
    return assert.fail(`not within ${withinMs} ms: ${what}\n${this.report()}`);
  }

  async always(what: string, forMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const start = this.now();
    do {
      if (!(await condition()))
        assert.fail(`after ${(this.now() - start).toFixed(1)} ms no more: ${what}\n${this.report()}`);
    } while (this.clock.step(start + forMs));
    this.clock.runUntil(start + forMs);
  }

  // --- hosts -------------------------------------------------------------------------------------------------------

  async plug(name: HostName, lan: LanName, options: PlugOptions = {}): Promise<void> {
    const host = this.host(name);
    host.plug(this.segment(lan), options.carrierDrop ?? true);
    host.announce(options.announce ?? 'gratuitous-request');
  }

  async unplug(name: HostName): Promise<void> {
    this.host(name).unplug();
  }

  async announce(name: HostName, how: Announce): Promise<void> {
    this.host(name).announce(how);
  }

  async power(name: HostName, on: boolean): Promise<void> {
    this.host(name).alive = on;
  }

  async arpIgnore(name: HostName, value: ArpIgnore): Promise<void> {
    this.host(name).arpIgnore = value;
  }

  async duplicate(name: HostName, lan: LanName, options?: PlugOptions): Promise<HostName> {
    const stranger = `${name}-${++this.strangers}`;
    this.addHost(stranger, {
      ...this.host(name).spec,
      mac: (mac('02:dd:00:00:00:00') + this.strangers) as Mac,
    });
    await this.plug(stranger, lan, options);
    return stranger;
  }

  async forge(lan: LanName, options: ForgeOptions): Promise<HostName> {
    const name = `forger-${++this.strangers}`;
    const own = (mac('02:ee:00:00:00:00') + this.strangers) as Mac;
    const { ip, ipv6 } = this.host(options.of).spec;
    const { gateway, prefixLength } = LANS[lan];
    const forger = this.addHost(name, { ip, mac: options.mac ?? own, gateway, prefixLength, ipv6 });
    forger.plug(this.segment(lan), true);
    forger.answers = options.answers;
    const { announce } = options;
    if (announce === 'probe') forger.announce('probe-once');
    else forger.announce(announce === 'request' ? 'arp-gateway' : announce);
    return name;
  }

  async crowd(count: number): Promise<readonly HostName[]> {
    const names: HostName[] = [];
    for (let i = 0; i < count; i++) {
      const name = `member-${i}`;
      const ip = (CROWD.network + 256 + i + Math.floor(i / 250) * 6) as Ipv4;
      const ipv6 = { ips: [ipv6In(CROWD, 256 + i)], gateway: SHARED_GATEWAY, prefixLength: 64 };
      const { gateway, prefixLength } = CROWD;
      this.addHost(name, { ip, mac: (mac('02:cc:00:00:00:00') + i) as Mac, gateway, prefixLength, ipv6 });
      names.push(name);
    }
    return names;
  }

  /** A host whose home is nowhere, with so many IPv6 addresses. */
  guest(name: HostName, addresses: number): void {
    const ips = Array.from({ length: addresses }, (_, i) => ipv6In(ORPHAN, 0x100 + i));
    const { v } = FIXTURES;
    this.addHost(name, { ...v, mac: mac('02:00:0a:09:09:11'), ipv6: { ...v.ipv6, ips } });
  }

  /** `disable_ipv6` of the router's interface on a LAN. */
  ipv6(router: RouterName, lan: LanName, on: boolean): void {
    this.kernel(router).setIpv6(indexOf(lan), on);
  }

  // --- routers -----------------------------------------------------------------------------------------------------

  async stop(router: RouterName, routes: 'withdraw' | 'keep' = 'withdraw'): Promise<void> {
    this.router(router).stop(routes);
    this.site.reviewVrrp();
  }

  async kill(router: RouterName): Promise<void> {
    this.router(router).kill();
    this.site.reviewVrrp();
  }

  async start(router: RouterName): Promise<void> {
    this.router(router).start();
    this.site.reviewVrrp();
  }

  async carrier(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    this.kernel(router).setCarrier(indexOf(lan), up);
    if (!up) this.segment(lan).forget(this.kernel(router));
    this.site.reviewVrrp();
  }

  async admin(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    this.kernel(router).setAdmin(indexOf(lan), up);
    this.site.reviewVrrp();
  }

  async coreLink(router: RouterName, up: boolean): Promise<void> {
    this.kernel(router).setCarrier(WAN, up);
    this.site.domain.setLink(router, 'core', up);
    this.site.reviewVrrp();
  }

  async role(router: RouterName, lan: LanName): Promise<RoleView | undefined> {
    const view = this.router(router).ctx?.roleOn(indexOf(lan));
    return view && { role: view.role, state: view.state, contests: view.contests, reason: view.why };
  }

  async active(lan: LanName): Promise<readonly RouterName[]> {
    const isActive = (name: RouterName) => {
      const kernel = this.kernel(name);
      const { up, carrier, addresses } = kernel.link(macvlanOf(lan));
      return kernel.powered && up && carrier && addresses.length > 0;
    };
    return [...this.routers.keys()].filter(
      (name) => this.site.virtualRouters.get(lan)?.has(name) === true && isActive(name),
    );
  }

  async fail(router: RouterName, how: 'carrier' | 'silent'): Promise<void> {
    this.site.fail(router, how);
  }

  async boot(router: RouterName): Promise<void> {
    this.site.boot(router);
    this.clock.runUntil(this.now() + 150);
  }

  async prefer(router: RouterName, lan: LanName): Promise<void> {
    this.virtualRouter(lan).prefer(router);
  }

  async adverts(lan: LanName, pass: boolean): Promise<void> {
    this.virtualRouter(lan).passes = pass;
  }

  async track(lan: LanName, what: Tracking): Promise<void> {
    this.virtualRouter(lan).track(what);
  }

  async tear(lan: LanName, otherHalf: readonly (RouterName | HostName)[]): Promise<void> {
    const boxes = otherHalf.map((name) => this.site.kernels.get(name as RouterName) ?? this.host(name));
    this.segment(lan).tear(new Set(boxes));
  }

  private virtualRouter(lan: LanName) {
    const virtualRouter = this.site.virtualRouters.get(lan);
    if (virtualRouter === undefined)
      throw new Error(`no virtual router on lan ${lan} in layout ${this.layout}`);
    return virtualRouter;
  }

  async command(
    router: RouterName,
    name: 'prepare' | 'attach' | 'detach' | 'probe' | 'clear',
    subject: { readonly host: HostName; readonly lan: LanName },
  ): Promise<Verdict> {
    const { addresses: ips, mac: address } = this.host(subject.host);
    const target = this.router(router);
    if (name !== 'probe' && name !== 'clear')
      return target.command({ name, mac: address, ips, interface: `lan${subject.lan}` });
    const verdicts = await Promise.all(ips.map((ip) => target.command({ name, ip })));
    return verdicts.find(({ ok }) => !ok) ?? (verdicts[0] as Verdict);
  }

  // --- what is seen ------------------------------------------------------------------------------------------------

  async route(node: NodeName, ip: Ip): Promise<string> {
    const kernel = this.kernel(node);
    const route = kernel.lookup(ip);
    if (route?.iface === undefined) return 'nowhere';
    const { name } = kernel.link(route.iface);
    return name.startsWith('lan') ? `lan ${name.slice(3)}` : `via ${name.slice(4)}`;
  }

  async claims(router: RouterName): Promise<readonly ClaimView[]> {
    return claimsIn(this.kernel(router));
  }

  async announcers(ip: Ip): Promise<readonly RouterName[]> {
    const announcers = this.site.domain.announcers('core', ip) as RouterName[];
    // What a dead router said is still in the database, and leads nowhere.
    return announcers.filter((name) => !this.site.failed.has(name));
  }

  async echo(from: HostName, to: HostName): Promise<boolean> {
    return this.echoes(from, to);
  }

  async stream(from: HostName, to: HostName): Promise<Stream> {
    let sent = 0;
    let lost = 0;
    let outage = 0;
    let longestOutageMs = 0;
    let running = true;
    const send = (): void => {
      if (!running) return;
      sent++;
      if (this.echoes(from, to)) outage = 0;
      else {
        lost++;
        longestOutageMs = Math.max(longestOutageMs, ++outage);
      }
      this.clock.after(1, send);
    };
    send();
    return {
      stop: async () => {
        running = false;
        return { sent, lost, longestOutageMs };
      },
    };
  }

  async neighbour(name: HostName, ip: Ip): Promise<string | undefined> {
    const known = this.host(name).neighbours.mac(ip);
    if (known === undefined) return undefined;
    if (known === VIRTUAL_MAC) return 'vrrp';
    for (const [other, host] of this.hosts) if (host.mac === known) return other;
    for (const [other, kernel] of this.site.kernels) {
      for (const link of kernel.allLinks()) if (link.mac === known) return other;
    }
    return undefined;
  }

  async conflicts(name: HostName): Promise<number> {
    return this.host(name).conflicts;
  }

  async alarms(router: RouterName): Promise<readonly Alarm[]> {
    return this.router(router).alarms;
  }

  async transitions(router: RouterName, ip: Ip): Promise<readonly Transition[]> {
    return this.router(router).transitions.filter((transition) => transition.ip === ip);
  }

  async drops(router: RouterName): Promise<ReadonlyMap<DropReason, number>> {
    return this.router(router).drops;
  }

  async disagreements(): Promise<readonly string[]> {
    return audit(this.site, this.knownAddresses());
  }

  // --- for the simulator's own tests -------------------------------------------------------------------------------

  router(name: RouterName): SimRouter {
    const router = this.routers.get(name);
    if (router === undefined) throw new Error(`no router ${name} in layout ${this.layout}`);
    return router;
  }

  host(name: HostName): SimHost {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  /** Everything that was decided, in order: what a failed scenario shows. */
  report(): string {
    const lines: { at: number; text: string }[] = [];
    for (const [name, router] of this.routers) {
      for (const { at, ip, from, to, cause, interface: dev } of router.transitions) {
        lines.push({ at, text: `${name} ${formatIp(ip)} ${from} -> ${to} (${cause}) ${dev ?? ''}` });
      }
      for (const { at, ip, alarm } of router.alarms) {
        lines.push({ at, text: `${name} ${ip === undefined ? '' : formatIp(ip)} ALARM ${alarm}` });
      }
      for (const { at, interface: dev, state, reason } of router.roleChanges)
        lines.push({ at, text: `${name} ${dev} ${state} (${reason})` });
    }
    lines.sort((one, other) => one.at - other.at);
    return lines
      .slice(-60)
      .map(({ at, text }) => `${at.toFixed(2)} ${text}`)
      .join('\n');
  }

  /** What was said on a LAN, newest last. */
  heard(lan: LanName, last = 60): string {
    const { log } = this.segment(lan);
    return log
      .slice(-last)
      .map(({ at, bytes }) => `${at.toFixed(2)} ${inWords(bytes)}`)
      .join('\n');
  }

  private knownAddresses(): Set<Ip> {
    const known = new Set<Ip>();
    for (const host of this.hosts.values()) for (const ip of host.addresses) known.add(ip);
    return known;
  }

  private echoes(from: HostName, to: HostName): boolean {
    const asker = this.host(from);
    const target = this.host(to);
    // (Each of them shall ask for what is missing.)
    let all = true;
    for (const here of asker.addresses)
      for (const there of target.addresses)
        if (isIpv4(here) === isIpv4(there)) all = asker.emit(here, there) && target.emit(there, here) && all;
    return all;
  }

  private addHost(name: HostName, spec: HostSpec): SimHost {
    const host = new SimHost(this.site.host(spec), this.clock, this.site.families);
    this.hosts.set(name, host);
    return host;
  }

  private segment(lan: LanName): Segment {
    const segment = this.site.lans.get(lan);
    if (segment === undefined) throw new Error(`no lan ${lan} in layout ${this.layout}`);
    return segment;
  }

  private kernel(node: NodeName): SimKernel {
    const kernel = this.site.kernels.get(node);
    if (kernel === undefined) throw new Error(`no node ${node} in layout ${this.layout}`);
    return kernel;
  }
}
