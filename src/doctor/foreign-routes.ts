import type { Config } from '../config/config.js';
import { formatProtocol } from '../config/route-protocols.js';
import type { Link, Route } from '../mobility/events.js';
import { isRemoteClaim } from '../mobility/network/fib.js';
import { policyRefusal } from '../mobility/policy.js';
import { formatIp, formatPrefix, hostLength } from '../wire/addresses.js';
import { type Finding, error, ok, warning } from './finding.js';

/** More are counted, not listed: an agent may have a route for each of its guests. */
const MOST_LISTED = 10;

/**
 * Host routes of mobile hosts that are neither ours nor another router's claim. The kernel prefers one with a lower
 * metric than our claim's, so it must lead to where the host is.
 */
export function checkForeignRoutes(
  facts: { readonly routes: readonly Route[]; readonly links: readonly Link[] },
  config: Config,
  mobility: readonly Link[],
): Finding[] {
  const { protocol, watchTables, remoteProtocols } = config.router;
  const hostRoutes = facts.routes.filter(
    ({ prefix, type }) => prefix.length === hostLength(prefix.ip) && type !== 'local' && type !== 'broadcast',
  );
  // The kernel has a route to each IPv6 address of its own that has no shorter prefix.
  const own = new Set(facts.links.flatMap(({ addresses }) => addresses.map(({ ip }) => ip)));
  const subnets = config.policy.subnets.map(({ prefix }) => prefix);
  const allowed = subnets.length > 0 ? subnets : mobility.flatMap((link) => link.addresses);
  const foreign = hostRoutes.filter(
    (route) =>
      route.protocol !== protocol &&
      !own.has(route.prefix.ip) &&
      watchTables.includes(route.table) &&
      !isRemoteClaim(route, remoteProtocols) &&
      policyRefusal(config.policy, allowed, route.prefix.ip, undefined) === undefined,
  );
  const nameOf = ({ iface }: Route) =>
    facts.links.find((link) => link.index === iface)?.name ?? 'several interfaces';
  const findings = foreign.slice(0, MOST_LISTED).map((route): Finding => {
    const claim = hostRoutes.find((own) => own.protocol === protocol && own.prefix.ip === route.prefix.ip);
    return classify(route, claim, nameOf);
  });
  const more = foreign.length - findings.length;
  if (more > 0) {
    const message = `${more} more foreign routes of mobile hosts`;
    findings.push(warning('foreign-route', message, 'ip route show table all'));
  }
  return findings;
}

function classify(route: Route, claim: Route | undefined, nameOf: (route: Route) => string): Finding {
  const { prefix, protocol, metric, table, via, type } = route;
  const hop = via === undefined ? `dev ${nameOf(route)}` : `via ${formatIp(via)}`;
  const what = `${formatPrefix(prefix)} ${type === 'unicast' ? hop : type} of ${formatProtocol(protocol)}, metric ${metric}`;
  const text = `foreign route ${what}, is no other router's claim`;
  const check = 'foreign-route';
  if (claim !== undefined && claim.iface === route.iface && via === undefined)
    return ok(check, `${text}; it leads where our claim leads`);
  const fix = `ip route del ${formatPrefix(prefix)} proto ${protocol} metric ${metric} table ${table}, or take it out of the program that sets it`;
  return claim !== undefined && metric < claim.metric
    ? error(check, `${text}, and hides our claim on ${nameOf(claim)}`, fix)
    : warning(check, text, fix);
}
