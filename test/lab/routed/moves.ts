import {
  type Moved,
  type RouteWatch,
  Stream,
  type StreamWindow,
  monotonicNs,
  realtimeOffset,
} from './gauges.js';
import type { Family } from '../../../src/wire/addresses.js';
import type { Host } from '../kit/host.js';
import type { Namespace } from '../kit/namespace.js';
import { asNd } from '../kit/nd.js';
import { type Captured, Capture, asArp } from '../kit/pcap.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { type FirstHop, HOST, HOST_IPV6, NEIGHBOUR, PLACES, routerAt } from './places.js';
import type { RoutedSite } from './routed-site.js';

/** One move as one family saw it. Times in ns of CLOCK_MONOTONIC; undefined when the thing never happened. */
export interface FamilyReport {
  /** The first frame of the host on the new LAN. */
  readonly frame: number | undefined;
  /** Its answer to the question of the new router. */
  readonly proof: number | undefined;
  readonly claim: number | undefined;
  /** R3's kernel sends to the new router, and to nobody else. */
  readonly core: number | undefined;
  /** The same in the kernel of the old router. */
  readonly old: number | undefined;
  /** The old router's own claim is gone; undefined as well when it had none, being the home. */
  readonly withdrawn: number | undefined;
  readonly remote: StreamWindow;
  readonly neighbour: StreamWindow;
}

/** One move, measured: what the first family of the site saw, and each of them. */
export interface MoveReport extends FamilyReport {
  readonly from: FirstHop;
  readonly to: FirstHop;
  readonly cable: Moved;
  readonly of: ReadonlyMap<Family, FamilyReport>;
}

export const PROTOCOL = 44;

/** Addresses of the mobile host. */
export const MOBILE: Readonly<Record<Family, string>> = { ipv4: HOST, ipv6: HOST_IPV6 };

/** After a move is over by all other signs, this long is still watched for losses. */
const AFTERMATH_MS = 100;

/** One address of the mobile host, and the streams to it. */
interface Watched {
  readonly family: Family;
  readonly ip: string;
  readonly remote: Stream;
  readonly neighbour: Stream;
}

/** The instruments around one mobile host, and the moves they measure. */
export class MoveMeter {
  at: FirstHop = 'r1';

  private constructor(
    readonly site: RoutedSite,
    readonly host: Host,
    readonly watch: RouteWatch,
    readonly lans: ReadonlyMap<FirstHop, Capture>,
    readonly watched: readonly [Watched, ...Watched[]],
    /** From CLOCK_MONOTONIC to the time since 1970, ns. */
    readonly offset: number,
  ) {}

  /** Plugs a host and a neighbour in at home, and starts everything that measures. */
  static async start(site: RoutedSite): Promise<MoveMeter> {
    const host = site.host();
    const neighbour = site.host('neighbour', { address: `${NEIGHBOUR}/24` });
    host.cable.plug(PLACES.r1.segment);
    neighbour.cable.plug(PLACES.r1.segment);
    const lans = new Map<FirstHop, Capture>();
    for (const role of site.firstHops) lans.set(role, await Capture.start(site.router(role), 'lan0'));
    const watch = await site.watchRoutes();
    await Stream.echo(host.namespace);
    await host.carrier();
    const watched: Watched[] = [];
    for (const family of site.families) {
      const ip = MOBILE[family];
      await site.reachable(site.remote, ip, 5000);
      await site.reachable(neighbour.namespace, ip, 5000);
      const remote = await Stream.start(site.remote, ip);
      watched.push({ family, ip, remote, neighbour: await Stream.start(neighbour.namespace, ip) });
    }
    const offset = await realtimeOffset(site.remote);
    return new MoveMeter(site, host, watch, lans, watched as [Watched, ...Watched[]], offset);
  }

  /** The streams of the first family. */
  get remote(): Stream {
    return this.watched[0].remote;
  }

  get neighbour(): Stream {
    return this.watched[0].neighbour;
  }

  get ips(): string[] {
    return this.watched.map(({ ip }) => ip);
  }

  /** Where its addresses have a claim: nowhere while it is at home. */
  get truth(): Map<string, FirstHop> {
    return new Map(this.at === 'r1' ? [] : this.ips.map((ip) => [ip, this.at]));
  }

  /** All streams have flowed without loss for `quietMs`. */
  async steady(quietMs = 100, timeoutMs = 10_000): Promise<void> {
    const streams = this.watched.flatMap(({ remote, neighbour }) => [remote, neighbour]);
    const flow = async () =>
      (await Promise.all(streams.map((stream) => stream.flows(quietMs)))).every(Boolean);
    try {
      await waitFor(flow, timeoutMs, 'all streams to flow', 20);
    } catch (error) {
      if (error instanceof Error) error.message += await this.#losses(quietMs);
      throw error;
    }
  }

  async #losses(quietMs: number): Promise<string> {
    const lines: string[] = [];
    for (const { ip, remote, neighbour } of this.watched)
      for (const [name, stream] of Object.entries({ remote, neighbour })) {
        const { sent, lost, longestRttMs } = await stream.latest(quietMs);
        lines.push(`\n  ${name} to ${ip}: ${lost} of ${sent} lost, longest round trip ${longestRttMs} ms`);
      }
    return lines.join('');
  }

  /**
   * Moves the host and waits until the network is at rest again.
   * @param settled resolves when it is; default: marpd at the new router says `settled`, at home `home`
   * @param act what else happens at the instant of the move
   */
  async move(
    to: FirstHop,
    options: {
      readonly carrierDrop?: boolean;
      readonly settled?: () => Promise<void>;
      readonly act?: () => void;
    } = {},
  ): Promise<MoveReport> {
    const { site, host } = this;
    const from = this.at;
    await this.steady();
    options.act?.();
    const cable = await site.move(host, to, { carrierDrop: options.carrierDrop ?? true });
    this.at = to;
    await (options.settled ?? (() => this.atRest(to)))();
    await this.steady(50);
    await pause(AFTERMATH_MS);
    const until = monotonicNs() - 20e6;
    const of = new Map<Family, FamilyReport>();
    for (const watched of this.watched) {
      // Counted from the moment the cable is in its new place: while it is nowhere, nobody can reach the host.
      const remote = await watched.remote.window(cable.plugged, until);
      const neighbour = await watched.neighbour.window(cable.plugged, until);
      of.set(watched.family, { ...this.#moments(watched, from, to, cable), remote, neighbour });
    }
    return { from, to, cable, ...(of.get(this.watched[0].family) as FamilyReport), of };
  }

  async atRest(at: FirstHop): Promise<void> {
    const { ctl } = this.site.marpd(at);
    const wanted = at === 'r1' ? 'home' : 'settled';
    for (const ip of this.ips) {
      await waitFor(
        async () => (await ctl.host(ip))?.state === wanted,
        30_000,
        `${ip} to be ${wanted} at ${at}`,
        20,
      );
    }
  }

  #moments(
    { family, ip }: Watched,
    from: FirstHop,
    to: FirstHop,
    { before }: Moved,
  ): Omit<FamilyReport, 'remote' | 'neighbour'> {
    const events = this.watch.of(ip, before);
    const frames = (this.lans.get(to)?.frames() ?? []).filter(
      (frame) => frame.at * 1e6 - this.offset >= before,
    );
    const said = SAID[family](frames, this.host.mac, ip, PLACES[to].mac);
    const proof = said.find(({ isProof }) => isProof);
    const monotonic = (at: number | undefined) => (at === undefined ? undefined : at * 1e6 - this.offset);
    const ours = events.filter((event) => event.protocol === PROTOCOL);
    const theirs = events.filter((event) => event.protocol !== PROTOCOL && event.added);
    return {
      frame: monotonic(said[0]?.at),
      proof: monotonic(proof?.at),
      claim: ours.find((event) => event.role === to && event.added)?.at,
      core: theirs.find(({ role, via }) => role === 'r3' && via !== undefined && routerAt(via) === to)?.at,
      old: theirs.find((event) => event.role === from && event.via !== 'multipath')?.at,
      withdrawn: ours.filter((event) => event.role === from && !event.added).at(-1)?.at,
    };
  }
}

interface Said {
  readonly at: number;
  /** It is the answer to a question of the router. */
  readonly isProof: boolean;
}

/** What the host said about an address. In IPv6 it answers to the MAC that it has for its gateway, whoever asked. */
const SAID: Readonly<
  Record<Family, (frames: readonly Captured[], mac: string, ip: string, router: string) => Said[]>
> = {
  ipv4: (frames, mac, _, router) =>
    frames
      .map(asArp)
      .filter((arp) => arp !== undefined)
      .filter((arp) => arp.source === mac)
      .map(({ at, opcode, destination }) => ({ at, isProof: opcode === 'reply' && destination === router })),
  ipv6: (frames, mac, ip) =>
    frames
      .map(asNd)
      .filter((nd) => nd !== undefined)
      .filter((nd) => nd.source === mac && !nd.kind.startsWith('echo'))
      .map(({ at, kind, isSolicited, target }) => ({
        at,
        isProof: kind === 'na' && isSolicited === true && target === ip,
      })),
};

/**
 * The floor: what a move costs when all routes and neighbour entries change at the instant of the move, written by
 * somebody who knows where the host goes. No marpd, no routing protocol.
 */
export class IdealScript {
  readonly #shells = new Map<string, Program>();

  constructor(
    readonly site: RoutedSite,
    readonly host: Host,
    neighbour: Namespace,
  ) {
    const { r1, r2, r3 } = site.routers;
    for (const namespace of [r1, r2, r3, host.namespace, neighbour]) {
      const argv = ['ip', '-force', '-batch', '-'];
      this.#shells.set(namespace.role, new Program(namespace, argv, { title: 'ip -batch' }));
    }
  }

  /** Static routes for the subnets of the site, instead of a routing daemon. */
  static subnets(site: RoutedSite): void {
    const { r1, r2, r3 } = site.routers;
    r1.ip('route add 10.2.2.0/24 via 192.0.2.10', 'route add 198.51.100.0/24 via 192.0.2.2');
    r2.ip('route add 10.1.1.0/24 via 192.0.2.9', 'route add 198.51.100.0/24 via 192.0.2.6');
    r3.ip('route add 10.1.1.0/24 via 192.0.2.1', 'route add 10.2.2.0/24 via 192.0.2.5');
  }

  /** Everything, at once. */
  write(to: FirstHop): void {
    const { mac } = this.host;
    const gateway = PLACES[to].mac;
    const here = [
      `neigh replace ${HOST} lladdr ${mac} nud permanent dev lan0`,
      `route replace ${HOST}/32 dev lan0 scope link`,
    ];
    const peer = `neigh replace ${HOST} lladdr ${to === 'r1' ? mac : PLACES.r1.mac} nud permanent dev eth0`;
    this.#say('r3', `route replace ${HOST}/32 via ${PLACES[to].uplink}`);
    if (to === 'r1') {
      this.#say('r1', ...here);
      this.#say('r2', `route replace ${HOST}/32 via 192.0.2.9`);
    } else {
      this.#say('r2', ...here);
      this.#say('r1', `route replace ${HOST}/32 via 192.0.2.10`);
    }
    this.#say(
      this.host.namespace.role,
      `neigh replace 10.1.1.1 lladdr ${gateway} nud permanent dev eth0`,
      `neigh replace ${NEIGHBOUR} lladdr ${to === 'r1' ? macOfNeighbour : gateway} nud permanent dev eth0`,
    );
    this.#say('neighbour', peer);
  }

  #say(role: string, ...lines: readonly string[]): void {
    this.#shells.get(role)?.write(`${lines.join('\n')}\n`);
  }
}

const macOfNeighbour = '02:00:0a:01:01:09';

/** Milliseconds from the first frame of the host at its new place; undefined stays undefined. */
export function sinceFrame(
  report: Pick<MoveReport, 'frame' | 'cable'>,
  at: number | undefined,
): number | undefined {
  return at === undefined ? undefined : (at - (report.frame ?? report.cable.spoke)) / 1e6;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
