import { type Ip, type Mac, readMac } from '../../src/wire/addresses.js';
import { isGroupMac } from '../../src/wire/addresses.js';
import type { Clock } from './clock.js';

/** Whatever is plugged into a LAN. */
export interface Station {
  readonly mac: Mac;
  /** libpcap and hypervisors see frames for others too. */
  readonly promiscuous: boolean;
  /** Cable in and interface up. */
  listening(): boolean;
  receive(bytes: Uint8Array): void;
  /** An IP packet in a frame for this station's MAC: whether it reaches `packet.to` from here on. */
  forward(packet: Packet, hops: number): boolean;
}

export interface Packet {
  readonly from: Ip;
  readonly to: Ip;
}

export interface Wire {
  readonly delayMs: readonly [number, number];
  /** Probability that one receiver misses one frame. */
  readonly loss: number;
}

/** One broadcast domain that carries real bytes. */
export class Segment {
  readonly stations = new Set<Station>();
  /** Everything that was sent, for assertions about what was on the wire. */
  readonly log: { readonly at: number; readonly bytes: Uint8Array; readonly from: Station }[] = [];

  constructor(
    readonly name: string,
    private readonly clock: Clock,
    private readonly wire: Wire,
  ) {}

  transmit(from: Station, bytes: Uint8Array): void {
    this.log.push({ at: this.clock.now(), bytes, from });
    const destination = readMac(bytes, 0);
    for (const station of this.stations) {
      if (station === from) continue;
      if (!station.promiscuous && !isGroupMac(destination) && destination !== station.mac) continue;
      if (this.wire.loss > 0 && this.clock.random() < this.wire.loss) continue;
      this.clock.after(this.clock.between(...this.wire.delayMs), () => {
        if (this.stations.has(station) && station.listening()) station.receive(bytes);
      });
    }
  }

  /** Puts an IP packet on the wire for the owner of `mac`; whether somebody delivers it. */
  carry(from: Station, mac: Mac, packet: Packet, hops: number): boolean {
    for (const station of this.stations) {
      if (station !== from && station.mac === mac && station.listening()) return station.forward(packet, hops);
    }
    return false;
  }
}
