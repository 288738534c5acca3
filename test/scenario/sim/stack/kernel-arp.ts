import {
  contains,
  type Ip,
  type Ipv4,
  isIpv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
} from '../../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp } from '../../../../src/wire/arp.js';
import type { Link } from '../../../../src/mobility/events.js';
import type { Clock } from '../clock.js';
import { arpFrame, hearArp } from './arp.js';
import type { Neighbours } from './neighbours.js';

/** An interface of a router's kernel, as its neighbour protocols see it. */
export interface KernelPort {
  readonly link: Link;
  readonly neighbours: Neighbours;
  readonly clock: Clock;
  transmit(bytes: Uint8Array): void;
  /** rp_filter. */
  acceptsSource(ip: Ip): boolean;
}

/** How long a kernel takes to answer. */
export const KERNEL_ANSWER_MS = [0.02, 0.05] as const;

/** The ARP of a Linux router. */
export function receiveArp(port: KernelPort, bytes: Uint8Array): void {
  const frame = decodeArp(bytes);
  const { link, neighbours, clock } = port;
  if (typeof frame === 'string') return;
  if (frame.destination !== link.mac && frame.destination !== MAC_BROADCAST) return;
  // arp_ignore=1: only addresses of the interface itself are answered for.
  const toUs = link.addresses.some((address) => address.ip === frame.targetIp);
  const accepted = frame.senderIp === 0 || port.acceptsSource(frame.senderIp);
  if (toUs && frame.opcode === ARP_REQUEST && accepted) {
    const self = { mac: link.mac, ip: frame.targetIp };
    const asker = { mac: frame.senderMac, ip: frame.senderIp };
    clock.after(clock.between(...KERNEL_ANSWER_MS), () =>
      port.transmit(encodeArp(arpFrame(ARP_REPLY, self, asker, frame.senderMac))),
    );
  }
  hearArp(neighbours, clock.now(), frame, toUs && accepted, frame.destination === link.mac);
}

export function askByArp(port: KernelPort, ip: Ipv4, mac: Mac | undefined): void {
  const addresses = port.link.addresses.filter((address) => isIpv4(address.ip));
  const source = addresses.find((address) => contains(address, ip)) ?? addresses[0];
  if (source === undefined) return;
  const self = { mac: port.link.mac, ip: source.ip as Ipv4 };
  const target = { mac: mac ?? MAC_ZERO, ip };
  port.transmit(encodeArp(arpFrame(ARP_REQUEST, self, target, mac ?? MAC_BROADCAST)));
}

/** Gratuitous ARP, with a MAC that may be another interface's. */
export function announceByArp(port: KernelPort, ip: Ipv4, mac: Mac): void {
  port.transmit(encodeArp(arpFrame(ARP_REQUEST, { mac, ip }, { mac: MAC_ZERO, ip }, MAC_BROADCAST)));
}
