import type { Ip } from '../wire/addresses.js';
import { LISP, decodeLisp, lispType } from '../wire/lisp/message.js';
import type { Emit, MappingAction, Sender } from './actions.js';
import { type ClientOptions, MappingClient } from './client/client.js';
import { MapServer, type ServerOptions } from './server/server.js';

/**
 * What listens on one RLOC: a router, and the map-server when it runs here too. What they say to each other does not
 * leave the process; otherwise it is the same.
 */

type Part<T> = Omit<T, 'emit'>;

export interface NodeOptions {
  readonly client: Part<ClientOptions>;
  readonly server: Part<ServerOptions> | undefined;
  readonly emit: Emit;
}

export class MappingNode {
  readonly client: MappingClient;
  readonly server: MapServer | undefined;
  /** Datagrams to ourselves. */
  readonly #own: { readonly bytes: Uint8Array; readonly port: number }[] = [];

  constructor(
    readonly options: NodeOptions,
    now: number,
  ) {
    const emit = (action: MappingAction) => this.#emit(action);
    this.client = new MappingClient({ ...options.client, emit }, now);
    if (options.server !== undefined) this.server = new MapServer({ ...options.server, emit }, now);
  }

  get rloc(): Ip {
    return this.options.client.rloc;
  }

  receive(bytes: Uint8Array, from: Sender, now: number): void {
    this.#dispatch(bytes, from, now);
    this.#deliverOwn(now);
  }

  tick(now: number): void {
    this.server?.tick(now);
    this.client.tick(now);
    this.#deliverOwn(now);
  }

  nextDeadline(): number {
    return Math.min(this.client.nextDeadline(), this.server?.nextDeadline() ?? Number.POSITIVE_INFINITY);
  }

  #dispatch(bytes: Uint8Array, from: Sender, now: number): void {
    if (this.server !== undefined && isForServer(bytes)) this.server.receive(bytes, from, now);
    else this.client.receive(bytes, from, now);
  }

  #deliverOwn(now: number): void {
    for (let next = this.#own.shift(); next !== undefined; next = this.#own.shift())
      this.#dispatch(next.bytes, { ip: this.rloc, port: next.port }, now);
  }

  #emit(action: MappingAction): void {
    if (action.kind === 'send' && action.to === this.rloc) this.#own.push(action);
    else this.options.emit(action);
  }
}

/** An SMR and a probe are for the router (RFC 9301 section 6.1, 7.1). */
function isForServer(bytes: Uint8Array): boolean {
  switch (lispType(bytes)) {
    case LISP.mapRegister:
    case LISP.mapNotifyAck:
    case LISP.encapsulated:
      return true;
    case LISP.mapRequest: {
      const message = decodeLisp(bytes);
      return (
        typeof message === 'string' ||
        message.type !== LISP.mapRequest ||
        !(message.isSolicit || message.isProbe)
      );
    }
    default:
      return false;
  }
}
