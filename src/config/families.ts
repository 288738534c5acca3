import type { ConfigFile } from './schema.js';
import type { Policy } from '../mobility/policy.js';
import { type Family, type Ip, type Prefix, familyOf, formatIp, formatPrefix } from '../wire/addresses.js';
import { familyProblem } from '../wire/host-address.js';

/** What router.families leaves of the rest of the configuration. */

/** Every address of a family that is off, with its path: it would have no effect, which somebody may not expect. */
export function familyProblems(file: ConfigFile): string[] {
  const { families } = file.router;
  const problems: string[] = [];
  families.forEach((family, index) => {
    if (families.indexOf(family) < index)
      problems.push(`router.families[${index}]: "${family}" is named twice`);
  });
  const check = (path: string, ip: Ip, text: string) => {
    const problem = familyProblem(ip, families);
    if (problem !== undefined) problems.push(`${path}: ${text}: ${problem}`);
  };
  const prefixes = (path: string, list: readonly Prefix[]) => {
    list.forEach((prefix, index) => {
      check(`${path}[${index}]`, prefix.ip, formatPrefix(prefix));
    });
  };
  file.interface.forEach(({ peers }, index) => {
    peers.forEach((ip, peer) => {
      check(`interface[${index}].peers[${peer}]`, ip, formatIp(ip));
    });
  });
  file.interface.forEach(({ multicast_router }, index) => {
    if (multicast_router && !families.includes('ipv6'))
      problems.push(
        `interface[${index}].multicast_router: RFC 4286 is of IPv6, which router.families does not name`,
      );
  });
  // Its gateways are of the same family.
  file.subnet.forEach(({ prefix }, index) => {
    check(`subnet[${index}].prefix`, prefix.ip, formatPrefix(prefix));
  });
  prefixes('policy.allow', file.policy.allow ?? []);
  prefixes('policy.deny', file.policy.deny);
  file.policy.bind.forEach(({ ip }, index) => {
    check(`policy.bind[${index}].ip`, ip, formatIp(ip));
  });
  return problems;
}

/** A policy read while these families are served, which only a restart can change. */
export function withFamilies(policy: Policy, families: readonly Family[]): Policy {
  const isServed = (ip: Ip) => families.includes(familyOf(ip));
  const served = (prefixes: readonly Prefix[]) => prefixes.filter(({ ip }) => isServed(ip));
  return {
    ...policy,
    families,
    interfaces: policy.interfaces.map((rule) => ({ ...rule, peers: rule.peers.filter(isServed) })),
    subnets: policy.subnets.filter(({ prefix }) => isServed(prefix.ip)),
    allow: policy.allow === undefined ? undefined : served(policy.allow),
    deny: served(policy.deny),
    bindings: new Map([...policy.bindings].filter(([ip]) => isServed(ip))),
  };
}
