import { type Ip, type Prefix, containsPrefix, formatPrefix } from '../../wire/addresses.js';
import { LISP, LISP_CONTROL_PORT, type MapNotify, type Xtr } from '../../wire/lisp/message.js';
import { ACTION, type Locator, type MappingRecord, recordBytes } from '../../wire/lisp/record.js';
import { type Emit, NEVER, WINDOW, oneDatagram } from '../actions.js';
import { type Authenticator, seal } from '../authentication.js';
import { type RegistrationInput, type RegistrationState, stepRegistration } from './registration.js';

/** Our registrations at one map-server (RFC 9301 section 8.2). */

export interface RegistrarOptions {
  readonly server: Ip;
  readonly rloc: Ip;
  readonly instance: number;
  readonly xtr: Xtr;
  readonly keys: Authenticator;
  readonly refreshMs: number;
  /** Nonces are above this one: the server knows those of earlier runs. */
  readonly nonce: bigint;
  /** A number of [0, 1). */
  readonly random: () => number;
  readonly emit: Emit;
}

interface Registration {
  readonly prefix: Prefix;
  state: RegistrationState;
  /** Map-Version: rises with each claim, stays in refreshes (server.ts). */
  version: number;
  /** When it is sent next. */
  at: number;
  /** Transmissions without an answer. */
  tries: number;
  /** Of the last transmission, while it has no answer. An answer to an earlier one says nothing about the present claim. */
  nonce: bigint | undefined;
}

interface Flight {
  readonly keys: readonly string[];
  readonly at: number;
}

/** Wait for an answer, ms: doubles from the first to the last (RFC 9301 section 8.2). */
const FIRST_WAIT_MS = 1000;
const LAST_WAIT_MS = 60_000;
const REFUSED_RETRY_MS = 60_000;
/** A publication that says who has it now would arrive within this time of the start. */
const ADOPTED_WAIT_MS = 1000;
/** What is due so soon fills the datagram of what is due now. */
const TOGETHER_MS = 500;
/** Then the server forgets it by itself. */
const WITHDRAWALS = 6;
const TTL_MINUTES = 1440;

export class Registrar {
  readonly #registrations = new Map<string, Registration>();
  readonly #flights = new Map<bigint, Flight>();
  #nonce: bigint;

  constructor(readonly options: RegistrarOptions) {
    this.#nonce = options.nonce;
  }

  /** The highest nonce that was used. */
  get nonce(): bigint {
    return this.#nonce;
  }

  /** Registers an EID here, by the next tick. `adopted`: a claim of an earlier run, which another router may have taken since. */
  claim(prefix: Prefix, version: number, adopted: boolean, now: number): void {
    const key = formatPrefix(prefix);
    const known = this.#registrations.get(key);
    if (adopted && known !== undefined) return;
    const state = adopted ? 'unsent' : stepRegistration(known?.state ?? 'unsent', 'claim');
    const at = adopted ? now + ADOPTED_WAIT_MS : now;
    this.#registrations.set(key, { prefix, state, version, at, tries: 0, nonce: undefined });
  }

  /** Withdraws it by the next tick, unless the server has told of another owner. */
  release(prefix: Prefix, now: number): void {
    const registration = this.#registrations.get(formatPrefix(prefix));
    if (registration === undefined || registration.state === 'withdrawing') return;
    this.#step(registration, 'release');
    Object.assign(registration, { at: now, tries: 0, nonce: undefined });
  }

  /** A publication says who has this EID. */
  told(prefix: Prefix, isOwn: boolean, now: number): void {
    const registration = this.#registrations.get(formatPrefix(prefix));
    if (registration === undefined) return;
    const before = registration.state;
    this.#step(registration, isOwn ? 'told-own' : 'told-other');
    if (before === 'lost' && registration.state === 'held') registration.at = now + this.#jittered();
  }

  /** The server was away and may have forgotten everything below this prefix: it is registered anew. */
  serverBack(below: Prefix, now: number): void {
    for (const [nonce, { keys }] of this.#flights) if (keys.length > 0) this.#flights.delete(nonce);
    for (const registration of this.#registrations.values()) {
      if (registration.nonce !== undefined) Object.assign(registration, { nonce: undefined, at: now });
      if (!containsPrefix(below, registration.prefix)) continue;
      if (registration.state === 'lost' || registration.state === 'unsent') continue;
      this.#step(registration, 'server-back');
      Object.assign(registration, { at: now, tries: 0 });
    }
  }

  /** A Map-Register without records: it proves our key, so that the server answers requests from here. */
  hello(now: number): void {
    if ([...this.#flights.values()].some(({ keys }) => keys.length === 0)) return;
    this.#fly([], [], now, FIRST_WAIT_MS);
  }

  awaits(nonce: bigint): boolean {
    return this.#flights.has(nonce);
  }

  /** The answer to a message that is awaited; its MAC was checked. */
  answered({ nonce, records }: MapNotify, now: number): void {
    const flight = this.#flights.get(nonce);
    if (flight === undefined) return;
    this.#flights.delete(nonce);
    const answers = new Map(records.map((record) => [formatPrefix(record.eid.prefix), record]));
    // The same for all, so that they stay together.
    const refreshAt = now + this.#jittered();
    for (const key of flight.keys) {
      const registration = this.#registrations.get(key);
      if (registration?.nonce !== nonce) continue;
      registration.nonce = undefined;
      registration.tries = 0;
      this.#step(registration, this.#meaningOf(answers.get(key)));
      registration.at = registration.state === 'held' ? refreshAt : now + REFUSED_RETRY_MS;
      if (registration.state === 'refused') this.#alarm(registration.prefix);
    }
    this.tick(now);
  }

  tick(now: number): void {
    for (const [nonce, { keys, at }] of this.#flights) {
      if (at > now) continue;
      this.#flights.delete(nonce);
      for (const key of keys) this.#unanswered(key, nonce, now);
    }
    while (this.#flights.size < WINDOW) {
      const taken = oneDatagram(this.#due(now), ([, registration]) =>
        recordBytes(this.#record(registration)),
      );
      if (taken.length === 0) return;
      const waits = taken.map(([, { tries }]) => Math.min(FIRST_WAIT_MS * 2 ** tries, LAST_WAIT_MS));
      const records = taken.map(([, registration]) => this.#record(registration));
      const nonce = this.#fly(
        taken.map(([key]) => key),
        records,
        now,
        Math.max(...waits),
      );
      for (const [, registration] of taken) {
        this.#step(registration, 'sent');
        registration.nonce = nonce;
      }
    }
  }

  /** What is to be sent now; and what is soon, when there is any. */
  *#due(now: number): Iterable<[string, Registration]> {
    let hasAny = false;
    for (const entry of this.#registrations) {
      if (!isDue(entry[1], now)) continue;
      hasAny = true;
      yield entry;
    }
    if (!hasAny) return;
    for (const entry of this.#registrations)
      if (isDue(entry[1], now + TOGETHER_MS) && !isDue(entry[1], now)) yield entry;
  }

  nextDeadline(): number {
    let at = NEVER;
    for (const flight of this.#flights.values()) at = Math.min(at, flight.at);
    if (this.#flights.size >= WINDOW) return at;
    for (const registration of this.#registrations.values())
      if (mayBeSent(registration)) at = Math.min(at, registration.at);
    return at;
  }

  /** Number of registrations in each state. */
  counts(): ReadonlyMap<RegistrationState, number> {
    const counts = new Map<RegistrationState, number>();
    for (const { state } of this.#registrations.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
    return counts;
  }

  stateOf(prefix: Prefix): RegistrationState | undefined {
    return this.#registrations.get(formatPrefix(prefix))?.state;
  }

  #unanswered(key: string, nonce: bigint, now: number): void {
    const registration = this.#registrations.get(key);
    if (registration?.nonce !== nonce) return;
    Object.assign(registration, { nonce: undefined, tries: registration.tries + 1, at: now });
    if (registration.tries >= WITHDRAWALS) this.#step(registration, 'given-up');
  }

  #meaningOf(record: MappingRecord | undefined): RegistrationInput {
    if (record === undefined) return 'absent';
    const { locators } = record;
    if (locators.some(({ rloc }) => rloc === this.options.rloc)) return 'accepted';
    return locators.length === 0 ? 'absent' : 'other-owner';
  }

  /** The only place where a state changes. */
  #step(registration: Registration, input: RegistrationInput): void {
    registration.state = stepRegistration(registration.state, input);
    if (registration.state === 'gone') this.#registrations.delete(formatPrefix(registration.prefix));
  }

  /** A nonce for each transmission: the server drops one that it has seen, whether we got its answer or not. */
  #fly(keys: readonly string[], records: readonly MappingRecord[], now: number, waitMs: number): bigint {
    const { server, xtr, emit } = this.options;
    this.#nonce += 1n;
    const nonce = this.#nonce;
    this.#flights.set(nonce, { keys, at: now + waitMs });
    const flags = { isProxyReply: true, usesTtl: false, wantsNotify: true };
    const bytes = seal({ type: LISP.mapRegister, nonce, ...flags, records, xtr }, this.options.keys);
    emit({ kind: 'send', to: server, port: LISP_CONTROL_PORT, bytes });
    return nonce;
  }

  /** To withdraw: TTL 0, and no locators, which is what counts for some map-servers. */
  #record({ prefix, version, state }: Registration): MappingRecord {
    const { rloc, instance } = this.options;
    const isHere = state !== 'withdrawing';
    const locator: Locator = {
      rloc,
      priority: 1,
      weight: 100,
      isLocal: true,
      isProbed: false,
      isReachable: true,
    };
    return {
      ttlMinutes: isHere ? TTL_MINUTES : 0,
      action: ACTION.none,
      isAuthoritative: true,
      version,
      eid: { instance, prefix },
      locators: isHere ? [locator] : [],
    };
  }

  #jittered(): number {
    return this.options.refreshMs * (0.75 + this.options.random() / 4);
  }

  #alarm(prefix: Prefix): void {
    const message = `the map-server does not let us register ${formatPrefix(prefix)}`;
    const { server, emit } = this.options;
    emit({ kind: 'alarm', alarm: 'registration-refused', isOver: false, server, message });
  }
}

function mayBeSent({ state, nonce }: Registration): boolean {
  return nonce === undefined && state !== 'lost';
}

function isDue(registration: Registration, by: number): boolean {
  return mayBeSent(registration) && registration.at <= by;
}
