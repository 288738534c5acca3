/** What `marpctl --help` and `marpctl COMMAND --help` print. */

const COMMANDS: Readonly<
  Record<string, { readonly usage: string; readonly summary: string; readonly more: string }>
> = {
  status: {
    usage: 'status',
    summary: 'the daemon at a glance: hosts by state, capture, kernel, alarms',
    more: '',
  },
  hosts: {
    usage: 'hosts [--state STATE] [--interface NAME] [--mac MAC] [--prefix PREFIX] [--limit N [--after IP]]',
    summary: 'all known hosts, or those that match',
    more: `States: proving (asked, not believed yet), home (recorded only, its subnet's route serves it), fresh and settled
(our route is installed), away (behind another router), remembered (gone, asked for when its link returns).

  marpctl hosts --state settled --interface tap7
  marpctl hosts --json --limit 1000 | jq -r .next
`,
  },
  host: { usage: 'host IP', summary: 'one host; status 1 when it is not known', more: '' },
  interfaces: { usage: 'interfaces', summary: 'mobility interfaces, captured or why not', more: '' },
  why: {
    usage: 'why IP',
    summary: 'why this host was (not) learned: a conclusion, and what happened',
    more: '',
  },
  monitor: {
    usage: 'monitor [IP] [--all]',
    summary: 'what happens, line by line, until Ctrl-C',
    more: `Shows changes of state, alarms and answered ARP requests; --all also evidence, installed routes and ignored frames.
With --json one JSON object a line. "lost" tells how many records this reader was too slow for.

  marpctl monitor
  marpctl monitor 10.1.1.5 --all
  marpctl monitor --json | jq 'select(.event == "alarm")'
`,
  },
  probe: { usage: 'probe IP', summary: 'ask this host now', more: '' },
  prepare: {
    usage: 'prepare --mac MAC --ip IP [--ip IP ...] --interface NAME',
    summary: 'a guest will come: its first sign of life counts as proof',
    more: `  marpctl prepare --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl prepare 52:54:00:00:00:05 10.1.1.5 tap0
`,
  },
  attach: {
    usage: 'attach [--mac MAC] [--ip IP ...] --interface NAME',
    summary: 'a guest is here: route it now, prove it afterwards',
    more: `  marpctl attach --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl attach 10.1.1.5 tap0
`,
  },
  detach: {
    usage: 'detach [--mac MAC] [--ip IP ...] --interface NAME',
    summary: 'a guest leaves: withdraw it now, ignore its last frames',
    more: `  marpctl detach --mac 52:54:00:00:00:05 --interface tap0
`,
  },
  clear: {
    usage: 'clear IP',
    summary: 'forget this host: its route, contest and freeze',
    more: '',
  },
  drops: { usage: 'drops', summary: 'ignored frames by reason, with the last one of each', more: '' },
  doctor: {
    usage: 'doctor [--config FILE]',
    summary: 'what keeps Mobile ARP from working here, and how to fix it',
    more: `Works while marpd is down, too. The configuration is that of the running daemon, else /etc/marpd/marpd.toml.
Status 1 when something is in error.
`,
  },
};

const OPTIONS = `Options:
      --json           print JSON, for programs
      --socket PATH    control socket (default: $MARPD_SOCKET or /run/marpd/marpd.sock)
      --version        print the version
  -h, --help           print this text, or that of a command

Exit status: 0 ok, 1 no such host or a negative answer, 2 usage, 3 marpd not reachable.
`;

/** The whole text, or that of one command. */
export function helpText(command?: string): string {
  const entry = command === undefined ? undefined : COMMANDS[command];
  if (entry !== undefined) {
    return `marpctl ${entry.usage}\n\n  ${entry.summary}\n\n${entry.more === '' ? '' : `${entry.more}\n`}${OPTIONS}`;
  }
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`,
  );
  return `marpctl: asks and directs marpd, the Mobile ARP router.

Usage: marpctl COMMAND [ARGUMENTS] [OPTIONS]

Commands:
${lines.join('')}
${OPTIONS}
Examples:
  marpctl status
  marpctl hosts --state settled
  marpctl why 10.1.1.5
  marpctl monitor
  marpctl attach --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl COMMAND --help
`;
}

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

export function usageOf(command: string): string {
  return COMMANDS[command]?.usage ?? command;
}
