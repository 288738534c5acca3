import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { referencePage } from './reference/markdown.js';
import { marpctl, marpd, marpd7, marpdToml } from './reference/man.js';
import { openApi } from './reference/openapi.js';
import { configSchema } from './reference/schema.js';

/** What is written from the tables of the code: man pages, the reference, the description of the API, the schema of the configuration. */

export const ROOT = join(import.meta.dirname, '..');

/** Path, and what its file holds. */
export function references(): Readonly<Record<string, string>> {
  return {
    'docs/man/marpd.8.scd': marpd(),
    'docs/man/marpctl.8.scd': marpctl(),
    'docs/man/marpd.toml.5.scd': marpdToml(),
    'docs/man/marpd.7.scd': marpd7(),
    'docs/openapi.json': openApi(),
    'docs/reference.md': referencePage(),
    'config/marpd.schema.json': configSchema(),
  };
}

if (process.argv[1] === import.meta.filename) {
  for (const [path, text] of Object.entries(references())) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
}
