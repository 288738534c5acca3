import { type Ip, type Ipv6, isIpv4, low24 } from '../../wire/addresses.js';

const NONE: readonly Ipv6[] = [];

/**
 * IPv6 addresses by the low 24 bits, which are all that a solicited-node group tells of them (RFC 4291 section 2.7.1). Most
 * are alone, and stand there themselves; but every prefix may have a `::1`.
 */
export class SolicitedNodes {
  readonly #addresses = new Map<number, Ipv6 | Set<Ipv6>>();

  get(low: number): readonly Ipv6[] {
    const found = this.#addresses.get(low);
    if (found === undefined) return NONE;
    return typeof found === 'string' ? [found] : [...found];
  }

  add(ip: Ip): void {
    if (isIpv4(ip)) return;
    const found = this.#addresses.get(low24(ip));
    if (found === undefined) this.#addresses.set(low24(ip), ip);
    else if (typeof found !== 'string') found.add(ip);
    else if (found !== ip) this.#addresses.set(low24(ip), new Set([found, ip]));
  }

  delete(ip: Ip): void {
    if (isIpv4(ip)) return;
    const found = this.#addresses.get(low24(ip));
    if (found === ip) this.#addresses.delete(low24(ip));
    else if (found instanceof Set && found.delete(ip) && found.size === 0) this.#addresses.delete(low24(ip));
  }
}
