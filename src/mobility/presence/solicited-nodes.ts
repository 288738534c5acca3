import { type Ip, type Ipv6, isIpv4, low24 } from '../../wire/addresses.js';

const NONE: readonly Ipv6[] = [];

/** IPv6 addresses by the low 24 bits, which are all that a solicited-node group tells of them (RFC 4291 section 2.7.1). */
export class SolicitedNodes {
  readonly #addresses = new Map<number, readonly Ipv6[]>();

  get(low: number): readonly Ipv6[] {
    return this.#addresses.get(low) ?? NONE;
  }

  add(ip: Ip): void {
    if (isIpv4(ip)) return;
    const others = this.get(low24(ip));
    if (!others.includes(ip)) this.#addresses.set(low24(ip), [...others, ip]);
  }

  delete(ip: Ip): void {
    if (isIpv4(ip)) return;
    const others = this.get(low24(ip)).filter((other) => other !== ip);
    if (others.length > 0) this.#addresses.set(low24(ip), others);
    else this.#addresses.delete(low24(ip));
  }
}
