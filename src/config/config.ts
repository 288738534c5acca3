import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { TomlError, parse as parseToml } from 'smol-toml';
import type * as z from 'zod';
import { type ConfigFile, fileSchema, keysAt, protocolProblem, roleAndProve } from './schema.js';
import { type MappingConfig, buildMapping, mappingProblems } from './mapping.js';
import { closest } from './closest.js';
import { familyProblems } from './families.js';
import { formatDurationMs } from './durations.js';
import { type InterfaceRule, type Policy, matchesPattern } from '../mobility/policy.js';
import { type Family, formatIp } from '../wire/addresses.js';

/** TOML text in, typed values out: the only reader of the file. Durations in ms, sizes in bytes. */

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface Config {
  readonly policy: Policy;
  readonly router: {
    readonly protocol: number;
    readonly freshTable: number;
    readonly settledTable: number;
    readonly watchTables: readonly number[];
    readonly remoteProtocols: readonly number[];
    readonly freshMetric: number;
    readonly settledMetric: number;
    readonly settleMs: number;
    readonly onExit: 'withdraw' | 'keep';
    readonly stateDirectory: string;
  };
  readonly kernel: { readonly settings: 'apply' | 'check' };
  /** undefined: off. */
  readonly mapping: MappingConfig | undefined;
  readonly control: {
    readonly socket: string;
    readonly mode: number;
    readonly group: string | undefined;
    /** Mutual TLS; `ca`, `cert` and `key` are file names. */
    readonly tcp:
      | { readonly listen: ListenAddress; readonly ca: string; readonly cert: string; readonly key: string }
      | undefined;
  };
  readonly prometheus: { readonly listen: ListenAddress | undefined };
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'auto' | 'json' | 'pretty';
  };
  /** The file as it was read: what `marpctl config` shows. */
  readonly source: Readonly<Record<string, unknown>>;
  readonly capture: {
    /** libpcap's ring of one interface; absent: as the number of interfaces allows. */
    readonly bufferBytes?: number;
    /** An interface above this rate gets a capture process of its own. */
    readonly floodFramesPerSecond: number;
    /** Size of the flight recorder's files altogether; absent: there is none. */
    readonly recordBytes?: number;
  };
}

/** Everything that is wrong with a configuration, one sentence each, with the path of the key in front. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** `path` is only for messages. @throws ConfigError with every problem found. */
export function parseConfig(text: string, path?: string): Config {
  let raw: Readonly<Record<string, unknown>>;
  try {
    raw = parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n', 1)[0] ?? '';
    throw new ConfigError([
      `${path === undefined ? '' : `${path}: `}line ${error.line}, column ${error.column}: ${reason.replace('Invalid TOML document: ', '')}`,
    ]);
  }
  const parsed = fileSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success) throw new ConfigError(parsed.error.issues.flatMap((issue) => describe(issue)));
  return { ...build(parsed.data), source: raw };
}

/** @throws ConfigError, also when the file cannot be read. */
export function loadConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError([`cannot read ${path}: ${readProblem(error)}`]);
  }
  return parseConfig(text, path);
}

function readProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EISDIR') return 'it is a directory';
  return code === 'EACCES' ? 'permission denied' : message;
}

/**
 * What `marpd --interface lan0 --interface lan1` means: no subnets named, so the connected ones are allowed. `mapping`:
 * lines of mappingLines().
 */
export function configForInterfaces(
  names: readonly string[],
  families: readonly Family[] = ['ipv4'],
  mapping = '',
): Config {
  const tables = names.map((name) => `[[interface]]\nname = ${JSON.stringify(name)}\n`);
  const router = `[router]\nfamilies = ${JSON.stringify(families)}\n`;
  return parseConfig([router, ...tables, mapping].join('\n'));
}

/** The keys of a reloaded configuration that differ and cannot change while the daemon runs. */
export function needsRestart(before: Config, after: Config): string[] {
  const fixed = (config: Config): Record<string, unknown> => ({
    'router.families': config.policy.families,
    ...Object.fromEntries(Object.entries(config.router).map(([key, value]) => [`router.${key}`, value])),
    'kernel.settings': config.kernel.settings,
    mapping: config.mapping,
    control: config.control,
    prometheus: config.prometheus,
    'log.format': config.log.format,
    capture: config.capture,
  });
  const old = fixed(before);
  return Object.entries(fixed(after))
    .filter(([key, value]) => !REPLACEABLE.has(key) && JSON.stringify(value) !== JSON.stringify(old[key]))
    .map(([key]) => key);
}

/** `settleMs` reaches the tracker with its policy; `onExit` is read at the end. */
const REPLACEABLE: ReadonlySet<string> = new Set(['router.settleMs', 'router.onExit']);

function build(file: ConfigFile): Omit<Config, 'source'> {
  const { router, policy, timers, control } = file;
  const problems = familyProblems(file);
  if (file.interface.length === 0 && file.mapping === undefined)
    problems.push(
      'interface: at least one [[interface]] with a name is required (a border router without any needs [mapping])',
    );
  const isMobility = (name: string) => file.interface.some((rule) => matchesPattern(rule.name, name));
  if (file.mapping !== undefined)
    problems.push(
      ...mappingProblems(file.mapping, router, isMobility, (number) => protocolProblem(number, 45)),
    );
  const limits = policy.limits;
  const interfaces = file.interface.map((rule, index): InterfaceRule => {
    const keepaliveMs = rule.keepalive ?? timers.keepalive;
    // LAM's proportion (keepalive 5 min, hold 15 min) for whoever names only the keepalive.
    const holdMs = rule.hold ?? (rule.keepalive === undefined ? timers.hold : undefined) ?? 3 * keepaliveMs;
    if (holdMs <= keepaliveMs) {
      const key =
        rule.hold === undefined && rule.keepalive === undefined ? 'timers.hold' : `interface[${index}].hold`;
      const problem = `${key}: ${formatDurationMs(holdMs)} must be longer than the keepalive (${formatDurationMs(keepaliveMs)})`;
      if (!problems.includes(problem)) problems.push(problem);
    }
    return {
      pattern: rule.name,
      learn: rule.learn,
      prove: rule.prove ?? policy.prove,
      keepaliveMs,
      holdMs,
      keepaliveTimeoutMs: rule.keepalive_timeout ?? timers.keepalive_timeout,
      maxHosts: rule.max_hosts ?? limits.max_hosts,
      role: rule.role,
      peers: rule.peers,
      multicastRouter: rule.multicast_router,
    };
  });
  const gateways = file.subnet.flatMap(({ gateway }) => gateway);
  file.interface.forEach(({ role, peers, prove }, index) => {
    const at = `interface[${index}]`;
    if (role !== 'alone' && prove === undefined && policy.prove !== 'before')
      problems.push(`${at}.role: policy.prove is ${roleAndProve(role, policy.prove)}`);
    if (role === 'gateway' && gateways.length === 0)
      problems.push(
        `${at}.role: "gateway" follows the gateway address of a [[subnet]] on this LAN, and no [[subnet]] names one`,
      );
    for (const peer of peers)
      if (gateways.includes(peer))
        problems.push(
          `${at}.peers: ${formatIp(peer)} is a gateway; name the addresses that the other routers have for themselves`,
        );
  });
  if (problems.length > 0) throw new ConfigError(problems);
  const watchTables = [...new Set(router.watch_tables)];
  // A mapping of a host at another router is a claim of that router.
  const ofMappings = file.mapping === undefined ? [] : [file.mapping.protocol];
  const remoteProtocols = [...new Set([...router.remote_protocols, ...ofMappings])];
  const stateDirectory = router.state_directory ?? dirname(control.socket);
  return {
    policy: {
      families: router.families,
      interfaces,
      subnets: file.subnet.map(({ prefix, gateway, discover, advertise }) => ({
        prefix,
        gateways: gateway,
        discover,
        advertise,
      })),
      allow: policy.allow,
      deny: policy.deny,
      bindings: new Map(policy.bind.map(({ ip, mac }) => [ip, mac])),
      limits: {
        hosts: limits.max_hosts,
        addressesPerMac: { ipv4: limits.addresses_per_mac, ipv6: limits.addresses_per_mac_ipv6 },
        newcomerBurst: limits.newcomer_burst,
        newcomersPerSecond: limits.newcomers_per_second,
        probesPerSecond: limits.probes_per_second,
        remembered: limits.max_remembered,
        rarpLookupCandidates: limits.inquiry_candidates,
      },
      timers: {
        settleMs: router.settle,
        rememberMs: timers.remember,
        acdProbeWaitMs: timers.acd_probe_wait,
        reprobeIntervalMs: timers.reprobe_interval === 0 ? Number.POSITIVE_INFINITY : timers.reprobe_interval,
        freezeMs: timers.freeze,
      },
      watchTables,
      remoteProtocols,
      protocol: router.protocol,
      repairNeighbours: policy.repair_neighbours,
    },
    router: {
      protocol: router.protocol,
      freshTable: router.table,
      settledTable: router.settled_table ?? router.table,
      watchTables,
      remoteProtocols,
      freshMetric: router.fresh_metric,
      settledMetric: router.settled_metric,
      settleMs: router.settle,
      onExit: router.on_exit,
      stateDirectory,
    },
    kernel: file.kernel,
    mapping: file.mapping && buildMapping(file.mapping, stateDirectory),
    control: { socket: control.socket, mode: control.mode, group: control.group, tcp: control.tcp },
    prometheus: { listen: file.prometheus.listen },
    log: file.log,
    capture: {
      ...(file.capture.buffer === undefined ? {} : { bufferBytes: file.capture.buffer }),
      floodFramesPerSecond: file.capture.flood_frames_per_second,
      ...(file.capture.record === undefined ? {} : { recordBytes: file.capture.record }),
    },
  };
}

function describe(issue: z.core.$ZodIssue): string[] {
  const path = formatPath(issue.path);
  const at = path === '' ? '' : `${path}: `;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const keys = keysAt(fileSchema, issue.path);
        const meant = closest(key, keys);
        const hint = meant === undefined ? `known: ${keys.join(', ')}` : `did you mean "${meant}"?`;
        return `${path === '' ? key : `${path}.${key}`}: unknown key (${hint})`;
      });
    case 'invalid_type':
      if (issue.input === undefined) {
        return [`${at}is missing`];
      }
      if (issue.expected === 'array' && issue.path.length === 1)
        return [`${at}must be a list: write [[${path}]], with two brackets`];
      return [`${at}must be ${withArticle(issue.expected)}, not ${JSON.stringify(issue.input)}`];
    case 'invalid_value': {
      const choices = issue.values.map((value) => JSON.stringify(value)).join(' or ');
      return [`${at}must be ${choices}, not ${JSON.stringify(issue.input)}`];
    }
    case 'invalid_union':
      return [
        path === 'mapping.mtu'
          ? `${at}must be a number of bytes or "auto", not ${JSON.stringify(issue.input)}`
          : `${at}must be a table number, "main" or "default", not ${JSON.stringify(issue.input)}`,
      ];
    case 'too_small':
      if (issue.origin === 'array')
        return [`${at}needs at least ${issue.minimum} ${issue.minimum === 1 ? 'entry' : 'entries'}`];
      return [`${at}${JSON.stringify(issue.input)} is too small (minimum: ${issue.minimum})`];
    case 'too_big':
      return [
        issue.origin === 'string'
          ? `${at}${issue.message}`
          : `${at}${JSON.stringify(issue.input)} is too large (maximum: ${issue.maximum})`,
      ];
    case 'invalid_format':
      return [
        issue.format === 'starts_with'
          ? `${at}must be an absolute path, not ${JSON.stringify(issue.input)}`
          : `${at}${issue.message}`,
      ];
    default:
      return [`${at}${issue.message}`];
  }
}

function withArticle(type: string): string {
  if (type === 'string') return 'text in quotes';
  if (type === 'object') return 'a table';
  if (type === 'int' || type === 'number') return 'a whole number';
  return type === 'array' ? 'a list' : `a ${type}`;
}

/** `interface[0].name` */
function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
}
