import { probeNow } from './questions.js';
import type { Mac } from '../wire/addresses.js';
import { GHOST_WINDOW_MS, type Brain } from './brain.js';
import { usable } from './classify.js';
import type { Cause, IfIndex, Link } from './events.js';
import { considerUnlessBarred } from './arrival.js';
import type { Host } from './host.js';

/** A host that is remembered here is asked when its link returns, and again: a guest needs a moment to boot. */
const WAKE_MS = [0, 1000, 3000];

export function hearLink(brain: Brain, link: Link): void {
  const { topology } = brain;
  const old = topology.link(link.index);
  const wasUsable = topology.isUsable(link.index);
  const wasListening = topology.isListening(link.index);
  topology.setLink(link);
  const renamed = old !== undefined && old.name !== link.name;
  if (wasUsable && (!topology.isUsable(link.index) || renamed)) {
    loseInterface(brain, link.index, 'link-down', !link.up);
  }
  if (!wasListening && topology.isListening(link.index)) wakeInterface(brain, link);
  else if (old !== undefined && old.mac !== link.mac) askSoon(brain, link);
  if (old?.master !== undefined) hearPort(brain, link.index, old.master, link);
  if (old === undefined || old.addresses !== link.addresses) reviewHosts(brain);
}

export function hearLinkGone(brain: Brain, iface: IfIndex): void {
  const old = brain.topology.link(iface);
  if (brain.topology.rule(iface) !== undefined) loseInterface(brain, iface, 'link-gone', true);
  brain.topology.removeLink(iface);
  brain.ports.delete(iface);
  brain.neighbours.delete(iface);
  if (old?.master !== undefined) hearPort(brain, iface, old.master, undefined);
  if (old !== undefined && old.addresses.length > 0) reviewHosts(brain);
}

export function hearCapture(brain: Brain, iface: IfIndex, open: boolean): void {
  const wasListening = brain.topology.isListening(iface);
  brain.topology.setCapturing(iface, open);
  const link = brain.topology.link(iface);
  if (link !== undefined && !wasListening && brain.topology.isListening(iface)) wakeInterface(brain, link);
}

/** Where a bridge has a MAC; a forgotten one is kept for the day its port goes, and its hosts are asked soon. */
export function hearFdb(brain: Brain, bridge: IfIndex, mac: Mac, port: IfIndex | undefined): void {
  let ports = brain.ports.get(bridge);
  if (port !== undefined) {
    if (ports === undefined) {
      ports = new Map();
      brain.ports.set(bridge, ports);
    }
    ports.set(mac, port);
    return;
  }
  for (const host of brain.table.withMac(mac)) {
    if (host.claimed && host.place?.iface === bridge) probeNow(brain, host);
  }
}

/** All that we held on an interface is gone with it. `routesDeleted`: the kernel took the routes itself. */
function loseInterface(brain: Brain, iface: IfIndex, cause: Cause, routesDeleted: boolean): void {
  brain.waiting.clear(iface);
  for (const host of [...brain.table.on(iface)]) {
    if (host.candidate?.place.iface === iface) brain.abandonCandidate(host, cause);
    if (!host.held) continue;
    const remote = brain.fib.remote(host.ip);
    const tooSoon = remote !== undefined && brain.now - remote.since < GHOST_WINDOW_MS;
    if (routesDeleted && host.claimed && tooSoon) {
      brain.enter(host, 'remembered', cause);
      host.ghost = 'waiting';
    } else brain.withdraw(host, cause);
  }
}

/** Our MAC changed: their entry for the gateway is stale until a question of ours repairs it (RFC 826). */
function askSoon(brain: Brain, link: Link): void {
  const keepaliveMs = brain.topology.rule(link.index)?.keepaliveMs ?? 0;
  let order = 0;
  for (const host of brain.table.on(link.index)) {
    if (host.claimed && host.place?.iface === link.index) hasten(brain, host, keepaliveMs, order++);
  }
}

/** Asked soon, spread so that 100,000 do not speak at once. */
function hasten(brain: Brain, host: Host, keepaliveMs: number, order: number): void {
  host.keepaliveAt = Math.min(host.keepaliveAt, brain.now + Math.min(keepaliveMs, order / 10));
  host.keepaliveSetAt = brain.now;
  brain.touch(host);
}

function wakeInterface(brain: Brain, link: Link): void {
  const hosts = [...brain.table.onNamed(link.name)];
  const keepaliveMs = brain.topology.rule(link.index)?.keepaliveMs ?? 0;
  let order = 0;
  for (const host of hosts) {
    if (host.state === 'remembered') {
      host.wake = { left: [...WAKE_MS], start: brain.now };
      brain.touch(host);
    } else if (host.claimed && host.lastHeard < brain.now) {
      // Adopted, or unheard while capture was closed.
      hasten(brain, host, keepaliveMs, order++);
    }
  }
}

/** The next probe of a host that is remembered on an interface that came back. */
export function wakeHost(brain: Brain, host: Host): void {
  const wake = host.wake;
  const link = host.interface === undefined ? undefined : brain.topology.linkNamed(host.interface);
  if (wake === undefined || link === undefined || host.place === undefined) {
    host.wake = undefined;
    return brain.touch(host);
  }
  wake.left.shift();
  if (wake.left.length === 0) host.wake = undefined;
  if (host.candidate === undefined && brain.topology.isListening(link.index)) {
    considerUnlessBarred(brain, host, { iface: link.index, mac: host.place.mac }, 'link-up');
  }
  brain.touch(host);
}

/** A port of a bridge changed: hosts behind it are gone when it is down or no port of that bridge any more. */
function hearPort(brain: Brain, port: IfIndex, bridge: IfIndex, now: Link | undefined): void {
  if (now?.up && now.carrier && now.master === bridge) return;
  const ports = brain.ports.get(bridge);
  if (ports === undefined) return;
  for (const [mac, at] of ports) {
    if (at !== port) continue;
    ports.delete(mac);
    for (const host of [...brain.table.withMac(mac)]) {
      if (host.held && host.place?.iface === bridge) brain.withdraw(host, 'port-down');
    }
  }
}

/** Addresses or policy changed: what may no longer be held is withdrawn, and home is looked at anew. */
export function reviewHosts(brain: Brain): void {
  const { topology } = brain;
  for (const host of [...brain.table.all()]) {
    if (host.place === undefined) continue;
    if (!host.held) {
      readmit(brain, host);
      continue;
    }
    const rule = topology.rule(host.place.iface);
    if (rule === undefined || usable(brain, host.ip, host.place.mac) !== undefined) {
      brain.withdraw(host, 'not-allowed');
      continue;
    }
    const atHome = rule.learn === 'foreign' && topology.isHome(host.place.iface, host.ip);
    if (host.state === 'home' && !atHome) {
      brain.enter(host, 'fresh', 'not-allowed', host.place);
      brain.scheduleKeepalive(host);
    } else if (host.claimed && atHome !== host.returning) {
      host.returning = atHome;
      if (host.state === 'settled') host.ageAt = brain.now + brain.policy.timers.settleMs;
    }
    brain.touch(host);
  }
}

/** It was withdrawn because it was not allowed, and is allowed again: it never went, so it is asked. */
function readmit(brain: Brain, host: Host): void {
  if (host.state !== 'remembered' || host.cause !== 'not-allowed' || host.wake !== undefined) return;
  const { place } = host;
  if (place === undefined || !brain.topology.isListening(place.iface)) return;
  if (usable(brain, host.ip, place.mac) !== undefined) return;
  host.wake = { left: [...WAKE_MS], start: brain.now };
  brain.touch(host);
}
