import assert from 'node:assert/strict';
import type { Host } from '../../kit/host.js';
import { REMOTE_IPV6, dualStack } from '../../kit/ipv6-site.js';
import { SOAK, labTest } from '../../kit/lab-test.js';
import { type SeenNd, neighborAdvertisement } from '../../kit/nd.js';
import { Capture } from '../../kit/pcap.js';
import { waitFor } from '../../kit/program.js';
import { RouteLog } from '../../kit/route-log.js';
import { Site, routerMac } from '../../kit/site.js';

/** Hosts that name no address: a MAC is all that is heard (MLD, RARP), and its addresses are asked for. */

const LANS = { lan0: '10.1.1.1/24', lan1: '10.2.2.1/24', lan2: '10.3.3.1/24' };
const HOST = '2001:db8:1::5';
const addressesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => `2001:db8:1::5:${(i + 1).toString(16)}`);
const inPrefix = (ips: readonly string[]) => ips.map((ip) => `${ip}/64`);

/** What the short run allows: other labs run at the same time. */
const CLAIMED_MS = SOAK ? 50 : 500;

/** Waits until its kernel has said all that it says by itself: two reports, the second within a second (RFC 3810 9.11). */
async function silent(host: Host): Promise<void> {
  const wire = await Capture.start(host.namespace, 'eth0');
  const began = Date.now();
  await waitFor(
    () => Date.now() - (wire.frames().at(-1)?.at ?? began) > 1500,
    15_000,
    `${host.namespace.role} to be silent`,
    50,
  );
  await wire.stop();
}

async function claimedOn(site: Site, ips: readonly string[], lan: string, timeoutMs = 5000): Promise<void> {
  for (const ip of ips) await site.marpd.routed(ip, lan, timeoutMs);
}

labTest(
  'QEMU with guest_announce=off: a MAC that nobody knows is asked for its groups, and the guest is claimed (RFC 3810)',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS, ipv6: {}, config: { router: { settle: '5s' } } }).start();
    // As FRR would, for this guest and for others.
    const others = ['2001:db8:1::6', '2001:db8:1::7'];
    for (const ip of [HOST, ...others])
      site.router.ip(`route add ${ip}/128 via ${REMOTE_IPV6} dev up0 proto 188 metric 20`);
    site.network.add('elsewhere');
    const guest = site.host('guest', dualStack(5));
    await guest.plug('elsewhere', 'silent');
    await silent(guest);
    const frames = await guest.frames();
    const wire = await Capture.start(site.router, 'lan2');
    const routes = await RouteLog.start(site.router);
    await guest.connect('lan2', false);
    const at = Date.now();
    frames.rarp(guest.mac);
    const claim = await routes.added(HOST, 'lan2', at);
    console.log(`# claimed ${(claim.at - at).toFixed(1)} ms after the RARP`);
    assert.ok(claim.at - at < CLAIMED_MS, `${claim.at - at} ms`);
    assert.ok(wire.nds({ kind: 'mld-query', destination: guest.mac }, at).length > 0, 'asked by unicast');
    assert.ok(wire.nds({ kind: 'mld-report', source: guest.mac }, at).length > 0);
    for (const ip of others) {
      assert.deepEqual(site.marpd.routesOf(ip), []);
      assert.deepEqual(wire.nds({ kind: 'ns', target: ip, source: routerMac('lan2') }), []);
    }
  },
);

labTest(
  'RFC 3810 6.1: after a carrier flap one report of a silent host brings back all of its four addresses',
  async (lab) => {
    const site = await new Site(lab, { lans: LANS, ipv6: {} }).start();
    const ips = addressesOf(4);
    const host = site.host('host', dualStack(5, { addresses: inPrefix(ips) }));
    await host.plug('lan1', 'silent');
    const frames = await host.frames();
    for (const ip of ips) frames.send(neighborAdvertisement(ip, host.mac));
    await claimedOn(site, ips, 'lan1');
    await silent(host);

    const wire = await Capture.start(site.router, 'lan2');
    const own = { source: host.mac } as const;
    // Its kernel reports at once, and the port of the switch may not be forwarding yet: then the cable comes out again.
    const report = await waitFor(
      async () => {
        await host.connect('lan2');
        return wire.nds({ ...own, kind: 'mld-report' })[0];
      },
      20_000,
      'a report to pass the switch',
      1500,
    );
    await claimedOn(site, ips, 'lan2');
    const said = wire.nds(own, report.at);
    const proof = said.find(({ kind }) => kind === 'na') as SeenNd;
    console.log(`# first answer ${(proof.at - report.at).toFixed(1)} ms after the report`);
    assert.ok(
      said.filter(({ at }) => at < proof.at).every(({ kind }) => kind === 'mld-report'),
      'it said nothing else',
    );
    for (const ip of ips) assert.ok(site.reaches(ip), ip);
  },
);

labTest(
  'RFC 7934: a guest with 17 addresses moves with all of them, and one that expires is withdrawn alone',
  async (lab) => {
    const config = { timers: { keepalive: '300ms', keepalive_timeout: '250ms' } };
    const site = await new Site(lab, { lans: LANS, ipv6: {}, config }).start();
    const ips = addressesOf(17);
    const guest = site.host('guest', dualStack(5, { addresses: inPrefix(ips) }));
    await guest.plug('lan1', 'silent');
    const frames = await guest.frames();
    for (const ip of ips) frames.send(neighborAdvertisement(ip, guest.mac));
    await claimedOn(site, ips, 'lan1');
    await waitFor(
      async () =>
        (await Promise.all(ips.map((ip) => site.marpd.ctl.host(ip)))).every(
          (one) => one?.state === 'settled',
        ),
      5000,
      'all to be settled',
      50,
    );

    await guest.connect('lan2', false);
    frames.send(neighborAdvertisement(ips[0] as string, guest.mac));
    await claimedOn(site, ips, 'lan2');

    const [expired, ...others] = [...ips].reverse() as [string, ...string[]];
    guest.namespace.ip(`addr del ${expired}/64 dev eth0`);
    await site.marpd.routed(expired, undefined, 30_000);
    for (const ip of others)
      assert.deepEqual(
        site.marpd.routesOf(ip).map(({ dev }) => dev),
        ['lan2'],
        ip,
      );
  },
  90_000,
);
