import assert from 'node:assert/strict';
import { REMOTE_IPV6, SHARED_GATEWAY, dualStack } from '../../kit/ipv6-site.js';
import { linkLocalOf } from '../../kit/ipv6.js';
import { Frames } from '../../kit/host.js';
import { labTest } from '../../kit/lab-test.js';
import { neighborAdvertisement, routerAdvertisement } from '../../kit/nd.js';
import { Capture } from '../../kit/pcap.js';
import { Program, waitFor } from '../../kit/program.js';
import { Site, routerMac } from '../../kit/site.js';
import { Stream } from '../../routed/gauges.js';

/** Moves of Linux hosts whose card never loses its carrier: nothing but the proof mends their entry of the gateway. */

const HOST = '2001:db8:1::5';
/** As `ip -N` prints the protocol of a route that a router advertisement made. */
const RTPROT_RA = '9';

labTest(
  'RFC 4861 7.2.3: the first proof repairs a REACHABLE entry of the shared gateway, and nothing clears its router flag',
  async (lab) => {
    const site = await new Site(lab, { ipv6: {} }).start();
    const guest = site.host('guest', dualStack(5));
    await guest.plug('lan0', 'silent');
    await waitFor(() => guest.pings(REMOTE_IPV6), 5000, 'the remote host');
    const pings = new Program(guest.namespace, ['ping', '-n', '-i', '0.05', REMOTE_IPV6], { quiet: true });
    await pings.line(/icmp_seq=3/);
    await waitFor(
      () => guest.neighbour(SHARED_GATEWAY)?.state.includes('REACHABLE'),
      10_000,
      'a fresh entry of the gateway',
    );
    assert.equal(guest.neighbour(SHARED_GATEWAY)?.mac, routerMac('lan0'));

    const frames = await guest.frames();
    const wire = await Capture.start(guest.namespace, 'eth0');
    await guest.connect('lan1', false);
    const at = Date.now();
    frames.send(neighborAdvertisement(HOST, guest.mac));
    await site.marpd.routed(HOST, 'lan1');
    const echo = await wire.nd({ kind: 'echo-reply', toIp: HOST, source: routerMac('lan1') }, 2000, at);
    console.log(`# back ${(echo.at - at).toFixed(1)} ms after its first word`);
    assert.equal(guest.neighbour(SHARED_GATEWAY)?.mac, routerMac('lan1'));

    const told = wire.nds({ kind: 'ns', target: HOST, source: routerMac('lan1') }, at);
    const [proof] = told;
    assert.ok(proof !== undefined);
    assert.equal(proof.fromIp, SHARED_GATEWAY);
    assert.equal(proof.lla, routerMac('lan1'));
    assert.equal(proof.destination, guest.mac, 'by unicast');
    assert.ok(proof.at < echo.at);
    const asked = wire.nds({ kind: 'ns', target: SHARED_GATEWAY, source: guest.mac }, at);
    assert.ok(
      asked.every((ns) => ns.at > proof.at),
      'the host did not have to doubt its entry',
    );
    const asNoRouter = wire.nds({ kind: 'na', target: SHARED_GATEWAY, isRouter: false });
    assert.deepEqual(asNoRouter, []);
    await pings.stop('SIGINT');
  },
);

labTest(
  'RFC 4861 7.3.3: a default route by RA of another router survives, and its reachability is confirmed with R=1',
  async (lab) => {
    const gateways = { lan0: 'fe80::a1', lan1: 'fe80::b2' };
    const site = await new Site(lab, { ipv6: { gateways } }).start();
    const guest = site.host('guest', { ...dualStack(5), ipv6: { addresses: [`${HOST}/64`] } });
    // A doubt begins after a second instead of five.
    guest.namespace.sysctl({ 'ipv6.neigh.eth0.delay_first_probe_time': 1 });
    await guest.plug('lan0', 'silent');
    const router = await Frames.start(site.router, 'lan0');
    const byRa = () =>
      guest.namespace
        .json<{ gateway: string; protocol: string }>('-6', 'route', 'show', 'default')
        .filter(({ protocol }) => protocol === RTPROT_RA)
        .map(({ gateway }) => gateway);
    await waitFor(
      () => {
        router.send(routerAdvertisement(gateways.lan0, routerMac('lan0')));
        return byRa().length > 0;
      },
      5000,
      'a default route',
      200,
    );
    assert.deepEqual(byRa(), [gateways.lan0]);
    await waitFor(() => guest.pings(REMOTE_IPV6), 5000, 'the remote host');

    const frames = await guest.frames();
    const wire = await Capture.start(guest.namespace, 'eth0');
    await guest.connect('lan1', false);
    const at = Date.now();
    frames.send(neighborAdvertisement(HOST, guest.mac));
    await site.marpd.routed(HOST, 'lan1');
    await waitFor(() => guest.pings(REMOTE_IPV6, 0.2), 2000, 'the remote host from the new LAN');
    assert.equal(guest.neighbour(gateways.lan0)?.mac, routerMac('lan1'));
    // Its kernel verifies the entry (RFC 4861 section 7.3.3), by unicast from its link-local address. Not while it pings:
    // ping says with every echo that its router is reachable (MSG_CONFIRM).
    await Stream.start(guest.namespace, REMOTE_IPV6, 100);
    const question = { kind: 'ns', target: gateways.lan0, source: guest.mac } as const;
    const asked = await wire.nd(question, 10_000, at);
    assert.equal(asked.fromIp, linkLocalOf(guest.mac));
    const confirmed = { kind: 'na', target: gateways.lan0, source: routerMac('lan1') } as const;
    await wire.nd({ ...confirmed, isSolicited: true, isRouter: true }, 1000, asked.at);
    assert.deepEqual(wire.nds({ ...confirmed, isRouter: false }), []);
    await waitFor(
      () => guest.neighbour(gateways.lan0)?.state.includes('REACHABLE'),
      3000,
      'a confirmed entry of the old router',
    );
    assert.deepEqual(byRa(), [gateways.lan0]);
    assert.ok(guest.pings(REMOTE_IPV6));
  },
);
