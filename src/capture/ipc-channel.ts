import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import {
  FRAME,
  HEADER_BYTES,
  OutOfStep,
  READ,
  RecordReader,
  STAMPED_FRAME,
  writeHeader,
} from './protocol.js';
import { ACKNOWLEDGE_BYTES, COMMAND_BACKLOG_BYTES, READ_TURN_BYTES } from './overload/constants.js';

const BATCH_BYTES = 16_384;

/**
 * The daemon's end of the socket pair to one reader: commands out, in batches and in order; records in.
 *
 * Commands are written synchronously when they are flushed, at the latest at the end of the current callback, so
 * that a probe leaves within microseconds.
 */
export class IpcChannel {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #used = 0;
  #flushScheduled = false;
  #unacknowledged = 0;
  #turnBytes = 0;
  #turnEndScheduled = false;

  /**
   * `onRecord` gets a view that is valid only during the call; `onBatchEnd` follows each chunk with frames in it;
   * `onBroken` is called when what the reader sends are not records.
   */
  constructor(
    socket: Socket,
    onRecord: (kind: number, iface: number, payload: Uint8Array) => void,
    onBatchEnd: () => void,
    onBroken: (reason: string) => void,
  ) {
    this.#socket = socket;
    this.#fd = descriptorOf(socket);
    let frames = false;
    const reader = new RecordReader((kind, iface, payload) => {
      if (kind === FRAME || kind === STAMPED_FRAME) frames = true;
      onRecord(kind, iface, payload);
    });
    socket.on('data', (chunk: Buffer) => {
      this.#acknowledge(chunk.length);
      try {
        reader.feed(chunk);
      } catch (error) {
        if (!(error instanceof OutOfStep)) throw error;
        return onBroken(error.message);
      } finally {
        if (frames) onBatchEnd();
        frames = false;
      }
      this.#yield(chunk.length);
    });
    // The reader is gone. The supervisor acts on its exit; the socket has nothing to add.
    socket.on('error', () => socket.destroy());
  }

  /** True unless the reader has stopped reading. Throws a RangeError for more than MAX_PAYLOAD_BYTES. */
  inject(kind: number, iface: number, payload: Uint8Array): boolean {
    const size = HEADER_BYTES + payload.length;
    if (size > BATCH_BYTES - this.#used) {
      if (size > BATCH_BYTES) throw new RangeError(`frame of ${payload.length} bytes`);
      this.flush();
    }
    if (this.#socket.destroyed || this.#socket.writableLength > COMMAND_BACKLOG_BYTES) return false;
    writeHeader(this.#batch, this.#used, kind, payload.length, iface);
    this.#batch.set(payload, this.#used + HEADER_BYTES);
    this.#used += size;
    this.#scheduleFlush();
    return true;
  }

  command(record: Uint8Array): void {
    this.flush();
    this.#write(record, record.length);
  }

  flush(): void {
    const end = this.#used;
    this.#used = 0;
    if (end > 0) this.#write(this.#batch, end);
  }

  end(): void {
    this.flush();
    this.#socket.end();
  }

  /** Before the frames are handled, so that the reader has the next ones ready by then. */
  #acknowledge(bytes: number): void {
    this.#unacknowledged += bytes;
    if (this.#unacknowledged < ACKNOWLEDGE_BYTES) return;
    const record = new Uint8Array(HEADER_BYTES);
    writeHeader(record, 0, READ, 0, this.#unacknowledged);
    this.#unacknowledged = 0;
    this.command(record);
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }

  #write(bytes: Uint8Array, length: number): void {
    if (this.#socket.destroyed) return;
    let written = 0;
    if (this.#socket.writableLength === 0) {
      try {
        written = writeSync(this.#fd, bytes, 0, length);
      } catch {
        // EAGAIN: libuv waits for space. Anything else it will meet as well, and report as the socket's error.
      }
    }
    if (written < length) this.#socket.write(bytes.slice(written, length));
  }

  /** A busy reader must not keep the event loop to itself: Node reads on for as long as there is more. */
  #yield(bytes: number): void {
    this.#turnBytes += bytes;
    if (!this.#turnEndScheduled) {
      this.#turnEndScheduled = true;
      setImmediate(() => {
        this.#turnEndScheduled = false;
        this.#turnBytes = 0;
        this.#socket.resume();
      });
    }
    if (this.#turnBytes >= READ_TURN_BYTES) this.#socket.pause();
  }
}

/** The descriptor behind a socket, by which it can be written without the detour through streams. */
function descriptorOf(socket: Socket): number {
  const { _handle } = socket as unknown as { _handle: { fd: number } };
  return _handle.fd;
}
