import type { ServerResponse } from 'node:http';
import { EVENT_KINDS, type EventKind, type EventRecord } from './records.js';

/** What a slow subscriber may leave unread before it loses records. */
const QUEUE_BYTES = 1 << 20;

interface Subscriber {
  readonly response: ServerResponse;
  readonly kinds: ReadonlySet<EventKind>;
  readonly ip: string | undefined;
  queue: string[];
  queuedBytes: number;
  lost: number;
  /** The socket's buffer is full, until `drain`. */
  blocked: boolean;
}

/**
 * The subscribers of /v1/events. Each has a bounded queue. One that reads too slowly finds `{"event":"lost","lost":n}`
 * in place of what it missed. The daemon never waits for a subscriber, and makes no records while there is none.
 */
export class EventSubscribers {
  readonly #subscribe: (listener: (record: object) => void) => () => void;
  readonly #subscribers = new Set<Subscriber>();
  #unsubscribe: (() => void) | undefined;
  #flushing: NodeJS.Immediate | undefined;

  constructor(subscribe: (listener: (record: object) => void) => () => void) {
    this.#subscribe = subscribe;
  }

  get size(): number {
    return this.#subscribers.size;
  }

  /** Sends records of these kinds, or of this address only, until the response closes. */
  add(response: ServerResponse, kinds: ReadonlySet<EventKind> | undefined, ip: string | undefined): void {
    const subscriber: Subscriber = {
      response,
      kinds: kinds ?? new Set(EVENT_KINDS),
      ip,
      queue: [],
      queuedBytes: 0,
      lost: 0,
      blocked: false,
    };
    this.#subscribers.add(subscriber);
    this.#unsubscribe ??= this.#subscribe((record) => this.#publish(record as EventRecord));
    response.on('drain', () => {
      subscriber.blocked = false;
      flush(subscriber);
    });
    response.on('close', () => {
      this.#subscribers.delete(subscriber);
      if (this.#subscribers.size > 0) return;
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
    });
  }

  close(): void {
    for (const { response } of this.#subscribers) response.end();
  }

  #publish(record: EventRecord): void {
    let line: string | undefined;
    for (const subscriber of this.#subscribers) {
      if (!subscriber.kinds.has(record.event)) continue;
      if (subscriber.ip !== undefined && record.ip !== subscriber.ip && record.target !== subscriber.ip)
        continue;
      line ??= `${JSON.stringify(record)}\n`;
      if (subscriber.lost > 0 || subscriber.queuedBytes + line.length > QUEUE_BYTES) {
        // Once something is lost, everything up to the next flush is: the gap stays where it is reported.
        subscriber.lost++;
        continue;
      }
      subscriber.queue.push(line);
      subscriber.queuedBytes += line.length;
    }
    // One write for all records of an event-loop turn.
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      for (const subscriber of this.#subscribers) flush(subscriber);
    });
  }
}

function flush(subscriber: Subscriber): void {
  if (subscriber.blocked || (subscriber.queue.length === 0 && subscriber.lost === 0)) return;
  if (subscriber.lost > 0)
    subscriber.queue.push(`${JSON.stringify({ event: 'lost', lost: subscriber.lost })}\n`);
  const text = subscriber.queue.join('');
  subscriber.queue = [];
  subscriber.queuedBytes = 0;
  subscriber.lost = 0;
  subscriber.blocked = !subscriber.response.write(text);
}
