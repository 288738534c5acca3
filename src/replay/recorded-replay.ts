import type { Action, Event, IfIndex } from '../mobility/events.js';
import { HostTracker } from '../mobility/tracker.js';
import type { CapturedPacket, JournalEntry } from '../wire/pcap/capture-file.js';
import { clockOf, parseInterfaceDescription } from './annotated-file.js';
import { type Decision, describeDecision } from './decisions.js';
import { differencesOf } from './differences.js';
import { describeFrame } from './frame-text.js';
import { FIELD, type Input, type Start, describeInput, fromJson, splitWait } from './record-json.js';
import type { Chapter } from './story.js';

/**
 * A recording of marpd's own through the tracker: every input at the time at which the daemon handled it, and what
 * follows compared with what followed then.
 */
export class RecordedReplay {
  private tracker: HostTracker | undefined;
  private start: Start | undefined;
  /** Decisions that the recording is still to name: frames that were sent. */
  private awaited: { iface: IfIndex; bytes: Uint8Array }[] = [];
  private parts = '';
  inputs = 0;
  differences = 0;
  /** Recordings in the file that began while the daemon ran and do not say what it knew. */
  incomplete = 0;

  /** ms since 1970 at which the daemon's clock stood at 0. */
  get originMs(): number {
    return this.start?.originMs ?? 0;
  }

  readonly nameOf = (iface: IfIndex): string | undefined => this.tracker?.link(iface)?.name;

  /** Whether the packets that follow are a recording's. */
  get isRunning(): boolean {
    return this.tracker !== undefined;
  }

  /** Another section begins: of another recording, or of none. */
  endSection(): void {
    this.tracker = undefined;
    this.awaited = [];
  }

  *entry(entry: JournalEntry): Generator<Chapter> {
    const { fields, timeNs } = entry;
    const start = fields.get(FIELD.start);
    if (start !== undefined) {
      this.start = fromJson<Start>(start);
      this.tracker = new HostTracker(this.start.policy);
      this.awaited = [];
      if (!this.start.complete) this.incomplete++;
      return;
    }
    const { tracker } = this;
    if (tracker === undefined) return;
    this.parts += fields.get(FIELD.part) ?? '';
    const last = fields.get(FIELD.input);
    if (last === undefined) return;
    const input = fromJson<Input>(this.parts + last);
    this.parts = '';
    const actions = this.apply(tracker, input);
    const differences = this.compare(actions, input.decided);
    const note = describeInput(input, this.nameOf);
    if (note === 'tick' && actions.length === 0 && differences.length === 0) return;
    yield { timeNs, interface: undefined, packet: undefined, note, actions, differences };
  }

  private apply(tracker: HostTracker, input: Input): readonly Action[] {
    if ('policy' in input) return tracker.setPolicy(input.policy, input.at);
    if ('event' in input) {
      const actions = tracker.handle(this.eventOf(input), input.at);
      // What leads to a beginning in the middle was decided before it.
      return this.incomplete > 0 ? [] : actions;
    }
    tracker.restore(input.known);
    this.incomplete--;
    return [];
  }

  private eventOf(input: Extract<Input, { event: unknown }>): Event {
    const { event, sameAddresses } = input;
    const known = event.kind === 'link' ? this.tracker?.link(event.link.index)?.addresses : undefined;
    if (event.kind !== 'link' || sameAddresses !== true || known === undefined) return event;
    return { ...event, link: { ...event.link, addresses: known } };
  }

  *packet(packet: CapturedPacket): Generator<Chapter> {
    const { timeNs, direction, bytes, comments, packetId } = packet;
    const on = parseInterfaceDescription(packet.interface.description);
    const name = packet.interface.name;
    const told = { timeNs, interface: name, packet };
    if (on === undefined || this.tracker === undefined) return;
    if (direction === 'out') {
      const differences = this.wasSent(on.iface, bytes);
      return yield { ...told, note: comments[0], actions: [], differences };
    }
    if (packetId === undefined) return yield { ...told, note: undefined, actions: [], differences: [] };
    const { queuedMs, decided } = splitWait(comments);
    const event: Event = on.misdirected
      ? { kind: 'misdirected-packet', iface: on.iface, bytes }
      : { kind: 'frame', iface: on.iface, bytes, queuedMs };
    const actions = this.tracker.handle(event, clockOf(packetId));
    const differences = this.compare(actions, decided);
    yield { ...told, note: on.misdirected ? 'misdirected' : undefined, actions, differences };
  }

  /** What the recording ends with. */
  finish(): string[] {
    return this.count(this.unsent());
  }

  private compare(actions: readonly Action[], recorded: readonly string[]): string[] {
    this.inputs++;
    const differences = this.unsent();
    const decided: string[] = [];
    for (const action of actions) {
      if (action.kind === 'send') this.awaited.push({ iface: action.iface, bytes: action.bytes });
      else decided.push(describeDecision(action as Decision, this.nameOf));
    }
    differences.push(...differencesOf(recorded, decided));
    return this.count(differences);
  }

  /** The first frames of those that were predicted, which were not sent. */
  private unsent(count = this.awaited.length): string[] {
    return this.awaited
      .splice(0, count)
      .map(
        ({ iface, bytes }) =>
          `recorded: nothing; now: sent on ${this.nameOf(iface) ?? '?'}: ${describeFrame(bytes, bytes.length)}`,
      );
  }

  /** Frames that were predicted before this one were not sent before it: each is one difference. */
  private wasSent(iface: IfIndex, bytes: Uint8Array): string[] {
    const at = this.awaited.findIndex(
      (frame) =>
        frame.iface === iface &&
        frame.bytes.length === bytes.length &&
        frame.bytes.every((byte, i) => byte === bytes[i]),
    );
    if (at < 0) return this.count(['recorded: this frame was sent; now: nothing']);
    const skipped = this.unsent(at);
    this.awaited.shift();
    return this.count(skipped);
  }

  private count(differences: string[]): string[] {
    this.differences += differences.length;
    return differences;
  }
}
