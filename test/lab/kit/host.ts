import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  IPV4_UNSPECIFIED,
  type Ipv4,
  MAC_BROADCAST,
  MAC_ZERO,
  type Mac,
  parseIp,
  parseMac,
} from '../../../src/wire/addresses.js';
import { ARP_REPLY, ARP_REQUEST, encodeArp, encodeArpBody } from '../../../src/wire/arp.js';
import { ETHER_TYPE_RARP } from '../../../src/wire/ethernet.js';
import { RARP_REQUEST } from '../../../src/wire/rarp.js';
import { type HostIpv6, addressing, enableIpv6, prepareCard } from './ipv6.js';
import type { Lab, Namespace } from './namespace.js';
import { Program, waitFor } from './program.js';

/**
 * LAN segments: bridges in a namespace of their own, so that moving a host's cable never touches the router's
 * interfaces. A cable is a veth pair whose far end is plugged into one of the bridges.
 */
export class Switch {
  readonly namespace: Namespace;

  constructor(
    readonly lab: Lab,
    lans: readonly string[],
    role = 'switch',
  ) {
    [this.namespace] = lab.create(role) as [Namespace];
    this.add(...lans);
  }

  /** More segments. */
  add(...lans: readonly string[]): void {
    this.namespace.ip(
      ...lans.flatMap((lan) => [
        `link add name ${lan} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        `link set ${lan} up`,
      ]),
    );
  }

  /** A cable from `iface`, made in `namespace`, to this switch; in no segment yet, so without carrier. */
  connect(namespace: Namespace, iface: string, lan?: string): Cable {
    const port = `${namespace.role}-${iface}`;
    this.lab.link(namespace, iface, this.namespace, port);
    const cable = new Cable(this.namespace, port);
    if (lan !== undefined) cable.plug(lan);
    return cable;
  }
}

export class Cable {
  constructor(
    readonly namespace: Namespace,
    /** The end at the switch. */
    readonly port: string,
  ) {}

  /**
   * Plugs it into a segment, whatever it was in before.
   * @param carrierDrop false: as a live-migrated guest moves, whose card never loses its carrier
   */
  plug(lan: string, carrierDrop = true): void {
    this.namespace.ip(
      ...(carrierDrop ? [`link set ${this.port} down`] : []),
      `link set ${this.port} master ${lan}`,
      `link set ${this.port} up`,
    );
  }

  /** Pulls it out; without `carrierDrop` the card notices nothing. */
  unplug(carrierDrop = true): void {
    this.namespace.ip(
      ...(carrierDrop ? [`link set ${this.port} down`] : []),
      `link set ${this.port} nomaster`,
    );
  }

  /** Waits until the switch passes frames of this cable: a bridge hears of a carrier a moment after the card. */
  async forwards(): Promise<void> {
    interface Port {
      readonly linkinfo?: { readonly info_slave_data?: { readonly state?: string } };
    }
    await waitFor(
      () => {
        const [port] = this.namespace.json<Port>('-d', 'link', 'show', 'dev', this.port);
        return port?.linkinfo?.info_slave_data?.state === 'forwarding';
      },
      2000,
      `the switch to forward for ${this.port}`,
      1,
    );
  }

  /** Carrier of the near end off or on; the segment stays the same. */
  carrier(on: boolean): void {
    this.namespace.ip(`link set ${this.port} ${on ? 'up' : 'down'}`);
  }
}

/** How a host makes itself heard after it was plugged in. */
export type Announcement = 'request' | 'reply' | 'arp-gateway' | 'silent';

export interface HostOptions {
  /** Address with prefix length, `10.1.1.5/24`. */
  readonly address: string;
  readonly gateway: string;
  readonly mac?: string;
  /** Dual-stack; without, IPv6 is off. */
  readonly ipv6?: HostIpv6;
}

/** MAC of the hosts of the lab: 02:00 and the address. */
export function macFor(ip: string): string {
  return ['02', '00', ...ip.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))].join(':');
}

/** A host with the kernel's own network stack. It says nothing that nobody asked for. */
export class Host {
  readonly namespace: Namespace;
  readonly cable: Cable;
  readonly ip: string;
  readonly mac: string;
  readonly gateway: string;
  /** Its static addresses of IPv6. */
  readonly ipv6: readonly string[];
  #frames: Frames | undefined;

  constructor(
    readonly network: Switch,
    role: string,
    options: HostOptions,
  ) {
    this.ip = options.address.split('/')[0] as string;
    this.mac = options.mac ?? macFor(this.ip);
    this.gateway = options.gateway;
    this.ipv6 = (options.ipv6?.addresses ?? []).map((address) => address.split('/')[0] as string);
    [this.namespace] = network.lab.create(role) as [Namespace];
    const { ipv6 } = options;
    if (ipv6 !== undefined) enableIpv6(this.namespace);
    this.cable = network.connect(this.namespace, 'eth0');
    this.namespace.sysctl({ 'ipv4.conf.eth0.arp_notify': 0, 'ipv4.neigh.eth0.ucast_solicit': 3 });
    if (ipv6 !== undefined) prepareCard(this.namespace, 'eth0', ipv6);
    this.namespace.ip(
      `link set eth0 address ${this.mac}`,
      `addr add ${options.address} dev eth0`,
      'link set eth0 up',
      `route add default via ${options.gateway} dev eth0`,
      ...(ipv6 === undefined ? [] : addressing('eth0', ipv6)),
    );
  }

  /** Plugs the host into a segment and lets it speak. Returns Date.now() of the moment before it spoke. */
  async plug(lan: string, announcement: Announcement, carrierDrop = true): Promise<number> {
    // A card that is made to speak needs its tool ready first: nothing may pass between plug and word.
    const frames = announcement === 'silent' ? undefined : await this.frames();
    await this.connect(lan, carrierDrop);
    const at = Date.now();
    if (announcement === 'request') frames?.gratuitous(this.ip, this.mac);
    if (announcement === 'reply') frames?.gratuitousReply(this.ip, this.mac);
    if (announcement === 'arp-gateway') frames?.request(this.ip, this.mac, this.gateway);
    return at;
  }

  /** Puts its cable into a segment, and waits until frames pass. */
  async connect(lan: string, carrierDrop = true): Promise<void> {
    if (carrierDrop) {
      this.cable.unplug();
      // A card hears of its cable a little later. If both changes fell into one such moment the host would never know
      // that it was unplugged, and keep its neighbour entries.
      await this.carrier(false);
    }
    this.cable.plug(lan, false);
    await this.carrier();
    await this.cable.forwards();
  }

  unplug(carrierDrop = true): void {
    this.cable.unplug(carrierDrop);
  }

  /** Waits until the card knows that it has carrier, or that it has none. */
  async carrier(on = true): Promise<void> {
    await waitFor(
      () => {
        const [card] = this.namespace.json<{ operstate: string }>('link', 'show', 'dev', 'eth0');
        return (card?.operstate === 'UP') === on;
      },
      3000,
      `${on ? 'carrier' : 'loss of carrier'} of ${this.namespace.role}`,
      1,
    );
  }

  /** Raw frames from this host's own card. */
  async frames(): Promise<Frames> {
    this.#frames ??= await Frames.start(this.namespace, 'eth0');
    return this.#frames;
  }

  /** The host's stack dies: the port stays up, nothing answers any more. */
  die(): void {
    this.namespace.ip('addr flush dev eth0');
    this.namespace.sysctl({ 'ipv4.conf.eth0.arp_ignore': 8 });
  }

  /** MAC that the host's kernel has for an address, undefined when it has none. */
  neighbour(ip: string): { readonly mac: string | undefined; readonly state: readonly string[] } | undefined {
    const [entry] = this.namespace.json<{ lladdr?: string; state: string[] }>(
      'neigh',
      'show',
      ip,
      'dev',
      'eth0',
    );
    return entry === undefined ? undefined : { mac: entry.lladdr, state: entry.state };
  }

  /** True when one echo is answered within the time. */
  pings(ip: string, timeoutSeconds = 1): boolean {
    return this.namespace.status('ping', '-n', '-q', '-c', '1', '-W', String(timeoutSeconds), ip) === 0;
  }

  /** Conflict detection as RFC 5227 wants it, by iputils: true when nobody else has the address. */
  addressIsFree(ip = this.ip): boolean {
    return this.namespace.status('arping', '-D', '-q', '-c', '1', '-w', '1', '-I', 'eth0', ip) === 0;
  }
}

/** The program frames.c on one interface: what a kernel stack would never send. */
export class Frames {
  #sent = 0;

  private constructor(readonly program: Program) {
    program.onLine(({ text }) => {
      if (text.startsWith('done ')) this.#acknowledged++;
    });
  }

  #commands = 0;
  #acknowledged = 0;

  static async start(namespace: Namespace, iface: string): Promise<Frames> {
    const frames = new Frames(new Program(namespace, [compileFrames(), iface], { quiet: true }));
    await frames.program.line(/^ready$/);
    return frames;
  }

  /** A guest behind a tap of its own in `namespace`; the tap is up, and vanishes with the guest. */
  static async guest(namespace: Namespace, tap: string): Promise<Frames> {
    const frames = new Frames(new Program(namespace, [compileFrames(), '--tap', tap], { quiet: true }));
    await frames.program.line(/^ready$/);
    namespace.ip(`link set ${tap} up`);
    return frames;
  }

  /** Frames that were handed over by now. */
  get sent(): number {
    return this.#sent;
  }

  send(bytes: Uint8Array): void {
    this.#command(`send ${hex(bytes)}`, 1);
  }

  /** The same frame again and again; `perSecond` 0 is as fast as possible. */
  repeat(bytes: Uint8Array, times: number, perSecond: number): void {
    this.#command(`repeat ${times} ${perSecond} ${hex(bytes)}`, times);
  }

  /** Gratuitous ARP for `count` hosts from `ip` upwards, each with its own MAC. */
  burst(ip: string, count: number, perSecond = 0): void {
    this.#command(`burst ${ip} ${count} ${perSecond}`, count);
  }

  /** Frames broken in many ways, the same for the same seed. */
  malformed(count: number, perSecond: number, seed: number): void {
    this.#command(`malformed ${count} ${perSecond} ${seed}`, count);
  }

  /** Plays `count` hosts from `ip` upwards: answers ARP for them, from one MAC or each from its own. */
  answer(ip: string, count = 1, mac?: string): void {
    this.#command(`answer ${ip} ${count}${mac === undefined ? '' : ` ${mac}`}`, 0);
  }

  /** From now on answers come so many milliseconds late. */
  delay(ms: number): void {
    this.#command(`delay ${ms}`, 0);
  }

  mute(): void {
    this.#command('mute', 0);
  }

  gratuitous(ip: string, mac: string): void {
    this.send(gratuitousRequest(ip, mac));
  }

  gratuitousReply(ip: string, mac: string): void {
    const sender = macOf(mac);
    this.send(
      encodeArp({
        destination: MAC_BROADCAST,
        source: sender,
        opcode: ARP_REPLY,
        senderMac: sender,
        senderIp: ipOf(ip),
        targetMac: sender,
        targetIp: ipOf(ip),
      }),
    );
  }

  /** Broadcast ARP request of a host for `target`; sender 0.0.0.0 makes it an RFC 5227 probe. */
  request(ip: string, mac: string, target: string): void {
    this.send(arpRequest(ip, mac, target));
  }

  /** What QEMU sends after a migration: RARP with the guest's MAC and no address. */
  rarp(mac: string): void {
    const sender = macOf(mac);
    const body = { opcode: RARP_REQUEST, senderMac: sender, senderIp: IPV4_UNSPECIFIED, targetMac: sender };
    this.send(encodeArpBody(MAC_BROADCAST, sender, ETHER_TYPE_RARP, { ...body, targetIp: IPV4_UNSPECIFIED }));
  }

  /** Waits until everything asked so far has been sent. */
  async flushed(timeoutMs = 30_000): Promise<void> {
    await waitFor(() => this.#acknowledged >= this.#commands, timeoutMs, 'the frames to be sent', 1);
  }

  #command(line: string, frames: number): void {
    this.#commands++;
    this.#sent += frames;
    this.program.write(`${line}\n`);
  }
}

export function gratuitousRequest(ip: string, mac: string): Uint8Array {
  return arpRequest(ip, mac, ip);
}

export function arpRequest(ip: string, mac: string, target: string): Uint8Array {
  return encodeArp({
    destination: MAC_BROADCAST,
    source: macOf(mac),
    opcode: ARP_REQUEST,
    senderMac: macOf(mac),
    senderIp: ipOf(ip),
    targetMac: MAC_ZERO,
    targetIp: ipOf(target),
  });
}

function ipOf(text: string): Ipv4 {
  const ip = parseIp(text);
  if (typeof ip !== 'number') throw new Error(`${text} is not an IPv4 address`);
  return ip;
}

function macOf(text: string): Mac {
  const mac = parseMac(text);
  if (mac === undefined) throw new Error(`${text} is not a MAC address`);
  return mac;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Compiles frames.c once per version of it; returns the program's path. */
function compileFrames(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const source = join(here, 'frames.c');
  const version = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const cache = join(here, '..', '..', '..', 'node_modules', '.cache', 'marpd-lab');
  const program = join(cache, `frames-${version}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Renamed when complete: another test may compile at the same time.
  const unfinished = `${program}.${process.pid}`;
  execFileSync('cc', ['-O2', '-o', unfinished, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  renameSync(unfinished, program);
  return program;
}
