import type { Ip, Mac } from '../../../../src/wire/addresses.js';
import type { Clock } from '../clock.js';

interface Entry {
  mac: Mac | undefined;
  state: 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'permanent';
  updatedAt: number;
  reachableUntil: number;
  /** Counts the entry's timers, so that an outdated one does nothing. */
  epoch: number;
}

/** Linux's defaults (net.ipv4.neigh.*, net.ipv6.neigh.*): what makes a host talk to a stale MAC for tens of seconds. */
const REACHABLE_MS = 30_000;
const DELAY_MS = 5_000;
const RETRANS_MS = 1_000;
const TRIES = 3;

/** What a frame says of an address, as Linux takes it (net/core/neighbour.c, neigh_update). */
export interface News {
  readonly state: 'reachable' | 'stale';
  /** Another MAC replaces the known one. */
  readonly override: boolean;
  /** Without override another MAC is not taken, but a reachable entry is doubted: it becomes stale. */
  readonly doubt?: boolean;
  /** The address is entered when it is not there yet. */
  readonly create: boolean;
}

/**
 * The neighbour table of one interface, for the addresses of both families, with neighbour unreachability detection
 * (RFC 4861 section 7.3) as Linux has it for both. What a frame does to an entry is a matter of its protocol.
 */
export class Neighbours {
  private readonly entries = new Map<Ip, Entry>();

  constructor(
    private readonly clock: Clock,
    /** Asks for `ip`, at `mac` when it is only to be confirmed. */
    private readonly ask: (ip: Ip, mac: Mac | undefined) => void,
    private readonly changed: (ip: Ip, mac: Mac | undefined) => void = () => {},
  ) {}

  mac(ip: Ip): Mac | undefined {
    return this.entries.get(ip)?.mac;
  }

  all(): IterableIterator<[Ip, { readonly mac: Mac | undefined; readonly state: string }]> {
    return this.entries.entries();
  }

  /** The MAC to send a packet to, now; starts to resolve or to confirm it where Linux would. */
  use(ip: Ip): Mac | undefined {
    const entry = this.entries.get(ip);
    if (entry === undefined) {
      const created = this.create(ip, undefined, 'incomplete');
      this.ask(ip, undefined);
      this.again(ip, created, TRIES - 1);
      return undefined;
    }
    if (entry.state === 'reachable' && this.clock.now() > entry.reachableUntil) entry.state = 'stale';
    if (entry.state === 'stale') {
      entry.state = 'delay';
      const epoch = ++entry.epoch;
      this.clock.after(DELAY_MS, () => {
        if (entry.epoch !== epoch || entry.state !== 'delay') return;
        entry.state = 'probe';
        this.ask(ip, entry.mac);
        this.again(ip, entry, TRIES - 1);
      });
    }
    return entry.mac;
  }

  has(ip: Ip): boolean {
    return this.entries.has(ip);
  }

  /** When the MAC of an entry was entered. */
  updatedAt(ip: Ip): number {
    return this.entries.get(ip)?.updatedAt ?? Number.NEGATIVE_INFINITY;
  }

  learn(ip: Ip, mac: Mac, { state, override, doubt, create }: News): void {
    const entry = this.entries.get(ip);
    if (entry !== undefined) this.update(ip, entry, mac, state, override, doubt === true);
    else if (create) this.create(ip, mac, 'stale');
  }

  setPermanent(ip: Ip, mac: Mac): void {
    const entry = this.entries.get(ip) ?? this.create(ip, mac, 'permanent');
    entry.epoch++;
    entry.state = 'permanent';
    this.setMac(ip, entry, mac);
  }

  remove(ip: Ip): void {
    const entry = this.entries.get(ip);
    if (entry === undefined) return;
    entry.epoch++;
    this.entries.delete(ip);
    this.changed(ip, undefined);
  }

  /** Carrier loss keeps permanent entries, admin down nothing (neigh_carrier_down, neigh_ifdown). */
  flush(keepPermanent: boolean): void {
    for (const [ip, entry] of [...this.entries]) {
      if (!(keepPermanent && entry.state === 'permanent')) this.remove(ip);
    }
  }

  private create(ip: Ip, mac: Mac | undefined, state: Entry['state']): Entry {
    const entry = { mac, state, updatedAt: this.clock.now(), reachableUntil: 0, epoch: 0 };
    this.entries.set(ip, entry);
    if (mac !== undefined) this.changed(ip, mac);
    return entry;
  }

  private update(
    ip: Ip,
    entry: Entry,
    mac: Mac,
    state: News['state'],
    override: boolean,
    doubt: boolean,
  ): void {
    if (entry.state === 'permanent') return;
    const differs = entry.mac !== undefined && entry.mac !== mac;
    if (differs && !override) {
      if (doubt && entry.state === 'reachable') entry.state = 'stale';
      return;
    }
    const connected = entry.state === 'reachable' || entry.state === 'delay' || entry.state === 'probe';
    if (state === 'reachable') {
      entry.epoch++;
      entry.state = 'reachable';
      entry.reachableUntil = this.clock.now() + REACHABLE_MS * this.clock.between(0.5, 1.5);
    } else if (differs || entry.state === 'incomplete' || !connected) {
      entry.epoch++;
      entry.state = 'stale';
    }
    this.setMac(ip, entry, mac);
  }

  private setMac(ip: Ip, entry: Entry, mac: Mac): void {
    if (entry.mac === mac) return;
    entry.mac = mac;
    entry.updatedAt = this.clock.now();
    this.changed(ip, mac);
  }

  private again(ip: Ip, entry: Entry, left: number): void {
    const epoch = ++entry.epoch;
    this.clock.after(RETRANS_MS, () => {
      if (entry.epoch !== epoch) return;
      if (left === 0) {
        this.remove(ip);
        return;
      }
      this.ask(ip, entry.state === 'probe' ? entry.mac : undefined);
      this.again(ip, entry, left - 1);
    });
  }
}
