import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { mappingLines } from '../../config/mapping.js';
import { readVersion } from '../../system/version.js';
import { type Family, parseIp } from '../../wire/addresses.js';

export interface Arguments {
  /** undefined: no file, only the interfaces named on the command line. */
  readonly configPath: string | undefined;
  readonly interfaces: readonly string[];
  /** Of the hosts, without a file. */
  readonly families: readonly Family[];
  /** Of a mapping system, without a file: lines for the configuration; empty: none. */
  readonly mapping: string;
  readonly checkOnly: boolean;
}

/** The man page is made of these too. */
export const OPTIONS: readonly (readonly [signature: string, brief: string])[] = [
  ['-c, --config FILE', 'TOML configuration'],
  ['-i, --interface NAME', 'mobility interface; may be repeated'],
  ['    --family 4|6|both', 'with --interface: serve IPv4 (default), IPv6 or both'],
  ['    --rloc ADDRESS', 'with --map-server: the address of this router in the core; one per family'],
  ['    --map-server [ADDRESS]', 'map server of the mapping system; without an address it runs here'],
  ['    --key FILE', 'with --map-server: the keys (default: /etc/marpd/mapping.keys)'],
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
  marpd --interface NAME ... --rloc ADDRESS --map-server [ADDRESS]
                                  the same with a mapping system; without --interface: a border router
  marpd --config FILE --check     check the file, report what is wrong with it, and exit

Options:
${OPTIONS.map(([signature, brief]) => `  ${signature.padEnd(26)}   ${brief}\n`).join('')}
Signals: ${SIGNALS}
Needs CAP_NET_RAW (capture, probes) and CAP_NET_ADMIN (routes, neighbours, kernel settings).
Inspect it with marpctl status, marpctl hosts, marpctl monitor, marpctl doctor.
Exit status: ${EXIT_STATUS}

Examples:
  marpd --interface lan0 --interface lan1
  marpd --interface 'tap*' --family both
  marpd --interface lan0 --rloc 10.255.0.1 --map-server
  marpd --interface lan0 --rloc 10.255.0.2 --map-server 10.255.0.1 --key /root/keys
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
  const mapping = readMapping(values);
  if (config === undefined && interfaces.length === 0 && mapping === '') {
    return end('marpd: give --config FILE or --interface NAME (see --help)\n', 2);
  }
  if (config !== undefined && mapping !== '') {
    return end('marpd: --map-server and --config exclude each other: add [mapping] to the file\n', 2);
  }
  if (config !== undefined && interfaces.length > 0) {
    return end('marpd: --interface and --config exclude each other: add an [[interface]] to the file\n', 2);
  }
  if (config !== undefined && values.family !== undefined) {
    return end('marpd: --family and --config exclude each other: set router.families in the file\n', 2);
  }
  const families = FAMILIES.get(values.family ?? '4');
  if (families === undefined) return end('marpd: --family takes 4, 6 or both (see --help)\n', 2);
  return { configPath: config, interfaces, families, mapping, checkOnly: values.check === true };
}

/** `--map-server` with nothing behind it, for the parser, which knows options with and without a value only. */
const HERE = '';

function readMapping(values: ReturnType<typeof parse>): string {
  const { rloc = [], 'map-server': given = [], key } = values;
  if (given.length === 0) {
    const alone = rloc.length > 0 ? '--rloc' : key === undefined ? undefined : '--key';
    return alone === undefined ? '' : end(`marpd: ${alone} needs --map-server as well (see --help)\n`, 2);
  }
  if (rloc.length === 0) return end('marpd: --map-server needs --rloc ADDRESS as well (see --help)\n', 2);
  for (const [option, address] of [
    ...rloc.map((one) => ['--rloc', one] as const),
    ...given.filter((one) => one !== HERE).map((one) => ['--map-server', one] as const),
  ])
    if (parseIp(address) === undefined)
      return end(`marpd: ${option} takes an IP address, not "${address}" (see --help)\n`, 2);
  const servers = given.map((server) => (server === HERE ? (rloc[0] as string) : server));
  return mappingLines(rloc, servers, key === undefined ? undefined : resolve(key));
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: withHere(argv),
      options: {
        config: { type: 'string', short: 'c', multiple: true },
        interface: { type: 'string', short: 'i', multiple: true },
        family: { type: 'string' },
        rloc: { type: 'string', multiple: true },
        'map-server': { type: 'string', multiple: true },
        key: { type: 'string' },
        check: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    return end(`marpd: ${parseProblem(error)} (see --help)\n`, 2);
  }
}

function withHere(argv: readonly string[]): string[] {
  return argv.map((word, index) => {
    const next = argv[index + 1];
    return word === '--map-server' && (next === undefined || next.startsWith('-')) ? `${word}=${HERE}` : word;
  });
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
