import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** What may wait for a reader that does not read, or a disk that is full. Beyond that lines are lost and counted. */
const QUEUE_BYTES = 1 << 20;
const WRITE_BYTES = 64 << 10;
/** Between two tries to write to a full pipe, and after a failure, such as that of a full disk. */
const FULL_MS = 50;
const FAILED_MS = 1000;

interface Chunk {
  bytes: Buffer;
  readonly lines: number;
  /** Lost lines that it reports. */
  readonly reported: number;
}

/**
 * The log's way out: one write per turn of the event loop. A pipe, a terminal or a socket that is full never blocks it.
 * What cannot be written is lost, counted, and reported when writing works again.
 */
export class LogSink {
  readonly #fd: number;
  #queue: string[] = [];
  #queuedBytes = 0;
  /** What is to be written next, or is left of it. */
  #rest: Chunk | undefined;
  #scheduled = false;
  #unreported = 0;
  /** A failure may have left the beginning of a line. */
  #cut = false;
  /** Lines lost so far. */
  lost = 0;

  constructor(fd = 1) {
    this.#fd = nonBlocking(fd);
    process.on('exit', () => this.#flush());
  }

  /** A whole line. */
  write(line: string): void {
    if (this.#queuedBytes + line.length > QUEUE_BYTES) return this.#lose(1);
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    while (this.#queue.length > 0 || this.#rest !== undefined) {
      this.#rest ??= this.#take();
      const { bytes, lines, reported } = this.#rest;
      try {
        const written = writeSync(this.#fd, bytes);
        this.#cut = written < bytes.length;
        if (this.#cut) this.#rest.bytes = bytes.subarray(written);
        else this.#rest = undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return this.#flushAfter(FULL_MS);
        this.#rest = undefined;
        this.#lose(lines);
        this.#unreported += reported;
        return this.#flushAfter(FAILED_MS);
      }
    }
  }

  #flushAfter(ms: number): void {
    this.#scheduled = true;
    setTimeout(() => this.#flush(), ms).unref();
  }

  /** The next chunk, with a report of what was lost before it. */
  #take(): Chunk {
    let count = 0;
    let length = 0;
    for (; count < this.#queue.length && length < WRITE_BYTES; count++)
      length += (this.#queue[count] as string).length;
    const lines = this.#queue.splice(0, count);
    this.#queuedBytes -= length;
    const report = this.#unreported > 0 ? lossLine(this.#unreported) : '';
    const reported = this.#unreported;
    this.#unreported = 0;
    return {
      bytes: Buffer.from(`${this.#cut ? '\n' : ''}${report}${lines.join('')}`),
      lines: count,
      reported,
    };
  }

  #lose(lines: number): void {
    this.lost += lines;
    this.#unreported += lines;
  }
}

function lossLine(lost: number): string {
  const time = new Date().toISOString();
  return `${JSON.stringify({ level: 'warn', time, lost, msg: `${lost} log lines are lost: they could not be written` })}\n`;
}

/** Says something to a person on standard error, unless that would block. */
export function sayLast(text: string): void {
  try {
    writeSync(nonBlocking(2), `${text}\n`);
  } catch {
    // nobody reads it
  }
}

/**
 * The same pipe, terminal or socket by a descriptor that does not block. A pipe and a terminal are opened again, since
 * O_NONBLOCK would also concern everybody else who has it open. A socket cannot be opened again.
 */
function nonBlocking(fd: number): number {
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isCharacterDevice()) {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    try {
      return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    } catch {
      // somebody else's, from before a change of user
    }
  }
  if (stat.isFIFO() || stat.isSocket())
    new Socket({ fd, readable: false, writable: true }).on('error', () => undefined).unref();
  return fd;
}
