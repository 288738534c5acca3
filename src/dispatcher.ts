import type { Capture } from './capture/capture.js';
import type { StaleNeighbourCapture } from './capture/stale-neighbours.js';
import type { Config } from './config/config.js';
import type { ControlApi } from './api.js';
import type { Kernel } from './kernel/kernel.js';
import type { MappingSystem } from './mapping-system.js';
import type { Action, Event, IfIndex, Link } from './mobility/events.js';
import type { HostTracker } from './mobility/tracker.js';
import type { Observers } from './observe/observers.js';
import type { Recorder } from './replay/recorder.js';
import { SleepWatch } from './system/sleep-watch.js';
import { growYoungGeneration } from './system/young-generation.js';
import type { Mac } from './wire/addresses.js';

/** From so many claims on a larger young generation is worth its memory. */
const MANY_CLAIMS = 500;

/** What events come from and actions go to. */
export interface Parts {
  readonly tracker: HostTracker;
  readonly kernel: Kernel;
  readonly capture: Capture;
  readonly misdirected: StaleNeighbourCapture;
  readonly observers: Observers;
  readonly recorder: Recorder;
  readonly api: ControlApi;
  /** undefined: there is no [mapping]. */
  readonly mapping: MappingSystem | undefined;
}

/**
 * Gives each event to the tracker, and each action to the part that carries it out. The one clock (milliseconds of
 * `performance.now()`) and the one timer are here.
 */
export class Dispatcher {
  /** What happened since the last flush. */
  private unseen: Action[] = [];
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private readonly sleep = new SleepWatch();
  private flushing = false;
  private claims = 0;
  private stopped = false;

  constructor(
    private readonly parts: Parts,
    private readonly config: () => Config,
  ) {}

  /** Nothing is done any more because of the time. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.timerAt = Number.NEGATIVE_INFINITY;
  }

  /** An event from a source without batches: handled now, flushed at the end of the turn of the event loop. */
  onEvent(event: Event): void {
    this.handle(event);
    if (event.kind === 'link') this.watchLink(event.link);
    if (event.kind === 'link-gone') this.closeCapture(event.iface);
    if (event.kind === 'link' || event.kind === 'link-gone') this.setHomes();
    if (this.flushing) return;
    this.flushing = true;
    setImmediate(() => {
      this.flushing = false;
      this.flush();
    });
  }

  /** `stampMs` is the kernel's time of a frame, ms since 1970, when it is known. */
  handle(event: Event, stampMs?: number): void {
    const now = performance.now();
    const actions = this.parts.tracker.handle(event, now);
    this.parts.recorder.input(event, now, actions, stampMs);
    this.carryOut(actions);
  }

  carryOut(actions: readonly Action[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'send':
          this.parts.capture.send(action.iface, action.bytes);
          this.unseen.push(action);
          break;
        case 'claim':
          if (++this.claims === MANY_CLAIMS) growYoungGeneration();
          this.parts.kernel.carryOut(action);
          this.parts.mapping?.claim(action.ip, action.age);
          break;
        case 'release':
          this.parts.kernel.carryOut(action);
          this.parts.mapping?.release(action.ip);
          break;
        case 'forget-neighbour':
        case 'stuck-route-repair':
          this.parts.kernel.carryOut(action);
          break;
        case 'suppress-refreshes':
          if (!this.parts.recorder.wantsAllFrames)
            this.parts.capture.suppressRefreshes(action.iface, action.ip, action.mac, action.forMs);
          break;
        case 'watch-misdirected':
          this.watchMisdirected(action.iface, action.mac, action.watch);
          break;
        case 'reply':
          this.parts.api.answer(action);
          break;
        default:
          this.unseen.push(action);
      }
    }
  }

  /**
   * The end of a batch of events: everything that was decided is sent, the routes first; then the observers get it, while
   * hosts and kernel work on it; and the timer is set for the next deadline.
   */
  flush(): void {
    this.parts.kernel.flush();
    this.parts.capture.flush();
    this.show();
    const next = this.parts.tracker.nextDeadline();
    if (next === undefined || next >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = next;
    const waitMs = next - performance.now();
    if (waitMs > 0) this.timer = setTimeout(() => this.tick(), waitMs);
    else this.tick();
  }

  show(): void {
    const { unseen } = this;
    if (unseen.length === 0) return;
    this.unseen = [];
    for (const action of unseen) this.parts.observers.record(action);
  }

  /**
   * Answers that wait in a pipe are read before silence is declared: timers run before I/O, immediates after it, so a
   * loop that was held up does not take its own delay for a silent host.
   */
  private tick(): void {
    setImmediate(() => {
      if (this.stopped) return;
      this.timerAt = Number.POSITIVE_INFINITY;
      if (this.parts.capture.isStalled || this.sleep.hasSlept())
        this.handle({ kind: 'missed', iface: undefined });
      this.handle({ kind: 'tick' });
      this.flush();
    });
  }

  settingChanged(name: string | undefined, message: string): void {
    const nobody = { ip: undefined, mac: undefined, otherMac: undefined, otherInterface: undefined };
    const at = performance.now();
    this.unseen.push({ kind: 'alarm', alarm: 'setting-changed', message, interface: name, at, ...nobody });
    this.show();
  }

  // --- interfaces --------------------------------------------------------------------------------------------------

  /** Capture follows the link: open while it is up, whatever its carrier; a capture that saw it down receives nothing more. */
  watchLink(link: Link): void {
    if (this.parts.tracker.isMobility(link.index) && link.up) this.parts.capture.open(link);
    else this.closeCapture(link.index);
    for (const lan of [link.index, link.lower ?? link.index])
      this.parts.misdirected.setOtherOwn(lan, this.parts.tracker.macvlanMacs(lan));
  }

  private setHomes(): void {
    const { mapping, tracker } = this.parts;
    mapping?.setHomes([...tracker.links()].filter(({ index }) => tracker.isMobility(index)));
  }

  private closeCapture(iface: IfIndex): void {
    this.parts.capture.close(iface);
    this.parts.misdirected.close(iface);
  }

  private watchMisdirected(iface: IfIndex, mac: Mac, watch: boolean): void {
    const link = this.parts.tracker.link(iface);
    if (!this.config().policy.repairNeighbours) return;
    if (!watch) this.parts.misdirected.unwatch(iface, mac);
    else if (link !== undefined) {
      const everybody = this.parts.tracker.ruleFor(link.name)?.learn === 'all';
      this.parts.misdirected.watch(link, mac, this.parts.tracker.macvlanMacs(iface), everybody);
    }
  }

  captureChanged(iface: number, open: boolean, reason: string): void {
    this.parts.api.captureChanged(iface, open, reason);
    this.onEvent({ kind: 'capture', iface, open });
  }
}
