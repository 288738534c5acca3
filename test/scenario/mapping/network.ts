import type { MappingAction, MappingAlarm, MappingDrop, Sender } from '../../../src/mapping/actions.js';
import { Keys } from '../../../src/mapping/keys.js';
import { MappingNode } from '../../../src/mapping/node.js';
import type { KeyScope } from '../../../src/mapping/server/server.js';
import { decodeServerState, encodeServerState } from '../../../src/mapping/server/server-state.js';
import {
  type Ip,
  type Prefix,
  formatIp,
  formatPrefix,
  hostLength,
  parseIp,
  parsePrefix,
} from '../../../src/wire/addresses.js';
import { mulberry32 } from '../../random.js';

/**
 * Routers and map-servers in virtual time, with a network between them that loses, delays and repeats datagrams, and with
 * as much of the rest of the daemon as the mapping system has to do with: a router asks a host when another one is said to
 * have it, and now and then.
 */

export const ip = (text: string): Ip => parseIp(text) as Ip;
export const host = (text: string): Prefix => ({ ip: ip(text), length: hostLength(ip(text)) });
const SITE = ['10.1.0.0/16', '2001:db8::/48'].map((text) => parsePrefix(text) as Prefix);
const PORT = 4342;
/** How long a router takes to ask a host. */
const ASK_MS = 30;
const KEEPALIVE_MS = 20_000;

export interface Datagram {
  readonly from: Ip;
  readonly to: Ip;
  readonly bytes: Uint8Array;
}

/** A router, its kernel's routes of the mapping system, and the hosts that it claims. */
export interface Router {
  readonly name: string;
  readonly rloc: Ip;
  node: MappingNode | undefined;
  readonly routes: Map<string, string>;
  readonly routeEvents: string[];
  readonly claims: Map<string, { readonly prefix: Prefix; checkAt: number }>;
  readonly drops: Map<MappingDrop, number>;
  readonly alarms: MappingAlarm[];
  readonly isServer: boolean;
  saved: string | undefined;
}

export interface NetworkOptions {
  readonly seed?: number;
  readonly loss?: number;
  readonly duplicates?: number;
  /** Datagrams overtake one another. */
  readonly reorders?: boolean;
  /** ms, of one way. */
  readonly delay?: readonly [least: number, most: number];
  readonly keyText?: string;
  readonly scopes?: ReadonlyMap<number, KeyScope>;
}

interface Planned {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Network {
  now = 1000;
  loss: number;
  duplicates: number;
  readonly routers = new Map<string, Router>();
  /** Where each host is: name of a router. */
  readonly places = new Map<string, string>();
  /** All datagrams that were sent, and whether one is lost. */
  readonly sent: Datagram[] = [];
  isLost: (datagram: Datagram) => boolean = () => false;
  readonly random: () => number;
  readonly #plan: Planned[] = [];
  #order = 0;
  /** When the last datagram of each path arrives. */
  readonly #lastOn = new Map<string, number>();

  constructor(readonly options: NetworkOptions = {}) {
    this.random = mulberry32(options.seed ?? 1);
    this.loss = options.loss ?? 0;
    this.duplicates = options.duplicates ?? 0;
  }

  /** Starts a router; one named MS runs the map-server too. */
  start(name: string, rloc: string, servers: readonly string[], keyText = '1 secret'): Router {
    const router: Router = this.routers.get(name) ?? {
      name,
      rloc: ip(rloc),
      node: undefined,
      routes: new Map(),
      routeEvents: [],
      claims: new Map(),
      drops: new Map(),
      alarms: [],
      isServer: servers.includes(rloc),
      saved: undefined,
    };
    this.routers.set(name, router);
    const keys = new Keys(keyText);
    const scopes = this.options.scopes ?? new Map();
    const common = { instance: 0, prefixes: SITE, keys };
    const nonceAt = (now: number) => BigInt(1_700_000_000_000 + Math.floor(now)) << 16n;
    const state = router.saved === undefined ? undefined : decodeServerState(router.saved);
    router.node = new MappingNode(
      {
        client: {
          ...common,
          rloc: router.rloc,
          xtr: { id: name.padEnd(16, '\0'), site: 1n },
          servers: servers.map((server) => ({ ip: ip(server), isForeign: false })),
          nonceAt,
          version: 1 + Math.floor(this.random() * 4000),
          random: this.random,
          random64: () => BigInt(Math.floor(this.random() * 2 ** 52)),
        },
        server: router.isServer ? { ...common, scopes, nonce: nonceAt(this.now), state } : undefined,
        emit: (action) => this.#act(router, action),
      },
      this.now,
    );
    router.node.tick(this.now);
    return router;
  }

  /** kill -9; `forgets`: its state file is lost. */
  kill(router: Router, forgets = false): void {
    router.node = undefined;
    if (forgets) router.saved = undefined;
  }

  router(name: string): Router {
    return this.routers.get(name) as Router;
  }

  /** A host is at another router from now on, which hears it. */
  move(address: string, to: string): void {
    this.places.set(address, to);
    this.claim(this.router(to), address);
  }

  claim(router: Router, address: string): void {
    const prefix = host(address);
    router.claims.set(formatPrefix(prefix), { prefix, checkAt: this.now + KEEPALIVE_MS });
    router.node?.client.claim(prefix, 'fresh', this.now);
    router.node?.tick(this.now);
  }

  release(router: Router, address: string): void {
    const prefix = host(address);
    router.claims.delete(formatPrefix(prefix));
    router.node?.client.release(prefix, this.now);
    router.node?.tick(this.now);
  }

  send(datagram: Datagram): void {
    this.sent.push(datagram);
    if (this.isLost(datagram) || this.random() < this.loss) return;
    const [least, most] = this.options.delay ?? [0.2, 0.4];
    const copies = this.random() < this.duplicates ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const path = `${datagram.from} ${datagram.to}`;
      let at = this.now + least + this.random() * (most - least);
      if (this.options.reorders !== true) at = Math.max(at, this.#lastOn.get(path) ?? 0);
      this.#lastOn.set(path, at);
      this.at(at, () => this.deliver(datagram));
    }
  }

  /** Hands a datagram to its receiver now, forged ones too. */
  deliver({ from, to, bytes }: Datagram): void {
    const sender: Sender = { ip: from, port: PORT };
    for (const router of this.routers.values())
      if (router.rloc === to) router.node?.receive(bytes.slice(), sender, this.now);
  }

  at(at: number, run: () => void): void {
    this.#plan.push({ at, order: this.#order++, run });
  }

  /** Lets time pass, ms. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const nodes = [...this.routers.values()];
      const due = nodes.map(({ node }) => node?.nextDeadline() ?? Number.POSITIVE_INFINITY);
      const checks = nodes.flatMap(({ node, claims }) =>
        node === undefined ? [] : [...claims.values()].map(({ checkAt }) => checkAt),
      );
      const next = Math.min(...this.#plan.map(({ at }) => at), ...due, ...checks);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const ready = this.#plan
        .filter(({ at }) => at <= this.now)
        .sort((a, b) => a.at - b.at || a.order - b.order);
      for (const planned of ready) this.#plan.splice(this.#plan.indexOf(planned), 1);
      for (const { run } of ready) run();
      for (const router of nodes) {
        if ((router.node?.nextDeadline() ?? Number.POSITIVE_INFINITY) <= this.now)
          router.node?.tick(this.now);
        for (const claim of [...router.claims.values()])
          if (router.node !== undefined && claim.checkAt <= this.now) this.#ask(router, claim.prefix);
      }
    }
    this.now = end;
  }

  /** The router asks the host: it is here, or it is silent. */
  #ask(router: Router, prefix: Prefix): void {
    const claim = router.claims.get(formatPrefix(prefix));
    if (claim === undefined) return;
    const address = formatIp(prefix.ip);
    if (this.#isAt(address, router)) claim.checkAt = this.now + KEEPALIVE_MS;
    else this.release(router, address);
  }

  #isAt(address: string, router: Router): boolean {
    return (this.places.get(address) ?? '').split(' ').includes(router.name);
  }

  #act(router: Router, action: MappingAction): void {
    switch (action.kind) {
      case 'send':
        return this.send({ from: router.rloc, to: action.to, bytes: action.bytes });
      case 'drop':
        router.drops.set(action.reason, (router.drops.get(action.reason) ?? 0) + 1);
        return;
      case 'alarm':
        if (!action.isOver) router.alarms.push(action.alarm);
        return;
      case 'save':
        // Not before the node is whole, nor in the midst of a change.
        this.at(this.now, () => {
          const state = router.node?.server?.state();
          if (state !== undefined) router.saved = encodeServerState(state);
        });
        return;
      case 'route':
        return this.#route(router, action.prefix, action.rloc);
    }
  }

  #route(router: Router, prefix: Prefix, rloc: Ip | undefined): void {
    const key = formatPrefix(prefix);
    router.routeEvents.push(`${key} ${rloc === undefined ? 'gone' : formatIp(rloc)}`);
    if (rloc === undefined) {
      router.routes.delete(key);
      return;
    }
    router.routes.set(key, formatIp(rloc));
    if (!router.claims.has(key)) return;
    this.at(this.now + ASK_MS, () => {
      if (router.node === undefined || !router.claims.has(key) || !router.routes.has(key)) return;
      const address = formatIp(prefix.ip);
      if (this.#isAt(address, router)) this.claim(router, address);
      else this.release(router, address);
    });
  }

  /** The RLOCs that the map-server has for a host, as text. */
  owner(address: string, server = 'MS'): string {
    return this.router(server).node?.server?.rlocsOf(host(address)).map(formatIp).join() ?? 'no server';
  }

  /** What the kernel of each router has for a host. */
  routesTo(address: string): Record<string, string | undefined> {
    const key = formatPrefix(host(address));
    return Object.fromEntries([...this.routers.values()].map(({ name, routes }) => [name, routes.get(key)]));
  }
}

/** MS (10.255.0.9), R1, R2 and R3 (10.255.0.1 to .3), a second later. */
export function site(options: NetworkOptions = {}): Network {
  const network = new Network(options);
  const servers = ['10.255.0.9'];
  network.start('MS', '10.255.0.9', servers);
  for (const i of [1, 2, 3]) network.start(`R${i}`, `10.255.0.${i}`, servers);
  network.run(1000);
  return network;
}
