import { type Family, type Ip, familyOf } from '../../wire/addresses.js';
import type { IfIndex } from '../events.js';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

function put<T>(set: Set<T>, element: T, isIn: boolean): void {
  if (isIn) set.add(element);
  else set.delete(element);
}

/** Interfaces of which something is true for one family, or for both. */
function ofEachFamily(): Readonly<Record<Family, Set<IfIndex>>> {
  return { ipv4: new Set(), ipv6: new Set() };
}

/** What we are on the LANs that have other first-hop routers, for each family: who speaks there, and who has the last word. */
export class LanRoles {
  /** LANs on which another router is active: there we ask as ourselves, and say nothing in the gateway's name. */
  private readonly silent = ofEachFamily();
  /** LANs whose gateway another machine has although nobody has told us so: its visitors are left to that one. */
  private readonly deferring = ofEachFamily();
  /** LANs on which another router has the last word about hosts. */
  private readonly conceding = ofEachFamily();

  forget(iface: IfIndex): void {
    for (const lans of [this.silent, this.conceding, this.deferring])
      for (const family of FAMILIES) lans[family].delete(iface);
  }

  setSilent(iface: IfIndex, family: Family, isSilent: boolean): void {
    put(this.silent[family], iface, isSilent);
  }

  /** Whether we answer, announce and repair on this LAN (design.md 3.5), in the family of `ip`. */
  speaks(iface: IfIndex, ip: Ip): boolean {
    return this.speaksFamily(iface, familyOf(ip));
  }

  speaksFamily(iface: IfIndex, family: Family): boolean {
    return !this.silent[family].has(iface);
  }

  setDeferring(iface: IfIndex, family: Family, isDeferring: boolean): void {
    put(this.deferring[family], iface, isDeferring);
  }

  isDeferring(iface: IfIndex, family: Family): boolean {
    return this.deferring[family].has(iface);
  }

  /** Whether visitors on this LAN are left to another router, unless we are the one that announces them. */
  defers(iface: IfIndex, ip: Ip): boolean {
    return this.isDeferring(iface, familyOf(ip));
  }

  setContests(iface: IfIndex, family: Family, contests: boolean): void {
    put(this.conceding[family], iface, !contests);
  }

  isContesting(iface: IfIndex, family: Family): boolean {
    return !this.conceding[family].has(iface);
  }

  /** Whether a host that is alive on this LAN is ours, whoever else claims it. */
  contests(iface: IfIndex, ip: Ip): boolean {
    return this.isContesting(iface, familyOf(ip));
  }
}
