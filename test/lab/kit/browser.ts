import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { waitFor } from './program.js';

/**
 * Chromium without a window, by its debugging protocol over a pipe (--remote-debugging-pipe): messages are JSON, each
 * ended by a NUL.
 */

interface Message {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
  readonly method?: string;
  readonly params?: Record<string, unknown>;
}

const FLAGS = [
  '--headless=new',
  '--remote-debugging-pipe',
  '--no-sandbox', // it runs as root
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--hide-scrollbars',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export class Browser {
  /** What pages wrote to the console, and errors that nobody caught. */
  readonly errors: string[] = [];
  readonly #process: ChildProcess;
  readonly #directory: string;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #session: string | undefined;
  #loaded = false;
  #next = 1;

  private constructor(prefix: readonly string[], width: number, height: number) {
    this.#directory = mkdtempSync(join(tmpdir(), 'marpd-browser-'));
    const [command, ...args] = [...prefix, 'chromium', ...FLAGS] as [string, ...string[]];
    const own = [`--window-size=${width},${height}`, `--user-data-dir=${this.#directory}`];
    this.#process = spawn(command, [...args, ...own], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: this.#directory, TMPDIR: this.#directory },
      detached: true,
    });
    let rest = '';
    const output = this.#process.stdio[4] as Readable;
    output.setEncoding('utf8');
    output.on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop() as string;
      for (const text of messages) this.#take(JSON.parse(text) as Message);
    });
  }

  /** `prefix` runs it somewhere else, such as in a namespace. */
  static async start(prefix: readonly string[] = [], width = 1440, height = 900): Promise<Browser> {
    const browser = new Browser(prefix, width, height);
    const { targetId } = await browser.#send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await browser.#send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = sessionId as string;
    for (const domain of ['Page', 'Runtime', 'Log']) await browser.#send(`${domain}.enable`);
    const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
    await browser.#send('Emulation.setDeviceMetricsOverride', metrics);
    return browser;
  }

  async open(url: string): Promise<void> {
    this.#loaded = false;
    await this.#send('Page.navigate', { url });
    await waitFor(() => this.#loaded, 15_000, `the page ${url}`);
  }

  /** The value of an expression in the page; a promise is waited for. */
  async evaluate<T>(expression: string): Promise<T> {
    const parameters = { expression, returnByValue: true, awaitPromise: true };
    const answer = await this.#send('Runtime.evaluate', parameters);
    const { result, exceptionDetails } = answer as { result: { value: T }; exceptionDetails?: object };
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string, timeoutMs = 15_000): Promise<void> {
    await waitFor(() => this.evaluate<boolean>(`Boolean(${expression})`), timeoutMs, expression);
  }

  /** The format is that of the name: .png or .webp. */
  async screenshot(path: string): Promise<void> {
    const format = path.endsWith('.webp') ? { format: 'webp', quality: 85 } : { format: 'png' };
    const { data } = await this.#send('Page.captureScreenshot', format);
    writeFileSync(path, Buffer.from(data as string, 'base64'));
  }

  /** Files for an `<input type="file">`. */
  async choose(selector: string, ...files: readonly string[]): Promise<void> {
    const { root } = (await this.#send('DOM.getDocument')) as { root: { nodeId: number } };
    const { nodeId } = await this.#send('DOM.querySelector', { nodeId: root.nodeId, selector });
    await this.#send('DOM.setFileInputFiles', { nodeId, files });
  }

  async stop(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#process;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      const ended = new Promise((resolve) => this.#process.once('exit', resolve));
      process.kill(-pid, 'SIGKILL');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 10 });
  }

  #send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = this.#next++;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) =>
        error === undefined ? resolve(result ?? {}) : reject(new Error(`${method}: ${error.message}`)),
      );
      (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    });
  }

  #take(message: Message): void {
    if (message.id !== undefined) {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    } else if (message.method === 'Page.loadEventFired') {
      this.#loaded = true;
    } else if (message.method === 'Runtime.exceptionThrown' || message.method === 'Log.entryAdded') {
      this.errors.push(JSON.stringify(message.params));
    }
  }
}
