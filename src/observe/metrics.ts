import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, type MetricObject, Registry, collectDefaultMetrics } from 'prom-client';
import {
  ALARMS,
  type Action,
  type AlarmKind,
  CAUSES,
  type Cause,
  DROP_REASONS,
  EVIDENCE_KINDS,
  HOST_STATES,
  type HostState,
} from '../mobility/events.js';
import type { RouterRole } from '../mobility/events.js';
import { ROLE_KINDS, type RoleKind } from '../mobility/events.js';
import type { Family } from '../wire/addresses.js';
import { type MappingGauges, registerMapping } from './mapping-metrics.js';
import { enumIndex } from './enum-index.js';
import { ROLES, type Role } from '../mobility/host/machines/claim.js';

/** Values that the other parts keep, read when Prometheus asks. Counts only grow. */
export interface Gauges {
  readonly hosts: Readonly<Record<HostState, number>>;
  readonly interfaces: Iterable<{
    readonly name: string;
    readonly frames: number;
    readonly capturing: boolean;
    /** Frames that found the kernel's ring full. */
    readonly kernelDrops?: number;
    /** Frames that the capture process dropped because the daemon did not keep up. */
    readonly dropped?: number;
    /** Frames that the kernel refused to send. */
    readonly sendFailed?: number;
    /** Announcements without news that the capture process suppressed. */
    readonly suppressed?: number;
  }>;
  readonly capture: { readonly children: number; readonly restarts: number };
  readonly kernel: {
    readonly pending: number;
    readonly commands: number;
    readonly refused: number;
    readonly restarts: number;
  };
  readonly eventSubscribers: number;
  /** Hosts of each mobility interface. */
  readonly hostsOn: () => Iterable<{ readonly interface: string; readonly hosts: number }>;
  /** Hosts of each family that is served, in every state. */
  readonly hostsOf: () => Iterable<{ readonly family: Family; readonly hosts: number }>;
  /** Addresses that were contested too often. */
  readonly frozenHosts: () => number;
  /** Claims by the role that they would have in a contest. */
  readonly claims: () => Readonly<Record<Role, number>>;
  /** What this router is on each LAN. */
  readonly roles: () => Iterable<{
    readonly interface: string;
    readonly role: RouterRole;
    readonly state: RoleKind;
  }>;
  /** Each interface and gateway of the configuration for which another machine answers now. */
  readonly otherRouters: () => Iterable<{ readonly interface: string; readonly gateway: string }>;
  /** Alarms that were raised a short time ago. */
  readonly alarms: () => readonly AlarmKind[];
  /** Undefined without [mapping]. */
  readonly mapping: () => MappingGauges | undefined;
  /** Whether the last reload was accepted, and when the configuration in force was read: seconds since 1970. */
  readonly configReload: { readonly ok: boolean; readonly lastSuccess: number };
  /** Log lines that could not be written. */
  readonly logLinesLost: number;
}

/** An alarm is repeated every minute while its reason lasts; a freeze is said once and lasts nine minutes. */
export const ALARM_ACTIVE_MS = 600_000;

/** Names that end in `_total` and are no counters (prom-client): promtool refuses them, and others say the same. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`);

const PURPOSES = ['probe', 'answer', 'announce', 'repair', 'advertise'] as const;
/** From a proof on a quiet LAN to a storm, in seconds. */
const LATENCY_BUCKETS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5];
const LAG_RESOLUTION_MS = 20;
const LAG_WINDOW_MS = 60_000;

const stateCode = enumIndex(HOST_STATES);
const causeCode = enumIndex(CAUSES);
const reasonCode = enumIndex(DROP_REASONS);

/** Counts actions in plain arrays, and makes Prometheus metrics of them only when asked. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #read: () => Gauges;
  readonly #transitions = new Float64Array(HOST_STATES.length * HOST_STATES.length * CAUSES.length);
  readonly #drops = new Float64Array(DROP_REASONS.length);
  readonly #alarms = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  readonly #evidence = new Map<string, number>();
  readonly #installLatency: Histogram<'cause'>;
  readonly #probeRtt: Histogram;
  readonly #lag: IntervalHistogram;
  #lagSince = performance.now();

  constructor(read: () => Gauges, version = '') {
    this.#read = read;
    this.#lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#lag.enable();
    const registers = [this.#registry];
    this.#installLatency = new Histogram({
      name: 'marpd_install_latency_seconds',
      help: 'Time from the frame or command that caused a claim to its installation in the kernel.',
      labelNames: ['cause'],
      buckets: LATENCY_BUCKETS,
      registers,
    });
    this.#probeRtt = new Histogram({
      name: 'marpd_probe_rtt_seconds',
      help: 'Round-trip times of probes that were answered.',
      buckets: LATENCY_BUCKETS,
      registers,
    });
    this.#registerCounts();
    this.#registerGauges();
    registerMapping({
      gauge: (...args) => this.#gauge(...args),
      counter: (...args) => this.#counter(...args),
      read: () => this.#read().mapping(),
    });
    this.#gauge(
      'marpd_build_info',
      'Always 1; the version of marpd and of Node.',
      ['version', 'node'],
      (set) => {
        set({ version, node: process.version }, 1);
      },
    );
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 100 });
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name);
  }

  record(action: Action): void {
    switch (action.kind) {
      case 'send':
        this.#sent.set(action.purpose, (this.#sent.get(action.purpose) ?? 0) + 1);
        return;
      case 'transition': {
        const from = stateCode.get(action.from) as number;
        const to = stateCode.get(action.to) as number;
        const at = (from * HOST_STATES.length + to) * CAUSES.length + (causeCode.get(action.cause) as number);
        this.#transitions[at] = (this.#transitions[at] as number) + 1;
        return;
      }
      case 'drop': {
        const at = reasonCode.get(action.reason) as number;
        this.#drops[at] = (this.#drops[at] as number) + 1;
        return;
      }
      case 'evidence':
        this.#evidence.set(action.evidence, (this.#evidence.get(action.evidence) ?? 0) + 1);
        if (action.rttMs !== undefined) this.#probeRtt.observe(action.rttMs / 1000);
        return;
      case 'alarm':
        this.#alarms.set(action.alarm, (this.#alarms.get(action.alarm) ?? 0) + 1);
        return;
      default:
        return;
    }
  }

  /** The kernel acknowledged a claim this long after the frame or command that led to it. */
  installed(latencyMs: number, cause: Cause): void {
    this.#installLatency.observe({ cause }, latencyMs / 1000);
  }

  /** The event loop's delay, 99th percentile of the last minute or so. */
  eventLoopLagMs(): number {
    // The timer's own period is part of what Node measures.
    const lag = Math.max(0, this.#lag.percentile(99) / 1e6 - LAG_RESOLUTION_MS);
    const now = performance.now();
    if (now - this.#lagSince > LAG_WINDOW_MS) {
      this.#lag.reset();
      this.#lagSince = now;
    }
    return lag;
  }

  /** All metrics in Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Name, type, meaning and labels of each metric, those of Node and the process included. */
  described(): { name: string; type: string; help: string; labels: readonly string[] }[] {
    const metrics = this.#registry.getMetricsAsArray() as (MetricObject & { labelNames?: string[] })[];
    return metrics.map(({ name, type, help, labelNames = [] }) => ({
      name,
      type: `${type}`,
      help,
      labels: labelNames,
    }));
  }

  stop(): void {
    this.#lag.disable();
  }

  #registerCounts(): void {
    this.#counter('marpd_transitions_total', 'State changes of hosts.', ['from', 'to', 'cause'], (add) => {
      let at = 0;
      for (const from of HOST_STATES) {
        for (const to of HOST_STATES) {
          for (const cause of CAUSES) {
            const count = this.#transitions[at++] as number;
            if (count > 0) add({ from, to, cause }, count);
          }
        }
      }
    });
    this.#counter('marpd_drops_total', 'Frames ignored.', ['reason'], (add) => {
      DROP_REASONS.forEach((reason, index) => {
        add({ reason }, this.#drops[index] as number);
      });
    });
    this.#counter('marpd_alarms_total', 'Alarms raised.', ['alarm'], (add) => {
      for (const alarm of ALARMS) add({ alarm }, this.#alarms.get(alarm) ?? 0);
    });
    this.#counter('marpd_frames_sent_total', 'Frames sent.', ['purpose'], (add) => {
      for (const purpose of PURPOSES) add({ purpose }, this.#sent.get(purpose) ?? 0);
    });
    this.#counter('marpd_evidence_total', 'Frames acted on, refreshes excluded.', ['kind'], (add) => {
      for (const kind of EVIDENCE_KINDS) add({ kind }, this.#evidence.get(kind) ?? 0);
    });
    this.#counter('marpd_frames_received_total', 'Frames received.', ['interface'], (add) => {
      for (const { name, frames } of this.#read().interfaces) add({ interface: name }, frames);
    });
    this.#counter(
      'marpd_announcements_suppressed_total',
      'Announcements of known hosts suppressed by the capture process.',
      ['interface'],
      (add) => {
        for (const { name, suppressed = 0 } of this.#read().interfaces) add({ interface: name }, suppressed);
      },
    );
    this.#counter(
      'marpd_frames_lost_total',
      'Frames lost before they reached the daemon.',
      ['interface', 'where'],
      (add) => {
        for (const { name, kernelDrops = 0, dropped = 0 } of this.#read().interfaces) {
          add({ interface: name, where: 'ring' }, kernelDrops);
          add({ interface: name, where: 'capture' }, dropped);
        }
      },
    );
    this.#counter(
      'marpd_send_failures_total',
      'Frames that the kernel refused to send.',
      ['interface'],
      (add) => {
        for (const { name, sendFailed = 0 } of this.#read().interfaces) add({ interface: name }, sendFailed);
      },
    );
    this.#counter('marpd_log_lines_lost_total', 'Log lines that could not be written.', [], (add) =>
      add({}, this.#read().logLinesLost),
    );
    this.#counter(
      'marpd_capture_restarts_total',
      'Capture processes that ended unexpectedly and were replaced.',
      [],
      (add) => {
        add({}, this.#read().capture.restarts);
      },
    );
    this.#counter('marpd_kernel_commands_total', 'Commands given to ip.', [], (add) => {
      add({}, this.#read().kernel.commands);
    });
    this.#counter('marpd_kernel_refusals_total', 'Commands that the kernel refused.', [], (add) => {
      add({}, this.#read().kernel.refused);
    });
    this.#counter(
      'marpd_kernel_restarts_total',
      'ip processes that ended unexpectedly and were replaced.',
      [],
      (add) => {
        add({}, this.#read().kernel.restarts);
      },
    );
  }

  #registerGauges(): void {
    this.#gauge('marpd_hosts', 'Hosts by state.', ['state'], (set) => {
      const { hosts } = this.#read();
      for (const state of HOST_STATES) set({ state }, hosts[state]);
    });
    this.#gauge('marpd_interface_hosts', 'Hosts by interface.', ['interface'], (set) => {
      for (const { interface: name, hosts } of this.#read().hostsOn()) set({ interface: name }, hosts);
    });
    this.#gauge('marpd_family_hosts', 'Hosts by address family.', ['family'], (set) => {
      for (const { family, hosts } of this.#read().hostsOf()) set({ family }, hosts);
    });
    this.#gauge('marpd_claims', 'Claims by their role in a contest of their address.', ['role'], (set) => {
      const claims = this.#read().claims();
      for (const role of ROLES) set({ role }, claims[role]);
    });
    this.#gauge('marpd_frozen_hosts', 'Addresses that were contested too often.', [], (set) => {
      set({}, this.#read().frozenHosts());
    });
    this.#gauge(
      'marpd_role',
      '1 for what this router is on a LAN: state is active or standby.',
      ['interface', 'role', 'state'],
      (set) => {
        for (const { interface: name, role, state } of this.#read().roles()) {
          for (const kind of ROLE_KINDS) set({ interface: name, role, state: kind }, kind === state ? 1 : 0);
        }
      },
    );
    this.#gauge(
      'marpd_other_router',
      '1 while another machine answers for a gateway address: marpd is silent for it on this LAN.',
      ['interface', 'gateway'],
      (set) => {
        for (const { interface: name, gateway } of this.#read().otherRouters())
          set({ interface: name, gateway }, 1);
      },
    );
    this.#gauge('marpd_alarms_active', 'Alarms of the last ten minutes, by kind.', ['alarm'], (set) => {
      const alarms = this.#read().alarms();
      for (const alarm of ALARMS) set({ alarm }, alarms.filter((each) => each === alarm).length);
    });
    this.#gauge(
      'marpd_config_last_reload_successful',
      '0 when the configuration file was refused at the last reload; the one before is in force.',
      [],
      (set) => {
        set({}, this.#read().configReload.ok ? 1 : 0);
      },
    );
    this.#gauge(
      'marpd_config_last_reload_success_timestamp_seconds',
      'When the configuration in force was read.',
      [],
      (set) => {
        set({}, this.#read().configReload.lastSuccess);
      },
    );
    this.#gauge('marpd_interface_capturing', '1 while an interface is captured.', ['interface'], (set) => {
      for (const { name, capturing } of this.#read().interfaces) set({ interface: name }, capturing ? 1 : 0);
    });
    this.#gauge('marpd_capture_children', 'Capture processes.', [], (set) => {
      set({}, this.#read().capture.children);
    });
    this.#gauge(
      'marpd_kernel_commands_pending',
      'Commands that the kernel has not acknowledged yet.',
      [],
      (set) => {
        set({}, this.#read().kernel.pending);
      },
    );
    this.#gauge('marpd_event_subscribers', 'Open event streams (/v1/events).', [], (set) => {
      set({}, this.#read().eventSubscribers);
    });
  }

  #counter<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    collect: (add: (labels: Partial<Record<L, string>>, count: number) => void) => void,
  ): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        collect((labels, count) => this.inc(labels, count));
      },
    });
  }

  #gauge<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    collect: (set: (labels: Partial<Record<L, string>>, value: number) => void) => void,
  ): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        collect((labels, value) => this.set(labels, value));
      },
    });
  }
}
