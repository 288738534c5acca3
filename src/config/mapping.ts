import * as z from 'zod';
import { refuse } from './refinement.js';
import { hostIpText, prefixText, tableNumber } from './scalars.js';
import { type Ip, type Prefix, familyOf, formatIp } from '../wire/addresses.js';

/** [mapping]: a mapping system (LISP, RFC 9300 and 9301) instead of host routes in the core. */

const PORT_OF_CONTROL = 4342;
const DEFAULT_KEY_FILE = '/etc/marpd/mapping.keys';

const file = z.string().startsWith('/');
const number = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum);
const rlocs = z.preprocess(
  (input) => (Array.isArray(input) || input === undefined ? input : [input]),
  z.array(hostIpText).min(1),
);

/** Registers of this key may name these prefixes, and what is more specific, at these RLOCs. */
const siteSection = z.strictObject({
  key: number(0, 255),
  prefixes: z.array(prefixText).min(1),
  rlocs: z.array(prefixText).optional(),
});

const serverSection = z.strictObject({
  state_file: file.optional(),
  site: z
    .array(siteSection)
    .default([])
    .superRefine((sites, context) => {
      sites.forEach(({ key }, index) => {
        const first = sites.findIndex((other) => other.key === key);
        if (first < index)
          refuse(
            context,
            [index, 'key'],
            `${key} is already the key of site[${first}]; put its prefixes there`,
          );
      });
    }),
});

export const mappingSection = z
  .strictObject({
    rloc: rlocs,
    servers: z.array(hostIpText).min(1),
    key_file: file.default(DEFAULT_KEY_FILE),
    instance: number(0, 0xff_ffff).default(100),
    encapsulation: z.enum(['vxlan-gpe', 'vxlan', 'none']).default('vxlan-gpe'),
    port: number(1, 65_535).default(4790),
    device: z
      .string()
      .regex(/^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}$/, {
        error: 'must be an interface name of at most 15 letters, digits, "_", "." and "-"',
      })
      .default('marp0'),
    mtu: z
      .union([z.literal('auto'), z.int()])
      .transform((input, context): number | undefined => {
        if (input === 'auto') return undefined;
        if (input >= 1280 && input <= 65_000) return input;
        // RFC 8200 section 5.
        const message = `${input} is out of range (1280 to 65000 bytes, or "auto"): IPv6 needs 1280`;
        context.issues.push({ code: 'custom', message, input });
        return z.NEVER;
      })
      .prefault('auto'),
    checksum: z.boolean().default(false),
    protocol: z.int().default(45),
    table: tableNumber.default(254),
    metric: number(1, 0xffff_ffff).default(20),
    announce: z.enum(['home', 'visitors']).default('home'),
    server: serverSection.optional(),
  })
  .superRefine((mapping, context) => {
    const { rloc, servers, encapsulation, port, server } = mapping;
    rloc.forEach((ip, index) => {
      if (rloc.findIndex((other) => familyOf(other) === familyOf(ip)) < index)
        refuse(
          context,
          ['rloc', index],
          `${formatIp(ip)} is a second address of its family; name one of each`,
        );
    });
    if (encapsulation === 'vxlan' && rloc.length > 1)
      refuse(
        context,
        ['rloc'],
        'encapsulation = "vxlan" needs one address: the MAC of the tunnel is made of it; "vxlan-gpe" takes both families',
      );
    servers.forEach((ip, index) => {
      if (servers.indexOf(ip) < index) refuse(context, ['servers', index], `${formatIp(ip)} is named twice`);
      else if (!rloc.some((own) => familyOf(own) === familyOf(ip)))
        refuse(
          context,
          ['servers', index],
          `${formatIp(ip)} is of a family that mapping.rloc has no address of`,
        );
    });
    if (port === PORT_OF_CONTROL)
      refuse(
        context,
        ['port'],
        `${port} is the port of the map servers (RFC 9301); use another, such as 4790`,
      );
    if (server !== undefined && !servers.some((ip) => rloc.includes(ip)))
      refuse(
        context,
        ['server'],
        `no map server runs here: add ${formatIp(rloc[0] as Ip)} to mapping.servers, or remove the section`,
      );
  });

type MappingFile = z.output<typeof mappingSection>;

/** A mapping system; without it nothing is registered and no tunnel made. */
export interface MappingConfig {
  /** Our own RLOCs, at most one of each family. */
  readonly rlocs: readonly Ip[];
  readonly servers: readonly Ip[];
  /** Whether one of the servers is this router. */
  readonly isServer: boolean;
  /** Not read here. */
  readonly keyFile: string;
  /** Instance-ID and VNI. */
  readonly instance: number;
  readonly encapsulation: 'vxlan-gpe' | 'vxlan' | 'none';
  /** UDP, of the tunnel. */
  readonly port: number;
  readonly device: string;
  /** Bytes; undefined: what the underlay leaves. */
  readonly mtu: number | undefined;
  readonly checksum: boolean;
  readonly protocol: number;
  readonly table: number;
  readonly metric: number;
  readonly announce: 'home' | 'visitors';
  readonly stateFile: string;
  /** None: every key may register every prefix at every RLOC. */
  readonly sites: readonly {
    readonly key: number;
    readonly prefixes: readonly Prefix[];
    /** undefined: any. */
    readonly rlocs: readonly Prefix[] | undefined;
  }[];
}

export function buildMapping(mapping: MappingFile, stateDirectory: string): MappingConfig {
  const { rloc, servers, key_file, server, ...rest } = mapping;
  return {
    ...rest,
    rlocs: rloc,
    servers,
    isServer: servers.some((ip) => rloc.includes(ip)),
    keyFile: key_file,
    stateFile: server?.state_file ?? `${stateDirectory}/mappings.json`,
    sites: (server?.site ?? []).map(({ key, prefixes, rlocs: allowed }) => ({
      key,
      prefixes,
      rlocs: allowed,
    })),
  };
}

interface Rest {
  readonly protocol: number;
  readonly table: number;
  readonly watch_tables: readonly number[];
  readonly fresh_metric: number;
  readonly settled_metric: number;
  readonly settled_table?: number | undefined;
}

/** What does not fit the rest of the configuration, with the path of the key. */
export function mappingProblems(
  { protocol, table, metric, device }: MappingFile,
  router: Rest,
  isMobility: (name: string) => boolean,
  protocolProblem: (protocol: number) => string | undefined,
): string[] {
  const problems: string[] = [];
  const taken = protocolProblem(protocol);
  if (taken !== undefined) problems.push(`mapping.protocol: ${taken}`);
  else if (protocol === router.protocol)
    problems.push(
      `mapping.protocol: ${protocol} is router.protocol, the number of the claims; use another one`,
    );
  if (!router.watch_tables.includes(table))
    problems.push(
      `mapping.table: ${table} is not in router.watch_tables, so mappings of hosts would not be seen; add it`,
    );
  if (table === router.table && metric <= router.fresh_metric)
    problems.push(`mapping.metric: ${metric} must be above router.fresh_metric (${router.fresh_metric})`);
  if (table === (router.settled_table ?? router.table) && metric >= router.settled_metric)
    problems.push(`mapping.metric: ${metric} must be below router.settled_metric (${router.settled_metric})`);
  if (isMobility(device))
    problems.push(`mapping.device: "${device}" matches the name of an [[interface]]; use another name`);
  return problems;
}

/** `marpd --rloc A --map-server B --key FILE` as lines of the file. `servers` empty: the map server runs here. */
export function mappingLines(
  rlocs: readonly string[],
  servers: readonly string[],
  keyFile: string | undefined,
): string {
  const lines = ['[mapping]', `rloc = ${JSON.stringify(rlocs)}`];
  lines.push(`servers = ${JSON.stringify(servers.length > 0 ? servers : rlocs.slice(0, 1))}`);
  if (keyFile !== undefined) lines.push(`key_file = ${JSON.stringify(keyFile)}`);
  return `${lines.join('\n')}\n`;
}
