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
import { WARM_UP_INTERFACES, warmUp } from './mobility/warm-up.js';
import { Dispatcher } from './dispatcher.js';
import { MappingSystem } from './mapping-system.js';
import { KeyFileError } from './mapping/keys.js';
import { TunnelError } from './kernel/tunnel/device.js';
import type { IfIndex } from './mobility/events.js';
import { HostTracker } from './mobility/tracker.js';
import { ControlApi } from './api.js';
import { diagnose } from './doctor/checks.js';
import { gatherFacts } from './doctor/facts.js';
import { describeServed } from './observe/descriptions.js';
import { Recorder } from './replay/recorder.js';
import { RecordRing } from './system/state/record-ring.js';
import { formatTime } from './control/records.js';
import { WallClock } from './system/wall-clock.js';
import { Observers } from './observe/observers.js';
import type { Policy } from './mobility/policy.js';
import type { Prefix } from './wire/addresses.js';

/** By then links have settled and interfaces are captured. */
const DOCTOR_DELAY_MS = 2000;

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

/** Constructs the parts, connects them by the dispatcher, starts and stops them. */
export class Daemon {
  private readonly tracker: HostTracker;
  private readonly kernel: Kernel;
  private readonly capture: Capture;
  private readonly misdirected: StaleNeighbourCapture;
  private readonly observers: Observers;
  private readonly recorder: Recorder;
  private readonly ring: RecordRing | undefined;
  private readonly api: ControlApi;
  private readonly mapping: MappingSystem | undefined;
  private homePrefixes: readonly Prefix[] = [];
  private readonly dispatcher: Dispatcher;
  private readonly nameOf = (iface: IfIndex) => this.tracker.link(iface)?.name;
  private config: Config;
  private doctor: NodeJS.Timeout | undefined;
  private readonly clock = new WallClock();
  private childWatch: ChildWatch | undefined;
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
          policy: this.policy,
          ...this.tracker.seed(),
        };
      },
      onActive: (active) => this.capture.stamp(active),
    });
    const { families } = config.policy;
    this.capture = new Capture({
      families,
      onFrame: (iface, bytes, queuedMs, stampMs) =>
        this.dispatcher.handle({ kind: 'frame', iface, bytes, queuedMs }, stampMs),
      onBatchEnd: () => this.dispatcher.flush(),
      onState: (iface, open, reason) => this.dispatcher.captureChanged(iface, open, reason),
      onMissed: (iface) => this.dispatcher.handle({ kind: 'missed', iface }),
      onFatal: options.onFatal,
      onWarning,
      ...config.capture,
    });
    this.misdirected = new StaleNeighbourCapture({
      families,
      onFrame: (iface, bytes) => this.dispatcher.handle({ kind: 'misdirected-packet', iface, bytes }),
      onBatchEnd: () => this.dispatcher.flush(),
      onFatal: options.onFatal,
      onWarning,
    });
    this.kernel = new Kernel({
      ...config.router,
      families: config.policy.families,
      settings: config.kernel.settings,
      isMobility: (iface) => this.tracker.isMobility(iface),
      lanOf: (iface) => this.tracker.lanOf(iface),
      onEvent: (event) => this.dispatcher.onEvent(event),
      onInstalled: (ip, age, dev) => {
        this.dispatcher.show();
        this.observers.installed(ip, age, dev, performance.now());
      },
      onFlap: (iface) => {
        this.capture.reopen(iface);
        this.misdirected.reopen(iface);
      },
      onSettingChanged: (name, message) => this.dispatcher.settingChanged(name, message),
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
      mapping: () => this.mapping,
      views: observers,
      recorder,
      clock,
      config: () => this.config,
      configPath: options.configPath,
      linesLost: options.linesLost,
      onEvent: (event) => this.dispatcher.onEvent(event),
      reload: () => this.reload(),
      setLogLevel: (level) => {
        logger.level = level;
      },
    });
    this.mapping =
      config.mapping &&
      new MappingSystem({
        config: config.mapping,
        families,
        subnets: config.policy.subnets.map(({ prefix }) => prefix),
        stateDirectory: config.router.stateDirectory,
        onHomePrefixes: (prefixes) => {
          this.homePrefixes = prefixes;
          this.setPolicy(performance.now());
          this.dispatcher.flush();
        },
        onWarning,
        onInfo: (message) => logger.info(message),
      });
    const { misdirected, api, mapping } = this;
    const parts = { tracker, kernel, capture, misdirected, observers, recorder, api, mapping };
    this.dispatcher = new Dispatcher(parts, () => this.config);
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
    await this.startMapping();
    for (const claim of await this.kernel.adopt()) this.dispatcher.onEvent({ kind: 'adopt', ...claim });
    const saved = readSavedHosts(config.router.stateDirectory, (message) => logger.warn(message));
    const memories = allowedHosts(saved, config.policy);
    const left = saved.length - memories.length;
    if (left > 0) {
      logger.warn(
        `hosts.json: ${left} of ${saved.length} hosts left out: the configuration does not allow their address, or does not name their interface`,
      );
    }
    this.dispatcher.onEvent({ kind: 'remember', memories });
    this.dispatcher.flush();
    await this.kernel.reconcile('start');
    logger.info({ version: readVersion(), config: this.options.configPath }, 'marpd started');
    logger.info(describeServed(config.policy, this.tracker.links()));
    this.doctor = setTimeout(() => this.examine(), DOCTOR_DELAY_MS).unref();
  }

  private children(): Child[] {
    return [
      ...this.kernel.children,
      ...this.capture.children,
      ...this.misdirected.children,
      ...(this.mapping?.children ?? []),
    ];
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
      this.setPolicy(at);
      for (const link of this.tracker.links()) {
        this.dispatcher.watchLink(link);
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
    this.dispatcher.flush();
  }

  /** Where the configuration names no subnet, the home prefixes of other routers are allowed as our own ones are. */
  private get policy(): Policy {
    const { policy } = this.config;
    const isOpen = policy.allow === undefined && policy.subnets.length === 0 && this.mapping !== undefined;
    return isOpen ? { ...policy, allow: this.homePrefixes } : policy;
  }

  private setPolicy(at: number): void {
    const actions = this.tracker.setPolicy(this.policy, at);
    this.recorder.policy(this.policy, at, actions);
    this.dispatcher.carryOut(actions);
  }

  private async startMapping(): Promise<void> {
    try {
      await this.mapping?.start();
    } catch (error) {
      if (error instanceof KeyFileError || error instanceof TunnelError) throw new StartError(error.message);
      throw error;
    }
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
    clearTimeout(this.doctor);
    this.dispatcher.stop();
    this.childWatch?.stop();
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
    if (isOpen) await this.mapping?.stop(this.config.router.onExit === 'keep');
    if (isOpen) await this.kernel.stop(this.config.router.onExit);
    this.ring?.stop();
    this.recorder.end();
    await this.api.stop();
    this.dispatcher.show();
    this.observers.stop();
    this.lock.release();
    if (isOpen) logger.info('marpd stopped');
  }
}
