import {
  type Ip,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
  groupMac,
  isIpv4,
  isLinkLocal,
  isMulticast,
  isSolicitedNodeGroup,
  isUnspecified,
  low24,
  networkOf,
  parseIp,
  solicitedNodeGroup,
} from '../../wire/addresses.js';
import { ETHER_TYPE_IPV6, ETHER_TYPE_RARP, etherTypeOf } from '../../wire/ethernet.js';
import { ICMPV6, type Icmpv6Malformed, locateIcmpv6 } from '../../wire/icmpv6.js';
import { decodeIpv6 } from '../../wire/ipv6.js';
import {
  ALL_NODES,
  decodeMldReportAt,
  encodeMldQuery,
  encodeMulticastRouterAdvertisement,
} from '../../wire/mld.js';
import {
  type NeighbourAdvertisement,
  type NeighbourSolicitation,
  type RouterDiscovery,
  decodeNdAt,
  encodeAdvertisement,
  encodeSolicitation,
} from '../../wire/nd.js';
import { encodeRouterAdvertisement } from '../../wire/router-advertisement.js';
import { decodeRarpPresence } from '../arp/rarp.js';
import type { FamilyDriver } from '../neighbour/driver.js';
import type { NeighbourMessage } from '../neighbour/message.js';

/** How long a visitor may go on without another advertisement. Three of them are sent in the shortest of these. */
const ROUTER_SECONDS = 5400;
const HOME_PREFIX = { isOnLink: true, isAutonomous: true, validSeconds: 86_400, preferredSeconds: 14_400 };
/**
 * An address that the host has made of it is deprecated at once, and two hours of its lifetime remain; with a valid lifetime
 * of 0 it makes no new one (RFC 4862 section 5.5.3 d and e).
 */
const FOREIGN_PREFIX = { isOnLink: false, isAutonomous: true, validSeconds: 0, preferredSeconds: 0 };

/**
 * Neighbor Discovery (RFC 4861) with duplicate address detection (RFC 4862), and what names a MAC alone: MLD reports
 * (RFC 3810) and RARP (RFC 903), which knows no family.
 */
export const ndDriver: FamilyDriver = {
  family: 'ipv6',
  messageEtherTypes: [ETHER_TYPE_IPV6, ETHER_TYPE_RARP],
  packetEtherType: ETHER_TYPE_IPV6,
  /** Of the prefix for documentation 3fff::/20 (RFC 9637). */
  controlAddress: parseIp('3fff:fff::1') as Ip,

  decode(bytes) {
    if (etherTypeOf(bytes) === ETHER_TYPE_RARP) return decodeRarpPresence(bytes);
    const at = locateIcmpv6(bytes);
    if (typeof at === 'string') return at;
    const type = bytes[at];
    return type === ICMPV6.mldv1Report || type === ICMPV6.mldv2Report
      ? fromMldReport(bytes, at)
      : fromNd(bytes, at);
  },

  decodePacket(bytes) {
    const packet = decodeIpv6(bytes);
    return typeof packet === 'string' ? undefined : packet;
  },

  /**
   * A solicitation, with our link-layer address as the source's: whatever the host believes of `source`, it is at our
   * MAC from now on (RFC 4861 section 7.2.3), a router if it was one.
   */
  probe(own, mac, source, target) {
    const targetIp = ipv6(target);
    if (mac !== MAC_BROADCAST) return solicitation(own, mac, own, source, targetIp, targetIp);
    const group = solicitedNodeGroup(targetIp);
    return solicitation(own, groupMac(group), own, source, targetIp, group);
  },

  /** The answer to a solicitation of a group overrides, unless it is a proxy's (RFC 4861 sections 7.2.4 and 7.2.8). */
  askOwner(own, mac, source, target) {
    const targetIp = ipv6(target);
    const group = solicitedNodeGroup(targetIp);
    const destination = mac === MAC_BROADCAST ? groupMac(group) : mac;
    return solicitation(own, destination, own, source, targetIp, group);
  },

  answer: (own, ip, mac, asker, { linkLocal, isRouter, isOverride }) =>
    encodeAdvertisement({
      source: own,
      destination: mac,
      sourceIp: ipv6(linkLocal ?? ip),
      destinationIp: specified(asker),
      targetIp: ipv6(ip),
      linkLayerAddress: own,
      isRouter,
      isSolicited: true,
      isOverride,
    }),

  /** An unsolicited advertisement (RFC 4861 section 7.2.6): whoever knows the address takes the new MAC. */
  announce: (own, ip, linkLocal) =>
    encodeAdvertisement({
      source: own,
      destination: groupMac(ALL_NODES),
      sourceIp: ipv6(linkLocal ?? ip),
      destinationIp: ALL_NODES,
      targetIp: ipv6(ip),
      linkLayerAddress: own,
      isRouter: false,
      isSolicited: false,
      isOverride: true,
    }),

  /** All nodes listen to the group of the query; the frame goes to one of them. */
  inquire: (own, mac, linkLocal) => encodeMldQuery(own, mac, ipv6(linkLocal)),

  declareMulticastRouter: (own, linkLocal, seconds) =>
    encodeMulticastRouterAdvertisement(own, ipv6(linkLocal), seconds),

  advertisePrefix: (own, source, mac, host, home, foreign) =>
    encodeRouterAdvertisement({
      source: own,
      destination: mac,
      sourceIp: ipv6(source),
      destinationIp: ipv6(host),
      linkLayerAddress: own,
      routerSeconds: ROUTER_SECONDS,
      prefixes: [
        { ...HOME_PREFIX, network: ipv6(networkOf(home.ip, home.length)), length: home.length },
        ...foreign.map(({ ip, length }) => ({
          ...FOREIGN_PREFIX,
          network: ipv6(networkOf(ip, length)),
          length,
        })),
      ],
    }),

  /** A unicast solicitation in the neighbour's name: unlike an advertisement it leaves alone who is a router. */
  repair: (own, mac, host, neighbour, neighbourMac) =>
    solicitation(own, mac, neighbourMac, neighbour, ipv6(host), ipv6(host)),
};

function fromNd(bytes: Uint8Array, at: number): NeighbourMessage | Icmpv6Malformed {
  const frame = decodeNdAt(bytes, at);
  if (typeof frame === 'string') return frame;
  switch (frame.type) {
    case ICMPV6.neighbourSolicitation:
      return fromSolicitation(frame);
    case ICMPV6.neighbourAdvertisement:
      return fromAdvertisement(frame);
    default:
      return fromRouterDiscovery(frame);
  }
}

/** Its source says what it is: nobody yet, an address that is no host's, or a host's. */
function fromSolicitation(frame: NeighbourSolicitation): NeighbourMessage {
  const { source, destination, sourceIp: ip, targetIp: target } = frame;
  // Optimistic hosts state no link-layer address (RFC 4429 section 3.2).
  const mac = frame.linkLayerAddress ?? source;
  const answeredTo = undefined;
  if (isUnspecified(ip))
    return { kind: 'acd-probe', form: undefined, source, destination, mac, ip, target, answeredTo };
  if (isLinkLocal(ip))
    return {
      kind: 'presence',
      form: 'link-local-solicitation',
      source,
      destination,
      mac,
      ip,
      target,
      answeredTo,
    };
  return { kind: 'sighting', form: 'request', source, destination, mac, ip, target, answeredTo };
}

/** Its target counts: a host with several addresses may send it from any of them. */
function fromAdvertisement(frame: NeighbourAdvertisement): NeighbourMessage {
  const { source, destination, targetIp: ip, destinationIp } = frame;
  // The answer to a unicast solicitation states no link-layer address (RFC 4861 section 7.2.4).
  const mac = frame.linkLayerAddress ?? source;
  const target = undefined;
  if (frame.isSolicited)
    return {
      kind: 'sighting',
      form: 'reply',
      source,
      destination,
      mac,
      ip,
      target,
      answeredTo: destinationIp,
      isOverride: frame.isOverride,
      isRouter: frame.isRouter,
    };
  return {
    kind: 'sighting',
    form: 'announcement',
    source,
    destination,
    mac,
    ip,
    target,
    answeredTo: undefined,
  };
}

function fromRouterDiscovery(frame: RouterDiscovery): NeighbourMessage {
  const { source, destination, sourceIp } = frame;
  const mac = frame.linkLayerAddress ?? source;
  const none = undefined;
  if (frame.type === ICMPV6.routerAdvertisement)
    return {
      kind: 'router',
      form: none,
      source,
      destination,
      mac,
      ip: sourceIp,
      target: none,
      answeredTo: none,
    };
  return {
    kind: 'presence',
    form: 'router-solicitation',
    source,
    destination,
    mac,
    ip: isLinkLocal(sourceIp) ? sourceIp : none,
    target: none,
    answeredTo: none,
  };
}

function fromMldReport(bytes: Uint8Array, at: number): NeighbourMessage | Icmpv6Malformed {
  const report = decodeMldReportAt(bytes, at);
  if (typeof report === 'string') return report;
  const { source, destination, sourceIp } = report;
  return {
    kind: 'presence',
    form: 'mld-report',
    source,
    destination,
    mac: source,
    ip: isUnspecified(sourceIp) ? undefined : sourceIp,
    target: undefined,
    answeredTo: undefined,
    groups: report.groups.filter(isSolicitedNodeGroup).map(low24),
  };
}

function solicitation(
  own: Mac,
  destination: Mac,
  linkLayerAddress: Mac,
  source: Ip,
  targetIp: Ipv6,
  destinationIp: Ipv6,
): Uint8Array {
  const sourceIp = specified(source);
  return encodeSolicitation({
    source: own,
    destination,
    sourceIp,
    destinationIp,
    targetIp,
    linkLayerAddress,
  });
}

/**
 * Nobody is asked or answered in the name of ::. To a host that has the address it would be another one that takes it
 * (RFC 4862 section 5.4), and who just asks for it would give it up.
 */
function specified(ip: Ip): Ipv6 {
  const address = ipv6(ip);
  if (isUnspecified(address) || isMulticast(address))
    throw new RangeError('a solicitation of ours has a sender, and an answer has a receiver');
  return address;
}

/** The driver was picked by the family of an address: another family here is a fault of ours. */
function ipv6(ip: Ip): Ipv6 {
  if (isIpv4(ip)) throw new TypeError('Neighbor Discovery carries no IPv4 address');
  return ip;
}
