import type { IfIndex } from '../../mobility/events.js';
import type { Family, Ip } from '../../wire/addresses.js';
import { type LooseStep, STUCK_ROUTE_REPAIR, type Slots, type Step } from '../claims/plan.js';
import { type BatchOptions, IpBatch } from './batch.js';
import { commandFor, warmUpCommand } from './commands.js';
import { LOST } from './process.js';

/** Why a step was not carried out. */
export interface Refusal {
  /**
   * lost: the process ended before it answered, so it may have been carried out; absent: there is nothing to delete, or
   * no such interface; exists: the slot of the route is taken; denied: we may not change the kernel's tables.
   */
  readonly reason: 'lost' | 'absent' | 'exists' | 'denied' | 'other';
  /** The text of `ip`. */
  readonly message: string;
}

/** undefined: the kernel did it. */
export type Outcome = Refusal | undefined;
/** By position of the step; a shorter or empty array means that the others succeeded. */
export type Outcomes = readonly Outcome[];

const REASONS: readonly (readonly [Refusal['reason'], RegExp])[] = [
  ['exists', /File exists/],
  ['absent', /No such process|No such file|does not exist|No such device|Cannot find device/],
  ['denied', /not permitted/],
];

/** The meaning of a text of `ip`, or of LOST. */
export function toOutcome(text: string | undefined): Outcome {
  if (text === undefined) return undefined;
  const reason = text === LOST ? 'lost' : REASONS.find(([, pattern]) => pattern.test(text))?.[0];
  return { reason: reason ?? 'other', message: text };
}

/** Carries out steps by way of `ip -batch`. */
export class IpExecutor {
  readonly batch: IpBatch;
  readonly #slots: Slots;
  /** What the present process means by a device name, as far as it has used it. */
  #names = new Map<string, IfIndex>();
  /** Commands sent. */
  commands = 0;

  constructor(slots: Slots, families: readonly Family[], options: Omit<BatchOptions, 'warmUp'>) {
    this.#slots = slots;
    this.batch = new IpBatch({
      ...options,
      warmUp: warmUpCommand(slots.protocol, slots.fresh, families[0] ?? 'ipv4'),
    });
  }

  /**
   * Sends the steps for an address. `fenced`: one of them may end the process, and it shall be known which. Returns false
   * when the process knows a device by another index: it is replaced, and the steps are to be computed anew when
   * `batch.ready`, since the name may have changed again by then.
   */
  apply(
    ip: Ip,
    steps: readonly (Step | LooseStep)[],
    done?: (outcomes: Outcomes) => void,
    fenced = false,
  ): boolean {
    if (!this.batch.ready || !steps.every((step) => this.#pinDeviceName(step))) return false;
    const commands = steps.map((step) => commandFor(step, ip, this.#slots));
    this.commands += commands.length;
    const finished = done && ((texts: readonly (string | undefined)[]) => done(texts.map(toOutcome)));
    if (fenced) this.batch.submitFenced(commands, finished);
    else this.batch.submit(commands, finished);
    return true;
  }

  #pinDeviceName(step: Step | LooseStep): boolean {
    const device = deviceOf(step);
    if (device === undefined) return true;
    const known = this.#names.get(device.dev);
    if (known === undefined) this.#names.set(device.dev, device.iface);
    else if (known !== device.iface) {
      this.batch.renew();
      this.#names = new Map();
      return false;
    }
    return true;
  }
}

function deviceOf(step: Step | LooseStep): { readonly dev: string; readonly iface: IfIndex } | undefined {
  switch (step.op) {
    case 'set-neighbour':
      return step.claim;
    case 'forget-neighbour':
      return step.device;
    case 'add-route':
    case 'replace-route':
      return step.occupant === STUCK_ROUTE_REPAIR ? undefined : step.occupant;
    default:
      return undefined;
  }
}
