#!/usr/bin/env node
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { readVersion } from './system/version.js';
import { type Command, EXIT, type Terminal, Usage } from './cli/arguments/command.js';
import { ALIASES, COMMANDS } from './cli/commands.js';
import { COMMAND_NAMES, commandHelp, helpText, usageOf } from './cli/arguments/help.js';
import {
  COMMON,
  OPTIONS,
  type Option,
  type OptionName,
  type Options,
  spell,
} from './cli/arguments/options.js';
import { complete, parse } from './cli/arguments/parser.js';
import { closest } from './config/closest.js';
import { ControlClient, Refused, Unreachable } from './control/client.js';

/** marpctl: argv -> one request -> print. */

const DEFAULT_SOCKET = '/run/marpd/marpd.sock';

/** Does what `argv` says. Resolves with the exit status. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  let known = '';
  try {
    const { name: word, rest } = splitCommand(argv);
    if (word === undefined) {
      if (rest.includes('--version')) {
        terminal.out(`marpctl ${readVersion()}\n`);
        return EXIT.ok;
      }
      if (asksForHelp(rest)) {
        terminal.out(helpText());
        return EXIT.ok;
      }
      // Options that no command takes are named before the command is missed.
      await parse({ summary: '', run: async () => EXIT.ok }, rest);
      terminal.err(helpText());
      return EXIT.usage;
    }
    if (word === '__complete') {
      for (const each of await completions(rest)) terminal.out(`${each}\n`);
      return EXIT.ok;
    }
    if (word === 'help') {
      const about = splitCommand(rest).name;
      terminal.out(about === undefined ? helpText() : commandHelp(commandNamed(about)));
      return EXIT.ok;
    }
    const name = commandNamed(word);
    known = `${name} `;
    if (asksForHelp(rest)) {
      terminal.out(commandHelp(name));
      return EXIT.ok;
    }
    const command = COMMANDS[name] as Command;
    const { options, args } = await parse(command, rest).catch((error: unknown) => {
      throw error instanceof Usage && error.message.endsWith('does not apply to')
        ? new Usage(`${error.message} ${name}`)
        : error;
    });
    checkArguments(name, command, args);
    const view = {
      time: options.time ?? 'clock',
      color: wantsColor(options, terminal),
      header: options.noHeader !== true,
      wide: options.output === 'wide',
    } as const;
    return await command.run({ name, args, options, client: clientOf(options), terminal, view });
  } catch (error) {
    if (error instanceof Usage) {
      terminal.err(`marpctl: ${error.message}\nTry: marpctl ${known}--help\n`);
      return EXIT.usage;
    }
    if (!(error instanceof Unreachable) && !(error instanceof Refused)) throw error;
    terminal.err(`marpctl: ${error.message}\n`);
    if (error instanceof Unreachable) return EXIT.unreachable;
    return error.status === 400 ? EXIT.usage : EXIT.negative;
  }
}

/** The command and everything else; options may stand before it. */
function splitCommand(argv: readonly string[]): { name: string | undefined; rest: string[] } {
  const words = argv.map(withEmptyValue);
  let at = 0;
  while (at < words.length && (words[at] as string).startsWith('-'))
    at += takesValue(words[at] as string) ? 2 : 1;
  // `show hosts`, as routers have it
  const skip = words[at] === 'show' && words[at + 1]?.startsWith('-') === false ? 1 : 0;
  return { name: words[at + skip], rest: [...words.slice(0, at), ...words.slice(at + skip + 1)] };
}

/** An option whose value may be left out gets it here: the parser would take the next word. */
function withEmptyValue(word: string): string {
  const option: Option | undefined = Object.entries(OPTIONS).find(([name]) => spell(name) === word)?.[1];
  return option?.kind === 'value' && option.empty !== undefined ? `${word}=${option.empty}` : word;
}

function takesValue(word: string): boolean {
  const found = Object.entries(OPTIONS).find(
    ([name, option]: [string, Option]) => word === spell(name) || word === `-${option.short}`,
  );
  return found !== undefined && found[1].kind !== 'flag';
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words.slice(0, end < 0 ? undefined : end).some((word) => word === '-h' || word === '--help');
}

/** The command that a word means: its name, an alias, or the beginning of one name only. @throws Usage */
function commandNamed(word: string): string {
  if (Object.hasOwn(COMMANDS, word)) return word;
  const alias = Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined;
  if (alias !== undefined) return alias;
  const begun = COMMAND_NAMES.filter((name) => name.startsWith(word));
  if (begun.length === 1) return begun[0] as string;
  if (begun.length > 1) throw new Usage(`"${word}" may mean ${begun.join(' or ')}`);
  const meant = closest(word, COMMAND_NAMES);
  throw new Usage(
    `unknown command "${word}" (${meant === undefined ? `available: ${COMMAND_NAMES.join(', ')}` : `did you mean ${meant}?`})`,
  );
}

/** @throws Usage, before anything is sent */
function checkArguments(name: string, command: Command, args: readonly string[]): void {
  const known = command.args ?? [];
  const missing = known[args.length];
  if (missing !== undefined && missing.optional !== true)
    throw new Usage(`${missing.name} missing (usage: ${usageOf(name)})`);
  args.forEach((text, i) => {
    const argument = known[i] ?? (known.at(-1)?.many ? known.at(-1) : undefined);
    if (argument === undefined) throw new Usage(`unexpected "${text}" (usage: ${usageOf(name)})`);
    argument.check?.(text);
  });
}

function wantsColor({ color = 'auto' }: Options, { isTTY }: Terminal): boolean {
  if (color !== 'auto') return color === 'always';
  return isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}

/** @throws Usage */
function clientOf(options: Options, timeoutMs?: number): ControlClient {
  const { MARPD_HOST, MARPD_CERT, MARPD_KEY, MARPD_CA, MARPD_SOCKET } = process.env;
  // A socket that is named on the command line goes before a host of the environment.
  const host = options.host ?? (options.socket === undefined ? MARPD_HOST : undefined);
  if (host === undefined)
    return new ControlClient(options.socket ?? MARPD_SOCKET ?? DEFAULT_SOCKET, timeoutMs);
  if (options.socket !== undefined) throw new Usage('--host and --socket exclude each other');
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (url?.protocol !== 'https:') throw new Usage(`--host: "${host}" is not an https:// URL`);
  const files = {
    cert: options.cert ?? MARPD_CERT,
    key: options.key ?? MARPD_KEY,
    ca: options.ca ?? MARPD_CA,
  };
  for (const [name, file] of Object.entries(files))
    if (file === undefined) throw new Usage(`--host needs --${name}`);
  return new ControlClient({ url, ...(files as { cert: string; key: string; ca: string }) }, timeoutMs);
}

const COMPLETION_TIMEOUT_MS = 1000;

/** `words` as typed so far; the last one is to be completed. */
async function completions(words: readonly string[]): Promise<readonly string[]> {
  const partial = words.at(-1) ?? '';
  const { name, rest } = splitCommand(words.slice(0, -1));
  if (name === undefined) {
    const names = partial.startsWith('-') ? [...COMMON.map(spell), '--help', '--version'] : COMMAND_NAMES;
    return names.filter((each) => each.startsWith(partial));
  }
  try {
    const command = name === 'help' ? undefined : COMMANDS[commandNamed(name)];
    if (command === undefined) return COMMAND_NAMES.filter((each) => each.startsWith(partial));
    const client = clientOf(placeIn(rest), COMPLETION_TIMEOUT_MS);
    return await complete(command, [...rest, partial], client);
  } catch (error) {
    if (error instanceof Usage) return [];
    throw error;
  }
}

/** The options of where the daemon is, of a line that is not complete. */
function placeIn(words: readonly string[]): Options {
  const valueIn = (name: OptionName) => {
    const at = words.findIndex((word) => word === spell(name) || word.startsWith(`${spell(name)}=`));
    return words[at]?.includes('=')
      ? words[at].slice(spell(name).length + 1)
      : at < 0
        ? undefined
        : words[at + 1];
  };
  const [socket, host, cert, key, ca] = (['socket', 'host', 'cert', 'key', 'ca'] as const).map(valueIn);
  return { socket, host, cert, key, ca };
}

async function main(): Promise<void> {
  // `marpctl monitor | head` is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort());
  process.exitCode = await run(process.argv.slice(2), {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    signal: interrupt.signal,
    isTTY: process.stdout.isTTY === true,
    size: () => ({ rows: process.stdout.rows, columns: process.stdout.columns }),
    keys: onKey,
  });
}

/** Single keys, without Enter; Ctrl-C is one of them then. */
function onKey(listener: (key: string) => void): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdin.on('data', listener);
  return () => {
    stdin.off('data', listener);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  await main();
}
