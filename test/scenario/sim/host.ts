import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  networkOf,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp, encodeArpBody } from '../../../src/wire/arp.js';
import { ETHER_TYPE_RARP } from '../../../src/wire/ethernet.js';
import type { Clock } from './clock.js';
import { arpFrame, Neighbours } from './neighbours.js';
import type { Packet, Segment, Station } from './segment.js';
import type { Announce, ArpIgnore, HostSpec } from '../world.js';

/** QEMU's announcements after a migration (design.md 5.10), ms. */
const RARP_OFFSETS_MS = [0, 50, 200, 450, 800];
/** The constants of RFC 5227 section 1.1, without the random parts. */
const ACD_PROBES = 3;
const ACD_PROBE_INTERVAL_MS = 1000;
const ACD_ANNOUNCE_WAIT_MS = 2000;
const ACD_ANNOUNCEMENTS = 2;
/** What scripts around `arping -D` do: ask once, then use the address without a word. */
const PROBE_ONCE_WAIT_MS = 500;

/** A host with the ARP of Linux and the address conflict detection of RFC 5227. */
export class SimHost implements Station {
  readonly mac: Mac;
  readonly ip: Ipv4;
  readonly promiscuous = false;
  readonly neighbours: Neighbours;
  segment: Segment | undefined;
  /** Switched on: a host that is off keeps its place on the LAN and says nothing. */
  alive = true;
  /** False for a forger that only shouts. */
  answers = true;
  arpIgnore: ArpIgnore = 0;
  conflicts = 0;
  /** Time between a request and the answer. */
  answerDelayMs: readonly [number, number] = [0.05, 0.2];
  private configured = true;
  private epoch = 0;

  constructor(
    readonly spec: HostSpec,
    private readonly clock: Clock,
  ) {
    this.mac = spec.mac;
    this.ip = spec.ip;
    this.neighbours = new Neighbours(clock, (ip, mac) => this.ask(ip as Ipv4, mac));
  }

  listening(): boolean {
    return this.alive;
  }

  plug(segment: Segment, carrierDrop: boolean): void {
    this.unplug();
    this.configured = true;
    if (carrierDrop) this.neighbours.flush(false);
    this.segment = segment;
    segment.add(this);
  }

  unplug(): void {
    this.epoch++;
    this.segment?.remove(this);
    this.segment = undefined;
  }

  announce(how: Announce): void {
    const self = { mac: this.mac, ip: this.ip };
    switch (how) {
      case 'gratuitous-request':
        this.send(ARP_REQUEST, self, { mac: MAC_ZERO, ip: this.ip }, MAC_BROADCAST);
        return;
      case 'gratuitous-reply':
        this.send(ARP_REPLY, self, { mac: this.mac, ip: this.ip }, MAC_BROADCAST);
        return;
      case 'arp-gateway':
        this.neighbours.remove(this.spec.gateway);
        this.neighbours.use(this.spec.gateway);
        return;
      case 'probe':
        this.detectConflicts();
        return;
      case 'probe-once':
        this.configured = false;
        this.sendProbe();
        this.later(PROBE_ONCE_WAIT_MS, () => {
          this.configured = true;
        });
        return;
      case 'rarp':
        for (const offset of RARP_OFFSETS_MS) this.later(offset, () => this.sendRarp());
        return;
      case 'silent':
        return;
    }
  }

  receive(bytes: Uint8Array): void {
    const frame = decodeArp(bytes);
    if (typeof frame === 'string' || frame.source === this.mac) return;
    const sameAddress = frame.senderIp === this.ip && frame.senderMac !== this.mac;
    const probedByOther = frame.senderIp === 0 && frame.targetIp === this.ip && frame.opcode === ARP_REQUEST;
    if (!this.configured) {
      // RFC 5227 section 2.1.1: while probing, a sender with our address or another prober of it is a conflict.
      if (sameAddress || probedByOther) this.conflicts++;
      return;
    }
    if (sameAddress) {
      this.conflicts++; // RFC 5227 section 2.4
      return;
    }
    const toUs = frame.targetIp === this.ip;
    // Whom it ignores it does not learn either.
    if (toUs && frame.opcode === ARP_REQUEST && this.ignores(frame.senderIp)) return;
    this.neighbours.hear(frame, toUs, frame.destination === this.mac);
    if (toUs && frame.opcode === ARP_REQUEST && this.answers) {
      const asker = { mac: frame.senderMac, ip: frame.senderIp };
      this.later(this.clock.between(...this.answerDelayMs), () =>
        this.send(ARP_REPLY, { mac: this.mac, ip: this.ip }, asker, frame.senderMac),
      );
    }
  }

  /** Sends a packet now; whether it would reach its destination. */
  emit(to: Ip): boolean {
    const { segment } = this;
    if (!this.alive || segment === undefined || !this.configured) return false;
    const mac = this.neighbours.use(this.isOnLink(to) ? to : this.spec.gateway);
    return mac !== undefined && segment.carry(this, mac, { from: this.ip, to }, 0);
  }

  forward(packet: Packet): boolean {
    return this.configured && packet.to === this.ip;
  }

  /** RFC 5227 section 2.1 and 2.3: three probes, then two announcements if nobody objects. */
  private detectConflicts(): void {
    this.configured = false;
    const before = this.conflicts;
    for (let i = 0; i < ACD_PROBES; i++) this.later(i * ACD_PROBE_INTERVAL_MS, () => this.sendProbe());
    const probed = (ACD_PROBES - 1) * ACD_PROBE_INTERVAL_MS + ACD_ANNOUNCE_WAIT_MS;
    this.later(probed, () => {
      if (this.conflicts === before) this.configured = true;
    });
    for (let i = 0; i < ACD_ANNOUNCEMENTS; i++) {
      this.later(probed + 1 + i * 2000, () => {
        if (this.configured) this.announce('gratuitous-request');
      });
    }
  }

  private ignores(asker: Ipv4): boolean {
    return this.arpIgnore === 2 && asker !== 0 && !this.isOnLink(asker);
  }

  private isOnLink(ip: Ip): boolean {
    return networkOf(ip, this.spec.prefixLength) === networkOf(this.ip, this.spec.prefixLength);
  }

  private ask(ip: Ipv4, mac: Mac | undefined): void {
    const target = { mac: mac ?? MAC_ZERO, ip };
    this.send(ARP_REQUEST, { mac: this.mac, ip: this.ip }, target, mac ?? MAC_BROADCAST);
  }

  private send(
    opcode: 1 | 2,
    sender: { readonly mac: Mac; readonly ip: Ipv4 },
    target: { readonly mac: Mac; readonly ip: Ipv4 },
    destination: Mac,
  ): void {
    if (this.alive) this.segment?.transmit(this, encodeArp(arpFrame(opcode, sender, target, destination)));
  }

  private sendProbe(): void {
    this.send(ARP_REQUEST, { mac: this.mac, ip: 0 as Ipv4 }, { mac: MAC_ZERO, ip: this.ip }, MAC_BROADCAST);
  }

  private sendRarp(): void {
    const body = {
      opcode: 3,
      senderMac: this.mac,
      senderIp: 0 as Ipv4,
      targetMac: this.mac,
      targetIp: 0 as Ipv4,
    };
    if (this.alive)
      this.segment?.transmit(this, encodeArpBody(MAC_BROADCAST, this.mac, ETHER_TYPE_RARP, body));
  }

  /** What a host does later it does only while it is still plugged in where it was. */
  private later(delayMs: number, run: () => void): void {
    const { epoch } = this;
    this.clock.after(delayMs, () => {
      if (this.epoch === epoch) run();
    });
  }
}
