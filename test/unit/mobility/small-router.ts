import { parseConfig } from '../../../src/config/config.js';
import type { Action, IfIndex, Link } from '../../../src/mobility/events.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import {
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  type Prefix,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp } from '../../../src/wire/arp.js';

/** A router with two LANs, an uplink and a default route, as the tracker sees it. */

export const LAN0 = 10;
export const LAN1 = 11;
export const HOST_MAC = 0x02000a010105 as Mac;

export const ip = (text: string) => parseIp(text) as Ipv4;
export const macOf = (index: IfIndex) => (0x020000000000 + index) as Mac;

export function link(
  index: IfIndex,
  name: string,
  addresses: readonly string[],
  change: Partial<Link> = {},
): Link {
  return {
    index,
    name,
    mac: macOf(index),
    up: true,
    carrier: true,
    master: undefined,
    type: 'veth',
    addresses: addresses.map((text) => parsePrefix(text) as Prefix),
    rpFilter: 1,
    ...change,
  };
}

/** `config` stands behind `[[interface]] name = "lan*"`. */
export function makeRouter(config = ''): HostTracker {
  const tracker = new HostTracker(parseConfig(`[[interface]]\nname = "lan*"\n${config}`).policy);
  const links = [
    link(1, 'lo', ['127.0.0.1/8']),
    link(2, 'wan', ['192.0.2.1/24']),
    link(LAN0, 'lan0', ['10.1.1.1/24']),
    link(LAN1, 'lan1', ['10.2.2.1/24']),
  ];
  for (const one of links) tracker.handle({ kind: 'link', link: one }, 0);
  for (const iface of [LAN0, LAN1]) tracker.handle({ kind: 'capture', iface, open: true }, 0);
  const route = {
    prefix: { ip: 0 as Ipv4, length: 0 },
    table: 254,
    protocol: 3,
    metric: 0,
    type: 'unicast',
    iface: 2,
    via: ip('192.0.2.2'),
  } as const;
  tracker.handle({ kind: 'route', change: 'add', route, initial: true }, 0);
  return tracker;
}

/** What follows from a broadcast ARP request of `asker` for `target`, heard on `iface`. */
export function request(
  tracker: HostTracker,
  iface: IfIndex,
  asker: string,
  target: string,
  mac = HOST_MAC,
  now = 1000,
): readonly Action[] {
  const bytes = encodeArp({
    destination: MAC_BROADCAST,
    source: mac,
    opcode: ARP_REQUEST,
    senderMac: mac,
    senderIp: ip(asker),
    targetMac: MAC_ZERO,
    targetIp: ip(target),
  });
  return tracker.handle({ kind: 'frame', iface, bytes }, now);
}

/** What follows from a unicast ARP reply of `sender` to `target`, heard on `iface`. */
export function reply(
  tracker: HostTracker,
  iface: IfIndex,
  sender: string,
  target: string,
  now = 1010,
  mac = HOST_MAC,
): readonly Action[] {
  const addresses = {
    destination: macOf(iface),
    source: mac,
    senderMac: mac,
    targetMac: macOf(iface),
  };
  const packet = { opcode: ARP_REPLY, senderIp: ip(sender), targetIp: ip(target) } as const;
  return tracker.handle({ kind: 'frame', iface, bytes: encodeArp({ ...addresses, ...packet }) }, now);
}
