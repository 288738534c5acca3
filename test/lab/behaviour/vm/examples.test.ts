import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../kit/namespace.js';

const CONFIG = fileURLToPath(new URL('../../../../config', import.meta.url));

test('FRR reads every frr.conf of the examples (vtysh --dryrun)', () => {
  const files = readdirSync(CONFIG, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('frr.conf'),
  );
  assert.deepEqual(files.sort(), [
    'libvirt/frr.conf',
    'proxmox/frr.conf',
    'two-routers/r1/frr.conf',
    'two-routers/r2/frr.conf',
  ]);
  for (const name of files) run(['vtysh', '-C', '-f', join(CONFIG, name)]);
});
