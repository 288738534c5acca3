import { formatIp, type Ip } from '../../../src/wire/addresses.js';
import { FRESH_METRIC } from './router.js';
import { PROTOCOL_MARPD, type SimKernel } from './kernel.js';
import type { Site } from './site.js';
import type { ClaimView, LanName, RouterName } from '../world.js';

export function claimsIn(kernel: SimKernel): ClaimView[] {
  const claims: ClaimView[] = [];
  for (const { protocol, prefix: to, metric, iface } of kernel.allRoutes()) {
    if (protocol !== PROTOCOL_MARPD || iface === undefined) continue;
    const lan = kernel.link(iface).name.slice(3) as LanName;
    claims.push({ ip: to.ip, lan, age: metric === FRESH_METRIC ? 'fresh' : 'settled' });
  }
  return claims;
}

/** What daemons, kernels and routing engines do not agree on, and what was left behind (`World.disagreements`). */
export function audit(site: Site, addresses: ReadonlySet<Ip>): string[] {
  const found: string[] = [];
  const announced = new Map<Ip, RouterName[]>();
  for (const [name, router] of site.routers) {
    if (site.failed.has(name)) continue;
    const { ctx, kernel } = router;
    const claims = claimsIn(kernel);
    const seen = new Set<Ip>();
    for (const claim of claims) {
      const text = `${name} ${formatIp(claim.ip)}`;
      const state = ctx?.host(claim.ip)?.state;
      if (seen.has(claim.ip)) found.push(`${text}: two claims in the kernel`);
      seen.add(claim.ip);
      // Beneath the claim of the other router of its LAN, it is announced by nobody.
      if (state !== 'beneath') announced.set(claim.ip, [...(announced.get(claim.ip) ?? []), name]);
      if (claim.age === 'fresh') found.push(`${text}: still fresh`);
      const isBeneath = state === 'beneath' && claim.age === 'settled';
      if (ctx !== undefined && state !== claim.age && !isBeneath)
        found.push(`${text}: kernel ${claim.age}, daemon ${state}`);
    }
    for (const [, host] of ctx?.hosts() ?? []) {
      if (host.claimed && !seen.has(host.ip))
        found.push(`${name} ${formatIp(host.ip)}: claimed, not in the kernel`);
    }
    for (const neighbours of kernel.neighbours.values()) {
      for (const [ip, { state }] of neighbours.all()) {
        if (state === 'permanent' && !seen.has(ip))
          found.push(`${name} ${formatIp(ip)}: neighbour left behind`);
      }
    }
  }
  for (const ip of addresses) {
    const holders = announced.get(ip) ?? [];
    if (holders.length > 1) found.push(`${formatIp(ip)}: claimed by ${holders.join(' and ')}`);
    for (const observer of site.kernels.keys()) {
      if (site.failed.has(observer as RouterName)) continue;
      const known = site.domain.announcers(observer, ip);
      const announcers = known.filter((name) => !site.failed.has(name as RouterName));
      const stuck = announcers.filter((name) => !holders.includes(name as RouterName));
      if (stuck.length > 0) found.push(`${formatIp(ip)}: stuck route of ${stuck.join(', ')} in ${observer}`);
      if (announcers.length === 0 && holders.length > 0)
        found.push(`${formatIp(ip)}: not announced in ${observer}`);
    }
  }
  return found;
}
