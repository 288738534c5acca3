import {
  type Family,
  type Ip,
  type Ipv6,
  type Mac,
  type Prefix,
  parseIp,
} from '../../../src/wire/addresses.js';
import { parseConfig } from '../../../src/config/config.js';
import type { InterfaceRule, Policy, Subnet } from '../../../src/mobility/policy.js';
import { formatIp } from '../../../src/wire/addresses.js';
import {
  CROWD,
  type HostSpec,
  ipv6In,
  type LanName,
  LANS,
  type LanSpec,
  type Layout,
  ORPHAN,
  ROUTERS,
  type RouterName,
  SHARED_GATEWAY,
  subnetOn,
  VIRTUAL_ROUTERS,
} from '../world.js';
import { linkLocalOf } from './stack/nd.js';

/**
 * The gateway that IPv6 hosts have. `shared`: fe80::1, which every router has; `global`: the router's address in their
 * home subnet; `advertised`: the router's own link-local address, learned from its advertisement, with a default route
 * that goes when an answer says that it is no router.
 */
export type GatewayPlan = 'shared' | 'global' | 'advertised';

/** Who has which address on a site, and what its routers are told of it. */
export class AddressPlan {
  constructor(
    private readonly layout: Layout,
    private readonly families: readonly Family[],
    private readonly gatewayPlan: GatewayPlan,
  ) {}

  /** What a router's interface on a LAN has; the first link-local address is the oldest. */
  routerAddresses(router: RouterName, lan: LanName, mac: Mac): Prefix[] {
    const spec = subnetOn(this.layout, lan);
    const own = this.ownNumber(router, lan);
    const addresses: Prefix[] = [];
    if (this.families.includes('ipv4'))
      addresses.push({ ip: ipv4Of(spec, own) ?? spec.gateway, length: spec.prefixLength });
    if (!this.families.includes('ipv6')) return addresses;
    const length = spec.ipv6.prefixLength;
    const linkLocals = [linkLocalOf(mac), SHARED_GATEWAY];
    if (this.gatewayPlan === 'global' || own !== undefined) linkLocals.pop();
    else if (this.gatewayPlan === 'advertised') linkLocals.splice(0, 2, this.gatewayOf(spec));
    for (const ip of linkLocals) addresses.push({ ip, length: 64 });
    addresses.push({ ip: own === undefined ? spec.ipv6.gateway : ipv6In(spec, own), length });
    return addresses;
  }

  /** What a virtual router has on a LAN. */
  virtualAddresses(lan: LanName): Prefix[] {
    const spec = LANS[lan];
    const addresses: Prefix[] = [];
    if (this.families.includes('ipv4')) addresses.push({ ip: spec.gateway, length: 32 });
    if (this.families.includes('ipv6')) addresses.push({ ip: this.gatewayOf(spec), length: 128 });
    return addresses;
  }

  /** A host of the site as the plan has it. */
  host(spec: HostSpec, lan: LanSpec | undefined): HostSpec {
    const gateway = lan === undefined ? SHARED_GATEWAY : this.gatewayOf(lan);
    const isGatewayAdvertised = lan !== undefined && this.gatewayPlan === 'advertised';
    return { ...spec, ipv6: { ...spec.ipv6, gateway, isGatewayAdvertised } };
  }

  policy(router: RouterName, rule: Partial<InterfaceRule> | undefined): Policy {
    const lan = ROUTERS[this.layout][router]?.[0];
    const isShared = lan !== undefined && VIRTUAL_ROUTERS[this.layout]?.includes(lan) === true;
    const learn = this.layout === 'virtual-subnet' ? 'learn = "all"\n' : '';
    const role = isShared ? 'role = "gateway"\n' : '';
    const subnets = [LANS.a, LANS.b, LANS.c, ORPHAN, CROWD];
    const text = subnets.map(
      ({ network, prefixLength, gateway }) =>
        `[[subnet]]\nprefix = "${formatIp(network)}/${prefixLength}"\ngateway = "${formatIp(gateway)}"\n`,
    );
    const { policy } = parseConfig(`[[interface]]\nname = "lan*"\n${learn}${role}${text.join('')}`);
    const peers = isShared ? this.peers(router, lan) : [];
    return {
      ...policy,
      families: this.families,
      subnets: subnets.flatMap((spec) => this.subnets(spec)),
      interfaces: policy.interfaces.map((one) => ({ ...one, peers, ...rule })),
    };
  }

  private subnets(spec: LanSpec): Subnet[] {
    const subnets: Subnet[] = [];
    if (this.families.includes('ipv4'))
      subnets.push({ prefix: { ip: spec.network, length: spec.prefixLength }, gateways: [spec.gateway] });
    if (this.families.includes('ipv6')) {
      const { network, prefixLength } = spec.ipv6;
      subnets.push({ prefix: { ip: network, length: prefixLength }, gateways: [this.gatewayOf(spec)] });
    }
    return subnets;
  }

  /** Addresses of the other routers of a LAN. */
  private peers(router: RouterName, lan: LanName): Ip[] {
    const spec = LANS[lan];
    const others = routersOn(this.layout, lan).filter((name) => name !== router);
    const numbers = others.map((name) => this.ownNumber(name, lan));
    return [
      ...(this.families.includes('ipv4') ? numbers.map((number) => ipv4Of(spec, number) as Ip) : []),
      ...(this.families.includes('ipv6') ? numbers.map((number) => ipv6In(spec, number as number)) : []),
    ];
  }

  /** Host number of a router on a LAN where the gateway is not its own: one of several. */
  private ownNumber(router: RouterName, lan: LanName): number | undefined {
    const there = routersOn(this.layout, lan);
    if (there.length === 1 || (this.layout === 'two-on-lan' && router === 'r1')) return undefined;
    return 2 + there.indexOf(router);
  }

  private gatewayOf(spec: LanSpec): Ipv6 {
    if (this.gatewayPlan === 'shared') return SHARED_GATEWAY;
    if (this.gatewayPlan === 'global') return spec.ipv6.gateway;
    // fe80::a1 and so on: its number is that of the subnet.
    return parseIp(`fe80::a${spec.ipv6.network.charCodeAt(5).toString(16)}`) as Ipv6;
  }
}

export function routersOn(layout: Layout, lan: LanName): RouterName[] {
  const routers = Object.entries(ROUTERS[layout]) as [RouterName, readonly LanName[]][];
  return routers.filter(([, lans]) => lans.includes(lan)).map(([name]) => name);
}

function ipv4Of({ network }: LanSpec, number: number | undefined): Ip | undefined {
  return number === undefined ? undefined : ((network + number) as Ip);
}
