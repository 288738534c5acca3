import type { Ip, Mac } from '../wire/addresses.js';
import { isSomebodyNext } from './admission.js';
import { Brain, GHOST_WINDOW_MS } from './brain.js';
import { adopt, obey, remember } from './commands.js';
import type { Action, Event, HostState, IfIndex, Link, Memory } from './events.js';
import { hearFrame, hearWaiting } from './evidence.js';
import type { RemoteClaim } from './fib.js';
import type { Host } from './host.js';
import { nextInquiryDeadline } from './inquiry.js';
import { hearCapture, hearFdb, hearLink, hearLinkGone, reviewHosts } from './links.js';
import { type InterfaceRule, type Policy, ruleFor } from './policy.js';
import { hearRoute, remoteVanished } from './remote.js';
import { hearStray } from './strays.js';
import { tick } from './ticks.js';

/**
 * The brain's door: one event in, the actions that follow from it out. Deterministic; no clock, no I/O. Between events
 * it waits for nothing but `nextDeadline`, at which a `tick` is due.
 */
export class Router {
  private readonly brain: Brain;

  constructor(policy: Policy) {
    this.brain = new Brain(policy);
  }

  /** Takes in one event. `now` in ms on a monotonic clock, never less than at the call before. */
  handle(event: Event, now: number): readonly Action[] {
    const { brain } = this;
    brain.now = now;
    switch (event.kind) {
      case 'frame':
        hearFrame(brain, event.iface, event.bytes);
        break;
      case 'stray':
        hearStray(brain, event.iface, event.bytes);
        break;
      case 'tick':
        tick(brain);
        break;
      case 'route':
        hearRoute(brain, event.change, event.route, event.initial);
        break;
      case 'routes-begin':
        brain.fib.beginDump();
        break;
      case 'routes-end':
        for (const ip of brain.fib.endDump(now)) remoteVanished(brain, ip);
        break;
      case 'link':
        hearLink(brain, event.link);
        break;
      case 'link-gone':
        hearLinkGone(brain, event.iface);
        break;
      case 'capture':
        hearCapture(brain, event.iface, event.open);
        break;
      case 'neighbour':
        this.noteNeighbour(event.iface, event.ip, event.mac);
        break;
      case 'fdb':
        hearFdb(brain, event.bridge, event.mac, event.port);
        break;
      case 'adopt':
        adopt(brain, event.ip, event.iface, event.mac);
        break;
      case 'remember':
        remember(brain, event.memories);
        break;
      case 'installed':
        this.confirm(event.ip);
        break;
      case 'refused':
        this.refused(event.ip);
        break;
      case 'echo-reply':
        break;
      case 'command':
        obey(brain, event.token, event.command);
        break;
    }
    if (!brain.waiting.isEmpty) hearWaiting(brain);
    return brain.takeActions();
  }

  /** When the next `tick` is due, ms on the same clock; undefined when nothing waits. */
  nextDeadline(): number | undefined {
    if (isSomebodyNext(this.brain)) return this.brain.now;
    const next = Math.min(
      this.brain.deadlines.next() ?? Number.POSITIVE_INFINITY,
      nextInquiryDeadline(this.brain),
    );
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  /** Replaces the policy: what it no longer allows is withdrawn. */
  setPolicy(policy: Policy, now: number): readonly Action[] {
    this.brain.now = now;
    this.brain.setPolicy(policy);
    reviewHosts(this.brain);
    return this.brain.takeActions();
  }

  /** Every host that has once been found somewhere, with the MAC that it had there. */
  *acquaintances(): IterableIterator<readonly [Ip, Mac]> {
    for (const { ip, place } of this.brain.table.all()) if (place !== undefined) yield [ip, place.mac];
  }

  // --- views -------------------------------------------------------------------------------------------------------

  get counts(): Readonly<Record<HostState, number>> {
    return this.brain.counts;
  }

  get otherRouters(): ReadonlyMap<Mac, Ip> {
    return this.brain.otherRouters;
  }

  host(ip: Ip): Readonly<Host> | undefined {
    return this.brain.table.get(ip);
  }

  hosts(): IterableIterator<[Ip, Readonly<Host>]> {
    return this.brain.table.entries();
  }

  /** The rule that an interface of this name has, or would have if it were not enslaved. */
  ruleFor(name: string): InterfaceRule | undefined {
    return ruleFor(this.brain.policy, name);
  }

  /** Hosts held or remembered on an interface. */
  countOn(iface: IfIndex): number {
    return this.brain.table.countOn(iface);
  }

  links(): IterableIterator<Link> {
    return this.brain.topology.allLinks();
  }

  link(iface: IfIndex): Link | undefined {
    return this.brain.topology.link(iface);
  }

  remote(ip: Ip): RemoteClaim | undefined {
    return this.brain.fib.remote(ip);
  }

  isMobility(iface: IfIndex): boolean {
    return this.brain.topology.rule(iface) !== undefined;
  }

  /** From when on all claims may be withdrawn at once under the 20 ms rule, ms on the monotonic clock. */
  withdrawableAt(): number {
    let at = Number.NEGATIVE_INFINITY;
    for (const host of this.brain.table.all()) {
      if (host.claimed) at = Math.max(at, this.brain.remoteAppearedAt(host) + GHOST_WINDOW_MS);
    }
    return at;
  }

  /** What to write down at the stop: hosts held now and hosts remembered. */
  memories(): Memory[] {
    const memories: Memory[] = [];
    for (const host of this.brain.table.all()) {
      if (host.place === undefined || host.interface === undefined) continue;
      if (host.held || host.state === 'remembered') {
        memories.push({ ip: host.ip, mac: host.place.mac, interface: host.interface, reason: host.cause });
      }
    }
    return memories;
  }

  private noteNeighbour(iface: IfIndex, ip: Ip, mac: Mac | undefined): void {
    const { neighbours, topology } = this.brain;
    if (topology.rule(iface) === undefined) return;
    let known = neighbours.get(iface);
    if (known === undefined) {
      known = new Map();
      neighbours.set(iface, known);
    }
    if (mac === undefined) known.delete(ip);
    else known.set(ip, mac);
  }

  private confirm(ip: Ip): void {
    const host = this.brain.table.get(ip);
    if (!this.brain.policy.confirmEcho || host?.claimed !== true || host.interface === undefined) return;
    this.brain.emit({ kind: 'echo', ip, dev: host.interface });
  }

  private refused(ip: Ip): void {
    const host = this.brain.table.get(ip);
    if (host?.claimed === true) this.brain.enter(host, 'remembered', 'kernel-refused');
  }
}
