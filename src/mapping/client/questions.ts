import { type Ip, hostLength } from '../../wire/addresses.js';
import { LISP, LISP_CONTROL_PORT, encodeLisp } from '../../wire/lisp/message.js';
import { type Emit, type MappingDrop, NEVER } from '../actions.js';

/**
 * Map-Requests because somebody says that a mapping changed (SMR, RFC 9301 section 6.1). Nothing vouches for who says so:
 * it causes a question to the map-server, rarely, and nothing else.
 */

/** Between two questions about one EID, ms (RFC 9301 section 6.1). */
const GAP_MS = 3000;
/** EIDs that are asked about at a time: the sender chooses them. */
const MAX_QUESTIONS = 100;

export class Questions {
  /** By EID; `nonce` until it is answered. */
  readonly #open = new Map<Ip, { nonce: bigint | undefined; readonly at: number }>();

  constructor(
    readonly options: {
      readonly rloc: Ip;
      readonly instance: number;
      /** 64 bits that nobody can guess. */
      readonly random64: () => bigint;
      readonly emit: Emit;
    },
  ) {}

  ask(server: Ip, ip: Ip, now: number): MappingDrop | undefined {
    this.tick(now);
    if (this.#open.has(ip) || this.#open.size >= MAX_QUESTIONS) return 'smr-limit';
    const nonce = this.options.random64();
    this.#open.set(ip, { nonce, at: now });
    const { instance, rloc, emit } = this.options;
    const bytes = encodeLisp({
      type: LISP.mapRequest,
      nonce,
      isProbe: false,
      isSolicit: false,
      isSolicitInvoked: true,
      sourceEid: undefined,
      itrRlocs: [rloc],
      records: [{ eid: { instance, prefix: { ip, length: hostLength(ip) } }, subscribe: false }],
      xtr: undefined,
    });
    emit({ kind: 'send', to: server, port: LISP_CONTROL_PORT, bytes });
    return undefined;
  }

  /** Whether a reply with this nonce is awaited; it counts once. */
  take(nonce: bigint): boolean {
    for (const question of this.#open.values()) {
      if (question.nonce !== nonce) continue;
      question.nonce = undefined;
      return true;
    }
    return false;
  }

  tick(now: number): void {
    for (const [ip, { at }] of this.#open) if (at + GAP_MS <= now) this.#open.delete(ip);
  }

  nextDeadline(): number {
    return Math.min(NEVER, ...[...this.#open.values()].map(({ at }) => at + GAP_MS));
  }
}
