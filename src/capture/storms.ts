import type { IfIndex } from '../mobility/events.js';
import { type Acquaintance, encodeAcquaintances } from './acquaintances.js';
import { KNOW, REFUSE, encodeRefuse } from './protocol.js';

/** A child keeps what it was told of for twice as long as this after the last refusal. */
export const ACQUAINTANCE_MS = 5000;

/**
 * Interfaces whose children refuse newcomers. Before a child does so it is told whom the daemon knows, and during the storm
 * of everybody who becomes known: in quiet times nobody has to keep such a list.
 */
export class Storms {
  readonly #known: () => Iterable<Acquaintance>;
  readonly #send: (iface: IfIndex, kind: number, payload: Uint8Array) => void;
  /** By interface: the opening that was told (a child that takes over knows nothing), and when it last refused. */
  readonly #told = new Map<IfIndex, { readonly serial: number; readonly at: number }>();

  constructor(
    known: () => Iterable<Acquaintance>,
    send: (iface: IfIndex, kind: number, payload: Uint8Array) => void,
  ) {
    this.#known = known;
    this.#send = send;
  }

  /** Has newcomers of the interface, which is open by this serial, refused for so long. */
  refuse(iface: IfIndex, serial: number, forMs: number, now: number): void {
    const told = this.#told.get(iface);
    if (told?.serial !== serial || now - told.at > ACQUAINTANCE_MS) this.#tell(iface, this.#known());
    this.#told.set(iface, { serial, at: now });
    this.#send(iface, REFUSE, encodeRefuse(forMs));
  }

  /** Somebody has become known. */
  know(who: Acquaintance, now: number): void {
    for (const [iface, { at }] of this.#told) {
      if (now - at > ACQUAINTANCE_MS) this.#told.delete(iface);
      else this.#tell(iface, [who]);
    }
  }

  #tell(iface: IfIndex, whom: Iterable<Acquaintance>): void {
    for (const payload of encodeAcquaintances(whom)) this.#send(iface, KNOW, payload);
  }
}
