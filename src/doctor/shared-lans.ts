import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import { type InterfaceRule, ruleFor } from '../mobility/policy.js';

import {
  type Family,
  type Ip,
  type Prefix,
  contains,
  familyOf,
  formatIp,
  formatPrefix,
  hostLength,
  isVirtualRouterMac,
  isOfOneLink,
} from '../wire/addresses.js';
import { type DaemonView, type Facts, type Finding, error, ok, warning } from './finding.js';

/** LANs with several first-hop routers: what VRRP daemons leave to others, and what does not fit to the role. */

interface Lan {
  readonly link: Link;
  readonly rule: InterfaceRule;
  /** The macvlans on it. */
  readonly macvlans: readonly Link[];
  readonly gateways: readonly Ip[];
}

export function checkSharedLans(
  facts: Facts,
  config: Config,
  daemon: DaemonView | undefined,
  links: readonly Link[],
): Finding[] {
  const gateways = config.policy.subnets.flatMap(({ gateways }) => gateways);
  return links.flatMap((link) => {
    const rule = ruleFor(config.policy, link.name);
    if (rule === undefined) return [];
    const macvlans = facts.links.filter(({ type, lower }) => type === 'macvlan' && lower === link.index);
    const lan = { link, rule, macvlans, gateways };
    const findings = [
      ...checkRole(lan),
      ...checkPeers(facts, lan),
      ...checkOwnAddress(lan, config.policy.families),
      ...checkGatewayPrefix(lan),
      ...checkUplink(facts, config, daemon, lan),
    ];
    if (findings.length > 0 || rule.role === 'alone') return findings;
    return [ok('role', `${link.name}: role = "${rule.role}" fits to the addresses of this LAN`)];
  });
}

/** A virtual router whose gateway marpd would speak for on all routers at a time. */
function checkRole({ link, rule, macvlans, gateways }: Lan): Finding[] {
  const virtual = macvlans.find(({ mac }) => isVirtualRouterMac(mac));
  const holdsGateway = (one: Link) => one.addresses.some(({ ip }) => gateways.includes(ip));
  if (rule.role === 'alone' && virtual !== undefined)
    return [
      error(
        'role',
        `${virtual.name} belongs to a virtual router (VRRP) on ${link.name}, and role is "alone": marpd speaks for its gateway also where this router is a backup`,
        `role = "gateway" in the [[interface]] ${rule.pattern}, on each router of the LAN`,
      ),
    ];
  const isAnycast = rule.role === 'first' || rule.role === 'second';
  if (isAnycast && ![link, ...macvlans].some(holdsGateway))
    return [
      error(
        'role',
        `role = "${rule.role}" on ${link.name}, but no gateway address of a [[subnet]] is there: each router of an anycast group has it`,
        `ip address add GATEWAY/PREFIX dev ${link.name}, with the same MAC on all routers`,
      ),
    ];
  return [];
}

function checkPeers(facts: Facts, { link, rule }: Lan): Finding[] {
  const own = facts.links.flatMap(({ addresses }) => addresses.map(({ ip }) => ip));
  const wrong = rule.peers.filter((peer) => own.includes(peer));
  const far = rule.peers.filter((peer) => !link.addresses.some((address) => contains(address, peer)));
  return [
    ...wrong.map((peer) =>
      error(
        'peers',
        `peers of ${link.name} names ${formatIp(peer)}, an address of this router`,
        `peers = [...] in the [[interface]] ${rule.pattern}: the addresses of the other routers`,
      ),
    ),
    ...far.map((peer) =>
      warning(
        'peers',
        `peers of ${link.name} names ${formatIp(peer)}, which is in no subnet of that LAN`,
        `peers = [...] in the [[interface]] ${rule.pattern}: the addresses that the other routers have on this LAN`,
      ),
    ),
  ];
}

/** A standby asks hosts in its own name, those of each family in one of that family. */
function checkOwnAddress({ link, rule, macvlans, gateways }: Lan, families: readonly Family[]): Finding[] {
  if (rule.role !== 'gateway' && rule.role !== 'told') return [];
  const addresses = [link, ...macvlans].flatMap((one) => one.addresses);
  const isOwn = ({ ip, length }: Prefix) => !gateways.includes(ip) && length < hostLength(ip);
  const without = families.filter(
    (family) => !addresses.some((address) => familyOf(address.ip) === family && isOwn(address)),
  );
  // A LAN may be of one family alone.
  const isUsed = (family: Family) => addresses.some(({ ip }) => familyOf(ip) === family);
  const missing = without.length === families.length ? without : without.filter(isUsed);
  return missing.map((family) =>
    error(
      'role',
      `${link.name} has no address of its own for ${family === 'ipv4' ? 'IPv4' : 'IPv6'} besides the gateway's: as a standby this router cannot ask hosts`,
      `ip address add ADDRESS/PREFIX dev ${link.name}: one of the LAN's subnet, and another one on each router`,
    ),
  );
}

/**
 * The kernel makes a connected route for the prefix, and half of what goes to the LAN would leave by the macvlan. Not to an
 * address of one link, which always comes with its interface.
 */
function checkGatewayPrefix({ link, macvlans, gateways }: Lan): Finding[] {
  return macvlans.flatMap(({ name, addresses }) =>
    addresses
      .filter(({ ip, length }) => gateways.includes(ip) && length < hostLength(ip) && !isOfOneLink(ip))
      .filter((address) => link.addresses.some((other) => contains(address, other.ip)))
      .map((address) =>
        warning(
          'virtual-router',
          `${formatPrefix(address)} on ${name} gives its subnet a second connected route beside that of ${link.name}`,
          `${formatIp(address.ip)}/${hostLength(address.ip)} as the virtual address, in the VRRP daemon`,
        ),
      ),
  );
}

/** An active router without the core takes what hosts send, and nobody gets it. */
function checkUplink(
  facts: Facts,
  config: Config,
  daemon: DaemonView | undefined,
  { link, rule }: Lan,
): Finding[] {
  if (rule.role === 'alone' || rule.role === 'second') return [];
  const role = daemon?.roles.find((one) => one.interface === link.name);
  if (role?.state !== 'active') return [];
  const { uplinks } = facts;
  if (uplinks === undefined || uplinks.some((one) => isUp(facts, config, one))) return [];
  return [
    warning(
      'uplink',
      `this router is active on ${link.name}, and no route leads out of it by another interface with a carrier`,
      'let VRRP track the uplink (keepalived: track_interface), so that another router takes over',
    ),
  ];
}

function isUp({ links }: Facts, config: Config, iface: number): boolean {
  const link = links.find(({ index }) => index === iface);
  const isLan = link !== undefined && ruleFor(config.policy, link.name) !== undefined;
  return link?.up === true && link.carrier && !isLan;
}
