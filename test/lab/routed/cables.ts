import type { Namespace } from '../kit/namespace.js';
import { type FirstHop, PLACES, R3_ID, REMOTE } from './places.js';
import type { RoutedSite } from './routed-site.js';

/** Links between the routers of a site, and what is on them. */

/** Those of test/lab/routed/places.ts: R3 is the core router, and the remote host is behind it. */
export function plainCables(site: RoutedSite): void {
  const { r3 } = site.routers;
  for (const role of site.roles)
    site.router(role).sysctl({ 'ipv4.ip_forward': 1, 'ipv4.fib_multipath_hash_policy': 1 });
  for (const role of site.firstHops) {
    const { uplink, core, corePort } = PLACES[role];
    join(site.router(role), 'core0', `${uplink}/30`, r3, corePort, `${core}/30`);
  }
  for (const [one, oneIp, other, otherIp] of site.crossLinks)
    join(site.router(one), 'core1', oneIp, site.router(other), 'core1', otherIp);
  join(r3, 'srv0', '198.51.100.1/24', site.remote, 'eth0', `${REMOTE}/24`);
  site.remote.ip('route add default via 198.51.100.1 dev eth0');
  r3.ip(`addr add ${R3_ID}/32 dev lo`);
  for (const role of site.firstHops) {
    const { id, lan } = site.place(role);
    plugIn(site, role);
    site.router(role).ip(`addr add ${lan} dev lan0`, 'link set lan0 up', `addr add ${id}/32 dev lo`);
  }
}

/** Gives a first-hop router its LAN, without an address yet. */
export function plugIn(site: RoutedSite, role: FirstHop): void {
  const { segment, mac } = site.place(role);
  const router = site.router(role);
  site.network.connect(router, 'lan0', segment);
  router.ip(`link set lan0 address ${mac}`);
  // Strict on the LAN: whoever is believed to be elsewhere is not let through.
  router.sysctl({ 'ipv4.conf.lan0.rp_filter': 1 });
}

function join(a: Namespace, aName: string, aIp: string, b: Namespace, bName: string, bIp: string): void {
  a.lab.link(a, aName, b, bName);
  a.ip(`addr add ${aIp} dev ${aName}`, `link set ${aName} up`);
  b.ip(`addr add ${bIp} dev ${bName}`, `link set ${bName} up`);
}
