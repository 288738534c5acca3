import type { Family } from '../../../src/wire/addresses.js';
import type { HostOptions } from './host.js';
import { type HostIpv6, enableIpv6 } from './ipv6.js';
import type { Namespace } from './namespace.js';

/**
 * What the site of one router has beside its IPv4 when it is dual-stack: lanN is 2001:db8:(N+1)::/64, the remote host
 * is 2001:db8:51::2.
 */

export const REMOTE_IPV6 = '2001:db8:51::2';
export const SHARED_GATEWAY = 'fe80::1';

export interface SiteIpv6 {
  /** Link-local gateway per LAN; fe80::1 on each by default (docs/routing.md). */
  readonly gateways?: Readonly<Record<string, string>>;
  /** Families that marpd serves: both by default. */
  readonly families?: readonly Family[];
}

const prefixOf = (lan: string): string => `2001:db8:${Number(lan.replace(/\D/g, '')) + 1}::`;
const gatewayOf = (lan: string, { gateways }: SiteIpv6): string => gateways?.[lan] ?? SHARED_GATEWAY;

/** Before there are cables. */
export function prepareIpv6(router: Namespace, remote: Namespace): void {
  for (const each of [router, remote]) {
    enableIpv6(each);
    each.sysctl({ 'ipv6.conf.default.accept_dad': 0, 'ipv6.conf.default.accept_ra': 0 });
  }
}

/** Addresses on every cable. The kernel's link-local address of a LAN is older than its gateway. */
export function addIpv6(router: Namespace, remote: Namespace, lans: readonly string[], ipv6: SiteIpv6): void {
  router.ip(
    ...lans.flatMap((lan) => [
      `addr add ${gatewayOf(lan, ipv6)}/64 dev ${lan} nodad`,
      `addr add ${prefixOf(lan)}1/64 dev ${lan} nodad`,
    ]),
    'addr add 2001:db8:51::1/64 dev up0 nodad',
  );
  remote.ip(`addr add ${REMOTE_IPV6}/64 dev eth0 nodad`, 'route add default via 2001:db8:51::1 dev eth0');
}

/** Home subnets in a configuration of marpd. */
export function homesOf(lans: readonly string[], ipv6: SiteIpv6): { prefix: string; gateway: string }[] {
  return lans.map((lan) => ({ prefix: `${prefixOf(lan)}/64`, gateway: gatewayOf(lan, ipv6) }));
}

/** A host of lan0 with both families: 10.1.1.N and 2001:db8:1::N. */
export function dualStack(number: number, ipv6: HostIpv6 = {}): Partial<HostOptions> {
  const addresses = [`${prefixOf('lan0')}${number.toString(16)}/64`];
  return { address: `10.1.1.${number}/24`, ipv6: { addresses, gateway: SHARED_GATEWAY, ...ipv6 } };
}
