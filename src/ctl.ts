#!/usr/bin/env node
import { existsSync, realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { readVersion } from './cli/arguments.js';
import type { Config } from './config/config.js';
import { ControlClient, Refused, Unreachable } from './control/client.js';
import { type CommandName, EVENT_KINDS, type EventKind, isInterfaceName } from './control/requests.js';
import {
  formatDrops,
  formatHost,
  formatHosts,
  formatInterfaces,
  formatRecord,
  formatStatus,
  formatTable,
  formatWhy,
} from './cli/format.js';
import { COMMAND_NAMES, helpText, usageOf } from './cli/help.js';
import type { Finding, Running } from './doctor/checks.js';
import { type Ip, parseIp, parseMac } from './wire/addresses.js';
import { readIp as readIpv4 } from './wire/host-address.js';

/** marpctl: argv -> one request -> print. */

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Ends `monitor`. */
  readonly signal?: AbortSignal;
}

const EXIT = { ok: 0, negative: 1, usage: 2, unreachable: 3 } as const;
const DEFAULT_SOCKET = '/run/marpd/marpd.sock';
const DEFAULT_CONFIG = '/etc/marpd/marpd.toml';
const PERSONS_EVENTS: readonly EventKind[] = ['transition', 'alarm', 'answered', 'lost'];

class Usage extends Error {}

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

type Options = ReturnType<typeof parse>['values'];

/** Options beside --json, --socket, --help that a command takes. */
const OWN_OPTIONS: Readonly<Record<string, readonly (keyof Options)[]>> = {
  hosts: ['state', 'interface', 'mac', 'prefix', 'limit', 'after'],
  monitor: ['all'],
  prepare: ['mac', 'ip', 'interface'],
  attach: ['mac', 'ip', 'interface'],
  detach: ['mac', 'ip', 'interface'],
  doctor: ['config'],
};

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
}

/** Does what `argv` says; the result is the exit status. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const { values, positionals } = parse(argv);
    const [command, ...rest] = positionals;
    if (values.version) {
      terminal.out(`marpctl ${readVersion()}\n`);
      return EXIT.ok;
    }
    if (values.help || command === 'help') {
      terminal.out(helpText(command === 'help' ? rest[0] : command));
      return EXIT.ok;
    }
    if (command === undefined) throw new Usage('no command');
    if (!COMMAND_NAMES.includes(command)) {
      throw new Usage(`unknown command "${command}"; there are ${COMMAND_NAMES.join(', ')}`);
    }
    for (const option of Object.keys(values) as (keyof Options)[]) {
      if (option === 'json' || option === 'socket' || OWN_OPTIONS[command]?.includes(option)) continue;
      throw new Usage(`${command} takes no --${option}`);
    }
    const client = new ControlClient(values.socket ?? process.env.MARPD_SOCKET ?? DEFAULT_SOCKET);
    return await perform(command, rest, values, client, terminal);
  } catch (error) {
    if (error instanceof Usage) {
      terminal.err(`marpctl: ${error.message}\nTry: marpctl --help\n`);
      return EXIT.usage;
    }
    if (error instanceof Unreachable) {
      terminal.err(`marpctl: ${error.message}\n`);
      return EXIT.unreachable;
    }
    if (error instanceof Refused) {
      terminal.err(`marpctl: ${error.message}\n`);
      return error.status === 400 ? EXIT.usage : EXIT.negative;
    }
    throw error;
  }
}

async function perform(
  command: string,
  rest: readonly string[],
  options: Options,
  client: ControlClient,
  terminal: Terminal,
): Promise<number> {
  const show = <T>(value: T, format: (value: T) => string): number => {
    terminal.out(options.json ? `${JSON.stringify(value)}\n` : format(value));
    return EXIT.ok;
  };
  switch (command) {
    case 'host': {
      const text = one(command, rest);
      const host = await client.host(readIp(text));
      if (host !== undefined) return show(host, formatHost);
      terminal.err(`marpctl: ${text} is not known; ask: marpctl why ${text}\n`);
      return EXIT.negative;
    }
    case 'why':
      return show(await client.why(readIp(one(command, rest))), formatWhy);
    case 'probe':
    case 'clear':
      readIp(one(command, rest));
      return obey(command, { ip: rest[0] }, options, client, terminal);
    case 'prepare':
    case 'attach':
    case 'detach':
      return obey(command, guestOf(rest, options), options, client, terminal);
    case 'monitor':
      return monitor(rest, options, client, terminal);
  }
  none(command, rest);
  switch (command) {
    case 'status':
      return show(await client.status(), formatStatus);
    case 'interfaces':
      return show(await client.interfaces(), formatInterfaces);
    case 'drops':
      return show(await client.drops(), formatDrops);
    case 'hosts': {
      const { state, interface: place, mac, prefix, after } = options;
      const limit = options.limit === undefined ? undefined : Number(options.limit);
      const page = await client.hosts({ state, interface: place, mac, prefix, limit, after });
      return show(page, ({ hosts, total, next }) => {
        const more = next === null ? '' : `the next page: --after ${next}\n`;
        return formatHosts(hosts, total) + more;
      });
    }
    case 'doctor':
      return doctor(options, client, terminal);
  }
  throw new Error(`marpctl: the command ${command} is listed but not written`);
}

function none(command: string, rest: readonly string[]): void {
  if (rest.length > 0) throw new Usage(`unexpected "${rest[0]}": marpctl ${usageOf(command)}`);
}

function one(command: string, rest: readonly string[]): string {
  none(command, rest.slice(1));
  const [text] = rest;
  if (text === undefined) throw new Usage(`an address is missing: marpctl ${usageOf(command)}`);
  return text;
}

function readIp(text: string): Ip {
  const reading = readIpv4(text);
  if ('problem' in reading) throw new Usage(reading.problem);
  return reading.value;
}

/** Options, and arguments in any order: their form says what each of them is. */
function guestOf(
  rest: readonly string[],
  options: Options,
): { mac?: string; ip?: string[]; interface?: string } {
  const ips = [...(options.ip ?? [])];
  let { mac, interface: place } = options;
  for (const text of rest) {
    if (parseIp(text) !== undefined) {
      readIp(text);
      ips.push(text);
    } else if (parseMac(text) !== undefined && mac === undefined) mac = text;
    else if (isInterfaceName(text) && place === undefined) place = text;
    else throw new Usage(`"${text}" is no address, MAC or interface, or one too many`);
  }
  if (place === undefined) throw new Usage('--interface is missing');
  return {
    interface: place,
    ...(mac === undefined ? {} : { mac }),
    ...(ips.length === 0 ? {} : { ip: ips }),
  };
}

async function obey(
  name: CommandName,
  body: Parameters<ControlClient['command']>[1],
  options: Options,
  client: ControlClient,
  terminal: Terminal,
): Promise<number> {
  const result = await client.command(name, body);
  if (options.json) terminal.out(`${JSON.stringify(result)}\n`);
  else if (result.ok) terminal.out(`${result.message}\n`);
  else terminal.err(`marpctl: ${result.message}\n`);
  return result.ok ? EXIT.ok : EXIT.negative;
}

async function monitor(
  rest: readonly string[],
  options: Options,
  client: ControlClient,
  terminal: Terminal,
): Promise<number> {
  none('monitor', rest.slice(1));
  const ip = rest[0] === undefined ? undefined : readIp(rest[0]);
  await client.events((record, line) => terminal.out(`${options.json ? line : formatRecord(record)}\n`), {
    kinds: options.all ? EVENT_KINDS : PERSONS_EVENTS,
    ip,
    ...(terminal.signal === undefined ? {} : { signal: terminal.signal }),
  });
  if (terminal.signal?.aborted) return EXIT.ok;
  terminal.err('marpctl: marpd has stopped\n');
  return EXIT.unreachable;
}

async function doctor(options: Options, client: ControlClient, terminal: Terminal): Promise<number> {
  // Only here: the other commands start in half the time without them.
  const { ConfigError, configForInterfaces, loadConfig } = await import('./config/config.js');
  const { diagnose } = await import('./doctor/checks.js');
  const { gatherFacts } = await import('./doctor/facts.js');
  const findings: Finding[] = [];
  let silence: string | undefined;
  let running: (Running & { readonly pid: number; readonly configPath: string | null }) | undefined;
  try {
    const status = await client.status();
    running = {
      pid: status.pid,
      configPath: status.configPath,
      alarms: status.alarms,
      interfaces: await client.interfaces(),
    };
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    silence = error.message;
  }
  let config: Config | undefined;
  try {
    const path =
      options.config ?? running?.configPath ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);
    const patterns = [...new Set(running?.interfaces.map((view) => view.pattern))];
    if (running?.configPath === null && options.config === undefined) config = configForInterfaces(patterns);
    else if (path !== undefined) config = loadConfig(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const message of error.problems) {
      findings.push({
        level: 'error',
        check: 'config',
        message,
        fix: 'correct it; marpd --config FILE --check tells',
      });
    }
  }
  findings.push(...diagnose(await gatherFacts(config, running?.pid), config, running, silence));
  const healthy = findings.every((finding) => finding.level !== 'error');
  if (options.json) terminal.out(`${JSON.stringify({ ok: healthy, findings })}\n`);
  else terminal.out(formatFindings(findings));
  return healthy ? EXIT.ok : EXIT.negative;
}

function formatFindings(findings: readonly Finding[]): string {
  const marks = { ok: 'ok', warning: 'WARN', error: 'ERROR' } as const;
  const rows = findings.flatMap(({ level, check, message, fix }) => [
    [marks[level], check, message],
    ...(fix === undefined ? [] : [['', '', `fix: ${fix}`]]),
  ]);
  return formatTable(['', 'CHECK', 'FINDING'], rows);
}

async function main(): Promise<void> {
  // `marpctl monitor | head` is no error.
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
