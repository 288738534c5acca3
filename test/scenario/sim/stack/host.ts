import {
  familyOf,
  type Family,
  type Ip,
  type Ipv4,
  type Ipv6,
  MAC_BROADCAST,
  type Mac,
} from '../../../../src/wire/addresses.js';
import { encodeArpBody } from '../../../../src/wire/arp.js';
import { ETHER_TYPE_RARP } from '../../../../src/wire/ethernet.js';
import { RARP_REQUEST } from '../../../../src/wire/rarp.js';
import type { Clock } from '../clock.js';
import type { Packet, Segment, Station } from '../segment.js';
import type { Announce, ArpIgnore, HostSpec } from '../../world.js';
import { Ipv4Stack } from './ipv4-stack.js';
import { Ipv6Stack } from './ipv6-stack.js';
import { Neighbours } from './neighbours.js';
import type { Machine, Stack } from './stack.js';

/** QEMU's announcements after a migration (design.md 5.10), ms. */
const RARP_OFFSETS_MS = [0, 50, 200, 450, 800];

/** A host with one cable and a stack for each of its address families. */
export class SimHost implements Station, Machine {
  readonly mac: Mac;
  readonly promiscuous = false;
  readonly neighbours: Neighbours;
  readonly stacks: ReadonlyMap<Family, Stack>;
  segment: Segment | undefined;
  /** Switched on: a host that is off keeps its place on the LAN and says nothing. */
  alive = true;
  answers = true;
  arpIgnore: ArpIgnore = 0;
  answerDelayMs: readonly [number, number] = [0.05, 0.2];
  private epoch = 0;

  constructor(
    readonly spec: HostSpec,
    readonly clock: Clock,
    families: readonly Family[] = ['ipv4'],
  ) {
    this.mac = spec.mac;
    this.neighbours = new Neighbours(clock, (ip, mac) => this.stackOf(ip)?.ask(ip, mac));
    const stackFor = (family: Family): Stack =>
      family === 'ipv4' ? new Ipv4Stack(this, spec) : new Ipv6Stack(this, spec.ipv6);
    this.stacks = new Map(families.map((family) => [family, stackFor(family)]));
  }

  get addresses(): readonly Ip[] {
    return [...this.stacks.values()].flatMap(({ addresses }) => addresses);
  }

  get gateways(): readonly Ip[] {
    return [...this.stacks.values()].map(({ gateway }) => gateway);
  }

  get conflicts(): number {
    let conflicts = 0;
    for (const stack of this.stacks.values()) conflicts += stack.conflicts;
    return conflicts;
  }

  get ignoresOffLink(): boolean {
    return this.arpIgnore === 2;
  }

  listening(): boolean {
    return this.alive;
  }

  listensTo(group: Mac): boolean {
    for (const stack of this.stacks.values()) if (stack.isIn(group)) return true;
    return false;
  }

  plug(segment: Segment, carrierDrop: boolean): void {
    this.unplug();
    if (carrierDrop) this.neighbours.flush(false);
    this.segment = segment;
    segment.add(this);
    for (const stack of this.stacks.values()) stack.plugged(carrierDrop);
  }

  unplug(): void {
    this.epoch++;
    this.segment?.remove(this);
    this.segment = undefined;
  }

  announce(how: Announce): void {
    if (how === 'rarp') for (const offset of RARP_OFFSETS_MS) this.later(offset, () => this.sendRarp());
    for (const stack of this.stacks.values()) stack.announce(how);
  }

  receive(bytes: Uint8Array): void {
    for (const stack of this.stacks.values()) stack.receive(bytes);
  }

  /** Sends a packet now; whether it would reach its destination. */
  emit(from: Ip, to: Ip): boolean {
    const { segment } = this;
    const stack = this.stackOf(to);
    if (!this.alive || segment === undefined || stack?.has(from) !== true) return false;
    const mac = stack.nextHop(from, to);
    return mac !== undefined && segment.carry(this, mac, { from, to }, 0);
  }

  forward({ to }: Packet): boolean {
    return this.stackOf(to)?.has(to) === true;
  }

  transmit(bytes: Uint8Array): void {
    if (this.alive) this.segment?.transmit(this, bytes);
  }

  later(delayMs: number, run: () => void): void {
    const { epoch } = this;
    this.clock.after(delayMs, () => {
      if (this.epoch === epoch) run();
    });
  }

  /** The lifetime of an IPv6 address is over. */
  expire(ip: Ip): void {
    const stack = this.stackOf(ip);
    if (stack instanceof Ipv6Stack) stack.expire(ip as Ipv6);
  }

  private stackOf(ip: Ip): Stack | undefined {
    return this.stacks.get(familyOf(ip));
  }

  private sendRarp(): void {
    const nobody = 0 as Ipv4;
    const body = {
      opcode: RARP_REQUEST,
      senderMac: this.mac,
      senderIp: nobody,
      targetMac: this.mac,
      targetIp: nobody,
    };
    this.transmit(encodeArpBody(MAC_BROADCAST, this.mac, ETHER_TYPE_RARP, body));
  }
}
