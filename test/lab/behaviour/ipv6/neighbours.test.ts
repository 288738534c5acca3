import assert from 'node:assert/strict';
import { Frames } from '../../kit/host.js';
import { REMOTE_IPV6, SHARED_GATEWAY, dualStack } from '../../kit/ipv6-site.js';
import { SOAK, labTest } from '../../kit/lab-test.js';
import { neighborAdvertisement, redirect } from '../../kit/nd.js';
import { Capture } from '../../kit/pcap.js';
import { pause, staysTrue, waitFor } from '../../kit/program.js';
import { Site, routerMac } from '../../kit/site.js';

/** What the LAN that a host has left is told of it, and what must not be told. */

const HOST = '2001:db8:1::5';
const NEIGHBOUR = '2001:db8:1::9';

const BACK_MS = SOAK ? 50 : 500;

interface Address {
  readonly addr_info: readonly {
    readonly local: string;
    readonly tentative?: true;
    readonly dadfailed?: true;
  }[];
}

labTest(
  'RFC 4862 5.4.4: a host that returns home and checks its address is not taken for a duplicate by announcements of its departure',
  async (lab) => {
    const site = await new Site(lab, { ipv6: {} }).start();
    const host = site.host('host', dualStack(5, { dad: true }));
    const flags = () =>
      host.namespace
        .json<Address>('-6', 'addr', 'show', 'dev', 'eth0')
        .flatMap(({ addr_info }) => addr_info)
        .find(({ local }) => local === HOST);
    const isValid = () =>
      flags() !== undefined && flags()?.tentative === undefined && flags()?.dadfailed === undefined;
    await host.plug('lan0', 'silent');
    await waitFor(isValid, 10_000, 'the address to be valid', 50);
    await waitFor(() => host.pings(REMOTE_IPV6), 5000, 'the remote host');
    const frames = await host.frames();
    const wire = await Capture.start(site.router, 'lan0');

    await host.connect('lan1', false);
    const away = Date.now();
    frames.send(neighborAdvertisement(HOST, host.mac));
    await site.marpd.routed(HOST, 'lan1');
    const told = { kind: 'na', target: HOST, source: routerMac('lan0'), isOverride: true } as const;
    await wire.nd(told, 3000, away);
    // There are two more to come, 1 s and 2 s later: what follows falls between them.
    await host.connect('lan0', false);
    const home = Date.now();
    host.namespace.ip(`addr del ${HOST}/64 dev eth0`, `addr add ${HOST}/64 dev eth0`);
    const check = await wire.nd({ kind: 'ns', target: HOST, fromIp: '::' }, 3000, home);
    await waitFor(() => flags()?.tentative === undefined, 5000, 'the end of the check', 50);
    await staysTrue(isValid, 2500, 'a valid address', 100);
    assert.deepEqual(wire.nds(told, check.at), []);
    assert.deepEqual(
      wire.nds({ kind: 'na', target: HOST, source: routerMac('lan0') }, check.at),
      [],
      'nobody answers the check',
    );
    await site.marpd.routed(HOST, undefined, 5000);
    await waitFor(() => host.pings(REMOTE_IPV6), 5000, 'the remote host');

    // The same announcement, sent into a check, does kill the address: the test can fail.
    const forger = await Frames.start(site.router, 'lan0');
    host.namespace.ip(`addr del ${HOST}/64 dev eth0`, `addr add ${HOST}/64 dev eth0`);
    forger.send(neighborAdvertisement(HOST, routerMac('lan0')));
    await waitFor(() => flags()?.dadfailed === true, 3000, 'a duplicate', 20);
  },
);

labTest(
  'RFC 4861 7.2.6: a neighbour that was redirected to a host is told when the host has left',
  async (lab) => {
    const site = await new Site(lab, { ipv6: {} }).start();
    // At home on the other LAN, and a visitor of this one.
    const visitor = site.host('visitor', {
      address: '10.2.2.7/24',
      gateway: '10.2.2.1',
      ipv6: { addresses: ['2001:db8:2::7/64'], gateway: SHARED_GATEWAY },
    });
    const [ip] = visitor.ipv6 as [string];
    const neighbour = site.host('neighbour', dualStack(9));
    neighbour.namespace.sysctl({ 'ipv6.conf.eth0.accept_redirects': 1 });
    await neighbour.plug('lan0', 'silent');
    await visitor.plug('lan0', 'silent');
    const frames = await visitor.frames();
    frames.send(neighborAdvertisement(ip, visitor.mac));
    await site.marpd.routed(ip, 'lan0');
    await waitFor(() => neighbour.pings(ip), 5000, 'the visitor');

    const router = await Frames.start(site.router, 'lan0');
    const here = { mac: routerMac('lan0'), ip: SHARED_GATEWAY };
    router.send(redirect(here, { mac: neighbour.mac, ip: NEIGHBOUR }, { mac: visitor.mac, ip }));
    await waitFor(
      () => neighbour.pings(ip) && neighbour.neighbour(ip)?.mac === visitor.mac,
      5000,
      'the neighbour to follow the redirect',
    );
    await site.marpd.state(ip, 'settled');

    const wire = await Capture.start(neighbour.namespace, 'eth0');
    await visitor.connect('lan1', false);
    const at = Date.now();
    frames.send(neighborAdvertisement(ip, visitor.mac));
    const told = await wire.nd(
      { kind: 'na', target: ip, isOverride: true, source: routerMac('lan0') },
      3000,
      at,
    );
    assert.equal(told.isRouter, false);
    console.log(`# told ${(told.at - at).toFixed(1)} ms after its first word elsewhere`);
    assert.ok(told.at - at < BACK_MS, `${told.at - at} ms`);
    assert.equal(neighbour.neighbour(ip)?.mac, routerMac('lan0'));
    await waitFor(() => neighbour.pings(ip, 0.2), 2000, 'the host at its new place');
  },
);

labTest(
  'CVE-2008-2476: no question comes from an address that is not of its link, since BSD answers none (RFC 4861 7.1.1)',
  async (lab) => {
    const site = await new Site(lab, { ipv6: {} }).start();
    const stranger = site.host('stranger', {
      address: '10.7.7.7/24',
      gateway: '10.7.7.1',
      ipv6: { addresses: ['2001:db8:2::7/64'], gateway: SHARED_GATEWAY },
    });
    const host = site.host('host', dualStack(5));
    const wires = [await Capture.start(site.router, 'lan0'), await Capture.start(site.router, 'lan1')];
    const frames = await host.frames();
    for (const lan of ['lan1', 'lan0', 'lan1']) {
      await host.plug(lan, 'silent');
      frames.send(neighborAdvertisement(HOST, host.mac));
      await waitFor(() => host.pings(REMOTE_IPV6, 0.3), 5000, 'the remote host');
    }
    await stranger.plug('lan0', 'silent');
    await waitFor(() => stranger.pings(REMOTE_IPV6, 0.3), 5000, 'the remote host');
    await pause(1000); // keepalives
    const questions = wires
      .flatMap((wire) => wire.nds({ kind: 'ns' }))
      .filter(({ source }) => source.startsWith('02:aa:'));
    assert.ok(questions.length > 5);
    for (const { fromIp, target, hopLimit } of questions) {
      assert.equal(hopLimit, 255);
      const isLinkLocal = fromIp.startsWith('fe80::');
      const ofSameSubnet = fromIp.slice(0, '2001:db8:1::'.length) === target?.slice(0, '2001:db8:1::'.length);
      assert.ok(isLinkLocal || ofSameSubnet, `${target} was asked from ${fromIp}`);
    }
  },
);
