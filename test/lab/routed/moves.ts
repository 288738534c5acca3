import {
  type Moved,
  type RouteWatch,
  Stream,
  type StreamWindow,
  monotonicNs,
  realtimeOffset,
} from './gauges.js';
import type { Host } from '../kit/host.js';
import type { Namespace } from '../kit/namespace.js';
import { Capture, asArp } from '../kit/pcap.js';
import { Program, pause, waitFor } from '../kit/program.js';
import { type FirstHop, HOST, NEIGHBOUR, PLACES } from './places.js';
import type { RoutedSite } from './routed-site.js';

/** One move, measured. Times in ns of CLOCK_MONOTONIC; undefined when the thing never happened. */
export interface MoveReport {
  readonly from: FirstHop;
  readonly to: FirstHop;
  readonly cable: Moved;
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

export const PROTOCOL = 44;

/** After a move is over by all other signs, this long is still watched for losses. */
const AFTERMATH_MS = 100;

/** The instruments around one mobile host, and the moves they measure. */
export class MoveMeter {
  at: FirstHop = 'r1';

  private constructor(
    readonly site: RoutedSite,
    readonly host: Host,
    readonly watch: RouteWatch,
    readonly lans: ReadonlyMap<FirstHop, Capture>,
    readonly remote: Stream,
    readonly neighbour: Stream,
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
    await site.reachable(site.remote, HOST, 5000);
    await site.reachable(neighbour.namespace, HOST, 5000);
    const remoteStream = await Stream.start(site.remote, HOST);
    const neighbourStream = await Stream.start(neighbour.namespace, HOST);
    const offset = await realtimeOffset(site.remote);
    return new MoveMeter(site, host, watch, lans, remoteStream, neighbourStream, offset);
  }

  /** Both streams have flowed without loss for `quietMs`. */
  async steady(quietMs = 100, timeoutMs = 10_000): Promise<void> {
    await waitFor(
      async () => (await this.remote.flows(quietMs)) && (await this.neighbour.flows(quietMs)),
      timeoutMs,
      'both streams to flow',
      20,
    );
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
    // Counted from the moment the cable is in its new place: while it is nowhere, nobody can reach the host.
    const remote = await this.remote.window(cable.plugged, until);
    const neighbour = await this.neighbour.window(cable.plugged, until);
    return { from, to, cable, ...this.#moments(from, to, cable), remote, neighbour };
  }

  async atRest(at: FirstHop): Promise<void> {
    const { ctl } = this.site.marpd(at);
    const wanted = at === 'r1' ? 'home' : 'settled';
    await waitFor(
      async () => (await ctl.host(HOST))?.state === wanted,
      30_000,
      `${HOST} to be ${wanted} at ${at}`,
      20,
    );
  }

  #moments(
    from: FirstHop,
    to: FirstHop,
    { before }: Moved,
  ): Pick<MoveReport, 'frame' | 'proof' | 'claim' | 'core' | 'old' | 'withdrawn'> {
    const events = this.watch.of(HOST, before);
    const arps = (this.lans.get(to)?.frames() ?? [])
      .filter((frame) => frame.at * 1e6 - this.offset >= before)
      .map(asArp)
      .filter((arp) => arp?.source === this.host.mac);
    const proof = arps.find((arp) => arp?.opcode === 'reply' && arp.destination === PLACES[to].mac);
    const monotonic = (at: number | undefined) => (at === undefined ? undefined : at * 1e6 - this.offset);
    const ours = events.filter((event) => event.protocol === PROTOCOL);
    const theirs = events.filter((event) => event.protocol !== PROTOCOL && event.added);
    return {
      frame: monotonic(arps[0]?.at),
      proof: monotonic(proof?.at),
      claim: ours.find((event) => event.role === to && event.added)?.at,
      core: theirs.find((event) => event.role === 'r3' && event.via === PLACES[to].uplink)?.at,
      old: theirs.find((event) => event.role === from && event.via !== 'multipath')?.at,
      withdrawn: ours.filter((event) => event.role === from && !event.added).at(-1)?.at,
    };
  }
}

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
export function sinceFrame(report: MoveReport, at: number | undefined): number | undefined {
  return at === undefined ? undefined : (at - (report.frame ?? report.cable.spoke)) / 1e6;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
