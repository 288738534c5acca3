import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Switch } from '../kit/host.js';
import { labTest } from '../kit/lab-test.js';
import { enableIpv6 } from '../kit/ipv6.js';
import { type Namespace, run } from '../kit/namespace.js';

/** The files of docs/redundant-routers.md, read by the daemons that they are for; FRR's in behaviour/vm/examples. */

const EXAMPLE = join(import.meta.dirname, '../../../config/redundant-routers');

labTest('keepalived and BIRD accept the files for redundant routers', async (lab) => {
  const network = new Switch(lab, ['net1']);
  const [r1, r2] = lab.create('r1', 'r2') as [Namespace, Namespace];
  for (const router of [r1, r2]) enableIpv6(router);
  lab.link(r1, 'core0', r2, 'core0');
  for (const router of [r1, r2]) {
    const file = (name: string): string => join(EXAMPLE, router.role, name);
    network.connect(router, 'lan0', 'net1');
    router.ip(`addr add 10.1.1.${router === r1 ? 2 : 3}/24 dev lan0`);
    assert.equal(router.exec('keepalived', '--config-test', '--use-file', file('keepalived.conf')), '');
    const both = join(lab.directory, `${router.role}-both.conf`);
    const texts = ['keepalived.conf', 'keepalived-ipv6.conf'].map((name) => readFileSync(file(name), 'utf8'));
    writeFileSync(both, texts.join(''));
    assert.equal(router.exec('keepalived', '--config-test', '--use-file', both), '', 'with IPv6');
    run(['bird', '-p', '-c', file('bird.conf')]);
  }
  run(['bird', '-p', '-c', join(EXAMPLE, 'r3', 'bird.conf')]);
});
