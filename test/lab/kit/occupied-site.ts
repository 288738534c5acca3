import { macFor } from './host.js';
import type { Marpd, MarpdConfig } from './marpd.js';
import type { Lab } from './namespace.js';
import { Site } from './site.js';

export const GUEST = '10.1.1.5';
export const MAC = macFor(GUEST);

/** A site with one visitor, so that there is something to lose. */
export async function occupied(lab: Lab, config: MarpdConfig = {}): Promise<Site> {
  const site = await new Site(lab, { config }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled');
  return site;
}

/** What must be the same afterwards. */
export async function holdings(marpd: Marpd): Promise<string> {
  const page = await marpd.ctl.get<{
    hosts: { ip: string; mac: string; state: string; interface: string }[];
  }>('/v1/hosts');
  const hosts = page?.hosts.map(({ ip, mac, state, interface: name }) => [ip, mac, state, name]);
  return JSON.stringify([
    hosts,
    marpd.routes(),
    marpd
      .neighbours()
      .map(({ dst, lladdr }) => [dst, lladdr])
      .sort(),
  ]);
}
