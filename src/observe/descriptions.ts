import {
  type Action,
  type AlarmKind,
  type Cause,
  type DropReason,
  type EvidenceKind,
  type Link,
  MACHINE_OF,
  type RoleChange,
} from '../mobility/events.js';
import type { RoleReason } from '../mobility/events.js';
import { type Policy, ruleFor } from '../mobility/policy.js';
import {
  type Ip,
  familyOf,
  formatIp,
  formatMac,
  formatPrefix,
  isLinkLocal,
  networkOf,
} from '../wire/addresses.js';

/** What the closed lists of the tracker mean, in sentences for people. The types make sure that none is missing. */

export const DROP_MEANINGS: Readonly<Record<DropReason, string>> = {
  truncated: 'the frame is too short for what it says it is',
  'not-arp': 'the frame is neither ARP nor RARP',
  'bad-hardware-type': 'its hardware type is neither Ethernet nor IEEE 802',
  'bad-protocol-type': 'its protocol type is not IPv4',
  'bad-address-length': 'its address lengths do not match Ethernet and IPv4',
  'bad-opcode': 'its opcode is neither request nor reply',
  'not-neighbour-discovery': 'it is neither Neighbor Discovery nor an MLD report',
  'extension-header': 'its ICMPv6 message is a fragment or behind an extension header (RFC 6980)',
  'bad-hop-limit': 'its hop limit is not 255 (MLD: 1): it may come from another link',
  'bad-checksum': 'its ICMPv6 checksum is wrong',
  'bad-code': 'its ICMPv6 code is not 0',
  'bad-length': 'its length does not fit its type',
  'bad-option': 'one of its options is malformed',
  'bad-address':
    'its source, destination or target cannot be together in a valid message (RFC 4861 section 7.1)',
  'own-frame': 'it comes from a MAC of this router, or of its virtual router',
  'not-mobility-interface':
    'not a mobility interface (no [[interface]] matches it, or it is a port of a bridge or bond)',
  'interface-down': 'the interface was down',
  'sender-mac-zero': 'its sender MAC is zero',
  'sender-mac-group': 'its sender MAC is a multicast or broadcast address',
  'sender-mac-mismatch': 'its sender MAC differs from the Ethernet source: relayed or forged',
  'sender-ip-unspecified': 'its sender IP is 0.0.0.0 or ::',
  'sender-ip-multicast': 'its sender IP is a multicast address',
  'sender-ip-reserved': 'its sender IP is a reserved or broadcast address',
  'sender-ip-loopback': 'its sender IP is a loopback address',
  'sender-ip-link-local': 'its sender IP is a link-local address, which is no host of a subnet',
  'sender-ip-subnet-edge': 'its sender IP is the network or broadcast address of a subnet',
  'sender-ip-local': 'its sender IP is an address of this machine',
  'sender-ip-gateway': 'its sender IP is a configured gateway, not a mobile host',
  'sender-ip-next-hop': 'its sender IP is the next hop of a route by another interface',
  'sender-ip-peer': 'its sender IP is another first-hop router of this LAN (peers), not a mobile host',
  'sender-ip-other-lan':
    'its sender IP belongs to the subnet of an interface that is not a mobility interface',
  'other-router':
    'its MAC answers for a gateway address on this LAN, or sends router advertisements: it is a router, not a host',
  'not-allowed': 'the address is not in an allowed prefix (policy.allow, otherwise the [[subnet]] prefixes)',
  denied: 'the address is in a denied prefix (policy.deny)',
  'mac-not-bound': 'the address is bound to another MAC (policy.bind)',
  'newcomer-budget': 'too many newcomers on the interface at once (policy.limits.newcomer_burst)',
  'mac-limit': 'its MAC has reached the address limit (policy.limits.addresses_per_mac)',
  'host-limit': 'host limit reached (policy.limits.max_hosts, or max_hosts of the interface)',
  'inquiry-limit': 'RARP named this MAC less than a second ago, or too many MACs of the interface at once',
  detached: 'it was detached a moment ago; last frames of the guest are ignored',
  contested: 'another live host holds the address; this one is retried later',
  frozen: 'the address was contested too often and is frozen; marpctl clear ends the freeze',
  'no-probe-source': 'no local address to send a probe from; name its gateway in a [[subnet]]',
};

export const CAUSE_MEANINGS: Readonly<Record<Cause, string>> = {
  sighting: 'a frame of it was received',
  'probe-hint': 'it checked its address for conflicts (RFC 5227, RFC 4862) a moment ago',
  rarp: 'a hypervisor announced its MAC (RARP)',
  presence: 'a frame that names no address, such as an MLD report, came from its MAC',
  sibling: 'another address of its MAC was confirmed',
  sought: 'a host that returned home is looking for it',
  'link-up': 'the link where it was last seen came up',
  adopted: 'its route was there when marpd started',
  remembered: 'it was here before marpd was restarted',
  command: 'requested with marpctl or the API',
  attach: 'attached with marpctl or the API',
  prepared: 'it was prepared, and its first frame arrived',
  proven: 'it answered the probe',
  moved: 'it answered the probe at a new location',
  aged: 'unchallenged for router.settle',
  returned: 'it is back home, and no other router announces it',
  contested: 'it answered at its old location, so it keeps the address',
  'took-over': 'this router became the active one of its LAN',
  surfaced: 'the claim of the other router that hid it is gone',
  unannounced: 'the active router of its LAN does not claim it',
  'no-answer': 'no answer to the probe',
  'no-room': 'the host limit of the interface is reached',
  'keepalive-lost': 'it stopped answering keepalives',
  'hold-expired': 'silent for the hold time',
  'link-down': 'its link went down',
  'ipv6-off': 'the kernel does no IPv6 on its interface any more: disable_ipv6, or an MTU below 1280',
  'link-gone': 'its interface was deleted',
  'port-down': 'its bridge port went down or was removed',
  'remote-claim': 'another router announces it',
  'remote-claim-lost': 'no other router announces it any more',
  duplicate: 'another live host had the address first',
  detach: 'detached with marpctl or the API',
  'not-allowed': 'policy does not allow it',
  'rule-changed': 'the learn rule or the subnets of its interface changed',
  clear: 'cleared with marpctl or the API',
  'kernel-refused': 'the kernel refused its route or neighbour entry',
  forgotten: 'silent for so long that it was forgotten',
};

/** What an alarm says, and what an operator does about it. */
export const ALARM_MEANINGS: Readonly<
  Record<AlarmKind, { readonly meaning: string; readonly remedy: string }>
> = {
  'other-router': {
    meaning:
      'another machine on the LAN answers for a configured gateway address, and marpd is silent for that gateway there; or it sends router advertisements, and hosts may take it for their default router',
    remedy:
      'if the machine is a second first-hop router with marpd, set role on the [[interface]] of both; otherwise find it by its MAC and take the address from it; it ends by itself when the machine no longer answers',
  },
  'two-speakers': {
    meaning:
      'this router is the active one of a LAN with several routers, and another machine uses the gateway address there, too; hosts are reached through both',
    remedy:
      'see whether VRRP advertisements pass between the routers, and whether a VRRP daemon was killed and left its address behind',
  },
  duplicate: {
    meaning: 'two living hosts use one address; the one that was first keeps it',
    remedy: 'give one of the two hosts, named by MAC and interface, another address',
  },
  frozen: {
    meaning:
      'the address was contested five times within 180 s and stays where it was for timers.freeze (9 minutes)',
    remedy: 'find the two hosts as for duplicate, then marpctl clear IP ends the freeze',
  },
  'proxy-arp': {
    meaning: 'a host answers for addresses that it cannot all have; none of them is believed there',
    remedy: 'switch proxy ARP off on the machine with this MAC',
  },
  'newcomer-storm': {
    meaning:
      'more unknown senders than the interface may bring, and few of them answer; only a few are probed',
    remedy:
      'look for a scanner or a forger on the LAN (tcpdump -e arp); raise policy.limits.newcomer_burst if so many hosts are real',
  },
  'mac-limit': {
    meaning: 'one MAC uses more addresses than policy.limits.addresses_per_mac',
    remedy: 'look for a forger or a router at this MAC; raise the limit if one machine has so many addresses',
  },
  'setting-changed': {
    meaning:
      'somebody else changed a kernel setting that marpd needs; with kernel.settings = "apply" marpd has set it again',
    remedy:
      'find the program that sets it (sysctl --system, /etc/sysctl.d, a VPN script) and take the setting out of it',
  },
};

const EVIDENCE_WORDS: Readonly<Record<EvidenceKind, string>> = {
  request: 'ARP request',
  reply: 'ARP reply',
  gratuitous: 'gratuitous ARP',
  probe: 'address probe (RFC 5227)',
  rarp: 'RARP',
  'mld-report': 'MLD report',
  'router-solicitation': 'router solicitation',
  'link-local-solicitation': 'neighbour solicitation from a link-local address',
  answer: 'answer to a probe',
};

/** Where Neighbor Discovery (RFC 4861, RFC 4862) has another word than ARP. */
const IPV6_WORDS: Readonly<Partial<Record<EvidenceKind, string>>> = {
  request: 'neighbour solicitation',
  reply: 'neighbour advertisement',
  gratuitous: 'unsolicited neighbour advertisement',
  probe: 'Duplicate Address Detection (RFC 4862)',
};

function evidenceWord(kind: EvidenceKind, ip: Ip | undefined): string {
  const word = ip !== undefined && familyOf(ip) === 'ipv6' ? IPV6_WORDS[kind] : undefined;
  return word ?? EVIDENCE_WORDS[kind];
}

/** What a host asks its neighbours with. */
export function requestWord(ip: Ip): string {
  return evidenceWord('request', ip);
}

/** What the daemon serves, for its log at start. */
export function describeServed(policy: Policy, links: Iterable<Link>): string {
  const served = [...links].filter((link) => link.master === undefined && ruleFor(policy, link.name));
  const families = policy.families.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6'));
  const names = served.map((link) => link.name).join(', ') || 'none yet';
  const subnets =
    policy.subnets.length > 0
      ? policy.subnets.map(
          ({ prefix, gateways }) =>
            `${formatPrefix(prefix)} (${gateways.length === 0 ? 'no gateway' : `gateway ${gateways.map(formatIp).join(', ')}`})`,
        )
      : served.flatMap((link) =>
          link.addresses
            .filter(({ ip }) => policy.families.includes(familyOf(ip)) && !isLinkLocal(ip))
            .map(
              ({ ip, length }) =>
                `${formatPrefix({ ip: networkOf(ip, length), length })} (connected, gateway ${formatIp(ip)})`,
            ),
        );
  return `serving interfaces: ${names}; subnets: ${subnets.join(', ') || 'none yet'}; families: ${families.join(' and ')}`;
}

/** Actions that people may want to know about one address. */
export type HistoryEvent = Extract<
  Action,
  { kind: 'transition' | 'evidence' | 'drop' | 'alarm' | 'answered' }
>;

export const ROLE_MEANINGS: Readonly<Record<RoleReason, string>> = {
  alone: 'no other first-hop router is configured on the LAN',
  anycast: 'all routers of the LAN are active',
  'gateway-here': 'a gateway address is on an operational interface of the LAN',
  'gateway-not-here': 'no gateway address is on an operational interface of the LAN',
  told: 'told with marpctl or the API',
  'not-told': 'not told yet with marpctl or the API',
};

export function describeRoleChange({ interface: name, family, state, reason }: RoleChange): string {
  return `${name}: ${state}${family === 'ipv6' ? ' for IPv6' : ''} from now on: ${ROLE_MEANINGS[reason]}`;
}

/** One line about what happened; `interfaceName` is that of `action.iface`. */
export function describe(action: HistoryEvent, interfaceName: string): string {
  switch (action.kind) {
    case 'evidence': {
      const rtt = action.rttMs === undefined ? '' : ` after ${formatRtt(action.rttMs)}`;
      return `${evidenceWord(action.evidence, action.ip)} from ${formatMac(action.mac)} on ${action.interface}${rtt}`;
    }
    case 'transition': {
      const where = action.interface === undefined ? '' : ` on ${action.interface}`;
      const { from, to, cause } = action;
      return `${from} -> ${to}${where} (${MACHINE_OF[cause]}): ${CAUSE_MEANINGS[cause]}`;
    }
    case 'drop': {
      const mac = action.mac === undefined ? '' : ` from ${formatMac(action.mac)}`;
      return `frame${mac} on ${interfaceName} ignored: ${DROP_MEANINGS[action.reason]}`;
    }
    case 'alarm':
      return `alarm ${action.alarm}: ${action.message}${describeParties(action)}`;
    case 'answered':
      return `answered its ${requestWord(action.target)} for ${formatIp(action.target)} on ${action.interface}`;
  }
}

function describeParties(alarm: Extract<HistoryEvent, { kind: 'alarm' }>): string {
  const party = (mac: typeof alarm.mac, place: string | undefined) =>
    [mac === undefined ? undefined : formatMac(mac), place === undefined ? undefined : `on ${place}`]
      .filter((part) => part !== undefined)
      .join(' ');
  const parties = [party(alarm.mac, alarm.interface), party(alarm.otherMac, alarm.otherInterface)];
  const said = parties.filter((text) => text !== '');
  return said.length === 0 ? '' : ` (${said.join(', and ')})`;
}

export function formatRtt(rttMs: number): string {
  return `${rttMs < 10 ? rttMs.toFixed(1) : Math.round(rttMs)} ms`;
}
