import { readFileSync } from 'node:fs';

let version: string | undefined;

/** The version of this program. Read once: a daemon without file descriptors left is asked for its status, too. */
export function readVersion(): string {
  const manifest = new URL('../../package.json', import.meta.url);
  version ??= (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
  return version;
}
