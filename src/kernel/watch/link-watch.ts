import type { Child } from '../../system/child-watch.js';
import { dumpLinks } from '../ip/dump.js';
import { IpMonitor } from '../ip/monitor.js';
import type { LinkFacts } from '../ip/parse-link.js';

export interface LinkWatchOptions {
  /**
   * All interfaces, by a dump that was begun at this time of `performance.now()`. `down`: a hint that these were set down
   * since the one before, and up again if they are up now.
   */
  readonly onLinks: (links: readonly LinkFacts[], begunAt: number, down: ReadonlySet<number>) => void;
  /** A hint: this interface, its carrier or an address of it may be gone. */
  readonly onLoss: (index: number, what: 'link' | 'carrier' | 'address') => void;
  readonly onWarning: (message: string) => void;
}

/** Pause between two dumps, as a multiple of what one takes: taps come by the hundred. */
const PAUSE_RATIO = 1;
/** However little is said of it, a change is noticed after this time. */
const SLOWLY_MS = 60_000;
const RETRY_MS = [20, 100, 500, 2000];

/**
 * What interfaces and addresses there are. An `ip monitor` of its own tells that something has changed; an alias or a
 * label may make its lines say anything, so a line is a hint that costs no more than a dump, and what a link is comes
 * from JSON.
 */
export class LinkWatch {
  readonly #options: LinkWatchOptions;
  #monitor: IpMonitor | undefined;
  #reading: Promise<void> | undefined;
  /** Something changed since the last dump was begun. */
  #changed = false;
  #down = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #restart: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  readonly #slowly = setInterval(() => this.hint(), SLOWLY_MS).unref();
  /** Monitors that ended by themselves. */
  deaths = 0;

  constructor(options: LinkWatchOptions) {
    this.#options = options;
  }

  get child(): Child | undefined {
    return this.#monitor?.child;
  }

  /** Whether a change is known of which the dump is still to come. */
  get pending(): boolean {
    return this.#changed || this.#reading !== undefined;
  }

  /** Resolves when the interfaces were told once, and changes are followed. */
  async start(): Promise<void> {
    this.#monitor ??= this.#startMonitor();
    await this.#monitor.subscribed();
    await this.read();
  }

  /** A dump that begins now, or the next one if one is under way. Rejects when it fails. */
  async read(): Promise<void> {
    while (this.#reading !== undefined) await this.#reading.catch(() => undefined);
    this.#reading = this.#dump();
    try {
      await this.#reading;
    } finally {
      this.#reading = undefined;
    }
  }

  /** Something may have changed. */
  hint(): void {
    this.#changed = true;
    if (this.#reading === undefined && this.#timer === undefined) this.#readAfter(0);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#slowly);
    clearTimeout(this.#timer);
    clearTimeout(this.#restart);
    this.#monitor?.stop();
  }

  async #dump(): Promise<void> {
    const begunAt = performance.now();
    const down = this.#down;
    this.#changed = false;
    this.#down = new Set();
    const links = await dumpLinks();
    if (!this.#stopped) this.#options.onLinks(links, begunAt, down);
  }

  #readAfter(ms: number): void {
    this.#timer = setTimeout(() => {
      const begunAt = performance.now();
      this.read().then(
        () => {
          this.#failures = 0;
          this.#next(PAUSE_RATIO * (performance.now() - begunAt));
        },
        (error: Error) => {
          if (this.#stopped) return;
          if (this.#failures === 0)
            this.#options.onWarning(`the interfaces cannot be read: ${error.message}`);
          this.#changed = true;
          this.#next(this.#retryMs());
        },
      );
    }, ms);
  }

  #next(ms: number): void {
    this.#timer = undefined;
    if (this.#changed && !this.#stopped) this.#readAfter(ms);
  }

  #retryMs(): number {
    return RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] as number;
  }

  #startMonitor(): IpMonitor {
    return new IpMonitor({
      objects: ['link', 'address'],
      onLine: (line) => {
        this.#onHint(line);
        this.#changed = true;
      },
      onBatchEnd: () => this.hint(),
      onOverrun: () => this.hint(),
      onEnd: () => {
        this.deaths++;
        this.#monitor = undefined;
        this.#restart = setTimeout(() => this.#replaceMonitor(), this.#retryMs());
      },
      onWarning: this.#options.onWarning,
    });
  }

  #onHint(line: string): void {
    const { onLoss } = this.#options;
    const removed = /^Deleted (\d+): \S+ +(inet)?/.exec(line);
    if (removed !== null) return onLoss(Number(removed[1]), removed[2] === undefined ? 'link' : 'address');
    const shown = /^(\d+): \S+ <([^>]*)>/.exec(line);
    const flags = shown?.[2]?.split(',') ?? ['UP', 'LOWER_UP'];
    if (!flags.includes('LOWER_UP')) onLoss(Number(shown?.[1]), 'carrier');
    if (!flags.includes('UP')) this.#down.add(Number(shown?.[1]));
  }

  #replaceMonitor(): void {
    if (this.#monitor !== undefined) return;
    const monitor = this.#startMonitor();
    this.#monitor = monitor;
    // What happened until it is subscribed is told by a dump after that.
    monitor.subscribed().then(
      () => this.hint(),
      () => undefined, // it has ended, which onEnd reports
    );
  }
}
