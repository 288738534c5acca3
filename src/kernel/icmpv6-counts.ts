import { readFileSync } from 'node:fs';

/** What the kernel has heard and said on a LAN by ICMPv6, for `marpctl doctor`. */

/** Messages since the interface was made (/proc/net/dev_snmp6). */
export interface Icmpv6Counts {
  /** MLD queries received: somebody on the LAN is its querier. */
  readonly queriesIn: number;
  readonly advertisementsIn: number;
  readonly advertisementsOut: number;
  readonly redirectsOut: number;
}

const NAMES = {
  queriesIn: 'Icmp6InGroupMembQueries',
  advertisementsIn: 'Icmp6InRouterAdvertisements',
  advertisementsOut: 'Icmp6OutRouterAdvertisements',
  redirectsOut: 'Icmp6OutRedirects',
} as const satisfies Record<keyof Icmpv6Counts, string>;

/** Undefined: the kernel does no IPv6 there. `root`: for tests. */
export function readIcmpv6Counts(name: string, root = '/proc/net/dev_snmp6'): Icmpv6Counts | undefined {
  let text: string;
  try {
    text = readFileSync(`${root}/${name}`, 'latin1');
  } catch {
    return undefined;
  }
  const values = new Map(text.split('\n').map((line) => line.split(/\s+/, 2) as [string, string]));
  const count = (key: keyof Icmpv6Counts) => Number(values.get(NAMES[key]) ?? 0);
  return {
    queriesIn: count('queriesIn'),
    advertisementsIn: count('advertisementsIn'),
    advertisementsOut: count('advertisementsOut'),
    redirectsOut: count('redirectsOut'),
  };
}

/** Whether this bridge is the MLD querier of its LAN: the kernel counts its own queries as received. */
export function isQuerier(name: string, root = '/sys/class/net'): boolean {
  try {
    return readFileSync(`${root}/${name}/bridge/multicast_querier`, 'latin1').trim() === '1';
  } catch {
    return false;
  }
}
