import { parseDurationMs } from '../../config/durations.js';
import type { ControlClient } from '../../control/client.js';
import { HOST_STATES, type HostState } from '../../mobility/events.js';
import { parseMac } from '../../wire/addresses.js';
import { readHostIp, readIp, readHostMac, readHostPrefix } from '../../wire/host-address.js';
import { Usage } from './command.js';
import { TIME_STYLES } from '../table.js';

/** Every option of marpctl: the parser, --help, the man page and the completion are made of this table. */

interface Described {
  readonly brief: string;
  /** One letter. */
  readonly short?: string;
}

interface Flag extends Described {
  readonly kind: 'flag';
}

interface Choice<T extends string> extends Described {
  readonly kind: 'choice';
  readonly values: readonly T[];
}

interface Valued<T> extends Described {
  readonly kind: 'value';
  /** Name of the value in the help. */
  readonly value: string;
  readonly parse: (text: string) => T;
  /** Meant when the option is given without a value. */
  readonly empty?: string;
  readonly propose?: Propose;
}

interface Repeated extends Described {
  readonly kind: 'repeated';
  readonly value: string;
  readonly parse: (text: string) => string;
  readonly propose?: Propose;
}

export type Propose = (client: ControlClient, partial: string) => Promise<readonly string[]>;
export type Option = Flag | Choice<string> | Valued<unknown> | Repeated;

const flag = (brief: string, short?: string): Flag => ({ kind: 'flag', brief, ...(short && { short }) });
const choice = <T extends string>(brief: string, values: readonly T[], short?: string): Choice<T> => ({
  kind: 'choice',
  brief,
  values,
  ...(short && { short }),
});
const text = (value: string, brief: string, short?: string): Valued<string> => ({
  kind: 'value',
  value,
  brief,
  parse: (input) => input,
  ...(short && { short }),
});

/** A check of wire/ as one that throws; the text itself is what the API takes. @throws Usage */
export function checked(read: (text: string) => { readonly problem: string } | { readonly value: unknown }) {
  return (input: string): string => {
    const reading = read(input);
    if ('problem' in reading) throw new Usage(reading.problem);
    return input;
  };
}

/** @throws Usage */
export function parseTime(input: string): number {
  const ms = parseDurationMs(input);
  if (ms === undefined || ms === 0) throw new Usage(`"${input}" is not a time (examples: 500ms, 2s, 5m, 1h)`);
  return ms;
}

/** @throws Usage */
export function parseStates(input: string): readonly HostState[] {
  const states = input.split(',');
  const unknown = states.find((state) => !(HOST_STATES as readonly string[]).includes(state));
  if (unknown === undefined) return states as HostState[];
  throw new Usage(`"${unknown}" is not one of ${HOST_STATES.join(', ')}`);
}

/** Where a page ended: an address, or a MAC. @throws Usage */
function readPosition(input: string): string {
  return parseMac(input) === undefined ? checked(readIp)(input) : input;
}

function parseLimit(input: string): number {
  if (/^[1-9]\d{0,4}$/.test(input) && Number(input) <= 10_000) return Number(input);
  throw new Usage(`"${input}" is not a number from 1 to 10000`);
}

function parsePort(input: string): number {
  if (/^\d{1,5}$/.test(input) && Number(input) < 65_536) return Number(input);
  throw new Usage(`"${input}" is not a port`);
}

/** Addresses of known hosts that begin with `partial`; asks only for those of the bytes, or groups, that are complete. */
export async function proposeHosts(client: ControlClient, partial: string): Promise<readonly string[]> {
  const prefix = partial.includes(':') ? ipv6Begun(partial) : ipv4Begun(partial);
  const { hosts } = await client.hosts({ limit: 1000, prefix });
  return hosts.map((host) => host.ip);
}

/** Undefined: nothing is complete yet. */
function ipv4Begun(partial: string): string | undefined {
  const bytes = partial.split('.').slice(0, -1);
  if (bytes.length === 0) return undefined;
  const network = [...bytes, '0', '0', '0', '0'].slice(0, 4).join('.');
  return `${network}/${bytes.length * 8}`;
}

/** The groups before the last colon, or before "::". */
function ipv6Begun(partial: string): string | undefined {
  const groups = partial.split('::', 1)[0]?.split(':') ?? [];
  const complete = partial.includes('::') ? groups : groups.slice(0, -1);
  if (complete.length === 0 || complete.length > 7 || complete[0] === '') return undefined;
  return `${complete.join(':')}::/${complete.length * 16}`;
}

export async function proposeInterfaces(client: ControlClient): Promise<readonly string[]> {
  return (await client.interfaces()).map((each) => each.name);
}

export async function proposeMacs(client: ControlClient): Promise<readonly string[]> {
  const { hosts } = await client.hosts({ limit: 1000 });
  return [...new Set(hosts.flatMap(({ mac }) => mac ?? []))];
}

async function proposeStates(_: ControlClient, partial: string): Promise<readonly string[]> {
  const begun = partial.slice(0, partial.lastIndexOf(',') + 1);
  return HOST_STATES.map((state) => begun + state);
}

const HOST_SORTS = ['ip', 'state', 'interface', 'mac', 'since', 'heard', 'rtt'] as const;

export const OPTIONS = {
  json: flag('print JSON, for programs', 'j'),
  pretty: flag('print JSON with indentation', 'p'),
  output: choice('another form of output; wide has more columns', ['wide', 'json', 'ndjson'], 'o'),
  time: choice('how times are shown (default: clock)', TIME_STYLES),
  color: choice('colours (default: auto, which means on a terminal without NO_COLOR)', [
    'auto',
    'always',
    'never',
  ]),
  socket: text('PATH', 'control socket (default: $MARPD_SOCKET or /run/marpd/marpd.sock)'),
  host: text('URL', 'a daemon elsewhere, by its control.tcp: https://192.0.2.1:4411 (or $MARPD_HOST)'),
  cert: text('FILE', 'with --host: certificate of this client (or $MARPD_CERT)'),
  key: text('FILE', 'with --host: key of this client (or $MARPD_KEY)'),
  ca: text('FILE', 'with --host: certificate of the CA (or $MARPD_CA)'),
  watch: {
    kind: 'value',
    value: 'TIME',
    brief: 'print it again and again, until Ctrl-C (default: every 2s)',
    parse: parseTime,
    empty: '2s',
  },
  noHeader: flag('leave out the names of the columns'),
  state: {
    kind: 'value',
    value: 'STATE,...',
    brief: `in one of these states: ${HOST_STATES.join(', ')}`,
    parse: parseStates,
    propose: proposeStates,
  },
  interface: { ...text('NAME', 'interface', 'i'), propose: proposeInterfaces },
  mac: {
    kind: 'value',
    value: 'MAC',
    brief: 'MAC address of the host',
    parse: checked(readHostMac),
    propose: proposeMacs,
  },
  prefix: { kind: 'value', value: 'PREFIX', brief: 'within this prefix', parse: checked(readHostPrefix) },
  byMac: flag('one machine after the other, each with all its addresses of both families'),
  sort: choice('order of the rows (default: ip)', HOST_SORTS),
  limit: { kind: 'value', value: 'N', brief: 'at most so many hosts', parse: parseLimit },
  after: {
    kind: 'value',
    value: 'IP',
    brief: 'go on behind this address (with --by-mac: this MAC)',
    parse: readPosition,
  },
  ip: {
    kind: 'repeated',
    value: 'IP',
    brief: 'IP address of the guest; may be repeated',
    parse: checked(readHostIp),
    propose: proposeHosts,
  },
  all: flag('also evidence, installed routes and ignored frames', 'a'),
  config: text('FILE', 'configuration file', 'c'),
  since: { kind: 'value', value: 'TIME', brief: 'only the last TIME, such as 5m', parse: parseTime },
  timeout: { kind: 'value', value: 'TIME', brief: 'give up after TIME (default: 10s)', parse: parseTime },
  duration: { kind: 'value', value: 'TIME', brief: 'end after TIME, such as 1m', parse: parseTime },
  wait: {
    kind: 'value',
    value: 'TIME',
    brief: 'wait until marpd answers, at most TIME (default: 30s)',
    parse: parseTime,
    empty: '30s',
  },
  port: {
    kind: 'value',
    value: 'PORT',
    brief: 'port on 127.0.0.1 (default: 8099; 0: any)',
    parse: parsePort,
  },
  replay: text('FILE', 'show a recorded file: the output of marpctl explain --json'),
  write: text(
    'FILE',
    'the file to write: explain and capture make a pcapng file for Wireshark and tshark, - is standard output',
    'w',
  ),
  link: {
    kind: 'repeated',
    value: 'NAME,MAC,ADDRESS/LENGTH,...',
    brief: "an interface of the router, with the router's own MAC and addresses; may be repeated",
    parse: (input) => input,
  },
  routes: text('FILE', 'routes of others: the output of ip -ts -o -d -N monitor route'),
  assumeAlive: flag('answer each probe for a host where it sent last: what marpd would do on this LAN'),
  defaults: flag('with the default of every key that is not set'),
} as const satisfies Readonly<Record<string, Option>>;

type ValueOf<O> = O extends Flag
  ? boolean
  : O extends { kind: 'choice'; values: readonly (infer T)[] }
    ? T
    : O extends { kind: 'repeated' }
      ? readonly string[]
      : O extends { parse: (text: string) => infer T }
        ? T
        : never;

/** Values of the options of all commands; which of them a command takes is in its entry. */
export type Options = {
  readonly [K in keyof typeof OPTIONS]?: ValueOf<(typeof OPTIONS)[K]> | undefined;
};
export type OptionName = keyof Options;

/** Those of every command. */
export const COMMON: readonly OptionName[] = [
  ...(['json', 'pretty', 'output', 'time', 'color'] as const),
  ...(['socket', 'host', 'cert', 'key', 'ca'] as const),
];

/** `noHeader` is written `--no-header`. */
export const spell = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** `-i, --interface NAME` */
export function signatureOf(name: OptionName): string {
  const option: Option = OPTIONS[name];
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  const value =
    option.kind === 'flag'
      ? ''
      : option.kind === 'choice'
        ? ` ${option.values.join('|')}`
        : option.kind === 'value' && option.empty !== undefined
          ? `[=${option.value}]`
          : ` ${option.value}`;
  return `${short}${spell(name)}${value}`;
}
