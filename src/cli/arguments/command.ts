import type { ControlClient } from '../../control/client.js';
import type { Options } from './options.js';
import type { View } from '../table.js';

/** What a command of marpctl is, and how it shows an answer. */

export const EXIT = { ok: 0, negative: 1, usage: 2, unreachable: 3 } as const;

/** The command line is wrong. */
export class Usage extends Error {}

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Ends what runs until Ctrl-C. */
  readonly signal?: AbortSignal;
  /** Output goes to a person. */
  readonly isTTY?: boolean;
  /** Of a terminal, in characters. */
  size?(): { readonly rows: number; readonly columns: number };
  /** Calls `listener` with each key that is pressed, until the returned function is called. */
  keys?(listener: (key: string) => void): () => void;
}

export interface Invocation {
  readonly name: string;
  /** Behind the command; never more than its entry allows, and checked by it. */
  readonly args: readonly string[];
  readonly options: Options;
  readonly client: ControlClient;
  readonly terminal: Terminal;
  readonly view: View;
}

/** An argument that is no option. */
export interface Argument {
  /** As in the usage: `IP`. */
  readonly name: string;
  readonly optional?: boolean;
  /** The last one may be given several times. */
  readonly many?: boolean;
  /** @throws Usage */
  check?(text: string): void;
  /** What may be meant by `partial`. */
  propose?(client: ControlClient, partial: string): Promise<readonly string[]>;
}

export interface Command {
  readonly summary: string;
  /** More for its own help: paragraphs and examples. Lines of examples begin with two spaces. */
  readonly more?: string;
  readonly args?: readonly Argument[];
  /** Beside those that every command has. */
  readonly options?: readonly (keyof Options)[];
  /** What options mean here, where that is more than their own words say. */
  readonly briefs?: Partial<Record<keyof Options, string>>;
  /** Not listed in the help. */
  readonly hidden?: boolean;
  /** Resolves with the exit status. What is large or rarely used is imported here. */
  run(invocation: Invocation): Promise<number>;
}

/** Prints JSON, or what `format` makes of it for a person. */
export function print<T>(call: Invocation, value: T, format: (value: T, view: View) => string): number {
  const { options, terminal, view } = call;
  if (options.output === 'ndjson') {
    const rows = Array.isArray(value) ? (value as unknown[]) : [value];
    for (const row of rows) terminal.out(`${JSON.stringify(row)}\n`);
  } else if (isJson(options))
    terminal.out(`${JSON.stringify(value, null, options.pretty ? 2 : undefined)}\n`);
  else terminal.out(format(value, view));
  return EXIT.ok;
}

export function isJson({ json, pretty, output }: Options): boolean {
  return json === true || pretty === true || output === 'json' || output === 'ndjson';
}

const CLEAR_SCREEN = '\x1b[H\x1b[2J\x1b[3J';

/** Fetches and prints, with --watch again and again until Ctrl-C. */
export async function show<T>(
  call: Invocation,
  fetch: () => Promise<T>,
  format: (value: T, view: View) => string,
): Promise<number> {
  const { options, terminal } = call;
  if (options.watch === undefined) return print(call, await fetch(), format);
  while (terminal.signal?.aborted !== true) {
    const value = await fetch();
    if (terminal.isTTY === true && !isJson(options)) terminal.out(CLEAR_SCREEN);
    print(call, value, format);
    await pause(options.watch, terminal.signal);
  }
  return EXIT.ok;
}

/** Ends early when `signal` aborts. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
