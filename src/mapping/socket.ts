import { type Socket, createSocket } from 'node:dgram';
import { type Ip, formatIp, isIpv4, parseIp } from '../wire/addresses.js';
import type { Sender } from './actions.js';

/**
 * The UDP socket of control messages, bound to our RLOC: answers come to the port that a message came from with some
 * map-servers and to 4342 with others (RFC 9301 section 8.2), so it is one port for everything.
 */

export interface SocketOptions {
  readonly rloc: Ip;
  readonly port: number;
  readonly onDatagram: (bytes: Uint8Array, from: Sender) => void;
  /** It was opened, for the first time or again. */
  readonly onOpen: () => void;
  /** It cannot be opened, or died; it is opened again in a second. */
  readonly onError: (message: string) => void;
}

const REOPEN_MS = 1000;
/** A burst of 10,000 records is 300 kB; what the kernel gives for such a datagram is more. */
const RECEIVE_BUFFER_BYTES = 4 << 20;

export class ControlSocket {
  #socket: Socket | undefined;
  #isOpen = false;
  #reopening: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(readonly options: SocketOptions) {}

  open(): void {
    const { rloc, port, onDatagram, onOpen } = this.options;
    const socket = createSocket({ type: isIpv4(rloc) ? 'udp4' : 'udp6', reuseAddr: false });
    this.#socket = socket;
    socket.on('error', (error) => this.#failed(socket, error));
    socket.on('message', (bytes, { address, port: from }) => {
      const ip = parseIp(address);
      if (ip !== undefined) onDatagram(Uint8Array.from(bytes), { ip, port: from });
    });
    socket.bind({ address: formatIp(rloc), port }, () => {
      // The kernel may grant less.
      socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      this.#isOpen = true;
      onOpen();
    });
  }

  /** What cannot be sent is lost, as on the way: it is repeated like anything that has no answer. */
  send(bytes: Uint8Array, to: Ip, port: number): void {
    if (!this.#isOpen || isIpv4(to) !== isIpv4(this.options.rloc)) return;
    this.#socket?.send(bytes, port, formatIp(to), () => {});
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#reopening);
    const socket = this.#socket;
    this.#socket = undefined;
    this.#isOpen = false;
    if (socket !== undefined) await new Promise<void>((done) => socket.close(done));
  }

  #failed(socket: Socket, error: Error): void {
    if (this.#isStopped || socket !== this.#socket) return;
    this.#socket = undefined;
    this.#isOpen = false;
    socket.close();
    this.options.onError(`control socket: ${error.message}`);
    this.#reopening = setTimeout(() => this.open(), REOPEN_MS);
  }
}
