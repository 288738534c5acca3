import type { ClaimAge } from '../../mobility/events.js';
import { type Ip, type Prefix, containsPrefix, formatIp, hostLength } from '../../wire/addresses.js';
import { LISP, type MapRequest, type Xtr, decodeLisp, lispType } from '../../wire/lisp/message.js';
import { type Emit, type MappingDrop, NEVER, type Sender } from '../actions.js';
import { type Authenticator, verified } from '../authentication.js';
import { Cache } from './cache.js';
import { Questions } from './questions.js';
import { Registrar } from './registrar.js';
import type { RegistrationState } from './registration.js';
import { Subscriber } from './subscriber.js';

/** A router in the mapping system (xTR): its registrations and subscriptions at each map-server, and the map-cache. */

export interface ServerAddress {
  readonly ip: Ip;
  /** Of another implementation: it knows no Map-Register without records, and is not asked so often. */
  readonly isForeign: boolean;
}

export interface ClientOptions {
  readonly rloc: Ip;
  readonly instance: number;
  readonly xtr: Xtr;
  readonly keys: Authenticator;
  readonly servers: readonly ServerAddress[];
  /** EIDs of the site, all of which are subscribed to. */
  readonly prefixes: readonly Prefix[];
  /** ms since 1970 in the upper bits, 16 bits for counting in the lower ones. */
  readonly nonceAt: (now: number) => bigint;
  /** Map-Version to begin after: of an earlier run, or any of 1..4095. */
  readonly version: number;
  readonly random: () => number;
  readonly random64: () => bigint;
  readonly emit: Emit;
}

export const SERVER_STATES = ['up', 'silent', 'wrong-key'] as const;
export type ServerState = (typeof SERVER_STATES)[number];

interface Link {
  readonly server: ServerAddress;
  readonly registrar: Registrar;
  readonly subscriber: Subscriber;
  hasWrongKey: boolean;
}

const REFRESH_MS = 15_000;
/** RFC 9301 section 8.2. */
const FOREIGN_REFRESH_MS = 60_000;
/** Nonces of subscriptions are above all those of registrations: a Map-Notify may have either. */
const SUBSCRIPTION_NONCES = 1n << 62n;
const MAX_VERSION = 0xfff;

export class MappingClient {
  readonly cache: Cache;
  readonly #links: readonly Link[];
  readonly #questions: Questions;
  #version: number;
  /** Of the last subscription that began anew, without what sets it apart from those of registrations. */
  #askedAt = 0n;

  constructor(
    readonly options: ClientOptions,
    now: number,
  ) {
    const { rloc, emit } = options;
    this.#version = options.version;
    this.#questions = new Questions(options);
    this.cache = new Cache({
      rloc,
      emit,
      isSilent: () => this.#links.every((link) => link.subscriber.isSilent),
    });
    this.#links = options.servers.map((server) => this.#link(server, now));
  }

  #link(server: ServerAddress, now: number): Link {
    const registrar = new Registrar({
      ...this.options,
      server: server.ip,
      refreshMs: server.isForeign ? FOREIGN_REFRESH_MS : REFRESH_MS,
      nonce: this.options.nonceAt(now),
    });
    const subscriber = new Subscriber(
      {
        ...this.options,
        server: server.ip,
        nonceAt: (at) => SUBSCRIPTION_NONCES + this.options.nonceAt(at),
        onAsk: (at) => {
          this.#askedAt = this.options.nonceAt(at);
          if (!server.isForeign) registrar.hello(at);
        },
        onBack: (prefix, at) => {
          this.cache.markStale(prefix, at);
          registrar.serverBack(prefix, at);
        },
        onRecord: (record, at) => {
          const { eid, locators } = record;
          this.cache.apply(record);
          const isOwn = locators.some(({ rloc }) => rloc === this.options.rloc);
          if (isOwn || locators.length > 0) registrar.told(eid.prefix, isOwn, at);
        },
      },
      now,
    );
    return { server, registrar, subscriber, hasWrongKey: false };
  }

  /** What the next run is to begin after: nonces, and the Map-Version. */
  get used(): { readonly nonce: bigint; readonly version: number } {
    const nonces = this.#links.map(({ registrar }) => registrar.nonce);
    return { nonce: nonces.reduce((a, b) => (a > b ? a : b), this.#askedAt), version: this.#version };
  }

  /**
   * A prefix, or a host's address, is here. Only a fresh claim is new; a settled one is registered when it was not yet,
   * as after a restart. Sent by the next tick.
   */
  claim(eid: Prefix, age: ClaimAge, now: number): void {
    this.#version = (this.#version % MAX_VERSION) + 1;
    for (const { registrar } of this.#links) registrar.claim(eid, this.#version, age === 'settled', now);
  }

  release(eid: Prefix, now: number): void {
    for (const { registrar } of this.#links) registrar.release(eid, now);
  }

  receive(bytes: Uint8Array, from: Sender, now: number): void {
    const reason = this.#receive(bytes, from, now);
    if (reason !== undefined) this.options.emit({ kind: 'drop', reason, from: from.ip });
    this.tick(now);
  }

  tick(now: number): void {
    for (const { registrar, subscriber } of this.#links) {
      subscriber.tick(now);
      registrar.tick(now);
    }
    this.#questions.tick(now);
    this.cache.tick(now);
  }

  nextDeadline(): number {
    const ofLinks = this.#links.flatMap(({ registrar, subscriber }) => [
      registrar.nextDeadline(),
      subscriber.nextDeadline(),
    ]);
    return Math.min(NEVER, ...ofLinks, this.#questions.nextDeadline(), this.cache.nextDeadline());
  }

  serverStates(): readonly (readonly [server: Ip, state: ServerState])[] {
    return this.#links.map(({ server, subscriber, hasWrongKey }) => [
      server.ip,
      hasWrongKey ? 'wrong-key' : subscriber.isSilent ? 'silent' : 'up',
    ]);
  }

  /** Registrations in each state, at each server. */
  counts(): readonly ReadonlyMap<RegistrationState, number>[] {
    return this.#links.map(({ registrar }) => registrar.counts());
  }

  /** At the first server. */
  stateOf(eid: Prefix): RegistrationState | undefined {
    return this.#links[0]?.registrar.stateOf(eid);
  }

  #receive(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    switch (lispType(bytes)) {
      case LISP.mapNotify:
        return this.#notified(bytes, from, now);
      case LISP.mapReply:
        return this.#replied(bytes);
      case LISP.mapRequest: {
        const message = decodeLisp(bytes);
        if (typeof message === 'string') return message;
        return message.type === LISP.mapRequest && message.isSolicit
          ? this.#solicited(message, now)
          : 'no-server';
      }
      default:
        return 'no-server';
    }
  }

  #notified(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    const link = this.#links.find(({ server }) => server.ip === from.ip);
    if (link === undefined) return 'unknown-server';
    const signature = verified(bytes, this.options.keys);
    const message = decodeLisp(bytes);
    if (typeof message === 'string') return message;
    if (message.type !== LISP.mapNotify) return 'not-lisp-control';
    const isAnswer = link.registrar.awaits(message.nonce);
    if (typeof signature === 'string') {
      const isAwaited = isAnswer || link.subscriber.awaits(message.nonce);
      if (isAwaited && (signature === 'bad-mac' || signature === 'unknown-key')) this.#wrongKey(link, true);
      return signature;
    }
    this.#wrongKey(link, false);
    if (!isAnswer) return link.subscriber.receive(message, now);
    link.registrar.answered(message, now);
    return undefined;
  }

  /** Only our nonce vouches for it, which nobody could guess. */
  #replied(bytes: Uint8Array): MappingDrop | undefined {
    const message = decodeLisp(bytes);
    if (typeof message === 'string') return message;
    if (message.type !== LISP.mapReply || !this.#questions.take(message.nonce)) return 'unasked';
    const { instance, prefixes } = this.options;
    for (const record of message.records) {
      const { eid } = record;
      const isOurs = prefixes.some((prefix) => containsPrefix(prefix, eid.prefix));
      if (eid.instance !== instance || !isOurs) return 'foreign-prefix';
      if (record.locators.length > 0) this.cache.apply(record);
    }
    return undefined;
  }

  /** The EID that moved is its source EID, and the record one of the receiver's. */
  #solicited({ sourceEid }: MapRequest, now: number): MappingDrop | undefined {
    const server =
      this.#links.find(({ subscriber }) => !subscriber.isSilent)?.server ?? this.options.servers[0];
    if (sourceEid === undefined || server === undefined) return 'unasked';
    const { ip, instance } = sourceEid;
    if (instance !== this.options.instance) return 'foreign-instance';
    const prefix = { ip, length: hostLength(ip) };
    if (!this.options.prefixes.some((site) => containsPrefix(site, prefix))) return 'foreign-prefix';
    return this.#questions.ask(server.ip, ip, now);
  }

  #wrongKey(link: Link, isWrong: boolean): void {
    if (link.hasWrongKey === isWrong) return;
    link.hasWrongKey = isWrong;
    const server = link.server.ip;
    const says = isWrong ? 'signs with another key than ours' : 'signs with our key again';
    const message = `map-server ${formatIp(server)} ${says}`;
    this.options.emit({ kind: 'alarm', alarm: 'map-server-wrong-key', isOver: !isWrong, server, message });
  }
}
