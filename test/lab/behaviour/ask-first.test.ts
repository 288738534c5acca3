import assert from 'node:assert/strict';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { Site, routerMac } from '../kit/site.js';
import { labTest } from '../kit/lab-test.js';

/** Two hosts of one home subnet side by side on a foreign LAN: nobody speaks for the other one (design.md 3.2). */

labTest('a visitor finds a neighbour beside it that has not spoken yet', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor');
  const neighbour = site.host('neighbour', { address: '10.1.1.6/24' });
  await neighbour.plug('lan1', 'silent');
  await visitor.plug('lan1', 'request');
  await site.marpd.state(visitor.ip, 'settled', 5000);
  const capture = await Capture.start(site.router, 'lan1');
  assert.ok(visitor.pings(neighbour.ip, 3));
  assert.equal(visitor.neighbour(neighbour.ip)?.mac, neighbour.mac);
  await site.marpd.state(neighbour.ip, 'settled', 5000);
  visitor.namespace.ip('neigh flush all');
  assert.ok(visitor.pings(neighbour.ip, 3));
  assert.equal(visitor.neighbour(neighbour.ip)?.mac, neighbour.mac);
  assert.deepEqual(
    capture.arps({ opcode: 'reply', senderIp: neighbour.ip, source: routerMac('lan1') }),
    [],
    'we never said "send it to me"',
  );
});

labTest('a visitor asks for a host that nobody beside it has: it is answered after 100 ms', async (lab) => {
  const site = await new Site(lab).start();
  const visitor = site.host('visitor');
  const neighbour = site.host('neighbour', { address: '10.1.1.6/24' });
  await neighbour.plug('lan0', 'silent');
  await visitor.plug('lan1', 'request');
  await site.marpd.state(visitor.ip, 'settled', 5000);
  const capture = await Capture.start(site.router, 'lan1');
  assert.ok(visitor.pings(neighbour.ip, 3));
  const answers = () => capture.arps({ opcode: 'reply', senderIp: neighbour.ip, source: routerMac('lan1') });
  await waitFor(() => answers().length > 0, 2000, 'the answer');
  const [asked] = capture.arps({ opcode: 'request', targetIp: neighbour.ip, source: visitor.mac });
  const [answered] = answers();
  assert.ok(asked !== undefined && answered !== undefined);
  assert.ok(answered.at - asked.at > 90, `after ${(answered.at - asked.at).toFixed(1)} ms`);
  assert.equal(visitor.neighbour(neighbour.ip)?.mac, routerMac('lan1'));
});
