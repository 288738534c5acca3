import { enableIpv6 } from '../kit/ipv6.js';
import type { Namespace } from '../kit/namespace.js';
import {
  type FirstHop,
  PLACES,
  REMOTE_IPV6,
  type Role,
  SHARED_GATEWAY,
  coreAddress,
  loopbackOf,
  numberOf,
  twinOf,
} from './places.js';
import type { RoutedSite } from './routed-site.js';

/** What a site of several routers has beside its IPv4 when it is dual-stack. */

/** Before there are cables. */
export function prepareIpv6(site: RoutedSite): void {
  enableIpv6(site.remote);
  for (const role of site.roles) {
    const router = site.router(role);
    enableIpv6(router);
    router.sysctl({
      'ipv6.conf.all.forwarding': 1,
      'ipv6.conf.default.forwarding': 1,
      'ipv6.fib_multipath_hash_policy': 1,
      // On a core link the link-local address tells the router, where only the mobility interfaces have the kernel's.
      'ipv6.conf.default.addr_gen_mode': 1,
      'ipv6.conf.default.accept_dad': 0,
    });
  }
}

/** Addresses on every cable. */
export function addIpv6(site: RoutedSite): void {
  const { r3 } = site.routers;
  // Without a link-local address ospf6d does not tell of the subnet.
  r3.sysctl({ 'ipv6.conf.srv0.addr_gen_mode': 0 });
  r3.ip('addr add 2001:db8:51::1/64 dev srv0 nodad');
  site.remote.ip(
    `addr add ${REMOTE_IPV6}/64 dev eth0 nodad`,
    'route add default via 2001:db8:51::1 dev eth0',
  );
  for (const role of site.roles) site.router(role).ip(`addr add ${loopbackOf(role)}/128 dev lo`);
  for (const role of site.firstHops) {
    onCoreLink(site, r3, PLACES[role].corePort, role);
    addFirstHopIpv6(site, role);
  }
}

/** What a first-hop router has on its cables; a card that was down has lost it. */
export function addFirstHopIpv6(site: RoutedSite, role: FirstHop): void {
  const router = site.router(role);
  onCoreLink(site, router, 'core0', 'r3');
  for (const [one, , other] of site.crossLinks)
    if (one === role || other === role) onCoreLink(site, router, 'core1', one === role ? other : one);
  onMobilityLan(router, site.addressOn(role));
}

function onCoreLink(site: RoutedSite, router: Namespace, name: string, other: Role): void {
  const role = router.role as Role;
  router.ip(
    `addr replace fe80::c:${numberOf(role)}/64 dev ${name} nodad`,
    // eBGP between neighbours needs more than a link-local address.
    ...(site.engineName === 'bird-bgp' ? [`addr replace ${coreAddress(role, other)} dev ${name} nodad`] : []),
  );
}

// The kernel's own link-local address is the older one: a redirect comes from it, and hosts ignore that.
function onMobilityLan(router: Namespace, lan: string): void {
  const own = twinOf(lan);
  // Who shares the LAN with another one has the gateway from VRRP, and a link-local address that the other one knows.
  const linkLocal = own.endsWith('::1') ? SHARED_GATEWAY : own.replace(/.*::/, 'fe80::');
  router.sysctl({ 'ipv6.conf.lan0.addr_gen_mode': 0 });
  router.ip(`addr replace ${linkLocal}/64 dev lan0 nodad`, `addr replace ${own}/64 dev lan0 nodad`);
}
