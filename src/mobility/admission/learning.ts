import {
  type Ip,
  type Mac,
  isIpv4Mapped,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
  isOfOneLink,
} from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import { type UnusableReason, policyRefusal } from '../policy.js';

/**
 * Why this address may not be learned on an interface, with this MAC or (undefined) with any; undefined when it may. Only
 * the class of the address and the policy count here; how many newcomers there may be is admit()'s to decide.
 *
 * A next hop is a router that we forward to, not a host. But a host may become one: a guest that speaks BGP, a node of a
 * cluster. So this counts only against an address that was never found anywhere, and whose route leaves elsewhere.
 */
export function learningRefusal(
  { topology, fib, policy, table }: Pick<TrackerContext, 'topology' | 'fib' | 'policy' | 'table'>,
  iface: IfIndex,
  ip: Ip,
  mac: Mac | undefined,
): UnusableReason | undefined {
  if (isUnspecified(ip)) return 'sender-ip-unspecified';
  if (isMulticast(ip)) return 'sender-ip-multicast';
  if (isReserved(ip) || isIpv4Mapped(ip)) return 'sender-ip-reserved';
  if (isLoopback(ip)) return 'sender-ip-loopback';
  if (topology.isGateway(ip)) return 'sender-ip-gateway';
  if (topology.isLocal(ip) || (isOfOneLink(ip) && topology.isLocalOn(ip, iface))) return 'sender-ip-local';
  if (topology.isPeer(iface, ip)) return 'sender-ip-peer';
  if (isOfOneLink(ip)) return 'sender-ip-link-local';
  if (topology.subnets.isEdge(ip)) return 'sender-ip-subnet-edge';
  if (
    fib.isNextHopElsewhere(ip, iface, (by) => topology.lanOf(by)) &&
    table.get(ip)?.attachment === undefined
  )
    return 'sender-ip-next-hop';
  if (topology.subnets.isOnOtherLan(ip)) return 'sender-ip-other-lan';
  return policyRefusal(policy, topology.subnets.defaultAllow, ip, mac);
}
