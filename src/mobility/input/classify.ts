import {
  type Ip,
  type Mac,
  isGroupMac,
  isLoopback,
  isMulticast,
  isReserved,
  isUnspecified,
} from '../../wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame, type Malformed, decodeArp } from '../../wire/arp.js';
import { ETHER_TYPE_RARP, etherTypeOf } from '../../wire/ethernet.js';
import { decodeRarp } from '../../wire/rarp.js';
import type { DropReason, IfIndex } from '../events.js';
import type { Fib } from '../fib.js';
import { type Policy, type UnusableReason, policyRefusal } from '../policy.js';
import type { Topology } from '../topology.js';

/** What a frame says about a host (the table of design.md 3.1). */
export type Evidence =
  | {
      readonly kind: 'request' | 'reply' | 'gratuitous';
      readonly ip: Ip;
      readonly mac: Mac;
      readonly frame: ArpFrame;
    }
  /** RFC 5227 probe: `mac` wants `ip`. */
  | { readonly kind: 'probe'; readonly ip: Ip; readonly mac: Mac }
  | { readonly kind: 'rarp'; readonly mac: Mac };

export interface Drop {
  readonly kind: 'drop';
  readonly reason: DropReason;
  readonly ip: Ip | undefined;
  readonly mac: Mac | undefined;
}

/** What the classifier must know about the box. `otherRouters` are MACs that once claimed a gateway address. */
export interface ClassifierContext {
  readonly policy: Policy;
  readonly topology: Topology;
  readonly fib: Fib;
  readonly otherRouters: ReadonlyMap<Mac, Ip>;
}

function drop(reason: DropReason, ip?: Ip, mac?: Mac): Drop {
  return { kind: 'drop', reason, ip, mac };
}

/** A captured frame as evidence, or the reason why it is none. Never throws, whatever the bytes. */
export function classify(around: ClassifierContext, iface: IfIndex, bytes: Uint8Array): Evidence | Drop {
  const isRarp = etherTypeOf(bytes) === ETHER_TYPE_RARP;
  const decoded: { source: Mac; senderMac: Mac } | Malformed = isRarp ? decodeRarp(bytes) : decodeArp(bytes);
  if (typeof decoded === 'string') return drop(decoded);
  const { source, senderMac: mac } = decoded;
  const { topology } = around;
  const frame = isRarp ? undefined : (decoded as ArpFrame);
  const ip = frame?.senderIp;

  if (topology.isOwnMac(source)) return drop('own-frame', ip, mac);
  if (topology.rule(iface) === undefined) return drop('not-mobility-interface', ip, mac);
  if (topology.link(iface)?.up !== true) return drop('interface-down', ip, mac);
  if (mac === 0) return drop('sender-mac-zero', ip, mac);
  if (isGroupMac(mac)) return drop('sender-mac-group', ip, mac);
  if (mac !== source) return drop('sender-mac-mismatch', ip, mac);

  if (frame === undefined || ip === undefined) {
    return around.otherRouters.has(mac) ? drop('other-router', undefined, mac) : { kind: 'rarp', mac };
  }
  if (topology.isGateway(ip)) return drop('sender-ip-gateway', ip, mac);
  if (around.otherRouters.has(mac)) return drop('other-router', ip, mac);
  if (isUnspecified(ip)) {
    // A reply from nobody is noise; a request from nobody is RFC 5227 section 2.1.1.
    if (frame.opcode === ARP_REPLY) return drop('sender-ip-unspecified', undefined, mac);
    const wanted = unusableReason(around, frame.targetIp, mac);
    return wanted === undefined
      ? { kind: 'probe', ip: frame.targetIp, mac }
      : drop(wanted, frame.targetIp, mac);
  }
  const unusable = unusableReason(around, ip, mac);
  if (unusable !== undefined) return drop(unusable, ip, mac);
  if (ip === frame.targetIp) return { kind: 'gratuitous', ip, mac, frame };
  return { kind: frame.opcode === ARP_REQUEST ? 'request' : 'reply', ip, mac, frame };
}

/** Why an address can be no mobile host's, or undefined. */
export function unusableReason(
  around: ClassifierContext,
  ip: Ip,
  mac: Mac | undefined,
): UnusableReason | undefined {
  const { topology } = around;
  if (isUnspecified(ip)) return 'sender-ip-unspecified';
  if (isMulticast(ip)) return 'sender-ip-multicast';
  if (isReserved(ip)) return 'sender-ip-reserved';
  if (isLoopback(ip)) return 'sender-ip-loopback';
  if (topology.isGateway(ip)) return 'sender-ip-gateway';
  if (topology.isLocal(ip)) return 'sender-ip-local';
  if (topology.isEdge(ip)) return 'sender-ip-subnet-edge';
  if (around.fib.isNextHop(ip)) return 'sender-ip-next-hop';
  if (topology.isOnOtherLan(ip)) return 'sender-ip-other-lan';
  return policyRefusal(around.policy, topology.defaultAllow, ip, mac);
}
