import { type Ip, type Prefix, formatIp, containsPrefix } from '../../wire/addresses.js';
import { LISP, LISP_CONTROL_PORT, type MapNotify, type Xtr, encodeLisp } from '../../wire/lisp/message.js';
import { type Emit, type MappingDrop, NEVER } from '../actions.js';
import { type Authenticator, seal } from '../authentication.js';

/**
 * Our subscriptions at one map-server (RFC 9437 section 4), one for each prefix of the site.
 *
 * Each is renewed every few seconds, which also tells whether the server is there. The nonce of a renewal follows the last
 * that the server used. After an exchange without an answer it is far above: the server tells everything anew.
 */

export interface SubscriberOptions {
  readonly server: Ip;
  readonly rloc: Ip;
  readonly instance: number;
  readonly xtr: Xtr;
  readonly keys: Authenticator;
  readonly prefixes: readonly Prefix[];
  /** ms since 1970, in the upper 48 bits: nonces of a subscription that begins anew are above all earlier ones. */
  readonly nonceAt: (now: number) => bigint;
  readonly emit: Emit;
  /** Before a subscription that begins anew: our key is to be proven first. */
  readonly onAsk: (now: number) => void;
  /** The server answered for the first time, or again. */
  readonly onBack: (prefix: Prefix, now: number) => void;
  /** A record of a publication. */
  readonly onRecord: (record: MapNotify['records'][number], now: number) => void;
}

interface Subscription {
  readonly prefix: Prefix;
  /** The highest nonce of the server. */
  last: bigint;
  /** Nonce of the last request. */
  asked: bigint | undefined;
  isAwaited: boolean;
  /** An exchange went without an answer, or there was none yet: everything is to be told anew. */
  isLost: boolean;
  at: number;
  /** Requests without an answer, in a row. */
  missed: number;
}

const RENEWAL_MS = 5000;
const FIRST_WAITS_MS = 1000;
/** Requests without an answer until the server counts as silent. */
const TRIES = 3;

export class Subscriber {
  readonly #subscriptions: Subscription[];

  constructor(
    readonly options: SubscriberOptions,
    now: number,
  ) {
    this.#subscriptions = options.prefixes.map((prefix) => ({
      prefix,
      last: 0n,
      asked: undefined,
      isAwaited: false,
      isLost: true,
      at: now,
      missed: 0,
    }));
  }

  /** No answer to three requests. */
  get isSilent(): boolean {
    return this.#subscriptions.some(({ missed }) => missed >= TRIES);
  }

  awaits(nonce: bigint): boolean {
    return this.#subscriptions.some(({ asked, isAwaited }) => isAwaited && asked === nonce);
  }

  /** A Map-Notify of the server that answers no Map-Register; its MAC was checked. */
  receive(message: MapNotify, now: number): MappingDrop | undefined {
    const { nonce, records } = message;
    const [first] = records;
    const about = this.#subscriptions.filter(
      ({ prefix }) => first !== undefined && containsPrefix(prefix, first.eid.prefix),
    );
    const subscription = about.find(({ asked }) => asked === nonce) ?? about[0];
    if (subscription === undefined) return first === undefined ? 'unasked' : 'foreign-prefix';
    const { asked, isAwaited } = subscription;
    // What follows the answer proves that there was one, should it be lost.
    if (isAwaited && asked !== undefined && nonce >= asked) this.#answered(subscription, now);
    // The answer to a renewal that a publication overtook says nothing new.
    if (nonce <= subscription.last) return nonce === asked ? undefined : 'old-nonce';
    subscription.last = nonce;
    const { instance } = this.options;
    const ours = records.filter(
      ({ eid }) => eid.instance === instance && containsPrefix(subscription.prefix, eid.prefix),
    );
    for (const record of ours) this.options.onRecord(record, now);
    const bytes = seal({ type: LISP.mapNotifyAck, nonce, records }, this.options.keys);
    this.#send(bytes);
    return ours.length < records.length ? 'foreign-prefix' : undefined;
  }

  tick(now: number): void {
    for (const subscription of this.#subscriptions) if (subscription.at <= now) this.#ask(subscription, now);
  }

  nextDeadline(): number {
    return Math.min(NEVER, ...this.#subscriptions.map(({ at }) => at));
  }

  #ask(subscription: Subscription, now: number): void {
    const wasSilent = this.isSilent;
    if (subscription.isAwaited) {
      subscription.missed += 1;
      subscription.isLost = true;
    }
    if (!wasSilent && this.isSilent) this.#alarm(false);
    const { prefix, last, isLost } = subscription;
    if (isLost) this.options.onAsk(now);
    const fresh = this.options.nonceAt(now);
    const anew = fresh > last + 1n ? fresh : last + (1n << 16n);
    subscription.asked = isLost ? anew : last + 1n;
    subscription.isAwaited = true;
    // An answer takes milliseconds. It is awaited for a second, and the next request is sent then when there is none.
    subscription.at = now + (subscription.missed < TRIES ? FIRST_WAITS_MS : RENEWAL_MS);
    const { instance, rloc, xtr } = this.options;
    this.#send(
      encodeLisp({
        type: LISP.mapRequest,
        nonce: subscription.asked,
        isProbe: false,
        isSolicit: false,
        isSolicitInvoked: false,
        sourceEid: undefined,
        itrRlocs: [rloc],
        records: [{ eid: { instance, prefix }, subscribe: true }],
        xtr,
      }),
    );
  }

  #answered(subscription: Subscription, now: number): void {
    const wasSilent = this.isSilent;
    const wasLost = subscription.isLost;
    Object.assign(subscription, { isAwaited: false, isLost: false, missed: 0, at: now + RENEWAL_MS });
    if (wasSilent && !this.isSilent) this.#alarm(true);
    if (wasLost) this.options.onBack(subscription.prefix, now);
  }

  #send(bytes: Uint8Array): void {
    this.options.emit({ kind: 'send', to: this.options.server, port: LISP_CONTROL_PORT, bytes });
  }

  #alarm(isOver: boolean): void {
    const { server, emit } = this.options;
    const says = isOver ? 'answers again' : 'does not answer';
    const message = `map-server ${formatIp(server)} ${says}`;
    emit({ kind: 'alarm', alarm: 'map-server-silent', isOver, server, message });
  }
}
