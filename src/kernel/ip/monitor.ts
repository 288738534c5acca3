import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { LineSplitter, launch } from './exec.js';
import { type AddressLine, type LinkLine, parseLinkOrAddress } from './parse-link.js';
import { type FdbLine, type NeighbourLine, parseMonitorFdb, parseNeighbour } from './parse-neighbour.js';
import { type RouteLine, parseRoute } from './parse-route.js';

export type MonitorLine =
  | LinkLine
  | AddressLine
  | RouteLine
  | NeighbourLine
  | FdbLine
  /** A setting of an interface changed, or of `all` (`inet all rp_filter strict`). */
  | { readonly kind: 'netconf'; readonly dev: string };

export interface IpMonitorOptions {
  /** Our own route protocol number. */
  readonly protocol: number;
  /** A change. What we added ourselves is left out; deletions are not, they may be somebody else's doing. */
  readonly onChange: (line: MonitorLine) => void;
  /** What was read at once has been handed over. */
  readonly onBatchEnd: () => void;
  /** A line that is not understood: a change may be missed. */
  readonly onUnparsed: (line: string) => void;
  /** Its socket overran: changes are missed. */
  readonly onOverrun: () => void;
  /** It ended by itself. */
  readonly onEnd: () => void;
  readonly onWarning: (message: string) => void;
}

const SUBSCRIBE_TIMEOUT_MS = 1000;
const OBJECTS = ['link', 'address', 'neigh', 'route', 'netconf'];
/** The kernel bounds the buffer by net.core.rmem_max. */
const BUFFER_BYTES = 32 << 20;

/** One `ip monitor` for links, addresses, neighbours (bridge forwarding entries are among them) and routes. */
export class IpMonitor {
  readonly #options: IpMonitorOptions;
  readonly #child: ChildProcess;
  readonly #ownMark: string;
  #stopped = false;

  constructor(options: IpMonitorOptions) {
    this.#options = options;
    this.#ownMark = ownMark(options.protocol);
    const args = ['-o', '-d', '-N', '-rcvbuf', String(BUFFER_BYTES), 'monitor', ...OBJECTS];
    this.#child = launch('ip', args, 'none', ['ignore', 'pipe', 'pipe']);
    const lines = new LineSplitter();
    (this.#child.stdout as Readable).setEncoding('latin1').on('data', (text: string) => {
      lines.push(text, (line) => this.#onLine(line));
      if (!this.#stopped) options.onBatchEnd();
    });
    (this.#child.stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
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

  #onLine(line: string): void {
    if (this.#stopped || line === '') return;
    if (line.includes(this.#ownMark) && isOwnNotification(line)) return;
    const parsed = parseMonitorLine(line);
    if (parsed === undefined) this.#options.onUnparsed(line);
    else if (parsed !== 'ignored') this.#options.onChange(parsed);
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
  return !line.includes(' PERMANENT ') || line.includes(' extern_learn ');
}

/**
 * One line of `ip -o -d -N monitor link address neigh route netconf`. 'ignored' for what does not concern us,
 * undefined for what is not understood.
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
    case 'inet': {
      const dev = text.split(' ')[1];
      if (deleted) return 'ignored';
      return dev === undefined || dev === '' ? undefined : { kind: 'netconf', dev };
    }
    case 'inet6':
    case 'mpls':
      return 'ignored';
  }
  if (word.startsWith('\t')) return 'ignored';
  if (word.endsWith(':') && !word.endsWith('::')) return parseLinkOrAddress(text, deleted);
  return /^\d+$/.test(word) ? parseRoute(text, deleted) : parseNeighbour(text, deleted);
}
