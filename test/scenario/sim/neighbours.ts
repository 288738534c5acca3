import type { Ip, Ipv4, Mac } from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, type ArpFrame } from '../../../src/wire/arp.js';
import type { Clock } from './clock.js';

interface Entry {
  mac: Mac | undefined;
  state: 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'permanent';
  updatedAt: number;
  reachableUntil: number;
  /** Counts the entry's timers, so that an outdated one does nothing. */
  epoch: number;
}

/** Linux's defaults (net.ipv4.neigh.*): what makes a host talk to a stale MAC for tens of seconds. */
const REACHABLE_MS = 30_000;
const DELAY_MS = 5_000;
const RETRANS_MS = 1_000;
const LOCKTIME_MS = 1_000;
const TRIES = 3;

/**
 * The neighbour table of one interface, with the merge rule of RFC 826 as Linux has it (net/ipv4/arp.c): a request
 * for our own address always overwrites and creates; anything else only changes what is there, and not within the
 * second after the last change unless it is gratuitous.
 */
export class Neighbours {
  private readonly entries = new Map<Ip, Entry>();

  constructor(
    private readonly clock: Clock,
    /** Sends an ARP request for `ip`, to `mac` when it is only to be confirmed. */
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

  /** `toUs`: the ARP target is an address of this interface. `unicast`: the frame was sent to our MAC. */
  hear(frame: ArpFrame, toUs: boolean, unicast: boolean): void {
    const { senderIp: ip, senderMac: mac, targetIp, opcode } = frame;
    if (ip === 0) return;
    const entry = this.entries.get(ip);
    if (opcode === ARP_REQUEST && toUs && targetIp !== ip) {
      if (entry === undefined) this.create(ip, mac, 'stale');
      else this.update(ip, entry, mac, 'stale', true);
      return;
    }
    if (entry === undefined) return;
    const gratuitous = targetIp === ip && (opcode === ARP_REQUEST || frame.targetMac === mac);
    const override = gratuitous || this.clock.now() > entry.updatedAt + LOCKTIME_MS;
    this.update(ip, entry, mac, opcode === ARP_REPLY && unicast ? 'reachable' : 'stale', override);
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

  private update(ip: Ip, entry: Entry, mac: Mac, state: 'reachable' | 'stale', override: boolean): void {
    if (entry.state === 'permanent') return;
    const differs = entry.mac !== undefined && entry.mac !== mac;
    if (differs && !override) return;
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

/** An ARP frame with the Ethernet header that belongs to it. */
export function arpFrame(
  opcode: 1 | 2,
  sender: { readonly mac: Mac; readonly ip: Ipv4 },
  target: { readonly mac: Mac; readonly ip: Ipv4 },
  destination: Mac,
): ArpFrame {
  return {
    destination,
    source: sender.mac,
    opcode,
    senderMac: sender.mac,
    senderIp: sender.ip,
    targetMac: target.mac,
    targetIp: target.ip,
  };
}
