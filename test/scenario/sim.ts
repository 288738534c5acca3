import assert from 'node:assert/strict';
import { parseConfig } from '../../src/config.js';
import { formatIp, type Ip, type Ipv4, type Mac, type Prefix, parseIp } from '../../src/wire/addresses.js';
import { decodeArp } from '../../src/wire/arp.js';
import type { Alarm, DropReason, Transition } from '../../src/mobility/events.js';
import type { InterfaceRule, Policy } from '../../src/mobility/policy.js';
import { Clock } from './clock.js';
import { Segment } from './segment.js';
import { SimHost } from './sim-host.js';
import { PROTOCOL_MARPD, SimKernel } from './sim-kernel.js';
import { RoutingDomain } from './sim-routing.js';
import { FRESH_METRIC, type RoomTimes, SimRouter } from './sim-router.js';
import {
  type Announce,
  CAST,
  type ClaimView,
  CROWD,
  type ForgeOptions,
  type HostName,
  type HostSpec,
  type LanName,
  LANS,
  type Layout,
  type NodeName,
  ORPHAN,
  type PlugOptions,
  ROUTERS,
  type RouterName,
  type Stream,
  type Verdict,
  type World,
} from './world.js';

export interface SimOptions {
  readonly seed?: number;
  readonly rpFilter?: 0 | 1 | 2;
  /** Probability that a receiver misses a frame on a LAN. */
  readonly loss?: number;
  /** One hop of the routing engine, ms: FRR OSPF tuned, or 50 for iBGP. */
  readonly hopMs?: readonly [number, number];
  readonly rule?: Partial<InterfaceRule>;
  readonly policy?: (policy: Policy) => Policy;
}

const WAN = 2;
const FIRST_LAN = 10;
const LAN_ORDER: readonly LanName[] = ['a', 'b', 'c'];
const ROOM_TIMES: RoomTimes = {
  captureMs: [0.05, 0.15],
  injectMs: [0.05, 0.15],
  ipMs: [0.12, 0.2],
  monitorMs: [0.03, 0.1],
  timerLateMs: [0.05, 1.1],
  captureOpenMs: 120,
};

function mac(text: string): Mac {
  return Number.parseInt(text.replace(/:/g, ''), 16) as Mac;
}

function prefix(ip: string, length: number): Prefix {
  return { ip: parseIp(ip) as Ip, length };
}

function policyOf(options: SimOptions): Policy {
  const subnets = [LANS.a, LANS.b, LANS.c, ORPHAN, CROWD].map(
    (lan) =>
      `[[subnet]]\nprefix = "${formatIp(lan.network)}/${lan.prefixLength}"\ngateway = "${formatIp(lan.gateway)}"\n`,
  );
  const { policy } = parseConfig(`[[interface]]\nname = "lan*"\n${subnets.join('')}`);
  const withRule = { ...policy, interfaces: policy.interfaces.map((rule) => ({ ...rule, ...options.rule })) };
  return options.policy?.(withRule) ?? withRule;
}

export class SimWorld implements World {
  readonly clock: Clock;
  readonly settleMs: number;
  readonly keepaliveMs: number;
  readonly lans = new Map<LanName | 'far', Segment>();
  readonly routers = new Map<RouterName, SimRouter>();
  readonly hosts = new Map<HostName, SimHost>();
  readonly domain: RoutingDomain;
  private readonly kernels = new Map<NodeName, SimKernel>();
  private readonly policy: Policy;
  private strangers = 0;

  constructor(
    readonly layout: Layout,
    private readonly options: SimOptions = {},
  ) {
    this.clock = new Clock(options.seed ?? 1);
    this.policy = policyOf(options);
    this.settleMs = this.policy.timers.settleMs;
    this.keepaliveMs = this.policy.interfaces[0]?.keepaliveMs ?? 0;
    this.domain = new RoutingDomain(this.clock, {
      hopMs: options.hopMs ?? [0.7, 1.3],
      kernelMs: [0.05, 0.3],
      ghostWindowMs: 20,
    });
    this.build();
    this.clock.runUntil(1000);
    for (const router of this.routers.values()) router.start();
    this.clock.runUntil(2000);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  now(): number {
    return this.clock.now();
  }

  async advance(ms: number): Promise<void> {
    this.clock.runUntil(this.now() + ms);
  }

  async until(what: string, withinMs: number, condition: () => boolean | Promise<boolean>): Promise<number> {
    const start = this.now();
    for (;;) {
      if (await condition()) return this.now() - start;
      if (!this.clock.step(start + withinMs)) break;
    }
    this.clock.runUntil(start + withinMs);
    if (await condition()) return withinMs;
    return assert.fail(`not within ${withinMs} ms: ${what}\n${this.story()}`);
  }

  async always(what: string, forMs: number, condition: () => boolean | Promise<boolean>): Promise<void> {
    const start = this.now();
    do {
      if (!(await condition())) assert.fail(`after ${(this.now() - start).toFixed(1)} ms no more: ${what}\n${this.story()}`);
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

  async duplicate(name: HostName, lan: LanName, options?: PlugOptions): Promise<HostName> {
    const stranger = `${name}-${++this.strangers}`;
    this.addHost(stranger, { ...this.host(name).spec, mac: (mac('02:dd:00:00:00:00') + this.strangers) as Mac });
    await this.plug(stranger, lan, options);
    return stranger;
  }

  async forge(lan: LanName, options: ForgeOptions): Promise<HostName> {
    const name = `forger-${++this.strangers}`;
    const own = (mac('02:ee:00:00:00:00') + this.strangers) as Mac;
    const forger = this.addHost(name, {
      ip: options.ip as Ipv4,
      mac: options.mac ?? own,
      gateway: LANS[lan].gateway,
      prefixLength: LANS[lan].prefixLength,
    });
    forger.plug(this.segment(lan), true);
    forger.answers = options.answers;
    forger.announce(options.announce === 'request' ? 'arp-gateway' : options.announce);
    return name;
  }

  async crowd(count: number): Promise<readonly HostName[]> {
    const names: HostName[] = [];
    for (let i = 0; i < count; i++) {
      const name = `member-${i}`;
      const ip = (CROWD.network + 256 + i + Math.floor(i / 250) * 6) as Ipv4;
      this.addHost(name, { ...CROWD, ip, mac: (mac('02:cc:00:00:00:00') + i) as Mac });
      names.push(name);
    }
    return names;
  }

  // --- routers -----------------------------------------------------------------------------------------------------

  async stop(router: RouterName, routes: 'withdraw' | 'keep' = 'withdraw'): Promise<void> {
    this.router(router).stop(routes);
  }

  async kill(router: RouterName): Promise<void> {
    this.router(router).kill();
  }

  async start(router: RouterName): Promise<void> {
    this.router(router).start();
  }

  async carrier(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    this.kernel(router).setCarrier(this.index(lan), up);
  }

  async admin(router: RouterName, lan: LanName, up: boolean): Promise<void> {
    this.kernel(router).setAdmin(this.index(lan), up);
  }

  async coreLink(router: RouterName, up: boolean): Promise<void> {
    this.kernel(router).setCarrier(WAN, up);
    this.domain.setLink(router, 'core', up);
  }

  async command(
    router: RouterName,
    name: 'prepare' | 'attach' | 'detach' | 'probe' | 'clear',
    subject: { readonly host: HostName; readonly lan: LanName },
  ): Promise<Verdict> {
    const { ip, mac: address } = this.host(subject.host);
    const target = this.router(router);
    if (name === 'probe' || name === 'clear') return target.command({ name, ip });
    return target.command({ name, mac: address, ips: [ip], interface: `lan${subject.lan}` });
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
    return this.claimsOf(router);
  }

  async announcers(ip: Ip): Promise<readonly RouterName[]> {
    return this.domain.announcers('core', ip) as RouterName[];
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
    for (const [other, host] of this.hosts) if (host.mac === known) return other;
    for (const [other, kernel] of this.kernels) {
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
    const found: string[] = [];
    const announced = new Map<Ip, RouterName[]>();
    for (const [name, router] of this.routers) {
      const { brain, kernel } = router;
      const claims = this.claimsOf(name);
      const seen = new Set<Ip>();
      for (const claim of claims) {
        const text = `${name} ${formatIp(claim.ip)}`;
        if (seen.has(claim.ip)) found.push(`${text}: two claims in the kernel`);
        seen.add(claim.ip);
        announced.set(claim.ip, [...(announced.get(claim.ip) ?? []), name]);
        if (claim.age === 'fresh') found.push(`${text}: still fresh`);
        const state = brain?.host(claim.ip)?.state;
        if (brain !== undefined && state !== claim.age) found.push(`${text}: kernel ${claim.age}, daemon ${state}`);
      }
      for (const [, host] of brain?.hosts() ?? []) {
        if (host.claimed && !seen.has(host.ip)) found.push(`${name} ${formatIp(host.ip)}: claimed, not in the kernel`);
      }
      for (const neighbours of kernel.neighbours.values()) {
        for (const [ip, { state }] of neighbours.all()) {
          if (state === 'permanent' && !seen.has(ip)) found.push(`${name} ${formatIp(ip)}: neighbour left behind`);
        }
      }
    }
    for (const ip of this.knownAddresses()) {
      const holders = announced.get(ip) ?? [];
      if (holders.length > 1) found.push(`${formatIp(ip)}: claimed by ${holders.join(' and ')}`);
      for (const observer of this.kernels.keys()) {
        const announcers = this.domain.announcers(observer, ip);
        const ghosts = announcers.filter((name) => !holders.includes(name as RouterName));
        if (ghosts.length > 0) found.push(`${formatIp(ip)}: ghost of ${ghosts.join(', ')} in ${observer}`);
        if (announcers.length === 0 && holders.length > 0) found.push(`${formatIp(ip)}: not announced in ${observer}`);
      }
    }
    return found;
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

  /** Everything that was decided, in order: what a failed story shows. */
  story(): string {
    const lines: { at: number; text: string }[] = [];
    for (const [name, router] of this.routers) {
      for (const { at, ip, from, to, cause, interface: dev } of router.transitions) {
        lines.push({ at, text: `${name} ${formatIp(ip)} ${from} -> ${to} (${cause}) ${dev ?? ''}` });
      }
      for (const { at, ip, alarm } of router.alarms) {
        lines.push({ at, text: `${name} ${ip === undefined ? '' : formatIp(ip)} ALARM ${alarm}` });
      }
    }
    lines.sort((one, other) => one.at - other.at);
    return lines
      .slice(-60)
      .map(({ at, text }) => `${at.toFixed(2)} ${text}`)
      .join('\n');
  }

  /** What was said by ARP on a LAN, newest last. */
  heard(lan: LanName, last = 60): string {
    return this.segment(lan)
      .log.slice(-last)
      .map(({ at, bytes }) => {
        const frame = decodeArp(bytes);
        if (typeof frame === 'string') return `${at.toFixed(2)} ${frame}`;
        const what = frame.opcode === 1 ? 'who-has' : 'is-at';
        return `${at.toFixed(2)} ${frame.source.toString(16)} > ${frame.destination.toString(16)} ${what} ${formatIp(frame.senderIp)} -> ${formatIp(frame.targetIp)}`;
      })
      .join('\n');
  }

  private knownAddresses(): Set<Ip> {
    const known = new Set<Ip>();
    for (const host of this.hosts.values()) known.add(host.ip);
    return known;
  }

  private claimsOf(router: RouterName): ClaimView[] {
    const kernel = this.kernel(router);
    const claims: ClaimView[] = [];
    for (const { protocol, prefix: to, metric, iface } of kernel.allRoutes()) {
      if (protocol !== PROTOCOL_MARPD || iface === undefined) continue;
      const lan = kernel.link(iface).name.slice(3) as LanName;
      claims.push({ ip: to.ip, lan, age: metric === FRESH_METRIC ? 'fresh' : 'settled' });
    }
    return claims;
  }

  private echoes(from: HostName, to: HostName): boolean {
    const asker = this.host(from);
    const target = this.host(to);
    return asker.emit(target.ip) && target.emit(asker.ip);
  }

  private build(): void {
    const { clock } = this;
    const core = new SimKernel(clock);
    this.kernels.set('core', core);
    const coreNode = this.domain.addNode('core', core);
    const far = new Segment('far', clock, { delayMs: [0.02, 0.05], loss: 0 });
    this.lans.set('far', far);
    const common = { up: true, carrier: true, master: undefined, type: 'veth', rpFilter: 0 } as const;
    core.addLink(
      { ...common, index: 3, name: 'lanfar', mac: mac('02:00:63:00:00:01'), addresses: [prefix('10.99.0.1', 24)] },
      far,
    );
    let number = 0;
    for (const [name, lans] of Object.entries(ROUTERS[this.layout]) as [RouterName, readonly LanName[]][]) {
      number++;
      const kernel = new SimKernel(clock);
      this.kernels.set(name, kernel);
      const node = this.domain.addNode(name, kernel);
      const here = prefix(`10.255.${number}.1`, 30);
      const there = prefix(`10.255.${number}.2`, 30);
      const router = new SimRouter(name, clock, kernel, this.policy, ROOM_TIMES);
      this.routers.set(name, router);
      kernel.addLink(
        { ...common, index: WAN, name: 'wan-core', mac: mac(`02:00:ff:0${number}:00:01`), addresses: [here] },
        undefined,
      );
      const coreIndex = 10 + number;
      core.addLink(
        { ...common, index: coreIndex, name: `wan-${name}`, mac: mac(`02:00:ff:0${number}:00:02`), addresses: [there] },
        undefined,
      );
      kernel.addPeer(there.ip, (packet, hops) => core.forward(packet, hops));
      core.addPeer(here.ip, (packet, hops) => kernel.forward(packet, hops));
      node.interfaces.set('core', { iface: WAN, via: there.ip });
      coreNode.interfaces.set(name, { iface: coreIndex, via: here.ip });
      this.domain.connect(name, 'core');
      for (const lan of lans) {
        const segment = new Segment(lan, clock, { delayMs: [0.02, 0.05], loss: this.options.loss ?? 0 });
        this.lans.set(lan, segment);
        const own = { ip: LANS[lan].gateway, length: LANS[lan].prefixLength };
        const address = mac(`02:00:fe:0${number}:00:0${LAN_ORDER.indexOf(lan) + 1}`);
        const rpFilter = this.options.rpFilter ?? 1;
        kernel.addLink({ ...common, index: this.index(lan), name: `lan${lan}`, mac: address, addresses: [own], rpFilter }, segment);
      }
    }
    for (const [name, spec] of Object.entries(CAST)) this.addHost(name, spec);
    this.host('far').plug(far, true);
    for (const [name, lan] of [
      ['neighbourA', 'a'],
      ['neighbourB', 'b'],
    ] as const) {
      this.host(name).plug(this.segment(lan), true);
    }
  }

  private addHost(name: HostName, spec: HostSpec): SimHost {
    const host = new SimHost(spec, this.clock);
    this.hosts.set(name, host);
    return host;
  }

  private segment(lan: LanName): Segment {
    const segment = this.lans.get(lan);
    if (segment === undefined) throw new Error(`no lan ${lan} in layout ${this.layout}`);
    return segment;
  }

  private kernel(node: NodeName): SimKernel {
    const kernel = this.kernels.get(node);
    if (kernel === undefined) throw new Error(`no node ${node} in layout ${this.layout}`);
    return kernel;
  }

  private index(lan: LanName): number {
    return FIRST_LAN + LAN_ORDER.indexOf(lan);
  }
}
