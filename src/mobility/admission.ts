import type { Ip, Mac } from '../wire/addresses.js';
import type { Brain } from './brain.js';
import type { EvidenceKind, IfIndex } from './events.js';
import type { Candidate, Host } from './host.js';
import type { Newcomers } from './newcomers.js';
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
export function isNewcomer({ cause }: Candidate): boolean {
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
  const { waiting, now } = brain;
  const newcomers = newcomersOf(brain, iface);
  if (brain.table.get(ip)?.place?.mac === mac) {
    // It neither stands in line with strangers nor lives on their budget.
    return brain.unanswered.newcomersOn(iface) < newcomers.mostCredit ? 'now' : refuse(brain, iface, ip, mac);
  }
  if (waiting.has(iface, ip)) {
    noteCrowd(brain, iface, mac);
    return 'later';
  }
  // Who probes for an address says a second and a third time that it wants it: it does not wait.
  const probes = evidence === 'probe';
  const atOnce = probes ? hasCredit(brain, iface) : waiting.countOn(iface) === 0 && hasTime(brain, iface);
  if (!atOnce && (probes || waiting.isFull(iface, brain.policy.limits.newcomerBurst)))
    return refuse(brain, iface, ip, mac);
  if (!newcomers.take(now)) return refuse(brain, iface, ip, mac);
  if (atOnce) return 'now';
  waiting.add({ iface, ip, mac, evidence, at: now });
  noteCrowd(brain, iface, mac);
  return 'later';
}

function newcomersOf({ limits, topology, now }: Brain, iface: IfIndex): Newcomers {
  return limits.newcomersOf(topology.nameOf(iface) ?? '', now);
}

function refuse(brain: Brain, iface: IfIndex, ip: Ip, mac: Mac): 'never' {
  brain.drop('newcomer-budget', iface, ip, mac);
  reportStorm(brain, iface, mac);
  noteRefusal(brain, iface);
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
function hasCredit(brain: Brain, iface: IfIndex): boolean {
  return brain.unanswered.newcomersOn(iface) < newcomersOf(brain, iface).credit;
}

/** Whether it should be asked now, if it could wait as well. */
function hasTime(brain: Brain, iface: IfIndex): boolean {
  return hasCredit(brain, iface) && brain.unanswered.askedOnceOn(iface) < newcomersOf(brain, iface).once;
}

/** Whether the interface may bring one more newcomer, which cannot wait. */
export function admitNewcomer(brain: Brain, iface: IfIndex): boolean {
  if (hasCredit(brain, iface) && newcomersOf(brain, iface).take(brain.now)) return true;
  noteRefusal(brain, iface);
  return false;
}

/** Whether a newcomer that was admitted may be asked only now. */
export function mayStillAsk(brain: Brain, iface: IfIndex): boolean {
  if (hasCredit(brain, iface)) return true;
  noteRefusal(brain, iface);
  return false;
}

function noteRefusal(brain: Brain, iface: IfIndex): void {
  weather(brain, iface, newcomersOf(brain, iface).refuse(brain.now));
}

/** One more newcomer than there is time for. */
function noteCrowd(brain: Brain, iface: IfIndex, mac: Mac): void {
  const { waiting, now } = brain;
  const forMs = newcomersOf(brain, iface).crowd(waiting.countOn(iface), waiting.waitedOn(iface, now), now);
  if (forMs > 0) reportStorm(brain, iface, mac);
  weather(brain, iface, forMs);
}

/** In a storm nobody of it need come up to us for a while, and who waits need not be asked. */
function weather(brain: Brain, iface: IfIndex, forMs: number): void {
  if (forMs === 0) return;
  brain.emit({ kind: 'refuse-newcomers', iface, forMs });
  brain.waiting.dismiss(iface);
}

/** Those that wait and for whom there is time by now, some of them. */
export function* admitWaiting(brain: Brain): IterableIterator<Sighting> {
  const { waiting } = brain;
  for (let left = WAITING_PER_EVENT; left > 0 && waiting.hasDismissed; left--) {
    const { iface, ip, mac } = waiting.takeDismissed() as Sighting;
    brain.drop('newcomer-budget', iface, ip, mac);
  }
  for (const iface of waiting.ifaces()) {
    for (let left = WAITING_PER_EVENT; left > 0 && isNext(brain, iface); left--) {
      const sighting = waiting.take(iface) as Sighting;
      if (mayBecomeHost(brain, iface, sighting.ip, sighting.mac)) yield sighting;
    }
  }
}

/** Whether there is more to do of that at once. */
export function isSomebodyNext(brain: Brain): boolean {
  if (brain.waiting.hasDismissed) return true;
  for (const iface of brain.waiting.ifaces()) if (isNext(brain, iface)) return true;
  return false;
}

function isNext(brain: Brain, iface: IfIndex): boolean {
  return brain.waiting.countOn(iface) > 0 && brain.topology.isListening(iface) && hasTime(brain, iface);
}

/** The newcomer of a question has answered, so many milliseconds after it was first asked. */
export function noteProof(brain: Brain, iface: IfIndex, rttMs: number): void {
  newcomersOf(brain, iface).noteProof(rttMs);
}

/** It has not, although we could have heard it. */
export function noteSilence(brain: Brain, candidate: Candidate): void {
  const { iface } = candidate.place;
  if (isNewcomer(candidate) && brain.topology.isListening(iface)) newcomersOf(brain, iface).noteSilence();
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
