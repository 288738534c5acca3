import { ask } from './questions.js';
import { type Ip, MAC_BROADCAST } from '../wire/addresses.js';
import { type Brain, GHOST_WINDOW_MS } from './brain.js';
import { usable } from './classify.js';
import type { Route } from './events.js';
import { consider } from './arrival.js';
import type { Host } from './host.js';

/** A route of somebody else came, changed or went. `initial` marks the dump at start: no storm of announcements. */
export function hearRoute(brain: Brain, change: 'add' | 'delete', route: Route, initial: boolean): void {
  const what = brain.fib.apply(change, route, brain.now);
  if (what === 'appeared') remoteAppeared(brain, route.prefix.ip, initial);
  else if (what === 'vanished') remoteVanished(brain, route.prefix.ip);
}

/** Another router says that it has the host. If it is ours, by claim or by home, it is asked here (DESIGN 3.3). */
export function remoteAppeared(brain: Brain, ip: Ip, initial: boolean): void {
  const host = brain.table.get(ip);
  if (host !== undefined) host.remoteAppearedAt = brain.now;
  if (
    host !== undefined &&
    !host.claimed &&
    brain.now < (host.releasedAt ?? Number.NEGATIVE_INFINITY) + GHOST_WINDOW_MS
  )
    host.ghost = 'waiting';
  switch (host?.state) {
    case 'settled':
    case 'home':
      return checkDespiteRemote(brain, host);
    case 'away':
      host.forgetAt = undefined;
      return brain.touch(host);
    case undefined:
    case 'remembered':
      return askAtHome(brain, ip, host, initial);
    default:
      // fresh: looked at when it ages. proving: whoever answers first is looked at then.
      return;
  }
}

export function remoteVanished(brain: Brain, ip: Ip): void {
  const host = brain.table.get(ip);
  if (host === undefined) return;
  if (host.state === 'away') {
    // A routing daemon may delete and add in one change; after `settle` the loss is real.
    host.forgetAt = brain.now + brain.policy.timers.settleMs;
  }
  if (host.ghost === 'waiting') brain.suspectGhost(host);
  // The incumbent is gone: the challenger need not wait any longer.
  if (host.state === 'remembered' && host.contest?.retryAt !== undefined) host.contest.retryAt = brain.now;
  brain.touch(host);
}

/** Asks the host whether it is still here; the check runs to its verdict whatever the remote claim does. */
export function checkDespiteRemote(brain: Brain, host: Host): void {
  if (host.place === undefined || host.check?.purpose === 'remote-claim') return;
  const question = brain.topology.isUsable(host.place.iface)
    ? ask(brain, host, 'remote-claim', host.place)
    : undefined;
  if (question === undefined) return brain.withdraw(host, 'remote-claim');
  host.check = question;
  brain.touch(host);
}

/** A host of our home subnet that we do not hold: asked at the MAC that the kernel knows, else by broadcast. */
function askAtHome(brain: Brain, ip: Ip, known: Host | undefined, initial: boolean): void {
  const home = brain.topology.homeInterface(ip);
  if (home === undefined || brain.topology.rule(home)?.learn !== 'foreign') return;
  if (
    usable(brain, ip, undefined) !== undefined ||
    (known === undefined && brain.table.size >= brain.policy.limits.hosts)
  ) {
    return;
  }
  const host = known ?? brain.create(ip);
  if (host.candidate !== undefined) return;
  const mac =
    (host.place?.iface === home ? host.place.mac : undefined) ?? brain.neighbours.get(home)?.get(ip);
  const place = { iface: home, mac: mac ?? MAC_BROADCAST };
  // After `detach` from there the hypervisor has answered the question already.
  const detached = host.detached !== undefined && host.place?.iface === home;
  const question =
    !detached && brain.topology.isUsable(home) ? ask(brain, host, 'remote-claim', place) : undefined;
  if (question === undefined) {
    return brain.goAway(host, initial ? 'adopted' : 'remote-claim');
  }
  brain.setCandidate(host, {
    place,
    cause: initial ? 'adopted' : 'remote-claim',
    question,
    incumbent: undefined,
    askedAgain: false,
  });
  brain.enter(host, 'proving', 'remote-claim');
}

/** An away host whose remote claim is gone for good: it may be home again, silently. */
export function awayLost(brain: Brain, host: Host): void {
  if (host.place === undefined) {
    const { hint, hushUntil } = host;
    brain.enter(host, 'unknown', 'remote-claim-lost');
    if (hint === undefined) return;
    const again = brain.create(host.ip);
    again.hint = hint;
    again.hushUntil = hushUntil;
    return brain.touch(again);
  }
  brain.enter(host, 'remembered', 'remote-claim-lost');
  if (brain.topology.isListening(host.place.iface)) consider(brain, host, host.place, 'remote-claim-lost');
}
