import { type Ip, type Mac, formatIp, formatMac } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import type { UnusableReason } from '../policy.js';

/** Why a command is refused, and what to do about it. */

const NO_HOST = 'no host can have it; give the address of the guest';

/** Follows the address. */
const UNUSABLE: Readonly<Record<UnusableReason, string>> = {
  'sender-ip-unspecified': NO_HOST,
  'sender-ip-multicast': NO_HOST,
  'sender-ip-reserved': NO_HOST,
  'sender-ip-loopback': NO_HOST,
  'sender-ip-link-local': NO_HOST,
  'sender-ip-subnet-edge': `it is the network or broadcast address of a subnet; give the address of the guest`,
  'sender-ip-gateway': 'it is the gateway of a [[subnet]]; give the address of the guest',
  'sender-ip-local': 'it is an address of this router; give the address of the guest',
  'sender-ip-next-hop': 'it is the next hop of a route (ip route); give the address of the guest',
  'sender-ip-peer':
    'it is another first-hop router (peers of the [[interface]]); give the address of the guest',
  'sender-ip-other-lan':
    'it belongs to the subnet of an interface that is not a mobility interface; add an [[interface]] for that one if its hosts may move',
  'not-allowed':
    'it is not in an allowed prefix; add its prefix to policy.allow (or, if there is no such list, as a [[subnet]]) and reload',
  denied:
    'it is in a denied prefix; remove the prefix from policy.deny if the guest may have the address, and reload',
  'mac-not-bound': 'policy.bind binds it to another MAC; correct the binding and reload, or give that MAC',
};

export function unusableAddress(ip: Ip, reason: UnusableReason): string {
  return `${formatIp(ip)} is refused: ${UNUSABLE[reason]}`;
}

/** Why an interface can have no guests, or not now. */
export function interfaceUnusable(ctx: TrackerContext, name: string, mustBeUp: boolean): string | undefined {
  const { topology, policy } = ctx;
  const link = topology.linkNamed(name);
  if (link === undefined) {
    return `no such interface: ${name} (ip link lists those that exist)`;
  }
  if (topology.rule(link.index) === undefined) {
    const master = link.master === undefined ? undefined : topology.nameOf(link.master);
    if (master !== undefined)
      return `not a mobility interface: ${name} is a port of ${master}; use ${master}`;
    const patterns = policy.interfaces.map(({ pattern }) => pattern).join(', ');
    return `not a mobility interface: no [[interface]] matches ${name} (configured: ${patterns}); add one and reload, or use another`;
  }
  if (!mustBeUp || topology.isUsable(link.index)) return undefined;
  if (!link.up) return `not up: ${name}; run "ip link set ${name} up" and try again`;
  return `not up: ${name} has no carrier, so the guest is not running yet; use prepare, which needs no carrier`;
}

export function interfaceFull(ctx: TrackerContext, iface: IfIndex): string {
  const max = ctx.topology.rule(iface)?.maxHosts;
  return `host limit reached on ${ctx.topology.nameOf(iface)} (max_hosts = ${max}): raise it, or detach a host`;
}

export function tableFull(ctx: TrackerContext): string {
  return `host limit reached (policy.limits.max_hosts = ${ctx.policy.limits.hosts}): raise it and reload`;
}

export function unknownHost(ip: Ip): string {
  const text = formatIp(ip);
  return `no such host: ${text} was never heard here, or is forgotten ("marpctl why ${text}" lists refused frames)`;
}

/** Nobody can be asked where it was last. */
export function noLastInterface(ip: Ip, last: string | undefined): string {
  if (last === undefined)
    return `${formatIp(ip)} was never heard on an interface of this router: there is nowhere to probe`;
  return `${formatIp(ip)} cannot be probed: its last interface ${last} is not up; it is probed when that comes up`;
}

export function unknownMac(ip: Ip): string {
  return `the MAC of ${formatIp(ip)} is not known; give it (mac)`;
}

export function noAddresses(mac: Mac | undefined): string {
  const whose = mac === undefined ? 'the guest' : formatMac(mac);
  return `no address given, and none is known of ${whose}; give its addresses (ip)`;
}

export function notAHostMac(mac: Mac): string {
  return `${formatMac(mac)} is zero or a group address; give the MAC of the guest's network card`;
}

export function ownMac(mac: Mac): string {
  return `${formatMac(mac)} is a MAC of this router; give the MAC of the card inside the guest, not of its tap`;
}
