import { type Ip, type Mac, isIpv4 } from '../../wire/addresses.js';
import { KNOWN_HOST_BYTES, MAX_PAYLOAD_BYTES, readKnownHost, writeKnownHost } from '../protocol.js';

/** A host that the daemon knows, by the MAC that it had last. */
export type KnownHost = readonly [ip: Ip, mac: Mac];

/**
 * Who is not refused in a storm, although the absorber does not know it: it is quiet mostly, or comes from somewhere else.
 * A MAC is kept folded to 32 bits: a stranger that is let through by mistake costs the daemon a look.
 */
export class KnownHosts {
  readonly #macs = new Map<number, number>();

  get size(): number {
    return this.#macs.size;
  }

  /** Learns all of a record. */
  learn(payload: Uint8Array): void {
    for (let at = 0; at + KNOWN_HOST_BYTES <= payload.length; at += KNOWN_HOST_BYTES) {
      const { ip, macHigh, macLow } = readKnownHost(payload, at);
      this.#macs.set(ip | 0, macLow ^ (macHigh << 16));
    }
  }

  /** Whether this address has this MAC. */
  has(ip: number, macHigh: number, macLow: number): boolean {
    return this.#macs.get(ip | 0) === (macLow ^ (macHigh << 16));
  }

  forget(): void {
    this.#macs.clear();
  }
}

/** Payloads that tell of all these hosts. IPv6 is not told: nothing of it is refused. */
export function* encodeKnownHosts(hosts: Iterable<KnownHost>): Generator<Uint8Array> {
  const room = Math.floor(MAX_PAYLOAD_BYTES / KNOWN_HOST_BYTES) * KNOWN_HOST_BYTES;
  const payload = new Uint8Array(room);
  let used = 0;
  for (const [ip, mac] of hosts) {
    if (!isIpv4(ip)) continue;
    writeKnownHost(payload, used, { ip, macHigh: Math.floor(mac / 2 ** 32), macLow: mac % 2 ** 32 });
    used += KNOWN_HOST_BYTES;
    if (used < room) continue;
    yield payload;
    used = 0;
  }
  if (used > 0) yield payload.subarray(0, used);
}
