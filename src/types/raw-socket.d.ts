// raw-socket 1.8.1 ships no types. Read off index.js and src/raw.cc; only what exists on Linux.

declare module 'raw-socket' {
  export const AddressFamily: { readonly IPv4: 1; readonly IPv6: 2 };

  export const Protocol: {
    readonly None: 0;
    readonly ICMP: 1;
    readonly TCP: 6;
    readonly UDP: 17;
    readonly ICMPv6: 58;
  };

  export const SocketLevel: {
    readonly SOL_SOCKET: number;
    readonly IPPROTO_IP: number;
    readonly IPPROTO_IPV6: number;
  };

  export const SocketOption: {
    readonly SO_BROADCAST: number;
    readonly SO_RCVBUF: number;
    readonly SO_RCVTIMEO: number;
    readonly SO_SNDBUF: number;
    readonly SO_SNDTIMEO: number;
    /** Its value is the interface's name in a Buffer, its length the fourth argument of setOption(). */
    readonly SO_BINDTODEVICE: number;
    readonly IP_HDRINCL: number;
    readonly IP_OPTIONS: number;
    readonly IP_TOS: number;
    readonly IP_TTL: number;
    readonly IPV6_TTL: number;
    readonly IPV6_UNICAST_HOPS: number;
    readonly IPV6_V6ONLY: number;
  };

  export interface SocketOptions {
    /** IPv4 when left out. */
    addressFamily?: 1 | 2;
    /** IP protocol number, 0 when left out. */
    protocol?: number;
    /** Bytes of the receive buffer, 4096 when left out; a longer packet is cut to it. */
    bufferSize?: number;
  }

  /**
   * One raw socket. It exists, listens to every interface and keeps the process alive from createSocket() on.
   * After close() never call send(): it would open the socket again, without the options set before.
   */
  export class Socket {
    private constructor();

    readonly buffer: Buffer;
    readonly recvPaused: boolean;
    readonly sendPaused: boolean;

    /**
     * Queues one packet. It is copied to the kernel when the socket is writable, not before send() returns: leave
     * the buffer alone until the callback.
     * @param address the destination, in text; an invalid one is reported to the callback
     * @param beforeCallback runs right before the packet goes out (set IP_TTL there)
     * @param afterCallback the kernel's refusal (`Network is unreachable`, `Operation not permitted` ...), or the
     *   number of bytes sent
     */
    send(
      buffer: Buffer,
      offset: number,
      length: number,
      address: string,
      beforeCallback: (() => void) | null,
      afterCallback: (error: Error | null, bytes: number) => void,
    ): this;
    send(
      buffer: Buffer,
      offset: number,
      length: number,
      address: string,
      afterCallback: (error: Error | null, bytes: number) => void,
    ): this;

    /** @throws Error with strerror's words */
    setOption(level: number, option: number, value: number): void;
    setOption(level: number, option: number, value: Buffer, length: number): void;

    /**
     * Fills the buffer. `length` has to be given but is not used.
     * @returns the length of the option
     */
    getOption(level: number, option: number, value: Buffer, length: number): number;

    pauseRecv(): this;
    resumeRecv(): this;
    pauseSend(): this;
    resumeSend(): this;
    close(): this;

    /**
     * A packet from `source`. `packet` is a view of the socket's one buffer, which the next packet overwrites; for
     * IPv4 it begins with the IP header, for IPv6 behind it.
     */
    on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    /** A failed receive (the socket stays open), or a failed poll (the socket closes itself right after). */
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'close', listener: () => void): this;
    once(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    once(event: 'error', listener: (error: Error) => void): this;
    once(event: 'close', listener: () => void): this;
    off(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    off(event: 'error', listener: (error: Error) => void): this;
    off(event: 'close', listener: () => void): this;
  }

  /** @throws Error `Operation not permitted` without CAP_NET_RAW */
  export function createSocket(options?: SocketOptions): Socket;

  /** Internet checksum (RFC 1071) over the parts; all but the last need an even length. */
  export function createChecksum(
    ...parts: ReadonlyArray<Buffer | { buffer: Buffer; offset: number; length: number }>
  ): number;

  /** Writes the checksum in network order at the offset. */
  export function writeChecksum(buffer: Buffer, offset: number, checksum: number): Buffer;

  export function htonl(value: number): number;
  export function htons(value: number): number;
  export function ntohl(value: number): number;
  export function ntohs(value: number): number;
}
