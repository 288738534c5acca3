import { type Ip, type Prefix, containsPrefix, formatIp, formatPrefix } from '../../wire/addresses.js';
import { LISP, LISP_CONTROL_PORT } from '../../wire/lisp/message.js';
import { type MappingRecord, recordBytes } from '../../wire/lisp/record.js';
import { type Emit, NEVER, WINDOW, oneDatagram } from '../actions.js';
import { type Authenticator, type Signature, seal } from '../authentication.js';

/** Map-Notifies of the map-server that nobody asked for, until they are acknowledged (RFC 9301 section 5.7, RFC 9437). */

/** Publications of one EID in a second: two hosts with one address shall not flood everybody. */
const MAX_PER_SECOND = 10;
const SECOND_MS = 1000;
/** Waits for an acknowledgement, ms: three times 3 s, then three times doubling (RFC 9301 section 5.7). */
const WAITS_MS = [3000, 3000, 3000, 6000, 12_000, 24_000];

/** Who is told. Without a prefix: the displaced owner of an EID, which did not subscribe. */
export interface Subscription {
  readonly rloc: Ip;
  readonly prefix: Prefix | undefined;
  readonly signature: Signature;
  /** Of the last Map-Notify. */
  readonly nonce: bigint;
}

interface Flight {
  readonly eids: readonly string[];
  readonly tries: number;
  readonly at: number;
}

interface Target extends Subscription {
  nonce: bigint;
  /** When it was told everything. */
  readonly since: number;
  readonly queue: Set<string>;
  readonly flights: Map<bigint, Flight>;
}

export interface PublisherOptions {
  readonly keys: Authenticator;
  /** What is known of an EID now. */
  readonly recordOf: (eid: string) => MappingRecord | undefined;
  readonly emit: Emit;
}

export class Publisher {
  readonly #targets = new Map<string, Target>();
  /** EIDs that changed, and when that may be published. */
  readonly #changed = new Map<string, { readonly prefix: Prefix; readonly at: number }>();
  /** When each EID was published, the last ten times of the last second. */
  readonly #published = new Map<string, readonly number[]>();

  constructor(readonly options: PublisherOptions) {}

  subscriptions(): readonly Subscription[] {
    return [...this.#targets.values()].filter(({ prefix }) => prefix !== undefined);
  }

  /** Datagrams without an acknowledgement. */
  get unacknowledged(): number {
    return [...this.#targets.values()].reduce((sum, { flights }) => sum + flights.size, 0);
  }

  find(rloc: Ip, prefix: Prefix): { readonly nonce: bigint; readonly since: number } | undefined {
    return this.#targets.get(nameOf(rloc, prefix));
  }

  /** From now on this subscriber is told of changes, and of all these EIDs first, by nonces after `nonce`. */
  subscribe(subscription: Subscription, eids: Iterable<string>, now: number): void {
    const name = nameOf(subscription.rloc, subscription.prefix);
    const target = { ...subscription, since: now, queue: new Set(eids), flights: new Map() };
    this.#targets.set(name, target);
    this.#send(target, now);
  }

  /** A renewal: nonces go on after this one, when it is newer. */
  renew(rloc: Ip, prefix: Prefix, nonce: bigint): void {
    const target = this.#targets.get(nameOf(rloc, prefix));
    if (target !== undefined && nonce > target.nonce) target.nonce = nonce;
  }

  unsubscribe(rloc: Ip, prefix: Prefix): boolean {
    return this.#targets.delete(nameOf(rloc, prefix));
  }

  countOf(rloc: Ip): number {
    return this.subscriptions().filter((target) => target.rloc === rloc).length;
  }

  isTold(rloc: Ip, prefix: Prefix): boolean {
    return this.subscriptions().some((target) => target.rloc === rloc && isBelow(target.prefix, prefix));
  }

  /** Tells one router of one EID, until it acknowledges. */
  notify(subscription: Subscription, eid: string, now: number): void {
    const name = nameOf(subscription.rloc, undefined);
    const target = this.#targets.get(name) ?? {
      ...subscription,
      since: now,
      queue: new Set<string>(),
      flights: new Map(),
    };
    this.#targets.set(name, target);
    target.queue.add(eid);
    this.#send(target, now);
  }

  /** An EID changed. `flush` publishes it, now or when the last publication is long enough ago. */
  changed(prefix: Prefix, now: number): void {
    const eid = formatPrefix(prefix);
    const times = this.#published.get(eid) ?? [];
    const at = times.length < MAX_PER_SECOND ? now : Math.max(now, (times[0] as number) + SECOND_MS);
    if (!this.#changed.has(eid)) this.#changed.set(eid, { prefix, at });
  }

  /** A Map-Notify-Ack about this EID: the nonces of two subscriptions of one router may be the same. @returns whether there was anything to acknowledge */
  acknowledged(from: Ip, nonce: bigint, about: Prefix | undefined, now: number): boolean {
    let isKnown = false;
    for (const [name, target] of this.#targets) {
      // One at or below its last nonce: an answer to its request, or repeated meanwhile.
      if (target.rloc !== from || nonce > target.nonce) continue;
      if (target.prefix !== undefined && (about === undefined || !containsPrefix(target.prefix, about)))
        continue;
      target.flights.delete(nonce);
      this.#send(target, now);
      if (target.prefix === undefined && target.flights.size === 0) this.#targets.delete(name);
      isKnown = true;
    }
    return isKnown;
  }

  /** Publishes what may be, and repeats what was not acknowledged. */
  tick(now: number): void {
    for (const [eid, times] of this.#published)
      if ((times.at(-1) as number) + SECOND_MS <= now) this.#published.delete(eid);
    const due = [...this.#changed].filter(([, { at }]) => at <= now);
    for (const [eid, { prefix }] of due) {
      this.#changed.delete(eid);
      const times = this.#published.get(eid) ?? [];
      this.#published.set(eid, [...times, now].slice(-MAX_PER_SECOND));
      for (const target of this.#targets.values()) if (isBelow(target.prefix, prefix)) target.queue.add(eid);
    }
    for (const [name, target] of this.#targets) {
      for (const [nonce, flight] of target.flights) {
        if (flight.at > now) continue;
        target.flights.delete(nonce);
        if (flight.tries < WAITS_MS.length) this.#fly(target, flight.eids, flight.tries, now);
        // It is gone. When it comes back it subscribes anew.
        else this.#targets.delete(name);
      }
      if (this.#targets.has(name)) this.#send(target, now);
    }
  }

  nextDeadline(): number {
    let at = NEVER;
    for (const change of this.#changed.values()) at = Math.min(at, change.at);
    for (const { flights } of this.#targets.values())
      for (const flight of flights.values()) at = Math.min(at, flight.at);
    return at;
  }

  #send(target: Target, now: number): void {
    while (target.queue.size > 0 && target.flights.size < WINDOW) {
      const size = (eid: string) => recordBytes(this.options.recordOf(eid) ?? NO_RECORD);
      const eids = oneDatagram(target.queue, size);
      for (const eid of eids) target.queue.delete(eid);
      this.#fly(target, eids, 0, now);
    }
  }

  /** A repetition has a nonce of its own, and says what is known now: the receiver drops what is overtaken. */
  #fly(target: Target, eids: readonly string[], tries: number, now: number): void {
    const records = eids.flatMap((eid) => this.options.recordOf(eid) ?? []);
    if (records.length === 0) return;
    target.nonce += 1n;
    target.flights.set(target.nonce, { eids, tries: tries + 1, at: now + (WAITS_MS[tries] as number) });
    const message = { type: LISP.mapNotify, nonce: target.nonce, records };
    const bytes = seal(message, this.options.keys, target.signature);
    this.options.emit({ kind: 'send', to: target.rloc, port: LISP_CONTROL_PORT, bytes });
  }
}

const NO_RECORD: MappingRecord = {
  ttlMinutes: 0,
  action: 0,
  isAuthoritative: false,
  version: 0,
  eid: { instance: 1, prefix: { ip: '\0'.repeat(16) as Ip, length: 128 } },
  locators: [],
};

function nameOf(rloc: Ip, prefix: Prefix | undefined): string {
  return `${formatIp(rloc)} ${prefix === undefined ? '' : formatPrefix(prefix)}`;
}

function isBelow(outer: Prefix | undefined, inner: Prefix): boolean {
  return outer !== undefined && containsPrefix(outer, inner);
}
