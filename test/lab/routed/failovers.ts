import type { Host } from '../kit/host.js';
import type { Lab, Namespace } from '../kit/namespace.js';
import { neighborAdvertisement } from '../kit/nd.js';
import { pause, waitFor } from '../kit/program.js';
import type { EngineName } from './engines.js';
import { Stream, type StreamWindow, monotonicNs } from './gauges.js';
import type { RedundantSiteOptions } from './redundant-files.js';
import { type Fault, RedundantSite } from './redundant-site.js';
import { type FirstHop, twinOf } from './places.js';

export const VISITOR = '10.2.2.5';
export const HOME = '10.1.1.50';
export const AWAY = '10.1.1.60';
/** The last echoes need a moment to come back. */
const ECHO_NS = 5e7;

/** Who sends to whom, by default one datagram and its echo a millisecond. */
export const STREAMS = ['remote to visitor', 'home to away', 'home to visitor'] as const;
/** The same in IPv6, where that is served. */
export type StreamName = (typeof STREAMS)[number] | `${(typeof STREAMS)[number]}, IPv6`;

export interface Failover {
  readonly from: FirstHop;
  readonly to: FirstHop;
  readonly windows: ReadonlyMap<StreamName, StreamWindow>;
}

/** A redundant site with one visitor, one host at home and one that is away at R4, and a stream between each two. */
export class FailoverMeter {
  readonly visitor: Host;
  readonly home: Host;
  readonly away: Host;
  readonly #streams = new Map<StreamName, Stream>();

  private constructor(readonly site: RedundantSite) {
    this.visitor = site.host('visitor', { address: `${VISITOR}/24`, gateway: '10.2.2.1' });
    this.home = site.host('home', { address: `${HOME}/24`, gateway: '10.1.1.1' });
    this.away = site.host('away', { address: `${AWAY}/24`, gateway: '10.1.1.1' });
  }

  /** @param periodMs between two datagrams of a stream */
  static async open(
    lab: Lab,
    engine: EngineName,
    options: RedundantSiteOptions,
    periodMs = 1,
  ): Promise<FailoverMeter> {
    const meter = new FailoverMeter(new RedundantSite(lab, engine, options));
    const { site } = meter;
    await site.start();
    await meter.#plug(meter.home, 'net1');
    // Its neighbours shall know it, and hear that it leaves.
    await meter.#plug(meter.away, 'net1');
    await waitFor(
      () => meter.addressesOf(AWAY).every((ip) => meter.home.pings(ip)),
      5000,
      'two hosts at home to reach each other',
    );
    await meter.#plug(meter.visitor, 'net1');
    await meter.#plug(meter.away, 'net4');
    await waitFor(
      () => meter.#partners().every(([, from, ip]) => site.routed.reaches(from, ip)),
      10_000,
      'everybody to be where it is',
    );
    await site.agrees(meter.here, meter.elsewhere);
    for (const host of [meter.visitor, meter.away]) await Stream.echo(host.namespace);
    for (const [name, from, ip] of meter.#partners())
      meter.#streams.set(name, await Stream.start(from, ip, periodMs));
    await meter.flows();
    return meter;
  }

  /** Its address, and its twin in IPv6 where that is served. */
  addressesOf(ip: string): readonly string[] {
    return this.site.routed.hasIpv6 ? [ip, twinOf(ip)] : [ip];
  }

  /** What R1 or R2 announces. */
  get here(): readonly string[] {
    return this.addressesOf(VISITOR);
  }

  get elsewhere(): ReadonlyMap<string, FirstHop> {
    return new Map(this.addressesOf(AWAY).map((ip) => [ip, 'r4']));
  }

  // A host of IPv6 tells all nodes of its MAC when it comes (RFC 9131).
  async #plug(host: Host, lan: string): Promise<void> {
    await host.plug(lan, 'request');
    const frames = await host.frames();
    for (const ip of host.ipv6) frames.send(neighborAdvertisement(ip, host.mac));
  }

  #partners(): (readonly [name: StreamName, from: Namespace, ip: string])[] {
    const all = [
      ['remote to visitor', this.site.remote, VISITOR],
      ['home to away', this.home.namespace, AWAY],
      ['home to visitor', this.home.namespace, VISITOR],
    ] as const;
    if (!this.site.routed.hasIpv6) return [...all];
    // One of the other family: six of them would be what a small machine does, and nothing else.
    const ipv6 = all.map(([name, from, ip]) => [`${name}, IPv6`, from, twinOf(ip)] as const);
    return [...all.slice(0, 1), ...ipv6];
  }

  /** Waits until every stream comes back. */
  async flows(timeoutMs = 15_000): Promise<void> {
    for (const [name, stream] of this.#streams)
      await waitFor(() => stream.flows(100), timeoutMs, `the stream from ${name}`, 20);
  }

  /** What every stream saw since then. */
  async since(at: number): Promise<Map<StreamName, StreamWindow>> {
    await pause(ECHO_NS / 1e6);
    const windows = new Map<StreamName, StreamWindow>();
    for (const [name, stream] of this.#streams)
      windows.set(name, await stream.window(at, monotonicNs() - ECHO_NS));
    return windows;
  }

  /** Fails the active router. Returns what was lost until all is as it was, at the other one. */
  async fail(fault: Fault): Promise<Failover> {
    const from = await this.active();
    const to = this.site.otherOf(from);
    const began = monotonicNs();
    await this.site.strike(from, fault);
    await this.site.untilTaken(to);
    await this.flows();
    await pause(1000);
    return { from, to, windows: await this.since(began) };
  }

  /** Ends the fault of the other one, and waits until it is active again. */
  async recover(failed: FirstHop, fault: Fault): Promise<Failover> {
    const began = monotonicNs();
    await this.site.mend(failed, fault);
    await this.site.handBack(failed);
    await pause(1000);
    return { from: this.site.otherOf(failed), to: failed, windows: await this.since(began) };
  }

  /** Who has the gateway. */
  active(): Promise<FirstHop> {
    return waitFor(() => this.site.active(), 10_000, 'one router to have the gateway');
  }

  /** What is wrong when all is quiet again: who announces, and what alarms there are. */
  async problems(): Promise<string[]> {
    const found = this.site.disagreements(this.here, this.elsewhere);
    return [...found, ...(await this.site.alarms())];
  }
}
