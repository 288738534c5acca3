import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Child } from '../../system/child-watch.js';
import type { Family } from '../../wire/addresses.js';
import { LineSplitter, launch } from './exec.js';
import { type FdbLine, type NeighbourLine, parseMonitorFdb, parseNeighbour } from './parse-neighbour.js';
import { type RouteLine, parseRoute } from './parse-route.js';

export type MonitorLine =
  | RouteLine
  | NeighbourLine
  | FdbLine
  /** A setting of an interface changed, or of `all` (`inet all rp_filter strict`). */
  | { readonly kind: 'netconf'; readonly dev: string; readonly family: Family }
  /** A nexthop object was deleted, and the routes over it without a word. */
  | { readonly kind: 'nexthop-gone' };

export interface IpMonitorOptions {
  /** Such as `route`. */
  readonly objects: readonly string[];
  readonly onLine: (line: string) => void;
  /** What was read at once has been handed over. */
  readonly onBatchEnd: () => void;
  /** Its socket overran: changes are missed. */
  readonly onOverrun: () => void;
  /** It ended by itself. */
  readonly onEnd: () => void;
  readonly onWarning: (message: string) => void;
}

/**
 * What is monitored as text. An alias of an interface and a label of an address are any text, line breaks included, so
 * links and addresses are not among these: they are read as JSON (watch/link-watch.ts). What is printed here holds no
 * text of others but names of interfaces, which have no white space.
 */
export const TABLES = ['neigh', 'route', 'nexthop', 'netconf'];

const SUBSCRIBE_TIMEOUT_MS = 1000;
/** The kernel bounds the buffer by net.core.rmem_max. */
const BUFFER_BYTES = 32 << 20;

/** One `ip monitor`. */
export class IpMonitor {
  readonly #child: ChildProcess;
  #stopped = false;

  constructor(options: IpMonitorOptions) {
    const args = ['-o', '-d', '-N', '-rcvbuf', String(BUFFER_BYTES), 'monitor', ...options.objects];
    this.#child = launch('ip', args, 'none', ['ignore', 'pipe', 'pipe']);
    const lines = new LineSplitter();
    const onLine = (line: string) => {
      if (!this.#stopped && line !== '') options.onLine(line);
    };
    // Without streams: it could not be started for want of file descriptors, which `error` and `close` report.
    this.#child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      lines.push(text, onLine);
      if (!this.#stopped) options.onBatchEnd();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.#stopped) return;
      if (text.includes('No buffer space')) options.onOverrun();
      else options.onWarning(`ip monitor: ${text.trim()}`);
    });
    this.#child.on('error', (error) => options.onWarning(`ip monitor cannot be started: ${error.message}`));
    this.#child.on('close', () => {
      if (!this.#stopped) options.onEnd();
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get child(): Child | undefined {
    if (this.pid === undefined) return undefined;
    const end = () => void this.#child.kill('SIGKILL');
    return { name: 'ip monitor', pid: this.pid, keep: undefined, silentSince: undefined, end };
  }

  /** Resolves when it is a member of its netlink groups: it reports what happens from now on. */
  async subscribed(): Promise<void> {
    const deadline = performance.now() + SUBSCRIBE_TIMEOUT_MS;
    while (performance.now() < deadline) {
      const { pid, exitCode, signalCode } = this.#child;
      if (pid === undefined || exitCode !== null || signalCode !== null) throw new Error('ip monitor ended');
      // sk Eth Pid Groups ...: protocol 0 is NETLINK_ROUTE.
      for (const row of readFileSync('/proc/net/netlink', 'latin1').split('\n')) {
        const [, protocol, owner, groups] = row.split(/\s+/);
        if (protocol === '0' && Number(owner) === pid && groups !== '00000000') return;
      }
      await delay(1);
    }
  }

  /** Ends it. It reports nothing more. */
  stop(): void {
    this.#stopped = true;
    this.#child.kill('SIGKILL');
  }
}

/** In every line about something with our protocol number. */
export function ownMark(protocol: number): string {
  return ` proto ${protocol} `;
}

/**
 * Whether a line that has our protocol number is our own entry coming back. An administrator who makes a neighbour
 * entry of ours his own leaves our protocol number in it, but not extern_learn.
 */
export function isOwnNotification(line: string): boolean {
  if (line.startsWith('Deleted ')) return false;
  // (An interface may be named like either word.)
  return !line.includes(' PERMANENT proto ') || line.includes(' extern_learn ', line.indexOf(' lladdr '));
}

/**
 * One line of `ip -o -d -N monitor` for TABLES. 'ignored' for what does not concern us, undefined for what is not
 * understood.
 */
export function parseMonitorLine(line: string): MonitorLine | 'ignored' | undefined {
  const deleted = line.startsWith('Deleted ');
  const text = deleted ? line.slice(8) : line;
  const space = text.indexOf(' ');
  const word = space < 0 ? text : text.slice(0, space);
  switch (word) {
    case '': // indented: what is known of a next-hop object
      return 'ignored';
    case 'dev':
      return parseMonitorFdb(text, deleted);
    case 'id':
      return deleted ? { kind: 'nexthop-gone' } : 'ignored';
    case 'inet':
    case 'inet6': {
      const dev = text.split(' ')[1];
      if (deleted) return 'ignored';
      const family = word === 'inet' ? 'ipv4' : 'ipv6';
      return dev === undefined || dev === '' ? undefined : { kind: 'netconf', dev, family };
    }
    case 'mpls':
      return 'ignored';
  }
  if (word.startsWith('\t')) return 'ignored';
  return /^\d+$/.test(word) ? parseRoute(text, deleted) : parseNeighbour(text, deleted);
}
