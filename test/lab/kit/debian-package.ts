import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from './namespace.js';

/** Makes the Debian package, in a folder that is removed when the process ends. @returns its path */
export function debianPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'marpd-package-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  run([resolve(import.meta.dirname, '../../../scripts/package'), '--output', folder], '', 300_000);
  const [name = ''] = readdirSync(folder);
  return join(folder, name);
}
