import type { RouterRole } from './events.js';
import { type Family, type Ip, type Mac, type Prefix, contains, familyOf } from '../wire/addresses.js';

export type LearnRule = 'foreign' | 'all';
export type ProveRule = 'before' | 'after' | 'never';

/** A mobility interface, or a glob that names many. The first rule that matches a name counts. */
export interface InterfaceRule {
  /** An interface name, or a glob with `*` and `?`. */
  readonly pattern: string;
  readonly learn: LearnRule;
  readonly prove: ProveRule;
  readonly keepaliveMs: number;
  readonly holdMs: number;
  /** The least time that a held host has to answer; a host that is known to be slower has more. */
  readonly keepaliveTimeoutMs: number;
  readonly maxHosts: number;
  readonly role: RouterRole;
  /** Addresses of the other first-hop routers on this LAN: they are no hosts. */
  readonly peers: readonly Ip[];
  /** Snooping switches are told to send every multicast frame here (RFC 4286). */
  readonly multicastRouter?: boolean;
}

/** A home subnet of the site and the gateway addresses its hosts are configured with. */
export interface Subnet {
  readonly prefix: Prefix;
  /** Of IPv4 at most one. Of IPv6 several, link-local ones among them. */
  readonly gateways: readonly Ip[];
  /** Its silent hosts are looked for when a LAN of it comes up. */
  readonly discover?: boolean;
  /** Visitors of it are told by router advertisement that their home prefix goes on (RFC 5213 section 6.7, RFC 8273). */
  readonly advertise?: boolean;
}

/** What the tracker needs of the configuration; made by config.ts, replaced whole at a reload. Durations in ms. */
export interface Policy {
  /** Hosts of these families are served; of any other one nothing is touched or captured. */
  readonly families: readonly Family[];
  readonly interfaces: readonly InterfaceRule[];
  readonly subnets: readonly Subnet[];
  /** undefined: of each family the `subnets` prefixes, else the connected subnets of the mobility interfaces. */
  readonly allow: readonly Prefix[] | undefined;
  readonly deny: readonly Prefix[];
  /** Addresses that only these MACs may use. */
  readonly bindings: ReadonlyMap<Ip, Mac>;
  readonly limits: {
    readonly hosts: number;
    readonly addressesPerMac: Readonly<Record<Family, number>>;
    readonly newcomerBurst: number;
    readonly newcomersPerSecond: number;
    readonly probesPerSecond: number;
    readonly remembered: number;
    /** Candidate addresses asked of a MAC that RARP announced and nobody knows. */
    readonly rarpLookupCandidates: number;
  };
  readonly timers: {
    readonly settleMs: number;
    readonly rememberMs: number;
    readonly acdProbeWaitMs: number;
    /** Gap between probes of a host that is lost for long; Infinity: it is not asked any more. */
    readonly reprobeIntervalMs: number;
    readonly freezeMs: number;
  };
  /** The routing tables in which other protocols' host routes are remote claims. */
  readonly watchTables: readonly number[];
  /** Numbers of the protocols whose host routes are remote claims. */
  readonly remoteProtocols: readonly number[];
  /** Our own route protocol number. */
  readonly protocol: number;
  /** Tell visitors that their old neighbours are behind us now. */
  readonly repairNeighbours: boolean;
}

const globs = new Map<string, RegExp>();

/** Shell-style match of an interface name. Only `*` and `?` are special. */
export function matchesPattern(pattern: string, name: string): boolean {
  if (!/[*?]/.test(pattern)) return pattern === name;
  let glob = globs.get(pattern);
  if (glob === undefined) {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.');
    glob = new RegExp(`^${source}$`);
    globs.set(pattern, glob);
  }
  return glob.test(name);
}

export function ruleFor(policy: Policy, name: string): InterfaceRule | undefined {
  return policy.interfaces.find((rule) => matchesPattern(rule.pattern, name));
}

/** The configured home subnet of an address: the longest prefix that contains it. */
export function subnetOf(policy: Pick<Policy, 'subnets'>, ip: Ip): Subnet | undefined {
  let best: Subnet | undefined;
  for (const subnet of policy.subnets) {
    if (contains(subnet.prefix, ip) && (best === undefined || subnet.prefix.length > best.prefix.length)) {
      best = subnet;
    }
  }
  return best;
}

/** Why an address can be no mobile host's. */
export type UnusableReason =
  | 'sender-ip-unspecified'
  | 'sender-ip-multicast'
  | 'sender-ip-reserved'
  | 'sender-ip-loopback'
  | 'sender-ip-link-local'
  | 'sender-ip-gateway'
  | 'sender-ip-local'
  | 'sender-ip-subnet-edge'
  | 'sender-ip-next-hop'
  | 'sender-ip-peer'
  | 'sender-ip-other-lan'
  | 'not-allowed'
  | 'denied'
  | 'mac-not-bound';

/**
 * Prefixes allowed when the policy names none: of each family the configured subnets, else those of `otherwise`, which are
 * the connected ones where they are known.
 */
export function allowedByDefault(
  { subnets }: Policy,
  families: readonly Family[],
  otherwise: readonly Prefix[],
): readonly Prefix[] {
  return families.flatMap((family) => {
    const isOf = ({ ip }: Prefix) => familyOf(ip) === family;
    const configured = subnets.map(({ prefix }) => prefix).filter(isOf);
    return configured.length > 0 ? configured : otherwise.filter(isOf);
  });
}

/** Whether policy lets this host have a claim: prefix lists first, then the binding of address to MAC. */
export function policyRefusal(
  policy: Policy,
  defaultAllow: readonly Prefix[],
  ip: Ip,
  mac: Mac | undefined,
): UnusableReason | undefined {
  if (policy.deny.some((prefix) => contains(prefix, ip))) return 'denied';
  if (!(policy.allow ?? defaultAllow).some((prefix) => contains(prefix, ip))) return 'not-allowed';
  const bound = policy.bindings.get(ip);
  if (bound !== undefined && mac !== undefined && bound !== mac) return 'mac-not-bound';
  return undefined;
}
