import { hostname } from 'node:os';
import { readVersion } from './system/version.js';
import type { Capture } from './capture/capture.js';
import type { Config } from './config/config.js';
import { formatTime, installedRecord, recordOf } from './control/records.js';
import type { CommandResult, InterfaceView, MappingView, StatusView } from './control/schemas.js';
import type { Api, LogLevel } from './control/routes.js';
import { ControlServer } from './control/server.js';
import {
  countFamilies,
  countFrozen,
  countRoles,
  pageHosts,
  pageMacs,
  viewChildren,
  viewForeignRoute,
  viewRole,
  viewRoles,
  viewHost,
  viewInterfaces,
  viewMapping,
} from './control/views.js';
import type { Kernel } from './kernel/kernel.js';
import type { MappingSystem } from './mapping-system.js';
import { ALARM_MEANINGS } from './observe/descriptions.js';
import { ALARM_ACTIVE_MS, type Gauges } from './observe/metrics.js';
import type { MappingGauges } from './observe/mapping-metrics.js';
import type { Command, Token } from './mobility/commands.js';
import { ALARMS, type Action, type Event, type IfIndex } from './mobility/events.js';
import type { HostTracker } from './mobility/tracker.js';
import { networkNamespaceOf } from './system/network-namespace.js';
import { formatIp, formatMac } from './wire/addresses.js';
import type { Recorder } from './replay/recorder.js';
import type { WallClock } from './system/wall-clock.js';
import type { Observers } from './observe/observers.js';

/** Each costs the daemon the encoding of every event. */
const MAX_RECORDINGS = 4;

export interface ControlApiOptions {
  readonly router: HostTracker;
  readonly capture: Capture;
  readonly kernel: Kernel;
  /** undefined: there is no [mapping]. */
  readonly mapping: () => MappingSystem | undefined;
  readonly views: Observers;
  readonly recorder: Recorder;
  readonly clock: WallClock;
  /** As it is now. */
  readonly config: () => Config;
  /** For people; undefined when there is no file. */
  readonly configPath: string | undefined;
  readonly linesLost: () => number;
  readonly onEvent: (event: Event) => void;
  /** Reads the configuration again. */
  readonly reload: () => void;
  readonly setLogLevel: (level: LogLevel) => void;
}

export interface Reload {
  /** In ms, of the daemon's clock. */
  readonly at: number;
  readonly ok: boolean;
  readonly message: string;
  /** Keys that take effect only after a restart. */
  readonly needsRestart: readonly string[];
}

/** What clients of the control socket read from the other parts, and ask of the tracker. It changes nothing itself. */
export class ControlApi {
  lastReload: Reload | undefined;
  /** When the configuration in force was read, ms since 1970. */
  configReadAt = Date.now();
  private control: ControlServer | undefined;
  private readonly startedAt = Date.now();
  /** Why an interface is not captured. */
  private readonly captureReasons = new Map<IfIndex, string>();
  /** Commands that the tracker has not answered yet. */
  private readonly commands = new Map<Token, (result: CommandResult) => void>();
  private nextToken: Token = 1;

  constructor(private readonly options: ControlApiOptions) {}

  /** @throws ControlError when another daemon has the socket, among other things */
  async open(warn: (message: string) => void): Promise<void> {
    const { control, prometheus } = this.options.config();
    this.control = await ControlServer.start(this.api(), {
      socket: { path: control.socket, mode: control.mode, group: control.group },
      tcp: control.tcp,
      prometheus: prometheus.listen,
      warn,
    });
  }

  get isOpen(): boolean {
    return this.control !== undefined;
  }

  async stop(): Promise<void> {
    await this.control?.stop();
  }

  /** The tracker's answer to a command. */
  answer({ token, ok, message }: Extract<Action, { kind: 'reply' }>): void {
    this.commands.get(token)?.({ ok, message });
    this.commands.delete(token);
  }

  captureChanged(iface: IfIndex, open: boolean, reason: string): void {
    if (open) this.captureReasons.delete(iface);
    else this.captureReasons.set(iface, reason);
  }

  interfaces(): InterfaceView[] {
    const { router, capture, config } = this.options;
    const known = new Map(capture.stats().interfaces.map((stats) => [stats.iface, stats]));
    return viewInterfaces(router, config().policy, (iface) => ({
      capturing: known.get(iface)?.open ?? false,
      reason: this.captureReasons.get(iface),
      frames: (known.get(iface)?.frames ?? 0) + (known.get(iface)?.suppressed ?? 0),
    }));
  }

  private mapping(): MappingView | undefined {
    const mapping = this.options.mapping();
    return mapping && viewMapping(mapping.status(), mapping.tunnelStats());
  }

  /** Without the text of each mapping: there may be 100,000. */
  private mappingGauges(): MappingGauges | undefined {
    const mapping = this.options.mapping();
    if (mapping === undefined) return undefined;
    const status = mapping.status();
    const { servers, drops, mapServer } = viewMapping(status && { ...status, cache: [] }, undefined);
    return { servers, drops, mapServer, cache: status?.cache ?? [] };
  }

  gauges(): Gauges {
    const { router, kernel, views } = this.options;
    const capture = this.options.capture.stats();
    return {
      hosts: router.counts,
      interfaces: capture.interfaces.map(({ open, ...counts }) => ({
        ...counts,
        capturing: open,
      })),
      capture: { children: capture.children.length, restarts: capture.restarts },
      kernel: kernel.stats(),
      eventSubscribers: this.control?.subscribers ?? 0,
      // Asked by one metric each: the values above are read for every one.
      hostsOn: () => this.interfaces().map(({ name, hosts }) => ({ interface: name, hosts })),
      hostsOf: () => countFamilies(router, this.options.config().policy.families),
      claims: () => countRoles(router),
      frozenHosts: () => countFrozen(router, performance.now()),
      roles: () => viewRoles(router, performance.now()),
      otherRouters: () =>
        [...router.otherRouters()].map(({ iface, gateway }) => ({
          interface: router.link(iface)?.name ?? '',
          gateway: formatIp(gateway),
        })),
      alarms: () =>
        views.history
          .alarms(performance.now())
          .filter(({ agoMs }) => agoMs < ALARM_ACTIVE_MS)
          .map(({ alarm }) => alarm),
      mapping: () => this.mappingGauges(),
      configReload: { ok: this.lastReload?.ok ?? true, lastSuccess: this.configReadAt / 1000 },
      logLinesLost: this.options.linesLost(),
    };
  }

  private api(): Api {
    const { router, views, recorder } = this.options;
    return {
      families: () => this.options.config().policy.families,
      status: () => this.status(),
      hosts: (query) => pageHosts(router, query, performance.now()),
      macs: (query) => pageMacs(router, query, performance.now()),
      host: (ip) => {
        const host = router.host(ip);
        return host === undefined ? undefined : viewHost(router, host, performance.now());
      },
      interfaces: () => this.interfaces(),
      why: (ip) => {
        const host = router.host(ip);
        const now = performance.now();
        const story = views.history.why(ip, now);
        return {
          ...story,
          records: story.records.map((record) => this.dated(record, now)),
          host: host === undefined ? null : viewHost(router, host, now),
          foreignRoute: viewForeignRoute(router, ip),
          role: (host?.attachment && viewRole(router, host.attachment.iface, now)) ?? null,
        };
      },
      drops: (place) => {
        const now = performance.now();
        return views.history.drops(now, place).map((drop) => this.dated(drop, now));
      },
      alarms: () => ({
        alarms: this.alarms(performance.now()),
        kinds: ALARMS.map((alarm) => ({ alarm, ...ALARM_MEANINGS[alarm] })),
      }),
      config: () => ({
        path: this.options.configPath ?? null,
        values: { ...this.options.config().source },
        needsRestart: [...(this.lastReload?.needsRestart ?? [])],
      }),
      mapping: () => this.mapping(),
      reload: () => {
        this.options.reload();
        const { ok, message } = this.lastReload as Reload;
        return { ok, message };
      },
      setLogLevel: (level) => {
        this.options.setLogLevel(level);
        return { ok: true, message: `log level ${level}, until the next reload or restart` };
      },
      command: (command) => this.command(command),
      subscribe: (listener) => this.subscribe(listener),
      record: (stream) => {
        if (recorder.size >= MAX_RECORDINGS) return false;
        recorder.add(stream, { wantsAllFrames: true });
        return true;
      },
      metrics: () => views.metrics.text(),
    };
  }

  private subscribe(listener: (record: object) => void): () => void {
    const originOf = (at: number) => this.options.clock.originOf(at);
    const nameOf = (iface: IfIndex) => this.options.router.link(iface)?.name;
    return this.options.views.subscribe({
      saw: (action) => {
        const record = 'at' in action ? recordOf(action, originOf(action.at), nameOf) : undefined;
        if (record !== undefined) listener(record);
      },
      sawInstalled: (ip, age, dev, latencyMs, now) =>
        listener(installedRecord(ip, age, dev, latencyMs, originOf(now), now)),
    });
  }

  private dated<T extends { readonly agoMs: number | null }>(record: T, now: number) {
    const at = now - (record.agoMs ?? 0);
    return { ...record, time: formatTime(this.options.clock.originOf(at), at) };
  }

  private alarms(now: number) {
    return this.options.views.history.alarms(now).map((alarm) => this.dated(alarm, now));
  }

  private command(command: Command): Promise<CommandResult> {
    const token = this.nextToken++;
    return new Promise((resolve) => {
      this.commands.set(token, resolve);
      this.options.onEvent({ kind: 'command', token, command });
    });
  }

  status(): StatusView {
    const now = performance.now();
    const { router, kernel, views, config, configPath } = this.options;
    const capture = this.options.capture.stats();
    const { protocol, freshTable, settledTable, watchTables, freshMetric, settledMetric } = config().router;
    return {
      hostname: hostname(),
      version: readVersion(),
      pid: process.pid,
      startedAt: new Date(this.startedAt).toISOString(),
      uptimeMs: process.uptime() * 1000,
      configPath: configPath ?? null,
      networkNamespace: networkNamespaceOf('self') ?? null,
      families: [...config().policy.families],
      lastReload:
        this.lastReload === undefined
          ? null
          : { agoMs: now - this.lastReload.at, ok: this.lastReload.ok, message: this.lastReload.message },
      protocol,
      freshTable,
      settledTable,
      watchTables: [...watchTables],
      freshMetric,
      settledMetric,
      hosts: { ...router.counts },
      interfaces: {
        present: this.interfaces().filter((view) => view.present && view.master === null).length,
        capturing: capture.interfaces.filter((view) => view.open).length,
      },
      capture: {
        children: viewChildren(capture.children),
        restarts: capture.restarts,
        frames: capture.frames,
      },
      kernel: kernel.stats(),
      eventLoopLagMs: views.metrics.eventLoopLagMs(),
      rssBytes: process.memoryUsage.rss(),
      alarms: this.alarms(now),
      roles: viewRoles(router, now),
      otherRouters: [...router.otherRouters()].map(({ iface, gateway, mac, since }) => ({
        interface: router.link(iface)?.name ?? null,
        ip: formatIp(gateway),
        mac: formatMac(mac),
        sinceMs: now - since,
      })),
    };
  }
}
