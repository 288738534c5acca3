import type { Mac } from '../../../src/wire/addresses.js';
import type { Clock } from './clock.js';
import type { SimKernel } from './kernel.js';
import type { Segment } from './segment.js';
import type { RouterName, Tracking } from '../world.js';

/** What RFC 9568 section 6.1 leaves to the configuration, ms. */
export interface VrrpTimes {
  readonly advertMs: number;
  /** From its start, or from the end of a fault, until a router of a higher priority takes over from a living one. */
  readonly preemptDelayMs: number;
}

export interface Member {
  readonly name: RouterName;
  readonly kernel: SimKernel;
  /** Interface on the LAN, and the macvlan of the virtual router. */
  readonly lan: number;
  readonly macvlan: number;
  priority: number;
  /** Its marpd, as a tracking script sees it. */
  readonly marpdRuns: () => boolean;
  readonly uplinkRuns: () => boolean;
}

interface State {
  kind: 'initialize' | 'backup' | 'active';
  /** It may be active and take over from a living one since then. */
  fitSince: number | undefined;
  /** Counts its timers, so that an outdated one does nothing. */
  epoch: number;
}

/**
 * One virtual router on a LAN (RFC 9568 section 6.4). Where the gateway address is in either role is a matter of the
 * daemon: keepalived adds it to a macvlan that is always up, FRR's vrrpd leaves it there and takes the carrier away.
 */
export class VirtualRouter {
  passes = true;
  #tracking: Required<Tracking> = { uplink: true, marpd: false };
  readonly #states = new Map<Member, State>();

  constructor(
    private readonly clock: Clock,
    private readonly segment: Segment,
    private readonly mac: Mac,
    private readonly members: readonly Member[],
    private readonly times: VrrpTimes,
    /** Puts the gateway address where the daemon has it in this role. */
    private readonly show: (member: Member, active: boolean) => void,
  ) {}

  /** All of them at once: there is nobody to take over from. */
  start(): void {
    for (const member of this.members)
      this.#states.set(member, { kind: 'initialize', fitSince: Number.NEGATIVE_INFINITY, epoch: 0 });
    for (const member of this.members) this.show(member, false);
    this.review();
  }

  boot(name: RouterName): void {
    const member = this.#member(name);
    this.#states.set(member, { kind: 'initialize', fitSince: undefined, epoch: 0 });
    this.show(member, false);
    this.review();
  }

  has(name: RouterName): boolean {
    return this.members.some((one) => one.name === name);
  }

  track(what: Tracking): void {
    this.#tracking = { ...this.#tracking, ...what };
    this.review();
  }

  prefer(name: RouterName): void {
    const member = this.#member(name);
    member.priority = Math.max(...this.members.map(({ priority }) => priority)) + 10;
    const state = this.#state(member);
    state.fitSince = Number.NEGATIVE_INFINITY;
    if (state.kind === 'backup') this.#enter(member, 'active');
  }

  /** Links, daemons or what is tracked have changed. */
  review(): void {
    for (const member of this.members) {
      const state = this.#state(member);
      const fit = this.#isFit(member);
      if (fit && state.kind === 'initialize') {
        state.fitSince ??= this.clock.now();
        this.#enter(member, 'backup');
      } else if (!fit && state.kind !== 'initialize') {
        if (state.kind === 'active') this.#advertise(member, 0);
        state.fitSince = undefined;
        this.#enter(member, 'initialize');
      }
    }
  }

  #isFit({ kernel, lan, marpdRuns, uplinkRuns }: Member): boolean {
    if (!kernel.powered || !kernel.link(lan).up || !kernel.link(lan).carrier) return false;
    return (!this.#tracking.uplink || uplinkRuns()) && (!this.#tracking.marpd || marpdRuns());
  }

  #enter(member: Member, kind: State['kind']): void {
    const state = this.#state(member);
    const before = state.kind;
    state.kind = kind;
    state.epoch++;
    if ((before === 'active') !== (kind === 'active') && member.kernel.powered)
      this.show(member, kind === 'active');
    if (kind === 'backup') this.#waitFor(member, this.#downMs(member));
    if (kind === 'active') {
      member.kernel.announce(member.macvlan, this.mac);
      this.#advertiseOn(member, state.epoch);
    }
  }

  /** 3 x interval + skew (RFC 9568 section 6.1). */
  #downMs({ priority }: Member): number {
    return 3 * this.times.advertMs + this.#skewMs(priority);
  }

  #skewMs(priority: number): number {
    return ((256 - Math.min(priority, 255)) * this.times.advertMs) / 256;
  }

  #waitFor(member: Member, ms: number): void {
    const state = this.#state(member);
    const epoch = ++state.epoch;
    this.clock.after(ms + this.clock.between(0, 2), () => {
      if (state.epoch === epoch && state.kind === 'backup') this.#enter(member, 'active');
    });
  }

  #advertiseOn(member: Member, epoch: number): void {
    const state = this.#state(member);
    if (state.epoch !== epoch || state.kind !== 'active') return;
    this.#advertise(member, member.priority);
    this.clock.after(this.times.advertMs, () => this.#advertiseOn(member, epoch));
  }

  #advertise(from: Member, priority: number): void {
    if (!this.passes || !from.kernel.powered) return;
    // It comes from the virtual MAC, so the switch sends there from now on.
    this.segment.learn(this.mac, from.kernel);
    for (const to of this.members) {
      if (to === from || !this.segment.reaches(from.kernel, to.kernel)) continue;
      this.clock.after(this.clock.between(0.1, 0.4), () => this.#hear(to, priority));
    }
  }

  #hear(member: Member, priority: number): void {
    const state = this.#state(member);
    if (!member.kernel.powered || state.kind === 'initialize') return;
    if (state.kind === 'active') {
      if (priority > member.priority) this.#enter(member, 'backup');
      else this.#advertise(member, member.priority);
      return;
    }
    if (priority === 0) return this.#waitFor(member, this.#skewMs(member.priority));
    const fitFor = this.clock.now() - (state.fitSince ?? this.clock.now());
    if (priority < member.priority && fitFor >= this.times.preemptDelayMs)
      return this.#enter(member, 'active');
    this.#waitFor(member, this.#downMs(member));
  }

  #state(member: Member): State {
    const state = this.#states.get(member);
    if (state === undefined) throw new Error(`the VRRP daemon of ${member.name} was never started`);
    return state;
  }

  #member(name: RouterName): Member {
    const member = this.members.find((one) => one.name === name);
    if (member === undefined) throw new Error(`${name} is not on this LAN`);
    return member;
  }
}
