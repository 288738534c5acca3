import { mkdirSync, rmSync } from 'node:fs';
import type { HostsPage } from '../../../src/control/schemas.js';
import type { AlarmKind } from '../../../src/mobility/events.js';
import type { RoutedSite } from '../routed/routed-site.js';
import { audit } from './audit.js';
import { addressOf, LAN_PORT } from './names.js';
import { FIXTURES } from '../../scenario/world.js';

/** A site is used by one scenario after the other: starting its routing daemons takes longer than most scenarios. */

const CALM_MS = 15_000;

/** Wipes what the daemons remember, now that they are stopped, and waits until no table of the site names a host. */
export async function wipe(site: RoutedSite): Promise<void> {
  for (const { stateDirectory, namespace } of site.marpds.values()) {
    rmSync(stateDirectory, { recursive: true, force: true });
    mkdirSync(stateDirectory);
    namespace.ip(`neigh flush dev ${LAN_PORT}`);
  }
  await site.converged(CALM_MS);
  await site.clean(new Map(), CALM_MS);
}

/** What the daemons may know from the beginning, besides the neighbours. */
export interface Known {
  /** Addresses that routers of one LAN have there. */
  readonly routers: readonly string[];
  readonly hosts: readonly string[];
  readonly alarms: readonly AlarmKind[];
}

const NOTHING: Known = { routers: [], hosts: [], alarms: [] };

/** @throws when the daemons that were just started know of more than that, or anything disagrees */
export async function prove(site: RoutedSite, known = NOTHING): Promise<void> {
  const residents = [FIXTURES.neighbourA, FIXTURES.neighbourB].map(addressOf);
  const found = await audit(site);
  for (const [role, { ctl, namespace }] of site.marpds) {
    const page = (await ctl.get<HostsPage>('/v1/hosts')) as HostsPage;
    const strangers = page.hosts.filter(({ ip }) => ![...residents, ...known.hosts].includes(ip));
    found.push(...strangers.map(({ ip, state }) => `${role} starts with ${ip} ${state}`));
    const { alarms } = await ctl.status();
    const unexpected = alarms.filter(({ alarm }) => !known.alarms.includes(alarm));
    found.push(...unexpected.map(({ message }) => `${role} starts with an alarm: ${message}`));
    const neighbours = namespace.json<{ dst: string }>('neigh', 'show', 'dev', LAN_PORT);
    const left = neighbours.filter(({ dst }) => !residents.includes(dst) && !known.routers.includes(dst));
    found.push(...left.map(({ dst }) => `the kernel of ${role} starts with the neighbour ${dst}`));
  }
  if (found.length > 0) throw new Error(`the site is not as it was in the beginning:\n${found.join('\n')}`);
}
