import { parseConfig } from '../../../src/config/config.js';
import type { Action, Event, IfIndex, Link } from '../../../src/mobility/events.js';
import { driversOf } from '../../../src/mobility/families.js';
import { ndDriver } from '../../../src/mobility/nd/driver.js';
import type { Policy } from '../../../src/mobility/policy.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import {
  IPV4_UNSPECIFIED,
  IPV6_UNSPECIFIED,
  type Ip,
  type Ipv4,
  type Ipv6,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  type Prefix,
  groupMac,
  isGroupMac,
  isIpv4,
  isMulticast,
  parseIp,
  parsePrefix,
  solicitedNodeGroup,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp, encodeArpBody } from '../../../src/wire/arp.js';
import { ETHER_TYPE_ARP, ETHER_TYPE_RARP, etherTypeOf } from '../../../src/wire/ethernet.js';
import { ICMPV6 } from '../../../src/wire/icmpv6.js';
import { ALL_MLDV2_ROUTERS, ALL_NODES, encodeMldReport } from '../../../src/wire/mld.js';
import {
  decodeNd,
  encodeAdvertisement,
  encodeRouterSolicitation,
  encodeSolicitation,
} from '../../../src/wire/nd.js';

/**
 * A router with two LANs and an uplink that serves both families, as the tracker sees it: fe80::1 is the gateway of every
 * LAN. Hosts that it is given answer a millisecond after they are asked.
 */

export const HOME = 10;
export const FOREIGN = 11;
export const GUEST_MAC = 0x020000000005 as Mac;
export const GUEST_LINK_LOCAL = ip6('fe80::5');
export const GATEWAY = ip6('fe80::1');

export function ip6(text: string): Ipv6 {
  return parseIp(text) as Ipv6;
}

export function ip4(text: string): Ipv4 {
  return parseIp(text) as Ipv4;
}

const macOf = (iface: IfIndex) => (0x020000000100 + iface) as Mac;

/** What the router sent. `query`: a general query of MLD. */
export interface Sent {
  readonly iface: IfIndex;
  readonly purpose: string;
  readonly kind: 'arp' | 'solicitation' | 'advertisement' | 'query';
  readonly destination: Mac;
  readonly source: Ip;
  readonly target: Ip;
  /** Sent to the group of the target (RFC 4291 section 2.7.1), in whatever frame. */
  readonly isToGroup: boolean;
  readonly at: number;
}

/** An address of a host, and where it answers for it. */
interface Here {
  readonly iface: IfIndex;
  readonly mac: Mac;
  /** It answers for somebody else (RFC 4389). */
  readonly isProxy?: boolean;
}

export class DualRouter {
  readonly tracker: HostTracker;
  now = 1000;
  /** All that it ever sent, and did. */
  readonly sent: Sent[] = [];
  readonly actions: Action[] = [];
  /** Addresses that answer. */
  readonly alive = new Map<Ip, Here>();
  private answers: { readonly at: number; readonly iface: IfIndex; readonly bytes: Uint8Array }[] = [];

  constructor(change: Partial<Policy> = {}) {
    const { policy } = parseConfig('[[interface]]\nname = "lan*"\n');
    const subnets = [
      { prefix: parsePrefix('10.1.1.0/24') as Prefix, gateways: [ip4('10.1.1.1')] },
      { prefix: parsePrefix('2001:db8:1::/64') as Prefix, gateways: [GATEWAY] },
      { prefix: parsePrefix('2001:db8:2::/64') as Prefix, gateways: [GATEWAY] },
    ];
    const families = ['ipv4', 'ipv6'] as const;
    this.tracker = new HostTracker({ ...policy, families, subnets, ...change }, driversOf(families));
    this.handle({ kind: 'link', link: link(2, 'wan', '192.0.2.1/24', '2001:db8:9::1/64') });
    this.handle({ kind: 'link', link: link(HOME, 'lan0', '10.1.1.1/24', 'fe80::1/64', '2001:db8:1::1/64') });
    this.handle({
      kind: 'link',
      link: link(FOREIGN, 'lan1', '10.2.2.1/24', 'fe80::1/64', '2001:db8:2::1/64'),
    });
    for (const iface of [HOME, FOREIGN]) this.handle({ kind: 'capture', iface, open: true });
    this.advance(2000);
    this.sent.length = 0;
  }

  handle(event: Event): readonly Action[] {
    const actions = this.tracker.handle(event, this.now);
    this.actions.push(...actions);
    for (const action of actions)
      if (action.kind === 'send') this.take(action.iface, action.purpose, action.bytes);
    return actions;
  }

  frame(iface: IfIndex, bytes: Uint8Array): readonly Action[] {
    return this.handle({ kind: 'frame', iface, bytes });
  }

  /** Time passes: what is due is done, and whoever is asked answers. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const answer = this.answers[0];
      const due = Math.max(this.now, this.tracker.nextDeadline() ?? Number.POSITIVE_INFINITY);
      const next = Math.min(due, answer?.at ?? Number.POSITIVE_INFINITY);
      if (next > end) break;
      this.now = next;
      if (answer?.at === next) {
        this.answers.shift();
        this.frame(answer.iface, answer.bytes);
      } else this.handle({ kind: 'tick' });
    }
    this.now = end;
  }

  /** What it sent since the last call. */
  takeSent(): Sent[] {
    return this.sent.splice(0);
  }

  asked(target: Ip): Sent[] {
    return this.sent.filter((one) => one.target === target && one.purpose === 'probe');
  }

  /** The host has these addresses here, and answers for them. */
  plug(iface: IfIndex, mac: Mac, ...ips: Ip[]): void {
    for (const ip of ips) this.alive.set(ip, { iface, mac });
  }

  /** Another router claims the host, or does no more. */
  remote(change: 'add' | 'delete', ip: Ip): void {
    const route = {
      prefix: { ip, length: isIpv4(ip) ? 32 : 128 },
      table: 254,
      protocol: 186,
      metric: 20,
      type: 'unicast',
      iface: 2,
      via: isIpv4(ip) ? ip4('192.0.2.2') : ip6('fe80::2'),
    } as const;
    this.handle({ kind: 'route', change, route, initial: false });
  }

  private take(iface: IfIndex, purpose: string, bytes: Uint8Array): void {
    const sent = describe(iface, purpose, bytes, this.now);
    this.sent.push(sent);
    const host = this.alive.get(sent.target);
    if (purpose !== 'probe' || host?.iface !== iface || sent.kind === 'query') return;
    if (sent.destination !== host.mac && !isGroupMac(sent.destination)) return;
    const at = this.now + 1;
    this.answers.push({ at, iface, bytes: answerOf(macOf(iface), host, sent) });
  }
}

function link(index: IfIndex, name: string, ...addresses: string[]): Link {
  return {
    index,
    name,
    mac: macOf(index),
    up: true,
    carrier: true,
    master: undefined,
    type: 'bridge',
    addresses: addresses.map((text) => parsePrefix(text) as Prefix),
    rpFilter: 0,
  };
}

function describe(iface: IfIndex, purpose: string, bytes: Uint8Array, at: number): Sent {
  const common = { iface, purpose, at, isToGroup: false };
  if (etherTypeOf(bytes) === ETHER_TYPE_ARP) {
    const arp = decodeArp(bytes);
    if (typeof arp === 'string') throw new Error(arp);
    const { destination, senderIp: source, targetIp: target } = arp;
    return { ...common, kind: 'arp', destination, source, target };
  }
  const nd = decodeNd(bytes);
  // The only other frame that is sent: nothing of ours is malformed.
  if (typeof nd === 'string') {
    const destination = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) * 0x1_0000;
    const low = new DataView(bytes.buffer, bytes.byteOffset).getUint16(4);
    return {
      ...common,
      kind: 'query',
      destination: (destination + low) as Mac,
      source: IPV6_UNSPECIFIED,
      target: IPV6_UNSPECIFIED,
    };
  }
  if (nd.type !== ICMPV6.neighbourSolicitation && nd.type !== ICMPV6.neighbourAdvertisement)
    throw new Error('the tracker solicits and advertises neighbours only');
  const kind = nd.type === ICMPV6.neighbourSolicitation ? 'solicitation' : 'advertisement';
  const isToGroup = isMulticast(nd.destinationIp);
  const { destination, sourceIp: source, targetIp: target } = nd;
  return { ...common, kind, destination, source, target, isToGroup };
}

function answerOf(own: Mac, { mac, isProxy }: Here, { target, source, isToGroup }: Sent): Uint8Array {
  if (isIpv4(target))
    return encodeArp({
      destination: own,
      source: mac,
      opcode: ARP_REPLY,
      senderMac: mac,
      senderIp: target,
      targetMac: own,
      targetIp: source as Ipv4,
    });
  // As Linux does: a unicast solicitation is answered without override and option (RFC 4861 section 7.2.4).
  const isOverride = isToGroup && isProxy !== true;
  return advertisement(mac, target, {
    destination: own,
    destinationIp: source as Ipv6,
    isSolicited: true,
    isOverride,
    linkLayerAddress: isToGroup ? mac : undefined,
  });
}

/** A neighbour advertisement, unsolicited to all if not otherwise told (RFC 4861 section 7.2.6). */
export function advertisement(
  mac: Mac,
  targetIp: Ipv6,
  change: Partial<Parameters<typeof encodeAdvertisement>[0]> = {},
): Uint8Array {
  return encodeAdvertisement({
    source: mac,
    destination: groupMac(ALL_NODES),
    sourceIp: targetIp,
    destinationIp: ALL_NODES,
    targetIp,
    linkLayerAddress: mac,
    isRouter: false,
    isSolicited: false,
    isOverride: true,
    ...change,
  });
}

/** Duplicate address detection (RFC 4862 section 5.4.2). */
export function dad(mac: Mac, targetIp: Ipv6): Uint8Array {
  return solicitation(mac, IPV6_UNSPECIFIED, targetIp);
}

export function solicitation(mac: Mac, sourceIp: Ipv6, targetIp: Ipv6): Uint8Array {
  const group = solicitedNodeGroup(targetIp);
  return encodeSolicitation({
    source: mac,
    destination: groupMac(group),
    sourceIp,
    destinationIp: group,
    targetIp,
    linkLayerAddress: sourceIp === IPV6_UNSPECIFIED ? undefined : mac,
  });
}

/** An MLDv2 report of a host that listens to the groups of these addresses. */
export function mldReport(mac: Mac, sourceIp: Ipv6, ...ips: Ipv6[]): Uint8Array {
  return encodeMldReport({
    source: mac,
    destination: groupMac(ALL_MLDV2_ROUTERS),
    sourceIp,
    destinationIp: ALL_MLDV2_ROUTERS,
    groups: ips.map(solicitedNodeGroup),
  });
}

export function routerSolicitation(mac: Mac, sourceIp: Ipv6): Uint8Array {
  const destinationIp = ip6('ff02::2');
  return encodeRouterSolicitation({
    source: mac,
    destination: groupMac(destinationIp),
    sourceIp,
    destinationIp,
    linkLayerAddress: mac,
  });
}

/** A gratuitous ARP request. */
export function gratuitousArp(mac: Mac, ip: Ipv4): Uint8Array {
  return encodeArp({
    destination: MAC_BROADCAST,
    source: mac,
    opcode: ARP_REQUEST,
    senderMac: mac,
    senderIp: ip,
    targetMac: MAC_ZERO,
    targetIp: ip,
  });
}

/** As QEMU sends it after a migration. */
export function rarp(mac: Mac): Uint8Array {
  const nobody = { senderIp: IPV4_UNSPECIFIED, targetIp: IPV4_UNSPECIFIED };
  const body = { opcode: 3, senderMac: mac, targetMac: mac, ...nobody };
  return encodeArpBody(MAC_BROADCAST, mac, ETHER_TYPE_RARP, body);
}

export const CONTROL_ADDRESS = ndDriver.controlAddress;
