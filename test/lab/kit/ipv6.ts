import type { Namespace } from './namespace.js';

/** IPv6 in the namespaces of a lab: off in all of them until somebody wants it. */

export interface HostIpv6 {
  /** Addresses with their prefix length, `2001:db8:1::5/64`; none: those that a router advertisement brings. */
  readonly addresses?: readonly string[];
  /** The default router, written by hand; undefined: the one that advertises itself. */
  readonly gateway?: string;
  /** Duplicate address detection (RFC 4862 section 5.4). Without it an address is valid at once. */
  readonly dad?: boolean;
}

/** Before its cards are made: those that are there already stay without. */
export function enableIpv6(namespace: Namespace): void {
  namespace.sysctl({
    'ipv6.conf.all.disable_ipv6': 0,
    'ipv6.conf.default.disable_ipv6': 0,
    'ipv6.conf.lo.disable_ipv6': 0,
  });
}

/** Of a card that is down: what decides how its addresses come about. */
export function prepareCard(host: Namespace, card: string, ipv6: HostIpv6): void {
  host.sysctl({
    [`ipv6.conf.${card}.accept_ra`]: ipv6.gateway === undefined ? 1 : 0,
    [`ipv6.conf.${card}.accept_dad`]: ipv6.dad === true ? 1 : 0,
    [`ipv6.conf.${card}.dad_transmits`]: ipv6.dad === true ? 1 : 0,
    // A temporary address would be a random one.
    [`ipv6.conf.${card}.use_tempaddr`]: 0,
  });
}

/** Commands for `ip` that give a card that is up its addresses and its default router. */
export function addressing(card: string, ipv6: HostIpv6): string[] {
  const how = ipv6.dad === true ? '' : ' nodad';
  return [
    ...(ipv6.addresses ?? []).map((address) => `addr add ${address} dev ${card}${how}`),
    ...(ipv6.gateway === undefined ? [] : [`route add default via ${ipv6.gateway} dev ${card}`]),
  ];
}

/** The link-local address that a kernel makes of a MAC (RFC 4291 appendix A). */
export function linkLocalOf(mac: string): string {
  const [a, b, c, d, e, f] = mac.split(':').map((part) => Number.parseInt(part, 16)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return canonical(`fe80::${groups.map((group) => group.toString(16)).join(':')}`);
}

/** An address as RFC 5952 writes it, which is how the kernel prints it. */
export function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
