import { hostLength, type Ip, type Mac, readMac } from '../../../src/wire/addresses.js';
import type { Command } from '../../../src/mobility/commands.js';
import type {
  Action,
  Alarm,
  ClaimAge,
  DropReason,
  RoleChange,
  Event,
  IfIndex,
  Link,
  SavedHost,
  Route,
  Transition,
} from '../../../src/mobility/events.js';
import { wordsOf } from '../../../src/capture/family/sender.js';
import { RefreshFilter } from '../../../src/capture/overload/refresh-filter.js';
import type { Policy } from '../../../src/mobility/policy.js';
import { HostTracker } from '../../../src/mobility/tracker.js';
import type { Clock } from './clock.js';
import { Invariants } from '../invariants.js';
import { type KernelListener, PROTOCOL_MARPD, type SimKernel, TABLE_MAIN } from './kernel.js';

export const FRESH_METRIC = 1;
export const SETTLED_METRIC = 210 * 2 ** 24 + 2;

const GHOST_WINDOW_MS = 20;

export interface RoomTimes {
  /** From the wire to the tracker. */
  readonly captureMs: readonly [number, number];
  /** From the tracker to the wire. */
  readonly injectMs: readonly [number, number];
  /** One line of the `ip` co-process. */
  readonly ipMs: readonly [number, number];
  /** From the kernel's change to our hearing of it. */
  readonly monitorMs: readonly [number, number];
  /** A timer that is due fires this much late. */
  readonly timerLateMs: readonly [number, number];
  /** From the start of the daemon until its capture hears. */
  readonly captureOpenMs: number;
}

interface Claim {
  readonly iface: IfIndex;
  readonly mac: Mac;
  readonly age: ClaimAge;
}

/** The daemon around the real tracker: every event goes in, every action is carried out on the fake kernel. */
export class SimRouter implements KernelListener {
  ctx: HostTracker | undefined;
  readonly transitions: Transition[] = [];
  readonly alarms: Alarm[] = [];
  readonly roleChanges: RoleChange[] = [];
  readonly drops = new Map<DropReason, number>();
  readonly invariants: Invariants;
  readonly desired = new Map<Ip, Claim>();
  /** What the daemon wrote at its last planned stop. */
  memories: readonly SavedHost[] = [];
  /** How often the tracker was called, by event kind. */
  readonly events = new Map<Event['kind'], number>();
  /** As in the capture child, but for its size: nothing that a scenario tells may depend on what it keeps back. */
  private refreshFilter = new RefreshFilter(64);
  /** Hosts whose packets to other MACs are looked at, by interface and MAC. */
  private readonly watched = new Map<string, number>();
  private readonly replies = new Map<number, (verdict: { ok: boolean; message: string }) => void>();
  private run = 0;
  private powerCycles = 0;
  private token = 0;
  private timerAt = Number.POSITIVE_INFINITY;
  private readonly queues = { capture: 0, inject: 0, ip: 0, monitor: 0 };

  constructor(
    readonly name: string,
    private readonly clock: Clock,
    readonly kernel: SimKernel,
    private readonly policy: Policy,
    private readonly times: RoomTimes,
  ) {
    this.invariants = new Invariants(name, policy);
    kernel.listeners.add(this);
  }

  start(): void {
    this.run++;
    this.ctx = new HostTracker(this.policy);
    this.refreshFilter = new RefreshFilter(64);
    this.invariants.restart();
    this.desired.clear();
    this.watched.clear();
    const { kernel } = this;
    for (const link of kernel.allLinks()) this.handle({ kind: 'link', link });
    this.handle({ kind: 'routes-begin' });
    for (const route of kernel.allRoutes())
      this.handle({ kind: 'route', change: 'add', route, initial: true });
    this.handle({ kind: 'routes-end' });
    for (const [iface, neighbours] of kernel.neighbours) {
      for (const [ip, { mac }] of neighbours.all()) this.handle({ kind: 'neighbour', iface, ip, mac });
    }
    const earlier = kernel.allRoutes().filter((route) => route.protocol === PROTOCOL_MARPD);
    for (const { prefix, iface, metric } of earlier) {
      if (iface === undefined) continue;
      const mac = kernel.neighbours.get(iface)?.mac(prefix.ip);
      this.handle({
        kind: 'adopt',
        ip: prefix.ip,
        iface,
        mac,
        age: metric === FRESH_METRIC ? 'fresh' : 'settled',
      });
    }
    this.handle({ kind: 'remember', memories: this.memories });
    this.memories = [];
    // What the tracker did not take over is deleted by the kernel room's first reconciliation.
    for (const { prefix } of earlier) if (!this.desired.has(prefix.ip)) this.release(prefix.ip);
    const { run } = this;
    this.clock.after(this.times.captureOpenMs, () => {
      if (this.run !== run) return;
      for (const iface of kernel.neighbours.keys()) {
        const { up, carrier, lower } = kernel.link(iface);
        if (up && carrier && lower === undefined) this.handle({ kind: 'capture', iface, open: true });
      }
    });
  }

  /** Its machine lost its power: nothing is left of what it held. */
  fail(): void {
    this.kill();
    this.powerCycles++;
    this.desired.clear();
    this.memories = [];
  }

  kill(): void {
    this.run++;
    this.ctx = undefined;
    this.timerAt = Number.POSITIVE_INFINITY;
  }

  /** A planned stop. It obeys the 20 ms rule of design.md 3.3 as well: it waits for what it may not delete yet. */
  stop(routes: 'withdraw' | 'keep'): void {
    const { ctx } = this;
    this.memories = ctx?.memories() ?? [];
    const waits = [...this.desired.keys()].map((ip) => ({
      ip,
      until: (ctx?.remote(ip)?.since ?? Number.NEGATIVE_INFINITY) + GHOST_WINDOW_MS + 1,
    }));
    this.kill();
    if (routes === 'withdraw')
      for (const { ip, until } of waits) this.clock.at(until, () => this.release(ip));
  }

  command(command: Command): Promise<{ ok: boolean; message: string }> {
    const token = ++this.token;
    const answered = new Promise<{ ok: boolean; message: string }>((resolve) =>
      this.replies.set(token, resolve),
    );
    this.handle({ kind: 'command', token, command });
    return answered;
  }

  // --- what the rooms hear -----------------------------------------------------------------------------------------

  route(change: 'add' | 'delete', route: Route): void {
    this.later('monitor', () => this.handle({ kind: 'route', change, route, initial: false }));
  }

  link(link: Link): void {
    this.later('monitor', () => {
      this.handle({ kind: 'link', link });
      if (!this.kernel.neighbours.has(link.index) || link.lower !== undefined) return;
      // The capture room re-opens after an outage; until then nothing is heard (design.md 5.1).
      const open = link.up && link.carrier;
      if (!open) this.handle({ kind: 'capture', iface: link.index, open });
      else this.whileRunning(5, () => this.handle({ kind: 'capture', iface: link.index, open }));
      this.later('ip', () => this.reconcile());
    });
  }

  neighbour(iface: IfIndex, ip: Ip, mac: Mac | undefined): void {
    this.later('monitor', () => this.handle({ kind: 'neighbour', iface, ip, mac }));
  }

  frame(iface: IfIndex, bytes: Uint8Array): void {
    if (this.refreshFilter.isRedundant(iface, bytes, bytes.length, () => this.clock.now())) return;
    const copy = bytes.slice();
    this.later('capture', () => this.handle({ kind: 'frame', iface, bytes: copy }));
  }

  /** As the second capture does: only those of the MACs that are watched. */
  packet(iface: IfIndex, bytes: Uint8Array): void {
    if ((this.watched.get(`${iface} ${readMac(bytes, 6)}`) ?? 0) === 0) return;
    this.later('capture', () => this.handle({ kind: 'misdirected-packet', iface, bytes }));
  }

  private handle(event: Event): void {
    const { ctx } = this;
    if (ctx === undefined) return;
    this.events.set(event.kind, (this.events.get(event.kind) ?? 0) + 1);
    const now = this.clock.now();
    this.invariants.before(event, now);
    const actions = ctx.handle(event, now);
    this.invariants.after(event, actions, ctx.nextDeadline(), now);
    for (const action of actions) this.carryOut(action);
    this.arm();
  }

  private arm(): void {
    const next = this.ctx?.nextDeadline();
    if (next === undefined || next === this.timerAt) return;
    this.timerAt = next;
    const { run } = this;
    this.clock.at(next + this.clock.between(...this.times.timerLateMs), () => {
      if (this.run !== run || this.timerAt !== next) return;
      this.timerAt = Number.POSITIVE_INFINITY;
      this.handle({ kind: 'tick' });
    });
  }

  // --- what the rooms do -------------------------------------------------------------------------------------------

  private carryOut(action: Action): void {
    switch (action.kind) {
      case 'send':
        this.later('inject', () => this.kernel.transmit(action.iface, action.bytes), false);
        return;
      case 'claim': {
        const claim = { iface: action.iface, mac: action.mac, age: action.age };
        const displaced = this.desired.get(action.ip);
        this.desired.set(action.ip, claim);
        this.later('ip', () => this.install(action.ip, claim, displaced), false);
        return;
      }
      case 'release':
        this.later('ip', () => this.release(action.ip), false);
        return;
      case 'forget-neighbour': {
        const link = [...this.kernel.allLinks()].find((candidate) => candidate.name === action.dev);
        if (link !== undefined) this.kernel.neighbours.get(link.index)?.remove(action.ip);
        return;
      }
      case 'stuck-route-repair':
        this.later('ip', () => this.haunt(action.ip, action.present), false);
        return;
      case 'suppress-refreshes':
        this.later('inject', () => this.suppress(action.iface, action.ip, action.mac, action.forMs));
        return;
      case 'transition':
        this.transitions.push(action);
        return;
      case 'alarm':
        this.alarms.push(action);
        return;
      case 'drop':
        this.drops.set(action.reason, (this.drops.get(action.reason) ?? 0) + 1);
        return;
      case 'reply':
        this.replies.get(action.token)?.({ ok: action.ok, message: action.message });
        this.replies.delete(action.token);
        return;
      case 'watch-misdirected': {
        const key = `${action.iface} ${action.mac}`;
        this.watched.set(key, (this.watched.get(key) ?? 0) + (action.watch ? 1 : -1));
        return;
      }
      case 'role':
        this.roleChanges.push(action);
        return;
      case 'evidence':
      case 'answered':
        return;
    }
  }

  private suppress(iface: IfIndex, ip: Ip, mac: Mac, forMs: number): void {
    const [high, low] = [Math.floor(mac / 2 ** 32), mac % 2 ** 32];
    const words = wordsOf(ip);
    if (forMs === 0) this.refreshFilter.revoke(iface, words, high, low);
    else this.refreshFilter.suppress(iface, words, high, low, this.clock.now() + forMs);
  }

  /** Neighbour and new route first, then the other one goes: make before break. */
  private install(ip: Ip, claim: Claim, displaced: Claim | undefined): void {
    const { kernel } = this;
    const keep = claim.age === 'fresh' ? FRESH_METRIC : SETTLED_METRIC;
    const drop = claim.age === 'fresh' ? SETTLED_METRIC : FRESH_METRIC;
    const prefix = { ip, length: hostLength(ip) };
    kernel.neighbours.get(claim.iface)?.setPermanent(ip, claim.mac);
    const installed = kernel.replaceRoute({
      prefix,
      table: TABLE_MAIN,
      protocol: PROTOCOL_MARPD,
      metric: keep,
      type: 'unicast',
      iface: claim.iface,
      via: undefined,
    });
    kernel.deleteRoute(prefix, drop, PROTOCOL_MARPD);
    if (displaced !== undefined && displaced.iface !== claim.iface)
      kernel.neighbours.get(displaced.iface)?.remove(ip);
    if (installed) this.whileRunning(0.05, () => this.handle({ kind: 'installed', ip, age: claim.age }));
  }

  private release(ip: Ip): void {
    const { kernel } = this;
    const held = kernel.hostRoutes(ip).filter((route) => route.protocol === PROTOCOL_MARPD);
    this.desired.delete(ip);
    for (const { prefix, metric, iface } of held) {
      kernel.deleteRoute(prefix, metric, PROTOCOL_MARPD);
      if (iface !== undefined) kernel.neighbours.get(iface)?.remove(ip);
    }
  }

  private haunt(ip: Ip, present: boolean): void {
    const prefix = { ip, length: hostLength(ip) };
    if (!present) {
      this.kernel.deleteRoute(prefix, SETTLED_METRIC, PROTOCOL_MARPD);
      return;
    }
    this.kernel.replaceRoute({
      prefix,
      table: TABLE_MAIN,
      protocol: PROTOCOL_MARPD,
      metric: SETTLED_METRIC,
      type: 'blackhole',
      iface: undefined,
      via: undefined,
    });
  }

  /** The kernel room compares desired and installed on every link event (design.md 5.6). */
  private reconcile(): void {
    for (const [ip, claim] of this.desired) {
      const metric = claim.age === 'fresh' ? FRESH_METRIC : SETTLED_METRIC;
      const present = this.kernel.hostRoutes(ip).some((route) => route.metric === metric);
      if (!present && this.kernel.link(claim.iface).up) this.install(ip, claim, undefined);
    }
  }

  private whileRunning(delayMs: number, run: () => void): void {
    const started = this.run;
    this.clock.after(delayMs, () => {
      if (this.run === started) run();
    });
  }

  /** Each room works in order. What was already handed to the `ip` process survives the daemon. */
  private later(room: 'capture' | 'inject' | 'ip' | 'monitor', run: () => void, mortal = true): void {
    const range = this.times[`${room}Ms`];
    const at = Math.max(this.queues[room], this.clock.now() + this.clock.between(...range));
    this.queues[room] = at;
    const { run: started, powerCycles } = this;
    this.clock.at(at, () => {
      if (powerCycles === this.powerCycles && (!mortal || this.run === started)) run();
    });
  }
}
