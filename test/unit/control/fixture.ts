import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { compareIps, pageOf } from '../../../src/control/paging.js';
import type {
  AlarmView,
  HostView,
  InterfaceView,
  MacView,
  MappingView,
  StatusView,
} from '../../../src/control/schemas.js';
import type { Api, LogLevel } from '../../../src/control/routes.js';
import { type ControlOptions, ControlServer } from '../../../src/control/server.js';
import type { Command } from '../../../src/mobility/commands.js';
import {
  type Family,
  type Ip,
  type Ipv4,
  type Mac,
  contains,
  formatIp,
  formatMac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';

/** A daemon of canned answers behind a real control server, for the tests of both ends of the socket. */

export const host = (ip: string, more: Partial<HostView> = {}): HostView => ({
  ip,
  mac: '02:00:0a:01:01:05',
  interface: 'lan1',
  state: 'settled',
  cause: 'aged',
  sinceMs: 61_000,
  lastHeardMs: 1200,
  rttMs: 0.4,
  deadlineMs: 13_800,
  nextProbeMs: null,
  remote: null,
  foreignRoute: null,
  contest: null,
  ...more,
});

export const lan0: InterfaceView = {
  name: 'lan0',
  pattern: 'lan*',
  present: true,
  index: 3,
  mac: '02:00:00:00:00:01',
  type: 'bridge',
  up: true,
  carrier: true,
  master: null,
  addresses: ['10.1.1.1/24'],
  rpFilter: 1,
  capturing: true,
  reason: null,
  learn: 'foreign',
  prove: 'before',
  keepaliveMs: 5000,
  holdMs: 15_000,
  hosts: 2,
  maxHosts: 200_000,
  role: 'alone',
  roleState: 'active',
  peers: [],
  frames: 12_345,
};

export const status: StatusView = {
  hostname: 'r1',
  version: '0.1.0',
  pid: 4242,
  startedAt: '2024-05-01T12:00:00.000Z',
  uptimeMs: 3_723_000,
  configPath: '/etc/marpd/marpd.toml',
  families: ['ipv4'],
  networkNamespace: '4026531840',
  lastReload: null,
  protocol: 44,
  freshTable: 254,
  settledTable: 254,
  watchTables: [254],
  freshMetric: 1,
  settledMetric: 210 * 2 ** 24 + 2,
  hosts: { unknown: 0, proving: 1, home: 5, fresh: 0, settled: 2, beneath: 0, away: 1, remembered: 3 },
  interfaces: { present: 2, capturing: 2 },
  capture: {
    children: [{ pid: 4243, interfaces: 2, rssBytes: 45_000_000 }],
    restarts: 0,
    frames: 99,
  },
  kernel: { pending: 0, commands: 17, refused: 0, restarts: 0 },
  eventLoopLagMs: 0.2,
  rssBytes: 70_000_000,
  alarms: [],
  roles: [
    {
      interface: 'lan0',
      role: 'gateway',
      state: 'active',
      contests: true,
      reason: 'gateway-here',
      why: 'the gateway address 10.1.1.1 is on vrrp4-1',
      sinceMs: 5000,
    },
  ],
  otherRouters: [],
};

export class FakeDaemon implements Api {
  readonly table = new Map<Ip, HostView>();
  readonly commands: Command[] = [];
  readonly listeners = new Set<(record: object) => void>();
  verdict = { ok: true, message: 'done' };
  broken = false;
  raised: AlarmView[] = [];
  reloads = 0;
  logLevel: LogLevel = 'info';

  addHosts(count: number): void {
    for (let i = 0; i < count; i++) {
      const ip = (0x0a000000 + i) as Ipv4;
      this.table.set(ip, host(formatIp(ip)));
    }
  }

  /** Those that are served; a test may change it. */
  served: readonly Family[] = ['ipv4'];

  families(): readonly Family[] {
    return this.served;
  }

  status(): StatusView {
    if (this.broken) throw new Error('an invariant is broken');
    return status;
  }

  hosts(query: Parameters<Api['hosts']>[0]): ReturnType<Api['hosts']> {
    const accepts = (entry: HostView) =>
      (query.state === undefined || query.state.has(entry.state)) &&
      (query.interface === undefined || entry.interface === query.interface) &&
      (query.mac === undefined || entry.mac === formatMac(query.mac)) &&
      (query.prefix === undefined || contains(query.prefix, parseIp(entry.ip) as Ip));
    const { items, next, total } = pageOf(this.table, accepts, query, compareIps);
    return { hosts: items, next, total };
  }

  macs(query: Parameters<Api['macs']>[0]): ReturnType<Api['macs']> {
    const { limit, after, ...filter } = query;
    const matching = new Set(this.hosts({ ...filter, limit: Number.POSITIVE_INFINITY }).hosts);
    const machines = new Map<Mac, MacView>();
    for (const view of this.table.values()) {
      if (view.mac === null) continue;
      const mac = parseMac(view.mac) as Mac;
      const known = machines.get(mac)?.hosts ?? [];
      machines.set(mac, { mac: view.mac, hosts: [...known, view] });
    }
    const accepts = ({ hosts }: MacView) => hosts.some((view) => matching.has(view));
    const { items, next, total } = pageOf(machines, accepts, { limit, after }, (a, b) => a - b);
    return { macs: items, next, total };
  }

  host(ip: Ip): HostView | undefined {
    return this.table.get(ip);
  }

  interfaces(): InterfaceView[] {
    return [lan0];
  }

  why(ip: Ip): ReturnType<Api['why']> {
    const records = [
      {
        time: '2024-05-01T12:00:01.500250Z',
        agoMs: 1234,
        kind: 'drop' as const,
        times: 3,
        text: 'frame on lan0 ignored: MAC is not the bound one',
      },
    ];
    return {
      ip: formatIp(ip),
      conclusion: 'not learned: MAC is not the bound one',
      host: null,
      role: null,
      foreignRoute: null,
      records,
    };
  }

  drops(place?: string): ReturnType<Api['drops']> {
    if (place !== undefined && place !== 'lan0') return [];
    return [
      {
        reason: 'not-allowed',
        count: 7,
        time: '2024-05-01T12:00:01.500250Z',
        agoMs: 10,
        ip: '192.0.2.1',
        mac: null,
        interface: 'lan0',
        meaning: 'not allowed by policy',
      },
    ];
  }

  alarms(): ReturnType<Api['alarms']> {
    const kinds = [{ alarm: 'duplicate' as const, meaning: 'two hosts', remedy: 'rename one' }];
    return { alarms: this.raised, kinds };
  }

  /** Undefined: there is no [mapping]. */
  mapped: MappingView | undefined;

  mapping(): MappingView | undefined {
    return this.mapped;
  }

  config(): ReturnType<Api['config']> {
    return {
      path: '/etc/marpd/marpd.toml',
      values: { interface: [{ name: 'lan0' }], router: { settle: '2s' }, timers: { keepalive: '1s' } },
      needsRestart: ['kernel.settings'],
    };
  }

  reload(): ReturnType<Api['reload']> {
    this.reloads++;
    return this.verdict;
  }

  setLogLevel(level: LogLevel): ReturnType<Api['setLogLevel']> {
    this.logLevel = level;
    return { ok: true, message: `log level ${level}` };
  }

  async command(command: Command): Promise<{ ok: boolean; message: string }> {
    this.commands.push(command);
    return this.verdict;
  }

  subscribe(listener: (record: object) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  publish(record: object): void {
    for (const listener of this.listeners) listener(record);
  }

  record(stream: Writable): boolean {
    stream.write('a recording');
    return true;
  }

  async metrics(): Promise<string> {
    return '# TYPE marpd_up gauge\nmarpd_up 1\n';
  }
}

export interface Running {
  readonly daemon: FakeDaemon;
  readonly server: ControlServer;
  readonly socket: string;
  readonly directory: string;
  readonly warnings: string[];
}

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'marpd-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A server on a socket of its own, gone when the test ends. */
export async function start(t: TestContext, options: Partial<ControlOptions> = {}): Promise<Running> {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'run', 'marpd.sock');
  const daemon = new FakeDaemon();
  const warnings: string[] = [];
  const server = await ControlServer.start(daemon, {
    socket: { path: socket, mode: 0o660, group: undefined },
    tcp: undefined,
    prometheus: undefined,
    warn: (message) => warnings.push(message),
    ...options,
  });
  t.after(() => server.stop());
  return { daemon, server, socket, directory, warnings };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** One HTTP request; `where` is a socket path or options of node:http. */
export function ask(
  where: string | RequestOptions,
  method: string,
  path: string,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const target = typeof where === 'string' ? { socketPath: where } : where;
    const sent = request({ ...target, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Polls until `holds` is true. */
export async function until(what: string, holds: () => boolean, deadlineMs = 5000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A CA with a server `router` on 127.0.0.1, a client, and a certificate of nobody. */
export function makeCertificates(t: TestContext): (name: string) => string {
  const directory = temporaryDirectory(t);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2');
  openssl(
    'req',
    '-x509',
    ...ec,
    '-keyout',
    'stranger.key',
    '-out',
    'stranger.pem',
    '-subj',
    '/CN=stranger',
    '-days',
    '2',
  );
  for (const [name, subject] of [
    ['server', '/CN=router'],
    ['client', '/CN=hypervisor'],
  ] as const) {
    openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    writeFileSync(join(directory, `${name}.ext`), 'subjectAltName=DNS:router,IP:127.0.0.1');
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  }
  return (name) => join(directory, name);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
