// cap 0.2.1 ships no types. Read off lib/Cap.js and src/binding.cc; only what exists on Linux, and no decoders
// (wire/ has its own). The module is CommonJS whose names Node cannot see: `import cap from 'cap'`, then cap.Cap.

declare module 'cap' {
  /** What libpcap calls the link; anything unknown reads `Unknown linktype <number>`. */
  export type LinkType =
    | 'NULL'
    | 'ETHERNET'
    | 'IEEE802_11_RADIO'
    | 'LINKTYPE_LINUX_SLL'
    | 'RAW'
    | `Unknown linktype ${number}`;

  export interface Address {
    addr?: string;
    netmask?: string;
    broadaddr?: string;
    dstaddr?: string;
  }

  export interface Device {
    name: string;
    description?: string;
    addresses: Address[];
    flags?: 'PCAP_IF_LOOPBACK';
  }

  /**
   * One libpcap handle: promiscuous, snap length 65,535, immediate mode, non-blocking.
   *
   * Read before use, all of it from src/binding.cc:
   * - Construct one per open. After close() the object stays `closing` for ever: a second open() on it succeeds
   *   and delivers nothing.
   * - Never let one be collected: it frees a uv_poll_t that libuv still has in its list. Keep every object that
   *   was ever opened, closed ones and failed ones too, reachable until the process ends.
   * - After open() threw, do not call close(): its poll handle was never initialised.
   * - There is no event for trouble. With NDEBUG a handle whose interface went down is silent for ever.
   */
  export interface Cap {
    /**
     * Opens the device and starts to deliver.
     * @param filter BPF expression, '' for all frames
     * @param bufferSize bytes of the kernel's ring
     * @param buffer every frame is copied to its start before 'packet' is emitted; longer ones are cut to its
     *   length. cap holds no reference to it: keep it reachable as long as the object.
     * @throws Error with libpcap's words (`vanished: No such device exists`, `... Operation not permitted`), a
     *   positive warning of pcap_activate included
     */
    open(device: string, filter: string, bufferSize: number, buffer: Buffer): LinkType;

    /**
     * Injects one frame as it is, synchronously.
     * @param length bytes of frame to send, all of it when left out
     * @throws Error `send: Network is down`, `send: No such device or address`, `send: Message too long` ...
     */
    send(frame: Buffer, length?: number): void;

    /** @returns whether the handle was open. Allowed from within a 'packet' listener. */
    close(): boolean;

    /**
     * One frame is in the buffer given to open(), which the next frame overwrites: copy before returning. cap
     * does not return to the event loop while frames keep coming.
     * @param length bytes captured
     * @param truncated whether the buffer was too short for the frame
     */
    on(event: 'packet', listener: (length: number, truncated: boolean) => void): this;
    once(event: 'packet', listener: (length: number, truncated: boolean) => void): this;
    off(event: 'packet', listener: (length: number, truncated: boolean) => void): this;
    removeAllListeners(event?: 'packet'): this;
  }

  const cap: {
    readonly Cap: {
      new (): Cap;
      /** @returns the name of the first device that has the address (any address when left out) */
      findDevice(address?: string): string | undefined;
      deviceList(): Device[];
    };
    findDevice(address?: string): string | undefined;
    deviceList(): Device[];
  };

  export default cap;
}
