import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Namespace, run } from '../kit/namespace.js';
import { Program, waitFor } from '../kit/program.js';

/**
 * Routing daemons in namespaces, started with the very files of config/: their addresses are those of the lab, so
 * what we ship is what we test. Each instance keeps its sockets and state in the lab's directory.
 */

export const ENGINES = ['frr-ospf', 'frr-bgp', 'bird-bgp', 'bird-ospf'] as const;
export type EngineName = (typeof ENGINES)[number];

/** A host route that one of the daemon's tables holds. */
export interface Holding {
  readonly table: 'zebra' | 'ospfd' | 'bgpd' | 'bird';
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
  neighbours(): number;
  /** Router ids of those it knows a way to; undefined when it has nothing of any other. */
  knownRouters(): ReadonlySet<string> | undefined;
  /** Every /32 of every table, kernel excepted. */
  holdings(): Holding[];
  /** Lines of configuration, while it runs. */
  configure(...lines: readonly string[]): void;
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
export function makeEngine(name: EngineName, namespace: Namespace, config?: string): Engine {
  const [daemon, protocol] = name.split('-') as [string, string];
  const text = config ?? shippedConfig(name, namespace.role);
  const path = join(namespace.lab.directory, `${namespace.role}-${daemon}-${protocol}.conf`);
  writeFileSync(path, text);
  return daemon === 'frr' ? new Frr(name, namespace, path) : new Bird(name, namespace, path, routerId(text));
}

/** Text of the configuration that we ship for a router of this role. */
export function shippedConfig(name: EngineName, role: string): string {
  return readFileSync(join(CONFIG, name.replace('-', '/'), `${role}.conf`), 'utf8');
}

function routerId(text: string): string {
  return /router.id (\S+?);?$/m.exec(text)?.[1] ?? '';
}

interface ZebraRoute {
  readonly prefix: string;
  readonly protocol: string;
}
interface LinkState {
  readonly lsaAge: number;
  readonly linkStateId: string;
  readonly networkMask: number;
  readonly advertisingRouter: string;
}
interface BgpPath {
  readonly nexthops: readonly { readonly ip: string }[];
}

/** LSAs of this age are being flushed (RFC 2328 section 14.1). */
const MAX_AGE = 3600;

/** What of a configuration needs which daemon; zebra and ospfd run on every router. */
const OPTIONAL: Readonly<Record<string, RegExp>> = {
  bgpd: /^router bgp /m,
  bfdd: /^bfd$/m,
  vrrpd: /^ vrrp /m,
};

/** `Nice=` of Debian's frr.service. */
const UNIT_NICE = -5;
/** As config/redundant-routers/daemons starts those that must not be kept waiting for 150 ms. */
const NICE: Readonly<Record<string, number>> = { bfdd: -20, vrrpd: -20 };

class Frr implements Engine {
  readonly commands: readonly string[];
  readonly #daemons: readonly string[];
  readonly #directory: string;
  #running: Program[] = [];

  constructor(
    readonly name: EngineName,
    readonly namespace: Namespace,
    readonly config: string,
  ) {
    const text = readFileSync(config, 'utf8');
    this.#daemons = ['zebra', 'ospfd', 'bgpd', 'bfdd', 'vrrpd'].filter(
      (daemon) => !(daemon in OPTIONAL) || (OPTIONAL[daemon] as RegExp).test(text),
    );
    this.#directory = join(namespace.lab.directory, `${namespace.role}-frr`);
    const shell = `vtysh --vty_socket ${this.#directory}/run`;
    this.commands = [
      `${shell} -c 'show ip route'`,
      name === 'frr-bgp'
        ? `${shell} -c 'show bgp ipv4 unicast'`
        : `${shell} -c 'show ip ospf database external'`,
    ];
  }

  async start(): Promise<void> {
    for (const name of ['run', 'etc', 'tmp']) mkdirSync(join(this.#directory, name), { recursive: true });
    writeFileSync(join(this.#directory, 'etc', 'vtysh.conf'), '');
    run(['chown', '-R', 'frr:frr', this.#directory]);
    chmodSync(this.#directory, 0o755);
    for (const daemon of this.#daemons) {
      // Its paths are compiled in; `ip netns exec` has given us a mount namespace of our own to cover them.
      const places = [
        ['run', '/var/run/frr'],
        ['etc', '/etc/frr'],
        ['tmp', '/var/tmp'],
      ].map(([from, to]) => `mount --bind ${this.#directory}/${from} ${to}`);
      const program = `exec nice -n ${NICE[daemon] ?? UNIT_NICE} /usr/lib/frr/${daemon} -A 127.0.0.1 -P 0 --log stdout`;
      const script = `${places.join(' && ')} && ${program}`;
      this.#running.push(new Program(this.namespace, ['sh', '-c', script], { title: daemon }));
      await waitFor(() => this.#answers(daemon), 10_000, `${daemon} of ${this.namespace.role}`, 20);
    }
    const said = run([...this.#vtysh, '--config_dir', join(this.#directory, 'etc'), '-f', this.config]);
    if (/^%|[Uu]nknown command/m.test(said)) throw new Error(`${this.config}: ${said}`);
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async crash(): Promise<void> {
    await this.#end('SIGKILL');
  }

  neighbours(): number {
    if (this.name === 'frr-bgp') {
      const { ipv4Unicast } = this.#json<{ ipv4Unicast?: { peers: Record<string, { state: string }> } }>(
        'bgpd',
        'show bgp summary json',
      );
      return Object.values(ipv4Unicast?.peers ?? {}).filter((peer) => peer.state === 'Established').length;
    }
    const { neighbors } = this.#json<{ neighbors?: Record<string, { nbrState: string }[]> }>(
      'ospfd',
      'show ip ospf neighbor json',
    );
    return Object.values(neighbors ?? {})
      .flat()
      .filter((neighbour) => neighbour.nbrState.startsWith('Full')).length;
  }

  /** OSPF keeps the link states of a router that has died, for an hour. */
  knownRouters(): ReadonlySet<string> | undefined {
    if (this.name !== 'frr-ospf') return undefined;
    const table = this.#json<Record<string, { readonly routerType?: string }>>(
      'ospfd',
      'show ip ospf route json',
    );
    return new Set(Object.keys(table).filter((key) => table[key]?.routerType !== undefined));
  }

  holdings(): Holding[] {
    const routes = this.#json<Record<string, ZebraRoute[]>>('zebra', 'show ip route json');
    const zebra = Object.values(routes)
      .flat()
      .filter(({ prefix, protocol }) => prefix.endsWith('/32') && protocol !== 'connected')
      .map(({ prefix, protocol }) => ({
        table: 'zebra' as const,
        ip: prefix.slice(0, -3),
        by: protocol === 'kernel' ? 'local' : 'remote',
      }));
    return [...zebra, ...(this.name === 'frr-bgp' ? this.#bgpPaths() : this.#linkStates())];
  }

  configure(...lines: readonly string[]): void {
    const commands = ['configure terminal', ...lines].flatMap((line) => ['-c', line]);
    run([...this.#vtysh, ...commands]);
  }

  explain(ip: string): string {
    const protocol = this.name === 'frr-bgp' ? `show bgp ipv4 unicast ${ip}/32` : 'show ip ospf route';
    return ['show ip route', 'show ip nht', protocol]
      .map((command) => `${command}\n${run([...this.#vtysh, '-c', command])}`)
      .join('\n');
  }

  #linkStates(): Holding[] {
    const { asExternalLinkStates } = this.#json<{ asExternalLinkStates?: LinkState[] }>(
      'ospfd',
      'show ip ospf database external json',
    );
    return (asExternalLinkStates ?? [])
      .filter((lsa) => lsa.networkMask === 32 && lsa.lsaAge < MAX_AGE)
      .map((lsa) => ({ table: 'ospfd', ip: lsa.linkStateId, by: lsa.advertisingRouter }));
  }

  #bgpPaths(): Holding[] {
    const { routerId: own, routes } = this.#json<{
      routerId: string;
      routes?: Record<string, BgpPath[]>;
    }>('bgpd', 'show bgp ipv4 unicast json');
    return Object.entries(routes ?? {})
      .filter(([prefix]) => prefix.endsWith('/32'))
      .flatMap(([prefix, paths]) =>
        paths.map((path) => {
          const nexthop = path.nexthops[0]?.ip ?? '';
          return { table: 'bgpd', ip: prefix.slice(0, -3), by: nexthop === '0.0.0.0' ? own : nexthop };
        }),
      );
  }

  get #vtysh(): string[] {
    return ['vtysh', '--vty_socket', join(this.#directory, 'run')];
  }

  #answers(daemon: string): boolean {
    const program = this.#running.at(-1);
    if (program?.running === false) throw new Error(`${daemon} ended: ${program.output}`);
    try {
      run([...this.#vtysh, '-d', daemon, '-c', 'show version']);
      return true;
    } catch {
      return false;
    }
  }

  #json<T>(daemon: string, command: string): T {
    const text = run([...this.#vtysh, '-d', daemon, '-c', command]).trim();
    return JSON.parse(text === '' ? '{}' : text) as T;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const programs = this.#running.splice(0).reverse();
    for (const program of programs) await program.stop(signal);
  }
}

class Bird implements Engine {
  readonly commands: readonly string[];
  readonly #socket: string;
  #running: Program | undefined;

  constructor(
    readonly name: EngineName,
    readonly namespace: Namespace,
    readonly config: string,
    readonly routerId: string,
  ) {
    this.#socket = join(namespace.lab.directory, `${namespace.role}-bird.ctl`);
    this.commands = [`birdc -s ${this.#socket} show route all`];
  }

  async start(): Promise<void> {
    this.#running = new Program(this.namespace, ['bird', '-f', '-c', this.config, '-s', this.#socket], {
      title: 'bird',
    });
    await this.#running.line(/Started/);
  }

  async stop(): Promise<void> {
    await this.#running?.stop('SIGTERM');
  }

  async crash(): Promise<void> {
    await this.#running?.stop('SIGKILL');
  }

  neighbours(): number {
    const [what, up] =
      this.name === 'bird-bgp'
        ? ['show protocols', /\bEstablished\b/g]
        : ['show ospf neighbors', /\bFull\b/g];
    return this.#birdc(what as string).match(up as RegExp)?.length ?? 0;
  }

  knownRouters(): undefined {
    return undefined;
  }

  holdings(): Holding[] {
    const holdings: Holding[] = [];
    let ip: string | undefined;
    for (const line of this.#birdc('show route').split('\n')) {
      // "10.1.1.5/32          unicast [kernel1 09:28:03.906] (50)", then more of it indented
      const match = /^(\S+)?\s+unicast \[(\S+) [^\]]*\](.*)$/.exec(line);
      if (match === null) continue;
      const [, prefix, protocol, rest] = match as unknown as [string, ...string[]];
      if (prefix !== undefined) ip = prefix.endsWith('/32') ? prefix.slice(0, -3) : undefined;
      if (ip === undefined || protocol?.startsWith('direct')) continue;
      const origin = /\[([^\]]+)\]$/.exec(rest ?? '')?.[1] ?? '';
      const as = /AS(\d+)/.exec(origin)?.[1];
      const by = protocol?.startsWith('kernel') ? this.routerId : as === undefined ? origin : routerOf(as);
      holdings.push({ table: 'bird', ip, by });
    }
    return holdings;
  }

  configure(): void {
    throw new Error('BIRD takes a whole file');
  }

  explain(ip: string): string {
    return this.#birdc(`show route for ${ip} all`);
  }

  #birdc(command: string): string {
    return run(['birdc', '-s', this.#socket, command]);
  }
}

// In our site the AS 65001 is the router 192.0.2.251 and so on.
function routerOf(as: string): string {
  return `192.0.2.${Number(as) - 65000 + 250}`;
}
