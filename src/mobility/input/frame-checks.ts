import { isGroupMac } from '../../wire/addresses.js';
import type { DropReason, IfIndex } from '../events.js';
import type { NeighbourMessage } from '../neighbour/message.js';
import type { Topology } from '../topology.js';

/** Why a frame tells of no host, whatever address it names: where it was captured, or who it says has sent it. */
export function frameRefusal(
  topology: Topology,
  iface: IfIndex,
  { source, mac }: NeighbourMessage,
): DropReason | undefined {
  if (topology.isOwnMac(iface, source) || topology.isMobilityMac(source)) return 'own-frame';
  if (topology.rule(iface) === undefined) return 'not-mobility-interface';
  if (topology.link(iface)?.up !== true) return 'interface-down';
  if (mac === 0) return 'sender-mac-zero';
  if (isGroupMac(mac)) return 'sender-mac-group';
  if (mac !== source) return 'sender-mac-mismatch';
  return undefined;
}
