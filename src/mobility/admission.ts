import type { Ip, Mac } from '../wire/addresses.js';
import type { Brain } from './brain.js';
import type { IfIndex } from './events.js';
import type { Candidate, Host } from './host.js';

/** Who may become a host: limits of MACs and interfaces, and the credit of newcomers that have not answered yet. */

/** Questions to new places that are open. */
export class Unanswered {
  private readonly macs = new Map<Mac, number>();
  private readonly newcomers = new Map<IfIndex, number>();

  /** One was opened, or closed. */
  count({ place: { mac, iface }, cause }: Candidate, by: 1 | -1): void {
    add(this.macs, mac, by);
    // Our own questions are not its doing: who was here before is asked by the thousand when a link comes up.
    if (cause === 'sighting' || cause === 'probe-hint') add(this.newcomers, iface, by);
  }

  of(mac: Mac): number {
    return this.macs.get(mac) ?? 0;
  }

  /** Newcomers of an interface that have spoken, or probed for an address, and not answered yet. */
  newcomersOn(iface: IfIndex): number {
    return this.newcomers.get(iface) ?? 0;
  }
}

/** What is zero is not kept. */
function add<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now > 0) counts.set(key, now);
  else counts.delete(key);
}

/** Whether limits let a newcomer, or a known host at a new place, take up our time. Says why not. */
export function admit(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  const place = { iface, mac };
  if (isMacFull(brain, mac)) {
    brain.drop('mac-limit', iface, ip, mac);
    brain.alarm('mac-limit', 'one MAC uses more addresses than it may', { place });
    return false;
  }
  const known = brain.table.get(ip);
  if (
    !hasRoom(brain, known, iface) ||
    (known === undefined && brain.table.size >= brain.policy.limits.hosts)
  ) {
    brain.drop('host-limit', iface, ip, mac);
    return false;
  }
  if (!admitNewcomer(brain, iface, known?.place?.mac === mac)) {
    brain.drop('newcomer-budget', iface, ip, mac);
    brain.alarm('newcomer-storm', 'more newcomers than the budget of the interface', { place });
    return false;
  }
  return true;
}

/** Whether the interface may bring one more newcomer, or somebody known who comes from another place. */
export function admitNewcomer(brain: Brain, iface: IfIndex, acquainted = false): boolean {
  const { limits, unanswered, topology, now } = brain;
  const name = topology.nameOf(iface) ?? '';
  return (
    limits.admitNewcomer(name, unanswered.newcomersOn(iface), acquainted, now) || refuse(brain, iface, name)
  );
}

/** Whether a newcomer that was admitted may be asked only now. */
export function mayStillAsk(brain: Brain, iface: IfIndex): boolean {
  const { limits, unanswered, topology, now } = brain;
  const name = topology.nameOf(iface) ?? '';
  return unanswered.newcomersOn(iface) < limits.credit(name, now) || refuse(brain, iface, name);
}

function refuse(brain: Brain, iface: IfIndex, name: string): false {
  const forMs = brain.limits.noteRefusal(name, brain.now);
  if (forMs > 0) brain.emit({ kind: 'refuse-newcomers', iface, forMs });
  return false;
}

/** A newcomer of this interface has answered: there are real ones among them. */
export function noteProof(brain: Brain, iface: IfIndex): void {
  brain.limits.noteProof(brain.topology.nameOf(iface) ?? '');
}

/** Whether the interface may have one more host, or has this one already. */
export function hasRoom(brain: Brain, host: Host | undefined, iface: IfIndex): boolean {
  if (host?.place?.iface === iface) return true;
  return brain.table.countOn(iface) < (brain.topology.rule(iface)?.maxHosts ?? 0);
}

/** Whether this MAC already has all the addresses it may have, those being proven included. */
function isMacFull(brain: Brain, mac: Mac): boolean {
  const limit = brain.policy.limits.addressesPerMac;
  let count = brain.unanswered.of(mac);
  if (count >= limit) return true;
  for (const host of brain.table.withMac(mac)) {
    if (host.held && ++count >= limit) return true;
  }
  return false;
}
