import { type Ip, type Mac, formatIp, formatMac } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { IfIndex } from '../events.js';
import type { UnusableReason } from '../policy.js';

/** Why a command is refused, and what to do about it: sentences for whoever gave it. */

const NO_HOST = 'no host can have it: give the address of the guest';

/** Follows the address. */
const UNUSABLE: Readonly<Record<UnusableReason, string>> = {
  'sender-ip-unspecified': NO_HOST,
  'sender-ip-multicast': NO_HOST,
  'sender-ip-reserved': NO_HOST,
  'sender-ip-loopback': NO_HOST,
  'sender-ip-subnet-edge': `it is the network or broadcast address of a subnet, ${NO_HOST}`,
  'sender-ip-gateway':
    'it is a configured gateway (a [[subnet]]), not a guest: give the address of the guest',
  'sender-ip-local': 'it is an address of this router itself: give the address of the guest',
  'sender-ip-next-hop':
    'it is a router that a route leads to (ip route), and routers do not move: give the address of the guest',
  'sender-ip-other-lan':
    'it belongs to the subnet of an interface that is no mobility interface: add an [[interface]] for that one, if its hosts may move',
  'not-allowed':
    'it is in no allowed prefix: add its prefix to policy.allow or, without such a list, as a [[subnet]], and reload',
  denied: 'it is in a denied prefix: take that out of policy.deny, if the guest may have it, and reload',
  'mac-not-bound':
    'policy.bind has another MAC for it: correct the binding and reload, or give the MAC that it is bound to',
};

export function unusableAddress(ip: Ip, reason: UnusableReason): string {
  return `${formatIp(ip)} is refused: ${UNUSABLE[reason]}`;
}

/** Why an interface can have no guests, or not now. */
export function unfitInterface(ctx: TrackerContext, name: string, mustBeUp: boolean): string | undefined {
  const { topology, policy } = ctx;
  const link = topology.linkNamed(name);
  if (link === undefined) {
    return `no such interface: ${name}; it has to exist before this, and "ip link" shows those that do`;
  }
  if (topology.rule(link.index) === undefined) {
    const master = link.master === undefined ? undefined : topology.nameOf(link.master);
    if (master !== undefined)
      return `not a mobility interface: ${name} is a port of ${master}; name ${master}`;
    const patterns = policy.interfaces.map(({ pattern }) => pattern).join(', ');
    return `not a mobility interface: ${name} is named by no [[interface]] (${patterns}); add one and reload, or name another`;
  }
  if (!mustBeUp || topology.isUsable(link.index)) return undefined;
  if (!link.up) return `not up: ${name}; "ip link set ${name} up", and again`;
  return `not up: ${name} has no carrier, so the guest does not run there yet; prepare needs none`;
}

export function interfaceFull(ctx: TrackerContext, iface: IfIndex): string {
  const max = ctx.topology.rule(iface)?.maxHosts;
  return `${ctx.topology.nameOf(iface)} has all the hosts it may have: raise max_hosts (${max}) of its [[interface]], or detach one`;
}

export function tableFull(ctx: TrackerContext): string {
  return `the table of hosts is full: raise policy.limits.max_hosts (${ctx.policy.limits.hosts}) and reload`;
}

export function unknownHost(ip: Ip): string {
  const text = formatIp(ip);
  return `no such host: ${text}; it was never heard here, or forgotten ("marpctl why ${text}" tells of refused frames)`;
}

/** Nobody can be asked where it was last. */
export function unaskable(ip: Ip, last: string | undefined): string {
  if (last === undefined)
    return `${formatIp(ip)} was never heard on an interface of this router: nobody to ask`;
  return `its last interface is not up: ${formatIp(ip)} was on ${last}, and is asked by itself when that returns`;
}

export function unknownMac(ip: Ip): string {
  return `the MAC of ${formatIp(ip)} is not known: give it (mac)`;
}

export function noAddresses(mac: Mac | undefined): string {
  const whose = mac === undefined ? 'the guest' : formatMac(mac);
  return `no address is given, and none is known of ${whose}: give its addresses (ip)`;
}

export function hostless(mac: Mac): string {
  return `${formatMac(mac)} is zero or a group address, no host has it: give the MAC of the guest's card`;
}

export function ownMac(mac: Mac): string {
  return `${formatMac(mac)} is a MAC of this router itself: give that of the card in the guest, not of its tap`;
}
