import type { IfIndex } from '../../mobility/events.js';
import { type KnownHost, encodeKnownHosts } from './known-hosts.js';
import { KNOW, REFUSE, encodeRefuse } from '../protocol.js';

/** A child keeps what it was told of for twice as long as this after the last refusal. */
export const KNOWN_HOSTS_MS = 5000;

/**
 * Interfaces whose children refuse newcomers. Before a child does so it is told whom the daemon knows, and during the storm
 * of everybody who becomes known: in quiet times nobody has to keep such a list.
 */
export class StormMode {
  readonly #known: () => Iterable<KnownHost>;
  readonly #send: (iface: IfIndex, kind: number, payload: Uint8Array) => void;
  /** By interface: the opening that was told (a child that takes over knows nothing), and when it last refused. */
  readonly #told = new Map<IfIndex, { readonly serial: number; readonly at: number }>();

  constructor(
    known: () => Iterable<KnownHost>,
    send: (iface: IfIndex, kind: number, payload: Uint8Array) => void,
  ) {
    this.#known = known;
    this.#send = send;
  }

  /** Has newcomers of the interface, which is open by this serial, refused for so long. */
  refuse(iface: IfIndex, serial: number, forMs: number, now: number): void {
    const told = this.#told.get(iface);
    if (told?.serial !== serial || now - told.at > KNOWN_HOSTS_MS) this.#tell(iface, this.#known());
    this.#told.set(iface, { serial, at: now });
    this.#send(iface, REFUSE, encodeRefuse(forMs));
  }

  /** Somebody has become known. */
  know(who: KnownHost, now: number): void {
    for (const [iface, { at }] of this.#told) {
      if (now - at > KNOWN_HOSTS_MS) this.#told.delete(iface);
      else this.#tell(iface, [who]);
    }
  }

  #tell(iface: IfIndex, whom: Iterable<KnownHost>): void {
    for (const payload of encodeKnownHosts(whom)) this.#send(iface, KNOW, payload);
  }
}
