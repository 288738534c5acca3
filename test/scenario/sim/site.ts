import { parseConfig } from '../../../src/config/config.js';
import { formatIp, type Ip, type Mac, type Prefix, parseIp } from '../../../src/wire/addresses.js';
import type { InterfaceRule, Policy } from '../../../src/mobility/policy.js';
import { Clock } from './clock.js';
import { Segment } from './segment.js';
import { SimKernel } from './kernel.js';
import { type RoomTimes, SimRouter } from './router.js';
import { VirtualRouter } from './vrrp.js';
import { RoutingDomain, type RoutingNode } from './routing.js';
import {
  CROWD,
  type LanName,
  LANS,
  type Layout,
  type NodeName,
  ORPHAN,
  ROUTERS,
  type RouterName,
  subnetOn,
  VIRTUAL_ROUTERS,
  VRID,
} from '../world.js';

export interface SimOptions {
  readonly seed?: number;
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

/** Of a router on a LAN, besides the gateway: it has one where there are several. */
function ownAddress(layout: Layout, router: RouterName, lan: LanName): Ip | undefined {
  const there = routersOn(layout, lan);
  if (there.length === 1 || (layout === 'two-on-lan' && router === 'r1')) return undefined;
  return (LANS[lan].gateway + 1 + there.indexOf(router)) as Ip;
}

function routersOn(layout: Layout, lan: LanName): RouterName[] {
  const routers = Object.entries(ROUTERS[layout]) as [RouterName, readonly LanName[]][];
  return routers.filter(([, lans]) => lans.includes(lan)).map(([name]) => name);
}

/** `role` and `peers` of the interface, where a virtual router has the gateway. */
function roleOf(layout: Layout, router: RouterName): string {
  const lan = ROUTERS[layout][router]?.[0];
  if (lan === undefined || VIRTUAL_ROUTERS[layout]?.includes(lan) !== true) return '';
  const peers = routersOn(layout, lan).filter((name) => name !== router);
  const addresses = peers.map((name) => `"${formatIp(ownAddress(layout, name, lan) as Ip)}"`);
  return `role = "gateway"\npeers = [${addresses.join(', ')}]\n`;
}

function policyOf(layout: Layout, options: SimOptions, router: RouterName = 'r1'): Policy {
  const subnets = [LANS.a, LANS.b, LANS.c, ORPHAN, CROWD].map(
    (lan) =>
      `[[subnet]]\nprefix = "${formatIp(lan.network)}/${lan.prefixLength}"\ngateway = "${formatIp(lan.gateway)}"\n`,
  );
  const learn = layout === 'virtual-subnet' ? 'learn = "all"\n' : '';
  const { policy } = parseConfig(
    `[[interface]]\nname = "lan*"\n${learn}${roleOf(layout, router)}${subnets.join('')}`,
  );
  const withRule = { ...policy, interfaces: policy.interfaces.map((rule) => ({ ...rule, ...options.rule })) };
  return options.policy?.(withRule) ?? withRule;
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
  private readonly core: SimKernel;
  private readonly coreNode: RoutingNode;

  constructor(
    private readonly layout: Layout,
    private readonly options: SimOptions,
  ) {
    this.clock = new Clock(options.seed ?? 1);
    this.policy = policyOf(layout, options);
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
        addresses: [prefix('10.99.0.1', 24)],
      },
      this.far,
    );
    let number = 0;
    for (const [name, lans] of Object.entries(ROUTERS[layout]) as [RouterName, readonly LanName[]][]) {
      this.addRouter(name, ++number, lans);
    }
    for (const lan of VIRTUAL_ROUTERS[layout] ?? []) this.addVirtualRouter(lan);
  }

  private addRouter(name: RouterName, number: number, lans: readonly LanName[]): void {
    const kernel = new SimKernel(this.clock);
    this.kernels.set(name, kernel);
    const node = this.domain.addNode(name, kernel);
    const policy = policyOf(this.layout, this.options, name);
    this.routers.set(name, new SimRouter(name, this.clock, kernel, policy, ROOM_TIMES));
    const here = prefix(`10.255.${number}.1`, 30);
    const there = prefix(`10.255.${number}.2`, 30);
    const coreIndex = 10 + number;
    const [near, distant] = [mac(`02:00:ff:0${number}:00:01`), mac(`02:00:ff:0${number}:00:02`)];
    kernel.addLink({ ...LINK, index: WAN, name: 'wan-core', mac: near, addresses: [here] }, undefined);
    this.core.addLink(
      { ...LINK, index: coreIndex, name: `wan-${name}`, mac: distant, addresses: [there] },
      undefined,
    );
    kernel.addPeer(there.ip, (packet, hops) => this.core.forward(packet, hops));
    this.core.addPeer(here.ip, (packet, hops) => kernel.forward(packet, hops));
    node.interfaces.set('core', { iface: WAN, via: there.ip });
    this.coreNode.interfaces.set(name, { iface: coreIndex, via: here.ip });
    this.domain.connect(name, 'core');
    for (const lan of lans) {
      const switched = routersOn(this.layout, lan).length > 1;
      const wire = { delayMs: LAN_DELAY_MS, loss: this.options.loss ?? 0, switched };
      const segment = this.lans.get(lan) ?? new Segment(lan, this.clock, wire);
      this.lans.set(lan, segment);
      const { gateway, prefixLength } = subnetOn(this.layout, lan);
      const own = { ip: ownAddress(this.layout, name, lan) ?? gateway, length: prefixLength };
      const address = mac(
        this.options.oneGatewayMac === true && !switched
          ? '02:00:fe:00:00:01'
          : `02:00:fe:0${number}:00:0${LAN_ORDER.indexOf(lan) + 1}`,
      );
      const rpFilter = this.options.rpFilter ?? 1;
      kernel.addLink(
        { ...LINK, index: indexOf(lan), name: `lan${lan}`, mac: address, addresses: [own], rpFilter },
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
    const gateway = { ip: LANS[lan].gateway, length: 32 };
    const keepsAddress = this.options.vrrp === 'frr';
    if (keepsAddress) for (const { kernel, macvlan } of members) kernel.setAddresses(macvlan, [gateway]);
    const virtualRouter = new VirtualRouter(
      this.clock,
      segment,
      VIRTUAL_MAC,
      members,
      VRRP_TIMES,
      ({ kernel, macvlan }, active) => {
        if (keepsAddress) kernel.setCarrier(macvlan, active);
        else kernel.setAddresses(macvlan, active ? [gateway] : []);
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
