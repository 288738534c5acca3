import {
  type Family,
  familyOf,
  type Ip,
  type Mac,
  type Prefix,
  parseIp,
} from '../../../src/wire/addresses.js';
import type { InterfaceRule, Policy } from '../../../src/mobility/policy.js';
import { Clock } from './clock.js';
import { Segment } from './segment.js';
import { SimKernel } from './kernel.js';
import { type RoomTimes, SimRouter } from './router.js';
import { AddressPlan, type GatewayPlan, routersOn } from './plan.js';
import { linkLocalOf } from './stack/nd.js';
import { VirtualRouter } from './vrrp.js';
import { RoutingDomain, type RoutingNode } from './routing.js';
import {
  FAR,
  type HostSpec,
  type LanName,
  type Layout,
  type LanSpec,
  LANS,
  CROWD,
  ORPHAN,
  type NodeName,
  ROUTERS,
  type RouterName,
  SHARED_GATEWAY,
  VIRTUAL_ROUTERS,
  VRID,
} from '../world.js';

export interface SimOptions {
  readonly seed?: number;
  /** Default: IPv4 alone. */
  readonly families?: readonly Family[];
  /** Of the IPv6 hosts; default `shared`. */
  readonly gateways?: GatewayPlan;
  readonly rpFilter?: 0 | 1 | 2;
  /** Probability that a receiver misses a frame on a LAN. */
  readonly loss?: number;
  /** One hop of the routing engine, ms: FRR OSPF tuned, or 50 for iBGP. */
  readonly hopMs?: readonly [number, number];
  /** All routers have the same MAC on their LANs. */
  readonly oneGatewayMac?: boolean;
  /** How a backup lacks the gateway address: it is not there (keepalived), or its macvlan has no carrier (FRR). */
  readonly vrrp?: 'keepalived' | 'frr';
  readonly rule?: Partial<InterfaceRule>;
  readonly policy?: (policy: Policy) => Policy;
}

export const WAN = 2;
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

export const VRRP_TIMES = { advertMs: 30, preemptDelayMs: 2000 };
/** BFD with three losses at 50 ms. */
export const ROUTER_DEAD_MS = 150;
/** RFC 9568 section 7.3. */
export const VIRTUAL_MAC = (0x00_00_5e_00_01_00 + VRID) as Mac;

const LAN_DELAY_MS = [0.02, 0.05] as const;
const LINK = { up: true, carrier: true, master: undefined, type: 'veth', rpFilter: 0 } as const;

export function mac(text: string): Mac {
  return Number.parseInt(text.replace(/:/g, ''), 16) as Mac;
}

function prefix(ip: string, length: number): Prefix {
  return { ip: parseIp(ip) as Ip, length };
}

export function macvlanOf(lan: LanName): number {
  return indexOf(lan) + 20;
}

export function indexOf(lan: LanName): number {
  return FIRST_LAN + LAN_ORDER.indexOf(lan);
}

/** The boxes and the cables: routers with their kernels, the core, the LANs and the routing engine between them. */
export class Site {
  readonly clock: Clock;
  readonly policy: Policy;
  readonly domain: RoutingDomain;
  readonly kernels = new Map<NodeName, SimKernel>();
  readonly routers = new Map<RouterName, SimRouter>();
  readonly lans = new Map<LanName, Segment>();
  readonly far: Segment;
  /** Routers without power. */
  readonly failed = new Set<RouterName>();
  readonly virtualRouters = new Map<LanName, VirtualRouter>();
  readonly families: readonly Family[];
  private readonly plan: AddressPlan;
  private readonly core: SimKernel;
  private readonly coreNode: RoutingNode;

  constructor(
    private readonly layout: Layout,
    private readonly options: SimOptions,
  ) {
    this.clock = new Clock(options.seed ?? 1);
    this.families = options.families ?? ['ipv4'];
    this.plan = new AddressPlan(layout, this.families, options.gateways ?? 'shared');
    this.policy = this.policyOf('r1');
    this.domain = new RoutingDomain(this.clock, {
      hopMs: options.hopMs ?? [0.4, 1],
      originateMs: [0.1, 1.5],
      kernelMs: [0.05, 0.3],
      earlyReleaseMs: 20,
    });
    this.core = new SimKernel(this.clock);
    this.kernels.set('core', this.core);
    this.coreNode = this.domain.addNode('core', this.core);
    this.far = new Segment('far', this.clock, { delayMs: LAN_DELAY_MS, loss: 0 });
    this.core.addLink(
      {
        ...LINK,
        index: 3,
        name: 'lanfar',
        mac: mac('02:00:63:00:00:01'),
        addresses: this.ofFamilies([
          { ip: FAR.gateway, length: FAR.prefixLength },
          { ip: SHARED_GATEWAY, length: 64 },
          { ip: FAR.ipv6.gateway, length: FAR.ipv6.prefixLength },
        ]),
      },
      this.far,
    );
    let number = 0;
    for (const [name, lans] of Object.entries(ROUTERS[layout]) as [RouterName, readonly LanName[]][]) {
      this.addRouter(name, ++number, lans);
    }
    for (const lan of VIRTUAL_ROUTERS[layout] ?? []) this.addVirtualRouter(lan);
  }

  /** A host of the cast or of the crowd, with the gateway that the site has for it. */
  host(spec: HostSpec): HostSpec {
    const homes: readonly LanSpec[] = [LANS.a, LANS.b, LANS.c, ORPHAN, CROWD];
    return this.plan.host(
      spec,
      homes.find(({ gateway }) => gateway === spec.gateway),
    );
  }

  private policyOf(router: RouterName): Policy {
    const policy = this.plan.policy(router, this.options.rule);
    return this.options.policy?.(policy) ?? policy;
  }

  private ofFamilies(addresses: readonly Prefix[]): Prefix[] {
    return addresses.filter(({ ip }) => this.families.includes(familyOf(ip)));
  }

  private addRouter(name: RouterName, number: number, lans: readonly LanName[]): void {
    const kernel = new SimKernel(this.clock);
    this.kernels.set(name, kernel);
    const node = this.domain.addNode(name, kernel);
    this.routers.set(name, new SimRouter(name, this.clock, kernel, this.policyOf(name), ROOM_TIMES));
    const coreIndex = 10 + number;
    const [near, distant] = [mac(`02:00:ff:0${number}:00:01`), mac(`02:00:ff:0${number}:00:02`)];
    const ends = { ipv4: prefix(`10.255.${number}.1`, 30), ipv6: { ip: linkLocalOf(near), length: 64 } };
    const others = { ipv4: prefix(`10.255.${number}.2`, 30), ipv6: { ip: linkLocalOf(distant), length: 64 } };
    const here = this.families.map((family) => ends[family]);
    const there = this.families.map((family) => others[family]);
    kernel.addLink({ ...LINK, index: WAN, name: 'wan-core', mac: near, addresses: here }, undefined);
    this.core.addLink(
      { ...LINK, index: coreIndex, name: `wan-${name}`, mac: distant, addresses: there },
      undefined,
    );
    for (const { ip } of there) kernel.addPeer(WAN, ip, (packet, hops) => this.core.forward(packet, hops));
    for (const { ip } of here)
      this.core.addPeer(coreIndex, ip, (packet, hops) => kernel.forward(packet, hops));
    node.interfaces.set('core', { iface: WAN, via: { ipv4: others.ipv4.ip, ipv6: others.ipv6.ip } });
    this.coreNode.interfaces.set(name, { iface: coreIndex, via: { ipv4: ends.ipv4.ip, ipv6: ends.ipv6.ip } });
    this.domain.connect(name, 'core');
    for (const lan of lans) {
      const switched = routersOn(this.layout, lan).length > 1;
      const wire = { delayMs: LAN_DELAY_MS, loss: this.options.loss ?? 0, switched };
      const segment = this.lans.get(lan) ?? new Segment(lan, this.clock, wire);
      this.lans.set(lan, segment);
      const address = mac(
        this.options.oneGatewayMac === true && !switched
          ? '02:00:fe:00:00:01'
          : `02:00:fe:0${number}:00:0${LAN_ORDER.indexOf(lan) + 1}`,
      );
      const rpFilter = this.options.rpFilter ?? 1;
      kernel.addLink(
        {
          ...LINK,
          index: indexOf(lan),
          name: `lan${lan}`,
          mac: address,
          addresses: this.plan.routerAddresses(name, lan, address),
          rpFilter,
        },
        segment,
      );
      if (VIRTUAL_ROUTERS[this.layout]?.includes(lan) !== true) continue;
      const macvlan = {
        ...LINK,
        index: macvlanOf(lan),
        name: `vrrp-${lan}`,
        mac: VIRTUAL_MAC,
        type: 'macvlan',
        lower: indexOf(lan),
        addresses: [],
        // Visitors' routes lead to the interface below, so a strict filter loses all that they send.
        rpFilter: rpFilter === 1 ? (0 as const) : rpFilter,
      };
      kernel.addLink(macvlan, segment);
    }
  }

  private addVirtualRouter(lan: LanName): void {
    const segment = this.lans.get(lan);
    if (segment === undefined) throw new Error(`no lan ${lan}`);
    const members = routersOn(this.layout, lan).map((name, at) => ({
      name,
      kernel: this.kernels.get(name) as SimKernel,
      lan: indexOf(lan),
      macvlan: macvlanOf(lan),
      priority: 200 - 50 * at,
      marpdRuns: () => this.routers.get(name)?.ctx !== undefined,
      uplinkRuns: () => this.kernels.get(name)?.link(WAN).carrier === true,
    }));
    const gateways = this.plan.virtualAddresses(lan);
    const keepsAddress = this.options.vrrp === 'frr';
    if (keepsAddress) for (const { kernel, macvlan } of members) kernel.setAddresses(macvlan, gateways);
    const virtualRouter = new VirtualRouter(
      this.clock,
      segment,
      VIRTUAL_MAC,
      members,
      VRRP_TIMES,
      ({ kernel, macvlan }, active) => {
        if (keepsAddress) kernel.setCarrier(macvlan, active);
        else kernel.setAddresses(macvlan, active ? gateways : []);
      },
    );
    this.virtualRouters.set(lan, virtualRouter);
    virtualRouter.start();
  }

  /** Power loss; the routing engine of the core finds out by the carrier, or later. */
  fail(name: RouterName, how: 'carrier' | 'silent'): void {
    const kernel = this.kernels.get(name) as SimKernel;
    kernel.powered = false;
    this.failed.add(name);
    this.routers.get(name)?.fail();
    if (how === 'carrier') for (const segment of this.lans.values()) segment.forget(kernel);
    this.reviewVrrp();
    this.clock.after(how === 'carrier' ? 0 : ROUTER_DEAD_MS, () => {
      if (this.failed.has(name)) this.domain.setLink(name, 'core', false);
    });
  }

  boot(name: RouterName): void {
    this.failed.delete(name);
    this.domain.setLink(name, 'core', false);
    this.domain.reset(name);
    this.kernels.get(name)?.reset();
    this.domain.setLink(name, 'core', true);
    this.routers.get(name)?.start();
    for (const [lan, virtualRouter] of this.virtualRouters)
      if (routersOn(this.layout, lan).includes(name)) virtualRouter.boot(name);
  }

  reviewVrrp(): void {
    for (const virtualRouter of this.virtualRouters.values()) virtualRouter.review();
  }
}
