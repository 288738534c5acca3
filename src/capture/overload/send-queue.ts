import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { FRAME, HEADER_BYTES, MAX_PAYLOAD_BYTES, payloadBytesAt, writeHeader } from '../protocol.js';

/**
 * The child's way to its parent.
 *
 * While the parent keeps up, records are gathered in one buffer and written synchronously, at the latest at the end
 * of the turn of the event loop: a lone frame is on its way within microseconds, a flood costs one system call per
 * batch. The parent says what it has read; when that falls behind, every interface queues in lanes of its own and the
 * lanes take turns, so that a frame from a quiet interface overtakes whatever a flooded one has piled up. Lanes of
 * answers have most of the turns: a host's answer must not wait behind the newcomers of a burst until it counts as
 * silence. Lanes of refreshes have the fewest: they say of known hosts what is believed anyway. Within a lane order is
 * kept.
 */

const BATCH_BYTES = 8192;
/** Unread by the parent at most, more or less: some 180 frames. Each may be a newcomer, 0.1 ms of work on a busy machine. */
const WINDOW_BYTES = 12_288;
/** A lane begins with a small piece: one late frame must not cost 16 KB on each of hundreds of interfaces. */
const FIRST_PIECE_BYTES = 1024;
/** Pieces may turn out to hold nothing that is wanted: so many are looked through in a row, a millisecond or two of work. */
const PIECES_AT_ONCE = 16;
/**
 * 100,000 newcomers in one burst must fit, whatever the parent is doing. Interfaces in trouble share it equally. An old
 * refresh is worth nothing.
 */
const BACKLOG_BYTES: Readonly<Record<Priority, number>> = {
  answers: 8 * 1024 * 1024,
  news: 8 * 1024 * 1024,
  refreshes: 256 * 1024,
};
/** Who has the next turn, over and over; when there is nothing of its rank the next in this order is asked. */
const PRIORITIES = ['answers', 'news', 'refreshes'] as const;
const TURNS: readonly Priority[] = [
  ...['answers', 'answers', 'answers', 'news'],
  ...['answers', 'answers', 'answers', 'news'],
  ...['answers', 'answers', 'answers', 'refreshes'],
] as Priority[];

export type Priority = (typeof PRIORITIES)[number];

/** The queue of one interface; empty as long as the parent keeps up. */
export class Queue {
  /** Frames thrown away because the parent does not keep up and the lane has had its share of memory. */
  shed = 0;
  /** Frames that nobody wanted any more when their turn came. */
  sifted = 0;
  readonly pieces: Piece[] = [];
  bytes = 0;
  /** So many of its first pieces are looked through before they leave. */
  unsifted = 0;
  isUnwanted: (frame: Uint8Array) => boolean = () => false;

  constructor(readonly rank: Priority) {}
}

interface Piece {
  readonly buffer: Uint8Array;
  used: number;
}

export class SendQueue {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #onLost: () => void;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #used = 0;
  #turnScheduled = false;
  #drainScheduled = false;
  /** Written and not yet read by the parent, as far as we know. */
  #unread = 0;
  /** Something waits in the lanes, or has to: everything goes there. */
  #congested = false;
  /** A piece is with libuv. */
  #writing = false;
  /** Lanes that hold pieces, in the order in which their turn comes. */
  readonly #lines: Readonly<Record<Priority, Queue[]>> = { answers: [], news: [], refreshes: [] };
  #turn = 0;

  /** `fd` is the socket's; `onLost` is called when the parent is gone. */
  constructor(socket: Socket, fd: number, onLost: () => void) {
    this.#socket = socket;
    this.#fd = fd;
    this.#onLost = onLost;
  }

  /** A record whose payload are the first `payloadBytes` of `payload`. It may be shed. */
  frame(lane: Queue, kind: number, iface: number, payload: Uint8Array, payloadBytes: number): void {
    if (this.isFull(lane)) {
      lane.shed++;
      return;
    }
    const size = HEADER_BYTES + payloadBytes;
    const piece = this.#congested ? room(lane, size) : undefined;
    if (piece === undefined) {
      if (this.#used + size > BATCH_BYTES) {
        this.flush();
        if (this.#congested) return this.frame(lane, kind, iface, payload, payloadBytes);
      }
      write(this.#batch, this.#used, kind, iface, payload, payloadBytes);
      this.#used += size;
      this.#scheduleTurn();
      return;
    }
    if (lane.bytes === 0) this.#line(lane).push(lane);
    write(piece.buffer, piece.used, kind, iface, payload, payloadBytes);
    piece.used += size;
    lane.bytes += size;
  }

  /** What comes now would be thrown away. */
  isFull(lane: Queue): boolean {
    return this.#congested && lane.bytes * this.#line(lane).length > BACKLOG_BYTES[lane.rank];
  }

  /** A record about an interface, in order with its frames; never shed. */
  record(lane: Queue, bytes: Uint8Array): void {
    if (!this.#congested && this.#used + bytes.length > BATCH_BYTES) this.flush();
    if (this.#congested) {
      if (lane.bytes === 0) this.#line(lane).push(lane);
      const piece = room(lane, bytes.length);
      piece.buffer.set(bytes, piece.used);
      piece.used += bytes.length;
      lane.bytes += bytes.length;
      return;
    }
    this.#batch.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#scheduleTurn();
  }

  flush(): void {
    if (this.#used === 0) return;
    const end = this.#used;
    this.#used = 0;
    this.#send(this.#batch, end);
    if (this.#writing || this.#unread >= WINDOW_BYTES) this.#congested = true;
  }

  /**
   * Frames that wait in the lane now and are unwanted when their turn comes are thrown away then, counted as `sifted`: there
   * may be 100,000, too many to look at in one go.
   */
  sift(lane: Queue, isUnwanted: (frame: Uint8Array) => boolean): void {
    if (lane.bytes === 0) return;
    lane.isUnwanted = isUnwanted;
    lane.unsifted = lane.pieces.length;
    // What comes from now on is not looked at.
    lane.pieces.push({ buffer: new Uint8Array(BATCH_BYTES), used: 0 });
  }

  /** The parent has read so many bytes more. */
  acknowledge(bytes: number): void {
    this.#unread -= bytes;
    this.#drain();
  }

  /** What waits in one lane shall go before what comes in the other: an interface has had its last frame. */
  join(lane: Queue, last: Queue): void {
    if (lane.bytes === 0) return;
    const line = this.#line(lane);
    line.splice(line.indexOf(lane), 1);
    if (last.bytes === 0) this.#line(last).push(last);
    last.pieces.unshift(...lane.pieces.splice(0));
    last.unsifted = 0;
    last.bytes += lane.bytes;
    lane.bytes = 0;
  }

  #line(lane: Queue): Queue[] {
    return this.#lines[lane.rank];
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      this.flush();
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

  #drain(): void {
    if (this.#drainScheduled) return;
    let left = PIECES_AT_ONCE;
    while (this.#congested && !this.#writing && this.#unread < WINDOW_BYTES) {
      if (left-- === 0) return this.#drainLater();
      const piece = this.#nextPiece();
      if (piece === undefined) this.#congested = false;
      else if (piece.used > 0) this.#send(piece.buffer, piece.used);
    }
  }

  #drainLater(): void {
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    setImmediate(() => {
      this.#drainScheduled = false;
      this.#drain();
    });
  }

  /** Writes what the socket takes; libuv has the rest written when there is room again. */
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

  #nextPiece(): Piece | undefined {
    const favoured = this.#lines[TURNS[this.#turn] as Priority];
    this.#turn = (this.#turn + 1) % TURNS.length;
    const line = favoured.length > 0 ? favoured : PRIORITIES.map((rank) => this.#lines[rank]).find(hasAny);
    const lane = line?.shift();
    const piece = lane?.pieces.shift();
    if (line === undefined || lane === undefined || piece === undefined) return undefined;
    lane.bytes -= piece.used;
    if (lane.bytes > 0) line.push(lane);
    if (lane.unsifted > 0) {
      lane.unsifted--;
      lane.sifted += siftPiece(piece, lane.isUnwanted);
    }
    return piece;
  }
}

function hasAny(line: readonly Queue[]): boolean {
  return line.length > 0;
}

/** The piece of the lane to which `size` more bytes may be added. */
function room(lane: Queue, size: number): Piece {
  const last = lane.pieces.at(-1);
  if (last !== undefined && last.used + size <= last.buffer.length) return last;
  const capacity = last === undefined ? Math.max(FIRST_PIECE_BYTES, size) : BATCH_BYTES;
  const piece = { buffer: new Uint8Array(capacity), used: 0 };
  lane.pieces.push(piece);
  return piece;
}

/** Takes unwanted frames out. Returns how many there were. */
function siftPiece(piece: Piece, isUnwanted: (frame: Uint8Array) => boolean): number {
  const { buffer, used } = piece;
  let count = 0;
  let kept = 0;
  for (let at = 0; at < used; ) {
    const payload = at + HEADER_BYTES;
    const end = payload + payloadBytesAt(buffer, at);
    if (buffer[at] === FRAME && isUnwanted(buffer.subarray(payload, end))) count++;
    else {
      if (kept < at) buffer.copyWithin(kept, at, end);
      kept += end - at;
    }
    at = end;
  }
  piece.used = kept;
  return count;
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
