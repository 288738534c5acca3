import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from './namespace.js';

/** What an operator writes for the LANs of a `Site`. */
export const SITE_CONFIG = `[[interface]]
name = "lan*"
[[subnet]]
prefix = "10.1.1.0/24"
gateway = "10.1.1.1"
[[subnet]]
prefix = "10.2.2.0/24"
gateway = "10.2.2.1"
`;

/** Makes the Debian package, in a folder that is removed when the process ends. @returns its path */
export function debianPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'marpd-package-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  run([resolve(import.meta.dirname, '../../../scripts/package'), '--output', folder], '', 300_000);
  const [name = ''] = readdirSync(folder);
  return join(folder, name);
}
