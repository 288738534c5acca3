import * as z from 'zod';
import { type Refinement, refuse } from './refinement.js';
import { lanIpText, prefixText } from './scalars.js';
import {
  type Ip,
  type Prefix,
  contains,
  familyOf,
  formatIp,
  formatPrefix,
  isIpv4,
  isLinkLocal,
  isSubnetEdge,
  networkOf,
} from '../wire/addresses.js';

/** A [[subnet]]: its prefix, and the gateways that its hosts can be configured with. */

const gateways = z.preprocess(
  (input) => (Array.isArray(input) ? input : input === undefined ? [] : [input]),
  z.array(lanIpText),
);

export const subnetSection = z
  .strictObject({
    prefix: prefixText,
    gateway: gateways,
    discover: z.boolean().default(false),
    advertise: z.boolean().default(false),
  })
  .superRefine(({ prefix, gateway, discover, advertise }, context) => {
    // RFC 4862 section 5.5.3 d: with another length no host makes an address of it.
    if (advertise && (isIpv4(prefix.ip) || prefix.length !== 64))
      refuse(
        context,
        ['advertise'],
        `${formatPrefix(prefix)} is no /64 of IPv6, and hosts take an address from no other advertised prefix`,
      );
    if (discover && !isIpv4(prefix.ip))
      refuse(
        context,
        ['discover'],
        `${formatPrefix(prefix)} has too many addresses to ask for each; hosts of IPv6 name themselves in MLD reports`,
      );
    gateway.forEach((ip, index) => {
      const problem =
        gateway.indexOf(ip) < index
          ? `${formatIp(ip)} is named twice`
          : isIpv4(ip)
            ? ipv4Problem(prefix, ip, index)
            : ipv6Problem(prefix, ip);
      if (problem !== undefined)
        refuse(context, gateway.length === 1 ? ['gateway'] : ['gateway', index], problem);
    });
  });

/** It may lie outside the prefix: hosts of a routed block reach their gateway on link. */
function ipv4Problem(prefix: Prefix, ip: Ip, index: number): string | undefined {
  if (!isIpv4(prefix.ip)) return otherFamily(prefix, ip);
  if (isSubnetEdge(prefix, ip))
    return `${formatIp(ip)} is the network or broadcast address of ${formatPrefix(prefix)}`;
  return index === 0
    ? undefined
    : `${formatIp(ip)} is a second gateway: a host has one IPv4 gateway, which all routers share`;
}

function ipv6Problem(prefix: Prefix, ip: Ip): string | undefined {
  if (isIpv4(prefix.ip)) return otherFamily(prefix, ip);
  return isRouterAnycast(prefix, ip)
    ? `${formatIp(ip)} is the Subnet-Router anycast address of ${formatPrefix(prefix)}, which every router there has`
    : undefined;
}

function otherFamily(prefix: Prefix, ip: Ip): string {
  return `${formatIp(ip)} can be no gateway of ${formatPrefix(prefix)}: they are of different families`;
}

/** The network address of a subnet of IPv6 (RFC 4291 section 2.6.1); a /127 has none (RFC 6164). */
function isRouterAnycast(prefix: Prefix, ip: Ip): boolean {
  return familyOf(ip) === 'ipv6' && prefix.length < 127 && ip === networkOf(prefix.ip, prefix.length);
}

interface Subnet {
  readonly prefix: Prefix;
  readonly gateway: readonly Ip[];
}

/** What is wrong with the list as a whole. */
export function refuseSubnets(subnets: readonly Subnet[], context: Refinement): void {
  subnets.forEach(({ prefix, gateway }, index) => {
    const first = subnets.findIndex(
      (other) => other.prefix.ip === prefix.ip && other.prefix.length === prefix.length,
    );
    if (first < index)
      refuse(context, [index, 'prefix'], `${formatPrefix(prefix)} is already subnet[${first}]`);
    for (const ip of gateway) {
      // Hosts with a BSD kernel answer no solicitation whose source is not on their link (CVE-2008-2476).
      if (isIpv4(ip) || isLinkLocal(ip) || subnets.some((other) => contains(other.prefix, ip))) continue;
      refuse(
        context,
        [index, 'gateway'],
        `${formatIp(ip)} is neither link-local nor in the prefix of a [[subnet]], so hosts do not take it for a neighbour`,
      );
    }
  });
}
