import { type Socket, connect } from 'node:net';
import { waitFor } from '../kit/program.js';

/** An event of QEMU, with the time when it happened: ms since 1970, exact to a microsecond. */
export interface QmpEvent {
  readonly at: number;
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly timestamp?: { readonly seconds: number; readonly microseconds: number };
}

/** QEMU's monitor (docs/interop/qmp-spec), one command at a time. */
export class Qmp {
  readonly events: QmpEvent[] = [];
  readonly #answers: Message[] = [];
  #listeners: ((event: QmpEvent) => void)[] = [];
  #rest = '';

  private constructor(readonly socket: Socket) {
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const lines = (this.#rest + chunk).split('\n');
      this.#rest = lines.pop() as string;
      for (const line of lines) if (line.trim() !== '') this.#take(JSON.parse(line) as Message);
    });
    socket.on('error', () => {}); // the machine ended: its process tells how
  }

  static async open(path: string, timeoutMs = 10_000): Promise<Qmp> {
    const socket = await waitFor(() => tryConnect(path), timeoutMs, `the monitor ${path}`, 5);
    const qmp = new Qmp(socket);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** @throws with QEMU's own words when it refuses */
  async execute<T>(command: string, given: Readonly<Record<string, unknown>> = {}): Promise<T> {
    this.socket.write(`${JSON.stringify({ execute: command, arguments: given })}\n`);
    const answer = await waitFor(() => this.#answers.shift(), 10_000, `the answer to ${command}`, 1);
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
    return answer.return as T;
  }

  /** The first event that fits, waited for; also one that came before. */
  async event(fits: (event: QmpEvent) => boolean, timeoutMs: number, what: string): Promise<QmpEvent> {
    return waitFor(() => this.events.find(fits), timeoutMs, what, 1);
  }

  /** Calls for every event from now on, at once. */
  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.push(listener);
  }

  #take(message: Message): void {
    if (message.event !== undefined && message.timestamp !== undefined) {
      const at = message.timestamp.seconds * 1000 + message.timestamp.microseconds / 1000;
      const event = { at, name: message.event, data: message.data ?? {} };
      this.events.push(event);
      for (const listener of this.#listeners) listener(event);
    } else if (message.return !== undefined || message.error !== undefined) this.#answers.push(message);
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}
