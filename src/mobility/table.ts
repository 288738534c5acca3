import type { Ip, Mac } from '../wire/addresses.js';
import type { IfIndex, Attachment } from './events.js';
import { Host } from './host/host.js';

const NONE: readonly Host[] = [];

/** Hosts by something that they share. Most MACs have one host: that one stands there itself, a Set costs 200 bytes. */
class Index<K> {
  private readonly hosts = new Map<K, Host | Set<Host>>();

  get(key: K): Iterable<Host> {
    const found = this.hosts.get(key);
    if (found === undefined) return NONE;
    return found instanceof Host ? [found] : found;
  }

  count(key: K): number {
    const found = this.hosts.get(key);
    if (found === undefined) return 0;
    return found instanceof Host ? 1 : found.size;
  }

  /** The order of the hosts that share a key. */
  order(): [K, Ip[]][] {
    return [...this.hosts].flatMap(([key, found]) =>
      found instanceof Host ? [] : [[key, [...found].map(({ ip }) => ip)] satisfies [K, Ip[]]],
    );
  }

  restoreOrder(order: readonly [K, readonly Ip[]][], hostOf: (ip: Ip) => Host | undefined): void {
    for (const [key, ips] of order) this.hosts.set(key, new Set(ips.flatMap((ip) => hostOf(ip) ?? [])));
  }

  add(key: K, host: Host): void {
    const found = this.hosts.get(key);
    if (found === undefined) this.hosts.set(key, host);
    else if (found instanceof Set) found.add(host);
    else if (found !== host) this.hosts.set(key, new Set([found, host]));
  }

  delete(key: K, host: Host): void {
    const found = this.hosts.get(key);
    if (found === host) this.hosts.delete(key);
    else if (found instanceof Set && found.delete(host) && found.size === 0) this.hosts.delete(key);
  }
}

/** Every address we know, found by address, by MAC, by interface index and by interface name. */
export class HostTable {
  private readonly byIp = new Map<Ip, Host>();
  private readonly byMac = new Index<Mac>();
  private readonly byIface = new Index<IfIndex>();
  private readonly byName = new Index<string>();

  /** Which host comes first decides what is done first. */
  snapshot() {
    return {
      hosts: [...this.byIp.values()].map((host) => host.snapshot()),
      byMac: this.byMac.order(),
      byIface: this.byIface.order(),
      byName: this.byName.order(),
    };
  }

  restore({ hosts, byMac, byIface, byName }: ReturnType<HostTable['snapshot']>): void {
    for (const state of hosts) {
      const host = this.create(state.ip);
      host.restore(state);
      if (state.attachment !== undefined) this.place(host, state.attachment, state.interface);
    }
    const hostOf = (ip: Ip) => this.byIp.get(ip);
    this.byMac.restoreOrder(byMac, hostOf);
    this.byIface.restoreOrder(byIface, hostOf);
    this.byName.restoreOrder(byName, hostOf);
  }

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
  withMac(mac: Mac): Iterable<Host> {
    return this.byMac.get(mac);
  }

  countWithMac(mac: Mac): number {
    return this.byMac.count(mac);
  }

  /** Hosts whose place is on this interface, held or not. */
  on(iface: IfIndex): Iterable<Host> {
    return this.byIface.get(iface);
  }

  countOn(iface: IfIndex): number {
    return this.byIface.count(iface);
  }

  /** Hosts whose place is or was on an interface of this name, whatever its index was then. */
  onNamed(name: string): Iterable<Host> {
    return this.byName.get(name);
  }

  place(host: Host, place: Attachment, name: string | undefined): void {
    this.unindex(host);
    host.attach(place, name);
    this.byMac.add(place.mac, host);
    this.byIface.add(place.iface, host);
    if (name !== undefined) this.byName.add(name, host);
  }

  /** The interface of its attachment has a new name. */
  rename(host: Host, name: string): void {
    if (host.attachment !== undefined) this.place(host, host.attachment, name);
  }

  remove(host: Host): void {
    this.unindex(host);
    this.byIp.delete(host.ip);
  }

  private unindex(host: Host): void {
    if (host.attachment === undefined) return;
    this.byMac.delete(host.attachment.mac, host);
    this.byIface.delete(host.attachment.iface, host);
    if (host.interface !== undefined) this.byName.delete(host.interface, host);
  }
}
