import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DropView, HostView, InterfaceView, StatusView, WhyView } from '../../../src/control/schemas.js';
import type { EventRecord } from '../../../src/control/records.js';
import type { Namespace } from './namespace.js';

/** The build under test: dist/, or the one that MARPD_DIST names (an installed one, a build set aside). */
const DIST = process.env.MARPD_DIST ?? fileURLToPath(new URL('../../../dist', import.meta.url));
export const MARPD = join(DIST, 'main.js');
export const CTL = join(DIST, 'ctl.js');

/** What marpctl said. */
export interface CtlResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A daemon as the lab sees it from outside: through `marpctl --json` where a test asserts, straight through the
 * socket where it polls (a process per question would cost a tenth of a second).
 */
export class Ctl {
  constructor(
    readonly socket: string,
    /** Where marpctl runs: `doctor` looks at the kernel around it. */
    readonly namespace: Namespace,
  ) {}

  /** Runs marpctl to its end. */
  run(...args: readonly string[]): CtlResult {
    const ctl = [process.execPath, CTL, '--socket', this.socket, ...args];
    const [command, ...rest] = this.namespace.argv(...ctl) as [string, ...string[]];
    const options = { encoding: 'utf8', timeout: 15_000, detached: true } as const;
    const result = spawnSync(command, rest, options);
    return { status: result.status ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** `marpctl --json ...`, parsed. @throws when it fails */
  json<T>(...args: readonly string[]): T {
    const result = this.run('--json', ...args);
    if (result.status !== 0) {
      throw new Error(`marpctl ${args.join(' ')}: status ${result.status}: ${result.stderr}${result.stdout}`);
    }
    return JSON.parse(result.stdout) as T;
  }

  /** GET over the socket. undefined when there is no such thing. @throws when nobody listens */
  async get<T>(path: string): Promise<T | undefined> {
    const { status, body } = await this.exchange('GET', path);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
    return JSON.parse(body) as T;
  }

  async post(path: string, body: object): Promise<{ readonly status: number; readonly body: string }> {
    return this.exchange('POST', path, JSON.stringify(body));
  }

  async host(ip: string): Promise<HostView | undefined> {
    return this.get<HostView>(`/v1/hosts/${ip}`);
  }

  async status(): Promise<StatusView> {
    return (await this.get<StatusView>('/v1/status')) as StatusView;
  }

  async interfaces(): Promise<InterfaceView[]> {
    return (await this.get<{ interfaces: InterfaceView[] }>('/v1/interfaces'))?.interfaces ?? [];
  }

  async drops(): Promise<DropView[]> {
    return (await this.get<{ drops: DropView[] }>('/v1/drops'))?.drops ?? [];
  }

  /** How many frames were dropped for this reason. */
  async dropped(reason: DropView['reason']): Promise<number> {
    return (await this.drops()).find((drop) => drop.reason === reason)?.count ?? 0;
  }

  async why(ip: string): Promise<WhyView> {
    return (await this.get<WhyView>(`/v1/why/${ip}`)) as WhyView;
  }

  exchange(
    method: string,
    path: string,
    body?: string,
  ): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      // A connection for each: one that is kept is closed by the daemon while a synchronous command keeps us from reading.
      const options = {
        socketPath: this.socket,
        method,
        path,
        headers,
        timeout: 5000,
        agent: false,
      } as const;
      const asked = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on('error', reject);
      });
      asked.on('timeout', () => asked.destroy(new Error(`${method} ${path}: no answer in 5 s`)));
      asked.on('error', reject);
      asked.end(body);
    });
  }

  /** Follows /v1/events; returns once the stream is open. The stream ends with `stop`, or with the daemon. */
  follow(onRecord: (record: EventRecord) => void): Promise<{ stop(): void }> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socket, path: '/v1/events' }, (response) => {
        let rest = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() as string;
          for (const line of lines) if (line !== '') onRecord(JSON.parse(line) as EventRecord);
        });
        response.on('error', () => {}); // the daemon went away: its status tells
        resolve({ stop: () => asked.destroy() });
      });
      asked.on('error', reject);
      asked.end();
    });
  }
}
