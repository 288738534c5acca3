import assert from 'node:assert/strict';
import { Host } from '../kit/host.js';
import { labTest } from '../kit/lab-test.js';
import { waitFor } from '../kit/program.js';
import { ExampleSite } from '../routed/example-site.js';

/** The files of docs/two-routers.md, as they are, on two routers of a lab. */

const HOST = '10.1.1.5';

labTest(
  'the two-router example: a host moves from r1 to r2 and back, and each router sends to where it is',
  async (lab) => {
    const { network, r1, marpds } = await new ExampleSite(lab, 'two-routers').start();
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
