import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import type { Memory } from './mobility/events.js';
import { formatIp, formatMac, parseIp, parseMac } from './wire/addresses.js';

/** `hosts.json` in the state directory: who was here when the daemon stopped, to be asked when it starts again. */

const file = z.object({
  version: z.literal(1),
  /** ISO 8601, for people. */
  writtenAt: z.string(),
  hosts: z.array(z.object({ ip: z.string(), mac: z.string(), interface: z.string(), reason: z.string() })),
});

const NAME = 'hosts.json';

/** Writes atomically: a reader, or a crash, sees the old file or the new one. @throws when the directory refuses */
export function writeMemories(directory: string, memories: readonly Memory[], writtenAt: Date): void {
  mkdirSync(directory, { recursive: true });
  const hosts = memories.map((memory) => ({
    ...memory,
    ip: formatIp(memory.ip),
    mac: formatMac(memory.mac),
  }));
  const path = join(directory, NAME);
  writeFileSync(
    `${path}.new`,
    `${JSON.stringify({ version: 1, writtenAt: writtenAt.toISOString(), hosts })}\n`,
  );
  renameSync(`${path}.new`, path);
}

/** Reads what an earlier run wrote. A missing file is an empty memory, a bad one is too and `warn` says why. */
export function readMemories(directory: string, warn: (message: string) => void): Memory[] {
  const path = join(directory, NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') warn(`${path} cannot be read: ${String(error)}`);
    return [];
  }
  try {
    return file.parse(JSON.parse(text)).hosts.flatMap(({ ip: ipText, mac: macText, ...rest }) => {
      const ip = parseIp(ipText);
      const mac = parseMac(macText);
      return ip === undefined || mac === undefined ? [] : [{ ip, mac, ...rest }];
    });
  } catch (error) {
    warn(
      `${path} is not a memory of ours and is ignored: ${error instanceof Error ? error.message : String(error)}`,
    );
    return [];
  }
}
