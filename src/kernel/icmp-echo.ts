import * as raw from 'raw-socket';
import { type Ip, type Ipv4, formatIp, isIpv4, readIpv4 } from '../wire/addresses.js';

const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const ICMP_HEADER_BYTES = 8;
/** A reply after this is not worth a word, ms. */
const PATIENCE_MS = 2000;
const MAX_WAITING = 10_000;

export interface EchoOptions {
  readonly onReply: (ip: Ip, rttMs: number) => void;
  readonly onWarning: (message: string) => void;
}

interface Question {
  readonly ip: Ipv4;
  readonly sentAt: number;
}

/** ICMP echo (RFC 792) bound to an interface, so that the answer is one of the host behind that interface. */
export class IcmpEcho {
  readonly #options: EchoOptions;
  readonly #identifier = process.pid & 0xffff;
  readonly #sockets = new Map<string, raw.Socket>();
  /** By sequence number, oldest first. */
  readonly #waiting = new Map<number, Question>();
  #sequence = 0;
  readonly #warned = new Set<string>();

  constructor(options: EchoOptions) {
    this.#options = options;
  }

  /** Asks once. Without an answer nothing happens. IPv6 is not asked. */
  send(ip: Ip, dev: string): void {
    if (!isIpv4(ip)) return;
    const socket = this.#socket(dev);
    if (socket === undefined) return;
    this.#expire();
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & 0xffff;
    const packet = Buffer.alloc(ICMP_HEADER_BYTES);
    packet[0] = ECHO_REQUEST;
    packet.writeUInt16BE(this.#identifier, 4);
    packet.writeUInt16BE(sequence, 6);
    raw.writeChecksum(packet, 2, raw.createChecksum(packet));
    this.#waiting.delete(sequence);
    this.#waiting.set(sequence, { ip, sentAt: performance.now() });
    socket.send(packet, 0, packet.length, formatIp(ip), (error) => {
      if (error === null) return;
      this.#waiting.delete(sequence);
      this.#warn(`send ${error.message}`, `ICMP echo on ${dev}: ${error.message}`);
    });
  }

  /** The interface is gone, or has become another one. */
  forget(dev: string): void {
    const socket = this.#sockets.get(dev);
    this.#sockets.delete(dev);
    socket?.close();
  }

  stop(): void {
    for (const dev of [...this.#sockets.keys()]) this.forget(dev);
  }

  #socket(dev: string): raw.Socket | undefined {
    const known = this.#sockets.get(dev);
    if (known !== undefined) return known;
    try {
      const socket = raw.createSocket({ protocol: raw.Protocol.ICMP, bufferSize: 2048 });
      const name = Buffer.from(`${dev}\0`, 'latin1');
      try {
        socket.setOption(raw.SocketLevel.SOL_SOCKET, raw.SocketOption.SO_BINDTODEVICE, name, name.length);
      } catch (error) {
        socket.close();
        throw error;
      }
      socket.on('message', (packet, source) => this.#hear(packet, source));
      // A failed receive (interface down); the socket stays, or closes itself and is made anew by the next question.
      socket.on('error', (error) => this.#warn(error.message, `ICMP echo on ${dev}: ${error.message}`));
      socket.on('close', () => {
        if (this.#sockets.get(dev) === socket) this.#sockets.delete(dev);
      });
      this.#sockets.set(dev, socket);
      return socket;
    } catch (error) {
      const message = (error as Error).message;
      const hint = /not permitted|denied/i.test(message) ? '; marpd needs CAP_NET_RAW' : '';
      this.#warn(`open ${message}`, `ICMP echo cannot be used on ${dev}: ${message}${hint}`);
      return undefined;
    }
  }

  #hear(packet: Buffer, source: string): void {
    const header = ((packet[0] ?? 0) & 15) * 4;
    if (packet.length < header + ICMP_HEADER_BYTES || packet[header] !== ECHO_REPLY) return;
    if (packet.readUInt16BE(header + 4) !== this.#identifier) return;
    const sequence = packet.readUInt16BE(header + 6);
    const question = this.#waiting.get(sequence);
    if (question === undefined || readIpv4(packet, 12) !== question.ip) return;
    if (source !== formatIp(question.ip)) return;
    this.#waiting.delete(sequence);
    this.#options.onReply(question.ip, performance.now() - question.sentAt);
  }

  #expire(): void {
    const oldest = performance.now() - PATIENCE_MS;
    for (const [sequence, { sentAt }] of this.#waiting) {
      if (sentAt > oldest && this.#waiting.size < MAX_WAITING) return;
      this.#waiting.delete(sequence);
    }
  }

  /** Each kind of trouble once: it would repeat with every host. */
  #warn(kind: string, message: string): void {
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    this.#options.onWarning(message);
  }
}
