import type { Family } from '../../../src/wire/addresses.js';
import { type Namespace, run } from '../kit/namespace.js';
import { Program } from '../kit/program.js';
import { join } from 'node:path';
import type { Engine, EngineName, Holding } from './engines.js';
import { ROUTER_IDS, type Role } from './places.js';

/** BIRD 2 in a namespace; one daemon serves both families. */

export class Bird implements Engine {
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

  neighbours(family: Family): number {
    if (this.name === 'bird-bgp') {
      const peers = this.show('show protocols').split('\n');
      const up = peers.filter((line) => /\bEstablished\b/.test(line));
      return up.filter((line) => /^\w+_ipv6\b/.test(line) === (family === 'ipv6')).length;
    }
    const instance = family === 'ipv4' ? 'ospf4' : 'ospf6';
    return this.show(`show ospf neighbors ${instance}`).match(/\bFull\b/g)?.length ?? 0;
  }

  knownRouters(): undefined {
    return undefined;
  }

  holdings(): Holding[] {
    const holdings: Holding[] = [];
    let ip: string | undefined;
    for (const line of this.show('show route').split('\n')) {
      // "10.1.1.5/32          unicast [kernel1 09:28:03.906] (50)", then more of it indented
      const match = /^(\S+)?\s+unicast \[(\S+) [^\]]*\](.*)$/.exec(line);
      if (match === null) continue;
      const [, prefix, protocol, rest] = match as unknown as [string, ...string[]];
      if (prefix !== undefined)
        ip = /\/(32|128)$/.test(prefix) ? prefix.slice(0, prefix.indexOf('/')) : undefined;
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
    return this.show(`show route for ${ip} all`);
  }

  show(command: string): string {
    return run(['birdc', '-s', this.#socket, command]);
  }
}

/** In our site the AS 65001 is R1 and so on. */
function routerOf(as: string): string {
  return ROUTER_IDS[`r${Number(as) % 65000}` as Role] ?? as;
}
