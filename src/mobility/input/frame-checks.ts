import { isGroupMac, isIpv4 } from '../../wire/addresses.js';
import type { DropReason, IfIndex } from '../events.js';
import type { NeighbourMessage } from '../neighbour/message.js';
import type { Topology } from '../network/topology.js';

/** Why a frame tells of no host, whatever address it names: where it was captured, or who it says has sent it. */
export function frameRefusal(
  topology: Topology,
  iface: IfIndex,
  { source, mac, form, ip, target }: NeighbourMessage,
): DropReason | undefined {
  if (topology.isOwnMac(iface, source) || topology.isMobilityMac(source)) return 'own-frame';
  if (topology.rule(iface) === undefined) return 'not-mobility-interface';
  const link = topology.link(iface);
  if (link?.up !== true) return 'interface-down';
  // RARP has no family; what has one names an address, or is MLD's.
  const named = ip ?? target;
  const isIpv6 = named === undefined ? form !== undefined && form !== 'rarp' : !isIpv4(named);
  if (isIpv6 && link.hasIpv6 === false) return 'interface-down';
  if (mac === 0) return 'sender-mac-zero';
  if (isGroupMac(mac)) return 'sender-mac-group';
  if (mac !== source) return 'sender-mac-mismatch';
  return undefined;
}
