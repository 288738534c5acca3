import { readVersion } from '../../src/system/version.js';
import type { Command } from '../../src/cli/arguments/command.js';
import { EXIT_STATUS, OPTIONS as MARPD_OPTIONS, SIGNALS } from '../../src/cli/arguments/arguments.js';
import { COMMANDS } from '../../src/cli/commands.js';
import {
  COMMAND_NAMES,
  EXIT_STATUS as CTL_EXIT_STATUS,
  argumentsOf,
  briefOf,
} from '../../src/cli/arguments/help.js';
import { COMMON, type OptionName, signatureOf } from '../../src/cli/arguments/options.js';
import { ALARMS, CAUSES, DROP_REASONS } from '../../src/mobility/events.js';
import { ALARM_MEANINGS, CAUSE_MEANINGS, DROP_MEANINGS } from '../../src/observe/descriptions.js';
import { Metrics } from '../../src/observe/metrics.js';
import { readReference } from './toml.js';

/** Man pages in the language of scdoc(5), of the tables that the program itself uses. */

/** Text without any markup. */
export const plain = (text: string): string =>
  text.replace(/[\\*`#<>[\]~]|\b_|_\b|(?<!\w)_/g, '\\$&').replace(/^([.'+-])/gm, '\\$1');
const bold = (text: string): string => `*${plain(text)}*`;

/** A term and what it means. */
const item = (term: string, about: string): string =>
  `${term}\n${about
    .split('\n')
    .map((line) => `\t${line}`)
    .join('\n')}\n\n`;

function page(
  name: string,
  section: number,
  about: string,
  body: readonly (readonly [string, string])[],
): string {
  const sections = body.map(([title, text]) => `# ${title}\n\n${text.trimEnd()}\n\n`).join('');
  return `${name}(${section}) "" "marpd ${readVersion()}"\n\n; Written by \`npm run docs:reference\`. Do not edit.\n\n# NAME\n\n${name} - ${about}\n\n${sections}`;
}

const literal = (text: string): string => `\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;

/** Paragraphs as they are, examples (lines that begin with two spaces) literally. */
function prose(text: string): string {
  return text
    .trimEnd()
    .split(/\n\n/)
    .map((part) => (part.startsWith('  ') ? literal(part.replace(/^ {2}/gm, '')) : `${plain(part)}\n`))
    .join('\n');
}

const optionItem = (name: OptionName, command?: Command): string =>
  item(bold(signatureOf(name).trim()), plain(briefOf(name, command)));

export function marpctl(): string {
  const commands = COMMAND_NAMES.map((name) => {
    const command = COMMANDS[name];
    if (command === undefined) return '';
    const own = (command.options ?? []).map((each) => optionItem(each, command)).join('');
    return `## marpctl ${name} ${argumentsOf(command)}\n\n${plain(command.summary)}\n\n${command.more === undefined ? '' : `${prose(command.more)}\n`}${own}`;
  });
  return page('marpctl', 8, 'query and control marpd, the Mobile ARP router', [
    ['SYNOPSIS', '*marpctl* _COMMAND_ [_ARGUMENTS_] [_OPTIONS_]'],
    [
      'DESCRIPTION',
      'marpctl asks the running daemon, on its control socket or over TLS, and prints tables for people or JSON for programs. The beginning of a command is enough where it is unique. What is typed is checked before the daemon is asked.',
    ],
    ['COMMANDS', commands.join('')],
    [
      'OPTIONS OF EVERY COMMAND',
      COMMON.map((each) => optionItem(each)).join('') +
        item(bold('--version'), 'print the version') +
        item(bold('-h, --help'), 'print the help, or that of a command'),
    ],
    ['EXIT STATUS', plain(CTL_EXIT_STATUS)],
    [
      'ENVIRONMENT',
      item(
        '*MARPD\\_SOCKET*, *MARPD\\_HOST*, *MARPD\\_CERT*, *MARPD\\_KEY*, *MARPD\\_CA*',
        'defaults of the options of the same name',
      ) + item('*NO\\_COLOR*', 'no colours'),
    ],
    ['SEE ALSO', 'marpd(8), marpd.toml(5), marpd(7), ip(8), tcpdump(8)'],
  ]);
}

export function marpd(): string {
  return page('marpd', 8, 'first-hop router with Mobile ARP', [
    ['SYNOPSIS', '*marpd* --config _FILE_ [--check]\n\n*marpd* --interface _NAME_ ...'],
    [
      'DESCRIPTION',
      'marpd makes a Linux router a first-hop router with Mobile ARP: a host keeps its IP address wherever it is connected. The daemon sees the ARP frames of the host, proves that it is there, installs a host route for it in the kernel, and answers its ARP requests for its gateway and for neighbours that are elsewhere now. FRR or BIRD carry the routes to other routers.\n\nIt needs *CAP\\_NET\\_RAW* (capture, probes) and *CAP\\_NET\\_ADMIN* (routes, neighbours, kernel settings).',
    ],
    [
      'OPTIONS',
      MARPD_OPTIONS.map(([signature, brief]) => item(bold(signature.trim()), plain(brief))).join(''),
    ],
    ['SIGNALS', plain(SIGNALS)],
    ['EXIT STATUS', plain(EXIT_STATUS)],
    [
      'FILES',
      item('_/etc/marpd/marpd.toml_', 'the configuration, marpd.toml(5)') +
        item('_/run/marpd/marpd.sock_', 'the control socket') +
        item('_/run/marpd/hosts.json_', 'hosts that were here, for the next start') +
        item(
          '_/etc/iproute2/rt\\_protos.d/marpd.conf_',
          'the name of its routes: *ip route show proto mobile*',
        ),
    ],
    ['SEE ALSO', 'marpctl(8), marpd.toml(5), marpd(7), ip(8), systemctl(1)'],
  ]);
}

export function marpdToml(): string {
  const sections = readReference().map(({ name, repeated, about, keys }) => {
    const title = repeated ? `[[${name}]]` : `[${name}]`;
    const items = keys.map(({ key, value, unset, about: text }) =>
      item(
        `${bold(key)} = ${plain(value)}${unset ? ' (example; no default)' : repeated ? '' : ' (default)'}`,
        plain(text === '' ? 'See above.' : text),
      ),
    );
    return `## ${title}\n\n${about === '' ? '' : `${plain(about)}\n\n`}${items.join('')}`;
  });
  return page('marpd.toml', 5, 'configuration of marpd', [
    [
      'DESCRIPTION',
      'A file in TOML. An unknown key or a bad value is refused with its path: *marpd --check --config* _FILE_. Durations are written "250ms", "5s", "10m", "1h", sizes "512KiB", "32MiB". *marpctl reload* or SIGHUP reads the file again; if it is bad, the configuration before stays in force. A restart is needed for changes of [router] (except settle and on\\_exit), [kernel], [control], [prometheus], [capture] and log.format.\n\nThe least that a site needs is one [[interface]] with a name and, with two or more routers, each [[subnet]].',
    ],
    ['SECTIONS', sections.join('')],
    [
      'EXAMPLE',
      literal('[[interface]]\nname = "lan0"\n\n[[subnet]]\nprefix = "10.1.1.0/24"\ngateway = "10.1.1.1"'),
    ],
    ['SEE ALSO', 'marpd(8), marpctl(8), marpd(7)'],
  ]);
}

export const STATES: readonly (readonly [string, string])[] = [
  ['proving', 'it was seen and is being probed; it has not answered yet'],
  ['home', 'it is on the LAN of its own subnet: only recorded, the route of the subnet serves it'],
  [
    'fresh',
    'its host route is installed with a metric that beats every routing protocol, so that it spreads',
  ],
  ['settled', 'its host route is installed with a metric that loses to every routing protocol'],
  [
    'beneath',
    'it is here, on a LAN where another router is the active one; our host route, hidden by the claim of that router, waits beneath it',
  ],
  ['away', 'it is proven to be behind another router'],
  ['remembered', 'it was here and is not any more; it is probed again'],
];

/** Ours; those of Node and of the process are documented elsewhere. */
export function ownMetrics(): ReturnType<Metrics['described']> {
  const all = new Metrics(() => {
    throw new Error('only names are asked');
  });
  const described = all.described();
  all.stop();
  return described.filter(({ name }) => name.startsWith('marpd_'));
}

export function marpd7(): string {
  const list = (names: readonly string[], meanings: Readonly<Record<string, string>>) =>
    names.map((name) => item(bold(name), plain(meanings[name] ?? ''))).join('');
  return page('marpd', 7, 'states, alarms, drop reasons, causes and metrics', [
    ['STATES OF A HOST', STATES.map(([state, about]) => item(bold(state), plain(about))).join('')],
    [
      'ALARMS',
      `*marpctl alarms* lists them.\n\n${ALARMS.map((alarm) => item(bold(alarm), `${plain(ALARM_MEANINGS[alarm].meaning)}.\n\nWhat to do: ${plain(ALARM_MEANINGS[alarm].remedy)}.`)).join('')}`,
    ],
    [
      'DROP REASONS',
      `Why a frame was ignored: *marpctl drops*, *marpctl why*.\n\n${list(DROP_REASONS, DROP_MEANINGS)}`,
    ],
    [
      'CAUSES',
      `Why a host changed its state: *marpctl monitor*, *marpctl why*.\n\n${list(CAUSES, CAUSE_MEANINGS)}`,
    ],
    [
      'METRICS',
      `For Prometheus, at /metrics of the control socket and of prometheus.listen.\n\n${ownMetrics()
        .map(({ name, help }) => item(bold(name), plain(help)))
        .join('')}`,
    ],
    ['SEE ALSO', 'marpd(8), marpctl(8), marpd.toml(5)'],
  ]);
}
