import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { Host, Switch } from '../kit/host.js';
import { labTest } from '../kit/lab-test.js';
import { Marpd, type MarpdConfig } from '../kit/marpd.js';
import type { Namespace } from '../kit/namespace.js';
import { waitFor } from '../kit/program.js';
import { makeEngine } from '../routed/engines.js';

/** The files of docs/two-routers.md, as they are, on two routers of a lab. */

const EXAMPLE = join(import.meta.dirname, '../../../config/two-routers');
const HOST = '10.1.1.5';
const read = (role: string, name: string) => readFileSync(join(EXAMPLE, role, name), 'utf8');

/** What ifup would do. */
function configure(router: Namespace): void {
  const stanzas = read(router.role, 'interfaces').matchAll(/^iface (\S+) inet static\n\taddress (\S+)$/gm);
  for (const [, name, address] of stanzas)
    router.ip(`addr add ${address} dev ${name}`, `link set ${name} up`);
}

labTest(
  'the two-router example: a host moves from r1 to r2 and back, and each router sends to where it is',
  async (lab) => {
    const network = new Switch(lab, ['net1', 'net2']);
    const [r1, r2] = lab.create('r1', 'r2') as [Namespace, Namespace];
    lab.link(r1, 'core0', r2, 'core0');
    network.connect(r1, 'lan0', 'net1');
    network.connect(r2, 'lan0', 'net2');
    const marpds = new Map<string, Marpd>();
    for (const router of [r1, r2]) {
      configure(router);
      const engine = makeEngine('frr-ospf', router, read(router.role, 'frr.conf'));
      await engine.start();
      const config = parse(read(router.role, 'marpd.toml')) as MarpdConfig;
      // The socket is the fixture's; everything else is the file's.
      marpds.set(router.role, await new Marpd(router, { ...config, control: {} }).start('lan0'));
    }
    const other = new Host(network, 'other', { address: '10.2.2.7/24', gateway: '10.2.2.1' });
    await other.plug('net2', 'request');
    await waitFor(
      () => r1.json<{ dst: string }>('route', 'show').some(({ dst }) => dst === '10.2.2.0/24'),
      30_000,
      'the routers to know each other',
    );
    const mobile = new Host(network, 'mobile', { address: `${HOST}/24`, gateway: '10.1.1.1' });
    await mobile.plug('net1', 'request');
    assert.ok(mobile.pings('10.2.2.7', 2), 'at home');
    await mobile.plug('net2', 'request');
    await marpds.get('r2')?.routed(HOST, 'lan0');
    await waitFor(
      () =>
        r1
          .json<{ dst: string; gateway?: string }>('route', 'show')
          .some(({ dst, gateway }) => dst === HOST && gateway === '192.0.2.2'),
      5000,
      'the route of r1 to r2',
    );
    assert.ok(mobile.pings('10.2.2.7', 2), 'away');
    await marpds.get('r1')?.state(HOST, 'away');
    await mobile.plug('net1', 'request');
    await marpds.get('r1')?.state(HOST, 'home', 10_000);
    assert.ok(mobile.pings('10.2.2.7', 2), 'home again');
  },
  90_000,
);
