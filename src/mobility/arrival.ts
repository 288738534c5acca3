import { ask, sendRequest } from './questions.js';
import { MAC_BROADCAST } from '../wire/addresses.js';
import { hasRoom, noteSilence } from './admission.js';
import type { Brain } from './brain.js';
import { barred } from './contest.js';
import type { Cause, IfIndex, Place } from './events.js';
import type { Host, Question } from './host.js';

/** As `consider`, but evidence from a place that lost a contest is dropped with its reason. */
export function considerUnlessBarred(brain: Brain, host: Host, place: Place, cause: Cause): void {
  const reason = barred(brain, host, place);
  if (reason === undefined) consider(brain, host, place, cause);
  else brain.drop(reason, place.iface, host.ip, place.mac);
}

/**
 * There is evidence of the host at a place where we do not hold it. It is asked there and, in parallel, at the place
 * where we do hold it.
 */
export function consider(brain: Brain, host: Host, place: Place, cause: Cause): void {
  const rule = brain.topology.rule(place.iface);
  if (rule === undefined) return discardUnknown(brain, host);
  const { prepared } = host;
  if (prepared?.iface === place.iface && prepared.mac === place.mac) {
    // Believed, and asked all the same: the question repairs its gateway entry.
    host.graceUntil = brain.now + rule.holdMs;
    return arrive(brain, host, place, 'prepared', ask(brain, host, 'prove', place));
  }
  // Only a frame of the host itself is believed before, or without, a proof; our own ideas of where it may be are not.
  const spoke = cause === 'sighting' || cause === 'rarp';
  if (rule.prove === 'never' && spoke) return arrive(brain, host, place, cause);

  const question = ask(brain, host, 'prove', place);
  if (question === undefined) {
    brain.drop('no-probe-source', place.iface, host.ip, place.mac);
    return discardUnknown(brain, host);
  }
  // Two MACs that take turns in one address are as silent as one.
  if (host.candidate?.askedAgain === true) noteSilence(brain, host.candidate);
  brain.setCandidate(host, { place, cause, question, incumbent: undefined, askedAgain: false });
  if (host.held && host.place !== undefined && brain.topology.isUsable(host.place.iface)) {
    host.check = ask(brain, host, 'old-place', host.place);
  }
  if (host.state === 'unknown' || host.state === 'remembered') {
    brain.enter(host, 'proving', cause);
    host.previous = askOwner(brain, host, place);
  }
  if (rule.prove === 'after' && spoke) arrive(brain, host, place, cause, question);
  else brain.touch(host);
}

/** A visitor that we know nothing of: its address may have an owner who is alive at home, on another LAN of ours. */
function askOwner(brain: Brain, host: Host, place: Place): Question | undefined {
  const home = brain.topology.homeInterface(host.ip);
  if (home === undefined || home === place.iface || !brain.topology.isUsable(home)) return undefined;
  const mac = brain.neighbours.get(home)?.get(host.ip) ?? MAC_BROADCAST;
  return ask(brain, host, 'old-place', { iface: home, mac });
}

function discardUnknown(brain: Brain, host: Host): void {
  if (brain.table.get(host.ip) !== host) return;
  if (host.state === 'unknown') brain.discard(host);
  else brain.touch(host);
}

/**
 * The host is at `place`: recorded when that is its home and nobody else has it, claimed otherwise. `unanswered` is
 * the proof still to come when policy claims first and asks later.
 */
export function arrive(brain: Brain, host: Host, place: Place, cause: Cause, unanswered?: Question): void {
  const { topology, now } = brain;
  const rule = topology.rule(place.iface);
  if (rule === undefined) throw new Error('a host arrived on an interface that is no mobility interface');
  if (!hasRoom(brain, host, place.iface)) {
    // Many may be proving themselves at once; only so many arrive.
    brain.drop('host-limit', place.iface, host.ip, place.mac);
    brain.abandonCandidate(host, 'no-room');
    return discardUnknown(brain, host);
  }
  const moved = host.held && !host.isAt(place.iface, place.mac);
  const oldCheck = host.check?.purpose === 'old-place' ? host.check : undefined;
  const remote = brain.fib.remote(host.ip);
  const atHome = rule.learn === 'foreign' && topology.isHome(place.iface, host.ip);
  brain.setCandidate(host, undefined);
  if (atHome && remote === undefined && !host.claimed && host.state !== 'away') {
    brain.enter(host, 'home', cause, place);
  } else {
    brain.enter(host, 'fresh', cause, place);
    host.returning = atHome;
    host.displaced = moved || remote !== undefined;
  }
  // Who was about to take the address is here: when it leaves again, its neighbours are told at once.
  if (topology.isHome(place.iface, host.ip)) host.hushUntil = undefined;
  host.role = 'newcomer';
  host.insisted = false;
  host.lastHeard = now;
  host.check = unanswered;
  if (moved) host.previous = oldCheck;
  cancelAnnouncement(host, place.iface);
  brain.scheduleKeepalive(host);
  if (host.previous === undefined) brain.announceAway(host);
  tellSeekers(brain, host);
  brain.touch(host);
  probeSiblings(brain, host, place);
}

/** The host is here after all: its old neighbours on this interface are not told that it has left. */
export function cancelAnnouncement(host: Host, iface: IfIndex): void {
  if (host.announce?.iface === iface) host.announce = undefined;
}

/** All addresses of a guest move together: one proven address gets the others asked at once. */
function probeSiblings(brain: Brain, host: Host, place: Place): void {
  if (brain.table.countWithMac(place.mac) < 2) return;
  for (const sibling of [...brain.table.withMac(place.mac)]) {
    const elsewhere = !(sibling.held && sibling.isAt(place.iface, place.mac));
    if (sibling === host || !elsewhere || sibling.candidate !== undefined || sibling.detached !== undefined)
      continue;
    if (barred(brain, sibling, place) === undefined) consider(brain, sibling, place, 'sibling');
  }
}

/** The neighbour was just heard where it is held: whoever looked for it is told. */
export function tellSeekers(brain: Brain, neighbour: Host): void {
  const { soughtBy, place } = neighbour;
  neighbour.soughtBy = undefined;
  if (soughtBy === undefined || place === undefined || neighbour.claimed) return;
  for (const ip of soughtBy) {
    const seeker = brain.table.get(ip);
    if (seeker?.held !== true || seeker.place?.iface !== place.iface) continue;
    sendRequest(brain, seeker.place, neighbour.ip, ip, 'repair', place.mac);
  }
}
