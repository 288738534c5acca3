import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { SavedHost } from '../../mobility/events.js';
import { type Policy, allowedByDefault, policyRefusal, ruleFor } from '../../mobility/policy.js';
import {
  IPV4_UNSPECIFIED,
  IPV6_UNSPECIFIED,
  type Prefix,
  formatIp,
  formatMac,
  parseIp,
  parseMac,
} from '../../wire/addresses.js';
import { replaceFile } from './state-file.js';

/** `hosts.json` in the state directory: who was here when the daemon stopped, to be asked when it starts again. */

const file = z.object({
  version: z.literal(1),
  /** ISO 8601, for people. */
  writtenAt: z.string(),
  hosts: z.array(z.unknown()),
});

const entry = z.object({ ip: z.string(), mac: z.string(), interface: z.string(), reason: z.string() });

const NAME = 'hosts.json';

/** Writes atomically: a reader, or a crash, sees the old file or the new one. @throws when the directory refuses */
export function writeSavedHosts(directory: string, memories: readonly SavedHost[], writtenAt: Date): void {
  const hosts = memories.map((memory) => ({
    ...memory,
    ip: formatIp(memory.ip),
    mac: formatMac(memory.mac),
  }));
  const file = { version: 1, writtenAt: writtenAt.toISOString(), hosts };
  replaceFile(join(directory, NAME), `${JSON.stringify(file)}\n`);
}

/**
 * Reads what an earlier run wrote. A missing file is an empty memory, a bad one is too and `warn` says why. A bad entry
 * costs only itself.
 */
export function readSavedHosts(directory: string, warn: (message: string) => void): SavedHost[] {
  const path = join(directory, NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') warn(`cannot read ${path}: ${String(error)}`);
    return [];
  }
  let hosts: readonly unknown[];
  try {
    hosts = file.parse(JSON.parse(text)).hosts;
  } catch (error) {
    warn(
      `${path} is not a hosts file of marpd and is ignored: ${error instanceof Error ? error.message : String(error)}`,
    );
    return [];
  }
  const memories: SavedHost[] = [];
  let firstBad: number | undefined;
  for (const [index, host] of hosts.entries()) {
    const memory = readEntry(host);
    if (memory !== undefined) memories.push(memory);
    else firstBad ??= index;
  }
  if (firstBad !== undefined) {
    const bad = hosts.length - memories.length;
    warn(
      `${path}: ${bad} of ${hosts.length} hosts cannot be read and are ignored, the first is hosts[${firstBad}]`,
    );
  }
  return memories;
}

/** All addresses of both families. */
const EVERYTHING: readonly Prefix[] = [
  { ip: IPV4_UNSPECIFIED, length: 0 },
  { ip: IPV6_UNSPECIFIED, length: 0 },
];

/**
 * The hosts that this configuration may serve: a rule names their interface and policy allows their address. Of a family
 * without a [[subnet]] in the file all are allowed: which subnets are connected is not known before their interfaces are.
 */
export function allowedHosts(hosts: readonly SavedHost[], policy: Policy): SavedHost[] {
  const prefixes = allowedByDefault(policy, policy.families, EVERYTHING);
  return hosts.filter(
    ({ ip, mac, interface: name }) =>
      ruleFor(policy, name) !== undefined && policyRefusal(policy, prefixes, ip, mac) === undefined,
  );
}

function readEntry(value: unknown): SavedHost | undefined {
  const { success, data } = entry.safeParse(value);
  if (!success) return undefined;
  const ip = parseIp(data.ip);
  const mac = parseMac(data.mac);
  return ip === undefined || mac === undefined ? undefined : { ...data, ip, mac };
}
