import type { Action, IfIndex } from '../mobility/events.js';
import { describe, describeRoleChange } from '../observe/descriptions.js';
import { formatIp, formatMac } from '../wire/addresses.js';

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
