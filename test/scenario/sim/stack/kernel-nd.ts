import {
  IPV6_UNSPECIFIED,
  type Ip,
  type Ipv6,
  isGroupMac,
  isIpv4,
  isLinkLocal,
  type Mac,
} from '../../../../src/wire/addresses.js';
import { ICMPV6 } from '../../../../src/wire/icmpv6.js';
import { ALL_NODES } from '../../../../src/wire/mld.js';
import { decodeNd } from '../../../../src/wire/nd.js';
import type { Link } from '../../../../src/mobility/events.js';
import { KERNEL_ANSWER_MS, type KernelPort } from './kernel-arp.js';
import { advertise, answerTo, hearAdvertisement, hearSolicitation, isFor, solicit } from './nd.js';

/** The Neighbor Discovery of a Linux router: it answers whoever asks, wherever that one's address belongs. */
export function receiveNd(port: KernelPort, bytes: Uint8Array): void {
  const { link, neighbours, clock } = port;
  const frame = decodeNd(bytes);
  if (typeof frame === 'string' || frame.source === link.mac) return;
  if (frame.destination !== link.mac && !isGroupMac(frame.destination)) return;
  const own = addressesOf(link);
  if (!isFor(frame.destinationIp, own)) return;
  if (frame.type === ICMPV6.neighbourAdvertisement) {
    hearAdvertisement(neighbours, frame);
    return;
  }
  if (frame.type !== ICMPV6.neighbourSolicitation || !own.includes(frame.targetIp)) return;
  hearSolicitation(neighbours, frame);
  const isDad = frame.sourceIp === IPV6_UNSPECIFIED;
  const to = isDad ? link.mac : neighbours.use(frame.sourceIp);
  if (to === undefined) return;
  clock.after(clock.between(...KERNEL_ANSWER_MS), () => port.transmit(answerTo(frame, link.mac, to, true)));
}

/** From the oldest link-local address: a router asks on behalf of others. Without one it asks nobody. */
export function askByNd(port: KernelPort, ip: Ipv6, mac: Mac | undefined): void {
  const source = addressesOf(port.link).find(isLinkLocal);
  if (source !== undefined) port.transmit(solicit({ mac: port.link.mac, ip: source }, ip, mac));
}

export function announceByNd(port: KernelPort, ip: Ipv6, mac: Mac): void {
  port.transmit(advertise(mac, ip, ALL_NODES, { isRouter: true, isOverride: true }));
}

function addressesOf({ addresses }: Link): Ipv6[] {
  return addresses.map(({ ip }) => ip).filter((ip: Ip): ip is Ipv6 => !isIpv4(ip));
}
