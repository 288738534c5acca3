import { type Ip, type Prefix, contains, isIpv4 } from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';
import { subnetOf } from '../policy.js';
import type { SourceRules, SourceView } from './sources.js';

/** A subnet has one gateway at most, and the proof is asked in its name. */
const NONE: readonly Ip[] = [];

export const ipv4Sources: SourceRules = {
  /**
   * On the host's own LAN its gateway if we have that there, else our address there; towards a visitor the gateway it is
   * configured with, so that RFC 826's merge rule repairs its stale entry; else our address in its subnet; else our
   * address on the receiving interface, else any. Never 0.0.0.0.
   */
  probeSource(view, iface, ip) {
    const { policy, topology } = view;
    // A question in the gateway's name would take its hosts away from the router that is active.
    if (
      !topology.roles.speaks(iface, ip) ||
      (topology.roles.defers(iface, ip) && !topology.subnets.isHome(iface, ip))
    )
      return ownSource(view, iface, ip);
    const gateways = subnetOf(policy, ip)?.gateways ?? [];
    const here = gateways.find((gateway) => topology.isLocalOn(gateway, iface));
    if (here !== undefined) return here;
    let onInterface: Ip | undefined;
    let inSubnet: Ip | undefined;
    let any: Ip | undefined;
    for (const { iface: index, address } of topology.subnets.connected) {
      if (!isIpv4(address.ip)) continue;
      const inside = contains(address, ip);
      if (index === iface && inside) return address.ip;
      if (inside) inSubnet ??= address.ip;
      if (index === iface) onInterface ??= address.ip;
      any ??= address.ip;
    }
    return gateways[0] ?? inSubnet ?? onInterface ?? any;
  },

  ownSource,
  addressOn,

  /** Outside of its subnet, on the receiving interface if there is one. undefined: there is none but `gateway`. */
  outsideSource({ topology }, iface, ip, gateway) {
    let any: Ip | undefined;
    for (const { iface: index, address } of topology.subnets.connected) {
      if (!isIpv4(address.ip) || contains(address, ip)) continue;
      if (address.ip === gateway || address.ip === ip) continue;
      if (index === iface) return address.ip;
      any ??= address.ip;
    }
    return any;
  },

  gatewaysToRepair: () => NONE,
};

function ownSource(view: SourceView, iface: IfIndex, ip: Ip): Ip | undefined {
  const { topology } = view;
  const inside = topology.subnets.connected.find(
    ({ iface: index, address }) =>
      index === iface && address.ip !== ip && contains(address, ip) && !topology.isGateway(address.ip),
  );
  return inside?.address.ip ?? addressOn(view, iface, ip);
}

function addressOn({ topology }: SourceView, iface: IfIndex, other: Ip): Ip | undefined {
  const isOurs = (ip: Ip) => topology.roles.speaks(iface, ip) || !topology.isGateway(ip);
  const isUsable = ({ ip }: Prefix) => ip !== other && isIpv4(ip) && isOurs(ip);
  return topology.subnets.connected.find((subnet) => subnet.iface === iface && isUsable(subnet.address))
    ?.address.ip;
}
