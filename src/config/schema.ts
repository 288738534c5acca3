import * as z from 'zod';
import {
  durationText,
  hostIpText,
  lanIpText,
  listenText,
  hostMacText,
  modeText,
  prefixText,
  routeProtocol,
  sizeText,
  tableNumber,
} from './scalars.js';
import { REMOTE_PROTOCOLS } from './route-protocols.js';
import { matchesPattern } from '../mobility/policy.js';
import { ROUTER_ROLES } from '../mobility/events.js';
import { type Refinement, refuse } from './refinement.js';
import { mappingSection } from './mapping.js';
import { refuseSubnets, subnetSection } from './subnet.js';
import { formatIp } from '../wire/addresses.js';

/** The shape of the configuration file: its sections, keys, defaults, and the combinations that cannot work. */

/** Administrative distance and metric of a settled claim: above every distance a routing protocol has (FRR: 200). */
const SETTLED_METRIC = 210 * 2 ** 24 + 2;
/** FRR installs what it learned with this metric, whatever the protocol. */
const ROUTING_DAEMON_METRIC = 20;
const LOW_24_BITS = 2 ** 24;

/** /etc/iproute2/rt_protos and zebra's rt_netlink.h; claims under one of these would be another daemon's to delete. */
const TAKEN_PROTOCOLS: Readonly<Record<number, string>> = {
  8: 'gated',
  9: 'ra (router advertisements)',
  10: 'mrt',
  11: 'zebra (FRR)',
  12: 'bird',
  13: 'dnrouted',
  14: 'xorp',
  15: 'ntk',
  16: 'dhcp',
  17: 'mrouted',
  18: 'keepalived',
  42: 'babel',
  99: 'openr',
  186: 'bgp (FRR)',
  187: 'isis (FRR)',
  188: 'ospf (FRR)',
  189: 'rip (FRR)',
  190: 'ripng (FRR)',
  191: 'nhrp (FRR)',
  192: 'eigrp (FRR)',
  193: 'ldp (FRR)',
  194: 'sharp (FRR)',
  195: 'pbr (FRR)',
  196: 'static (FRR)',
  197: 'openfabric (FRR)',
  198: 'srte (FRR)',
};

/** What is wrong with this number for routes of ours; `free`: one that could be used. */
export function protocolProblem(protocol: number, free: number): string | undefined {
  if (protocol < 5 || protocol > 255)
    return `${protocol} is out of range (5 to 255: 0 to 4 are reserved for the kernel and the administrator)`;
  const owner = TAKEN_PROTOCOLS[protocol];
  return owner === undefined
    ? undefined
    : `${protocol} belongs to ${owner}; use a free number such as ${free}`;
}

/** A standby keeps what it has proven for itself; what it only heard may be anywhere. */
export function roleAndProve(role: string, prove: string): string {
  return `"${prove}" with role = "${role}": with several routers on a LAN each host is proven first (prove = "before")`;
}

const count = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum);
const metric = z.int().min(1).max(0xffff_ffff);
const filePath = z.string().startsWith('/');
const keepalive = durationText({ minMs: 200, maxMs: 3_600_000 });
const hold = durationText({ minMs: 1000, maxMs: 86_400_000 });
const keepaliveTimeout = durationText({ minMs: 100, maxMs: 60_000 });
const proveRule = z.enum(['before', 'after', 'never']);

const routerSection = z
  .strictObject({
    families: z
      .array(z.enum(['ipv4', 'ipv6']))
      .min(1)
      .default(['ipv4']),
    protocol: z.int().default(44),
    table: tableNumber.default(254),
    settled_table: tableNumber.optional(),
    watch_tables: z.array(tableNumber).min(1).default([254]),
    remote_protocols: z.array(routeProtocol).prefault([...REMOTE_PROTOCOLS]),
    fresh_metric: metric.default(1),
    settled_metric: metric.default(SETTLED_METRIC),
    settle: durationText({ minMs: 200, maxMs: 600_000 }).default(1000),
    on_exit: z.enum(['withdraw', 'keep']).default('withdraw'),
    // It holds a Unix socket, whose address has at most 107 bytes.
    state_directory: filePath.max(80, { error: 'longer than 80 bytes' }).optional(),
  })
  .superRefine((router, context) => {
    const protocol = router.protocol;
    const problem = protocolProblem(protocol, 44);
    if (problem !== undefined) refuse(context, ['protocol'], problem);
    if (router.remote_protocols.includes(protocol))
      refuse(context, ['remote_protocols'], `${protocol} is router.protocol, the number of our own routes`);
    const fresh = router.fresh_metric;
    const settled = router.settled_metric;
    if (fresh >= LOW_24_BITS) {
      refuse(
        context,
        ['fresh_metric'],
        `${fresh} has a non-zero top byte: zebra reads it as the distance, and a fresh claim needs distance 0`,
      );
    }
    if (fresh % LOW_24_BITS === settled % LOW_24_BITS) {
      refuse(
        context,
        ['settled_metric'],
        `its low 24 bits (${settled % LOW_24_BITS}) must differ from those of fresh_metric, or zebra loses the host when a claim settles`,
      );
    }
    // The kernel must look up fresh, remote, settled in this order; in one table only the metrics say so.
    if (router.watch_tables.includes(router.table) && fresh >= ROUTING_DAEMON_METRIC) {
      refuse(
        context,
        ['fresh_metric'],
        `must be below ${ROUTING_DAEMON_METRIC}, the metric of routes from FRR in the same table`,
      );
    }
    const distance = Math.floor(settled / LOW_24_BITS);
    if (
      router.watch_tables.includes(router.settled_table ?? router.table) &&
      (distance < 201 || distance > 254)
    ) {
      refuse(
        context,
        ['settled_metric'],
        `its top byte, the distance that zebra reads, is ${distance}; it must be 201 to 254, so that the route of any routing protocol is preferred over a settled claim (default: (210 << 24) + 2 = ${SETTLED_METRIC})`,
      );
    }
  });

const interfaceSection = z
  .strictObject({
    name: z.string().regex(/^(?=.{1,15}$|.*[*?])[^\s/"'\\]{1,32}$/, {
      error: 'must be an interface name of at most 15 characters, or a glob such as "tap*"',
    }),
    learn: z.enum(['foreign', 'all']).default('foreign'),
    prove: proveRule.optional(),
    keepalive: keepalive.optional(),
    hold: hold.optional(),
    keepalive_timeout: keepaliveTimeout.optional(),
    max_hosts: count(1, 10_000_000).optional(),
    role: z.enum(ROUTER_ROLES).default('alone'),
    peers: z.array(lanIpText).default([]),
    multicast_router: z.boolean().default(false),
  })
  .superRefine(({ role, peers, prove }, context) => {
    peers.forEach((peer, index) => {
      if (peers.indexOf(peer) < index) refuse(context, ['peers', index], `${formatIp(peer)} is named twice`);
    });
    if (role !== 'alone' && prove !== undefined && prove !== 'before')
      refuse(context, ['prove'], roleAndProve(role, prove));
  });

const limitsSection = z.strictObject({
  max_hosts: count(1, 10_000_000).default(200_000),
  addresses_per_mac: count(1, 100_000).default(16),
  addresses_per_mac_ipv6: count(1, 100_000).default(64),
  newcomer_burst: count(1, 10_000_000).default(100_000),
  newcomers_per_second: count(1, 1_000_000).default(20_000),
  probes_per_second: count(10, 1_000_000).default(50_000),
  max_remembered: count(0, 10_000_000).default(100_000),
  inquiry_candidates: count(0, 10_000).default(64),
});

/** The shape of the file; exported so that a test can walk it and compare config/reference.toml with it. */
export const fileSchema = z.strictObject({
  router: routerSection.prefault({}),
  kernel: z.strictObject({ settings: z.enum(['apply', 'check']).default('apply') }).prefault({}),
  interface: z.array(interfaceSection).default([]).superRefine(refuseShadowed),
  subnet: z.array(subnetSection).default([]).superRefine(refuseSubnets),
  policy: z
    .strictObject({
      allow: z.array(prefixText).optional(),
      deny: z.array(prefixText).default([]),
      bind: z
        .array(z.strictObject({ ip: hostIpText, mac: hostMacText }))
        .default([])
        .superRefine((bindings, context) => {
          bindings.forEach(({ ip }, index) => {
            const first = bindings.findIndex((other) => other.ip === ip);
            if (first < index)
              refuse(context, [index, 'ip'], `${formatIp(ip)} is already bound by bind[${first}]`);
          });
        }),
      prove: proveRule.default('before'),
      repair_neighbours: z.boolean().default(true),
      limits: limitsSection.prefault({}),
    })
    .prefault({}),
  timers: z
    .strictObject({
      keepalive: keepalive.default(5000),
      hold: hold.optional(),
      keepalive_timeout: keepaliveTimeout.default(750),
      remember: durationText({ minMs: 1000, maxMs: 86_400_000, zero: true }).default(600_000),
      reprobe_interval: durationText({ minMs: 1000, maxMs: 3_600_000, zero: true }).default(60_000),
      acd_probe_wait: durationText({ minMs: 1, maxMs: 60_000, zero: true }).default(1000),
      freeze: durationText({ minMs: 1000, maxMs: 86_400_000 }).default(540_000),
    })
    .prefault({}),
  mapping: mappingSection.optional(),
  control: z
    .strictObject({
      socket: filePath
        .max(107, { error: 'longer than a Unix socket address can be (107 bytes)' })
        .default('/run/marpd/marpd.sock'),
      mode: modeText.default(0o660),
      group: z.string().min(1).optional(),
      tcp: z.strictObject({ listen: listenText, ca: filePath, cert: filePath, key: filePath }).optional(),
    })
    .prefault({}),
  prometheus: z.strictObject({ listen: listenText.optional() }).prefault({}),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['auto', 'json', 'pretty']).default('auto'),
    })
    .prefault({}),
  capture: z
    .strictObject({
      buffer: sizeText(64 << 10, 1 << 30).prefault('auto'),
      flood_frames_per_second: count(100, 10_000_000).default(60_000),
      record: sizeText(1 << 20, 2 ** 36, 'off').prefault('off'),
    })
    .prefault({}),
});

/** The first rule that matches a name counts, so a rule behind a glob that covers it would never be used. */
function refuseShadowed(rules: readonly { readonly name: string }[], context: Refinement): void {
  rules.forEach(({ name }, index) => {
    const first = rules.findIndex(
      (other) => other.name === name || (!/[*?]/.test(name) && matchesPattern(other.name, name)),
    );
    if (first < 0 || first >= index) return;
    const other = rules[first]?.name ?? '';
    const how =
      other === name
        ? 'named twice'
        : `never used: interface[${first}] "${other}" matches it first; put the exact name before the glob`;
    refuse(context, [index, 'name'], `"${name}" is ${how}`);
  });
}

export type ConfigFile = z.output<typeof fileSchema>;

/** The keys that the file may have at `path`; none when it leads to no table. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  let at = schema;
  for (const part of [...path, undefined]) {
    while (at instanceof z.ZodPrefault || at instanceof z.ZodDefault || at instanceof z.ZodOptional)
      at = at.def.innerType;
    if (part === undefined) break;
    if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodObject) at = at.shape[String(part)] ?? z.never();
    else return [];
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}
