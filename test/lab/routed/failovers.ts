import type { Host } from '../kit/host.js';
import type { Lab } from '../kit/namespace.js';
import { pause, waitFor } from '../kit/program.js';
import type { EngineName } from './engines.js';
import { Stream, type StreamWindow, monotonicNs } from './gauges.js';
import type { RedundantSiteOptions } from './redundant-files.js';
import { type Fault, RedundantSite } from './redundant-site.js';
import type { FirstHop } from './places.js';

export const VISITOR = '10.2.2.5';
export const HOME = '10.1.1.50';
export const AWAY = '10.1.1.60';
/** The last echoes need a moment to come back. */
const ECHO_NS = 5e7;

/** Who sends to whom, one datagram and its echo a millisecond. */
export const STREAMS = ['remote to visitor', 'home to away', 'home to visitor'] as const;
export type StreamName = (typeof STREAMS)[number];

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

  static async open(lab: Lab, engine: EngineName, options: RedundantSiteOptions): Promise<FailoverMeter> {
    const meter = new FailoverMeter(new RedundantSite(lab, engine, options));
    const { site } = meter;
    await site.start();
    await meter.home.plug('net1', 'request');
    // Its neighbours shall know it, and hear that it leaves.
    await meter.away.plug('net1', 'request');
    await waitFor(() => meter.home.pings(AWAY), 5000, 'two hosts at home to reach each other');
    await meter.visitor.plug('net1', 'request');
    await meter.away.plug('net4', 'request');
    await waitFor(() => meter.#reaches(), 10_000, 'everybody to be where it is');
    await site.agrees([VISITOR], new Map([[AWAY, 'r4']]));
    const partners = [
      ['remote to visitor', site.remote, VISITOR],
      ['home to away', meter.home.namespace, AWAY],
      ['home to visitor', meter.home.namespace, VISITOR],
    ] as const;
    for (const host of [meter.visitor, meter.away]) await Stream.echo(host.namespace);
    for (const [name, from, ip] of partners) meter.#streams.set(name, await Stream.start(from, ip));
    await meter.flows();
    return meter;
  }

  #reaches(): boolean {
    const { routed, remote } = this.site;
    return (
      routed.reaches(remote, VISITOR) &&
      routed.reaches(this.home.namespace, AWAY) &&
      routed.reaches(this.home.namespace, VISITOR)
    );
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
    const found = this.site.disagreements([VISITOR], new Map([[AWAY, 'r4']]));
    return [...found, ...(await this.site.alarms())];
  }
}
