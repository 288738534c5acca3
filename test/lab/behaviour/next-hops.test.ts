import assert from 'node:assert/strict';
import { Capture } from '../kit/pcap.js';
import { waitFor } from '../kit/program.js';
import { RouteLog } from '../kit/route-log.js';
import { Site } from '../kit/site.js';
import { SOAK, labTest } from '../kit/lab-test.js';
import type { Lab } from '../kit/namespace.js';

/** Hosts that are routers themselves: they are held, heard and answered like any other (design.md 3). */

const GUEST = '10.1.1.5';
/** At two a second: five seconds, or ten minutes in full. */
const KEEPALIVES = SOAK ? 1200 : 10;

const becomesNextHop = async (lab: Lab): Promise<void> => {
  const config = { interface: [{ name: 'lan0' }, { name: 'lan1', keepalive: '500ms', hold: '3s' }] };
  const site = await new Site(lab, { config }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled', 5000);
  const log = await RouteLog.start(site.router);
  const since = Date.now();
  site.router.ip(`route add 10.244.1.0/24 via ${GUEST} dev lan1 onlink proto bgp metric 20`);
  const capture = await Capture.start(site.router, 'lan1');
  const answers = () => capture.arps({ opcode: 'reply', senderIp: GUEST });
  await waitFor(() => answers().length >= KEEPALIVES, KEEPALIVES * 1000, 'keepalives to be answered', 100);
  assert.equal((await site.marpd.ctl.host(GUEST))?.state, 'settled');
  assert.deepEqual(log.of(GUEST, since), [], 'no route was touched');
  assert.equal(await site.marpd.ctl.dropped('sender-ip-next-hop'), 0);
  await site.reachable(GUEST);
};
labTest('a guest that becomes a next hop keeps its route', becomesNextHop, KEEPALIVES * 1000 + 50_000);

labTest('a firewall on the home LAN, next hop of the router, reaches a host that moved', async (lab) => {
  const site = new Site(lab);
  site.router.ip('route add default via 10.1.1.254');
  await site.start();
  const firewall = site.host('firewall', { address: '10.1.1.254/24' });
  await firewall.plug('lan0', 'silent');
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled', 5000);
  firewall.namespace.ip('neigh flush all');
  assert.ok(firewall.pings(GUEST, 3), 'its request is answered');
  guest.namespace.ip('neigh flush all');
  assert.ok(guest.pings(firewall.ip, 3), 'and the guest finds it');
});

labTest('who is denied, or not allowed to roam, is answered at home', async (lab) => {
  const config = { policy: { allow: [`${GUEST}/32`, '10.1.1.9/32'], deny: ['10.1.1.9/32'] } };
  const site = await new Site(lab, { config }).start();
  const guest = site.host('guest');
  await guest.plug('lan1', 'request');
  await site.marpd.state(GUEST, 'settled', 5000);
  for (const [role, address, reason] of [
    ['denied', '10.1.1.9/24', 'denied'],
    ['outside', '10.1.1.10/24', 'not-allowed'],
  ] as const) {
    const host = site.host(role, { address });
    await host.plug('lan0', 'silent');
    assert.ok(host.pings(GUEST, 3), role);
    await waitFor(async () => (await site.marpd.ctl.dropped(reason)) > 0, 2000, `the drop reason ${reason}`);
    assert.equal(await site.marpd.ctl.host(host.ip), undefined, 'and not learned');
  }
});
