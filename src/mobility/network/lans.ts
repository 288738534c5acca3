import type { IfIndex, Link } from '../events.js';
import { type InterfaceRule, type Policy, ruleFor } from '../policy.js';

/** Which interfaces are mobility interfaces, and which macvlans are part of the LAN of one, by interface index. */
export interface Lans {
  readonly rules: ReadonlyMap<IfIndex, InterfaceRule>;
  readonly lowers: ReadonlyMap<IfIndex, IfIndex>;
}

export function findLans(links: ReadonlyMap<IfIndex, Link>, policy: Policy): Lans {
  const rules = new Map<IfIndex, InterfaceRule>();
  const lowers = new Map<IfIndex, IfIndex>();
  // An interface with a master is never a mobility interface: its bridge is (design.md 3.2).
  const ruleOf = ({ master, name }: Link) => (master === undefined ? ruleFor(policy, name) : undefined);
  for (const link of links.values()) {
    const lower = link.type === 'macvlan' && link.lower !== undefined ? links.get(link.lower) : undefined;
    // One that is down without an address is being made for a container: in a moment it is in another namespace.
    const isInUse = link.up || link.addresses.length > 0;
    if (isInUse && lower !== undefined && ruleOf(lower) !== undefined) lowers.set(link.index, lower.index);
    else {
      const rule = ruleOf(link);
      if (rule !== undefined) rules.set(link.index, rule);
    }
  }
  return { rules, lowers };
}
