import {
  type Ip,
  type Mac,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
} from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import { type UnusableReason, policyRefusal } from '../policy.js';

/**
 * Why this address may not be learned, with this MAC or (undefined) with any; undefined when it may. Only the class of
 * the address and the policy count here; how many newcomers there may be is admit()'s to decide.
 */
export function learningRefusal(
  { topology, fib, policy }: Pick<TrackerContext, 'topology' | 'fib' | 'policy'>,
  ip: Ip,
  mac: Mac | undefined,
): UnusableReason | undefined {
  if (isUnspecified(ip)) return 'sender-ip-unspecified';
  if (isMulticast(ip)) return 'sender-ip-multicast';
  if (isReserved(ip)) return 'sender-ip-reserved';
  if (isLoopback(ip)) return 'sender-ip-loopback';
  if (topology.isGateway(ip)) return 'sender-ip-gateway';
  if (topology.isLocal(ip)) return 'sender-ip-local';
  if (topology.isEdge(ip)) return 'sender-ip-subnet-edge';
  if (fib.isNextHop(ip)) return 'sender-ip-next-hop';
  if (topology.isOnOtherLan(ip)) return 'sender-ip-other-lan';
  return policyRefusal(policy, topology.defaultAllow, ip, mac);
}
