const SOON_MS = 20;

/** Readings of what the kernel has, one at a time. */
export class ResyncScheduler {
  readonly #read: () => Promise<void>;
  readonly #onWarning: (message: string) => void;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(read: () => Promise<void>, onWarning: (message: string) => void) {
    this.#read = read;
    this.#onWarning = onWarning;
  }

  /** Resolves after a reading, never rejects: one that fails is repeated. While one runs, another follows it. */
  now(reason: string): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#running !== undefined) {
      // What changed since that one began needs another.
      this.soon(reason);
      return this.#running;
    }
    this.#running = this.#read()
      .catch((error: Error) => {
        this.#onWarning(`our routes cannot be read (${reason}): ${error.message}`);
        this.soon(reason);
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  /** Once for all who ask within SOON_MS. */
  soon(reason: string): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.now(reason);
    }, SOON_MS);
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Begins no other one. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
