import {
  type Ip,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  networkOf,
} from '../../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, decodeArp, encodeArp } from '../../../../src/wire/arp.js';
import type { Announce } from '../../world.js';
import { arpFrame, hearArp } from './arp.js';
import type { Machine, Stack } from './stack.js';

/** The constants of RFC 5227 section 1.1, without the random parts. */
const ACD_PROBES = 3;
const ACD_PROBE_INTERVAL_MS = 1000;
const ACD_ANNOUNCE_WAIT_MS = 2000;
const ACD_ANNOUNCEMENTS = 2;
/** What scripts around `arping -D` do: ask once, then use the address without a word. */
const PROBE_ONCE_WAIT_MS = 500;

export interface Ipv4Spec {
  readonly ip: Ipv4;
  readonly gateway: Ipv4;
  readonly prefixLength: number;
}

/** The ARP of Linux and the address conflict detection of RFC 5227, with one address. */
export class Ipv4Stack implements Stack {
  readonly addresses: readonly [Ipv4];
  readonly gateway: Ipv4;
  conflicts = 0;
  private configured = true;

  constructor(
    private readonly machine: Machine,
    private readonly spec: Ipv4Spec,
  ) {
    this.addresses = [spec.ip];
    this.gateway = spec.gateway;
  }

  plugged(): void {
    this.configured = true;
  }

  isIn(): boolean {
    return false;
  }

  has(ip: Ip): boolean {
    return this.configured && ip === this.spec.ip;
  }

  nextHop(_from: Ip, to: Ip): Mac | undefined {
    return this.machine.neighbours.use(this.isOnLink(to) ? to : this.spec.gateway);
  }

  announce(how: Announce): void {
    const { ip, gateway } = this.spec;
    const { mac, neighbours } = this.machine;
    const self = { mac, ip };
    switch (how) {
      case 'gratuitous-request':
        this.send(ARP_REQUEST, self, { mac: MAC_ZERO, ip }, MAC_BROADCAST);
        return;
      case 'gratuitous-reply':
        this.send(ARP_REPLY, self, { mac, ip }, MAC_BROADCAST);
        return;
      case 'arp-gateway':
        neighbours.remove(gateway);
        neighbours.use(gateway);
        return;
      case 'probe':
        this.detectConflicts();
        return;
      case 'probe-once':
        this.configured = false;
        this.sendProbe();
        this.machine.later(PROBE_ONCE_WAIT_MS, () => {
          this.configured = true;
        });
        return;
      case 'rarp':
      case 'silent':
        return;
    }
  }

  receive(bytes: Uint8Array): void {
    const frame = decodeArp(bytes);
    if (typeof frame === 'string' || frame.source === this.machine.mac) return;
    const { ip } = this.spec;
    const { mac, clock, neighbours } = this.machine;
    const sameAddress = frame.senderIp === ip && frame.senderMac !== mac;
    const probedByOther = frame.senderIp === 0 && frame.targetIp === ip && frame.opcode === ARP_REQUEST;
    if (!this.configured) {
      // RFC 5227 section 2.1.1: while probing, a sender with our address or another prober of it is a conflict.
      if (sameAddress || probedByOther) this.conflicts++;
      return;
    }
    if (sameAddress) {
      this.conflicts++; // RFC 5227 section 2.4
      return;
    }
    const toUs = frame.targetIp === ip;
    // Whom it ignores it does not learn either.
    if (toUs && frame.opcode === ARP_REQUEST && this.ignores(frame.senderIp)) return;
    hearArp(neighbours, clock.now(), frame, toUs, frame.destination === mac);
    if (toUs && frame.opcode === ARP_REQUEST && this.machine.answers) {
      const asker = { mac: frame.senderMac, ip: frame.senderIp };
      this.machine.later(clock.between(...this.machine.answerDelayMs), () =>
        this.send(ARP_REPLY, { mac, ip }, asker, frame.senderMac),
      );
    }
  }

  ask(ip: Ip, mac: Mac | undefined): void {
    const target = { mac: mac ?? MAC_ZERO, ip: ip as Ipv4 };
    this.send(ARP_REQUEST, { mac: this.machine.mac, ip: this.spec.ip }, target, mac ?? MAC_BROADCAST);
  }

  /** RFC 5227 section 2.1 and 2.3: three probes, then two announcements if nobody objects. */
  private detectConflicts(): void {
    const { machine } = this;
    this.configured = false;
    const before = this.conflicts;
    for (let i = 0; i < ACD_PROBES; i++) machine.later(i * ACD_PROBE_INTERVAL_MS, () => this.sendProbe());
    const probed = (ACD_PROBES - 1) * ACD_PROBE_INTERVAL_MS + ACD_ANNOUNCE_WAIT_MS;
    machine.later(probed, () => {
      if (this.conflicts === before) this.configured = true;
    });
    for (let i = 0; i < ACD_ANNOUNCEMENTS; i++) {
      machine.later(probed + 1 + i * 2000, () => {
        if (this.configured) this.announce('gratuitous-request');
      });
    }
  }

  private ignores(asker: Ipv4): boolean {
    return this.machine.ignoresOffLink && asker !== 0 && !this.isOnLink(asker);
  }

  private isOnLink(ip: Ip): boolean {
    return networkOf(ip, this.spec.prefixLength) === networkOf(this.spec.ip, this.spec.prefixLength);
  }

  private send(
    opcode: 1 | 2,
    sender: { readonly mac: Mac; readonly ip: Ipv4 },
    target: { readonly mac: Mac; readonly ip: Ipv4 },
    destination: Mac,
  ): void {
    this.machine.transmit(encodeArp(arpFrame(opcode, sender, target, destination)));
  }

  private sendProbe(): void {
    const { mac } = this.machine;
    const target = { mac: MAC_ZERO, ip: this.spec.ip };
    this.send(ARP_REQUEST, { mac, ip: 0 as Ipv4 }, target, MAC_BROADCAST);
  }
}
