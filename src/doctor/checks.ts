import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import { isRemoteClaim } from '../mobility/network/fib.js';
import { type Subnet, allowedByDefault, matchesPattern, ruleFor } from '../mobility/policy.js';
import { checkSharedLans } from './shared-lans.js';
import { checkAlarms, checkCapture, checkDaemon } from './daemon-checks.js';
import { type DaemonView, type Facts, type Finding, error, ok, warning } from './finding.js';
import { checkMapping } from './mapping.js';
import { checkForeignRoutes } from './foreign-routes.js';
import { checkIpv6Lans } from './ipv6-lans.js';
import { checkForwarding, checkSettings } from './settings.js';
import {
  type Ip,
  type Prefix,
  contains,
  formatIp,
  formatPrefix,
  hostLength,
  isIpv4,
  isLinkLocal,
} from '../wire/addresses.js';

/** Checks of plain facts: what prevents Mobile ARP on this machine, and how to fix it. */

/** `nud permanent extern_learn` together, and `-j` for all objects. */
const LEAST_IPROUTE2 = [5, 10] as const;

/**
 * Findings in the order in which a person would look, `ok` ones included. `config` undefined: none was found;
 * `daemon` undefined: it does not answer, for `unreachableReason`.
 */
export function diagnose(
  facts: Facts,
  config: Config | undefined,
  daemon: DaemonView | undefined,
  unreachableReason = 'marpd is not running',
): Finding[] {
  const programs = [...checkDaemon(facts, daemon, unreachableReason), ...checkPrograms(facts)];
  if (config === undefined) {
    const fix = 'marpctl doctor --config FILE';
    return [
      ...programs,
      warning('config', 'no configuration found: checks that depend on it are skipped', fix),
    ];
  }
  const macvlans = facts.links.filter((link) => isMacvlan(facts, config, link));
  const links = facts.links.filter((link) => isMobility(config, link) && !macvlans.includes(link));
  return [
    ...programs,
    ...checkInterfaces(facts, config),
    ...(daemon === undefined ? [] : checkCapture(daemon)),
    ...checkForwarding(facts, config, daemon),
    ...[...links, ...macvlans].flatMap((link) => checkSettings(facts, config, daemon, link, macvlans)),
    ...checkProxyNeighbours(facts, config, links),
    ...config.policy.subnets.flatMap((subnet) => checkGateways(facts, config, links, subnet, daemon)),
    ...checkIpv6Lans(facts, config, links),
    ...checkSharedLans(facts, config, daemon, links),
    ...checkMapping(facts, config, daemon),
    ...checkProtocol(facts, config, daemon),
    ...checkMetrics(facts, config),
    ...checkForeignRoutes(facts, config, links),
    ...(daemon === undefined ? [] : checkAlarms(daemon, config)),
  ];
}

/** When the daemon runs in another network namespace that cannot be entered: only what the daemon itself says. */
export function diagnoseFromOutside(daemon: DaemonView, reason: string): Finding[] {
  const message = `marpd runs in another network namespace, whose settings, links and routes were not checked: ${reason}`;
  const fix = `as root, where marpd runs: nsenter --net=/proc/${daemon.pid}/ns/net marpctl doctor`;
  return [
    ok('daemon', 'marpd is running'),
    warning('namespace', message, fix),
    ...checkCapture(daemon),
    ...checkAlarms(daemon),
  ];
}

function isMobility(config: Config, link: Link): boolean {
  return (
    link.master === undefined &&
    config.policy.interfaces.some((rule) => matchesPattern(rule.pattern, link.name))
  );
}

/** On a mobility interface: it is part of that one's LAN. */
function isMacvlan(facts: Facts, config: Config, { type, lower }: Link): boolean {
  const below = type === 'macvlan' && facts.links.find(({ index }) => index === lower);
  return below !== false && below !== undefined && isMobility(config, below);
}

function checkPrograms(facts: Facts): Finding[] {
  const { iproute2Version: version, capBuild } = facts;
  const findings: Finding[] = [];
  if (version === undefined) {
    findings.push(error('iproute2', 'the ip command is missing', 'apt-get install iproute2'));
  } else {
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const [leastMajor, leastMinor] = LEAST_IPROUTE2;
    const old = major < leastMajor || (major === leastMajor && minor < leastMinor);
    findings.push(
      old
        ? warning(
            'iproute2',
            `iproute2 ${version} is older than ${LEAST_IPROUTE2.join('.')}`,
            'upgrade iproute2 (Debian 12 has 6.1)',
          )
        : ok('iproute2', `iproute2 ${version}`),
    );
  }
  findings.push(
    capBuild.ok
      ? ok('libpcap', 'cap is built for this machine and without assertions')
      : error(
          'libpcap',
          capBuild.reason ?? 'cap cannot be used',
          'apt-get install libpcap-dev g++ make python3, then: npm run build:native',
        ),
  );
  return findings;
}

function checkInterfaces(facts: Facts, config: Config): Finding[] {
  const nameOf = (index: number) =>
    facts.links.find((link) => link.index === index)?.name ?? `index ${index}`;
  return config.policy.interfaces.flatMap(({ pattern }): Finding[] => {
    const matching = facts.links.filter((link) => matchesPattern(pattern, link.name));
    const glob = /[*?]/.test(pattern);
    if (matching.length === 0) {
      return glob
        ? [ok('interface', `no interface matches "${pattern}" at the moment`)]
        : [
            warning(
              'interface',
              `${pattern} does not exist; marpd is waiting for it`,
              'ip link show; correct the name of the [[interface]]',
            ),
          ];
    }
    return matching.flatMap((link): Finding[] => {
      if (link.master !== undefined) {
        const master = nameOf(link.master);
        const message = `${link.name} is a port of ${master}, which cannot be a mobility interface`;
        if (glob) return [ok('interface', `${message}, so "${pattern}" skips it`)];
        return [error('interface', message, `[[interface]] name = "${master}"`)];
      }
      if (!link.up) return [warning('interface', `${link.name} is down`, `ip link set ${link.name} up`)];
      if (!link.carrier) {
        return [
          warning(
            'interface',
            `${link.name} has no carrier`,
            `connect a cable or start a guest: ip link show ${link.name}`,
          ),
        ];
      }
      return [ok('interface', `${link.name} is up`)];
    });
  });
}

function checkProxyNeighbours(facts: Facts, config: Config, links: readonly Link[]): Finding[] {
  const { allow, deny, families } = config.policy;
  const connected = links.flatMap(({ addresses }) => addresses);
  const prefixes = allow ?? allowedByDefault(config.policy, families, connected);
  return facts.proxyNeighbours
    .filter(({ dev }) => links.some((link) => link.name === dev))
    .map(({ ip, dev }) => {
      const mobile =
        prefixes.some((prefix) => contains(prefix, ip)) && !deny.some((prefix) => contains(prefix, ip));
      const [check, request] = isIpv4(ip)
        ? ['proxy-arp', 'every ARP request']
        : ['proxy-ndp', 'neighbour solicitations'];
      const message = `the kernel answers ${request} for ${formatIp(ip)} on ${dev} (ip neigh show proxy)`;
      const fix = `ip neigh del proxy ${formatIp(ip)} dev ${dev}`;
      return mobile ? error(check, message, fix) : warning(check, message, fix);
    });
}

function checkGateways(
  facts: Facts,
  config: Config,
  links: readonly Link[],
  { prefix, gateways }: Subnet,
  daemon: DaemonView | undefined,
): Finding[] {
  const name = formatPrefix(prefix);
  if (gateways.length === 0 && isIpv4(prefix.ip)) {
    const fix = `gateway = "..." in the [[subnet]] of ${name}, the address that its hosts are configured with`;
    const message = `${name} has no gateway: ARP entries for it cannot be repaired on hosts that move`;
    return [warning('gateway', message, fix)];
  }
  // A link-local one of IPv6 belongs to every LAN (ipv6-lans.ts).
  return gateways
    .filter((gateway) => isIpv4(gateway) || !isLinkLocal(gateway))
    .flatMap((gateway) => checkGateway(facts, config, links, { prefix, gateway }, daemon));
}

function checkGateway(
  facts: Facts,
  config: Config,
  links: readonly Link[],
  { prefix, gateway }: { readonly prefix: Prefix; readonly gateway: Ip },
  daemon: DaemonView | undefined,
): Finding[] {
  const name = formatPrefix(prefix);
  if (!contains(prefix, gateway))
    return [ok('gateway', `${formatIp(gateway)} of ${name} lies outside: marpd answers for it everywhere`)];
  const home = links.find((link) => link.addresses.some((address) => contains(prefix, address.ip)));
  if (home === undefined) return [ok('gateway', `${name} is not connected here: all its hosts are visitors`)];
  const owner = facts.links.find((link) => link.addresses.some((address) => address.ip === gateway));
  if (owner !== undefined)
    return [ok('gateway', `${formatIp(gateway)} of ${name} is ours, on ${owner.name}`)];
  const role = ruleFor(config.policy, home.name)?.role;
  if (role === 'gateway' || role === 'told')
    return [
      ok(
        'gateway',
        `${formatIp(gateway)} of ${name} is not here: it belongs to the active router of ${home.name}`,
      ),
    ];
  // Whoever added it now would be a second speaker. What to do is said of the other router (checkAlarms).
  if (daemon?.otherRouters.some(({ ip }) => ip === formatIp(gateway)) === true)
    return [
      ok('gateway', `${formatIp(gateway)} of ${name} is not here: another machine of ${home.name} has it`),
    ];
  return [
    error(
      'gateway',
      `${name} is connected on ${home.name}, but its gateway ${formatIp(gateway)} is not configured on any interface`,
      `ip address add ${formatIp(gateway)}/${prefix.length} dev ${home.name}`,
    ),
  ];
}

function checkProtocol(facts: Facts, config: Config, daemon: DaemonView | undefined): Finding[] {
  const { protocol, freshTable, settledTable } = config.router;
  const own = facts.routes.filter((route) => route.protocol === protocol);
  const foreign = own.find(
    (route) =>
      route.prefix.length !== hostLength(route.prefix.ip) ||
      route.via !== undefined ||
      (route.table !== freshTable && route.table !== settledTable),
  );
  if (foreign !== undefined) {
    return [
      error(
        'protocol',
        `${formatPrefix(foreign.prefix)} in table ${foreign.table} has marpd's protocol number ${protocol} but is not a claim: another program uses the number`,
        `[router] protocol = another number (ip route show table all proto ${protocol})`,
      ),
    ];
  }
  if (daemon === undefined && own.length > 0) {
    return [
      config.router.onExit === 'keep'
        ? ok('protocol', `the routes of ${own.length} hosts were kept for the next start`)
        : warning(
            'protocol',
            `marpd has ended and left the routes of ${own.length} hosts; the next start adopts them`,
            `systemctl start marpd, or: ip route flush proto ${protocol}`,
          ),
    ];
  }
  return [ok('protocol', `protocol number ${protocol} is used by marpd only`)];
}

/** In one table the kernel's order is that of the metrics: fresh, remote, settled (design.md 3.3). */
function checkMetrics(facts: Facts, config: Config): Finding[] {
  const { protocol, freshTable, settledTable, freshMetric, settledMetric, watchTables } = config.router;
  const remote = facts.routes.filter(
    (route) =>
      route.protocol !== protocol &&
      route.prefix.length === hostLength(route.prefix.ip) &&
      isRemoteClaim(route, config.router.remoteProtocols) &&
      watchTables.includes(route.table) &&
      config.policy.subnets.some((subnet) => contains(subnet.prefix, route.prefix.ip)),
  );
  const tooLow = remote.find((route) => route.table === freshTable && route.metric <= freshMetric);
  const tooHigh = remote.find((route) => route.table === settledTable && route.metric >= settledMetric);
  const findings: Finding[] = [];
  if (tooLow !== undefined) {
    findings.push(
      error(
        'metrics',
        `${formatPrefix(tooLow.prefix)} of protocol ${tooLow.protocol} has metric ${tooLow.metric}, not above fresh_metric (${freshMetric}): it hides fresh claims`,
        'make the routing daemon use a metric of about 20 (BIRD: krt_metric), or find out what set the route',
      ),
    );
  }
  if (tooHigh !== undefined) {
    findings.push(
      error(
        'metrics',
        `${formatPrefix(tooHigh.prefix)} of protocol ${tooHigh.protocol} has metric ${tooHigh.metric}, not below settled_metric (${settledMetric}): settled claims hide it`,
        'make the routing daemon use a lower metric',
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [ok('metrics', "metrics of other routers' claims are between fresh_metric and settled_metric")];
}
