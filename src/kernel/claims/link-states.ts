import type { IfIndex, Link } from '../../mobility/events.js';
import { type Family, type Ip, familyOf, isIpv4 } from '../../wire/addresses.js';

/** What the kernel needs of a link to hold our claims. */
interface LinkState {
  readonly up: boolean;
  /** It has an IPv4 address. */
  readonly numbered: boolean;
  readonly hasIpv6: boolean;
}

/** What became of our claims of one family on a link: the kernel deleted them, or it takes them again. */
interface Change {
  readonly lost: boolean;
  readonly back: boolean;
}

/** Which links can hold claims of which family. */
export class LinkStates {
  readonly #links = new Map<IfIndex, LinkState>();

  /**
   * Admin down deletes the routes of both families, and the neighbour entries with them; so does the loss of the last
   * address for IPv4, and that of IPv6 itself (`disable_ipv6`, a small MTU) for IPv6.
   */
  change(link: Link): Readonly<Record<Family, Change>> {
    const now: LinkState = {
      up: link.up,
      numbered: link.addresses.some((prefix) => isIpv4(prefix.ip)),
      hasIpv6: link.hasIpv6 !== false,
    };
    const before = this.#links.get(link.index) ?? now;
    this.#links.set(link.index, now);
    const lostLast = before.numbered && !now.numbered;
    const turnedDown = before.up && !now.up;
    return {
      ipv4: { lost: turnedDown || lostLast, back: !before.up && now.up },
      ipv6: { lost: doesIpv6(before) && !doesIpv6(now), back: !doesIpv6(before) && doesIpv6(now) },
    };
  }

  forget(iface: IfIndex): void {
    this.#links.delete(iface);
  }

  /** Whether the kernel takes claims of the address there, as far as is known. */
  isUsable(ip: Ip, iface: IfIndex): boolean {
    const link = this.#links.get(iface);
    return link === undefined || (familyOf(ip) === 'ipv4' ? link.up : doesIpv6(link));
  }
}

function doesIpv6({ up, hasIpv6 }: LinkState): boolean {
  return up && hasIpv6;
}
