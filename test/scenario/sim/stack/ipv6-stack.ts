import {
  groupMac,
  IPV6_UNSPECIFIED,
  type Ip,
  type Ipv6,
  isLinkLocal,
  isMulticast,
  type Mac,
  networkOf,
  parseIp,
  readIpv6,
  readMac,
  solicitedNodeGroup,
} from '../../../../src/wire/addresses.js';
import { ETHER_TYPE_IPV6, etherTypeOf } from '../../../../src/wire/ethernet.js';
import { ICMPV6, ROUTER_ALERT } from '../../../../src/wire/icmpv6.js';
import {
  IPV6_DESTINATION_AT,
  IPV6_NEXT_HEADER_AT,
  IPV6_PAYLOAD_AT,
  NEXT_HEADER,
} from '../../../../src/wire/ipv6.js';
import { ALL_MLDV2_ROUTERS, ALL_NODES, encodeMldReport } from '../../../../src/wire/mld.js';
import {
  decodeNd,
  type NeighbourAdvertisement,
  type NeighbourSolicitation,
} from '../../../../src/wire/nd.js';
import type { Announce } from '../../world.js';
import {
  advertise,
  answerTo,
  hearAdvertisement,
  hearSolicitation,
  isFor,
  linkLocalOf,
  solicit,
  solicitForDad,
} from './nd.js';
import type { Machine, Stack } from './stack.js';

const ALL_NODES_MAC = groupMac(ALL_NODES);
const ALL_ROUTERS = parseIp('ff02::2') as Ipv6;

/** Before duplicate address detection, and between it and the use of the address (RFC 4862 section 5.4, RFC 4861). */
const DAD_DELAY_MS = [0, 1000] as const;
const RETRANS_TIMER_MS = 1000;
/** Reports after the carrier is back: Linux repeats them once (RFC 3810 section 9.1). */
const REPORT_MS = [3, 7] as const;
const REPORT_AGAIN_MS = [50, 1000] as const;
/** From an MLD query with a maximum response delay of 1 ms to the report of a kernel with 100 ticks a second. */
const QUERIED_MS = [8, 11] as const;

export interface Ipv6Spec {
  readonly ips: readonly Ipv6[];
  readonly gateway: Ipv6;
  readonly prefixLength: number;
  /** Its default route came by a router advertisement: without the router flag its gateway is no router any more. */
  readonly isGatewayAdvertised?: boolean;
}

type AddressState = 'tentative' | 'valid' | 'duplicate';

/** The Neighbor Discovery, duplicate address detection and MLDv2 of Linux, with static addresses. */
export class Ipv6Stack implements Stack {
  readonly gateway: Ipv6;
  readonly linkLocal: Ipv6;
  conflicts = 0;
  private readonly states = new Map<Ipv6, AddressState>();
  /** MACs of the solicited-node groups that it listens to. */
  private groups: Set<Mac> | undefined;
  private hasDefaultRoute = true;
  /** Whose packet made it ask for a neighbour that is not known. */
  private askingSource: Ipv6;

  constructor(
    private readonly machine: Machine,
    private readonly spec: Ipv6Spec,
  ) {
    this.gateway = spec.gateway;
    this.linkLocal = linkLocalOf(machine.mac);
    for (const ip of spec.ips) this.states.set(ip, 'valid');
    this.askingSource = spec.ips[0] as Ipv6;
  }

  get addresses(): readonly Ipv6[] {
    return [...this.states.keys()];
  }

  /** The lifetime of an address is over. */
  expire(ip: Ipv6): void {
    this.states.delete(ip);
    this.groups = undefined;
  }

  /** Carrier loss alone changes no address and no route; it empties the neighbour cache, and groups are joined anew. */
  plugged(carrierDrop: boolean): void {
    this.hasDefaultRoute = true;
    for (const ip of this.states.keys()) this.states.set(ip, 'valid');
    if (!carrierDrop) return;
    const { machine } = this;
    for (const [earliest, latest] of [REPORT_MS, REPORT_AGAIN_MS])
      machine.later(machine.clock.between(earliest, latest), () => this.report());
  }

  isIn(group: Mac): boolean {
    if (group === ALL_NODES_MAC) return true;
    this.groups ??= new Set(
      [this.linkLocal, ...this.states.keys()].map((ip) => groupMac(solicitedNodeGroup(ip))),
    );
    return this.groups.has(group);
  }

  has(ip: Ip): boolean {
    return this.states.get(ip as Ipv6) === 'valid';
  }

  nextHop(from: Ip, to: Ip): Mac | undefined {
    const isOnLink = this.isOnLink(to);
    if (!isOnLink && !this.hasDefaultRoute) return undefined;
    this.askingSource = from as Ipv6;
    return this.machine.neighbours.use(isOnLink ? to : this.gateway);
  }

  announce(how: Announce): void {
    const { machine } = this;
    switch (how) {
      case 'gratuitous-request':
        this.advertise(ALL_NODES, true);
        return;
      case 'gratuitous-reply':
        this.advertise(ALL_ROUTERS, false); // RFC 9131 section 6.1.2
        return;
      case 'arp-gateway':
        machine.neighbours.remove(this.gateway);
        this.askingSource = this.spec.ips[0] as Ipv6;
        machine.neighbours.use(this.gateway);
        return;
      case 'probe':
        this.detectDuplicates(machine.clock.between(...DAD_DELAY_MS), true);
        return;
      case 'probe-once':
        this.detectDuplicates(0, false);
        return;
      case 'rarp':
      case 'silent':
        return;
    }
  }

  receive(bytes: Uint8Array): void {
    if (etherTypeOf(bytes) !== ETHER_TYPE_IPV6 || this.isOfOthers(bytes)) return;
    if (!isFor(readIpv6(bytes, IPV6_DESTINATION_AT), [this.linkLocal, ...this.states.keys()])) return;
    if (isMldQuery(bytes)) {
      this.machine.later(this.machine.clock.between(...QUERIED_MS), () => this.report());
      return;
    }
    const frame = decodeNd(bytes);
    if (typeof frame === 'string' || frame.source === this.machine.mac) return;
    if (frame.type === ICMPV6.neighbourSolicitation) this.hearSolicitation(frame);
    else if (frame.type === ICMPV6.neighbourAdvertisement) this.hearAdvertisement(frame);
  }

  /** Whether it is an advertisement for all of an address that is of no interest: a crowd's, most of the time. */
  private isOfOthers(bytes: Uint8Array): boolean {
    if (bytes[IPV6_PAYLOAD_AT] !== ICMPV6.neighbourAdvertisement || readMac(bytes, 0) !== ALL_NODES_MAC)
      return false;
    const target = readIpv6(bytes, IPV6_PAYLOAD_AT + 8);
    return !this.states.has(target) && !this.machine.neighbours.has(target);
  }

  /** To confirm what it knows it asks from its link-local address, else in the name of who wants to send. */
  ask(ip: Ip, mac: Mac | undefined): void {
    const source = mac === undefined ? this.askingSource : this.linkLocal;
    this.machine.transmit(solicit({ mac: this.machine.mac, ip: source }, ip as Ipv6, mac));
  }

  private hearSolicitation(frame: NeighbourSolicitation): void {
    const { machine } = this;
    const state = frame.targetIp === this.linkLocal ? 'valid' : this.states.get(frame.targetIp);
    const isDad = frame.sourceIp === IPV6_UNSPECIFIED;
    if (state === 'tentative' && isDad) this.conflict(frame.targetIp);
    // What does not concern an address in use changes nothing, not even the entry of who asks.
    if (state !== 'valid') return;
    if (machine.ignoresOffLink && !isDad && !this.isNeighbour(frame.sourceIp)) return;
    hearSolicitation(machine.neighbours, frame);
    if (!machine.answers) return;
    const to = isDad ? undefined : machine.neighbours.use(frame.sourceIp);
    if (to === undefined && !isDad) return;
    machine.later(machine.clock.between(...machine.answerDelayMs), () =>
      machine.transmit(answerTo(frame, machine.mac, to ?? machine.mac, false)),
    );
  }

  private hearAdvertisement(frame: NeighbourAdvertisement): void {
    const state = this.states.get(frame.targetIp);
    if (state === 'tentative') {
      // What is sent to the tentative address itself reaches nobody: it is not assigned yet (RFC 4862 section 5.4).
      if (isMulticast(frame.destinationIp)) this.conflict(frame.targetIp);
    } else if (state === 'valid') this.conflicts++;
    else if (hearAdvertisement(this.machine.neighbours, frame)) this.reviewRouter(frame);
  }

  /** RFC 4861 section 7.2.5: a default router that is none any more takes its route with it. */
  private reviewRouter({ targetIp, isRouter }: NeighbourAdvertisement): void {
    if (this.spec.isGatewayAdvertised === true && targetIp === this.gateway && !isRouter)
      this.hasDefaultRoute = false;
  }

  /** Duplicate address detection fails: the address is never used (RFC 4862 section 5.4.5). */
  private conflict(ip: Ipv6): void {
    this.states.set(ip, 'duplicate');
    this.conflicts++;
  }

  private detectDuplicates(delayMs: number, notify: boolean): void {
    const { machine } = this;
    for (const ip of this.states.keys()) this.states.set(ip, 'tentative');
    this.report();
    machine.later(delayMs, () => {
      for (const ip of this.states.keys()) machine.transmit(solicitForDad(machine.mac, ip));
    });
    machine.later(delayMs + RETRANS_TIMER_MS, () => {
      for (const [ip, state] of this.states) if (state === 'tentative') this.states.set(ip, 'valid');
      if (notify) this.advertise(ALL_NODES, true);
    });
  }

  private advertise(group: Ipv6, isOverride: boolean): void {
    const { machine } = this;
    for (const [ip, state] of this.states)
      if (state === 'valid')
        machine.transmit(advertise(machine.mac, ip, group, { isRouter: false, isOverride }));
  }

  /** The groups of all addresses, from the link-local one. */
  private report(): void {
    const { mac } = this.machine;
    const groups = new Set([this.linkLocal, ...this.states.keys()].map(solicitedNodeGroup));
    this.machine.transmit(
      encodeMldReport({
        source: mac,
        destination: groupMac(ALL_MLDV2_ROUTERS),
        sourceIp: this.linkLocal,
        destinationIp: ALL_MLDV2_ROUTERS,
        groups: [...groups],
      }),
    );
  }

  private isNeighbour(ip: Ipv6): boolean {
    return isLinkLocal(ip) || this.isOnLink(ip);
  }

  private isOnLink(ip: Ip): boolean {
    const { ips, prefixLength } = this.spec;
    return networkOf(ip, prefixLength) === networkOf(ips[0] as Ipv6, prefixLength);
  }
}

/** A general query (RFC 3810 section 5.1): behind a hop-by-hop header, as all of MLD. */
function isMldQuery(bytes: Uint8Array): boolean {
  return (
    bytes[IPV6_NEXT_HEADER_AT] === NEXT_HEADER.hopByHop &&
    bytes[IPV6_PAYLOAD_AT + ROUTER_ALERT.length] === ICMPV6.mldQuery
  );
}
