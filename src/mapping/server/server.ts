import {
  type Ip,
  type Prefix,
  contains,
  containsPrefix,
  formatIp,
  formatPrefix,
} from '../../wire/addresses.js';
import { decodeEcm } from '../../wire/lisp/ecm.js';
import {
  ALGORITHM,
  LISP,
  type MapRegister,
  type MapRequest,
  decodeLisp,
  encodeLisp,
  lispType,
} from '../../wire/lisp/message.js';
import { ACTION, type MappingRecord } from '../../wire/lisp/record.js';
import { type Emit, type MappingDrop, NEVER, RECORDS_PER_DATAGRAM, type Sender } from '../actions.js';
import { type Authenticator, type Signature, seal, verified } from '../authentication.js';
import { Publisher } from './publisher.js';
import type { Mapping, ServerState } from './server-state.js';

/**
 * The embedded map-server and map-resolver (RFC 9301 section 8, RFC 9437).
 *
 * In LISP the last registration wins, so a router that missed that a host left would take it back by its next refresh.
 * Here a refresh is not a claim: the Map-Version of a record rises with each new claim of a router and stays in its
 * refreshes. For each EID the server remembers who was displaced at which version. A registration of that router with
 * that version changes nothing, and is answered with the present mapping. Version 0, of other implementations, counts
 * as a claim each time.
 */

/** What a key may register. Absent: all of the site, from anywhere. */
export interface KeyScope {
  readonly prefixes?: readonly Prefix[];
  readonly rlocs?: readonly Prefix[] | undefined;
}

export interface ServerOptions {
  readonly instance: number;
  /** EIDs of the site. */
  readonly prefixes: readonly Prefix[];
  readonly keys: Authenticator;
  readonly scopes: ReadonlyMap<number, KeyScope>;
  /** Where the nonces of notices begin that are no publications: above those of an earlier run. */
  readonly nonce: bigint;
  readonly state: ServerState | undefined;
  readonly emit: Emit;
}

/** How long a registration holds without a refresh, ms (RFC 9301 section 8.2). */
const REGISTRATION_MS = 180_000;
const TTL_MINUTES = 1440;
/** Minutes of negative answers (RFC 9301 section 8.4). */
const NOT_AN_EID_TTL = 15;
const NOT_REGISTERED_TTL = 1;
const MAX_MAPPINGS = 100_000;
/** Of one RLOC. */
const MAX_SUBSCRIPTIONS = 16;
/** A request with such a nonce would leave none for the publications that follow. */
const MAX_NONCE = (1n << 64n) - (1n << 40n);

/** Publications do not wait until the state is saved: after a restart their nonces go on so far above what was. */
const RESTART_NONCES = 1n << 16n;
/** A subscriber does not lag behind so far: this nonce is of one that begins anew. */
const LAG_NONCES = 1n << 16n;
/** Whoever forges requests makes us tell everything once in so many ms. */
const ANEW_MS = 900;

interface Registrant {
  readonly xtr: string;
  readonly from: Sender;
  readonly signature: Signature;
}

/** The last Map-Register of an xTR by one key. */
interface LastRegister {
  readonly nonce: bigint;
  /** Absent after a restart: then a duplicate of it is a replay. */
  readonly bytes?: Uint8Array;
  readonly answer?: Uint8Array | undefined;
}

export class MapServer {
  readonly #mappings = new Map<string, Mapping & { expiresAt: number }>();
  readonly #last = new Map<string, LastRegister>();
  /** RLOCs from where somebody has proven a key, and which. */
  readonly #proven = new Map<Ip, Signature>();
  readonly #publisher: Publisher;
  #nonce: bigint;

  constructor(
    readonly options: ServerOptions,
    now: number,
  ) {
    this.#nonce = options.nonce;
    const recordOf = (eid: string) => {
      const mapping = this.#mappings.get(eid);
      return mapping === undefined ? undefined : this.#record(mapping);
    };
    this.#publisher = new Publisher({ keys: options.keys, emit: options.emit, recordOf });
    const { state } = options;
    if (state === undefined) return;
    for (const mapping of state.mappings)
      this.#mappings.set(formatPrefix(mapping.prefix), { ...mapping, expiresAt: now + REGISTRATION_MS });
    for (const [name, nonce] of state.nonces) this.#last.set(name, { nonce });
    // Whether the last publications arrived is not known.
    for (const subscription of state.subscriptions) {
      if (subscription.prefix === undefined) continue;
      this.#proven.set(subscription.rloc, subscription.signature);
      const nonce = subscription.nonce + RESTART_NONCES;
      this.#publisher.subscribe({ ...subscription, nonce }, this.#below(subscription.prefix), now);
    }
  }

  /** What a restart must not forget. */
  state(): ServerState {
    const nonces = [...this.#last].map(([name, { nonce }]) => [name, nonce] as const);
    return { mappings: [...this.#mappings.values()], nonces, subscriptions: this.#publisher.subscriptions() };
  }

  get unacknowledged(): number {
    return this.#publisher.unacknowledged;
  }

  /** The RLOCs of an EID; none: not registered. */
  rlocsOf(prefix: Prefix): readonly Ip[] {
    return this.#mappings.get(formatPrefix(prefix))?.rlocs ?? [];
  }

  get size(): number {
    return [...this.#mappings.values()].filter(({ rlocs }) => rlocs.length > 0).length;
  }

  receive(bytes: Uint8Array, from: Sender, now: number): void {
    const reason = this.#receive(bytes, from, now);
    if (reason !== undefined) this.#drop(reason, from);
    this.#publisher.tick(now);
  }

  tick(now: number): void {
    for (const [eid, mapping] of this.#mappings) {
      if (mapping.expiresAt > now) continue;
      if (mapping.rlocs.length > 0) this.#withdraw(mapping, now);
      else this.#mappings.delete(eid);
    }
    this.#publisher.tick(now);
  }

  nextDeadline(): number {
    let at = NEVER;
    for (const { expiresAt } of this.#mappings.values()) at = Math.min(at, expiresAt);
    return Math.min(at, this.#publisher.nextDeadline());
  }

  #receive(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    switch (lispType(bytes)) {
      case LISP.mapRegister:
        return this.#register(bytes, from, now);
      case LISP.mapNotifyAck:
        return this.#acknowledged(bytes, from, now);
      case LISP.encapsulated: {
        const packet = decodeEcm(bytes);
        if (typeof packet === 'string') return packet;
        return this.#request(packet.message, { ip: from.ip, port: packet.sourcePort }, now);
      }
      default:
        return this.#request(bytes, from, now);
    }
  }

  #register(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    const signature = verified(bytes, this.options.keys);
    if (typeof signature === 'string') return signature;
    const message = decodeLisp(bytes);
    if (typeof message === 'string') return message;
    if (message.type !== LISP.mapRegister) return 'not-lisp-control';
    if (!this.#mayBe(signature.keyId, [from.ip])) return 'foreign-rloc';
    const xtr = message.xtr?.id ?? formatIp(from.ip);
    const name = `${xtr} ${signature.keyId}`;
    const last = this.#last.get(name);
    if (last !== undefined && message.nonce <= last.nonce) {
      // The acknowledgement was lost: the same once more, which changes nothing.
      if (last.bytes === undefined || !areEqual(last.bytes, bytes)) return 'old-nonce';
      if (last.answer !== undefined) this.#send(from, last.answer);
      return undefined;
    }
    this.#proven.set(from.ip, signature);
    const answer = this.#apply(message, { xtr, from, signature }, now);
    this.#last.set(name, { nonce: message.nonce, bytes: Uint8Array.from(bytes), answer });
    this.options.emit({ kind: 'save' });
    if (answer !== undefined) this.#send(from, answer);
    return undefined;
  }

  /** @returns the Map-Notify, when one is wanted. Records that the key may not register are left out of it. */
  #apply(message: MapRegister, registrant: Registrant, now: number): Uint8Array | undefined {
    const records: MappingRecord[] = [];
    for (const record of message.records) {
      const { prefix, instance } = record.eid;
      const reason = this.#refusal(record, registrant.signature.keyId);
      if (reason !== undefined) {
        this.#drop(reason, registrant.from);
        continue;
      }
      const ignored = this.#applyRecord(record, registrant, now);
      if (ignored !== undefined) this.#drop(ignored, registrant.from);
      const present = this.#mappings.get(formatPrefix(prefix));
      records.push(present === undefined ? negative({ prefix, instance }, 0) : this.#record(present));
    }
    if (!message.wantsNotify) return undefined;
    const notify = { type: LISP.mapNotify, nonce: message.nonce, records };
    return seal(notify, this.options.keys, registrant.signature);
  }

  #refusal({ eid, locators }: MappingRecord, keyId: number): MappingDrop | undefined {
    if (eid.instance !== this.options.instance) return 'foreign-instance';
    const { prefixes = this.options.prefixes } = this.options.scopes.get(keyId) ?? {};
    if (!prefixes.some((prefix) => containsPrefix(prefix, eid.prefix))) return 'foreign-prefix';
    if (
      !this.#mayBe(
        keyId,
        locators.map(({ rloc }) => rloc),
      )
    )
      return 'foreign-rloc';
    const isNew = !this.#mappings.has(formatPrefix(eid.prefix));
    return isNew && this.#mappings.size >= MAX_MAPPINGS ? 'mapping-limit' : undefined;
  }

  #mayBe(keyId: number, rlocs: readonly Ip[]): boolean {
    const allowed = this.options.scopes.get(keyId)?.rlocs;
    return allowed === undefined || rlocs.every((rloc) => allowed.some((prefix) => contains(prefix, rloc)));
  }

  #applyRecord(
    record: MappingRecord,
    { xtr, from, signature }: Registrant,
    now: number,
  ): MappingDrop | undefined {
    const { prefix } = record.eid;
    const eid = formatPrefix(prefix);
    const known = this.#mappings.get(eid);
    const isHeld = known !== undefined && known.rlocs.length > 0;
    const isOwner = isHeld && known.xtr === xtr;
    const rlocs = [...record.locators].sort((a, b) => a.priority - b.priority).map(({ rloc }) => rloc);
    if (record.ttlMinutes === 0 || rlocs.length === 0) {
      if (!isOwner) return 'not-owner';
      this.#withdraw(known, now);
      return undefined;
    }
    const { version } = record;
    if (!isOwner && version !== 0 && known?.displaced.get(xtr) === version) return 'displaced-refresh';
    const displaced = new Map(known?.displaced);
    displaced.delete(xtr);
    if (isHeld && !isOwner) displaced.set(known.xtr, known.version);
    const mapping = { prefix, rlocs, xtr, rloc: from.ip, signature, version, displaced };
    this.#mappings.set(eid, { ...mapping, expiresAt: now + REGISTRATION_MS });
    const isChange = known === undefined || known.rlocs.join() !== rlocs.join();
    if (isChange) this.#publisher.changed(prefix, now);
    if (isHeld && !isOwner) this.#tellDisplaced(known, eid, now);
    return undefined;
  }

  /** Its entry stays for a while: who was displaced before is not to come back by a refresh. */
  #withdraw(mapping: Mapping, now: number): void {
    const gone = { ...mapping, rlocs: [], expiresAt: now + REGISTRATION_MS };
    this.#mappings.set(formatPrefix(mapping.prefix), gone);
    this.#publisher.changed(mapping.prefix, now);
    this.options.emit({ kind: 'save' });
  }

  /** "You lost it": a publication tells it, where the displaced router has subscribed. */
  #tellDisplaced({ rloc, signature, prefix }: Mapping, eid: string, now: number): void {
    if (this.#publisher.isTold(rloc, prefix)) return;
    this.#nonce += 1n;
    const subscription = { rloc, prefix: undefined, signature, nonce: this.#nonce };
    this.#publisher.notify(subscription, eid, now);
  }

  #acknowledged(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    const signature = verified(bytes, this.options.keys);
    if (typeof signature === 'string') return signature;
    const message = decodeLisp(bytes);
    if (typeof message === 'string') return message;
    if (message.type !== LISP.mapNotifyAck) return 'not-lisp-control';
    const about = message.records[0]?.eid.prefix;
    return this.#publisher.acknowledged(from.ip, message.nonce, about, now) ? undefined : 'unasked';
  }

  #request(bytes: Uint8Array, from: Sender, now: number): MappingDrop | undefined {
    const message = decodeLisp(bytes);
    if (typeof message === 'string') return message;
    if (message.type !== LISP.mapRequest || message.isProbe || message.isSolicit) return 'unasked';
    const [request] = message.records;
    if (request === undefined) return 'bad-length';
    // No answer is longer than its question to somebody who did not ask: only who has proven a key gets one.
    const signature = this.#signatureFor(from.ip);
    if (signature === undefined) return 'rloc-without-key';
    if (request.eid.instance !== this.options.instance) return 'foreign-instance';
    if (request.subscribe && message.xtr !== undefined)
      return this.#subscribe(message, request.eid.prefix, { ...from, signature }, now);
    const to = message.itrRlocs.includes(from.ip) ? from.ip : message.itrRlocs[0];
    if (to === undefined || this.#signatureFor(to) === undefined) return 'rloc-without-key';
    const records = this.#answer(request.eid.prefix);
    const reply = { type: LISP.mapReply, nonce: message.nonce, isProbe: false, records };
    this.#send({ ip: to, port: from.port }, encodeLisp(reply));
    return undefined;
  }

  #signatureFor(rloc: Ip): Signature | undefined {
    const proven = this.#proven.get(rloc);
    if (proven !== undefined) return proven;
    const keyIds = [...this.options.scopes]
      .filter(([, { rlocs }]) => rlocs?.some((prefix) => contains(prefix, rloc)) === true)
      .map(([keyId]) => keyId);
    return keyIds.length === 0 ? undefined : { keyId: Math.max(...keyIds), algorithm: ALGORITHM.sha256 };
  }

  /**
   * RFC 9437 section 4. A nonce that follows the last publication, or a recent one, renews the subscription. Another one
   * is of a subscriber that does not know what was published (it, or this server, was away): it is told everything.
   */
  #subscribe(
    { nonce, itrRlocs }: MapRequest,
    prefix: Prefix,
    { ip, port, signature }: Sender & { readonly signature: Signature },
    now: number,
  ): MappingDrop | undefined {
    const confirm = () => {
      const own = this.#mappings.get(formatPrefix(prefix));
      const record =
        own === undefined ? negative({ instance: this.options.instance, prefix }, 0) : this.#record(own);
      const notify = { type: LISP.mapNotify, nonce, records: [record] };
      this.#send({ ip, port }, seal(notify, this.options.keys, signature));
    };
    if (itrRlocs.length === 0) {
      this.#publisher.unsubscribe(ip, prefix);
      this.options.emit({ kind: 'save' });
      confirm();
      return undefined;
    }
    if (itrRlocs[0] !== ip) return 'foreign-rloc';
    const known = this.#publisher.find(ip, prefix);
    if (known === undefined && this.#publisher.countOf(ip) >= MAX_SUBSCRIPTIONS) return 'subscription-limit';
    // Whoever forges a request may raise the nonce, as this is not authenticated, but not to its end, and never lower it.
    const limited = nonce > MAX_NONCE ? MAX_NONCE : nonce;
    const last = known?.nonce ?? 0n;
    const isRenewal = known !== undefined && nonce <= last + 1n && nonce > last - LAG_NONCES;
    if (known !== undefined && !isRenewal && now - known.since < ANEW_MS) return 'subscription-limit';
    if (isRenewal) this.#publisher.renew(ip, prefix, limited);
    this.options.emit({ kind: 'save' });
    confirm();
    if (isRenewal) return undefined;
    const subscription = { rloc: ip, prefix, signature, nonce: last > limited ? last : limited };
    this.#publisher.subscribe(subscription, this.#below(prefix), now);
    return undefined;
  }

  *#below(prefix: Prefix): Iterable<string> {
    for (const [eid, mapping] of this.#mappings)
      if (mapping.rlocs.length > 0 && containsPrefix(prefix, mapping.prefix)) yield eid;
  }

  /** The longest match and all its more-specifics: whoever caches the prefix would not ask for them again. */
  #answer(prefix: Prefix): MappingRecord[] {
    const held = [...this.#mappings.values()].filter(({ rlocs }) => rlocs.length > 0);
    const [best] = held
      .filter((mapping) => containsPrefix(mapping.prefix, prefix))
      .sort((a, b) => b.prefix.length - a.prefix.length);
    const found = held.filter(
      (mapping) => mapping !== best && containsPrefix(best?.prefix ?? prefix, mapping.prefix),
    );
    const all = best === undefined ? found : [best, ...found];
    if (all.length > 0) return all.slice(0, RECORDS_PER_DATAGRAM).map((mapping) => this.#record(mapping));
    const isOurs = this.options.prefixes.some((site) => containsPrefix(site, prefix));
    const eid = { instance: this.options.instance, prefix };
    return [
      { ...negative(eid, isOurs ? NOT_REGISTERED_TTL : NOT_AN_EID_TTL), action: ACTION.nativelyForward },
    ];
  }

  #record({ prefix, rlocs, version }: Mapping): MappingRecord {
    const eid = { instance: this.options.instance, prefix };
    if (rlocs.length === 0) return { ...negative(eid, 0), version };
    const flags = { isLocal: false, isProbed: false, isReachable: true };
    const locators = rlocs.map((rloc, i) => ({ rloc, priority: i + 1, weight: 100, ...flags }));
    return { ttlMinutes: TTL_MINUTES, action: ACTION.none, isAuthoritative: false, version, eid, locators };
  }

  #send({ ip, port }: Sender, bytes: Uint8Array): void {
    this.options.emit({ kind: 'send', to: ip, port, bytes });
  }

  #drop(reason: MappingDrop, { ip }: Sender): void {
    this.options.emit({ kind: 'drop', reason, from: ip });
  }
}

function negative(eid: MappingRecord['eid'], ttlMinutes: number): MappingRecord {
  return { ttlMinutes, action: ACTION.none, isAuthoritative: false, version: 0, eid, locators: [] };
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i]);
}
