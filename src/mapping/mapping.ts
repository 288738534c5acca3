import { randomBytes } from 'node:crypto';
import type { ClaimAge } from '../mobility/events.js';
import {
  type Ip,
  type Prefix,
  formatIp,
  formatPrefix,
  hostLength,
  isIpv4,
  writeIpv4,
} from '../wire/addresses.js';
import { LISP_CONTROL_PORT } from '../wire/lisp/message.js';
import type { MappingAction, MappingAlarm, MappingDrop } from './actions.js';
import type { CacheEntry } from './client/cache.js';
import type { ServerAddress, ServerState } from './client/client.js';
import type { Keys } from './keys.js';
import { MappingNode } from './node.js';
import type { RegistrationState } from './client/registration.js';
import type { KeyScope } from './server/server.js';
import { decodeServerState, encodeServerState } from './server/server-state.js';
import { ControlSocket } from './socket.js';

/** The mapping system, as the daemon sees it: claims in, routes out. It has the clock, the timer, the socket and the files. */

export interface MappingOptions {
  readonly rloc: Ip;
  /** 0: none. */
  readonly instance: number;
  /** Our own RLOC among them: the map-server runs here. */
  readonly servers: readonly ServerAddress[];
  readonly keys: Keys;
  /** EIDs of the site. */
  readonly prefixes: readonly Prefix[];
  /** Routes of an earlier run. */
  readonly adopted: readonly { readonly prefix: Prefix; readonly rloc: Ip }[];
  readonly scopes: ReadonlyMap<number, KeyScope>;
  /** UDP port, 4342 but for tests. */
  readonly port?: number;
  /** Text of a file in the state directory; undefined: there is none. */
  readonly readState: (name: string) => string | undefined;
  /** Replaces a file as a whole. @throws when it cannot be written */
  readonly writeState: (name: string, text: string) => void;
  /** Packets to this prefix are to go to this RLOC; undefined: by other routes. */
  readonly onRoute: (prefix: Prefix, rloc: Ip | undefined) => void;
  readonly onAlarm: (alarm: MappingAlarm, isOver: boolean, message: string) => void;
  readonly onError: (message: string) => void;
}

export interface MappingStatus {
  readonly servers: readonly { readonly server: string; readonly state: ServerState }[];
  /** At each server, in the same order. */
  readonly registrations: readonly ReadonlyMap<RegistrationState, number>[];
  readonly cache: readonly CacheEntry[];
  readonly drops: ReadonlyMap<MappingDrop, number>;
  /** Of the map-server that runs here. */
  readonly server: { readonly mappings: number; readonly unacknowledged: number } | undefined;
}

const CLIENT_FILE = 'mapping.json';
/** Name by which `readState` and `writeState` know the state of the map-server. */
export const SERVER_FILE = 'map-server.json';
/** The file is written once for so many nonces. */
const NONCES_PER_WRITE = 256n;
const CLOCK_RETRY_MS = 1000;
const MAX_TIMER_MS = 0x7fff_ffff;

export class Mapping {
  readonly #socket: ControlSocket;
  /** Absent until the clock is right. */
  #node: MappingNode | undefined;
  /** What the daemon claims: hosts and home prefixes, by their text. */
  readonly #claims = new Map<string, { readonly eid: Prefix; readonly age: ClaimAge }>();
  readonly #drops = new Map<MappingDrop, number>();
  /** Datagrams that leave when the state is saved. */
  #outgoing: Extract<MappingAction, { kind: 'send' }>[] = [];
  #isServerDirty = false;
  /** Of the client's file: a run after this one begins above. */
  #reserved = 0n;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #isStopped = false;
  #wasClockWrong = false;

  constructor(readonly options: MappingOptions) {
    this.#socket = new ControlSocket({
      rloc: options.rloc,
      port: options.port ?? LISP_CONTROL_PORT,
      onDatagram: (bytes, from) => {
        this.#node?.receive(bytes, from, performance.now());
        this.#schedule();
      },
      onOpen: () => this.#begin(),
      onError: options.onError,
    });
  }

  start(): void {
    this.#socket.open();
  }

  /** A host is here: a fresh claim is registered at once, a settled one when it is not registered yet. */
  claim(ip: Ip, age: ClaimAge): void {
    this.#claim(hostPrefix(ip), age);
  }

  /** It is not here any more: withdrawn, unless it was registered elsewhere since. */
  release(ip: Ip): void {
    this.withdraw(hostPrefix(ip));
  }

  /** Hosts of this prefix are here, if they are not elsewhere. */
  register(prefix: Prefix): void {
    this.#claim(prefix, 'settled');
  }

  withdraw(eid: Prefix): void {
    this.#claims.delete(formatPrefix(eid));
    this.#node?.client.release(eid, performance.now());
    this.#schedule();
  }

  #claim(eid: Prefix, age: ClaimAge): void {
    this.#claims.set(formatPrefix(eid), { eid, age });
    this.#node?.client.claim(eid, age, performance.now());
    this.#schedule();
  }

  /** Sends what is due and ends. What is registered stays for another run, or until the server forgets it. */
  async stop(): Promise<void> {
    if (this.#node !== undefined) this.#run(this.#node);
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    await this.#socket.close();
  }

  status(): MappingStatus {
    const node = this.#node;
    const states = node?.client.serverStates() ?? [];
    return {
      servers: states.map(([server, state]) => ({ server: formatIp(server), state })),
      registrations: node?.client.counts() ?? [],
      cache: node?.client.cache.entries() ?? [],
      drops: this.#drops,
      server: node?.server && { mappings: node.server.size, unacknowledged: node.server.unacknowledged },
    };
  }

  /** The socket is open. Nonces of this run are to be above those of the last one (RFC 9301 section 5.6). */
  #begin(): void {
    if (this.#node !== undefined || this.#isStopped) return this.#schedule();
    const wall = BigInt(Date.now()) << 16n;
    const saved = this.#readClient();
    if (wall <= saved.nonce) {
      if (!this.#wasClockWrong)
        this.options.onAlarm('clock-went-back', false, 'the clock went back: nothing is registered');
      this.#wasClockWrong = true;
      this.#timer = setTimeout(() => this.#begin(), CLOCK_RETRY_MS);
      return;
    }
    if (this.#wasClockWrong) this.options.onAlarm('clock-went-back', true, 'the clock is right again');
    const now = performance.now();
    const node = this.#newNode(wall, saved.version, now);
    this.#node = node;
    for (const { prefix, rloc } of this.options.adopted) node.client.cache.adopt(prefix, rloc);
    for (const { eid, age } of this.#claims.values()) node.client.claim(eid, age, now);
    this.#schedule();
  }

  #newNode(wall: bigint, version: number, now: number): MappingNode {
    const { rloc, instance, servers, keys, prefixes, scopes } = this.options;
    const common = { instance, prefixes, keys };
    const nonceAt = (at: number) => wall + (BigInt(Math.floor(at - now)) << 16n);
    const isServer = servers.some(({ ip }) => ip === rloc);
    const client = {
      ...common,
      rloc,
      xtr: { id: xtrIdOf(rloc), site: 0n },
      servers,
      nonceAt,
      version,
      random: Math.random,
      random64: () => randomBytes(8).readBigUInt64BE(),
    };
    const server = isServer ? { ...common, scopes, nonce: wall, state: this.#readServer() } : undefined;
    return new MappingNode({ client, server, emit: (action) => this.#act(action) }, now);
  }

  #act(action: MappingAction): void {
    switch (action.kind) {
      case 'send':
        this.#outgoing.push(action);
        return;
      case 'save':
        this.#isServerDirty = true;
        return;
      case 'route':
        return this.options.onRoute(action.prefix, action.rloc);
      case 'drop':
        this.#drops.set(action.reason, (this.#drops.get(action.reason) ?? 0) + 1);
        return;
      case 'alarm':
        return this.options.onAlarm(action.alarm, action.isOver, action.message);
    }
  }

  /** Once for all that arrives in this turn of the event loop: records share datagrams, and the state is saved once. */
  #schedule(): void {
    if (this.#isStopped) return;
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      if (this.#node !== undefined) this.#run(this.#node);
    });
  }

  #run(node: MappingNode): void {
    node.tick(performance.now());
    this.#save(node);
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    for (const { bytes, to, port } of outgoing)
      this.#socket.send(bytes, to, port === LISP_CONTROL_PORT ? (this.options.port ?? port) : port);
    clearTimeout(this.#timer);
    const waitMs = Math.ceil(Math.max(node.nextDeadline() - performance.now(), 0));
    this.#timer = setTimeout(() => this.#schedule(), Math.min(waitMs, MAX_TIMER_MS));
  }

  #save(node: MappingNode): void {
    const { nonce, version } = node.client.used;
    if (nonce >= this.#reserved) {
      this.#reserved = nonce + NONCES_PER_WRITE;
      this.#write(CLIENT_FILE, `${JSON.stringify({ nonce: this.#reserved.toString(), version })}\n`);
    }
    if (!this.#isServerDirty || node.server === undefined) return;
    this.#isServerDirty = false;
    this.#write(SERVER_FILE, encodeServerState(node.server.state()));
  }

  #write(name: string, text: string): void {
    try {
      this.options.writeState(name, text);
    } catch (error) {
      this.options.onError(`cannot write ${name}: ${String(error)}`);
    }
  }

  #readClient(): { readonly nonce: bigint; readonly version: number } {
    try {
      const text = this.options.readState(CLIENT_FILE);
      if (text !== undefined) {
        const { nonce, version } = JSON.parse(text);
        // Each claim has a nonce, so as many versions may have been used since it was written.
        return { nonce: BigInt(nonce), version: (Number(version) + Number(NONCES_PER_WRITE)) & 0xfff || 1 };
      }
    } catch (error) {
      this.options.onError(`${CLIENT_FILE} is ignored: ${String(error)}`);
    }
    return { nonce: 0n, version: 1 + Math.floor(Math.random() * 0xffe) };
  }

  #readServer(): ReturnType<typeof decodeServerState> | undefined {
    try {
      const text = this.options.readState(SERVER_FILE);
      return text === undefined ? undefined : decodeServerState(text);
    } catch (error) {
      this.options.onError(`${SERVER_FILE} is ignored: ${String(error)}`);
      return undefined;
    }
  }
}

function hostPrefix(ip: Ip): Prefix {
  return { ip, length: hostLength(ip) };
}

/** An xTR-ID is to be unique and to survive restarts: the RLOC is and does. */
function xtrIdOf(rloc: Ip): string {
  if (!isIpv4(rloc)) return rloc;
  const octets = new Uint8Array(16);
  octets.set([0xff, 0xff], 10);
  writeIpv4(octets, 12, rloc);
  return String.fromCharCode(...octets);
}
