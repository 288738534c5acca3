import { MAC_BROADCAST } from '../../wire/addresses.js';
import { MOST_WAIT_MS } from '../admission/constants.js';
import type { TrackerContext } from '../context.js';
import type { Attachment, Cause } from '../events.js';
import { answerOpenQuestions } from '../neighbour/responder.js';
import { type ProbePurpose, startProbe } from '../probe/probe.js';
import type { ClaimInput } from './machines/claim.js';
import { announceDeparture, tellsEveryLan } from './departure.js';
import type { Host } from './host.js';
import { ensureAsked, firstLeft, isFirst, quietMs, voucherOf } from './siblings.js';
import { type Candidate, candidateOn } from './machines/proof.js';
import { EARLY_RELEASE_MS } from './machines/stuck-route.js';

/**
 * What the outcome of one machine means for the others. The left column happens in one machine, the right one is put
 * into the others. Three files carry it out: this one for the claim and what follows from it, proving.ts for where a
 * host is, contention.ts for two hosts with one address.
 */
export const COORDINATION: readonly { readonly when: string; readonly causes: string }[] = [
  {
    when: 'claim enters home, fresh, settled or beneath',
    causes: 'recovery: held. proof: held-at. stuck route: held',
  },
  { when: 'claim enters any other state', causes: 'keepalive: not-held. proof: old-closed' },
  { when: 'claim leaves fresh, settled or beneath', causes: 'the route is released' },
  {
    when: 'claim: away; of an IPv6 host also remembered because of a remote claim',
    causes: 'announcement: departed',
  },
  {
    when: 'role: promoted',
    causes: 'claim: found, of what is beneath; keepalive: probe. proof: ask what only its gateway may ask',
  },
  { when: 'beneath: the last remote claim is gone', causes: 'claim: surfaced; keepalive: probe' },
  {
    when: 'another router claims it, it is alive here, and we do not contest',
    causes: 'claim: stand-by, if it was a claim',
  },
  {
    when: 'claim: ages',
    causes: 'claim: age, unopposed, returned, at-ease or age-later; keepalive: schedule',
  },
  { when: 'claim: withdrawable', causes: 'claim: lost or elsewhere' },
  { when: 'the kernel has the route of a claim', causes: 'answer hold: installed' },
  { when: 'proof: candidate answers', causes: 'claim: found or found-at-home; keepalive: schedule' },
  {
    when: 'the same, and the address is contested',
    causes: 'proof: answered; claim: found when the old place is silent',
  },
  {
    when: 'proof: candidate and old place answer',
    causes: 'contest: contested or returned; claim: reclaim at the old place',
  },
  { when: 'proof: candidate silent', causes: 'proof: close; a claim that was only proving: lost or forget' },
  {
    when: 'keepalive: lost, no-answer, hold-expired',
    causes: 'claim: lost, or lost-later under the 20 ms rule; elsewhere if another router claims it at home',
  },
  {
    when: 'keepalive: old-place-silent',
    causes:
      'contest: clear, claim: found where the candidate answered; keepalive: probe once more if none has',
  },
  { when: 'keepalive: remote-claim-stands', causes: 'claim: elsewhere or lost' },
  {
    when: 'keepalive: answered although remote',
    causes: 'claim: reclaim (incumbent) or retry-fresh, then lost',
  },
  { when: 'claim of a challenger lost', causes: 'contest: refused; proof: defer until it may try again' },
  { when: 'the last remote claim is gone', causes: 'contest: incumbent-gone; proof: expedite-deferred' },
  {
    when: 'keepalive: lost, no-answer, hold-expired, of the first address of a MAC at a place',
    causes: 'keepalive of the others there: expedite, all of them (siblings.ts)',
  },
  { when: 'contest: frozen', causes: 'an alarm' },
  { when: 'recovery: probe due, detach over', causes: 'proof: ask at the last attachment' },
  { when: 'stuck route: add-route, delete-route', causes: 'the kernel adds or deletes it' },
];

/** A host is heard at least this often, and four times per keepalive, however much of what it says is suppressed. */
const SUPPRESS_MS = 1000;

/**
 * Puts an input into the claim that changes its state, and does what follows from the new state. Claims and releases
 * of routes follow from here and from nowhere else. `heardAt`: when the frame came that led to it.
 */
export function transition(
  ctx: TrackerContext,
  host: Host,
  input: ClaimInput,
  attachment?: Attachment,
  heardAt = ctx.now,
): void {
  const before = host.attachment;
  const wasFirst = isFirst(ctx, host);
  if (before !== undefined) endSuppression(ctx, host, before);
  if (attachment !== undefined) ctx.table.place(host, attachment, ctx.topology.nameOf(attachment.iface));
  const from = host.state;
  const claimedAt = host.claimed ? before : undefined;
  const watchedAt = host.mayHaveStaleNeighbours ? before : undefined;
  host.stepClaim(input, ctx.now);
  const { state, claimed } = host;
  ctx.counts[from]--;
  ctx.counts[state]++;
  informMachines(ctx, host);
  if (wasFirst && before !== undefined && !(host.claimed && host.isAt(before.iface, before.mac)))
    firstLeft(ctx, before, host.cause);
  if (state === 'fresh' || state === 'settled') emitClaim(ctx, host, state);
  else if (state === 'beneath' && claimed) emitClaim(ctx, host, 'settled');
  else if (claimedAt !== undefined) ctx.emit({ kind: 'release', ip: host.ip });
  if (from === 'home' && before !== undefined && host.attachment?.iface !== before.iface) {
    const dev = ctx.topology.nameOf(before.iface);
    if (dev !== undefined) ctx.emit({ kind: 'forget-neighbour', ip: host.ip, dev });
  }
  watchMisdirected(ctx, watchedAt, host.mayHaveStaleNeighbours ? host.attachment : undefined);
  ctx.emit({
    kind: 'transition',
    ip: host.ip,
    from,
    to: state,
    cause: host.cause,
    iface: host.attachment?.iface,
    interface: host.interface,
    mac: host.attachment?.mac,
    deadline: host.endsAt,
    heardAt,
    at: ctx.now,
  });
  if (claimed || state === 'away') ctx.lateAnswers.forget(host.ip);
  if (state === 'remembered') boundRemembered(ctx, host);
  else ctx.remembered.delete(host);
  if (state === 'unknown') discard(ctx, host);
  else ctx.touch(host);
}

/** The first two rows of the table. */
function informMachines({ now }: TrackerContext, host: Host): void {
  if (host.held) {
    host.stepRecovery({ input: 'held' }, now);
    if (host.attachment !== undefined) host.stepProof({ input: 'held-at', attachment: host.attachment });
    host.stepStuckRoute('held', now);
  } else {
    host.stepKeepalive({ input: 'not-held' }, now);
    host.stepProof({ input: 'old-closed', probe: undefined });
  }
}

function emitClaim(
  ctx: TrackerContext,
  { ip, attachment, interface: dev }: Host,
  age: 'fresh' | 'settled',
): void {
  if (attachment === undefined || dev === undefined) throw new Error('a claim without an attachment');
  if (attachment.mac === MAC_BROADCAST) throw new Error('a claim without a MAC');
  ctx.emit({ kind: 'claim', ip, iface: attachment.iface, dev, mac: attachment.mac, age });
}

/** Back home for so long that its neighbour entries are true or forgotten. */
export function atEase(ctx: TrackerContext, host: Host): void {
  host.stepClaim({ input: 'at-ease' }, ctx.now);
  watchMisdirected(ctx, host.attachment, undefined);
}

function watchMisdirected(
  ctx: TrackerContext,
  before: Attachment | undefined,
  now: Attachment | undefined,
): void {
  if (before?.iface === now?.iface && before?.mac === now?.mac) return;
  if (before !== undefined) ctx.emit({ kind: 'watch-misdirected', ...before, watch: false });
  if (now !== undefined) ctx.emit({ kind: 'watch-misdirected', ...now, watch: true });
}

function boundRemembered(ctx: TrackerContext, host: Host): void {
  const { remembered } = ctx;
  remembered.delete(host);
  remembered.add(host);
  if (remembered.size > ctx.policy.limits.remembered) forgetFirst(ctx, remembered);
  else boundRememberedOf(ctx, host);
}

/** Of one MAC, too: it may have had any number of IPv6 addresses, all of which every frame of it would have looked at. */
function boundRememberedOf(ctx: TrackerContext, { attachment }: Host): void {
  const { ipv4, ipv6 } = ctx.policy.limits.addressesPerMac;
  if (attachment === undefined || ctx.table.countWithMac(attachment.mac) <= 2 * (ipv4 + ipv6)) return;
  forgetFirst(ctx, ctx.table.withMac(attachment.mac));
}

function forgetFirst(ctx: TrackerContext, hosts: Iterable<Host>): void {
  for (const oldest of hosts) {
    if (oldest.state !== 'remembered') continue;
    ctx.remembered.delete(oldest);
    return transition(ctx, oldest, { input: 'forget', cause: 'forgotten' });
  }
}

/** Takes a host that nothing is known of out of the table. */
export function discard(ctx: TrackerContext, host: Host): void {
  closeCandidates(ctx, host);
  if (host.stepStuckRoute('discard', ctx.now) === 'delete-route') emitStuckRoute(ctx, host, false);
  host.end();
  ctx.lookups.delete(host.ip);
  ctx.counts.unknown--;
  ctx.table.remove(host);
}

// --- claim ---------------------------------------------------------------------------------------------------------

/**
 * The state `remembered`, for the time that the policy gives. Silence is not the end: the host is asked again where it
 * was last, but for one that policy or the kernel refused.
 */
export function lost(ctx: TrackerContext, host: Host, cause: Cause): void {
  transition(ctx, host, { input: 'lost', cause, endsAt: ctx.now + ctx.policy.timers.rememberMs });
  if (cause === 'not-allowed' || cause === 'kernel-refused') return;
  host.stepRecovery({ input: 'lost' }, ctx.now);
  ctx.touch(host);
}

/**
 * Withdraws what we hold for a host, and remembers it, or knows it `away` when another router proved right. A claim is
 * not released within 20 ms of a remote one (EARLY_RELEASE_MS): then the withdrawal waits, and the state with it.
 */
export function withdraw(ctx: TrackerContext, host: Host, cause: Cause): void {
  if (releasedEarly(ctx, host)) {
    const at = ctx.remoteAppearedAt(host) + EARLY_RELEASE_MS;
    host.stepClaim({ input: 'lost-later', cause, at }, ctx.now);
    return ctx.touch(host);
  }
  const isElsewhere =
    ctx.fib.remote(host.ip) !== undefined && ctx.topology.subnets.homeInterface(host.ip) !== undefined;
  if (isElsewhere && cause === 'remote-claim') return goAway(ctx, host, cause);
  lost(ctx, host, cause);
  if (cause === 'remote-claim' && tellsEveryLan(host)) announceDeparture(ctx, host);
  // Nobody tells us again of a claim that was there before.
  if (isElsewhere && GONE.has(cause)) goAway(ctx, host, 'remote-claim');
}

/** It is not here any more, and nobody has said that it shall not be. */
const GONE: ReadonlySet<Cause> = new Set([
  'no-answer',
  'keepalive-lost',
  'hold-expired',
  'link-down',
  'link-gone',
  'ipv6-off',
  'port-down',
]);

/** Whether a release of the claim now would come too soon after a remote one. */
function releasedEarly(ctx: TrackerContext, host: Host): boolean {
  return host.claimed && ctx.now - ctx.remoteAppearedAt(host) < EARLY_RELEASE_MS;
}

/** The kernel deleted the route of a claim with its interface: nothing can wait any more. */
export function lostWithRoute(ctx: TrackerContext, host: Host, cause: Cause): void {
  const remote = ctx.fib.remote(host.ip);
  const early = host.claimed && remote !== undefined && ctx.now - remote.since < EARLY_RELEASE_MS;
  if (!early) return withdraw(ctx, host, cause);
  lost(ctx, host, cause);
  host.stepStuckRoute('released-early', ctx.now);
}

/**
 * A remote claim appeared. If ours was released just before, a routing daemon may go on announcing it. The route of a
 * repair is a claim to it as well.
 */
export function remoteClaimAppeared(ctx: TrackerContext, host: Host): void {
  host.stepClaim({ input: 'remote-appeared' }, ctx.now);
  const { releasedAt = Number.NEGATIVE_INFINITY } = host.claim;
  if (host.claimed) return;
  const isEarly = ctx.now < releasedAt + EARLY_RELEASE_MS;
  host.stepStuckRoute(isEarly ? 'released-early' : 'remote-appeared', ctx.now);
}

/** The last remote claim is gone: a stuck route is repaired now. */
export function repairStuckRoute(ctx: TrackerContext, host: Host): void {
  if (ctx.fib.remote(host.ip) !== undefined) return;
  if (host.stepStuckRoute('no-remote-claim', ctx.now) === 'add-route') emitStuckRoute(ctx, host, true);
  ctx.touch(host);
}

/** What of it is due: its route is added, or deleted. */
export function stuckRouteDue(ctx: TrackerContext, host: Host): void {
  const outcome = host.stepStuckRoute('due', ctx.now);
  if (outcome !== undefined) emitStuckRoute(ctx, host, outcome === 'add-route');
}

function emitStuckRoute(ctx: TrackerContext, host: Host, present: boolean): void {
  ctx.emit({ kind: 'stuck-route-repair', ip: host.ip, present });
}

/**
 * A home host is proven to be behind another router. `adopted`: it was so before this run, the LAN was told. Nobody on
 * our LANs has an entry for a host that never was on one.
 */
export function goAway(ctx: TrackerContext, host: Host, cause: Cause, wasHere = true): void {
  transition(ctx, host, { input: 'elsewhere', cause });
  if (cause !== 'adopted' && wasHere) announceDeparture(ctx, host);
  answerOpenQuestions(ctx, host.ip);
  ctx.touch(host);
}

// --- proof ---------------------------------------------------------------------------------------------------------

/** Opens the probe to a new attachment; it replaces the one on the same interface. */
export function setCandidate(ctx: TrackerContext, host: Host, candidate: Candidate): void {
  const before = candidateOn(host.proof, candidate.attachment.iface);
  if (before !== undefined) ctx.unanswered.close(before);
  host.stepProof({ input: 'ask', candidate });
  ctx.unanswered.open(candidate);
}

/** Closes one of them, or all. */
export function closeCandidates(ctx: TrackerContext, host: Host, candidate?: Candidate): void {
  for (const one of host.candidates)
    if (candidate === undefined || one === candidate) ctx.unanswered.close(one);
  host.stepProof({ input: 'close', candidate });
}

/** Gives up the probe to a new attachment, and with the last of them a claim that consists of nothing else. */
export function abandonCandidate(ctx: TrackerContext, host: Host, cause: Cause, candidate?: Candidate): void {
  closeCandidates(ctx, host, candidate);
  if (host.state !== 'proving' || host.asking) ctx.touch(host);
  else if (host.attachment === undefined) transition(ctx, host, { input: 'forget', cause });
  else lost(ctx, host, cause);
}

// --- keepalive -----------------------------------------------------------------------------------------------------

/** When the host is asked next, if it stays quiet. */
export function scheduleKeepalive(ctx: TrackerContext, host: Host): void {
  if (!host.claimed || host.attachment === undefined)
    return void host.stepKeepalive({ input: 'unschedule' }, ctx.now);
  host.stepKeepalive({ input: 'schedule', afterMs: quietMs(ctx, host) }, ctx.now);
  const voucher = voucherOf(ctx, host);
  if (voucher !== undefined) ensureAsked(ctx, voucher);
}

/** Opens the probe to where the host is held; it replaces one that is open. Returns whether it could be sent. */
export function probeHeld(
  ctx: TrackerContext,
  host: Host,
  purpose: ProbePurpose,
  attachment: Attachment,
  delayMs = 0,
): boolean {
  const probe = startProbe(ctx, host, purpose, attachment, { delayMs });
  host.stepKeepalive(probe === undefined ? { input: 'close' } : { input: 'probe', probe }, ctx.now);
  return probe !== undefined;
}

/** Asks a held host at once, out of turn, whether it is still there. */
export function probeNow(ctx: TrackerContext, host: Host): void {
  if (host.currentProbe === undefined && host.attachment !== undefined)
    if (!probeHeld(ctx, host, 'keepalive', host.attachment))
      host.stepKeepalive({ input: 'schedule', afterMs: MOST_WAIT_MS }, ctx.now);
  ctx.touch(host);
}

/**
 * A host that is where we believe it to be spoke again after `quietMs`: when it does so often, its announcements need
 * not come up to us for a while.
 */
export function suppressRefreshes(ctx: TrackerContext, host: Host, heardAfterMs: number): void {
  const { attachment } = host;
  if (attachment === undefined || !host.held) return;
  const forMs = Math.floor(Math.min(SUPPRESS_MS, quietMs(ctx, host) / 4));
  if (ctx.now < (host.suppressedUntil ?? 0) || heardAfterMs > forMs || forMs < 1) return;
  host.suppressUntil(ctx.now + forMs);
  ctx.emit({ kind: 'suppress-refreshes', ...attachment, ip: host.ip, forMs });
}

/** From here on every frame of the host counts. */
function endSuppression(ctx: TrackerContext, host: Host, attachment: Attachment): void {
  if (host.suppressedUntil === undefined) return;
  host.suppressUntil(undefined);
  ctx.emit({ kind: 'suppress-refreshes', ...attachment, ip: host.ip, forMs: 0 });
}
