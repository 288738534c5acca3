import type { ServerResponse } from 'node:http';
import { EVENT_KINDS, type EventKind } from './requests.js';
import type { EventRecord } from './schemas.js';

/** What a slow reader may leave unread before it loses records. */
const QUEUE_BYTES = 1 << 20;

interface Reader {
  readonly response: ServerResponse;
  readonly kinds: ReadonlySet<EventKind>;
  readonly ip: string | undefined;
  queue: string[];
  queuedBytes: number;
  lost: number;
  /** The socket's buffer is full; `drain` tells when it is not. */
  blocked: boolean;
}

/**
 * The readers of /v1/events. Each has a bounded queue; whoever reads too slowly finds `{"event":"lost","lost":n}` in
 * place of what it missed. The daemon never waits for a reader, and makes no records while there is none.
 */
export class EventReaders {
  readonly #subscribe: (listener: (record: object) => void) => () => void;
  readonly #readers = new Set<Reader>();
  #unsubscribe: (() => void) | undefined;
  #flushing: NodeJS.Immediate | undefined;

  constructor(subscribe: (listener: (record: object) => void) => () => void) {
    this.#subscribe = subscribe;
  }

  get size(): number {
    return this.#readers.size;
  }

  /** Sends records of these kinds, or of this address only, until the response closes. */
  add(response: ServerResponse, kinds: ReadonlySet<EventKind> | undefined, ip: string | undefined): void {
    const reader: Reader = {
      response,
      kinds: kinds ?? new Set(EVENT_KINDS),
      ip,
      queue: [],
      queuedBytes: 0,
      lost: 0,
      blocked: false,
    };
    this.#readers.add(reader);
    this.#unsubscribe ??= this.#subscribe((record) => this.#publish(record as EventRecord));
    response.on('drain', () => {
      reader.blocked = false;
      flush(reader);
    });
    response.on('close', () => {
      this.#readers.delete(reader);
      if (this.#readers.size > 0) return;
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
    });
  }

  close(): void {
    for (const { response } of this.#readers) response.end();
  }

  #publish(record: EventRecord): void {
    let line: string | undefined;
    for (const reader of this.#readers) {
      if (!reader.kinds.has(record.event)) continue;
      if (reader.ip !== undefined && record.ip !== reader.ip && record.target !== reader.ip) continue;
      line ??= `${JSON.stringify(record)}\n`;
      if (reader.lost > 0 || reader.queuedBytes + line.length > QUEUE_BYTES) {
        // Once something is lost, everything up to the next flush is: the gap stays where it is reported.
        reader.lost++;
        continue;
      }
      reader.queue.push(line);
      reader.queuedBytes += line.length;
    }
    // One write for all records of an event-loop turn.
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      for (const reader of this.#readers) flush(reader);
    });
  }
}

function flush(reader: Reader): void {
  if (reader.blocked || (reader.queue.length === 0 && reader.lost === 0)) return;
  if (reader.lost > 0) reader.queue.push(`${JSON.stringify({ event: 'lost', lost: reader.lost })}\n`);
  const text = reader.queue.join('');
  reader.queue = [];
  reader.queuedBytes = 0;
  reader.lost = 0;
  reader.blocked = !reader.response.write(text);
}
