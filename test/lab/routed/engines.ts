import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../kit/namespace.js';
import type { Family } from '../../../src/wire/addresses.js';
import { Bird } from './bird.js';
import { Frr } from './frr.js';

/**
 * Routing daemons in namespaces, started with the very files of config/: their addresses are those of the lab, so
 * what we ship is what we test. Each instance keeps its sockets and state in the lab's directory.
 */

export const ENGINES = ['frr-ospf', 'frr-bgp', 'bird-bgp', 'bird-ospf'] as const;
export type EngineName = (typeof ENGINES)[number];

/** A host route that one of the daemon's tables holds. */
export interface Holding {
  readonly table: 'zebra' | 'ospfd' | 'ospf6d' | 'bgpd' | 'bird';
  readonly ip: string;
  /** Router id of the announcer; zebra does not know it: `local` or `remote`. */
  readonly by: string;
}

export interface Engine {
  readonly name: EngineName;
  readonly namespace: Namespace;
  /** Returns once the daemons take commands; neighbours may still be unknown. */
  start(): Promise<void>;
  /** Ends the daemons in order: what they put into the kernel is gone. */
  stop(): Promise<void>;
  /** kill -9 */
  crash(): Promise<void>;
  /** How many neighbours the protocol that carries host routes has. */
  neighbours(family: Family): number;
  /** Router ids of those it knows a way to; undefined when it has nothing of any other. */
  knownRouters(): ReadonlySet<string> | undefined;
  /** Every /32 and /128 of every table, kernel excepted. */
  holdings(): Holding[];
  /** Lines of configuration, while it runs. */
  configure(...lines: readonly string[]): void;
  /** What one command of its shell prints. */
  show(command: string): string;
  /** All it says about one host, for a failing test. */
  explain(ip: string): string;
  /** What a person types to look at it. */
  readonly commands: readonly string[];
}

const CONFIG = fileURLToPath(new URL('../../../config/', import.meta.url));

/** Settle time that suits the engine: longer than twice its propagation plus the verdict (docs/routing.md). */
export const SETTLE: Readonly<Record<EngineName, string>> = {
  'frr-ospf': '1s',
  'frr-bgp': '1s',
  'bird-bgp': '1s',
  'bird-ospf': '15s',
};

/**
 * The engine of one router.
 * @param config text of its configuration, undefined for config/<daemon>/<protocol>/<role>.conf
 */
export function makeEngine(
  name: EngineName,
  namespace: Namespace,
  config?: string,
  families: readonly Family[] = ['ipv4'],
): Engine {
  const [daemon, protocol] = name.split('-') as [string, string];
  const text = config ?? shippedConfig(name, namespace.role);
  const path = join(namespace.lab.directory, `${namespace.role}-${daemon}-${protocol}.conf`);
  writeFileSync(path, text);
  return daemon === 'frr'
    ? new Frr(name, namespace, path, families)
    : new Bird(name, namespace, path, routerId(text));
}

/** Text of the configuration that we ship for a router of this role. */
export function shippedConfig(name: EngineName, role: string): string {
  return readFileSync(join(CONFIG, name.replace('-', '/'), `${role}.conf`), 'utf8');
}

function routerId(text: string): string {
  return /router.id (\S+?);?$/m.exec(text)?.[1] ?? '';
}
