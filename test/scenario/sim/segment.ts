import {
  type Ip,
  isGroupMac,
  isIpv4,
  MAC_BROADCAST,
  type Mac,
  readMac,
  writeIpv4,
  writeIpv6,
  writeMac,
} from '../../../src/wire/addresses.js';
import { ETHER_TYPE_IPV4, ETHER_TYPE_IPV6 } from '../../../src/wire/ethernet.js';
import { IPV6_DESTINATION_AT, IPV6_PAYLOAD_AT, IPV6_SOURCE_AT } from '../../../src/wire/ipv6.js';
import type { Clock } from './clock.js';

/** Whatever is plugged into a LAN. */
export interface Station {
  readonly mac: Mac;
  /** libpcap and hypervisors see frames for others too. */
  readonly promiscuous: boolean;
  /** The machine behind the port of the switch; default: the station itself. */
  readonly box?: object;
  /** Cable in and interface up. */
  listening(): boolean;
  receive(bytes: Uint8Array): void;
  /** Whether its card takes frames to this group; default: to all. */
  listensTo?(group: Mac): boolean;
  /** An IP packet in a frame that was flooded or sent to nobody. */
  overhear?(bytes: Uint8Array): void;
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
  /** A switch sends what is for one MAC to the port where it last heard it; without: to all who listen to everything. */
  readonly switched?: boolean;
}

/** One broadcast domain that carries real bytes. */
export class Segment {
  private readonly stations = new Set<Station>();
  private readonly byMac = new Map<Mac, Set<Station>>();
  private readonly listeners = new Set<Station>();
  private readonly learned = new Map<Mac, object>();
  /** Machines on the other half of a torn LAN. */
  private otherHalf: ReadonlySet<object> = new Set();
  /** Everything that was sent, for assertions about what was on the wire. */
  readonly log: { readonly at: number; readonly bytes: Uint8Array; readonly from: Station }[] = [];

  constructor(
    readonly name: string,
    private readonly clock: Clock,
    private readonly wire: Wire,
  ) {}

  add(station: Station): void {
    this.stations.add(station);
    if (station.promiscuous) this.listeners.add(station);
    const same = this.byMac.get(station.mac);
    if (same === undefined) this.byMac.set(station.mac, new Set([station]));
    else same.add(station);
  }

  remove(station: Station): void {
    this.stations.delete(station);
    this.listeners.delete(station);
    this.byMac.get(station.mac)?.delete(station);
    this.forget(boxOf(station));
  }

  tear(otherHalf: ReadonlySet<object>): void {
    this.otherHalf = otherHalf;
    this.learned.clear();
  }

  reaches(one: object, other: object): boolean {
    return this.otherHalf.has(one) === this.otherHalf.has(other);
  }

  /** The switch heard this MAC at the port of a machine. */
  learn(mac: Mac, box: object): void {
    if (this.wire.switched === true) this.learned.set(mac, box);
  }

  /** The port of a machine went down. */
  forget(box: object): void {
    for (const [mac, at] of this.learned) if (at === box) this.learned.delete(mac);
  }

  transmit(from: Station, bytes: Uint8Array): void {
    this.log.push({ at: this.clock.now(), bytes, from });
    const destination = readMac(bytes, 0);
    this.learn(readMac(bytes, 6), boxOf(from));
    for (const station of this.receivers(destination)) {
      if (station === from || !this.reaches(boxOf(from), boxOf(station))) continue;
      // What a machine sends it does not hear on its other interfaces on this LAN.
      if (boxOf(station) === boxOf(from)) continue;
      if (this.wire.loss > 0 && this.clock.random() < this.wire.loss) continue;
      this.clock.after(this.clock.between(...this.wire.delayMs), () => {
        if (this.stations.has(station) && station.listening()) station.receive(bytes);
      });
    }
  }

  private receivers(destination: Mac): Iterable<Station> {
    if (destination === MAC_BROADCAST) return this.stations;
    if (isGroupMac(destination))
      return [...this.stations].filter((station) => station.listensTo?.(destination) !== false);
    const all = new Set([...(this.byMac.get(destination) ?? []), ...this.listeners]);
    const port = this.learned.get(destination);
    return port === undefined ? all : [...all].filter((station) => boxOf(station) === port);
  }

  /** Puts an IP packet on the wire for the owner of `mac`; whether somebody delivers it. */
  carry(from: Station, mac: Mac, packet: Packet, hops: number): boolean {
    this.learn(from.mac, boxOf(from));
    const port = this.learned.get(mac);
    for (const station of this.byMac.get(mac) ?? []) {
      if (station === from || !station.listening() || !this.reaches(boxOf(from), boxOf(station))) continue;
      if (port === undefined || port === boxOf(station)) return station.forward(packet, hops);
    }
    if (port !== undefined) return false;
    // A bridge that does not know the MAC floods the frame.
    for (const station of this.listeners)
      if (station !== from && station.listening() && this.reaches(boxOf(from), boxOf(station)))
        station.overhear?.(frameOf(from.mac, mac, packet));
    return false;
  }
}

function boxOf(station: Station): object {
  return station.box ?? station;
}

/** The beginning of a packet, as far as anybody reads it. */
function frameOf(source: Mac, destination: Mac, { from, to }: Packet): Uint8Array {
  const bytes = new Uint8Array(IPV6_PAYLOAD_AT);
  writeMac(bytes, 0, destination);
  writeMac(bytes, 6, source);
  if (isIpv4(from) && isIpv4(to)) {
    bytes.set([ETHER_TYPE_IPV4 >> 8, ETHER_TYPE_IPV4 & 255, 0x45], 12);
    writeIpv4(bytes, 26, from);
    writeIpv4(bytes, 30, to);
    return bytes.subarray(0, 34);
  }
  if (isIpv4(from) || isIpv4(to)) throw new Error('a packet has addresses of one family');
  bytes.set([ETHER_TYPE_IPV6 >> 8, ETHER_TYPE_IPV6 & 255, 0x60], 12);
  writeIpv6(bytes, IPV6_SOURCE_AT, from);
  writeIpv6(bytes, IPV6_DESTINATION_AT, to);
  return bytes;
}
