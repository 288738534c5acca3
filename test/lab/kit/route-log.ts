import type { Namespace } from './namespace.js';
import { Program, waitFor } from './program.js';

/** One change of a namespace's routes, as `ip monitor` saw it. */
export interface RouteChange {
  /** ms since 1970, exact to some tenths of a millisecond. */
  readonly at: number;
  readonly deleted: boolean;
  /** `10.1.1.5 dev lan1 proto 44 scope link metric 1` */
  readonly text: string;
}

/** Every route change in a namespace from now on. */
export class RouteLog {
  readonly changes: RouteChange[] = [];
  #listeners: ((change: RouteChange) => void)[] = [];

  private constructor(program: Program) {
    program.onLine(({ text }) => this.#take(text));
  }

  /** Returns once changes are really seen. */
  static async start(namespace: Namespace): Promise<RouteLog> {
    const program = new Program(namespace, ['ip', '-ts', '-o', 'monitor', 'route'], { quiet: true });
    const log = new RouteLog(program);
    // It does not say that it listens; it does when a change of ours shows up.
    const marker = 'blackhole 203.0.113.255';
    const nudge = setInterval(
      () => namespace.ipQuietly(`route replace ${marker}`, `route del ${marker}`),
      50,
    );
    try {
      await program.line(new RegExp(`Deleted ${marker}`));
    } finally {
      clearInterval(nudge);
    }
    return log;
  }

  onChange(listener: (change: RouteChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Changes of one host's routes at or after `since`, oldest first. */
  of(ip: string, since = 0): RouteChange[] {
    return this.changes.filter((change) => change.at >= since && change.text.startsWith(`${ip} `));
  }

  /** The first route for the host on `dev` that appeared at or after `since`, waited for. */
  async added(ip: string, dev: string, since: number, timeoutMs = 3000): Promise<RouteChange> {
    return waitFor(
      () => this.of(ip, since).find((change) => !change.deleted && change.text.includes(` dev ${dev} `)),
      timeoutMs,
      `a new route to ${ip} on ${dev}`,
      5,
    );
  }

  /** The first route for the host on `dev` that was deleted at or after `since`, waited for. */
  async deleted(ip: string, dev: string, since: number, timeoutMs = 3000): Promise<RouteChange> {
    return waitFor(
      () => this.of(ip, since).find((change) => change.deleted && change.text.includes(` dev ${dev} `)),
      timeoutMs,
      `the end of the route to ${ip} on ${dev}`,
      5,
    );
  }

  // [2026-11-23T09:00:00.123456] Deleted 10.1.1.5 dev lan1 proto 44 scope link metric 1 linkdown
  #take(line: string): void {
    const match = /^\[([^\]]+)\] (Deleted )?(.*)$/.exec(line);
    const at = parseStamp(match?.[1]);
    if (match === null || at === undefined) return;
    const change = {
      at,
      deleted: match[2] !== undefined,
      text: (match[3] as string).replace(/\s+/g, ' ').trim(),
    };
    this.changes.push(change);
    for (const listener of this.#listeners) listener(change);
  }
}

/** ISO time with microseconds, local when it names no zone, to ms since 1970; undefined when it is none. */
export function parseStamp(text: string | undefined): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})(\d*)(Z?)$/.exec(text ?? '');
  if (match === null) return undefined;
  const whole = Date.parse(`${match[1]}.${match[2]}${match[4]}`);
  return whole + Number(`0.${match[3] === '' ? '0' : match[3]}`);
}
