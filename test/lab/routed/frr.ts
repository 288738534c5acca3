import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Family } from '../../../src/wire/addresses.js';
import { type Namespace, run } from '../kit/namespace.js';
import { Program, waitFor } from '../kit/program.js';
import type { Engine, EngineName, Holding } from './engines.js';
import { ROUTER_IDS, routerAt } from './places.js';

/** FRR: a zebra and its protocol daemons in a namespace. */

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
interface ExternalLsa {
  readonly age: number;
  readonly payload: string;
  readonly advRouter: string;
}
interface BgpPath {
  readonly nexthops: readonly { readonly ip: string }[];
}

/** LSAs of this age are being flushed (RFC 2328 section 14.1, RFC 5340 section 4.5). */
const MAX_AGE = 3600;

/** What of a configuration needs which daemon; zebra and ospfd run on every router. */
const OPTIONAL: Readonly<Record<string, RegExp>> = {
  ospf6d: /^router ospf6$/m,
  bgpd: /^router bgp /m,
  bfdd: /^bfd$/m,
  vrrpd: /^ vrrp /m,
};

/** `Nice=` of Debian's frr.service. */
const UNIT_NICE = -5;
/** As config/redundant-routers/daemons starts those that must not be kept waiting for 150 ms. */
const NICE: Readonly<Record<string, number>> = { bfdd: -20, vrrpd: -20 };

/** ospf6d says something about every claim, and stops where nobody reads it: a test that waits for a command does not. */
const LOG: Readonly<Record<string, string>> = { ospf6d: '--log-level warnings' };

/** How FRR names the things of a family. */
const WORDS: Readonly<Record<Family, { ip: string; ospf: string; host: string; external: string }>> = {
  ipv4: { ip: 'ip', ospf: 'ip ospf', host: '/32', external: 'show ip ospf database external' },
  ipv6: {
    ip: 'ipv6',
    ospf: 'ipv6 ospf6',
    host: '/128',
    external: 'show ipv6 ospf6 database as-external',
  },
};

/** A command that prints a table in JSON, and the host routes of what it prints. */
interface Table {
  readonly command: string;
  readonly read: (printed: never) => Holding[];
}

const ZEBRA = (family: Family): Table => ({
  command: `show ${WORDS[family].ip} route json`,
  read: (routes: Record<string, ZebraRoute[]>) =>
    Object.values(routes)
      .flat()
      .filter(({ prefix, protocol }) => prefix.endsWith(WORDS[family].host) && protocol !== 'connected')
      .map(({ prefix, protocol }) => ({
        table: 'zebra',
        ip: hostOf(prefix),
        by: protocol === 'kernel' ? 'local' : 'remote',
      })),
});

const BGPD = (family: Family): Table => ({
  command: `show bgp ${family} unicast json`,
  read: ({ routerId: own, routes }: { routerId: string; routes?: Record<string, BgpPath[]> }) =>
    Object.entries(routes ?? {})
      .filter(([prefix]) => prefix.endsWith(WORDS[family].host))
      .flatMap(([prefix, paths]) =>
        paths.map((path) => {
          const nexthop = path.nexthops[0]?.ip ?? '';
          const isOwn = nexthop === '0.0.0.0' || nexthop === '::';
          return { table: 'bgpd', ip: hostOf(prefix), by: isOwn ? own : idOf(nexthop) };
        }),
      ),
});

const LINK_STATES: Readonly<Record<Family, Table>> = {
  ipv4: {
    command: `${WORDS.ipv4.external} json`,
    read: ({ asExternalLinkStates = [] }: { asExternalLinkStates?: LinkState[] }) =>
      asExternalLinkStates
        .filter((lsa) => lsa.networkMask === 32 && lsa.lsaAge < MAX_AGE)
        .map((lsa) => ({ table: 'ospfd', ip: lsa.linkStateId, by: lsa.advertisingRouter })),
  },
  ipv6: {
    command: `${WORDS.ipv6.external} json`,
    read: ({ asScopedLinkStateDb = [] }: { asScopedLinkStateDb?: { lsa: ExternalLsa[] }[] }) =>
      asScopedLinkStateDb
        .flatMap(({ lsa }) => lsa)
        .filter(({ payload, age }) => payload.endsWith('/128') && age < MAX_AGE)
        .map(({ payload, advRouter }) => ({ table: 'ospf6d', ip: hostOf(payload), by: advRouter })),
  },
};

const hostOf = (prefix: string): string => prefix.slice(0, prefix.indexOf('/'));

export class Frr implements Engine {
  readonly commands: readonly string[];
  readonly #daemons: readonly string[];
  readonly #directory: string;
  /** BGP has its neighbours for EVPN alone. */
  readonly #isEvpn: boolean;
  #running: Program[] = [];

  constructor(
    readonly name: EngineName,
    readonly namespace: Namespace,
    readonly config: string,
    readonly families: readonly Family[],
  ) {
    const text = readFileSync(config, 'utf8');
    this.#daemons = ['zebra', 'ospfd', 'ospf6d', 'bgpd', 'bfdd', 'vrrpd'].filter(
      (daemon) =>
        (!(daemon in OPTIONAL) || (OPTIONAL[daemon] as RegExp).test(text)) &&
        (daemon !== 'ospf6d' || families.includes('ipv6')),
    );
    this.#isEvpn = /^ address-family l2vpn evpn$/m.test(text);
    this.#directory = join(namespace.lab.directory, `${namespace.role}-frr`);
    const shell = `vtysh --vty_socket ${this.#directory}/run`;
    this.commands = families.flatMap((family) => {
      const { ip, external } = WORDS[family];
      const protocol = name === 'frr-bgp' ? `show bgp ${family} unicast` : external;
      return [`${shell} -c 'show ${ip} route'`, `${shell} -c '${protocol}'`];
    });
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
      const program = `exec nice -n ${NICE[daemon] ?? UNIT_NICE} /usr/lib/frr/${daemon} -A 127.0.0.1 -P 0 --log stdout ${LOG[daemon] ?? ''}`;
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

  neighbours(family: Family): number {
    if (this.name === 'frr-bgp') {
      const { peers = {} } = this.#json<{ peers?: Record<string, { state: string }> }>(
        'bgpd',
        `show bgp ${this.#isEvpn ? 'l2vpn evpn' : `${family} unicast`} summary json`,
      );
      return Object.values(peers).filter((peer) => peer.state === 'Established').length;
    }
    if (family === 'ipv6') {
      const { neighbors = [] } = this.#json<{ neighbors?: { state: string }[] }>(
        'ospf6d',
        'show ipv6 ospf6 neighbor json',
      );
      return neighbors.filter(({ state }) => state === 'Full').length;
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
    const tables = this.families.flatMap((family) => [
      ZEBRA(family),
      this.name === 'frr-bgp' ? BGPD(family) : LINK_STATES[family],
    ]);
    // vtysh takes long to start. Each table begins with a brace at the start of a line.
    const commands = tables.flatMap(({ command }) => ['-c', command]);
    const printed = run([...this.#vtysh, ...commands])
      .split(/^(?=\{)/m)
      .filter((text) => text.trim() !== '')
      .map((text) => JSON.parse(text) as never);
    if (printed.length !== tables.length)
      throw new Error(`${tables.length} tables were asked for, ${printed.length} came`);
    return tables.flatMap(({ read }, i) => read(printed[i] as never));
  }

  configure(...lines: readonly string[]): void {
    const commands = ['configure terminal', ...lines].flatMap((line) => ['-c', line]);
    run([...this.#vtysh, ...commands]);
  }

  show(command: string): string {
    return run([...this.#vtysh, '-c', command]);
  }

  explain(ip: string): string {
    const family: Family = ip.includes(':') ? 'ipv6' : 'ipv4';
    const words = WORDS[family];
    const protocol =
      this.name === 'frr-bgp' ? `show bgp ${family} unicast ${ip}${words.host}` : `show ${words.ospf} route`;
    return [`show ${words.ip} route`, `show ${words.ip} nht`, protocol]
      .map((command) => `${command}\n${this.show(command)}`)
      .join('\n');
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

/** Router id of the router that has this address. */
function idOf(address: string): string {
  const role = routerAt(address);
  return role === undefined ? address : ROUTER_IDS[role];
}
