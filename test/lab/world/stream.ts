import { monotonicNs, Stream as Datagrams } from '../routed/gauges.js';
import type { Namespace } from '../kit/namespace.js';
import { pause } from '../kit/program.js';
import type { LabHost } from './lab-host.js';
import type { Stream } from '../../scenario/world.js';

/** Five streams of a datagram per ms are 1.5 of two slow cores, and then the routers wait for the streams. */
const PERIOD_MS = 5;
/** The last echoes need a moment to come back. */
const ECHO_MS = 50;

/**
 * A numbered datagram each 5 ms. The time that the cable of the host is nowhere does not count: in the simulator a plug
 * takes no time, and a real card takes up to a second to notice one.
 */
export class RealStream implements Stream {
  private constructor(
    readonly datagrams: Datagrams,
    readonly to: LabHost,
    readonly began: number,
  ) {}

  static async start(from: Namespace, to: LabHost): Promise<RealStream> {
    await to.answersStreams();
    const datagrams = await Datagrams.start(from, to.says.ip, PERIOD_MS);
    return new RealStream(datagrams, to, monotonicNs());
  }

  async stop(): Promise<{ readonly sent: number; readonly lost: number; readonly longestOutageMs: number }> {
    const ended = monotonicNs();
    await pause(ECHO_MS);
    let [sent, lost, longestOutageMs] = [0, 0, 0];
    for (const [from, to] of this.#plugged(ended)) {
      const window = await this.datagrams.window(from, to);
      sent += window.sent;
      lost += window.lost;
      longestOutageMs = Math.max(longestOutageMs, window.outageMs);
    }
    await this.datagrams.program.stop('SIGKILL');
    return { sent, lost, longestOutageMs };
  }

  /** The times between its moves, ns. */
  #plugged(ended: number): [from: number, to: number][] {
    const windows: [number, number][] = [];
    let from = this.began;
    for (const move of this.to.cableMoves) {
      if (move.from < this.began) continue;
      windows.push([from, move.from]);
      from = move.to;
    }
    if (from < ended) windows.push([from, ended]);
    return windows;
  }
}
