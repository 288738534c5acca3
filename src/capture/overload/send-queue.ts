import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { FrameRank } from '../family/sender.js';
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, QUEUED_BYTES, writeHeader, writeQueued } from '../protocol.js';
import { BATCH_BYTES, FIRST_CHUNK_BYTES, QUEUE_BYTES, UNREAD_BYTES } from './constants.js';

/**
 * The reader's way to the daemon.
 *
 * While the daemon keeps up, records are gathered in one buffer and written synchronously, at the latest at the end
 * of the turn of the event loop: a lone frame leaves within microseconds, and a burst costs one system call per batch.
 * The daemon reports what it has read. When that falls behind, every interface has a queue of its own and the queues
 * take turns, so that a frame from a quiet interface does not wait behind what a busy one has queued. Within an
 * interface replies leave first: a host's reply must not wait behind the newcomers of a burst until the daemon takes
 * the host for silent. Questions and other frames take turns: a host waits a second for an answer, and a queue may be
 * longer than that. Apart from that, order is kept. The daemon is told how long each chunk has waited: frames that
 * wait here are a sign of a storm, as are those that wait for their probe in the daemon.
 */

/** Records that leave together. Between two QUEUED records, for which it has space at both ends. */
interface Chunk {
  readonly buffer: Uint8Array;
  used: number;
  /** When the first of them came, on performance.now(). */
  readonly since: number;
}

class Fifo {
  readonly chunks: Chunk[] = [];
  bytes = 0;

  /** The chunk to which `size` more bytes are to be added. */
  extend(size: number): Chunk {
    this.bytes += size;
    const last = this.chunks.at(-1);
    if (last !== undefined && last.used + size + QUEUED_BYTES <= last.buffer.length) return last;
    const least = size + 2 * QUEUED_BYTES;
    const capacity = Math.max(last === undefined ? FIRST_CHUNK_BYTES : BATCH_BYTES, least);
    const chunk = { buffer: new Uint8Array(capacity), used: QUEUED_BYTES, since: performance.now() };
    this.chunks.push(chunk);
    return chunk;
  }

  shift(): Chunk | undefined {
    const chunk = this.chunks.shift();
    if (chunk !== undefined) this.bytes -= chunk.used - QUEUED_BYTES;
    return chunk;
  }
}

/** The queue of one interface; empty while the daemon keeps up. */
export class Queue {
  /** Frames dropped because the daemon does not keep up and the queue is full. */
  dropped = 0;
  readonly replies = new Fifo();
  readonly questions = new Fifo();
  readonly others = new Fifo();
  /** The last chunk that was taken held questions. */
  #questionsLeft = false;

  /** `iface`: 0 for records about no interface. */
  constructor(readonly iface = 0) {}

  get bytes(): number {
    return this.replies.bytes + this.questions.bytes + this.others.bytes;
  }

  /** Takes the chunk that leaves next. */
  shift(): Chunk | undefined {
    const chunk = this.#next().shift();
    if (chunk === undefined) return undefined;
    writeQueued(chunk.buffer, 0, this.iface, performance.now() - chunk.since);
    writeQueued(chunk.buffer, chunk.used, this.iface, 0);
    chunk.used += QUEUED_BYTES;
    return chunk;
  }

  ofRank(rank: FrameRank): Fifo {
    return rank === 'reply' ? this.replies : rank === 'question' ? this.questions : this.others;
  }

  #next(): Fifo {
    if (this.replies.bytes > 0) return this.replies;
    this.#questionsLeft = this.questions.bytes > 0 && (!this.#questionsLeft || this.others.bytes === 0);
    return this.#questionsLeft ? this.questions : this.others;
  }
}

export class SendQueue {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #onLost: () => void;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #used = 0;
  #flushScheduled = false;
  /** Written and not yet read by the daemon, as far as we know. */
  #unread = 0;
  /** Something is queued, or has to be: everything goes there. */
  #congested = false;
  /** libuv has the rest of a chunk. */
  #writing = false;
  /** Queues that hold chunks, in the order of their turns. */
  readonly #waiting: Queue[] = [];
  /** Of them those of interfaces. */
  #sharers = 0;

  /** `fd` is the socket's; `onLost` is called when the daemon is gone. */
  constructor(socket: Socket, fd: number, onLost: () => void) {
    this.#socket = socket;
    this.#fd = fd;
    this.#onLost = onLost;
  }

  /** Sends a record whose payload is the first `payloadBytes` of `payload`, or drops it when the queue is full. */
  frame(
    queue: Queue,
    rank: FrameRank,
    kind: number,
    iface: number,
    payload: Uint8Array,
    payloadBytes: number,
  ): void {
    const size = HEADER_BYTES + payloadBytes;
    if (!this.#congested && this.#used + size > BATCH_BYTES) this.flush();
    if (!this.#congested) {
      write(this.#batch, this.#used, kind, iface, payload, payloadBytes);
      this.#used += size;
      this.#scheduleFlush();
      return;
    }
    const fifo = queue.ofRank(rank);
    if (this.#isFull(fifo)) {
      queue.dropped++;
      return;
    }
    const chunk = this.#extend(queue, fifo, size);
    write(chunk.buffer, chunk.used, kind, iface, payload, payloadBytes);
    chunk.used += size;
  }

  /** Whether a frame that is neither reply nor question would be dropped now. */
  isFull(queue: Queue): boolean {
    return this.#congested && this.#isFull(queue.others);
  }

  /** Sends a record about an interface, in order with its frames but for replies and questions. It is never dropped. */
  record(queue: Queue, bytes: Uint8Array): void {
    if (!this.#congested && this.#used + bytes.length > BATCH_BYTES) this.flush();
    if (this.#congested) {
      const chunk = this.#extend(queue, queue.others, bytes.length);
      chunk.buffer.set(bytes, chunk.used);
      chunk.used += bytes.length;
      return;
    }
    this.#batch.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#scheduleFlush();
  }

  flush(): void {
    if (this.#used === 0) return;
    const end = this.#used;
    this.#used = 0;
    this.#send(this.#batch, end);
    if (this.#writing || this.#unread >= UNREAD_BYTES) this.#congested = true;
  }

  /** The daemon has read so many bytes more. */
  acknowledge(bytes: number): void {
    this.#unread -= bytes;
    this.#drain();
  }

  /** Interfaces that have something queued share the memory. */
  #isFull(fifo: Fifo): boolean {
    return fifo.bytes * this.#sharers > QUEUE_BYTES;
  }

  #extend(queue: Queue, fifo: Fifo, size: number): Chunk {
    if (queue.bytes === 0) this.#wait(queue);
    return fifo.extend(size);
  }

  #wait(queue: Queue): void {
    this.#waiting.push(queue);
    if (queue.iface !== 0) this.#sharers++;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }

  #drain(): void {
    while (this.#congested && !this.#writing && this.#unread < UNREAD_BYTES) {
      const queue = this.#waiting.shift();
      if (queue !== undefined && queue.iface !== 0) this.#sharers--;
      const chunk = queue?.shift();
      if (queue === undefined || chunk === undefined) {
        this.#congested = false;
        return;
      }
      if (queue.bytes > 0) this.#wait(queue);
      this.#send(chunk.buffer, chunk.used);
    }
  }

  /** Writes what the socket takes; libuv writes the rest when the socket has space again. */
  #send(bytes: Uint8Array, length: number): void {
    this.#unread += length;
    const written = this.#writeSync(bytes, length);
    if (written === length) return;
    this.#writing = true;
    this.#socket.write(bytes.slice(written, length), (error) => {
      if (error) return this.#onLost();
      this.#writing = false;
      this.#drain();
    });
  }

  #writeSync(bytes: Uint8Array, length: number): number {
    try {
      return writeSync(this.#fd, bytes, 0, length);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') this.#onLost();
      return 0;
    }
  }
}

function write(
  bytes: Uint8Array,
  at: number,
  kind: number,
  iface: number,
  payload: Uint8Array,
  payloadBytes: number,
): void {
  if (payloadBytes > MAX_PAYLOAD_BYTES) throw new RangeError(`capture record of ${payloadBytes} bytes`);
  writeHeader(bytes, at, kind, payloadBytes, iface);
  for (let i = 0, to = at + HEADER_BYTES; i < payloadBytes; i++) bytes[to + i] = payload[i] as number;
}
