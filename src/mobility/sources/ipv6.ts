import { type Ip, contains, isIpv4, isLinkLocal } from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';
import { subnetOf } from '../policy.js';
import type { SourceRules, SourceView } from './sources.js';

const NONE: readonly Ip[] = [];

/**
 * A host answers a solicitation only from an address that it takes for a neighbour's: link-local, or in a prefix that is
 * on its link. BSD drops every other one. So nothing is asked from a global address of ours that is elsewhere, and
 * nothing from ::, which is duplicate address detection (RFC 4862 section 5.4): the answer to that goes to all.
 */
export const ipv6Sources: SourceRules = {
  /**
   * On the host's own LAN a gateway of it that the kernel has there; towards a visitor a gateway that it is configured
   * with, since the source link-layer address option replaces its entry for that one (RFC 4861 section 7.2.3); else our
   * own address there.
   */
  probeSource(view, iface, ip) {
    const { topology } = view;
    const isHome = topology.subnets.isHome(iface, ip);
    if (!topology.roles.speaks(iface, ip) || (topology.roles.defers(iface, ip) && !isHome))
      return ownSource(view, iface, ip);
    const gateways = gatewaysOf(view, ip);
    const here = gateways.find((gateway) => topology.isLocalOn(gateway, iface));
    const visited = isHome ? undefined : gateways[0];
    return here ?? visited ?? ownSource(view, iface, ip) ?? addressOn(view, iface, ip);
  },

  ownSource,
  addressOn,

  outsideSource(view, iface, ip, gateway) {
    const source = ownLinkLocal(view, iface, ip);
    return source === undefined || source === gateway ? gateway : source;
  },

  /** At home only those that we have there: another one is another router's. */
  gatewaysToRepair(view, iface, ip) {
    const { topology } = view;
    const gateways = gatewaysOf(view, ip);
    if (gateways.length < 2) return NONE;
    const source = ipv6Sources.probeSource(view, iface, ip);
    if (source === undefined || !gateways.includes(source)) return NONE;
    const isHome = topology.subnets.isHome(iface, ip);
    return gateways.filter(
      (gateway) => gateway !== source && (!isHome || topology.isLocalOn(gateway, iface)),
    );
  },
};

/** The gateways that a host of this subnet takes for neighbours. */
function gatewaysOf({ policy }: SourceView, ip: Ip): readonly Ip[] {
  const subnet = subnetOf(policy, ip);
  return (
    subnet?.gateways.filter((gateway) => isLinkLocal(gateway) || contains(subnet.prefix, gateway)) ?? NONE
  );
}

/** The link-local address of the interface itself, first of all: every host on the link takes it for a neighbour's. */
function ownSource(view: SourceView, iface: IfIndex, ip: Ip): Ip | undefined {
  const { topology } = view;
  return (
    ownLinkLocal(view, iface, ip) ??
    globals(view, iface, ip).find((own) => !topology.isGateway(own) && own !== ip)
  );
}

function addressOn(view: SourceView, iface: IfIndex, other: Ip): Ip | undefined {
  const { topology } = view;
  const own = ownSource(view, iface, other);
  if (own !== undefined || !topology.roles.speaks(iface, other)) return own;
  const all = [...topology.linkLocalsOn(iface), ...globals(view, iface, other)];
  return all.find((ip) => ip !== other);
}

function ownLinkLocal({ topology }: SourceView, iface: IfIndex, other: Ip): Ip | undefined {
  return topology.linkLocalsOn(iface).find((ip) => !topology.isGateway(ip) && ip !== other);
}

/** Global addresses of ours on a LAN that `other` takes for a neighbour's. */
function globals({ topology }: SourceView, iface: IfIndex, other: Ip): readonly Ip[] {
  return topology.subnets.connected.flatMap(({ iface: index, address }) =>
    index === iface &&
    topology.isLocalOn(address.ip, iface) &&
    !isIpv4(address.ip) &&
    (isLinkLocal(other) || contains(address, other))
      ? [address.ip]
      : [],
  );
}
