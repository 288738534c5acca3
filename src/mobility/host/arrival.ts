import { sendRepair } from '../neighbour/send.js';
import { ask } from '../probe.js';
import { MAC_BROADCAST } from '../../wire/addresses.js';
import { hasRoom, noteSilence } from '../admission/admission.js';
import type { TrackerContext } from '../context.js';
import { suppressionReason } from './contest.js';
import type { Cause, IfIndex, Attachment } from '../events.js';
import type { Host, Probe } from './host.js';

/** As `consider`, but evidence from a place that lost a contest is dropped with its reason. */
export function considerUnlessBarred(ctx: TrackerContext, host: Host, place: Attachment, cause: Cause): void {
  const reason = suppressionReason(ctx, host, place);
  if (reason === undefined) consider(ctx, host, place, cause);
  else ctx.drop(reason, place.iface, host.ip, place.mac);
}

/**
 * There is evidence of the host at a place where we do not hold it. It is asked there and, in parallel, at the place
 * where we do hold it.
 */
export function consider(ctx: TrackerContext, host: Host, place: Attachment, cause: Cause): void {
  const rule = ctx.topology.rule(place.iface);
  if (rule === undefined) return discardUnknown(ctx, host);
  const { prepared } = host;
  if (prepared?.iface === place.iface && prepared.mac === place.mac) {
    // Believed, and asked all the same: the question repairs its gateway entry.
    host.graceUntil = ctx.now + rule.holdMs;
    return arrive(ctx, host, place, 'prepared', ask(ctx, host, 'prove', place));
  }
  // Only a frame of the host itself is believed before, or without, a proof; our own ideas of where it may be are not.
  const spoke = cause === 'sighting' || cause === 'rarp';
  if (rule.prove === 'never' && spoke) return arrive(ctx, host, place, cause);

  const question = ask(ctx, host, 'prove', place);
  if (question === undefined) {
    ctx.drop('no-probe-source', place.iface, host.ip, place.mac);
    return discardUnknown(ctx, host);
  }
  // Two MACs that take turns in one address are as silent as one.
  if (host.candidate?.askedAgain === true) noteSilence(ctx, host.candidate);
  ctx.setCandidate(host, { attachment: place, cause, question, incumbent: undefined, askedAgain: false });
  if (host.held && host.attachment !== undefined && ctx.topology.isUsable(host.attachment.iface)) {
    host.check = ask(ctx, host, 'old-place', host.attachment);
  }
  if (host.state === 'unknown' || host.state === 'remembered') {
    ctx.enter(host, 'proving', cause);
    host.previous = askOwner(ctx, host, place);
  }
  if (rule.prove === 'after' && spoke) arrive(ctx, host, place, cause, question);
  else ctx.touch(host);
}

/** A visitor that we know nothing of: its address may have an owner who is alive at home, on another LAN of ours. */
function askOwner(ctx: TrackerContext, host: Host, place: Attachment): Probe | undefined {
  const home = ctx.topology.homeInterface(host.ip);
  if (home === undefined || home === place.iface || !ctx.topology.isUsable(home)) return undefined;
  const mac = ctx.neighbours.get(home)?.get(host.ip) ?? MAC_BROADCAST;
  return ask(ctx, host, 'old-place', { iface: home, mac });
}

function discardUnknown(ctx: TrackerContext, host: Host): void {
  if (ctx.table.get(host.ip) !== host) return;
  if (host.state === 'unknown') ctx.discard(host);
  else ctx.touch(host);
}

/**
 * The host is at `place`: recorded when that is its home and nobody else has it, claimed otherwise. `unanswered` is
 * the proof still to come when policy claims first and asks later.
 */
export function arrive(
  ctx: TrackerContext,
  host: Host,
  place: Attachment,
  cause: Cause,
  unanswered?: Probe,
): void {
  const { topology, now } = ctx;
  const rule = topology.rule(place.iface);
  if (rule === undefined) throw new Error('a host arrived on an interface that is no mobility interface');
  if (!hasRoom(ctx, host, place.iface)) {
    // Many may be proving themselves at once; only so many arrive.
    ctx.drop('host-limit', place.iface, host.ip, place.mac);
    ctx.abandonCandidate(host, 'no-room');
    return discardUnknown(ctx, host);
  }
  const moved = host.held && !host.isAt(place.iface, place.mac);
  const oldCheck = host.check?.purpose === 'old-place' ? host.check : undefined;
  const remote = ctx.fib.remote(host.ip);
  const atHome = rule.learn === 'foreign' && topology.isHome(place.iface, host.ip);
  ctx.setCandidate(host, undefined);
  if (atHome && remote === undefined && !host.claimed && host.state !== 'away') {
    ctx.enter(host, 'home', cause, place);
  } else {
    ctx.enter(host, 'fresh', cause, place);
    host.returning = atHome;
    host.displaced = moved || remote !== undefined;
  }
  // Who was about to take the address is here: when it leaves again, its neighbours are told at once.
  if (topology.isHome(place.iface, host.ip)) host.hushUntil = undefined;
  host.role = 'challenger';
  host.insisted = false;
  host.lastHeard = now;
  host.check = unanswered;
  if (moved) host.previous = oldCheck;
  cancelAnnouncement(host, place.iface);
  ctx.scheduleKeepalive(host);
  if (host.previous === undefined) ctx.announceAway(host);
  tellSeekers(ctx, host);
  ctx.touch(host);
  probeSiblings(ctx, host, place);
}

/** The host is here after all: its old neighbours on this interface are not told that it has left. */
export function cancelAnnouncement(host: Host, iface: IfIndex): void {
  if (host.announce?.iface === iface) host.announce = undefined;
}

/** All addresses of a guest move together: one proven address gets the others asked at once. */
function probeSiblings(ctx: TrackerContext, host: Host, place: Attachment): void {
  if (ctx.table.countWithMac(place.mac) < 2) return;
  for (const sibling of [...ctx.table.withMac(place.mac)]) {
    const elsewhere = !(sibling.held && sibling.isAt(place.iface, place.mac));
    if (sibling === host || !elsewhere || sibling.candidate !== undefined || sibling.detached !== undefined)
      continue;
    if (suppressionReason(ctx, sibling, place) === undefined) consider(ctx, sibling, place, 'sibling');
  }
}

/** The neighbour was just heard where it is held: whoever looked for it is told. */
export function tellSeekers(ctx: TrackerContext, neighbour: Host): void {
  const { soughtBy, attachment } = neighbour;
  neighbour.soughtBy = undefined;
  if (soughtBy === undefined || attachment === undefined || neighbour.claimed) return;
  for (const ip of soughtBy) {
    const seeker = ctx.table.get(ip);
    if (seeker?.held !== true || seeker.attachment?.iface !== attachment.iface) continue;
    sendRepair(ctx, seeker.attachment, ip, neighbour.ip, attachment.mac);
  }
}
