import type { Action, IfIndex } from '../mobility/events.js';
import { describe, describeRoleChange } from '../observe/descriptions.js';
import { formatIp, formatMac } from '../wire/addresses.js';
import { ARP_REQUEST, decodeArp } from '../wire/arp.js';
import { ETHER_TYPE_ARP, ETHER_TYPE_RARP, decodeEthernet, etherTypeOf } from '../wire/ethernet.js';
import { decodeRarp } from '../wire/rarp.js';

/** What the tracker decided, in sentences: comments in capture files, lines of `marpctl explain`. */

export type Decision = Exclude<Action, { kind: 'send' }>;

export function describeDecision(action: Decision, nameOf: (iface: IfIndex) => string | undefined): string {
  const on = (iface: IfIndex) => nameOf(iface) ?? `if${iface}`;
  switch (action.kind) {
    case 'transition':
      return `${formatIp(action.ip)} ${describe(action, '')}`;
    case 'evidence':
      return `${action.ip === undefined ? '' : `${formatIp(action.ip)}: `}${describe(action, '')}`;
    case 'drop':
      return `${action.reason}: ${describe(action, on(action.iface))}`;
    case 'alarm':
      return `${action.ip === undefined ? '' : `${formatIp(action.ip)} `}${describe(action, '')}`;
    case 'answered':
      return `${formatIp(action.asker)}: ${describe(action, '')}`;
    case 'claim':
      return `route + ${formatIp(action.ip)} dev ${action.dev} (${action.age}), neighbour ${formatMac(action.mac)}`;
    case 'release':
      return `route - ${formatIp(action.ip)}`;
    case 'forget-neighbour':
      return `neighbour - ${formatIp(action.ip)} dev ${action.dev}`;
    case 'stuck-route-repair':
      return `route ${action.present ? '+' : '-'} ${formatIp(action.ip)} (repair of a stuck route)`;
    case 'watch-misdirected': {
      const what = `misdirected packets of ${formatMac(action.mac)} on ${on(action.iface)}`;
      return action.watch ? `watch ${what}` : `watch no more ${what}`;
    }
    case 'suppress-refreshes':
      return `announcements of ${formatIp(action.ip)} on ${on(action.iface)} are no news for ${action.forMs} ms`;
    case 'role':
      return describeRoleChange(action);
    case 'reply':
      return `command ${action.ok ? 'done' : 'refused'}: ${action.message}`;
  }
}

/** A change of the kernel's tables. */
export function isChangeOfKernel({ kind }: Action): boolean {
  return (
    kind === 'claim' || kind === 'release' || kind === 'forget-neighbour' || kind === 'stuck-route-repair'
  );
}

export function isNeighbourFrame(bytes: Uint8Array): boolean {
  const etherType = etherTypeOf(bytes);
  return etherType === ETHER_TYPE_ARP || etherType === ETHER_TYPE_RARP;
}

/** A frame as `tcpdump -n` prints it. */
export function describeFrame(bytes: Uint8Array, length: number): string {
  const ethernet = decodeEthernet(bytes);
  const rest = `, length ${Math.max(0, length - 14)}`;
  if (ethernet === undefined) return `[|ether]${rest}`;
  if (ethernet.etherType === ETHER_TYPE_ARP) {
    const arp = decodeArp(bytes);
    if (typeof arp === 'string') return `ARP, malformed (${arp})${rest}`;
    if (arp.opcode !== ARP_REQUEST)
      return `ARP, Reply ${formatIp(arp.senderIp)} is-at ${formatMac(arp.senderMac)}${rest}`;
    // As tcpdump does: a target MAC in a request is unusual, and said.
    const target = arp.targetMac === 0 ? '' : ` (${formatMac(arp.targetMac)})`;
    return `ARP, Request who-has ${formatIp(arp.targetIp)}${target} tell ${formatIp(arp.senderIp)}${rest}`;
  }
  const rarp = decodeRarp(bytes);
  if (typeof rarp !== 'string') return `Reverse ARP, who-is ${formatMac(rarp.senderMac)}${rest}`;
  return `ethertype 0x${ethernet.etherType.toString(16).padStart(4, '0')}${rest}`;
}
