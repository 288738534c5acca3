import { isGroupMac } from '../wire/addresses.js';
import { decodeIpv4 } from '../wire/ipv4.js';
import { answersFor } from './answer.js';
import type { Brain } from './brain.js';
import type { IfIndex } from './events.js';

/**
 * A packet of a visitor to a MAC that is not ours: it still believes in a neighbour of the LAN that it left, and a
 * live-migrated guest, whose carrier never dropped, may do so for half a minute. It is told once that the destination
 * is at our MAC, by a unicast ARP request in the destination's name: RFC 826 lets the request overwrite its entry.
 */
export function hearStray(brain: Brain, iface: IfIndex, bytes: Uint8Array): void {
  const packet = decodeIpv4(bytes);
  if (typeof packet === 'string') return;
  const { source, destination, sourceIp, destinationIp } = packet;
  if (isGroupMac(destination) || brain.topology.isOwnMac(destination)) return;
  const host = brain.table.get(sourceIp);
  if (host?.claimed !== true || host.place === undefined || !host.isAt(iface, source)) return;
  if (!answersFor(brain, iface, sourceIp, destinationIp)) return;
  if (!brain.mayRepair(sourceIp, destinationIp)) return;
  brain.sendRequest(host.place, destinationIp, sourceIp, 'repair');
}
