import type { Ip, Mac } from '../wire/addresses.js';
import type { IfIndex, Place } from './events.js';
import { Host } from './host.js';

function addTo<K>(index: Map<K, Set<Host>>, key: K, host: Host): void {
  const hosts = index.get(key);
  if (hosts === undefined) index.set(key, new Set([host]));
  else hosts.add(host);
}

function removeFrom<K>(index: Map<K, Set<Host>>, key: K, host: Host): void {
  const hosts = index.get(key);
  if (hosts?.delete(host) && hosts.size === 0) index.delete(key);
}

const NONE: ReadonlySet<Host> = new Set();

/** Every address we know, found by address, by MAC, by interface index and by interface name. */
export class HostTable {
  private readonly byIp = new Map<Ip, Host>();
  private readonly byMac = new Map<Mac, Set<Host>>();
  private readonly byIface = new Map<IfIndex, Set<Host>>();
  private readonly byName = new Map<string, Set<Host>>();

  get size(): number {
    return this.byIp.size;
  }

  get(ip: Ip): Host | undefined {
    return this.byIp.get(ip);
  }

  all(): IterableIterator<Host> {
    return this.byIp.values();
  }

  entries(): IterableIterator<[Ip, Host]> {
    return this.byIp.entries();
  }

  create(ip: Ip): Host {
    const host = new Host(ip);
    this.byIp.set(ip, host);
    return host;
  }

  /** Hosts whose place, held or last known, has this MAC. */
  withMac(mac: Mac): ReadonlySet<Host> {
    return this.byMac.get(mac) ?? NONE;
  }

  /** Hosts whose place is on this interface, held or not. */
  on(iface: IfIndex): ReadonlySet<Host> {
    return this.byIface.get(iface) ?? NONE;
  }

  /** Hosts whose place is or was on an interface of this name, whatever its index was then. */
  onNamed(name: string): ReadonlySet<Host> {
    return this.byName.get(name) ?? NONE;
  }

  place(host: Host, place: Place, name: string | undefined): void {
    this.unindex(host);
    host.place = place;
    host.interface = name;
    addTo(this.byMac, place.mac, host);
    addTo(this.byIface, place.iface, host);
    if (name !== undefined) addTo(this.byName, name, host);
  }

  remove(host: Host): void {
    this.unindex(host);
    this.byIp.delete(host.ip);
  }

  private unindex(host: Host): void {
    if (host.place === undefined) return;
    removeFrom(this.byMac, host.place.mac, host);
    removeFrom(this.byIface, host.place.iface, host);
    if (host.interface !== undefined) removeFrom(this.byName, host.interface, host);
  }
}
