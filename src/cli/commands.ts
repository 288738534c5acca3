import { resolve } from 'node:path';
import type { ControlClient } from '../control/client.js';
import { EVENT_KINDS, type EventKind } from '../control/records.js';
import type { Command as ApiCommand } from '../mobility/events.js';
import { type Ip, parseIp, parseMac } from '../wire/addresses.js';
import { readIp } from '../wire/host-address.js';
import {
  formatDrops,
  formatFindings,
  formatHost,
  formatHosts,
  formatInterfaces,
  formatRecord,
  formatStatus,
  formatWhy,
} from './format.js';

export const EXIT = { ok: 0, negative: 1, usage: 2, unreachable: 3 } as const;

/** The command line is wrong. */
export class Usage extends Error {}

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Ends `monitor`. */
  readonly signal?: AbortSignal;
}

/** Values of the options of all commands; which of them a command takes is in its entry. */
export interface Options {
  readonly json?: boolean | undefined;
  readonly state?: string | undefined;
  readonly interface?: string | undefined;
  readonly mac?: string | undefined;
  readonly prefix?: string | undefined;
  readonly limit?: string | undefined;
  readonly after?: string | undefined;
  readonly ip?: readonly string[] | undefined;
  readonly all?: boolean | undefined;
  readonly config?: string | undefined;
}

export interface Invocation {
  readonly name: string;
  /** Behind the command; never more than its entry allows. */
  readonly args: readonly string[];
  readonly options: Options;
  readonly client: ControlClient;
  readonly terminal: Terminal;
}

export interface Command {
  /** What follows the name. */
  readonly usage: string;
  readonly summary: string;
  readonly more?: string;
  /** Beside --json. */
  readonly options?: readonly (keyof Options)[];
  /** Number of arguments that are not options: at least, at most. */
  readonly args: readonly [number, number];
  /** Resolves with the exit status. */
  run(invocation: Invocation): Promise<number>;
}

const NO_ARGS = [0, 0] as const;
const ONE_ADDRESS = [1, 1] as const;
const GUEST = { args: [0, Number.POSITIVE_INFINITY], options: ['mac', 'ip', 'interface'] } as const;
const DEFAULT_EVENTS: readonly EventKind[] = ['transition', 'alarm', 'answered', 'lost'];

export const COMMANDS: Readonly<Record<string, Command>> = {
  status: {
    usage: '',
    summary: 'overview: hosts by state, capture, kernel, alarms',
    args: NO_ARGS,
    run: async (call) => show(call, await call.client.status(), formatStatus),
  },
  hosts: {
    usage: '[--state STATE] [--interface NAME] [--mac MAC] [--prefix PREFIX] [--limit N [--after IP]]',
    summary: 'list all known hosts, or those that match',
    more: `States: proving (probed, not confirmed yet), home (recorded only: the route of its subnet serves it), fresh and settled
(our host route is installed), away (behind another router), remembered (gone; probed when its link returns).

  marpctl hosts --state settled --interface tap7
  marpctl hosts --json --limit 1000 | jq -r .next
`,
    options: ['state', 'interface', 'mac', 'prefix', 'limit', 'after'],
    args: NO_ARGS,
    run: async (call) => {
      const { state, interface: place, mac, prefix, after } = call.options;
      const limit = call.options.limit === undefined ? undefined : Number(call.options.limit);
      const page = await call.client.hosts({ state, interface: place, mac, prefix, limit, after });
      return show(call, page, ({ hosts, total, next }) => {
        const more = next === null ? '' : `next page: --after ${next}\n`;
        return formatHosts(hosts, total) + more;
      });
    },
  },
  host: {
    usage: 'IP',
    summary: 'show one host; exit status 1 if it is not known',
    args: ONE_ADDRESS,
    run: async (call) => {
      const [text] = call.args as [string];
      const host = await call.client.host(addressOf(text));
      if (host !== undefined) return show(call, host, formatHost);
      call.terminal.err(`marpctl: no such host: ${text} (try: marpctl why ${text})\n`);
      return EXIT.negative;
    },
  },
  interfaces: {
    usage: '',
    summary: 'list the mobility interfaces and whether they are captured',
    args: NO_ARGS,
    run: async (call) => show(call, await call.client.interfaces(), formatInterfaces),
  },
  why: {
    usage: 'IP',
    summary: 'explain why a host was or was not learned, with its recent history',
    args: ONE_ADDRESS,
    run: async (call) => {
      const [text] = call.args as [string];
      return show(call, await call.client.why(addressOf(text)), formatWhy);
    },
  },
  monitor: {
    usage: '[IP] [--all]',
    summary: 'print events as they happen, until Ctrl-C',
    more: `Shows state changes, alarms and answered ARP requests; --all adds evidence, installed routes and ignored frames.
--json prints one JSON object per line. "lost" counts the records that were dropped because output was too slow.

  marpctl monitor
  marpctl monitor 10.1.1.5 --all
  marpctl monitor --json | jq 'select(.event == "alarm")'
`,
    options: ['all'],
    args: [0, 1],
    run: monitor,
  },
  probe: {
    usage: 'IP',
    summary: 'probe a host now',
    args: ONE_ADDRESS,
    run: (call) => sendCommand(call, 'probe', { ip: checkedAddress(call.args) }),
  },
  prepare: {
    usage: '--mac MAC --ip IP [--ip IP ...] --interface NAME',
    summary: 'expect a guest: its first frame is accepted as proof',
    more: `  marpctl prepare --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl prepare 52:54:00:00:00:05 10.1.1.5 tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'prepare', guestOf(call)),
  },
  attach: {
    usage: '[--mac MAC] [--ip IP ...] --interface NAME',
    summary: 'a guest is here: route it now, verify it afterwards',
    more: `  marpctl attach --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl attach 10.1.1.5 tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'attach', guestOf(call)),
  },
  detach: {
    usage: '[--mac MAC] [--ip IP ...] --interface NAME',
    summary: 'a guest is leaving: withdraw its route now, ignore its last frames',
    more: `  marpctl detach --mac 52:54:00:00:00:05 --interface tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'detach', guestOf(call)),
  },
  clear: {
    usage: 'IP',
    summary: "withdraw a host's route, forget its contests and freeze, and probe it again",
    args: ONE_ADDRESS,
    run: (call) => sendCommand(call, 'clear', { ip: checkedAddress(call.args) }),
  },
  drops: {
    usage: '',
    summary: 'count ignored frames by reason, with the last one of each',
    args: NO_ARGS,
    run: async (call) => show(call, await call.client.drops(), formatDrops),
  },
  doctor: {
    usage: '[--config FILE]',
    summary: 'check this machine for what prevents Mobile ARP, with the fix for each finding',
    more: `Also works while marpd is down. Uses the configuration of the running daemon, otherwise /etc/marpd/marpd.toml.
Exit status 1 if there is an error.
`,
    options: ['config'],
    args: NO_ARGS,
    run: async (call) => {
      // Loaded on demand: the other commands start in half the time without it.
      const { examine } = await import('./doctor.js');
      const findings = await examine(
        call.client,
        call.options.config === undefined ? undefined : resolve(call.options.config),
      );
      const ok = findings.every((finding) => finding.level !== 'error');
      show(call, { ok, findings }, formatFindings);
      return ok ? EXIT.ok : EXIT.negative;
    },
  },
};

function show<T>({ options, terminal }: Invocation, value: T, format: (value: T) => string): number {
  terminal.out(options.json ? `${JSON.stringify(value)}\n` : format(value));
  return EXIT.ok;
}

/** @throws Usage */
function addressOf(text: string): Ip {
  const reading = readIp(text);
  if ('problem' in reading) throw new Usage(reading.problem);
  return reading.value;
}

function checkedAddress([text]: readonly string[]): string {
  addressOf(text as string);
  return text as string;
}

/** Options, and arguments in any order: their form tells addresses, MACs and interface names apart. @throws Usage */
function guestOf({ args, options }: Invocation) {
  const ip = [...(options.ip ?? [])];
  let { mac, interface: name } = options;
  for (const text of args) {
    if (parseIp(text) !== undefined) ip.push(text);
    else if (parseMac(text) !== undefined && mac === undefined) mac = text;
    else if (parseMac(text) === undefined && name === undefined) name = text;
    else
      throw new Usage(
        `unexpected "${text}": there is a ${name === undefined ? 'MAC' : 'MAC or interface'} already`,
      );
  }
  if (name === undefined) throw new Usage('--interface is missing');
  for (const text of ip) addressOf(text);
  return { mac, ip: ip.length === 0 ? undefined : ip, interface: name };
}

async function sendCommand(
  { client, options, terminal }: Invocation,
  name: ApiCommand['name'],
  body: Parameters<ControlClient['command']>[1],
): Promise<number> {
  const result = await client.command(name, body);
  if (options.json) terminal.out(`${JSON.stringify(result)}\n`);
  else if (result.ok) terminal.out(`${result.message}\n`);
  else terminal.err(`marpctl: ${result.message}\n`);
  return result.ok ? EXIT.ok : EXIT.negative;
}

async function monitor({ args, options, client, terminal }: Invocation): Promise<number> {
  const ip = args[0] === undefined ? undefined : addressOf(args[0]);
  await client.events((record, line) => terminal.out(`${options.json ? line : formatRecord(record)}\n`), {
    kinds: options.all ? EVENT_KINDS : DEFAULT_EVENTS,
    ip,
    ...(terminal.signal === undefined ? {} : { signal: terminal.signal }),
  });
  if (terminal.signal?.aborted) return EXIT.ok;
  terminal.err('marpctl: marpd has stopped\n');
  return EXIT.unreachable;
}
