import { resolve } from 'node:path';
import type { ControlClient } from '../control/client.js';
import { EVENT_KINDS, type EventKind } from '../control/records.js';
import type { Command as ApiCommand } from '../mobility/commands.js';
import { ROLE_KINDS } from '../mobility/events.js';
import { parseIp, parseMac } from '../wire/addresses.js';
import { readHostPrefix, readIp } from '../wire/host-address.js';
import {
  type Argument,
  type Command,
  EXIT,
  type Invocation,
  Usage,
  isJson,
  print,
  show,
} from './arguments/command.js';
import { formatAlarms, formatFindings, formatInterfaces, formatRecord } from './format.js';
import { formatMappings, formatServers } from './format-mapping.js';
import {
  type OptionName,
  checked,
  proposeHosts,
  proposeInterfaces,
  proposeMacs,
} from './arguments/options.js';
import { addressOf, drops, host, hostFilterOf, hosts, status, targetOf, wait, why } from './queries.js';

/** Every command of marpctl. What a command needs that others do not is imported when it runs. */

const IP: Argument = { name: 'IP', check: checked(readIp), propose: proposeHosts };
const ANY_OF_A_HOST = async (client: ControlClient, partial: string) => [
  ...(await proposeHosts(client, partial).catch(() => [])),
  ...(await proposeInterfaces(client)),
];
const WHAT: Argument = { name: 'IP|MAC|INTERFACE', check: targetOf, propose: ANY_OF_A_HOST };
const GUEST = {
  args: [
    {
      name: 'MAC|IP|INTERFACE',
      optional: true,
      many: true,
      propose: async (client: ControlClient, partial: string) => [
        ...(await ANY_OF_A_HOST(client, partial)),
        ...(await proposeMacs(client)),
      ],
    },
  ],
  options: ['mac', 'ip', 'interface'],
} as const satisfies Partial<Command>;
const TABLE = ['watch', 'noHeader'] as const satisfies readonly OptionName[];
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];
const DEFAULT_EVENTS: readonly EventKind[] = ['transition', 'alarm', 'role', 'answered', 'lost'];

export const COMMANDS: Readonly<Record<string, Command>> = {
  status: {
    summary: 'overview: hosts by state, capture, kernel, alarms',
    more: `  marpctl status --wait          for scripts and units: wait until marpd answers
`,
    options: ['watch', 'wait'],
    run: status,
  },
  hosts: {
    summary: 'list all known hosts, or those that match',
    more: `States: proving (probed, not confirmed yet), home (recorded only: the route of its subnet serves it), fresh and settled
(our host route is installed), beneath (here, and left to the active router of this LAN), away (behind another router),
remembered (gone; asked again more and more rarely, and when its link returns).

  marpctl hosts lan1
  marpctl hosts 10.1.1.0/24 --state fresh,settled --sort since
  marpctl hosts --by-mac 2001:db8:1::5      every address of the machine that has this one
  marpctl hosts --json --limit 1000 | jq -r .next
`,
    args: [{ name: 'PREFIX|IP|MAC|INTERFACE', optional: true, check: hostFilterOf, propose: ANY_OF_A_HOST }],
    options: ['state', 'interface', 'mac', 'prefix', 'limit', 'after', 'sort', 'byMac', ...TABLE],
    run: hosts,
  },
  host: {
    summary: 'show one host; exit status 1 if it is not known',
    args: [IP],
    run: host,
  },
  interfaces: {
    summary: 'list the mobility interfaces and whether they are captured',
    options: TABLE,
    run: (call) => show(call, () => call.client.interfaces(), formatInterfaces),
  },
  mappings: {
    summary: 'list where the hosts and home prefixes of other routers are, by the mapping system',
    more: `For a router with [mapping]; exit status 1 on others. States: published (a map-server has said it), stale (the map-server
was away since, and has not repeated it yet; packets follow it all the same).
`,
    options: TABLE,
    run: (call) => show(call, async () => (await call.client.mapping()).mappings, formatMappings),
  },
  servers: {
    summary: 'list the map-servers, whether they answer, and our registrations there',
    more: `For a router with [mapping]; exit status 1 on others. States of a map-server: up, silent (no answer to three requests),
wrong-key (it signs with another key than ours). States of a registration: unsent (a claim of an earlier run, which waits a
moment), asking (until the map-server answers), held, refused (the key may not register it), lost (another router has
registered it since), withdrawing.
`,
    options: TABLE,
    run: (call) =>
      show(
        call,
        async () => {
          const { mappings: _mappings, ...rest } = await call.client.mapping();
          return rest;
        },
        formatServers,
      ),
  },
  why: {
    summary: 'explain why a host was or was not learned, with its recent history',
    more: `The times are those of this router's clock, as tcpdump prints them. For an interface or a MAC: one line per host.

  marpctl why 10.1.1.5 --since 5m
  marpctl why lan1
`,
    args: [WHAT],
    options: ['since', ...TABLE],
    run: why,
  },
  alarms: {
    summary: 'list the alarms, with what each means and what to do',
    options: TABLE,
    run: (call) => show(call, () => call.client.alarms(), formatAlarms),
  },
  drops: {
    summary: 'count ignored frames by reason, with the last one of each',
    more: `For an interface: only what was ignored on it. For an IP or a MAC: the reasons whose last frame was its own.
With --watch the difference since its start is printed too.

  marpctl drops lan1 --since 1m
`,
    args: [{ ...WHAT, name: 'INTERFACE|MAC|IP', optional: true }],
    options: ['since', ...TABLE],
    run: drops,
  },
  monitor: {
    summary: 'print events as they happen, until Ctrl-C',
    more: `Shows state changes, alarms, changes of role and answered requests for others; --all adds evidence, installed routes and ignored frames.
--json prints one JSON object per line. "lost" counts the records that were dropped because output was too slow.

  marpctl monitor
  marpctl monitor 10.1.1.5 --all
  marpctl monitor --json | jq 'select(.event == "alarm")'
`,
    args: [{ ...IP, optional: true }],
    options: ['all'],
    run: monitor,
  },
  top: {
    summary: 'watch this router on one screen: hosts, interfaces, rates, the last changes',
    more: `q or Ctrl-C ends it. --watch=TIME draws it at other intervals than every second.
`,
    options: ['watch'],
    run: async (call) => (await import('./top.js')).top(call),
  },
  ui: {
    summary: 'serve a page that shows routers, hosts and moves, for a browser on this machine',
    more: `Prints the address to open; it contains a token, without which nothing is shown. The page is served on 127.0.0.1 only
and reads only. Without a name: the daemon of this machine.

  marpctl ui
  marpctl ui r1=/run/marpd/marpd.sock r2=/tmp/r2.sock
  ssh -N -L /tmp/r2.sock:/run/marpd/marpd.sock r2          another router, by ssh
  marpctl ui --replay story.json                           a recorded file, without a router
`,
    args: [{ name: 'NAME=SOCKET', optional: true, many: true, check: routerArgument }],
    options: ['port', 'replay'],
    run: async (call) => (await import('./ui.js')).ui(call),
  },
  explain: {
    summary: 'tell what marpd sees and decides in captures, frame by frame, offline',
    more: `Reads pcap and pcapng: files of tcpdump, dumpcap and Wireshark, and those of marpctl capture, which are replayed
exactly (exit status 1 if a decision differs). It needs no root and no running marpd. Give one file per LAN.

  marpctl explain lan0.pcap lan1.pcap --config marpd.toml
  marpctl explain lan0=a.pcap --link lan0,02:00:00:00:00:01,10.1.1.1/24 -w out.pcapng
  marpctl explain lan0.pcap --assume-alive     what would it do on a LAN without marpd

Without --link the router is taken to be the station of each LAN that probes hosts and answers for their gateway. What
is assumed is printed first. Better name each link: its MAC is in ip -br link, its addresses in ip -br addr.
`,
    args: [{ name: '[NAME=]FILE', many: true }],
    options: ['config', 'link', 'routes', 'assumeAlive', 'write'],
    run: async (call) => (await import('./explain.js')).explainFiles(call),
  },
  capture: {
    summary: 'show frames and decisions as they happen, or write them to a pcapng file',
    more: `Everything that marpd is given and decides, until Ctrl-C or for --duration. marpctl explain replays the file.

  marpctl capture
  marpctl capture --duration 1m -w story.pcapng
  marpctl capture -w - | tshark -r - -T fields -e frame.interface_name -e _ws.col.Info -e frame.comment
  ssh root@router marpctl capture -w - | wireshark -k -i -
`,
    options: ['write', 'duration', 'timeout'],
    briefs: { timeout: 'give up when marpd does not answer within TIME (default: 15s)' },
    run: async (call) => (await import('./explain.js')).capture(call),
  },
  wait: {
    summary: 'wait until a host is in a state; exit status 1 if it is not in time',
    more: `Without --state: until it is here (home, fresh, settled or beneath).

  marpctl wait 10.1.1.5 --state settled --timeout 10s
`,
    args: [IP],
    options: ['state', 'timeout'],
    run: wait,
  },
  probe: {
    summary: 'probe a host now',
    args: [IP],
    run: (call) => sendCommand(call, 'probe', { ip: call.args[0] }),
  },
  discover: {
    summary: 'look for silent hosts of a subnet on its LANs',
    more: `Each address that nobody is known to have is asked for by broadcast on the LANs of this router that have it in their
own subnet, 100 a second and twice. Who answers is proven and learned like any other host.

  marpctl discover 10.1.1.0/24
`,
    args: [{ name: 'PREFIX', check: checked(readHostPrefix) }],
    run: (call) => sendCommand(call, 'discover', { prefix: call.args[0] }),
  },
  role: {
    summary: 'tell marpd that it is the active router of a LAN, or a standby',
    more: `For an [[interface]] with role = "told": a notify script of a redundancy protocol that marpd cannot follow by the gateway
address calls it, at the start of marpd and at each change. marpctl status shows the roles.

  marpctl role lan0 active
`,
    args: [
      { name: 'INTERFACE', propose: async (client) => proposeInterfaces(client) },
      {
        name: ROLE_KINDS.join('|'),
        check: (text) => {
          if (!(ROLE_KINDS as readonly string[]).includes(text))
            throw new Usage(`"${text}" is not one of ${ROLE_KINDS.join(', ')}`);
        },
        propose: async () => [...ROLE_KINDS],
      },
    ],
    run: (call) => sendCommand(call, 'role', { interface: call.args[0], state: call.args[1] }),
  },
  prepare: {
    summary: 'expect a guest: its first frame is accepted as proof',
    more: `  marpctl prepare --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl prepare 52:54:00:00:00:05 10.1.1.5 2001:db8:1::5 tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'prepare', guestOf(call)),
  },
  attach: {
    summary: 'a guest is here: route it now, verify it afterwards',
    more: `  marpctl attach --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl attach 10.1.1.5 2001:db8:1::5 tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'attach', guestOf(call)),
  },
  detach: {
    summary: 'a guest is leaving: withdraw its route now, ignore its last frames',
    more: `  marpctl detach --mac 52:54:00:00:00:05 --interface tap0
`,
    ...GUEST,
    run: (call) => sendCommand(call, 'detach', guestOf(call)),
  },
  clear: {
    summary: "withdraw a host's route, forget its contests and freeze, and probe it again",
    args: [IP],
    run: (call) => sendCommand(call, 'clear', { ip: call.args[0] }),
  },
  reload: {
    summary: 'read the configuration again, and say whether it was accepted',
    more: `A bad file is refused, with its errors, and the configuration before stays in force (exit status 1).
`,
    run: (call) => sendCommand(call, 'reload', {}),
  },
  config: {
    summary: 'print the configuration in force, as a file',
    options: ['defaults'],
    run: async (call) => {
      const { effectiveConfig, formatConfig } = await import('./config.js');
      return print(call, effectiveConfig(await call.client.config(), call.options.defaults), formatConfig);
    },
  },
  'log-level': {
    summary: 'set the level of the log until the next reload or restart',
    args: [
      {
        name: LEVELS.join('|'),
        check: (text) => {
          if (!LEVELS.includes(text)) throw new Usage(`"${text}" is not one of ${LEVELS.join(', ')}`);
        },
        propose: async () => LEVELS,
      },
    ],
    run: (call) => sendCommand(call, 'log-level', { level: call.args[0] }),
  },
  report: {
    summary: 'write one archive for a bug report: state, routes, doctor, configuration, recordings',
    more: `It holds addresses and MACs, and no keys. Run it where marpd runs, as root. -w names the file (default: a new
marpd-report-*.tar.gz in this folder).
`,
    options: ['write'],
    run: async (call) => (await import('./report.js')).report(call),
  },
  doctor: {
    summary: 'check this machine for what prevents Mobile ARP, with the fix for each finding',
    more: `Also works while marpd is down. Uses the configuration of the running daemon, otherwise /etc/marpd/marpd.toml.
Exit status 1 if there is an error.
`,
    options: ['config'],
    run: async (call) => {
      if (call.options.host !== undefined)
        throw new Usage('doctor looks at the machine that it runs on: call it there');
      const { examine } = await import('./doctor.js');
      const path = call.options.config;
      const findings = await examine(call.client, path === undefined ? undefined : resolve(path));
      const ok = findings.every((finding) => finding.level !== 'error');
      print(call, { ok, findings }, formatFindings);
      return ok ? EXIT.ok : EXIT.negative;
    },
  },
};

/** Other words for a command. */
export const ALIASES: Readonly<Record<string, string>> = { ho: 'hosts' };

/** @throws Usage */
function routerArgument(text: string): void {
  if (!/^[^=/]+=./.test(text))
    throw new Usage(`"${text}" is not NAME=SOCKET (such as r1=/run/marpd/marpd.sock)`);
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
  name: ApiCommand['name'] | 'reload' | 'log-level',
  body: Parameters<ControlClient['command']>[1],
): Promise<number> {
  const result = await client.command(name, body);
  if (isJson(options)) terminal.out(`${JSON.stringify(result)}\n`);
  else if (result.ok) terminal.out(`${result.message}\n`);
  else terminal.err(`marpctl: ${result.message}\n`);
  return result.ok ? EXIT.ok : EXIT.negative;
}

async function monitor({ args, options, client, terminal, view }: Invocation): Promise<number> {
  const json = isJson(options);
  await client.events((record, line) => terminal.out(`${json ? line : formatRecord(record, view)}\n`), {
    kinds: options.all ? EVENT_KINDS : DEFAULT_EVENTS,
    ip: args[0] === undefined ? undefined : addressOf(args[0]),
    ...(terminal.signal === undefined ? {} : { signal: terminal.signal }),
  });
  if (terminal.signal?.aborted) return EXIT.ok;
  terminal.err('marpctl: marpd has stopped\n');
  return EXIT.unreachable;
}
