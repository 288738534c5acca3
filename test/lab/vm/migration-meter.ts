import {
  type RouteEvent,
  type RouteWatch,
  Stream,
  type StreamWindow,
  monotonicNs,
  realtimeOffset,
} from '../routed/gauges.js';
import { guestTool } from './guest-image.js';
import type { Host } from '../kit/host.js';
import { type Hypervisors, type Migrated, type Place, type Told, other } from './hypervisors.js';
import type { Namespace } from '../kit/namespace.js';
import { Capture, type Captured } from '../kit/pcap.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { HOST, HOST_IPV6, NEIGHBOUR, PLACES } from '../routed/places.js';

/** What a TCP connection saw between two times; ms. */
export interface TcpWindow {
  readonly sent: number;
  readonly back: number;
  /** Longest time without an echo, less the one period that lies between two anyway. */
  readonly outageMs: number;
}

/** One TCP connection to the guest, a number on it every 5 ms and back, in order. */
export class TcpStream {
  readonly #answers: string[] = [];

  private constructor(readonly program: Program) {
    program.onLine(({ text }) => {
      if (text.startsWith('window ')) this.#answers.push(text);
    });
  }

  static async start(from: Namespace, ip: string): Promise<TcpStream> {
    const argv = [guestTool(), 'tcp', ip, String(Stream.PORT), String(PERIOD_MS * 1000)];
    const stream = new TcpStream(new Program(from, argv, { title: `tcp from ${from.role}` }));
    await stream.program.line(/^ready$/);
    return stream;
  }

  /** False when the connection broke, or something came back out of order. */
  get alive(): boolean {
    return this.program.running;
  }

  async window(from: number, to: number): Promise<TcpWindow> {
    if (!this.alive) throw new Error(`the TCP connection is dead: ${this.program.output}`);
    this.program.write(`window ${Math.round(from)} ${Math.round(to)}\n`);
    const answer = await waitFor(() => this.#answers.shift(), 5000, 'the report of the TCP stream', 1);
    const [sent, back, silence] = answer.split(' ').slice(1).map(Number) as [number, number, number];
    return { sent, back, outageMs: Math.max(0, silence / 1e6 - PERIOD_MS) };
  }

  async flows(withinMs: number): Promise<boolean> {
    const to = monotonicNs();
    const { sent, back, outageMs } = await this.window(to - withinMs * 1e6, to);
    return sent > 0 && back > 0 && outageMs < withinMs / 2;
  }
}

const PERIOD_MS = 5;
const WATCH_SKEW_NS = 5e6;

/** When what happened, ms after the guest resumed; NaN when it did not. */
export interface Steps {
  /** The first frame on the new tap that tells of the guest: QEMU's RARP, as a rule. */
  readonly heard: number;
  /** The route on the new hypervisor. */
  readonly routed: number;
  /** The remote router sends there. */
  readonly converged: number;
  /** The first ARP frame of the guest itself: it is awake, and cannot have answered anything before. */
  readonly awake: number;
}

/** One live migration, measured. */
export interface MigrationReport extends Migrated {
  readonly from: Place;
  readonly to: Place;
  /** From QEMU's stop on the source to its resume on the target: nobody can be faster than this. */
  readonly downtimeMs: number;
  readonly remote: StreamWindow;
  readonly neighbour: StreamWindow;
  readonly remoteTcp: TcpWindow;
  readonly neighbourTcp: TcpWindow;
  /** Over IPv6, from the remote host; undefined for a guest without. */
  readonly ipv6: { readonly remote: StreamWindow; readonly remoteTcp: TcpWindow } | undefined;
  readonly steps: Steps;
  /** ARP and RARP on the new tap, whoever sent them. */
  readonly frames: readonly Captured[];
}

/**
 * What the network added to QEMU's downtime: the time for which datagrams got lost, less the downtime; ms. What came
 * late was delivered: it waited in the tap until the guest was awake. The period of the stream is its resolution.
 */
export function beyondDowntime(report: MigrationReport, seen: StreamWindow): number {
  return seen.lost * PERIOD_MS - report.downtimeMs;
}

/** The guest was asked on its new hypervisor and says nothing: QEMU's fault (design.md 5.10), not the network's. */
export class GuestHung extends Error {}

async function overIpv6(from: Namespace, ip: string) {
  return { remote: await Stream.start(from, ip, PERIOD_MS), remoteTcp: await TcpStream.start(from, ip) };
}

/** Streams from the remote host and from a neighbour of the home LAN to the guest, and the migrations they measure. */
export class MigrationMeter {
  private constructor(
    readonly hypervisors: Hypervisors,
    readonly neighbourHost: Host,
    readonly remote: Stream,
    readonly neighbour: Stream,
    readonly remoteTcp: TcpStream,
    readonly neighbourTcp: TcpStream,
    readonly routes: RouteWatch,
    /** From CLOCK_MONOTONIC to the time since 1970, ns. */
    readonly offset: number,
    readonly ipv6: { readonly remote: Stream; readonly remoteTcp: TcpStream } | undefined,
  ) {}

  /** The guest runs. Plugs the neighbour in, unless it is there already, and starts everything that measures. */
  static async start(hypervisors: Hypervisors, known?: Host): Promise<MigrationMeter> {
    const { site } = hypervisors;
    const neighbour = known ?? site.host('neighbour', { address: `${NEIGHBOUR}/24` });
    if (known === undefined) {
      neighbour.cable.plug(PLACES.r1.segment);
      await neighbour.carrier();
    }
    await site.reachable(neighbour.namespace, HOST, 10_000);
    return new MigrationMeter(
      hypervisors,
      neighbour,
      await Stream.start(site.remote, HOST, PERIOD_MS),
      await Stream.start(neighbour.namespace, HOST, PERIOD_MS),
      await TcpStream.start(site.remote, HOST),
      await TcpStream.start(neighbour.namespace, HOST),
      await site.watchRoutes(),
      await realtimeOffset(site.remote),
      site.hasIpv6 ? await overIpv6(site.remote, HOST_IPV6) : undefined,
    );
  }

  get #streams(): (Stream | TcpStream)[] {
    const { remote, neighbour, remoteTcp, neighbourTcp, ipv6 } = this;
    return [remote, neighbour, remoteTcp, neighbourTcp, ...(ipv6 ? [ipv6.remote, ipv6.remoteTcp] : [])];
  }

  /** All TCP connections live. */
  get isAlive(): boolean {
    return this.remoteTcp.alive && this.neighbourTcp.alive && this.ipv6?.remoteTcp.alive !== false;
  }

  /** All streams have flowed for a while. */
  async steady(quietMs = 300, timeoutMs = 40_000): Promise<void> {
    const flows = async () => {
      for (const stream of this.#streams) if (!(await stream.flows(quietMs))) return false;
      return true;
    };
    await waitFor(flows, timeoutMs, 'all streams to flow', 20);
  }

  /**
   * Migrates the guest and waits until everything flows again and its claim has settled.
   * @param patienceMs how long the network may take
   * @throws GuestHung when the guest itself does not run on
   */
  async migrate(told: Told, patienceMs = 20_000): Promise<MigrationReport> {
    const { hypervisors } = this;
    const from = hypervisors.at;
    const to = other(from);
    await this.steady();
    const began = monotonicNs();
    const captures: Capture[] = [];
    const migrated = await hypervisors.migrate(told, async (tap) => {
      captures.push(await Capture.start(hypervisors.site.router(to), tap.name, 'arp or rarp'));
    });
    const frames = () => captures[0]?.frames() ?? [];
    try {
      await this.steady(100, patienceMs);
    } catch (error) {
      const arps = frames().filter(({ at, bytes }) => at > migrated.resumedAt && isArp(bytes));
      const { macBytes } = hypervisors;
      const asked = arps.some(({ bytes }) => hasMac(bytes, 0, macBytes));
      if (asked && !arps.some(({ bytes }) => hasMac(bytes, 6, macBytes))) throw new GuestHung(String(error));
      throw error;
    }
    await hypervisors.settled();
    await pause(100); // late losses count too
    const stopped = migrated.stoppedAt * 1e6 - this.offset;
    const since = Math.max(began, stopped - 20e6);
    const until = monotonicNs() - 30e6;
    return {
      ...migrated,
      from,
      to,
      downtimeMs: migrated.resumedAt - migrated.stoppedAt,
      remote: await this.remote.window(since, until),
      neighbour: await this.neighbour.window(since, until),
      remoteTcp: await this.remoteTcp.window(since, until),
      neighbourTcp: await this.neighbourTcp.window(since, until),
      ipv6: this.ipv6 && {
        remote: await this.ipv6.remote.window(since, until),
        remoteTcp: await this.ipv6.remoteTcp.window(since, until),
      },
      steps: this.#steps(to, migrated, frames()),
      frames: frames(),
    };
  }

  #steps(to: Place, { stoppedAt, resumedAt }: Migrated, frames: readonly Captured[]): Steps {
    const { macBytes } = this.hypervisors;
    const own = frames.filter(({ at, bytes }) => at > stoppedAt && hasMac(bytes, 6, macBytes));
    const routes = this.routes.of(HOST, stoppedAt * 1e6 - this.offset).filter(({ added }) => added);
    const { uplink } = PLACES[to];
    const routed = routes.find(({ role, via }) => role === to && via === undefined);
    // All kernels are watched by one process, which reads them in turn.
    const since = (routed?.at ?? 0) - WATCH_SKEW_NS;
    const after = (ms: number | undefined) => (ms === undefined ? Number.NaN : ms - resumedAt);
    const afterNs = (event: RouteEvent | undefined) => after(event && (event.at + this.offset) / 1e6);
    return {
      heard: after(own[0]?.at),
      routed: afterNs(routed),
      // Long before, it may have been the new hypervisor's repair of a stuck route, when the old one let go.
      converged: afterNs(routes.find(({ role, via, at }) => role === 'r3' && via === uplink && at >= since)),
      awake: after(own.find(({ bytes }) => isArp(bytes))?.at),
    };
  }

  /** Ends the streams. */
  async stop(): Promise<void> {
    for (const { program } of [this.remote, this.neighbour, this.remoteTcp, this.neighbourTcp]) {
      await program.stop('SIGKILL');
    }
  }
}

function isArp(bytes: Uint8Array): boolean {
  return bytes[12] === 8 && bytes[13] === 6;
}

function hasMac(bytes: Uint8Array, offset: number, mac: Uint8Array): boolean {
  return mac.every((byte, i) => bytes[offset + i] === byte);
}
