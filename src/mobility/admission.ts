import type { Ip, Mac } from '../wire/addresses.js';
import type { Brain } from './brain.js';
import type { EvidenceKind, IfIndex } from './events.js';
import type { Candidate, Host } from './host.js';
import type { Sighting } from './waiting.js';

/** Who may become a host: limits of MACs and interfaces, and the credit of newcomers that have not answered yet. */

/** A few at a time: an answer makes room for one, a new window of time for hundreds. */
const WAITING_PER_EVENT = 32;

/** Questions to new places that are open. */
export class Unanswered {
  private readonly macs = new Map<Mac, number>();
  private readonly newcomers = new Map<IfIndex, number>();
  private readonly once = new Map<IfIndex, number>();

  open(candidate: Candidate): void {
    const { mac, iface } = candidate.place;
    add(this.macs, mac, 1);
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, 1);
    if (!candidate.askedAgain) add(this.once, iface, 1);
  }

  close(candidate: Candidate): void {
    const { mac, iface } = candidate.place;
    add(this.macs, mac, -1);
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, -1);
    if (!candidate.askedAgain) add(this.once, iface, -1);
  }

  /** It was asked a second time. */
  askAgain(candidate: Candidate): void {
    if (candidate.askedAgain) return;
    candidate.askedAgain = true;
    if (isNewcomer(candidate)) add(this.once, candidate.place.iface, -1);
  }

  of(mac: Mac): number {
    return this.macs.get(mac) ?? 0;
  }

  /** Newcomers of an interface that have spoken, or probed for an address, and not answered yet. */
  newcomersOn(iface: IfIndex): number {
    return this.newcomers.get(iface) ?? 0;
  }

  /** Those of them that were asked once so far. */
  askedOnceOn(iface: IfIndex): number {
    return this.once.get(iface) ?? 0;
  }
}

/** Our own questions are not its doing: who was here before is asked by the thousand when a link comes up. */
function isNewcomer({ cause }: Candidate): boolean {
  return cause === 'sighting' || cause === 'probe-hint';
}

/** What is zero is not kept. */
function add<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const now = (counts.get(key) ?? 0) + by;
  if (now > 0) counts.set(key, now);
  else counts.delete(key);
}

/**
 * Whether limits let a newcomer, or a known host at a new place, take up our time: now, later (it waits until those before
 * it have answered; its `evidence` is kept) or not at all, which is reported.
 */
export function admit(
  brain: Brain,
  iface: IfIndex,
  ip: Ip,
  mac: Mac,
  evidence: EvidenceKind,
): 'now' | 'later' | 'never' {
  if (!mayBecomeHost(brain, iface, ip, mac)) return 'never';
  const { limits, waiting, now } = brain;
  const name = brain.topology.nameOf(iface) ?? '';
  if (waiting.has(iface, ip)) return 'later';
  if (!limits.takeNewcomer(name, now)) return refuseAndReport(brain, iface, ip, mac);
  if (brain.table.get(ip)?.place?.mac === mac) {
    // It does not have to stand in line with strangers.
    return hasCredit(brain, iface, true) ? 'now' : refuseAndReport(brain, iface, ip, mac);
  }
  if (waiting.countOn(iface) === 0 && hasCredit(brain, iface)) return 'now';
  // Who probes for an address says a second and a third time that it wants it.
  if (evidence === 'probe' || waiting.size >= brain.policy.limits.newcomerBurst)
    return refuseAndReport(brain, iface, ip, mac);
  waiting.add({ iface, ip, mac, evidence, at: now });
  if (crowd(brain, iface)) reportStorm(brain, iface, mac);
  return 'later';
}

function refuseAndReport(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): 'never' {
  brain.drop('newcomer-budget', iface, ip, mac);
  reportStorm(brain, iface, mac);
  crowd(brain, iface);
  return 'never';
}

function reportStorm(brain: Brain, iface: IfIndex, mac: Mac): void {
  const place = { iface, mac };
  brain.alarm('newcomer-storm', 'more newcomers than the budget of the interface', { place });
}

/** MACs with too many addresses and interfaces with too many hosts have no newcomers. */
function mayBecomeHost(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  if (isMacFull(brain, mac)) {
    brain.drop('mac-limit', iface, ip, mac);
    brain.alarm('mac-limit', 'one MAC uses more addresses than it may', { place: { iface, mac } });
    return false;
  }
  const known = brain.table.get(ip);
  if (hasRoom(brain, known, iface) && (known !== undefined || brain.table.size < brain.policy.limits.hosts))
    return true;
  brain.drop('host-limit', iface, ip, mac);
  return false;
}

/** Whether one more newcomer of the interface may be asked. */
function hasCredit(brain: Brain, iface: IfIndex, acquainted = false): boolean {
  const { limits, unanswered, topology, now } = brain;
  const name = topology.nameOf(iface) ?? '';
  return (
    unanswered.newcomersOn(iface) < limits.credit(name, now, acquainted) &&
    (acquainted || unanswered.askedOnceOn(iface) < limits.window(name))
  );
}

/** Whether the interface may bring one more newcomer at once; it is not queued. */
export function admitNewcomer(brain: Brain, iface: IfIndex): boolean {
  const { limits, topology, waiting, now } = brain;
  const name = topology.nameOf(iface) ?? '';
  if (waiting.countOn(iface) === 0 && hasCredit(brain, iface) && limits.takeNewcomer(name, now)) return true;
  crowd(brain, iface);
  return false;
}

/** Whether a newcomer that was admitted may be asked only now. */
export function mayStillAsk(brain: Brain, iface: IfIndex): boolean {
  if (hasCredit(brain, iface)) return true;
  crowd(brain, iface);
  return false;
}

/** One more newcomer than there is credit for. Returns whether that makes a storm: then nobody of it need come up to us. */
function crowd(brain: Brain, iface: IfIndex): boolean {
  const { limits, waiting, topology, now } = brain;
  const forMs = limits.noteCrowding(topology.nameOf(iface) ?? '', waiting.countOn(iface), now);
  if (forMs === 0) return false;
  brain.emit({ kind: 'refuse-newcomers', iface, forMs });
  waiting.dismiss(iface);
  return true;
}

/** Those that wait and for whom there is credit by now, some of them. */
export function* admitWaiting(brain: Brain): IterableIterator<Sighting> {
  const { waiting } = brain;
  for (const iface of waiting.ifaces()) {
    for (let left = WAITING_PER_EVENT; left > 0 && mayLeave(brain, iface); left--) {
      const dismissed = waiting.isDismissed(iface);
      const sighting = waiting.take(iface);
      if (sighting === undefined) break;
      const { ip, mac } = sighting;
      if (dismissed) brain.drop('newcomer-budget', iface, ip, mac);
      else if (mayBecomeHost(brain, iface, ip, mac)) yield sighting;
    }
  }
}

/** Whether there are some left, of those. */
export function isSomebodyNext(brain: Brain): boolean {
  for (const iface of brain.waiting.ifaces()) if (mayLeave(brain, iface)) return true;
  return false;
}

function mayLeave(brain: Brain, iface: IfIndex): boolean {
  return brain.waiting.isDismissed(iface) || (brain.waiting.countOn(iface) > 0 && hasCredit(brain, iface));
}

/** A newcomer of this interface has answered: there are real ones among them. */
export function noteProof(brain: Brain, iface: IfIndex, rttMs: number): void {
  brain.limits.noteProof(brain.topology.nameOf(iface) ?? '', rttMs);
}

/** A newcomer of this interface has not. */
export function noteSilence(brain: Brain, iface: IfIndex): void {
  brain.limits.noteSilence(brain.topology.nameOf(iface) ?? '');
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
