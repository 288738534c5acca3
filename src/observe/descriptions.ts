import type { Action, Cause, DropReason, EvidenceKind, Link } from '../mobility/events.js';
import { type Policy, ruleFor } from '../mobility/policy.js';
import { formatIp, formatMac, formatPrefix, isIpv4, networkOf } from '../wire/addresses.js';

/** What the closed lists of the tracker mean, in sentences for people. The types make sure that none is missing. */

export const DROP_MEANINGS: Readonly<Record<DropReason, string>> = {
  truncated: 'the frame is too short to be ARP',
  'not-arp': 'the frame is no ARP or RARP',
  'bad-hardware-type': 'its hardware type is neither Ethernet nor IEEE 802',
  'bad-protocol-type': 'its protocol type is not IPv4',
  'bad-address-length': 'its address lengths are not those of Ethernet and IPv4',
  'bad-opcode': 'its opcode is neither request nor reply',
  'own-frame': 'we sent it ourselves',
  'not-mobility-interface':
    'the interface is no mobility interface (no [[interface]] names it, or it has a master)',
  'interface-down': 'the interface was down',
  'sender-mac-zero': 'its sender MAC is zero',
  'sender-mac-group': 'its sender MAC is a multicast or broadcast address',
  'sender-mac-mismatch': 'its sender MAC is not the one in the Ethernet header: relayed or forged',
  'sender-ip-unspecified': 'its sender IP is 0.0.0.0, which is nobody',
  'sender-ip-multicast': 'its sender IP is a multicast address',
  'sender-ip-reserved': 'its sender IP is a reserved or broadcast address',
  'sender-ip-loopback': 'its sender IP is a loopback address',
  'sender-ip-subnet-edge': 'its sender IP is the network or broadcast address of a subnet',
  'sender-ip-local': 'its sender IP is an address of this machine',
  'sender-ip-gateway': 'its sender IP is a configured gateway, which is no mobile host',
  'sender-ip-next-hop': 'its sender IP is a router that we forward to',
  'sender-ip-other-lan': 'its sender IP belongs to a connected subnet that is no mobility interface',
  'other-router': 'its MAC once claimed a gateway address: another router, no host',
  'not-allowed': 'the address is in no allowed prefix (policy.allow, else the [[subnet]] prefixes)',
  denied: 'the address is in a denied prefix (policy.deny)',
  'mac-not-bound': 'its MAC is not the bound one (policy.bind)',
  'newcomer-budget': 'too many newcomers on the interface at once (policy.limits.newcomer_burst)',
  'mac-limit': 'its MAC has too many addresses already (policy.limits.addresses_per_mac)',
  'host-limit': 'the table of hosts is full (policy.limits.max_hosts or max_hosts of the interface)',
  'inquiry-limit': 'too many unknown MACs were announced by RARP at once',
  detached: 'it was just detached; frames of the dying guest count no more',
  contested: 'somebody else who holds the address is alive; this one waits for its next try',
  frozen: 'the address was contested too often and is frozen where it is; marpctl clear ends that',
  'no-probe-source':
    'there is no address of ours that a proof could be sent from; name its gateway in a [[subnet]]',
};

export const CAUSE_MEANINGS: Readonly<Record<Cause, string>> = {
  sighting: 'it was heard',
  'probe-hint': 'it asked whether its address is free (RFC 5227) a moment before',
  rarp: 'a hypervisor announced its MAC (RARP)',
  sibling: 'another address of its MAC was proven',
  sought: 'a neighbour that has come home looks for it',
  'link-up': 'the link where it was last seen came up',
  adopted: 'its route was there when marpd started',
  remembered: 'it was here before marpd was restarted',
  command: 'somebody asked by marpctl or the API',
  attach: 'it was attached by marpctl or the API',
  prepared: 'it was prepared, and gave its first sign of life',
  proven: 'it answered our proof',
  moved: 'it answered our proof at a new place',
  aged: 'nothing contradicted it for the time of router.settle',
  returned: 'it is back home, and no other router says otherwise',
  contested: 'it answered where it was, so it keeps its address against the other claim',
  'no-answer': 'nobody answered our proof',
  'no-room': 'the interface has all the hosts it may have',
  'keepalive-lost': 'it stopped answering keepalives',
  'hold-expired': 'nothing was heard of it for the hold time',
  'link-down': 'its link went down',
  'link-gone': 'its interface was deleted',
  'port-down': 'its bridge port went down or was removed',
  'remote-claim': 'another router announces it, and it does not answer here',
  'remote-claim-lost': 'no other router announces it any more',
  duplicate: 'another living host had the address first',
  detach: 'it was detached by marpctl or the API',
  'not-allowed': 'policy does not allow it (any more)',
  'rule-changed': 'the learn rule or the subnets of its interface changed',
  clear: 'somebody cleared it by marpctl or the API',
  'kernel-refused': 'the kernel refused its route or neighbour entry',
  forgotten: 'nothing was heard of it for so long that it was forgotten',
};

const EVIDENCE_WORDS: Readonly<Record<EvidenceKind, string>> = {
  request: 'ARP request',
  reply: 'ARP reply',
  gratuitous: 'gratuitous ARP',
  probe: 'address probe (RFC 5227)',
  rarp: 'RARP',
  answer: 'answer to our question',
};

/** What the daemon serves, for its log at start. */
export function describeServed(policy: Policy, links: Iterable<Link>): string {
  const served = [...links].filter((link) => link.master === undefined && ruleFor(policy, link.name));
  const names = served.map((link) => link.name).join(', ') || 'none yet';
  const subnets =
    policy.subnets.length > 0
      ? policy.subnets.map(
          ({ prefix, gateway }) =>
            `${formatPrefix(prefix)} (${gateway === undefined ? 'no gateway' : `gateway ${formatIp(gateway)}`})`,
        )
      : served.flatMap((link) =>
          link.addresses
            .filter(({ ip }) => isIpv4(ip))
            .map(
              ({ ip, length }) =>
                `${formatPrefix({ ip: networkOf(ip, length), length })} (connected, gateway ${formatIp(ip)})`,
            ),
        );
  return `serving interfaces: ${names}; subnets: ${subnets.join(', ') || 'none yet'}`;
}

/** Actions that people may want to know about one address. */
export type HistoryEvent = Extract<
  Action,
  { kind: 'transition' | 'evidence' | 'drop' | 'alarm' | 'answered' }
>;

/** One line about what happened; `interfaceName` is that of `action.iface`. */
export function describe(action: HistoryEvent, interfaceName: string): string {
  switch (action.kind) {
    case 'evidence': {
      const rtt = action.rttMs === undefined ? '' : ` after ${formatRtt(action.rttMs)}`;
      return `${EVIDENCE_WORDS[action.evidence]} from ${formatMac(action.mac)} on ${action.interface}${rtt}`;
    }
    case 'transition': {
      const where = action.interface === undefined ? '' : ` on ${action.interface}`;
      return `${action.from} -> ${action.to}${where}: ${CAUSE_MEANINGS[action.cause]}`;
    }
    case 'drop': {
      const mac = action.mac === undefined ? '' : ` from ${formatMac(action.mac)}`;
      return `frame${mac} on ${interfaceName} ignored: ${DROP_MEANINGS[action.reason]}`;
    }
    case 'alarm':
      return `alarm ${action.alarm}: ${action.message}${describeParties(action)}`;
    case 'answered':
      return `we answered its question for ${formatIp(action.target)} on ${action.interface}`;
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
