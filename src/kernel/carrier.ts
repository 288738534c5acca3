import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { IfIndex, Link } from '../mobility/events.js';

/**
 * Detects a lost carrier at once. The kernel notifies netlink up to a second late (linkwatch runs once a second
 * for all namespaces together, measured: 250 to 750 ms), but the file `carrier` is current; since Linux 6.8 reading
 * it even makes the kernel send the delayed event. A file kept open costs 3 us to read again.
 */
export class CarrierPoll {
  readonly #files = new Map<IfIndex, { readonly fd: number; readonly name: string }>();
  readonly #onCarrier: (index: IfIndex, carrier: boolean) => void;
  readonly #buffer = Buffer.alloc(4);
  #timer: NodeJS.Timeout | undefined;

  constructor(onCarrier: (index: IfIndex, carrier: boolean) => void) {
    this.#onCarrier = onCarrier;
  }

  start(intervalMs: number, links: () => Iterable<Link>): void {
    this.#timer = setInterval(() => {
      for (const link of links()) this.#look(link);
    }, intervalMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const index of [...this.#files.keys()]) this.forget(index);
  }

  /** The interface is gone. */
  forget(index: IfIndex): void {
    const file = this.#files.get(index);
    if (file !== undefined) closeSync(file.fd);
    this.#files.delete(index);
  }

  #look(link: Link): void {
    if (!link.up) return; // the file refuses to be read then
    try {
      const length = readSync(this.#open(link), this.#buffer, 0, 4, 0);
      const carrier = length > 0 && this.#buffer[0] === 0x31;
      if (carrier !== link.carrier) this.#onCarrier(link.index, carrier);
    } catch {
      this.forget(link.index); // down or gone meanwhile; or renamed, or no sysfs here
    }
  }

  #open(link: Link): number {
    const known = this.#files.get(link.index);
    if (known?.name === link.name) return known.fd;
    this.forget(link.index);
    const directory = `/sys/class/net/${link.name}`;
    // A sysfs mounted for another network namespace would show another interface of that name.
    if (Number(readFileSync(`${directory}/ifindex`, 'latin1')) !== link.index)
      throw new Error('another namespace');
    const fd = openSync(`${directory}/carrier`, 'r');
    this.#files.set(link.index, { fd, name: link.name });
    return fd;
  }
}
