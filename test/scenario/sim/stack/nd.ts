import {
  groupMac,
  IPV6_UNSPECIFIED,
  type Ip,
  type Ipv6,
  type Mac,
  type Prefix,
  parsePrefix,
  solicitedNodeGroup,
  withEui64,
} from '../../../../src/wire/addresses.js';
import { ALL_NODES } from '../../../../src/wire/mld.js';
import {
  encodeAdvertisement,
  encodeSolicitation,
  type NeighbourAdvertisement,
  type NeighbourSolicitation,
} from '../../../../src/wire/nd.js';
import type { Neighbours } from './neighbours.js';

/** Neighbor Discovery as the kernel of Linux has it (net/ipv6/ndisc.c), for hosts and routers. */

const LINK_LOCAL = parsePrefix('fe80::/64') as Prefix;

/** The link-local address that an interface makes of its MAC (RFC 4291 appendix A). */
export function linkLocalOf(mac: Mac): Ipv6 {
  return withEui64(LINK_LOCAL, mac) as Ipv6;
}

interface Sender {
  readonly mac: Mac;
  readonly ip: Ipv6;
}

/** Asks where `target` is, of all who may have it, or of `mac` alone. */
export function solicit(sender: Sender, target: Ipv6, mac: Mac | undefined): Uint8Array {
  const group = solicitedNodeGroup(target);
  return encodeSolicitation({
    source: sender.mac,
    destination: mac ?? groupMac(group),
    sourceIp: sender.ip,
    destinationIp: mac === undefined ? group : target,
    targetIp: target,
    linkLayerAddress: sender.mac,
  });
}

/** Duplicate address detection (RFC 4862 section 5.4.2). */
export function solicitForDad(mac: Mac, target: Ipv6): Uint8Array {
  const group = solicitedNodeGroup(target);
  return encodeSolicitation({
    source: mac,
    destination: groupMac(group),
    sourceIp: IPV6_UNSPECIFIED,
    destinationIp: group,
    targetIp: target,
    linkLayerAddress: undefined,
  });
}

/** The answer to a solicitation; what was sent to one MAC is answered without MAC and without override. */
export function answerTo(asked: NeighbourSolicitation, own: Mac, to: Mac, isRouter: boolean): Uint8Array {
  const toAll = asked.sourceIp === IPV6_UNSPECIFIED;
  const isMulticast = asked.destinationIp !== asked.targetIp && asked.destinationIp.startsWith('\u00ff');
  return encodeAdvertisement({
    source: own,
    destination: toAll ? groupMac(ALL_NODES) : to,
    sourceIp: asked.targetIp,
    destinationIp: toAll ? ALL_NODES : asked.sourceIp,
    targetIp: asked.targetIp,
    linkLayerAddress: isMulticast ? own : undefined,
    isRouter,
    isSolicited: !toAll,
    isOverride: isMulticast,
  });
}

/** An unsolicited advertisement to a group. */
export function advertise(
  own: Mac,
  ip: Ipv6,
  group: Ipv6,
  flags: { readonly isRouter: boolean; readonly isOverride: boolean },
): Uint8Array {
  return encodeAdvertisement({
    source: own,
    destination: groupMac(group),
    sourceIp: ip,
    destinationIp: group,
    targetIp: ip,
    linkLayerAddress: own,
    isSolicited: false,
    ...flags,
  });
}

/** A solicitation for an address of ours: whoever asks is at the MAC that it says. */
export function hearSolicitation(
  neighbours: Neighbours,
  { sourceIp, linkLayerAddress }: NeighbourSolicitation,
): void {
  if (sourceIp === IPV6_UNSPECIFIED || linkLayerAddress === undefined) return;
  neighbours.learn(sourceIp, linkLayerAddress, { state: 'stale', override: true, create: true });
}

/** An advertisement changes an entry that is there, and makes none; whether there was one. */
export function hearAdvertisement(neighbours: Neighbours, frame: NeighbourAdvertisement): boolean {
  const { targetIp, linkLayerAddress, isSolicited, isOverride } = frame;
  if (!neighbours.has(targetIp)) return false;
  const mac = linkLayerAddress ?? neighbours.mac(targetIp);
  if (mac === undefined) return true;
  neighbours.learn(targetIp, mac, {
    state: isSolicited ? 'reachable' : 'stale',
    override: isOverride,
    doubt: true,
    create: false,
  });
  return true;
}

/** Whether a frame to this IPv6 destination is for an interface with these addresses. */
export function isFor(destination: Ipv6, addresses: Iterable<Ip>): boolean {
  if (destination === ALL_NODES) return true;
  for (const ip of addresses)
    if (typeof ip === 'string' && (ip === destination || solicitedNodeGroup(ip) === destination)) return true;
  return false;
}
