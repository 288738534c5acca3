import type { Ip, Mac } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { EvidenceKind, IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import type { Candidate } from '../host/proof.js';
import type { AdmissionWindow } from './window.js';
import type { Sighting } from './queue.js';

/** Who may become a host: limits of MACs and interfaces, and the credit of newcomers that have not answered yet. */

/** A few at a time: an answer makes room for one, a new window of time for hundreds. */
const WAITING_PER_EVENT = 32;

/** Questions to new places that are open. */
export class OutstandingProofs {
  private readonly macs = new Map<Mac, number>();
  private readonly newcomers = new Map<IfIndex, number>();
  private readonly once = new Map<IfIndex, number>();

  open(candidate: Candidate): void {
    const { mac, iface } = candidate.attachment;
    add(this.macs, mac, 1);
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, 1);
    if (!candidate.repeated) add(this.once, iface, 1);
  }

  close(candidate: Candidate): void {
    const { mac, iface } = candidate.attachment;
    add(this.macs, mac, -1);
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, -1);
    if (!candidate.repeated) add(this.once, iface, -1);
  }

  /** The second try is sent; `candidate` is as it was before. */
  repeated(candidate: Candidate): void {
    if (isNewcomer(candidate)) add(this.once, candidate.attachment.iface, -1);
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
  ctx: TrackerContext,
  iface: IfIndex,
  ip: Ip,
  mac: Mac,
  evidence: EvidenceKind,
): 'now' | 'later' | 'never' {
  if (!mayBecomeHost(ctx, iface, ip, mac)) return 'never';
  const { waiting, now } = ctx;
  const newcomers = newcomersOf(ctx, iface);
  if (ctx.table.get(ip)?.attachment?.mac === mac) {
    // It neither stands in line with strangers nor lives on their budget.
    return ctx.unanswered.newcomersOn(iface) < newcomers.mostCredit ? 'now' : refuse(ctx, iface, ip, mac);
  }
  if (waiting.has(iface, ip)) {
    noteCrowd(ctx, iface, mac);
    return 'later';
  }
  // Who probes for an address says a second and a third time that it wants it: it does not wait.
  const probes = evidence === 'probe';
  const atOnce = probes ? hasCredit(ctx, iface) : waiting.countOn(iface) === 0 && hasTime(ctx, iface);
  if (!atOnce && (probes || waiting.isFull(iface, ctx.policy.limits.newcomerBurst)))
    return refuse(ctx, iface, ip, mac);
  if (!newcomers.take(now)) return refuse(ctx, iface, ip, mac);
  if (atOnce) return 'now';
  waiting.add({ iface, ip, mac, evidence, at: now });
  noteCrowd(ctx, iface, mac);
  return 'later';
}

function newcomersOf({ limits, topology, now }: TrackerContext, iface: IfIndex): AdmissionWindow {
  return limits.newcomersOf(topology.nameOf(iface) ?? '', now);
}

function refuse(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): 'never' {
  ctx.drop('newcomer-budget', iface, ip, mac);
  reportStorm(ctx, iface, mac);
  noteRefusal(ctx, iface);
  return 'never';
}

function reportStorm(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  const place = { iface, mac };
  ctx.alarm('newcomer-storm', 'more newcomers than the budget of the interface', { place });
}

/** MACs with too many addresses and interfaces with too many hosts have no newcomers. */
function mayBecomeHost(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  if (isMacFull(ctx, mac)) {
    ctx.drop('mac-limit', iface, ip, mac);
    ctx.alarm('mac-limit', 'one MAC uses more addresses than it may', { place: { iface, mac } });
    return false;
  }
  const known = ctx.table.get(ip);
  if (hasCapacity(ctx, known, iface) && (known !== undefined || ctx.table.size < ctx.policy.limits.hosts))
    return true;
  ctx.drop('host-limit', iface, ip, mac);
  return false;
}

/** Whether one more newcomer of the interface may be asked. */
function hasCredit(ctx: TrackerContext, iface: IfIndex): boolean {
  return ctx.unanswered.newcomersOn(iface) < newcomersOf(ctx, iface).credit;
}

/** Whether it should be asked now, if it could wait as well. */
function hasTime(ctx: TrackerContext, iface: IfIndex): boolean {
  return hasCredit(ctx, iface) && ctx.unanswered.askedOnceOn(iface) < newcomersOf(ctx, iface).once;
}

/** Whether the interface may bring one more newcomer, which cannot wait. */
export function admitNewcomer(ctx: TrackerContext, iface: IfIndex): boolean {
  if (hasCredit(ctx, iface) && newcomersOf(ctx, iface).take(ctx.now)) return true;
  noteRefusal(ctx, iface);
  return false;
}

/** Whether a newcomer that was admitted may be asked only now. */
export function mayStillAsk(ctx: TrackerContext, iface: IfIndex): boolean {
  if (hasCredit(ctx, iface)) return true;
  noteRefusal(ctx, iface);
  return false;
}

function noteRefusal(ctx: TrackerContext, iface: IfIndex): void {
  weather(ctx, iface, newcomersOf(ctx, iface).refuse(ctx.now));
}

/** One more newcomer than there is time for. */
function noteCrowd(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  const { waiting, now } = ctx;
  const forMs = newcomersOf(ctx, iface).crowd(waiting.countOn(iface), waiting.waitedOn(iface, now), now);
  if (forMs > 0) reportStorm(ctx, iface, mac);
  weather(ctx, iface, forMs);
}

/** In a storm nobody of it need come up to us for a while, and who waits need not be asked. */
function weather(ctx: TrackerContext, iface: IfIndex, forMs: number): void {
  if (forMs === 0) return;
  ctx.emit({ kind: 'refuse-newcomers', iface, forMs });
  ctx.waiting.dismiss(iface);
}

/** Those that wait and for whom there is time by now, some of them. */
export function* admitWaiting(ctx: TrackerContext): IterableIterator<Sighting> {
  const { waiting } = ctx;
  for (let left = WAITING_PER_EVENT; left > 0 && waiting.hasDismissed; left--) {
    const { iface, ip, mac } = waiting.takeDismissed() as Sighting;
    ctx.drop('newcomer-budget', iface, ip, mac);
  }
  for (const iface of waiting.ifaces()) {
    for (let left = WAITING_PER_EVENT; left > 0 && isNext(ctx, iface); left--) {
      const sighting = waiting.take(iface) as Sighting;
      if (mayBecomeHost(ctx, iface, sighting.ip, sighting.mac)) yield sighting;
    }
  }
}

/** Whether there is more to do of that at once. */
export function isSomebodyNext(ctx: TrackerContext): boolean {
  if (ctx.waiting.hasDismissed) return true;
  for (const iface of ctx.waiting.ifaces()) if (isNext(ctx, iface)) return true;
  return false;
}

function isNext(ctx: TrackerContext, iface: IfIndex): boolean {
  return ctx.waiting.countOn(iface) > 0 && ctx.topology.isListening(iface) && hasTime(ctx, iface);
}

/** The newcomer of a question has answered, so many milliseconds after it was first asked. */
export function noteProof(ctx: TrackerContext, iface: IfIndex, rttMs: number): void {
  newcomersOf(ctx, iface).noteProof(rttMs);
}

/** It has not, although we could have heard it. */
export function noteSilence(ctx: TrackerContext, candidate: Candidate): void {
  const { iface } = candidate.attachment;
  if (isNewcomer(candidate) && ctx.topology.isListening(iface)) newcomersOf(ctx, iface).noteSilence();
}

/** Whether the interface may have one more host, or has this one already. */
export function hasCapacity(ctx: TrackerContext, host: Host | undefined, iface: IfIndex): boolean {
  if (host?.attachment?.iface === iface) return true;
  return ctx.table.countOn(iface) < (ctx.topology.rule(iface)?.maxHosts ?? 0);
}

/** Whether this MAC already has all the addresses it may have, those being proven included. */
function isMacFull(ctx: TrackerContext, mac: Mac): boolean {
  const limit = ctx.policy.limits.addressesPerMac;
  let count = ctx.unanswered.of(mac);
  if (count >= limit) return true;
  for (const host of ctx.table.withMac(mac)) {
    if (host.held && ++count >= limit) return true;
  }
  return false;
}
