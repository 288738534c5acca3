import type { Logger } from 'pino';
import { readVersion } from './system/version.js';
import { Capture } from './capture/capture.js';
import { StaleNeighbourCapture } from './capture/stale-neighbours.js';
import { type Config, ConfigError, configForInterfaces, needsRestart } from './config/config.js';
import { withFamilies } from './config/families.js';
import { Kernel } from './kernel/kernel.js';
import { type Child, ChildWatch } from './system/child-watch.js';
import { excessPrivileges } from './system/confine.js';
import { type InstanceLock, lockInstance } from './system/instance-lock.js';
import { allowedHosts, readSavedHosts, writeSavedHosts } from './system/state/saved-hosts.js';
import { growYoungGeneration } from './system/young-generation.js';
import { WARM_UP_INTERFACES, warmUp } from './mobility/warm-up.js';
import type { Action, Event, IfIndex, Link } from './mobility/events.js';
import { HostTracker } from './mobility/tracker.js';
import { ControlApi } from './api.js';
import { diagnose } from './doctor/checks.js';
import { gatherFacts } from './doctor/facts.js';
import { describeServed } from './observe/descriptions.js';
import type { Mac } from './wire/addresses.js';
import { SleepWatch } from './system/sleep-watch.js';
import { Recorder } from './replay/recorder.js';
import { RecordRing } from './system/state/record-ring.js';
import { formatTime } from './control/records.js';
import { WallClock } from './system/wall-clock.js';
import { Observers } from './observe/observers.js';

/** By then links have settled and interfaces are captured. */
const DOCTOR_DELAY_MS = 2000;
/** From so many claims on a larger young generation is worth its memory. */
const MANY_CLAIMS = 500;

/** The machine is not as the daemon needs it; the message says what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

export interface DaemonOptions {
  readonly config: Config;
  /** For people; undefined when there is no file. */
  readonly configPath: string | undefined;
  readonly logger: Logger;
  /** Reads the configuration again. @throws ConfigError */
  readonly read: () => Config;
  /** Log lines that could not be written. */
  readonly linesLost: () => number;
  /** Called when the daemon cannot go on. */
  readonly onFatal: (message: string) => void;
}

/**
 * Connects the parts: each input becomes an Event, each Action goes to the part that carries it out. The one clock
 * (milliseconds of `performance.now()`) and the one timer are here.
 */
export class Daemon {
  private readonly tracker: HostTracker;
  private readonly kernel: Kernel;
  private readonly capture: Capture;
  private readonly misdirected: StaleNeighbourCapture;
  private readonly observers: Observers;
  private readonly recorder: Recorder;
  private readonly ring: RecordRing | undefined;
  private readonly api: ControlApi;
  private readonly nameOf = (iface: IfIndex) => this.tracker.link(iface)?.name;
  private config: Config;
  /** What happened since the last flush. */
  private unseen: Action[] = [];
  private timer: NodeJS.Timeout | undefined;
  private doctor: NodeJS.Timeout | undefined;
  private readonly sleep = new SleepWatch();
  private readonly clock = new WallClock();
  private childWatch: ChildWatch | undefined;
  private timerAt = Number.POSITIVE_INFINITY;
  private flushing = false;
  private claims = 0;
  private stopping: Promise<void> | undefined;

  /** @throws InstanceError, ControlError, StartError */
  static async start(options: DaemonOptions): Promise<Daemon> {
    // Before anything else: a second instance must not touch what belongs to the first.
    const lock = await lockInstance(options.config.router);
    const daemon = new Daemon(options, lock);
    try {
      await daemon.open();
    } catch (error) {
      await daemon.close();
      throw error;
    }
    return daemon;
  }

  private constructor(
    private readonly options: DaemonOptions,
    private readonly lock: InstanceLock,
  ) {
    const { config, logger } = options;
    this.config = config;
    this.tracker = new HostTracker(config.policy);
    this.observers = new Observers(logger, {
      nameOf: this.nameOf,
      gauges: () => this.api.gauges(),
      timeOf: (at) => formatTime(this.clock.originOf(at), at),
      version: readVersion(),
    });
    const onWarning = (message: string) => this.observers.warn(message);
    this.recorder = new Recorder({
      application: `marpd ${readVersion()}`,
      nameOf: this.nameOf,
      beginning: () => {
        const now = performance.now();
        return {
          originMs: this.clock.originOf(now),
          now,
          policy: this.config.policy,
          ...this.tracker.seed(),
        };
      },
      onActive: (active) => this.capture.stamp(active),
    });
    const { families } = config.policy;
    this.capture = new Capture({
      families,
      onFrame: (iface, bytes, queuedMs, stampMs) =>
        this.handle({ kind: 'frame', iface, bytes, queuedMs }, stampMs),
      onBatchEnd: () => this.flush(),
      onState: (iface, open, reason) => this.captureChanged(iface, open, reason),
      onMissed: (iface) => this.handle({ kind: 'missed', iface }),
      onFatal: options.onFatal,
      onWarning,
      ...config.capture,
    });
    this.misdirected = new StaleNeighbourCapture({
      families,
      onFrame: (iface, bytes) => this.handle({ kind: 'misdirected-packet', iface, bytes }),
      onBatchEnd: () => this.flush(),
      onFatal: options.onFatal,
      onWarning,
    });
    this.kernel = new Kernel({
      ...config.router,
      families: config.policy.families,
      settings: config.kernel.settings,
      isMobility: (iface) => this.tracker.isMobility(iface),
      lanOf: (iface) => this.tracker.lanOf(iface),
      onEvent: (event) => this.onEvent(event),
      onInstalled: (ip, age, dev) => {
        this.show();
        this.observers.installed(ip, age, dev, performance.now());
      },
      onFlap: (iface) => {
        this.capture.reopen(iface);
        this.misdirected.reopen(iface);
      },
      onSettingChanged: (name, message) => this.settingChanged(name, message),
      onWarning,
      onInfo: (message) => logger.info(message),
      onFatal: options.onFatal,
    });
    const { recordBytes } = config.capture;
    this.ring =
      recordBytes === undefined
        ? undefined
        : new RecordRing(config.router.stateDirectory, recordBytes, this.recorder, onWarning);
    const { tracker, capture, kernel, observers, recorder, clock } = this;
    this.api = new ControlApi({
      router: tracker,
      capture,
      kernel,
      views: observers,
      recorder,
      clock,
      config: () => this.config,
      configPath: options.configPath,
      linesLost: options.linesLost,
      onEvent: (event) => this.onEvent(event),
      reload: () => this.reload(),
      setLogLevel: (level) => {
        logger.level = level;
      },
    });
  }

  /** The control socket first: without it nobody could see or stop what follows. */
  private async open(): Promise<void> {
    const { config, logger } = this.options;
    await this.api.open((message) => this.observers.warn(message));
    this.childWatch = new ChildWatch(
      () => this.children(),
      (message) => logger.warn(message),
    );
    warmUp(configForInterfaces(WARM_UP_INTERFACES, config.policy.families).policy);
    await this.kernel.start();
    for (const view of this.api.interfaces()) {
      if (!view.present) logger.warn(`${view.name}: interface not found; waiting for it to appear`);
      else if (view.master !== null)
        logger.warn(`${view.name} is a port of ${view.master}: name ${view.master} as [[interface]] instead`);
    }
    for (const claim of await this.kernel.adopt()) this.onEvent({ kind: 'adopt', ...claim });
    const saved = readSavedHosts(config.router.stateDirectory, (message) => logger.warn(message));
    const memories = allowedHosts(saved, config.policy);
    const left = saved.length - memories.length;
    if (left > 0) {
      logger.warn(
        `hosts.json: ${left} of ${saved.length} hosts left out: the configuration does not allow their address, or does not name their interface`,
      );
    }
    this.onEvent({ kind: 'remember', memories });
    this.flush();
    await this.kernel.reconcile('start');
    logger.info({ version: readVersion(), config: this.options.configPath }, 'marpd started');
    logger.info(describeServed(config.policy, this.tracker.links()));
    this.doctor = setTimeout(() => this.examine(), DOCTOR_DELAY_MS).unref();
  }

  private children(): Child[] {
    return [...this.kernel.children, ...this.capture.children, ...this.misdirected.children];
  }

  private examine(): void {
    this.logErrors().catch((error: unknown) => {
      this.options.logger.warn(`doctor cannot look at this machine: ${String(error)}`);
    });
  }

  /** What `marpctl doctor` would call an error is logged once, and which privileges could not be dropped. */
  private async logErrors(): Promise<void> {
    const { config, api } = this;
    for (const message of excessPrivileges(this.children())) this.options.logger.warn(message);
    const daemon = { ...api.status(), interfaces: api.interfaces() };
    const findings = diagnose(await gatherFacts(config, process.pid), config, daemon);
    if (this.stopping !== undefined) return;
    for (const { level, check, message, fix } of findings) {
      if (level === 'error') this.options.logger.error(`doctor: ${check}: ${message} (fix: ${fix})`);
    }
  }

  /** Reads the configuration again. A bad one is refused whole and the old one stays. */
  reload(): void {
    const at = performance.now();
    const { logger } = this.options;
    const report = (ok: boolean, message: string, needsRestart: readonly string[]) => {
      this.api.lastReload = { at, ok, message, needsRestart };
      if (ok) this.api.configReadAt = Date.now();
      logger[ok ? 'info' : 'error'](message);
    };
    try {
      const config = this.options.read();
      const fixed = needsRestart(this.config, config);
      const { onExit } = config.router;
      const policy = withFamilies(config.policy, this.config.policy.families);
      this.config = {
        ...this.config,
        policy,
        log: config.log,
        source: config.source,
        router: { ...this.config.router, onExit },
      };
      logger.level = config.log.level;
      const actions = this.tracker.setPolicy(policy, at);
      this.recorder.policy(policy, at, actions);
      this.carryOut(actions);
      for (const link of this.tracker.links()) {
        this.watchLink(link);
        this.kernel.applySettings(link);
      }
      const rest = fixed.length === 0 ? '' : `; restart required for: ${fixed.join(', ')}`;
      report(true, `configuration reloaded${rest}`, fixed);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      report(
        false,
        `configuration refused, the previous one stays in force: ${error.message}`,
        this.api.lastReload?.needsRestart ?? [],
      );
    }
    this.flush();
  }

  /** Writes the memory, withdraws or keeps the routes as configured, and leaves nothing running. */
  stop(): Promise<void> {
    this.stopping ??= this.close();
    return this.stopping;
  }

  private async close(): Promise<void> {
    const { logger } = this.options;
    // Otherwise nothing was started yet.
    const { isOpen } = this.api;
    clearTimeout(this.timer);
    clearTimeout(this.doctor);
    this.childWatch?.stop();
    this.timerAt = Number.NEGATIVE_INFINITY;
    if (isOpen) {
      try {
        writeSavedHosts(this.config.router.stateDirectory, this.tracker.memories(), new Date());
      } catch (error) {
        logger.warn(`cannot write hosts.json, remembered hosts are lost: ${String(error)}`);
      }
    }
    await Promise.all([this.capture.stop(), this.misdirected.stop()]);
    const waitMs = this.tracker.withdrawableAt() - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (isOpen) await this.kernel.stop(this.config.router.onExit);
    this.ring?.stop();
    this.recorder.end();
    await this.api.stop();
    this.show();
    this.observers.stop();
    this.lock.release();
    if (isOpen) logger.info('marpd stopped');
  }

  // --- events and actions ----------------------------------------------------------------------------------------

  /** An event from a source without batches: handled now, flushed at the end of the turn of the event loop. */
  private onEvent(event: Event): void {
    this.handle(event);
    if (event.kind === 'link') this.watchLink(event.link);
    if (event.kind === 'link-gone') this.closeCapture(event.iface);
    if (this.flushing) return;
    this.flushing = true;
    setImmediate(() => {
      this.flushing = false;
      this.flush();
    });
  }

  /** `stampMs` is the kernel's time of a frame, ms since 1970, when it is known. */
  private handle(event: Event, stampMs?: number): void {
    const now = performance.now();
    const actions = this.tracker.handle(event, now);
    this.recorder.input(event, now, actions, stampMs);
    this.carryOut(actions);
  }

  private carryOut(actions: readonly Action[]): void {
    for (const action of actions) {
      switch (action.kind) {
        case 'send':
          this.capture.send(action.iface, action.bytes);
          this.unseen.push(action);
          break;
        case 'claim':
          if (++this.claims === MANY_CLAIMS) growYoungGeneration();
          this.kernel.carryOut(action);
          break;
        case 'release':
        case 'forget-neighbour':
        case 'stuck-route-repair':
          this.kernel.carryOut(action);
          break;
        case 'suppress-refreshes':
          if (!this.recorder.wantsAllFrames)
            this.capture.suppressRefreshes(action.iface, action.ip, action.mac, action.forMs);
          break;
        case 'watch-misdirected':
          this.watchMisdirected(action.iface, action.mac, action.watch);
          break;
        case 'reply':
          this.api.answer(action);
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
  private flush(): void {
    this.kernel.flush();
    this.capture.flush();
    this.show();
    const next = this.tracker.nextDeadline();
    if (next === undefined || next >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = next;
    const waitMs = next - performance.now();
    if (waitMs > 0) this.timer = setTimeout(() => this.tick(), waitMs);
    else this.tick();
  }

  private show(): void {
    const { unseen, observers } = this;
    if (unseen.length === 0) return;
    this.unseen = [];
    for (const action of unseen) observers.record(action);
  }

  /**
   * Answers that wait in a pipe are read before silence is declared: timers run before I/O, immediates after it, so a
   * loop that was held up does not take its own delay for a silent host.
   */
  private tick(): void {
    setImmediate(() => {
      if (this.stopping !== undefined) return;
      this.timerAt = Number.POSITIVE_INFINITY;
      if (this.capture.isStalled || this.sleep.hasSlept()) this.handle({ kind: 'missed', iface: undefined });
      this.handle({ kind: 'tick' });
      this.flush();
    });
  }

  private settingChanged(name: string | undefined, message: string): void {
    const nobody = { ip: undefined, mac: undefined, otherMac: undefined, otherInterface: undefined };
    const at = performance.now();
    this.unseen.push({ kind: 'alarm', alarm: 'setting-changed', message, interface: name, at, ...nobody });
    this.show();
  }

  // --- interfaces --------------------------------------------------------------------------------------------------

  /** Capture follows the link: open while it is up, whatever its carrier; a capture that saw it down receives nothing more. */
  private watchLink(link: Link): void {
    if (this.tracker.isMobility(link.index) && link.up) this.capture.open(link);
    else this.closeCapture(link.index);
    for (const lan of [link.index, link.lower ?? link.index])
      this.misdirected.setOtherOwn(lan, this.tracker.macvlanMacs(lan));
  }

  private closeCapture(iface: IfIndex): void {
    this.capture.close(iface);
    this.misdirected.close(iface);
  }

  private watchMisdirected(iface: IfIndex, mac: Mac, watch: boolean): void {
    const link = this.tracker.link(iface);
    if (!this.config.policy.repairNeighbours) return;
    if (!watch) this.misdirected.unwatch(iface, mac);
    else if (link !== undefined) {
      const everybody = this.tracker.ruleFor(link.name)?.learn === 'all';
      this.misdirected.watch(link, mac, this.tracker.macvlanMacs(iface), everybody);
    }
  }

  private captureChanged(iface: number, open: boolean, reason: string): void {
    this.api.captureChanged(iface, open, reason);
    this.onEvent({ kind: 'capture', iface, open });
  }
}
