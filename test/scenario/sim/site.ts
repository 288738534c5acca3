import { parseConfig } from '../../../src/config/config.js';
import { formatIp, type Ip, type Mac, type Prefix, parseIp } from '../../../src/wire/addresses.js';
import type { InterfaceRule, Policy } from '../../../src/mobility/policy.js';
import { Clock } from './clock.js';
import { Segment } from './segment.js';
import { SimKernel } from './kernel.js';
import { type RoomTimes, SimRouter } from './router.js';
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

const LAN_DELAY_MS = [0.02, 0.05] as const;
const LINK = { up: true, carrier: true, master: undefined, type: 'veth', rpFilter: 0 } as const;

export function mac(text: string): Mac {
  return Number.parseInt(text.replace(/:/g, ''), 16) as Mac;
}

function prefix(ip: string, length: number): Prefix {
  return { ip: parseIp(ip) as Ip, length };
}

function policyOf(layout: Layout, options: SimOptions): Policy {
  const subnets = [LANS.a, LANS.b, LANS.c, ORPHAN, CROWD].map(
    (lan) =>
      `[[subnet]]\nprefix = "${formatIp(lan.network)}/${lan.prefixLength}"\ngateway = "${formatIp(lan.gateway)}"\n`,
  );
  const learn = layout === 'virtual-subnet' ? 'learn = "all"\n' : '';
  const { policy } = parseConfig(`[[interface]]\nname = "lan*"\n${learn}${subnets.join('')}`);
  const withRule = { ...policy, interfaces: policy.interfaces.map((rule) => ({ ...rule, ...options.rule })) };
  return options.policy?.(withRule) ?? withRule;
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
  }

  private addRouter(name: RouterName, number: number, lans: readonly LanName[]): void {
    const kernel = new SimKernel(this.clock);
    this.kernels.set(name, kernel);
    const node = this.domain.addNode(name, kernel);
    this.routers.set(name, new SimRouter(name, this.clock, kernel, this.policy, ROOM_TIMES));
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
      const segment = new Segment(lan, this.clock, { delayMs: LAN_DELAY_MS, loss: this.options.loss ?? 0 });
      this.lans.set(lan, segment);
      const { gateway, prefixLength } = subnetOn(this.layout, lan);
      const own = { ip: gateway, length: prefixLength };
      const address = mac(
        this.options.oneGatewayMac === true
          ? '02:00:fe:00:00:01'
          : `02:00:fe:0${number}:00:0${LAN_ORDER.indexOf(lan) + 1}`,
      );
      const rpFilter = this.options.rpFilter ?? 1;
      kernel.addLink(
        { ...LINK, index: indexOf(lan), name: `lan${lan}`, mac: address, addresses: [own], rpFilter },
        segment,
      );
    }
  }
}
