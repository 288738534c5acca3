import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../kit/namespace.js';

const CONFIG = fileURLToPath(new URL('../../../../config', import.meta.url));

test('FRR reads every configuration of the examples (vtysh --dryrun)', () => {
  const files = readdirSync(CONFIG, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\/frr(-\w+)*\.conf$/.test(name),
  );
  assert.deepEqual(files.sort(), [
    'libvirt/frr.conf',
    'proxmox/frr.conf',
    'redundant-routers/r1/frr-bgp.conf',
    'redundant-routers/r1/frr-ipv6.conf',
    'redundant-routers/r1/frr-vrrpd-ipv6.conf',
    'redundant-routers/r1/frr-vrrpd.conf',
    'redundant-routers/r1/frr.conf',
    'redundant-routers/r2/frr-bgp.conf',
    'redundant-routers/r2/frr-ipv6.conf',
    'redundant-routers/r2/frr-vrrpd-ipv6.conf',
    'redundant-routers/r2/frr-vrrpd.conf',
    'redundant-routers/r2/frr.conf',
    'redundant-routers/r3/frr-bgp.conf',
    'redundant-routers/r3/frr-ipv6.conf',
    'redundant-routers/r3/frr.conf',
    'two-routers/r1/frr.conf',
    'two-routers/r2/frr.conf',
    'virtual-subnet/r1/frr.conf',
    'virtual-subnet/r2/frr.conf',
  ]);
  for (const name of files)
    assert.equal(run(['vtysh', '--dryrun', '--inputfile', join(CONFIG, name)]), '', name);
});
