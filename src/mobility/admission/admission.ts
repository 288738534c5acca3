import { type Ip, type Mac, familyOf } from '../../wire/addresses.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, EvidenceKind, IfIndex } from '../events.js';
import type { Host } from '../host/host.js';
import type { Candidate } from '../host/machines/proof.js';
import type { AdmissionWindow } from './window.js';
import type { Sighting } from './queue.js';
import { MOST_CREDIT, PROBE_WINDOW, TAKEN_PER_TICK } from './constants.js';

/**
 * How many newcomers are probed, and when. A message of a newcomer passes these limits in order:
 *
 * 1. the limits of its MAC, its interface and the table (`mac-limit`, `host-limit`);
 * 2. the budget that the configuration gives to its interface (`newcomer-budget`);
 * 3. the window: so many newcomers may be unanswered at a time. Those that have to wait are queued.
 */

/** Probes of new attachments that are open. */
export class OutstandingProofs {
  private newcomers = new Map<IfIndex, number>();
  private once = new Map<IfIndex, number>();

  snapshot() {
    return { newcomers: this.newcomers, once: this.once };
  }

  restore({ newcomers, once }: ReturnType<OutstandingProofs['snapshot']>): void {
    this.newcomers = newcomers;
    this.once = once;
  }

  open(candidate: Candidate): void {
    const { iface } = candidate.attachment;
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, 1);
    if (!candidate.repeated) add(this.once, iface, 1);
  }

  close(candidate: Candidate): void {
    const { iface } = candidate.attachment;
    if (!isNewcomer(candidate)) return;
    add(this.newcomers, iface, -1);
    if (!candidate.repeated) add(this.once, iface, -1);
  }

  /** The second try is sent; `candidate` is as it was before. */
  repeated(candidate: Candidate): void {
    if (isNewcomer(candidate)) add(this.once, candidate.attachment.iface, -1);
  }

  /** Newcomers of an interface that were seen, or probed for an address, and have not answered yet. */
  newcomersOn(iface: IfIndex): number {
    return this.newcomers.get(iface) ?? 0;
  }

  /** Those of them that were probed once so far. */
  probedOnceOn(iface: IfIndex): number {
    return this.once.get(iface) ?? 0;
  }
}

/** Probes of our own do not count: thousands of known hosts are probed when a link comes up. */
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
 * Whether the limits let a newcomer, or a known host at a new attachment, be probed: now, later (it is queued with its
 * `evidence`) or never, which is reported.
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
  if (ctx.table.get(ip)?.attachment?.mac === mac) {
    // It neither waits behind newcomers nor lives on their budget.
    return ctx.unanswered.newcomersOn(iface) < MOST_CREDIT ? 'now' : refuse(ctx, iface, ip, mac);
  }
  if (waiting.has(iface, ip)) {
    onOverflow(ctx, iface, mac, waitedOn(ctx, iface));
    return 'later';
  }
  // An ACD probe is repeated twice (RFC 5227 section 2.1.1), so it does not wait.
  const canWait = evidence !== 'probe';
  const atOnce = canWait ? waiting.countOn(iface) === 0 && hasProbeWindow(ctx, iface) : hasCredit(ctx, iface);
  if (!atOnce || ctx.queuedMs > 0) {
    const waitedMs = atOnce || canWait ? waitedOn(ctx, iface) : Number.POSITIVE_INFINITY;
    const storm = onOverflow(ctx, iface, mac, waitedMs);
    if (!atOnce && (storm || !canWait || waiting.isFull(iface, ctx.policy.limits.newcomerBurst)))
      return refuse(ctx, iface, ip, mac);
  }
  if (!windowOf(ctx, iface).take(now)) return refuse(ctx, iface, ip, mac);
  if (atOnce) return 'now';
  waiting.add({ iface, ip, mac, evidence, at: now });
  return 'later';
}

/** Whether the interface may have something looked up that did not speak itself: a share of its own, without debt. */
export function admitLookup(ctx: TrackerContext, iface: IfIndex): boolean {
  return windowOf(ctx, iface).lookups.take(ctx.now);
}

/** For how long newcomers of the interface have waited, in the capture and for their turn here. */
function waitedOn({ waiting, queuedMs, now }: TrackerContext, iface: IfIndex): number {
  return queuedMs + waiting.waitedOn(iface, now);
}

function windowOf({ limits, topology, now }: TrackerContext, iface: IfIndex): AdmissionWindow {
  return limits.newcomersOf(topology.nameOf(iface) ?? '', now);
}

function refuse(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): 'never' {
  ctx.drop('newcomer-budget', iface, ip, mac);
  reportStorm(ctx, iface, mac);
  return 'never';
}

function reportStorm(ctx: TrackerContext, iface: IfIndex, mac: Mac): void {
  if (!windowOf(ctx, iface).isFirstReport()) return;
  const place = { iface, mac };
  ctx.alarm('newcomer-storm', 'more newcomers than the budget of the interface', { place });
}

/** MACs with too many addresses and interfaces with too many hosts have no newcomers. */
function mayBecomeHost(ctx: TrackerContext, iface: IfIndex, ip: Ip, mac: Mac): boolean {
  if (isMacFull(ctx, ip, { iface, mac })) {
    ctx.drop('mac-limit', iface, ip, mac);
    alarmMacLimit(ctx, { iface, mac });
    return false;
  }
  const known = ctx.table.get(ip);
  if (hasCapacity(ctx, known, iface) && (known !== undefined || ctx.table.size < ctx.policy.limits.hosts))
    return true;
  ctx.drop('host-limit', iface, ip, mac);
  return false;
}

/** Whether one more newcomer of the interface may be unanswered. */
function hasCredit(ctx: TrackerContext, iface: IfIndex): boolean {
  return ctx.unanswered.newcomersOn(iface) < windowOf(ctx, iface).credit(ctx.now);
}

/** Whether one that can wait should be probed now. */
function hasProbeWindow(ctx: TrackerContext, iface: IfIndex): boolean {
  return hasCredit(ctx, iface) && ctx.unanswered.probedOnceOn(iface) < PROBE_WINDOW;
}

/** Whether a newcomer that was admitted before may be probed only now. */
export function mayStillAsk(ctx: TrackerContext, iface: IfIndex): boolean {
  if (hasCredit(ctx, iface)) return true;
  windowOf(ctx, iface).onOverflow(Number.POSITIVE_INFINITY, ctx.now);
  return false;
}

/** One more newcomer than can be probed now. Returns whether there is a storm. */
function onOverflow(ctx: TrackerContext, iface: IfIndex, mac: Mac, waitedMs: number): boolean {
  const storm = windowOf(ctx, iface).onOverflow(waitedMs, ctx.now);
  if (storm) reportStorm(ctx, iface, mac);
  return storm;
}

/** Some of those that wait and may be probed by now. In a storm they are dropped instead. */
export function* admitWaiting(ctx: TrackerContext): IterableIterator<Sighting> {
  const { waiting } = ctx;
  for (const iface of waiting.ifaces()) {
    for (let left = TAKEN_PER_TICK; left > 0 && hasRunnableOn(ctx, iface); left--) {
      const sighting = waiting.take(iface) as Sighting;
      const { ip, mac } = sighting;
      if (inStorm(ctx, iface)) ctx.drop('newcomer-budget', iface, ip, mac);
      else if (mayBecomeHost(ctx, iface, ip, mac)) yield sighting;
    }
  }
}

/** Whether there is more to do of that at once. */
export function hasRunnable(ctx: TrackerContext): boolean {
  for (const iface of ctx.waiting.ifaces()) if (hasRunnableOn(ctx, iface)) return true;
  return false;
}

function hasRunnableOn(ctx: TrackerContext, iface: IfIndex): boolean {
  if (ctx.waiting.countOn(iface) === 0) return false;
  return inStorm(ctx, iface) || (ctx.topology.isListening(iface) && hasProbeWindow(ctx, iface));
}

function inStorm(ctx: TrackerContext, iface: IfIndex): boolean {
  return windowOf(ctx, iface).inStorm(ctx.now);
}

/** The newcomer of a probe has answered. */
export function noteProof(ctx: TrackerContext, iface: IfIndex): void {
  windowOf(ctx, iface).noteProof();
}

/** The same, after it was taken for silent. */
export function noteLateProof(ctx: TrackerContext, iface: IfIndex): void {
  windowOf(ctx, iface).noteLateProof();
}

/** It has not, although we could have received the answer. */
export function noteSilence(ctx: TrackerContext, candidate: Candidate): void {
  const { iface } = candidate.attachment;
  if (ctx.missed.everywhereAt >= candidate.probe.firstSentAt) return;
  if (isNewcomer(candidate) && ctx.topology.isListening(iface)) windowOf(ctx, iface).noteSilence();
}

/** Whether the interface may have one more host, or has this one already. */
export function hasCapacity(ctx: TrackerContext, host: Host | undefined, iface: IfIndex): boolean {
  if (host?.attachment?.iface === iface) return true;
  return ctx.table.countOn(iface) < (ctx.topology.rule(iface)?.maxHosts ?? 0);
}

/**
 * Whether a MAC has all the addresses on an interface that it may have there, besides this one. Only those count that are
 * proven, and no other LAN: else anybody could use up the addresses of a host by naming its MAC.
 */
export function isMacFull(ctx: TrackerContext, ip: Ip, { iface, mac }: Attachment): boolean {
  let left = ctx.policy.limits.addressesPerMac[familyOf(ip)];
  for (const host of ctx.table.withMac(mac))
    if (host.ip !== ip && familyOf(host.ip) === familyOf(ip) && host.isHeldAt(iface, mac)) left--;
  return left <= 0;
}

export function alarmMacLimit(ctx: TrackerContext, place: Attachment): void {
  ctx.alarm('mac-limit', 'one MAC uses more addresses than it may', { place });
}
