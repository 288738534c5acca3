import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import { type InterfaceRule, ruleFor } from '../mobility/policy.js';
import { type Ip, type Prefix, formatIp, formatPrefix, isIpv4, isLinkLocal } from '../wire/addresses.js';
import { type Facts, type Finding, error, ok, warning } from './finding.js';

/** LANs with hosts of IPv6: what the kernel says to them in its own name, and what never reaches this router. */

export function checkIpv6Lans(facts: Facts, config: Config, links: readonly Link[]): Finding[] {
  if (!config.policy.families.includes('ipv6')) return [];
  const gateways = config.policy.subnets.flatMap(({ gateways }) => gateways);
  const shared = [...new Set(gateways.filter((ip) => !isIpv4(ip) && isLinkLocal(ip)))];
  return [
    ...checkSubnets(config, links),
    ...checkAcceptRa(facts, config),
    ...checkIgnoredAdvertisements(facts, config),
    ...links.flatMap((link) => {
      const findings = [
        ...checkUsable(link),
        ...checkDuplicates(link),
        ...checkLinkLocals(facts, config, link, shared),
        ...checkQuerier(facts, config, link),
        ...checkAdvertisements(facts, config, link),
        ...checkRedirects(facts, link, gateways),
      ];
      return findings.length > 0 ? findings : [ok('ipv6', `${link.name} is set up for hosts of IPv6`)];
    }),
  ];
}

/** A host that learned its gateway by router advertisement knows the link-local address of that router. */
function checkSubnets({ policy }: Config, links: readonly Link[]): Finding[] {
  const subnets = policy.subnets.filter(({ prefix }) => !isIpv4(prefix.ip));
  const isSubnet = ({ ip, length }: Prefix) => !isIpv4(ip) && !isLinkLocal(ip) && length < 128;
  const isConnected = links.some(({ addresses }) => addresses.some(isSubnet));
  if (subnets.length === 0 && policy.subnets.length > 0 && policy.allow === undefined) {
    const allowed = isConnected
      ? 'only hosts of the connected subnets are allowed, and their gateways are not known'
      : 'no host of IPv6 is allowed';
    return [
      warning(
        'ipv6',
        `IPv6 is served, but no [[subnet]] has a prefix of it: ${allowed}`,
        '[[subnet]] prefix = "..." and gateway = "fe80::1", for each home prefix',
      ),
    ];
  }
  return subnets
    .filter(({ gateways }) => !gateways.some(isLinkLocal))
    .map(({ prefix }) =>
      warning(
        'gateway',
        `${formatPrefix(prefix)} has no link-local gateway: hosts that learned theirs from a router advertisement lose it when they move`,
        `gateway = "fe80::1" in the [[subnet]] of ${formatPrefix(prefix)}, and that address on the LANs of all routers`,
      ),
    );
}

/** RFC 8200 section 5: no IPv6 below an MTU of 1280. */
function checkUsable({ name, hasIpv6, mtu }: Link): Finding[] {
  if (hasIpv6 !== false) return [];
  const small = mtu !== undefined && mtu < 1280;
  return [
    error(
      'ipv6',
      small ? `the MTU of ${name} is ${mtu}: the kernel does no IPv6 there` : `IPv6 is disabled on ${name}`,
      small ? `ip link set ${name} mtu 1500` : `sysctl -w net/ipv6/conf/${name}/disable_ipv6=0`,
    ),
  ];
}

/** RFC 4862 section 5.4.5: an address of another machine is not used, and stays where it is until somebody deletes it. */
function checkDuplicates({ name, addresses, duplicates = [] }: Link): Finding[] {
  return addresses
    .filter(({ ip }) => duplicates.includes(ip))
    .map((address) => {
      const what = `${formatPrefix(address)} dev ${name}`;
      return error(
        'duplicate-address',
        `another machine on the LAN of ${name} has ${formatIp(address.ip)}: the kernel does not use it here (dadfailed)`,
        `find that machine (ip -6 neigh show dev ${name}); if it is another router that shares the address: ip address del ${what} && ip address add ${what} nodad`,
      );
    });
}

/** The kernel lists the newest first. It speaks of itself, redirects included, with the oldest (ipv6_get_lladdr). */
function checkLinkLocals({ links }: Facts, { policy }: Config, link: Link, shared: readonly Ip[]): Finding[] {
  if (link.hasIpv6 === false || !link.up) return [];
  const own = link.addresses.map(({ ip }) => ip).filter((ip) => !isIpv4(ip) && isLinkLocal(ip));
  const oldest = own.findLast((ip) => link.duplicates?.includes(ip) !== true);
  if (oldest === undefined)
    return [
      error(
        'link-local',
        `${link.name} has no link-local address: the kernel resolves no neighbour there`,
        `sysctl -w net/ipv6/conf/${link.name}/addr_gen_mode=0, then: ip link set ${link.name} down up`,
      ),
    ];
  const missing = isGatewayOfOthers(ruleFor(policy, link.name))
    ? []
    : shared.filter((ip) => !own.includes(ip) && !isOnMacvlan(links, link, ip));
  const findings = missing.map((ip) =>
    warning(
      'gateway',
      `the shared gateway ${formatIp(ip)} is not on ${link.name}: hosts there lose it as soon as marpd does not run`,
      `ip address add ${formatIp(ip)}/64 dev ${link.name}`,
    ),
  );
  if (!shared.includes(oldest)) return findings;
  const another = own.some((ip) => !shared.includes(ip));
  const again = `ip address del ${formatIp(oldest)}/64 dev ${link.name} && ip address add ${formatIp(oldest)}/64 dev ${link.name}`;
  return [
    ...findings,
    warning(
      'link-local',
      `the gateway ${formatIp(oldest)} is the oldest link-local address of ${link.name}: hosts believe the redirects that the kernel sends from it, and lose a neighbour that moves`,
      another
        ? again
        : `ip address add fe80::ID/64 dev ${link.name}, with another ID on each router, then: ${again}`,
    ),
  ];
}

/** One router of the LAN has the gateway at a time (RFC 9568), and it goes to another one without marpd. */
function isGatewayOfOthers(rule: InterfaceRule | undefined): boolean {
  return rule?.role === 'gateway' || rule?.role === 'told';
}

function isOnMacvlan(links: readonly Link[], { index }: Link, ip: Ip): boolean {
  return links.some(
    ({ type, lower, addresses }) =>
      type === 'macvlan' && lower === index && addresses.some((address) => address.ip === ip),
  );
}

/** A snooping switch with a querier sends a group's frames where it has heard members or a router (RFC 4541 section 3). */
function checkQuerier({ ipv6 }: Facts, config: Config, { name }: Link): Finding[] {
  const rule = ruleFor(config.policy, name);
  const counts = ipv6?.get(name);
  if (counts === undefined || counts.queriesIn === 0 || counts.isQuerier) return [];
  if (rule?.multicastRouter === true)
    return [ok('snooping', `${name} has an MLD querier, and marpd says that a multicast router is here`)];
  return [
    warning(
      'snooping',
      `${name} has an MLD querier: if its switch snoops, hosts that come are not heard (neither their Duplicate Address Detection nor their solicitations pass)`,
      `multicast_router = true in the [[interface]] ${rule?.pattern ?? name}, or declare the port of this router on the switch a router port (Linux: bridge link set dev PORT mcast_router 2)`,
    ),
  ];
}

/**
 * Linux gives a copy of what is sent to all nodes to its sender, unless that says no, and counts it as received: radvd hears
 * itself, FRR does not. What is more than that came from another router.
 */
function checkAdvertisements({ ipv6 }: Facts, { policy }: Config, { name }: Link): Finding[] {
  const counts = ipv6?.get(name);
  if (ipv6 === undefined || counts === undefined) return [];
  const heard = counts.advertisementsIn - counts.advertisementsOut;
  if (heard > 0 && ruleFor(policy, name)?.role === 'alone')
    return [
      warning(
        'ra-source',
        `another router advertises itself on ${name} (${counts.advertisementsIn} router advertisements received, ${counts.advertisementsOut} sent): hosts may leave by it`,
        `find it (tcpdump -eni ${name} 'icmp6 and ip6[40] == 134'), and let the switch drop what it sends (RFC 6105); if it is one of several first-hop routers, set role on both`,
      ),
    ];
  const elsewhere = [...ipv6].find(
    ([other, { advertisementsOut }]) => advertisementsOut > 0 && ruleFor(policy, other) !== undefined,
  );
  if (elsewhere === undefined || counts.advertisementsOut > 0 || counts.advertisementsIn > 0) return [];
  return [
    warning(
      'ra-source',
      `this router advertises itself on ${elsewhere[0]} and not on ${name}: autoconfigured hosts that come there lose their default route after its lifetime`,
      `let radvd (or FRR: no ipv6 nd suppress-ra) advertise on ${name}, too`,
    ),
  ];
}

/** Linux has no switch for them in IPv6. Nobody takes one from an address that is not its gateway (RFC 4861 section 8.1). */
function checkRedirects({ ipv6 }: Facts, { name, addresses }: Link, gateways: readonly Ip[]): Finding[] {
  const counts = ipv6?.get(name);
  const oldest = addresses.map(({ ip }) => ip).findLast((ip) => !isIpv4(ip) && isLinkLocal(ip));
  if (counts === undefined || counts.redirectsOut === 0 || oldest === undefined) return [];
  if (!gateways.includes(oldest)) return [];
  return [
    warning(
      'redirects',
      `the kernel has sent ${counts.redirectsOut} redirects on ${name} in the name of the gateway`,
      `give ${name} an older link-local address (see link-local), or: nft add rule inet filter output oifname ${name} icmpv6 type nd-redirect drop`,
    ),
  ];
}

/** The kernel deletes what router advertisements brought as soon as it forwards, where accept_ra is not 2. */
function checkAcceptRa({ advertisedUplinks = [], sysctls }: Facts, { policy, kernel }: Config): Finding[] {
  return advertisedUplinks
    .filter((name) => ruleFor(policy, name) === undefined)
    .filter((name) => sysctls.get(`net/ipv6/conf/${name}/accept_ra`) === 1)
    .map((name) => {
      const what = `the default route by ${name} comes from a router advertisement, and accept_ra is 1 there`;
      return kernel.settings === 'apply'
        ? ok('accept_ra', `${what}; marpd sets 2 before it lets the kernel forward`)
        : error(
            'accept_ra',
            `${what}: it is lost when the kernel forwards`,
            `sysctl -w net/ipv6/conf/${name}/accept_ra=2`,
          );
    });
}

/**
 * Those that came while the kernel forwards already, at the start of the machine for one: it made no route of them, so none
 * shows that this interface is an uplink.
 */
function checkIgnoredAdvertisements(
  { advertisedUplinks = [], ipv6, sysctls }: Facts,
  config: Config,
): Finding[] {
  const settingOf = (name: string, key: string) => sysctls.get(`net/ipv6/conf/${name}/${key}`);
  return [...(ipv6 ?? [])]
    .filter(([name, { advertisementsIn }]) => advertisementsIn > 0 && !advertisedUplinks.includes(name))
    .filter(([name]) => ruleFor(config.policy, name) === undefined)
    .filter(([name]) => settingOf(name, 'forwarding') === 1 && settingOf(name, 'accept_ra') === 1)
    .map(([name]) =>
      warning(
        'accept_ra',
        `a router advertises itself on ${name}, and the kernel ignores it: it forwards there, and accept_ra is 1`,
        `sysctl -w net/ipv6/conf/${name}/accept_ra=2 if the default route shall come from there, else accept_ra=0`,
      ),
    );
}
