import type { Ip, Mac } from '../../wire/addresses.js';
import { LATE_ANSWERS } from '../admission/constants.js';
import type { IfIndex } from '../events.js';
import type { AnsweredTo } from '../neighbour/message.js';
import { type Probe, answers } from './probe.js';

/** Probes that timed out, for hosts whose answer comes later: it counts as if it had come in time. */
export class LateAnswers {
  #probes = new Map<Ip, Probe>();

  snapshot(): Map<Ip, Probe> {
    return this.#probes;
  }

  restore(probes: Map<Ip, Probe>): void {
    this.#probes = probes;
  }

  /** `probe` timed out without an answer. The oldest is forgotten for it when there are too many. */
  expect(ip: Ip, probe: Probe): void {
    this.#probes.delete(ip);
    this.#probes.set(ip, probe);
    if (this.#probes.size <= LATE_ANSWERS) return;
    for (const oldest of this.#probes.keys()) {
      this.#probes.delete(oldest);
      return;
    }
  }

  /** Takes the probe that a reply from there answers, if it is not too old. */
  take(ip: Ip, iface: IfIndex, mac: Mac, answeredTo: AnsweredTo, now: number): Probe | undefined {
    const probe = this.#probes.get(ip);
    if (probe === undefined) return undefined;
    if (now - probe.firstSentAt > LATE_MS) this.#probes.delete(ip);
    else if (answers(probe, iface, mac, answeredTo)) {
      this.#probes.delete(ip);
      return probe;
    }
    return undefined;
  }

  /** The address is somewhere else by now: what was asked before says nothing any more. */
  forget(ip: Ip): void {
    this.#probes.delete(ip);
  }
}

/** Power saving and satellite links take no longer than this. A later answer is an ordinary sighting. */
const LATE_MS = 10_000;
