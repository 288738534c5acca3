import { COMMANDS } from './commands.js';

/** What `marpctl --help` and `marpctl COMMAND --help` print. */

const OPTIONS = `Options:
      --json           print JSON, for programs
      --socket PATH    control socket (default: $MARPD_SOCKET or /run/marpd/marpd.sock)
      --version        print the version
  -h, --help           print this text, or that of a command

Exit status: 0 success, 1 no such host or command refused, 2 usage error, 3 marpd not reachable.
`;

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/** `marpctl host IP` */
export function usageOf(name: string): string {
  return `marpctl ${name} ${COMMANDS[name]?.usage ?? ''}`.trimEnd();
}

/** The whole text, or that of one command. */
export function helpText(name?: string): string {
  const command = name === undefined ? undefined : COMMANDS[name];
  if (name !== undefined && command !== undefined) {
    const more = command.more === undefined ? '' : `${command.more}\n`;
    return `${usageOf(name)}\n\n  ${command.summary}\n\n${more}${OPTIONS}`;
  }
  const width = Math.max(...COMMAND_NAMES.map((each) => each.length));
  const lines = Object.entries(COMMANDS).map(
    ([each, { summary }]) => `  ${each.padEnd(width)}  ${summary}\n`,
  );
  return `marpctl: query and control marpd, the Mobile ARP router

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
