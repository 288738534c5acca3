import type { Command } from './command.js';
import { COMMANDS } from '../commands.js';
import { COMMON, OPTIONS, type OptionName, signatureOf } from './options.js';

/** What `marpctl --help` and `marpctl COMMAND --help` print. The man page is made of the same tables. */

export const EXIT_STATUS =
  '0 success, 1 no such host or command refused, 2 usage error, 3 marpd not reachable.';

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS).filter(
  (name) => COMMANDS[name]?.hidden !== true,
);

/** `[IP]`, `IP [IP ...]` */
export function argumentsOf(command: Command): string {
  return (command.args ?? [])
    .map(({ name, optional, many }) => {
      const text = many ? `${name} ...` : name;
      return optional ? `[${text}]` : text;
    })
    .join(' ');
}

/** `marpctl host IP` */
export function usageOf(name: string): string {
  const command = COMMANDS[name];
  if (command === undefined) return 'marpctl';
  const options = (command.options ?? []).length === 0 ? '' : ' [OPTIONS]';
  return `marpctl ${name} ${argumentsOf(command)}`.trimEnd() + options;
}

/** What an option of a command means. */
export function briefOf(name: OptionName, command?: Command): string {
  return command?.briefs?.[name] ?? OPTIONS[name].brief;
}

function list(names: readonly OptionName[], command?: Command): string {
  const signatures = names.map(signatureOf);
  const width = Math.max(...signatures.map((each) => (each.length > 32 ? 0 : each.length)));
  return names
    .map((name, i) => {
      const signature = signatures[i] as string;
      const brief = briefOf(name, command);
      return signature.length > width
        ? `  ${signature}\n  ${' '.repeat(width)}  ${brief}\n`
        : `  ${signature.padEnd(width)}  ${brief}\n`;
    })
    .join('');
}

/** That of one command. */
export function commandHelp(name: string): string {
  const command = COMMANDS[name] as Command;
  const own = command.options ?? [];
  return `${usageOf(name)}

  ${command.summary}

${command.more === undefined ? '' : `${command.more}\n`}${own.length === 0 ? '' : `Options:\n${list(own, command)}\n`}Options of every command:
${list(COMMON)}
Exit status: ${EXIT_STATUS}
`;
}

export function helpText(): string {
  const width = Math.max(...COMMAND_NAMES.map((each) => each.length));
  const lines = COMMAND_NAMES.map((each) => `  ${each.padEnd(width)}  ${COMMANDS[each]?.summary}\n`);
  return `marpctl: query and control marpd, the Mobile ARP router

Usage: marpctl COMMAND [ARGUMENTS] [OPTIONS]

Commands (the beginning of a name is enough where it is unique: marpctl int):
${lines.join('')}
Options:
${list(COMMON)}      --version  print the version
  -h, --help     print this text, or that of a command

Exit status: ${EXIT_STATUS}

Examples:
  marpctl status
  marpctl hosts --state fresh,settled
  marpctl why 10.1.1.5
  marpctl monitor
  marpctl attach --mac 52:54:00:00:00:05 --ip 10.1.1.5 --interface tap0
  marpctl COMMAND --help
`;
}
