import { probeNow, sendRequest } from './questions.js';
import { type Ip, MAC_BROADCAST, type Mac, isGroupMac } from '../wire/addresses.js';
import { decodeIpv4 } from '../wire/ipv4.js';
import { admitNewcomer } from './admission.js';
import { answersFor } from './answer.js';
import { considerUnlessBarred } from './arrival.js';
import type { Brain } from './brain.js';
import { usable } from './classify.js';
import type { IfIndex } from './events.js';
import type { Host } from './host.js';

/**
 * A packet of a visitor to a MAC that is not ours: it still believes in a neighbour of the LAN that it left, and a
 * live-migrated guest, whose carrier never dropped, may do so for half a minute. It is told once that the destination
 * is at our MAC, by a unicast ARP request in the destination's name: RFC 826 lets the request overwrite its entry.
 *
 * A host that has come home is in the same trouble: it believes that its neighbours are where the router of its last
 * LAN was. They are not at our MAC, but on its own LAN. So the neighbour is asked where it is, and the host is told
 * what it answered: a request that is from us on the wire, with the neighbour's own pair in it. Nothing is said that
 * the neighbour has not just said itself, nobody hears it but the host, and what it thereby learns is STALE to it, to
 * be verified on use. Its answer goes to the neighbour and tells that one in turn where the host is.
 */
export function hearStray(brain: Brain, iface: IfIndex, bytes: Uint8Array): void {
  const packet = decodeIpv4(bytes);
  if (typeof packet === 'string') return;
  const { source, destination, sourceIp, destinationIp } = packet;
  if (isGroupMac(destination) || brain.topology.takesMac(iface, destination)) return;
  const host = brain.table.get(sourceIp);
  if (host?.claimed !== true || host.place === undefined || !host.isAt(iface, source)) return;
  if (answersFor(brain, iface, sourceIp, destinationIp)) {
    if (!brain.mayRepair(sourceIp, destinationIp)) return;
    sendRequest(brain, host.place, destinationIp, sourceIp, 'repair');
  } else if (host.returning) seek(brain, host, destinationIp, destination);
}

/** `seeker` is at home and sends to `wrong`, which it takes for the MAC of `ip`. */
function seek(brain: Brain, seeker: Host, ip: Ip, wrong: Mac): void {
  const { place } = seeker;
  if (place === undefined || ip === seeker.ip || !brain.topology.isHome(place.iface, ip)) return;
  const known = brain.table.get(ip);
  const here = known?.held === true && known.place?.iface === place.iface;
  if (here && known.place?.mac === wrong) return;
  if (usable(brain, ip, undefined) !== undefined || !brain.mayRepair(seeker.ip, ip)) return;
  if (known === undefined && !admitNewcomer(brain, place.iface)) return;
  const neighbour = known ?? brain.create(ip);
  neighbour.soughtBy ??= new Set();
  neighbour.soughtBy.add(seeker.ip);
  if (here) return probeNow(brain, neighbour);
  if (neighbour.candidate !== undefined) return;
  const mac = neighbour.place?.iface === place.iface ? neighbour.place.mac : undefined;
  const kernels = brain.neighbours.get(place.iface)?.get(ip);
  considerUnlessBarred(
    brain,
    neighbour,
    { iface: place.iface, mac: mac ?? kernels ?? MAC_BROADCAST },
    'sought',
  );
}
