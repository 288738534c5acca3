import type { Writable } from 'node:stream';
import type { Action, Event } from '../mobility/events.js';
import type { Policy } from '../mobility/policy.js';
import { type Beginning, Recording } from './recording.js';
import type { NameOf } from './story.js';

const QUEUE_BYTES = 16 << 20;

export interface RecorderOptions {
  readonly application: string;
  readonly nameOf: NameOf;
  /** What a recording that begins now begins with. */
  readonly beginning: () => Omit<Beginning, 'complete'>;
  /** The first recording begins, or the last one ends. */
  readonly onActive: (active: boolean) => void;
  /** What a slow reader may leave unread before it loses a part. Default 16 MiB. */
  readonly queueBytes?: number;
}

/**
 * The recordings that are being made of what the tracker is given and decides. None costs a comparison per event. The
 * daemon waits for no reader: one that is too slow finds a new section, which says that something is missing.
 */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #outlets = new Set<Outlet>();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#outlets.size;
  }

  /** Somebody wants to see every frame: the reader is to keep back nothing. */
  get wantsAllFrames(): boolean {
    for (const { wantsAllFrames } of this.#outlets) if (wantsAllFrames) return true;
    return false;
  }

  /** Records until the outlet or the stream ends. `complete`: the tracker knows nothing yet. */
  add(stream: Writable, kind: { readonly complete?: boolean; readonly wantsAllFrames?: boolean }): Outlet {
    const { complete = false, wantsAllFrames = false } = kind;
    const onEnd = () => {
      if (this.#outlets.delete(outlet) && this.#outlets.size === 0) this.#options.onActive(false);
    };
    const outlet: Outlet = new Outlet(this.#options, stream, wantsAllFrames, onEnd);
    this.#outlets.add(outlet);
    if (this.#outlets.size === 1) this.#options.onActive(true);
    outlet.begin(complete);
    return outlet;
  }

  input(event: Event, now: number, actions: readonly Action[], stampMs: number | undefined): void {
    for (const outlet of this.#outlets) outlet.take((to) => to.input(event, now, actions, stampMs));
  }

  end(): void {
    for (const outlet of this.#outlets) outlet.end();
  }

  policy(policy: Policy, now: number, actions: readonly Action[]): void {
    for (const outlet of this.#outlets) outlet.take((to) => to.policy(policy, now, actions));
  }
}

/** One recording on its way to a stream. */
export class Outlet {
  readonly #options: RecorderOptions;
  #stream: Writable;
  readonly #onEnd: () => void;
  readonly #recording: Recording;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  readonly #mostBytes: number;
  #flushing: NodeJS.Immediate | undefined;
  /** It has lost something since the last section. */
  #broken = false;
  #ended = false;
  /** Of the present stream. */
  bytes = 0;
  /** Of them those that say what was known at its beginning: with 100,000 hosts more than may wait unread besides. */
  beginningBytes = 0;

  constructor(
    options: RecorderOptions,
    stream: Writable,
    readonly wantsAllFrames: boolean,
    onEnd: () => void,
  ) {
    this.#options = options;
    this.#onEnd = onEnd;
    this.#mostBytes = options.queueBytes ?? QUEUE_BYTES;
    this.#recording = new Recording(options.application, options.nameOf, (bytes) => this.#push(bytes));
    this.#stream = stream;
    this.#attach(stream);
  }

  begin(complete: boolean, ...comments: readonly string[]): void {
    const before = this.bytes;
    const beginning = this.#options.beginning();
    this.#recording.begin(
      { ...beginning, complete, known: complete ? undefined : beginning.known },
      ...comments,
    );
    this.beginningBytes = this.bytes - before;
  }

  take(write: (recording: Recording) => void): void {
    if (this.#broken) {
      if (this.#stream.writableLength > this.#mostBytes / 2) return;
      this.#broken = false;
      this.begin(false, 'what happened before this section was lost: the reader was too slow');
      return;
    }
    write(this.#recording);
    if (this.#stream.writableLength + this.#queuedBytes <= this.#mostBytes + this.beginningBytes) return;
    this.#broken = true;
  }

  /** Goes on in another stream, with a section of its own. */
  continueIn(stream: Writable): void {
    this.#flush();
    this.#stream.end();
    this.#stream = stream;
    this.bytes = 0;
    this.#attach(stream);
    this.begin(false);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#flush();
    this.#stream.end();
  }

  #attach(stream: Writable): void {
    stream.on('close', () => {
      if (stream !== this.#stream) return;
      this.#ended = true;
      clearImmediate(this.#flushing);
      this.#onEnd();
    });
  }

  #push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.bytes += bytes.length;
    // One write for all that an event-loop turn brings.
    this.#flushing ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    if (this.#queue.length === 0 || this.#stream.destroyed) return;
    this.#stream.write(Buffer.concat(this.#queue));
    this.#queue = [];
    this.#queuedBytes = 0;
  }
}
