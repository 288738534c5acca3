import type { Config } from '../config/config.js';
import type { Link } from '../mobility/events.js';
import type { Family } from '../wire/addresses.js';
import { type DaemonView, type Facts, type Finding, error, ok } from './finding.js';

/** Settings of the kernel, of each family that is served. */

interface FamilySettings {
  readonly check: string;
  readonly name: string;
  readonly forward: string;
  readonly conf: string;
}

const SETTINGS: Readonly<Record<Family, FamilySettings>> = {
  ipv4: { check: 'ip_forward', name: 'IPv4', forward: 'net/ipv4/ip_forward', conf: 'net/ipv4/conf' },
  ipv6: { check: 'forwarding', name: 'IPv6', forward: 'net/ipv6/conf/all/forwarding', conf: 'net/ipv6/conf' },
};

/** marpd sets wrong values itself when it starts, unless it was told only to check. */
function wrongSetting(
  config: Config,
  daemon: DaemonView | undefined,
  check: string,
  what: string,
  fix: string,
): Finding {
  if (daemon === undefined && config.kernel.settings === 'apply')
    return ok(check, `${what}; marpd sets it when it starts`);
  return error(check, what, fix);
}

export function checkForwarding(facts: Facts, config: Config, daemon: DaemonView | undefined): Finding[] {
  return config.policy.families.map((family) => {
    const { check, name, forward } = SETTINGS[family];
    if (facts.sysctls.get(forward) === 1) return ok(check, `the kernel forwards ${name}`);
    const fix = `sysctl -w ${forward}=1`;
    return wrongSetting(config, daemon, check, `the kernel does not forward ${name}`, fix);
  });
}

export function checkSettings(
  facts: Facts,
  config: Config,
  daemon: DaemonView | undefined,
  link: Link,
  macvlans: readonly Link[],
): Finding[] {
  const wrong = config.policy.families.flatMap((family) =>
    checkFamily(facts, config, daemon, link, macvlans, family),
  );
  const findings = wrong.length > 0 ? wrong : [ok('settings', `${link.name} is set up for Mobile ARP`)];
  if (!config.policy.families.includes('ipv4')) return findings;
  return [...findings, checkReversePathFilter(link, macvlans.includes(link))];
}

function checkFamily(
  facts: Facts,
  config: Config,
  daemon: DaemonView | undefined,
  link: Link,
  macvlans: readonly Link[],
  family: Family,
): Finding[] {
  const hasMacvlan = macvlans.some(({ index, lower }) => index === link.index || lower === link.index);
  const all = family === 'ipv4' ? facts.interfaceSysctls : (facts.interfaceSysctlsIpv6 ?? []);
  const keys = all.filter(({ withMacvlan }) => hasMacvlan || !withMacvlan);
  return keys.flatMap(({ key, wanted, combined, consequence }): Finding[] => {
    const paths = (combined ? ['all', link.name] : [link.name]).map(
      (where) => `${SETTINGS[family].conf}/${where}/${key}`,
    );
    const values = paths.map((path) => ({ path, value: facts.sysctls.get(path) }));
    const effective = Math.max(...values.map(({ value }) => value ?? wanted));
    // arp_ignore has stricter values than the one that is needed.
    if (wanted === 0 ? effective === 0 : effective >= wanted) return [];
    const change = wanted === 0 ? values.filter(({ value }) => value !== 0) : values.slice(-1);
    const fix = `sysctl -w ${change.map(({ path }) => `${path}=${wanted}`).join(' ')}`;
    return [wrongSetting(config, daemon, key, `${key} is ${effective} on ${link.name}: ${consequence}`, fix)];
  });
}

/** What hosts send to the gateway's MAC comes in by the macvlan, and the routes back lead to the interface below it. */
function checkReversePathFilter({ name, rpFilter }: Link, isOfVirtualRouter: boolean): Finding {
  const mode = ['off', 'strict', 'loose'][rpFilter];
  if (!isOfVirtualRouter || rpFilter !== 1)
    return ok('rp_filter', `rp_filter is ${mode} on ${name}; marpd works with it and does not change it`);
  return error(
    'rp_filter',
    `rp_filter is strict on ${name}: the kernel drops all packets of visitors to the MAC of this macvlan`,
    `sysctl -w net/ipv4/conf/${name}/rp_filter=2`,
  );
}
