import type { Action, Event, IfIndex } from '../mobility/events.js';
import type { Prefix } from '../wire/addresses.js';
import type { Policy } from '../mobility/policy.js';
import type { Snapshot } from '../mobility/seed.js';
import { AnnotatedFile, type Named, describeInterface, packetIdOf } from './annotated-file.js';
import { type Decision, describeDecision } from './decisions.js';
import {
  FIELD,
  type Input,
  type Start,
  describeInput,
  describeWait,
  partsOf,
  toJson,
} from './record-json.js';
import type { NameOf } from './story.js';

/** Of a line that a person reads. */
const MESSAGE_CHARACTERS = 1000;

/** What a recording begins with when the daemon has run for a while. */
export interface Beginning {
  readonly originMs: number;
  /** The daemon's clock, ms. */
  readonly now: number;
  readonly policy: Policy;
  readonly complete: boolean;
  /** The links, which the tracker is told first. */
  readonly events: readonly Event[];
  /** What else the tracker knows; undefined: nothing. */
  readonly known: Snapshot | undefined;
}

/** Turns the tracker's inputs and decisions into a pcapng file; `marpctl explain` replays it (recorded-replay.ts). */
export class Recording {
  private readonly file: AnnotatedFile;
  private originMs = 0;
  private readonly addresses = new Map<IfIndex, readonly Prefix[]>();

  constructor(
    application: string,
    private readonly nameOf: NameOf,
    /** Takes the next bytes of the file. */
    private readonly write: (bytes: Uint8Array) => void,
  ) {
    this.file = new AnnotatedFile(application);
  }

  /** Starts a section that can be replayed by itself. */
  begin({ originMs, now, policy, complete, events, known }: Beginning, ...comments: readonly string[]): void {
    this.originMs = originMs;
    this.addresses.clear();
    const captured = events
      .filter((event) => event.kind === 'capture')
      .map(({ iface }) => this.named(iface, false));
    for (const block of this.file.header(captured, ...comments)) this.write(block);
    const start: Start = { version: 1, originMs, policy, complete };
    this.write(this.file.entry(this.timeOf(now), 'recording begins', { [FIELD.start]: toJson(start) }));
    for (const event of events) this.input(event, now, [], undefined);
    if (known !== undefined) this.note({ at: now, decided: [], known }, []);
  }

  /** `stampMs` is the kernel's time of a frame, in ms since 1970. */
  input(event: Event, now: number, actions: readonly Action[], stampMs: number | undefined): void {
    if (event.kind !== 'frame' && event.kind !== 'misdirected-packet')
      return this.note(
        { at: now, decided: this.sentences(actions), event, ...this.identity(event) },
        actions,
      );
    const { iface, bytes } = event;
    const on = this.named(iface, event.kind === 'misdirected-packet');
    const timeNs = stampMs === undefined ? this.timeOf(now) : BigInt(Math.round(stampMs * 1000)) * 1000n;
    const queuedMs = event.kind === 'frame' ? (event.queuedMs ?? 0) : 0;
    const comments = [...(queuedMs > 0 ? [describeWait(queuedMs)] : []), ...this.sentences(actions)];
    const packetId = packetIdOf(now);
    for (const block of this.file.packet(on, { timeNs, bytes, direction: 'in', comments, packetId }))
      this.write(block);
    this.sent(actions, now);
  }

  policy(policy: Policy, now: number, actions: readonly Action[]): void {
    this.note({ at: now, decided: this.sentences(actions), policy }, actions);
  }

  private note(input: Input, actions: readonly Action[]): void {
    const { at, decided } = input;
    const what = describeInput(input, this.nameOf);
    const message = decided.length === 0 ? what : `${what}: ${decided.join('; ')}`;
    const { parts, last } = partsOf(toJson(input));
    const timeNs = this.timeOf(at);
    for (const part of parts)
      this.write(this.file.entry(timeNs, `${what}, in parts`, { [FIELD.part]: part }));
    this.write(this.file.entry(timeNs, message.slice(0, MESSAGE_CHARACTERS), { [FIELD.input]: last }));
    this.sent(actions, at);
  }

  private identity(event: Event): { readonly sameAddresses?: boolean } {
    if (event.kind !== 'link') return {};
    const { index, addresses } = event.link;
    const sameAddresses = this.addresses.get(index) === addresses;
    this.addresses.set(index, addresses);
    return { sameAddresses };
  }

  private sentences(actions: readonly Action[]): string[] {
    return actions
      .filter((action): action is Decision => action.kind !== 'send')
      .map((action) => describeDecision(action, this.nameOf));
  }

  private sent(actions: readonly Action[], now: number): void {
    for (const action of actions) {
      if (action.kind !== 'send') continue;
      const { iface, bytes, purpose } = action;
      const on = this.named(iface, false);
      const packet = {
        timeNs: this.timeOf(now),
        bytes,
        direction: 'out',
        comments: [`sent: ${purpose}`],
      } as const;
      for (const block of this.file.packet(on, packet)) this.write(block);
    }
  }

  private named(iface: IfIndex, misdirected: boolean): Named {
    return {
      name: this.nameOf(iface) ?? `if${iface}`,
      description: describeInterface(iface, misdirected),
    };
  }

  private timeOf(now: number): bigint {
    return BigInt(Math.round((this.originMs + now) * 1000)) * 1000n;
  }
}
