#!/usr/bin/env node
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { parseProblem, readVersion } from './cli/arguments.js';
import { COMMANDS, EXIT, type Options, type Terminal, Usage } from './cli/commands.js';
import { COMMAND_NAMES, helpText, usageOf } from './cli/help.js';
import { ControlClient, Refused, Unreachable } from './control/client.js';

/** marpctl: argv -> one request -> print. */

const DEFAULT_SOCKET = '/run/marpd/marpd.sock';

const OPTIONS = {
  json: { type: 'boolean' },
  socket: { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  state: { type: 'string' },
  interface: { type: 'string', short: 'i' },
  mac: { type: 'string' },
  prefix: { type: 'string' },
  limit: { type: 'string' },
  after: { type: 'string' },
  ip: { type: 'string', multiple: true },
  all: { type: 'boolean' },
  config: { type: 'string', short: 'c' },
} as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Usage(parseProblem(error));
  }
}

/** Does what `argv` says. Resolves with the exit status. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  let known = '';
  try {
    const { values, positionals } = parse(argv);
    const { version, help, socket, ...options } = values;
    const [name, ...args] = positionals;
    if (version) {
      terminal.out(`marpctl ${readVersion()}\n`);
      return EXIT.ok;
    }
    if (help || name === 'help') {
      terminal.out(helpText(name === 'help' ? args[0] : name));
      return EXIT.ok;
    }
    if (name === undefined) throw new Usage('no command');
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) {
      throw new Usage(`unknown command "${name}" (available: ${COMMAND_NAMES.join(', ')})`);
    }
    known = `${name} `;
    for (const option of Object.keys(options) as (keyof Options)[]) {
      if (option !== 'json' && command.options?.includes(option) !== true)
        throw new Usage(`--${option} does not apply to ${name}`);
    }
    const [least, most] = command.args;
    if (args.length > most) throw new Usage(`unexpected "${args[most]}" (usage: ${usageOf(name)})`);
    if (args.length < least) throw new Usage(`address missing (usage: ${usageOf(name)})`);
    const client = new ControlClient(socket ?? process.env.MARPD_SOCKET ?? DEFAULT_SOCKET);
    return await command.run({ name, args, options, client, terminal });
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
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  await main();
}
