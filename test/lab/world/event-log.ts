import { type Ip, type Mac, parseIp, parseMac } from '../../../src/wire/addresses.js';
import type { Line, Program } from '../kit/program.js';
import type { AlarmView, TransitionView } from '../../scenario/world.js';

/** A line of the daemon's log that is an event of a host (src/observe/log.ts). */
interface Entry {
  readonly time: string;
  readonly event?: string;
  readonly ip?: string;
  readonly mac?: string;
  readonly interface?: string;
}

/**
 * What a router's daemons told in their logs, over all of its lives: /v1/status forgets the alarms of a daemon that was
 * killed, and /v1/events what happened before somebody listened.
 */
export class EventLog {
  readonly transitions: TransitionView[] = [];
  readonly alarms: AlarmView[] = [];
  readonly text: { readonly at: number; readonly text: string }[] = [];

  constructor(readonly router: string) {}

  /** Reads along from the first line; call it right after the launch. */
  follow(program: Program): void {
    program.onLine((line) => this.#take(line));
  }

  clear(): void {
    for (const list of [this.transitions, this.alarms, this.text]) list.length = 0;
  }

  #take({ text }: Line): void {
    if (!text.startsWith('{')) return;
    const entry = JSON.parse(text) as Entry;
    if (entry.event !== 'transition' && entry.event !== 'alarm') return;
    const at = Date.parse(entry.time) - performance.timeOrigin;
    const common = { ip: ipOf(entry.ip), mac: macOf(entry.mac), interface: entry.interface, at };
    if (entry.event === 'alarm') this.alarms.push({ ...(entry as unknown as AlarmView), ...common });
    else this.transitions.push({ ...(entry as unknown as TransitionView), ...common, ip: common.ip as Ip });
    this.text.push({ at, text: `${this.router} ${(entry as unknown as { msg: string }).msg}` });
  }
}

function ipOf(text: string | undefined): Ip | undefined {
  return text === undefined ? undefined : parseIp(text);
}

function macOf(text: string | undefined): Mac | undefined {
  return text === undefined ? undefined : parseMac(text);
}
