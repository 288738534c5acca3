import type { MarpdConfig } from '../kit/marpd.js';
import { type FirstHop, type Place, PLACES, type Subnet, coreAddress } from './places.js';

/** How the files of one router differ from those of config/frr and config/bird. */
export interface RouterFiles {
  /** Configuration of its routing daemon, where it is not that of config/frr or config/bird. */
  readonly engine?: string;
  /** Its LAN, and its address there. */
  readonly place?: Pick<Place, 'segment' | 'lan'>;
  /** Of its marpd. */
  readonly marpd?: MarpdConfig;
}

/** More mobile prefixes in the configuration of an FRR. */
export function permit(config: string, subnets: readonly Subnet[]): string {
  if (subnets.length === 0) return config;
  const entry = /^ip prefix-list mobile-hosts seq \d+ permit \S+ ge 32$/m;
  if (!entry.test(config))
    throw new Error('only the configurations of FRR can be given more mobile prefixes');
  const more = subnets.map(
    ({ prefix }, i) => `ip prefix-list mobile-hosts seq ${1000 + i} permit ${prefix} ge 32`,
  );
  return config.replace(entry, (first) => [first, ...more].join('\n'));
}

/** A configuration of one router, with the addresses and names of another one. */
export function rendered(config: string, from: FirstHop, to: FirstHop): string {
  return config
    .replaceAll(PLACES[from].id, PLACES[to].id)
    .replaceAll(`hostname ${from}`, `hostname ${to}`)
    .replaceAll(`router_id ${from}`, `router_id ${to}`)
    .replaceAll(`local as 6500${from.slice(1)}`, `local as 6500${to.slice(1)}`)
    .replaceAll(`${PLACES[from].core} as`, `${PLACES[to].core} as`)
    .replaceAll(neighbour(coreAddress('r3', from)), neighbour(coreAddress('r3', to)));
}

// As BIRD's files name the other end of a link.
function neighbour(address: string): string {
  return `${address.replace('/64', '')} as`;
}
