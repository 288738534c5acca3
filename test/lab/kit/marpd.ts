import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TomlTable, stringify } from 'smol-toml';
import { Ctl, MARPD } from './ctl.js';
import type { Namespace } from './namespace.js';
import { Program, waitFor } from './program.js';

/** Sections of marpd.toml; `control.socket` and `router.state_directory` are the fixture's. */
export type MarpdConfig = TomlTable;

/** Routes of ours, as `ip -j -N route show` prints them. */
export interface KernelRoute {
  readonly dst: string;
  readonly dev: string;
  readonly protocol: string;
  readonly metric?: number;
  readonly scope?: string;
  readonly flags: readonly string[];
}

export interface KernelNeighbour {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state: readonly string[];
  readonly extern_learn?: null;
}

/** RTPROT of the routes that marpd installs. */
export const PROTOCOL = '44';

/** The daemon in a namespace, with a socket and a state directory of its own. */
export class Marpd {
  readonly ctl: Ctl;
  readonly socket: string;
  readonly stateDirectory: string;
  readonly configPath: string;
  program: Program | undefined;

  constructor(
    readonly namespace: Namespace,
    readonly config: MarpdConfig,
  ) {
    const { lab, role } = namespace;
    this.stateDirectory = join(lab.directory, `${role}-state`);
    this.socket = join(lab.directory, `${role}.sock`);
    this.configPath = join(lab.directory, `${role}.toml`);
    mkdirSync(this.stateDirectory, { recursive: true });
    this.ctl = new Ctl(this.socket, namespace);
    this.configure(config);
  }

  /** Writes another configuration; a running daemon reads it at SIGHUP or at its next start. */
  configure(config: MarpdConfig): void {
    const router = { state_directory: this.stateDirectory, ...(config.router as TomlTable | undefined) };
    const control = { socket: this.socket, ...(config.control as TomlTable | undefined) };
    const log = { format: 'json', level: 'debug', ...(config.log as TomlTable | undefined) };
    writeFileSync(this.configPath, stringify({ ...config, router, control, log }));
  }

  /** Starts it without waiting. */
  launch(): Program {
    if (!existsSync(MARPD)) throw new Error(`${MARPD} is missing: npm run build`);
    this.program = new Program(this.namespace, [process.execPath, MARPD, '--config', this.configPath], {
      title: 'marpd',
      // no service manager listens here, whatever the test was started from
      env: { NOTIFY_SOCKET: undefined, NODE_OPTIONS: process.env.MARPD_NODE_OPTIONS },
    });
    return this.program;
  }

  /** A line of its log, waited for: it may answer before it has written what it did. */
  async said(pattern: RegExp): Promise<void> {
    if (this.program === undefined) throw new Error('marpd was not started');
    await this.program.line(pattern);
  }

  /** Starts it and waits until its socket answers and every interface in `capturing` is captured. */
  async start(...capturing: readonly string[]): Promise<this> {
    this.launch();
    await this.answers();
    for (const name of capturing) await this.captures(name);
    return this;
  }

  async answers(timeoutMs = 10_000): Promise<void> {
    await waitFor(
      async () => {
        if (this.program?.running === false)
          throw new Error(`marpd ended: ${this.program.status}\n${this.program.output}`);
        try {
          return (await this.ctl.status()) !== undefined;
        } catch {
          return false;
        }
      },
      timeoutMs,
      'the control socket of marpd',
    );
  }

  async captures(name: string, timeoutMs = 5000): Promise<void> {
    await waitFor(
      async () => (await this.ctl.interfaces()).some((view) => view.name === name && view.capturing),
      timeoutMs,
      `the capture of ${name}`,
    );
  }

  get pid(): number {
    if (this.program === undefined) throw new Error('marpd was not started');
    return this.program.pid;
  }

  /** Ends it in order. Returns its exit status. */
  async stop(): Promise<number | NodeJS.Signals> {
    return this.program === undefined ? 0 : this.program.stop('SIGTERM');
  }

  /** kill -9 */
  async crash(): Promise<void> {
    await this.program?.stop('SIGKILL');
  }

  /** Our host routes in the kernel, all tables. */
  routes(): KernelRoute[] {
    return ['-4', '-6'].flatMap((family) => this.#routes(family));
  }

  #routes(...args: readonly [family: string, ...more: string[]]): KernelRoute[] {
    const [family, ...more] = args;
    return this.namespace
      .json<KernelRoute>(family, 'route', 'show', 'table', 'all', 'protocol', PROTOCOL, ...more)
      .map((route) => ({ ...route, dst: route.dst.replace(/\/(32|128)$/, '') }));
  }

  /** Interfaces of our routes for one host; more than one only while a claim ages. */
  routesOf(ip: string): KernelRoute[] {
    return this.#routes(ip.includes(':') ? '-6' : '-4', 'exact', ip);
  }

  /** Waits until the kernel routes the host to `dev` by a route of ours; undefined: until there is none. */
  async routed(ip: string, dev: string | undefined, timeoutMs = 3000): Promise<void> {
    await waitFor(
      () => {
        const routes = this.routesOf(ip);
        return dev === undefined
          ? routes.length === 0
          : routes.length > 0 && routes.every((route) => route.dev === dev);
      },
      timeoutMs,
      dev === undefined ? `no route to ${ip}` : `a route to ${ip} on ${dev} only`,
    );
  }

  /** Waits until the host is in this state. */
  async state(ip: string, state: string | undefined, timeoutMs = 3000): Promise<void> {
    await waitFor(async () => (await this.ctl.host(ip))?.state === state, timeoutMs, `${ip} to be ${state}`);
  }

  neighbours(ip?: string): KernelNeighbour[] {
    return this.namespace.json<KernelNeighbour>('neigh', 'show', ...(ip === undefined ? [] : [ip]));
  }

  /**
   * Compares what the daemon believes with what the kernel holds.
   * @returns differences, one sentence each; none when they agree
   */
  async disagreements(): Promise<string[]> {
    const page = await this.ctl.get<{ hosts: { ip: string; state: string; interface: string | null }[] }>(
      '/v1/hosts?limit=10000',
    );
    const routes = this.routes();
    const routed = new Map(routes.map((route) => [route.dst, route.dev]));
    const claimed = new Map<string, string | null>();
    for (const { ip, state, interface: name } of page?.hosts ?? []) {
      // What is beneath another router's claim has a route only while that claim is there.
      if (state === 'fresh' || state === 'settled' || (state === 'beneath' && routed.has(ip)))
        claimed.set(ip, name);
    }
    const problems: string[] = [];
    for (const [ip, dev] of claimed) {
      if (routed.get(ip) !== dev)
        problems.push(`${ip} is claimed on ${dev}, the kernel says ${routed.get(ip)}`);
    }
    for (const [ip, dev] of routed) {
      if (!claimed.has(ip)) problems.push(`${ip} is routed to ${dev} without a claim`);
    }
    return problems;
  }
}
