import { readVersion } from '../../system/version.js';
import { parseArgs } from 'node:util';
import type { Family } from '../../wire/addresses.js';

export interface Arguments {
  /** undefined: no file, only the interfaces named on the command line. */
  readonly configPath: string | undefined;
  readonly interfaces: readonly string[];
  /** Of the hosts, without a file. */
  readonly families: readonly Family[];
  readonly checkOnly: boolean;
}

/** The man page is made of these too. */
export const OPTIONS: readonly (readonly [signature: string, brief: string])[] = [
  ['-c, --config FILE', 'TOML configuration'],
  ['-i, --interface NAME', 'mobility interface; may be repeated'],
  ['    --family 4|6|both', 'with --interface: serve IPv4 (default), IPv6 or both'],
  ['    --check', 'check the configuration only'],
  ['    --version', 'print the version'],
  ['-h, --help', 'print this text'],
];
export const SIGNALS =
  'SIGHUP reloads the configuration (if the file is bad, the old one stays); SIGTERM and SIGINT stop marpd.';
export const EXIT_STATUS =
  '0 stopped, 1 cannot run (missing privilege, socket in use ...), 2 usage error, 70 internal error,\n78 bad configuration.';

export const HELP = `marpd: first-hop router with Mobile ARP. A host keeps its IP address wherever it is connected.

Usage:
  marpd --config FILE             run with a configuration file (see config/reference.toml)
  marpd --interface NAME ...      run without a file; NAME may be a glob such as 'tap*'
  marpd --config FILE --check     check the file, report what is wrong with it, and exit

Options:
${OPTIONS.map(([signature, brief]) => `  ${signature.padEnd(22)}   ${brief}\n`).join('')}
Signals: ${SIGNALS}
Needs CAP_NET_RAW (capture, probes) and CAP_NET_ADMIN (routes, neighbours, kernel settings).
Inspect it with marpctl status, marpctl hosts, marpctl monitor, marpctl doctor.
Exit status: ${EXIT_STATUS}

Examples:
  marpd --interface lan0 --interface lan1
  marpd --interface 'tap*' --family both
  marpd --config /etc/marpd/marpd.toml --check
`;

const FAMILIES: ReadonlyMap<string, readonly Family[]> = new Map([
  ['4', ['ipv4']],
  ['6', ['ipv6']],
  ['both', ['ipv4', 'ipv6']],
]);

/** Reads the command line. Prints and exits for --help, --version and mistakes (status 2). */
export function readArguments(argv: readonly string[]): Arguments {
  const values = parse(argv);
  if (values.help) return end(HELP, 0);
  if (values.version) return end(`marpd ${readVersion()}\n`, 0);
  const interfaces = values.interface ?? [];
  const [config, another] = values.config ?? [];
  if (another !== undefined) return end('marpd: --config is given twice (see --help)\n', 2);
  if (config === undefined && interfaces.length === 0) {
    return end('marpd: give --config FILE or --interface NAME (see --help)\n', 2);
  }
  if (config !== undefined && interfaces.length > 0) {
    return end('marpd: --interface and --config exclude each other: add an [[interface]] to the file\n', 2);
  }
  if (config !== undefined && values.family !== undefined) {
    return end('marpd: --family and --config exclude each other: set router.families in the file\n', 2);
  }
  const families = FAMILIES.get(values.family ?? '4');
  if (families === undefined) return end('marpd: --family takes 4, 6 or both (see --help)\n', 2);
  return { configPath: config, interfaces, families, checkOnly: values.check === true };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        config: { type: 'string', short: 'c', multiple: true },
        interface: { type: 'string', short: 'i', multiple: true },
        family: { type: 'string' },
        check: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    return end(`marpd: ${parseProblem(error)} (see --help)\n`, 2);
  }
}

/** What parseArgs has to say, without its advice about "--": no option or argument of ours begins with a dash. */
export function parseProblem(error: unknown): string {
  const [problem = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1);
  return problem;
}

function end(text: string, status: number): never {
  (status === 0 ? process.stdout : process.stderr).write(text);
  process.exit(status);
}
