import { ask, probeNow } from './questions.js';
import { type Ip, type Mac, isGroupMac } from '../wire/addresses.js';
import { hasRoom } from './admission.js';
import type { Brain } from './brain.js';
import { usable } from './classify.js';
import type { Command, IfIndex, Memory, Place, Token } from './events.js';
import { arrive, consider } from './arrival.js';
import type { Host } from './host.js';
import {
  hostless,
  noAddresses,
  noRoom,
  ownMac,
  tableFull,
  unaskable,
  unfitInterface,
  unknownHost,
  unknownMac,
  unusableAddress,
} from './refusals.js';
import { remoteAppeared } from './remote.js';

/** After `detach` the dying guest's frames are stale; then it is asked once, in case the migration was cancelled. */
const DETACHED_MS = 1000;

/** Carries out what an operator or a hypervisor says, and answers whether it was accepted. */
export function obey(brain: Brain, token: Token, command: Command): void {
  const refusal =
    command.name === 'probe' || command.name === 'clear'
      ? obeyAddress(brain, command.name, command.ip)
      : obeySignal(brain, command);
  brain.reply(token, refusal === undefined, refusal ?? 'ok');
}

function obeyAddress(brain: Brain, name: 'probe' | 'clear', ip: Ip): string | undefined {
  const host = brain.table.get(ip);
  if (host === undefined) return unknownHost(ip);
  if (name === 'clear') {
    host.contest = undefined;
    host.detached = undefined;
    if (host.place !== undefined) brain.otherRouters.delete(host.place.mac);
    if (host.candidate !== undefined) brain.setCandidate(host, undefined);
    if (host.claimed) brain.withdraw(host, 'clear');
    else if (host.state !== 'unknown') brain.enter(host, 'unknown', 'clear');
    if (host.state === 'remembered' && !host.claimed) probeLastPlace(brain, host);
    // Nobody tells us again of a claim of another router that was there before.
    if (brain.table.get(ip) === undefined && brain.fib.remote(ip) !== undefined) {
      remoteAppeared(brain, ip, false);
    }
    return undefined;
  }
  return probeLastPlace(brain, host) ? undefined : unaskable(ip, host.interface);
}

/** Asks the host where it is held, or where it was last. */
function probeLastPlace(brain: Brain, host: Host): boolean {
  const link = host.interface === undefined ? undefined : brain.topology.linkNamed(host.interface);
  if (host.place === undefined || link === undefined || !brain.topology.isListening(link.index)) return false;
  if (host.held) {
    probeNow(brain, host);
  } else if (host.candidate === undefined) {
    consider(brain, host, { iface: link.index, mac: host.place.mac }, 'command');
  }
  brain.touch(host);
  return true;
}

type Signal = Exclude<Command, { name: 'probe' | 'clear' }>;

/** Checks all addresses before it changes anything: a signal is carried out whole or not at all. */
function obeySignal(brain: Brain, signal: Signal): string | undefined {
  if (signal.mac !== undefined && (signal.mac === 0 || isGroupMac(signal.mac))) return hostless(signal.mac);
  const ips = signal.ips.length > 0 ? signal.ips : addressesOf(brain, signal.mac);
  if (ips.length === 0) return noAddresses(signal.mac);
  if (signal.name === 'detach') {
    for (const ip of ips) detach(brain, ip, signal.interface, signal.mac);
    return undefined;
  }
  const link = brain.topology.linkNamed(signal.interface);
  const unfit = unfitInterface(brain, signal.interface, signal.name === 'attach');
  if (link === undefined || unfit !== undefined) return unfit;
  const places = new Map<Ip, Place>();
  for (const ip of ips) {
    const mac = signal.mac ?? brain.table.get(ip)?.place?.mac;
    if (mac === undefined) return unknownMac(ip);
    if (brain.topology.isOwnMac(mac)) return ownMac(mac);
    const reason = usable(brain, ip, mac);
    if (reason !== undefined) return unusableAddress(ip, reason);
    if (!hasRoom(brain, brain.table.get(ip), link.index)) return noRoom(brain, link.index);
    places.set(ip, { iface: link.index, mac });
  }
  const unknown = ips.filter((ip) => brain.table.get(ip) === undefined);
  if (brain.table.size + unknown.length > brain.policy.limits.hosts) return tableFull(brain);
  for (const [ip, place] of places) {
    if (signal.name === 'prepare') prepare(brain, ip, place, signal.interface);
    else attach(brain, ip, place);
  }
  return undefined;
}

function addressesOf(brain: Brain, mac: Mac | undefined): Ip[] {
  return mac === undefined ? [] : [...brain.table.withMac(mac)].map((host) => host.ip);
}

function prepare(brain: Brain, ip: Ip, place: Place, name: string): void {
  const host = brain.table.get(ip) ?? brain.create(ip);
  if (host.held && host.isAt(place.iface, place.mac)) return;
  host.prepared = place;
  // Known by its MAC, so that RARP finds it; an address held elsewhere keeps its place until the guest speaks here.
  if (host.state === 'unknown' || host.state === 'remembered') {
    brain.table.place(host, place, name);
    brain.enter(host, 'remembered', 'command');
  } else brain.touch(host);
}

function attach(brain: Brain, ip: Ip, place: Place): void {
  const host = brain.table.get(ip) ?? brain.create(ip);
  host.detached = undefined;
  host.contest = undefined;
  host.graceUntil = brain.now + (brain.topology.rule(place.iface)?.holdMs ?? 0);
  if (host.held && host.isAt(place.iface, place.mac)) return brain.touch(host);
  arrive(brain, host, place, 'attach', ask(brain, host, 'prove', place));
}

function detach(brain: Brain, ip: Ip, name: string, mac: Mac | undefined): void {
  const host = brain.table.get(ip);
  if (host?.place === undefined || host.interface !== name) return;
  if (mac !== undefined && host.place.mac !== mac) return;
  const { iface } = host.place;
  if (host.candidate !== undefined) brain.abandonCandidate(host, 'detach');
  host.graceUntil = undefined;
  if (host.held) brain.withdraw(host, 'detach');
  host.detached = { iface, mac: host.place.mac, until: brain.now + DETACHED_MS };
  // Another router may have claimed it already; then its home LAN is told at once.
  if (host.state === 'remembered' && brain.fib.remote(ip) !== undefined) remoteAppeared(brain, ip, false);
  brain.touch(host);
}

/** The second after `detach` is over. */
export function detachOver(brain: Brain, host: Host): void {
  host.detached = undefined;
  if (host.state === 'remembered') probeLastPlace(brain, host);
  brain.touch(host);
}

/** A claim of an earlier run, found in the kernel: kept as settled, and asked as soon as capture hears the answer. */
export function adopt(brain: Brain, ip: Ip, iface: IfIndex, mac: Mac | undefined): void {
  // Whatever is not taken over here is nobody's, and the kernel room's reconciliation deletes it.
  if (mac === undefined || usable(brain, ip, mac) !== undefined || !brain.topology.isUsable(iface)) return;
  const host = brain.table.get(ip) ?? brain.create(ip);
  brain.enter(host, 'settled', 'adopted', { iface, mac });
  host.lastHeard = brain.now;
  host.role = 'incumbent';
  brain.scheduleKeepalive(host);
  if (brain.topology.isListening(iface)) {
    // Capture was faster than the reading of our routes; spread, or 100,000 would speak at once.
    const soonMs = Math.min(brain.keepaliveMs(host), brain.table.size / 10);
    host.keepaliveAt = brain.now + soonMs;
  }
  host.returning = brain.topology.rule(iface)?.learn === 'foreign' && brain.topology.isHome(iface, host.ip);
  brain.touch(host);
}

/** Hosts of an earlier run; they are asked when their interface is heard. */
export function remember(brain: Brain, memories: readonly Memory[]): void {
  for (const { ip, mac, interface: name } of memories) {
    if (brain.table.get(ip) !== undefined || brain.table.size >= brain.policy.limits.hosts) continue;
    const link = brain.topology.linkNamed(name);
    const host = brain.create(ip);
    brain.table.place(host, { iface: link?.index ?? 0, mac }, name);
    brain.enter(host, 'remembered', 'remembered');
    if (link !== undefined && brain.topology.isListening(link.index)) {
      host.wake = { left: [0, 1000, 3000], start: brain.now };
      brain.touch(host);
    }
  }
}
