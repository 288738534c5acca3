import assert from 'node:assert/strict';
import { dualStack } from '../../kit/ipv6-site.js';
import { labTest } from '../../kit/lab-test.js';
import { Capture } from '../../kit/pcap.js';
import { staysTrue, waitFor } from '../../kit/program.js';
import { Site } from '../../kit/site.js';

/** A switch that snoops MLD and has a querier passes a group's frames to its members and to routers (RFC 4541 section 3). */

interface RouterPorts {
  readonly router?: Readonly<Record<string, readonly { readonly port: string }[]>>;
}

labTest(
  'RFC 4541: behind a snooping switch with a querier hosts are not heard, until we say that a router is here (RFC 4286)',
  async (lab) => {
    const site = new Site(lab, { ipv6: {} });
    const { namespace } = site.network;
    // A querier asks from a link-local address. Its switch floods until hosts have had the time to report.
    namespace.sysctl({ 'ipv6.conf.lan1.disable_ipv6': 0 });
    namespace.ip(
      'link set lan1 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_response_interval 100 mcast_query_interval 200 mcast_startup_query_interval 100',
    );
    await site.start();
    const wire = await Capture.start(site.router, 'lan1');
    await wire.nd({ kind: 'mld-query' }, 30_000);

    const host = site.host('host', dualStack(5, { dad: true }));
    await host.plug('lan1', 'silent');
    const seen = await Capture.start(namespace, 'host-eth0');
    const checked = async (ip: string): Promise<void> => {
      host.namespace.ip(`addr add ${ip}/64 dev eth0`);
      await seen.nd({ kind: 'ns', target: ip, fromIp: '::' }, 5000);
    };
    // Until the first reports have been waited for, every frame is flooded.
    let next = 0x20;
    await waitFor(
      async () => {
        const ip = `2001:db8:1::${(next++).toString(16)}`;
        await checked(ip);
        return wire.nds({ kind: 'ns', target: ip }).length === 0;
      },
      30_000,
      'the switch to keep a check from the router',
      100,
    );
    const unheard = '2001:db8:1::a5';
    await checked(unheard);
    await staysTrue(() => wire.nds({ kind: 'ns', target: unheard }).length === 0, 500, 'the silence', 50);
    const warned = site.marpd.ctl.run('doctor');
    assert.match(`${warned.stdout}${warned.stderr}`, /lan1 has an MLD querier: if its switch snoops/);

    const { config } = site.marpd;
    site.marpd.configure({
      ...config,
      interface: [{ name: 'lan0' }, { name: 'lan1', multicast_router: true }],
    });
    process.kill(site.marpd.pid, 'SIGHUP');
    await waitFor(
      () => {
        const [mdb] = JSON.parse(namespace.exec('bridge', '-j', '-d', 'mdb', 'show')) as RouterPorts[];
        return Object.values(mdb?.router ?? {})
          .flat()
          .some(({ port }) => port === 'router-lan1');
      },
      5000,
      'the switch to take the port of the router for one',
      50,
    );
    const heard = '2001:db8:1::a6';
    await checked(heard);
    await wire.nd({ kind: 'ns', target: heard, fromIp: '::' }, 1000);
    await site.marpd.routed(heard, 'lan1', 5000);
    const content = site.marpd.ctl.run('doctor');
    assert.match(`${content.stdout}${content.stderr}`, /lan1 has an MLD querier, and marpd says/);
  },
  120_000,
);
